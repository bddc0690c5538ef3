import { existsSync, readFileSync } from "node:fs";
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

test("CONTRIBUTING.md says what still shows the claims of each file that only the nightly form runs", () => {
  const rows = TIERS.flatMap(({ nightly = {} }) =>
    Object.entries(nightly).map(([file, shownBy]) => `| \`${file}\` | ${shownBy} |`),
  );
  const contributing = readFileSync(join(projectFolder(), "CONTRIBUTING.md"), "utf8");
  expect(contributing).toContain(`\n${rows.join("\n")}\n\n`);
  const named = rows.flatMap((row) => [...row.matchAll(/`(test\/[^`]+)`/g)].map(([, path = ""]) => path));
  expect(named.filter((path) => !existsSync(join(projectFolder(), path)))).toEqual([]);
});
