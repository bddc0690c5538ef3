/** docs/rules.md says what the tables of findings say. `PGBACKSTOP_WRITE_DOCS=1` writes it anew. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RULES } from "../../components/plan/findings/ruleTable";
import { projectFolder } from "../../tools/parts/cache";
import { renderRulesDoc } from "../../tools/rulesDoc";

const FILE = join(projectFolder(), "docs", "rules.md");

test("every code is described in components/plan/findings/ruleTable.ts", () => {
  expect(Object.entries(RULES).filter(([, { wayOut, what, why }]) => [wayOut, what, why].includes(""))).toEqual([]);
});

test("the document is what the tables make", () => {
  if (process.env["PGBACKSTOP_WRITE_DOCS"] === "1") writeFileSync(FILE, renderRulesDoc());
  expect(readFileSync(FILE, "utf8"), "run this test with PGBACKSTOP_WRITE_DOCS=1").toBe(renderRulesDoc());
});
