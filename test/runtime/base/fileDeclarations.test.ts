/** The fields of the settings file, beside those of the first release. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FILE_DECLARATIONS, FILE_SINCE } from "../../../runtime/base/fileDeclarations";
import { compareReleases } from "../../../runtime/config/usableFile";
import { projectFolder } from "../../../tools/parts/cache";

const FIRST = "0.1.0";
const vector = join(projectFolder(), "test", "vectors", "settings", `v${FIRST}.json`);
const FIRST_FIELDS = pathsOf(JSON.parse(readFileSync(vector, "utf8")) as Readonly<Record<string, string[]>>);
const DECLARED = pathsOf(
  Object.fromEntries(
    Object.entries(FILE_DECLARATIONS.types)
      .filter(([type]) => !/^(Notify|Report)/.test(type))
      .map(([type, fields]) => [type, Object.keys(fields).map((name) => name.replace(/\?$/, ""))]),
  ),
);

/** As `Type.field`. */
function pathsOf(fields: Readonly<Record<string, readonly string[]>>): readonly string[] {
  return Object.entries(fields).flatMap(([type, names]) => names.map((name) => `${type}.${name}`));
}

test("each field that the first release does not read says by @since which version does", () => {
  const newer = DECLARED.filter((field) => !FIRST_FIELDS.includes(field));
  expect(newer.filter((field) => FILE_SINCE[field] === undefined)).toEqual([]);
  for (const [field, version] of Object.entries(FILE_SINCE))
    expect(compareReleases(version, FIRST), field).toBeGreaterThan(0);
});

test("no field of the first release has gone or counts as newer", () => {
  expect(FIRST_FIELDS.length).toBeGreaterThan(40);
  expect(FIRST_FIELDS.filter((field) => !DECLARED.includes(field) || field in FILE_SINCE)).toEqual([]);
});
