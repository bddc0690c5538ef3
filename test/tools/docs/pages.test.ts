/** Generated files match their sources. `npm run docs` writes them. */
// claim: docs/reference/commands.md, docs/reference/components.md, docs/reference/metrics.md, docs/reference/types.md:
//   what each verb, argument, output, metric and type is (generated from tables and docstrings)
// claim: docs/reference/options.md: what each option does (generated from the option table)
// claim: docs/reference/rules.md: what each finding means (generated from the tables of findings)
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { AT_RELEASE, COMPARED } from "../../../tools/docs/pages";
import { projectFolder } from "../../../tools/parts/cache";

test.each(Object.entries(COMPARED))("%s equals what its sources generate", (path, render) => {
  expect(readFileSync(join(projectFolder(), path), "utf8") === render(), "it is stale: run npm run docs").toBe(true);
});

test.each(Object.entries(AT_RELEASE))("%s can be generated", (_, render) => {
  expect(render()).toMatch(/^# \S/);
});

test("docs/reference has no other pages", () => {
  const pages = readdirSync(join(projectFolder(), "docs", "reference")).map((name) => `docs/reference/${name}`);
  expect(Object.keys({ ...COMPARED, ...AT_RELEASE })).toEqual(expect.arrayContaining(pages));
});
