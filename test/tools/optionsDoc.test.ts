/** docs/options.md says what the option table says. `PGBACKSTOP_WRITE_DOCS=1` writes it anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { OPTIONS } from "../../runtime/config/options";
import { findReason, renderOptionsDoc } from "../../tools/optionsDoc";
import { projectFolder } from "../../tools/parts/cache";

const FILE = join(projectFolder(), "docs", "options.md");

test("an option that is not acted on has a reason", () => {
  expect(OPTIONS.filter((row) => !row.acted && findReason(row) === null).map((row) => row.name)).toEqual([]);
});

test("the document is what the table makes", () => {
  if (process.env["PGBACKSTOP_WRITE_DOCS"] === "1") writeFileSync(FILE, renderOptionsDoc());
  expect(readFileSync(FILE, "utf8"), "run this test with PGBACKSTOP_WRITE_DOCS=1").toBe(renderOptionsDoc());
});
