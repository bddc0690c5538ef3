import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  FileRows,
  filesWhere,
  inOrder,
  nameAt,
  sortedBy,
  sortedByName,
  sortedViews,
  viewsOf,
} from "../../../../runtime/format/repository/fileRows";
import { NameIndex } from "../../../../runtime/format/repository/nameIndex";
import { compareBytes } from "../../../../runtime/base/bytes";
import type { FileView, ManifestFile } from "../../../../runtime/format/repository/manifest";
import { errorOf } from "../vectors";

const NAMES = ["16384", "16384_fsm", "PG_VERSION", "", "é", "\udcff", "x".repeat(255), "x".repeat(256)];
const KEYS = [
  ...(["name", "sizeBytes", "sizeOriginalBytes", "sizeRepoBytes", "sha1", "sha1Repo", "modifiedAtS", "mode"] as const),
  ...(["user", "group", "reference", "bundle", "block", "checksumPage", "pageErrors"] as const),
];
const PLAIN = { sizeBytes: 0, sizeRepoBytes: 0, sha1: "", modifiedAtS: 0, mode: 0, user: null, group: null };
/** Also those beyond what a record holds. */
const amount = fc.constantFrom(0, 1, 8192, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40);
const owner = fc.constantFrom(null, "postgres", "é");
const sha1 = fc.constantFrom("", "0123456789abcdef0123456789abcdef01234567", "f".repeat(40), "F".repeat(40), "f");
const row: fc.Arbitrary<ManifestFile> = fc
  .record(
    {
      name: fc
        .tuple(fc.constantFrom("", "pg_data/", "pg_data/base/5/", "é/"), fc.constantFrom(...NAMES))
        .map((parts) => parts.join("")),
      sizeBytes: amount,
      sizeRepoBytes: amount,
      sha1,
      modifiedAtS: fc.constantFrom(-1, 0, 1_795_157_752, 2 ** 33),
      mode: fc.constantFrom(0o600, 0o7777),
      user: owner,
      group: owner,
      sizeOriginalBytes: amount,
      sha1Repo: fc.constantFrom("0123456789abcdef0123456789abcdef01234567"),
      reference: fc.constantFrom("20261120-065325F", "20261120-065325F_20261120-065508D"),
      bundle: fc.record({ id: fc.constantFrom(1, 2 ** 32), offsetBytes: amount }, { noNullPrototype: true }),
      block: fc.record(
        { sizeBytes: amount, checksumSizeBytes: fc.constant(6), mapSizeBytes: amount },
        { noNullPrototype: true },
      ),
      checksumPage: fc.boolean(),
      pageErrors: fc.constantFrom([1], [[2, 3] as const]),
    },
    {
      requiredKeys: ["name", "sizeBytes", "sizeRepoBytes", "sha1", "modifiedAtS", "mode", "user", "group"],
      noNullPrototype: true,
    },
  )
  .map((made) => made as ManifestFile);
const rows = fc.array(row, { maxLength: 60 });

function stored(files: Iterable<ManifestFile>): FileRows {
  const made = new FileRows();
  for (const file of files) made.add(file);
  return made;
}

describe("rows in records", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(rows, (files) => {
        const made = stored(files);
        expect([...made]).toStrictEqual(files);
        expect(files.map((_, index) => nameAt(made, index))).toEqual(files.map(({ name }) => name));
        expect(made.at(files.length)).toBeUndefined();
        const values = (of: FileView): unknown[] => KEYS.map((key) => of[key]);
        for (const list of [made, files]) expect(Array.from(viewsOf(list), values)).toEqual(files.map(values));
        const names = Array.from(sortedViews(made), ({ name }) => name);
        expect(names).toEqual(files.map(({ name }) => name).toSorted(compareBytes));
      }),
    );
  });

  it("come back with an empty last part of their names", () => {
    const names = ["/", "pg_data/"];
    expect(Array.from(stored(names.map((name) => ({ ...PLAIN, name }))), ({ name }) => name)).toEqual(names);
  });

  it("of many chunks come back too", () => {
    const files = Array.from({ length: 20_000 }, (_, no): ManifestFile => {
      const name = `pg_data/base/${no % 3}/${no}`;
      return { ...PLAIN, name, sizeBytes: no, sizeRepoBytes: no, modifiedAtS: no };
    });
    expect([...stored(files)]).toStrictEqual(files);
  });

  it("are replaced by others of the same name, whatever their form", () => {
    fc.assert(
      fc.property(rows, row, fc.nat(), (files, other, pick) => {
        fc.pre(files.length > 0);
        const index = pick % files.length;
        const replaced = { ...other, name: (files[index] as ManifestFile).name };
        const made = stored(files);
        made.replace(index, replaced);
        expect([...made]).toStrictEqual(files.with(index, replaced));
        made.replace(index, files[index] as ManifestFile);
        expect([...made]).toStrictEqual(files);
      }),
    );
  });

  it("of several lists share what they have in common, and keep what differs", () => {
    const other = fc.tuple(fc.nat(), row);
    fc.assert(
      fc.property(rows, fc.array(other, { maxLength: 8 }), fc.array(row, { maxLength: 3 }), (files, others, more) => {
        const base = FileRows.of(files);
        const lists = [new FileRows(base), new FileRows(base)] as const;
        for (const list of lists) for (const file of [...files, ...more]) list.add(file);
        const expected = [...files, ...more];
        for (const [pick, made] of files.length === 0 ? [] : others) {
          const index = pick % files.length;
          expected[index] = { ...made, name: (files[index] as ManifestFile).name };
          lists[0].replace(index, expected[index]);
        }
        expect([...lists[0]]).toStrictEqual(expected);
        expect([...lists[1]]).toStrictEqual([...files, ...more]);
        expect([...base]).toStrictEqual(files);
      }),
    );
  });

  it("are selected and ordered by position, as those of an array", () => {
    fc.assert(
      fc.property(rows, (files) => {
        const isOwn = ({ reference }: FileView): boolean => reference === undefined;
        for (const list of [stored(files), files])
          expect([...filesWhere(list, isOwn)]).toStrictEqual(files.filter(isOwn));
        const order = Uint32Array.from(files.keys()).reverse();
        expect([...inOrder(stored(files), order)]).toStrictEqual(files.toReversed());
        const size = ({ sizeBytes }: FileView): number => sizeBytes;
        for (const list of [stored(files), files])
          expect([...sortedBy(list, size)]).toStrictEqual(files.toSorted((left, right) => size(left) - size(right)));
        for (const list of [stored(files), files, stored(files.toSorted((l, r) => compareBytes(l.name, r.name)))])
          expect(Array.from(sortedByName(list), ({ name }) => name)).toEqual(
            files.map(({ name }) => name).toSorted(compareBytes),
          );
      }),
    );
  });

  it("take from the defaults what they lack", () => {
    const plain = { sizeBytes: 1, sizeRepoBytes: 1, sha1: "", modifiedAtS: 1 };
    const made = new FileRows();
    made.add({ ...plain, name: "pg_data/a", mode: undefined, user: undefined, group: "own" });
    made.add({ ...plain, name: "pg_data/é", mode: 0o640, user: undefined, group: undefined });
    const last = made.addDeferred();
    made.put(last, { ...plain, name: "pg_data/z", mode: 0o600, user: null, group: null });
    made.complete({ mode: 0o600, user: null, group: "postgres" }, "m");
    expect(made.map(({ mode, user, group }) => [mode, user, group])).toEqual([
      [0o600, null, "own"],
      [0o640, null, "postgres"],
      [0o600, null, null],
    ]);
  });

  it("name the first one that lacks something", async () => {
    const made = new FileRows();
    for (const name of ["pg_data/a", "pg_data/b"])
      made.add({
        name,
        sizeBytes: 1,
        sizeRepoBytes: 1,
        sha1: "",
        modifiedAtS: 1,
        mode: 0o600,
        user: name === "pg_data/a" ? "postgres" : undefined,
        group: null,
      });
    expect((await errorOf("format", () => made.complete({}, "m"))).message).toBe(
      "'m': file 'pg_data/b': no owner in the row nor in the defaults",
    );
  });
});

it("names are found in any order", () => {
  const unique = fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 200 });
  fc.assert(
    fc.property(
      unique,
      fc.array(fc.string({ maxLength: 3 })),
      fc.array(fc.nat()),
      fc.boolean(),
      (some, others, picks, isSorted) => {
        const names = isSorted ? some.toSorted(compareBytes) : some;
        const index = new NameIndex(names.length, (at) => names[at] as string, isSorted);
        const asked = picks.flatMap((pick) => names[pick % names.length] ?? []);
        for (const name of [...names, ...asked, ...others, ...names])
          expect(index.find(name)).toBe(names.indexOf(name));
      },
    ),
  );
});
