/** docs/reference matches the tables and docstrings. `npm run docs` writes it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { MADE_FILES, PAGES } from "../../../tools/docs/pages";
import { projectFolder } from "../../../tools/parts/cache";

const FOLDER = join(projectFolder(), "docs", "reference");

describe("docs/reference", () => {
  test.each(Object.entries(PAGES))("%s equals what its sources generate", (name, render) => {
    expect(readFileSync(join(FOLDER, name), "utf8") === render(), "it is stale: run npm run docs").toBe(true);
  });

  test.each(Object.entries(MADE_FILES))("%s equals what the declarations make", (path, render) => {
    expect(readFileSync(join(projectFolder(), path), "utf8") === render(), "it is stale: run npm run docs").toBe(true);
  });

  test("has no other pages", () => {
    expect(readdirSync(FOLDER).sort()).toEqual(Object.keys(PAGES).sort());
  });
});
