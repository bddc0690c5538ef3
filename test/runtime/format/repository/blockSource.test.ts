import { describe, expect, it } from "vitest";
import { findBlockSource } from "../../../../runtime/format/repository/blockSource";
import { type ManifestFile, parseManifest } from "../../../../runtime/format/repository/manifest";
import { vectorText } from "../vectors";

describe("the location of a block incremental file", () => {
  const manifest = parseManifest(vectorText("v2.60/block-lz4/incr.manifest.gz"), "manifest");
  const row = (name: string): ManifestFile => {
    const file = manifest.files.find((each) => each.name === name);
    if (file === undefined) throw new Error(`no row ${name}`);
    return file;
  };

  it("follows from its row: map at the end of the extent", () => {
    expect(findBlockSource("demo", manifest, row("pg_data/base/5/16385"))).toMatchObject({
      mapPath: "backup/demo/20261120-070517F_20261120-070627I/bundle/1",
      mapOffsetBytes: 254 + 62_821 - 1416,
      mapSizeBytes: 1416,
      references: ["20261120-070517F", "20261120-070517F_20261120-070555D", "20261120-070517F_20261120-070627I"],
    });
  });

  it("is the backup that the row refers to, or a separate file", () => {
    const file = { ...row("pg_data/base/5/16385"), reference: "20261120-070517F" };
    const { bundle: _, ...unbundled } = file;
    expect(findBlockSource("demo", manifest, file)?.mapPath).toBe("backup/demo/20261120-070517F/bundle/1");
    expect(findBlockSource("demo", manifest, unbundled)).toMatchObject({
      mapPath: "backup/demo/20261120-070517F/pg_data/base/5/16385.pgbi",
      mapOffsetBytes: 62_821 - 1416,
    });
  });

  it("is null for a file that is stored whole", () => {
    expect(findBlockSource("demo", manifest, row("pg_data/PG_VERSION"))).toBeNull();
    expect(
      findBlockSource("demo", manifest, {
        ...row("pg_data/base/5/16385"),
        block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 0 },
      }),
    ).toBeNull();
  });
});
