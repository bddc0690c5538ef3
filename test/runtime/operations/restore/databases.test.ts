import { describe, expect, it } from "vitest";
import { type Manifest, parseManifest } from "../../../../runtime/format/repository/manifest";
import { selectDatabases } from "../../../../runtime/operations/restore/databases";
import { vectorText } from "../../format/vectors";

const GOLDEN = parseManifest(vectorText("v2.45/plain/incr.backup.manifest"), "golden");
const paths = ["1", "4", "5", "16385", "16386", "20000"]
  .map((id) => `pg_data/base/${id}`)
  .concat("pg_tblspc/16384/PG_15_202209061/16385");
const MANIFEST: Manifest = {
  ...GOLDEN,
  paths: ["pg_data", ...paths].map((name) => ({ name, mode: 0o700, user: null, group: null })),
  databases: [
    { name: "postgres", id: 20000, lastSystemId: 4 },
    { name: "template0", id: 4, lastSystemId: 4 },
    { name: "template1", id: 1, lastSystemId: 4 },
    { name: "shop", id: 16385, lastSystemId: 4 },
    { name: "other", id: 16386, lastSystemId: 4 },
  ],
};
/** OIDs of the databases whose relations are restored as holes. */
const zeroed = (include: readonly string[], exclude: readonly string[]): string[] => {
  const { isZeroed } = selectDatabases(MANIFEST, include, exclude);
  return ["1", "4", "5", "16385", "16386", "20000"].filter((id) => isZeroed(`pg_data/base/${id}/1259`));
};

describe("a selective restore", () => {
  it.each([
    [[], [], []],
    [["shop"], [], ["16386"]],
    [["16385"], [], ["16386"]],
    [["shop", "other"], [], []],
    [[], ["shop"], ["16385"]],
    [["shop"], ["other"], ["16386"]],
    // An include list never drops system databases, even one recreated with a user OID. An exclude list may.
    [[], ["postgres", "1"], ["1", "20000"]],
  ])("with include %j and exclude %j leaves out %j", (include, exclude, expected) => {
    expect(zeroed(include, exclude)).toEqual(expected);
  });

  it("excludes all files of a database except its PG_VERSION", () => {
    const { isZeroed, notes } = selectDatabases(MANIFEST, [], ["shop"]);
    expect(isZeroed("pg_data/base/16385/PG_VERSION")).toBe(false);
    expect(isZeroed("pg_tblspc/16384/PG_15_202209061/16385/2619_fsm")).toBe(true);
    expect(isZeroed("pg_tblspc/16385/PG_15_202209061/5/16385")).toBe(false);
    expect(isZeroed("pg_data/global/16385")).toBe(false);
    expect(notes).toEqual([
      "databases found for selective restore (1, 4, 5, 16385, 16386, 20000)",
      "databases excluded (zeroed) from selective restore (16385)",
    ]);
  });

  it.each([
    [["nope"], [], "dbMissing", "database to include 'nope' does not exist"],
    [[], ["nope"], "dbMissing", "database to exclude 'nope' does not exist"],
    [["postgres"], [], "dbInvalid", "system databases (template0, postgres, etc.) are included by default"],
    [["shop"], ["16385"], "dbInvalid", "database to include '16385' is in the exclude list"],
  ])("with include %j and exclude %j is refused", (include, exclude, kind, message) => {
    expect(() => selectDatabases(MANIFEST, include, exclude)).toThrow(expect.objectContaining({ kind, message }));
  });
});
