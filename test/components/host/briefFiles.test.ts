/** A host's files among the inputs of its resource: shared lines stand there once, and nothing is lost. */
import { expect, test } from "vitest";
import { briefFile, briefTexts, wholeFiles } from "../../../components/host/briefFiles";
import { resolveHost } from "../../../components/plan/model/resolveDatabase";
import { hostFilesOf } from "../../../components/render/host/hostParts";
import * as fc from "../../harness/properties";

test("any texts come back, byte for byte", () => {
  const line = fc.oneof(fc.constantFrom("", "[Service]", "# ".repeat(30), "ProtectSystem=strict"), fc.string());
  const text = fc.array(line).map((lines) => lines.join("\n"));
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.string().map((name) => `/${name}`),
        text,
      ),
      (texts) => {
        const whole = wholeFiles(briefTexts(texts)).map(([path, file]) => [path, file.text]);
        expect(Object.fromEntries(whole)).toEqual({ ...texts });
      },
    ),
  );
});

test("a line that looks like a name stays what it is", () => {
  const shared = "x".repeat(50);
  const name = Object.keys(briefTexts({ "/a": shared, "/b": shared })).find((key) => key.startsWith("@")) ?? "";
  expect(name).toMatch(/^@[0-9a-f]{8}$/);
  const texts = { "/a": shared, "/b": `${shared}\n${name}` };
  expect(briefTexts(texts)).toEqual(texts);
  expect(wholeFiles({ "/c": "@01234567" })).toEqual([
    ["/c", { mode: "0644", owner: "admin", secret: false, text: "@01234567" }],
  ]);
});

test("a host has the restrictions of all its services once, and its files are much shorter", () => {
  const at = { name: "nas", path: "/mnt/nas/pg", requireMount: true, encrypted: false };
  const settings = {
    connection: { local: {} },
    dataDirectory: "/srv/pg",
    repositories: { repo1: { at, keepDays: 30 } },
    schedules: { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } },
  };
  const files = hostFilesOf(resolveHost("orders", settings, "/usr/bin/node"));
  const made = files.map(
    ({ path, mode, owner, text }) => [path, briefFile({ mode, owner, secret: false, text })] as const,
  );
  const [whole, brief] = [JSON.stringify(made), JSON.stringify(briefTexts(Object.fromEntries(made)))];
  expect(brief.length).toBeLessThan(0.7 * whole.length);
  // Once for the services, and once in the launcher, as arguments of its command.
  expect(brief.split("RestrictNamespaces=yes")).toHaveLength(3);
});
