import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import {
  removeBlockCommand,
  settingIn,
  settingLines,
  settingsIn,
  withBlock,
  withoutBlock,
} from "../../../../runtime/operations/shared/settingsText";

test("the last line of a setting counts, in PostgreSQL's spellings", () => {
  const texts = [
    "#name = 'no'\nNAME = 'it''s' # why\nother_name = 1\nname_too = 2\n",
    "\tname=plain\n",
    "name 'spaced'\n",
  ];
  expect(settingIn("name", texts.slice(0, 1))).toBe("it's");
  expect(settingIn("name", texts.slice(0, 2))).toBe("plain");
  expect(settingIn("name", texts)).toBe("spaced");
  expect(settingIn("name", ["name = ''\n"])).toBe("");
  expect(settingIn("absent", texts)).toBeNull();
});

test("lines are read as they were written", () => {
  const settings = { a: "it's", b: "" };
  expect(settingsIn(`${settingLines(settings).join("\n")}\n# c = '1'\n`)).toEqual(settings);
});

test("a block is replaced, and leaves no trace", () => {
  const once = withBlock("a = 1", "x", { b: "2" });
  expect(once).toMatch(/^a = 1\n\S+ = '.*'\nb = '2'\n\S+ = '.*'\n$/);
  expect(withBlock(once, "x", { c: "3" })).not.toContain("b = ");
  expect(withoutBlock(`${once}d = 4\n`, "x")).toBe("a = 1\nd = 4\n");
  expect(withoutBlock("a = 1\n", "x")).toBe("a = 1\n");
});

test("the command that removes a block succeeds without sed: PostgreSQL would abort the recovery", () => {
  const { status, stderr } = spawnSync("/bin/sh", ["-c", removeBlockCommand("x", "file")], { env: { PATH: "" } });
  expect([status, String(stderr)]).toEqual([0, expect.stringContaining("sed")]);
});
