import * as fc from "../../../harness/properties";
import { expect, it } from "vitest";
import { compareBytes } from "../../../../runtime/base/bytes";
import type { ManifestFile } from "../../../../runtime/format/repository/manifest";
import { type Choice, PlannedFiles, uncopied } from "../../../../runtime/operations/backup/plannedFiles";
import type { ScannedFile } from "../../../../runtime/postgres/dataDirectory";

const NAMES = ["a", "b", "c", "d", "e", "é", "\udcff"].map((base) => `pg_data/${base}`);

function scanned(name: string): ManifestFile {
  return uncopied({ name, sizeBytes: 8192, modifiedAtS: 1, mode: 0o600, user: null, group: null });
}

function row(name: string, sizeRepoBytes: number): ManifestFile {
  return { ...scanned(name), sizeRepoBytes, sha1: "a".repeat(40) };
}

it("lists what is stored, else what is kept, else what is to be copied, with more rows and without vanished files", () => {
  const some = fc.subarray(NAMES).map((names) => names.toSorted(compareBytes));
  fc.assert(
    fc.property(some, some, some, some, some, (names, kept, stored, gone, added) => {
      const choiceOf = ({ name }: ScannedFile): Choice | null =>
        kept.includes(name) ? { kind: "keep", row: row(name, 1) } : null;
      const files = new PlannedFiles(names.map(scanned), choiceOf);
      const expected = new Map(names.map((name) => [name, choiceOf(scanned(name))?.row ?? scanned(name)]));
      expect([...files.list(new Set())]).toStrictEqual([...expected.values()]);
      for (const name of stored.filter((each) => names.includes(each))) {
        files.store(name, row(name, 2));
        expected.set(name, row(name, 2));
      }
      for (const name of names) expect(files.kindOf(name)).toBe(kept.includes(name) ? "keep" : undefined);
      for (const name of gone) expected.delete(name);
      for (const name of added) expected.set(name, row(name, 3));
      expect([
        ...files.list(
          new Set(gone),
          added.toReversed().map((name) => row(name, 3)),
        ),
      ]).toStrictEqual([...expected.values()].toSorted((left, right) => compareBytes(left.name, right.name)));
    }),
  );
});
