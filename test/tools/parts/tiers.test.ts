import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { TIERS } from "../../../tools/parts/tiers";

describe.each(TIERS)("tier $name", ({ folders, isolated = [], first = [], quick = [], nightly = {} }) => {
  test("names only existing folders and files", () => {
    expect(
      [...folders, ...isolated, ...first, ...quick, ...Object.keys(nightly)].filter(
        (path) => !existsSync(join(projectFolder(), path)),
      ),
    ).toEqual([]);
  });

  test("names only its own files", () => {
    expect(
      [...isolated, ...first, ...quick, ...Object.keys(nightly)].filter(
        (file) => !folders.some((folder) => file.startsWith(`${folder}/`)),
      ),
    ).toEqual([]);
  });
});
