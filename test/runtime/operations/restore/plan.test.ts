import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Manifest, type ManifestFile, parseManifest } from "../../../../runtime/format/manifest";
import { CONTROL_FILE, planLayout, type RemapOptions, restoreOrder, sourceOf, storedAt } from "../../../../runtime/operations/restore/plan";
import { vectorText } from "../../format/vectors";

const GOLDEN = parseManifest(vectorText("v2.45/plain/incr.backup.manifest"), "golden");
const PGDATA = "/restored/data";
const OPTIONS: RemapOptions = { dataDirectory: PGDATA, tablespaceMap: {}, tablespaceMapAll: undefined, linkMap: {}, linkAll: false };
const LINKED: Manifest = {
  ...GOLDEN,
  targets: [
    ...GOLDEN.targets,
    { name: "pg_data/log", type: "link", path: "/var/log/pg" },
    { name: "pg_data/postgresql.conf", type: "link", path: "/etc/pg", file: "main.conf" },
    { name: "pg_data/pg_wal", type: "link", path: "/fast/wal" },
  ],
};

describe("the layout of a restore", () => {
  it("puts everything where it was, but for the data directory", () => {
    const layout = planLayout(GOLDEN, OPTIONS);
    expect(layout.roots).toEqual([PGDATA, "/var/lib/pgbr-vec/pg/ts1"]);
    expect(layout.links).toEqual([{ path: `${PGDATA}/pg_tblspc/16384`, destination: "/var/lib/pgbr-vec/pg/ts1" }]);
    expect(layout.locate("pg_data")).toBe(PGDATA);
    expect(layout.locate("pg_data/base/1/1259")).toBe(`${PGDATA}/base/1/1259`);
    expect(layout.locate("pg_tblspc/16384/PG_15_202209061/5/16400")).toBe("/var/lib/pgbr-vec/pg/ts1/PG_15_202209061/5/16400");
    expect(() => layout.locate("pg_tblspc/99999/x")).toThrow(expect.objectContaining({ kind: "format" }));
    expect(() => layout.locate("pg_database")).toThrow(expect.objectContaining({ kind: "format" }));
  });

  it.each([
    [{ tablespaceMap: { ts1: "/new/ts" } }, "/new/ts"],
    [{ tablespaceMap: { "16384": "/new/by-oid" } }, "/new/by-oid"],
    [{ tablespaceMapAll: "/all" }, "/all/ts1"],
    [{ tablespaceMap: { ts1: "/new/ts" }, tablespaceMapAll: "/all" }, "/new/ts"],
  ])("maps tablespaces: %o", (more, destination) => {
    const layout = planLayout(GOLDEN, { ...OPTIONS, ...more });
    expect(layout.links).toEqual([{ path: `${PGDATA}/pg_tblspc/16384`, destination }]);
    expect(layout.roots).toEqual([PGDATA, destination]);
    expect(layout.locate("pg_tblspc/16384")).toBe(destination);
  });

  it("brings other links back as plain directories and files, and says so", () => {
    const layout = planLayout(LINKED, OPTIONS);
    expect(layout.links).toHaveLength(1);
    expect(layout.warnings).toEqual([
      "contents of directory link 'log' will be restored as a directory at the same location",
      "contents of file link 'postgresql.conf' will be restored as a file at the same location",
      "contents of directory link 'pg_wal' will be restored as a directory at the same location",
    ]);
    expect(layout.locate("pg_data/pg_wal/summaries/x")).toBe(`${PGDATA}/pg_wal/summaries/x`);
  });

  it("keeps them with --link-all, or where --link-map says", () => {
    const all = planLayout(LINKED, { ...OPTIONS, linkAll: true });
    expect(all.links.slice(1)).toEqual([
      { path: `${PGDATA}/log`, destination: "/var/log/pg" },
      { path: `${PGDATA}/postgresql.conf`, destination: "/etc/pg/main.conf" },
      { path: `${PGDATA}/pg_wal`, destination: "/fast/wal" },
    ]);
    expect(all.locate("pg_data/pg_wal/x")).toBe("/fast/wal/x");
    expect(all.locate("pg_data/postgresql.conf")).toBe("/etc/pg/main.conf");
    expect(all.locate("pg_data/pg_walrus")).toBe(`${PGDATA}/pg_walrus`);
    // A file's directory is not the restore's to empty.
    expect(all.roots).toEqual([PGDATA, "/var/lib/pgbr-vec/pg/ts1", "/var/log/pg", "/fast/wal"]);
    const one = planLayout(LINKED, { ...OPTIONS, linkMap: { pg_wal: "/other" } });
    expect(one.links.slice(1)).toEqual([{ path: `${PGDATA}/pg_wal`, destination: "/other" }]);
    expect(one.warnings).toHaveLength(2);
  });

  it("refuses maps that name nothing", () => {
    expect(() => planLayout(GOLDEN, { ...OPTIONS, tablespaceMap: { none: "/x" } })).toThrow(
      expect.objectContaining({ kind: "tablespaceMap", exitCode: 76 }),
    );
    expect(() => planLayout(GOLDEN, { ...OPTIONS, linkMap: { log: "/x" } })).toThrow(expect.objectContaining({ kind: "linkMap", exitCode: 78 }));
  });

  it("gives every row a place of its own", () => {
    const layout = planLayout(LINKED, { ...OPTIONS, linkAll: true });
    const places = GOLDEN.files.map((file) => layout.locate(file.name));
    expect(new Set(places).size).toBe(places.length);
    for (const place of places) expect(layout.roots.some((root) => place.startsWith(`${root}/`)) || place === "/etc/pg/main.conf").toBe(true);
  });
});

describe("the order of files", () => {
  it("is largest first, without pg_control and tablespace_map", () => {
    const order = restoreOrder(GOLDEN.files);
    const names = new Set(order.map((file) => file.name));
    expect([names.has(CONTROL_FILE), names.has("pg_data/tablespace_map"), names.has("pg_data/backup_label")]).toEqual([false, false, true]);
    expect(order).toHaveLength(GOLDEN.files.length - 2);
    fc.assert(fc.property(fc.integer({ min: 1, max: order.length - 1 }), (at) => (order[at - 1]?.sizeBytes ?? 0) >= (order[at]?.sizeBytes ?? 0)));
  });
});

describe("where the bytes of a file are", () => {
  const find = (name: string): ManifestFile => GOLDEN.files.find((file) => file.name === name) as ManifestFile;
  const row: ManifestFile = {
    name: "pg_data/x",
    sizeBytes: 10,
    sizeRepoBytes: 7,
    sha1: "0".repeat(40),
    modifiedAtS: 0,
    mode: 0o600,
    user: null,
    group: null,
  };

  it("is the backup's own directory, or that of an earlier one", () => {
    expect(sourceOf(1, "demo", GOLDEN, find("pg_data/backup_label"))).toEqual({
      repoKey: 1,
      path: `backup/demo/${GOLDEN.label}/pg_data/backup_label`,
      range: null,
      sizeRepoBytes: find("pg_data/backup_label").sizeRepoBytes,
      compressType: "none",
      raw: false,
      cipherPass: null,
    });
    expect(sourceOf(1, "demo", GOLDEN, find("pg_data/PG_VERSION")).path).toBe("backup/demo/20261120-065325F/pg_data/PG_VERSION");
  });

  it("is an extent of a bundle, raw when the backup says so", () => {
    const manifest: Manifest = { ...GOLDEN, bundleRaw: true, cipherPass: "pass", options: { ...GOLDEN.options, compressType: "zst" } };
    expect(sourceOf(2, "demo", manifest, { ...row, bundle: { id: 3, offsetBytes: 100 } })).toEqual({
      repoKey: 2,
      path: `backup/demo/${GOLDEN.label}/bundle/3`,
      range: { offsetBytes: 100, sizeBytes: 7 },
      sizeRepoBytes: 7,
      compressType: "zst",
      raw: true,
      cipherPass: "pass",
    });
    expect(sourceOf(2, "demo", manifest, row)).toMatchObject({ path: `backup/demo/${GOLDEN.label}/pg_data/x.zst`, range: null, raw: false });
  });

  it("of a block incremental is known, but not to be restored (67)", () => {
    const file: ManifestFile = { ...row, block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 40 } };
    expect(storedAt(1, "demo", GOLDEN, file).path).toBe(`backup/demo/${GOLDEN.label}/pg_data/x.pgbi`);
    expect(() => sourceOf(1, "demo", GOLDEN, file)).toThrow(expect.objectContaining({ kind: "featureNotSupported", exitCode: 67 }));
  });
});
