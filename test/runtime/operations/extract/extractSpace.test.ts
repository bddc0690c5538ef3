import { describe, expect, it } from "vitest";
import { type Manifest, type ManifestFile, parseManifest } from "../../../../runtime/format/repository/manifest";
import { requireProductionSpace, requireSpace, sideBytes } from "../../../../runtime/operations/extract/extractSpace";
import { errorOf, vectorText } from "../../format/vectors";
import { temporaryFolder } from "../../repository/support";

const GOLDEN = parseManifest(vectorText("v2.45/plain/incr.backup.manifest"), "golden");
const MIB = 1024 * 1024;
const HUGE = 2 ** 60;

function manifest(files: Readonly<Record<string, number>>): Manifest {
  const row = GOLDEN.files.at(0) as ManifestFile;
  return {
    ...GOLDEN,
    paths: ["5", "16385", "16386"].map((id) => ({ name: `pg_data/base/${id}`, mode: 0o700, user: null, group: null })),
    databases: [
      { name: "postgres", id: 5, lastSystemId: 4 },
      { name: "shop", id: 16385, lastSystemId: 4 },
      { name: "other", id: 16386, lastSystemId: 4 },
    ],
    files: Object.entries(files).map(([name, sizeBytes]) => ({ ...row, name, sizeBytes })),
  };
}

describe("space for a restored table", () => {
  // claim: docs/extract-table.md: space is checked first
  it("other databases are holes and need none, shared files and the database's own do", () => {
    const made = manifest({
      "pg_data/global/1262": 10 * MIB,
      "pg_data/base/5/1259": 20 * MIB,
      "pg_data/base/16385/16400": 300 * MIB,
      "pg_data/base/16386/16400": 5000 * MIB,
      "pg_tblspc/16384/PG_15_202209061/16386/16500": 7000 * MIB,
    });
    expect(sideBytes(made, ["shop"])).toBe(Math.ceil(330 * MIB * 1.1) + 256 * MIB);
    expect(sideBytes(made, [])).toBe(Math.ceil(12_330 * MIB * 1.1) + 256 * MIB);
  });

  it("is checked in the nearest existing directory, and reported with both sizes", async () => {
    const folder = temporaryFolder();
    await requireSpace(`${folder}/not/there`, 1, "the dump", "no hint");
    const error = await errorOf("runtime", () => requireSpace(folder, HUGE, "the dump", "name another."));
    expect(error.message).toMatch(/^'.*' has .* free, the dump needs /);
    expect(error.hints).toEqual(["name another."]);
  });

  it("of production is for the table and its WAL", async () => {
    const folder = temporaryFolder();
    await requireProductionSpace(folder, 1);
    await errorOf("runtime", () => requireProductionSpace(folder, HUGE / 2));
  });
});
