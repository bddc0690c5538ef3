/** `pgbackstop explain`: the troubleshooting guide offline. */
import { expect, test } from "vitest";
import { explainMain } from "../../../components/bin/explain";
import { readGuide } from "../../harness/compare/troubleshootingGuide";
import { captureTexts } from "./shownTexts";

const { all: printed } = captureTexts();

// claim: docs/troubleshooting.md: entries are printed without a network
test("an entry is printed alone, from its name to its symptom", () => {
  expect(explainMain(["lock-held"])).toBe(0);
  expect(printed.join("")).toMatch(/^lock-held\n\n\*\*Symptom\.\*\*[^]*\*\*Shown by\*\* .*\n$/);
  expect(printed.join("")).not.toContain("checkpoint-wait");
});

test("every entry is listed with its symptom", () => {
  expect(explainMain([])).toBe(0);
  const lines = printed
    .join("")
    .split("\n")
    .filter((line) => line.startsWith("  "));
  expect(lines.map((line) => line.trim().split(" ")[0])).toEqual(readGuide().map(({ anchor }) => anchor));
  expect(lines.filter((line) => !/^ {2}\S+ +\S/.test(line))).toEqual([]);
});

test("an unknown name is reported", () => {
  expect(explainMain(["nothing"])).toBe(2);
  expect(printed.join("")).toBe("pgbackstop explain: there is no entry 'nothing'; pgbackstop explain lists all\n");
});
