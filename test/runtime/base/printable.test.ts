import { expect, test } from "vitest";
import { createLog } from "../../../runtime/base/log";
import { printable, printableValue } from "../../../runtime/base/printable";
import { testContext } from "../../harness/context";

test("control characters are escaped; text, tabs and line ends stay", () => {
  expect(printable("a\u001b[31mb\u009b1mc\u007f\rd\te\nf\u202eg ä 漢")).toBe(
    "a\\u001b[31mb\\u009b1mc\\u007f\\u000dd\te\nf\\u202eg ä 漢",
  );
  expect(printableValue("a\nb\u0007")).toBe("a\\nb\\u0007");
  for (let code = 0; code < 0xa0; code++) {
    if (code === 9 || code === 10) continue;
    const isControl = code < 32 || code >= 127;
    expect(printable(String.fromCharCode(code)).length).toBe(isControl ? 6 : 1);
  }
});

test("JSON keeps its meaning", () => {
  const value = { "\u007f": "\u001b[0m\u009b" };
  expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value);
  expect(JSON.parse(printable('{"raw":"\u001b[0m"}'))).toEqual({ raw: "\u001b[0m" });
});

test.each(["text", "json"] as const)("no log line in form %s has a control character", (format) => {
  const { clock } = testContext();
  let written = "";
  const log = createLog(clock, [{ level: "trace", format, timestamp: true, write: (text) => (written += text) }]);
  log.info("name\u001b]0;title\u0007");
  log.warn("name\u009b1m");
  expect(written).not.toMatch(/[\u001b\u0007\u009b]/);
  expect(written).toContain("\\u001b]0;title\\u0007");
});
