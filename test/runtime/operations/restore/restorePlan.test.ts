import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { type Manifest, type ManifestFile, parseManifest } from "../../../../runtime/format/repository/manifest";
import {
  CONTROL_FILE,
  planLayout,
  type RemapOptions,
  type RestoreLayout,
  BATCH_FILE_SIZE_BYTES_MAX,
  restoreOrder,
  sourceOf,
  storedAt,
} from "../../../../runtime/operations/restore/restorePlan";
import { vectorText } from "../../format/vectors";

const GOLDEN = parseManifest(vectorText("v2.45/plain/incr.backup.manifest"), "golden");
const PGDATA = "/restored/data";
const OPTIONS: RemapOptions = {
  dataDirectory: PGDATA,
  tablespaceMap: {},
  tablespaceMapAll: undefined,
  linkMap: {},
  linkAll: false,
};
const LINKED: Manifest = {
  ...GOLDEN,
  targets: [
    ...GOLDEN.targets,
    { name: "pg_data/log", type: "link", path: "/var/log/pg" },
    { name: "pg_data/postgresql.conf", type: "link", path: "/etc/postgresql/pg", file: "main.conf" },
    { name: "pg_data/pg_wal", type: "link", path: "/fast/wal" },
  ],
};

const placed = (layout: RestoreLayout): [string, string][] => layout.links.map((link) => [link.path, link.destination]);
const TABLESPACE = "/var/lib/pgbr-vec/pg/ts1";
const OWN = "PG_15_202209061";

describe("the layout of a restore", () => {
  it("restores everything in place except the data directory", () => {
    const layout = planLayout(GOLDEN, OPTIONS);
    // In a tablespace the restore may only empty the directory of this PostgreSQL version.
    expect(layout.roots).toEqual([PGDATA, `${TABLESPACE}/${OWN}`]);
    expect(layout.links).toMatchObject([
      {
        path: `${PGDATA}/pg_tblspc/16384`,
        destination: TABLESPACE,
        isFile: false,
        isMapped: false,
        user: "postgres",
        group: "postgres",
      },
    ]);
    expect(layout.notes).toEqual([`remap data directory to '${PGDATA}'`]);
    expect(layout.locate("pg_data")).toBe(PGDATA);
    expect(layout.locate("pg_data/base/1/1259")).toBe(`${PGDATA}/base/1/1259`);
    expect(layout.locate("pg_tblspc/16384/PG_15_202209061/5/16400")).toBe(`${TABLESPACE}/${OWN}/5/16400`);
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
    expect(placed(layout)).toEqual([[`${PGDATA}/pg_tblspc/16384`, destination]]);
    expect(layout.roots).toEqual([PGDATA, `${destination}/${OWN}`]);
    expect(layout.notes[1]).toBe(`map tablespace 'pg_tblspc/16384' to '${destination}'`);
    expect(layout.locate("pg_tblspc/16384")).toBe(destination);
  });

  it("restores other links as plain directories and files, and says so", () => {
    const layout = planLayout(LINKED, OPTIONS);
    expect(layout.links).toHaveLength(1);
    expect(layout.warnings).toEqual([
      "contents of directory link 'log' will be restored in a directory at the same location",
      "file link 'postgresql.conf' will be restored as a file at the same location",
      "contents of directory link 'pg_wal' will be restored in a directory at the same location",
    ]);
    expect(layout.locate("pg_data/pg_wal/summaries/x")).toBe(`${PGDATA}/pg_wal/summaries/x`);
  });

  it("keeps them with --link-all, or with --link-map", () => {
    const all = planLayout(LINKED, { ...OPTIONS, linkAll: true });
    expect(placed(all).slice(1)).toEqual([
      [`${PGDATA}/log`, "/var/log/pg"],
      [`${PGDATA}/postgresql.conf`, "/etc/postgresql/pg/main.conf"],
      [`${PGDATA}/pg_wal`, "/fast/wal"],
    ]);
    expect(all.locate("pg_data/pg_wal/x")).toBe("/fast/wal/x");
    expect(all.locate("pg_data/postgresql.conf")).toBe("/etc/postgresql/pg/main.conf");
    expect(all.locate("pg_data/pg_walrus")).toBe(`${PGDATA}/pg_walrus`);
    // The restore may not empty the directory of a linked file.
    expect(all.roots).toEqual([PGDATA, `${TABLESPACE}/${OWN}`, "/var/log/pg", "/fast/wal"]);
    const one = planLayout(LINKED, {
      ...OPTIONS,
      linkMap: { pg_wal: "/other", "postgresql.conf": "/etc/new/pg.conf" },
    });
    expect(placed(one).slice(1)).toEqual([
      [`${PGDATA}/postgresql.conf`, "/etc/new/pg.conf"],
      [`${PGDATA}/pg_wal`, "/other"],
    ]);
    expect(one.locate("pg_data/postgresql.conf")).toBe("/etc/new/pg.conf");
    expect(one.warnings).toHaveLength(1);
  });

  it("turns a plain entry into a link, and follows a relative one", () => {
    const layout = planLayout(GOLDEN, {
      ...OPTIONS,
      linkMap: { pg_wal: "../wal", "pg_hba.conf": "/etc/postgresql/pg/hba.conf" },
    });
    expect(placed(layout).slice(1)).toEqual([
      [`${PGDATA}/pg_wal`, "../wal"],
      [`${PGDATA}/pg_hba.conf`, "/etc/postgresql/pg/hba.conf"],
    ]);
    expect(layout.locate("pg_data/pg_wal/archive_status")).toBe("/restored/wal/archive_status");
    expect(layout.roots.at(-1)).toBe("/restored/wal");
    expect(layout.locate("pg_data/pg_hba.conf")).toBe("/etc/postgresql/pg/hba.conf");
    expect(layout.notes.slice(1)).toEqual([
      "link 'pg_wal' to '../wal'",
      "link 'pg_hba.conf' to '/etc/postgresql/pg/hba.conf'",
    ]);
  });

  it.each([
    [{ tablespaceMap: { none: "/x" } }, "tablespaceMap", "unable to remap invalid tablespace 'none'"],
    [
      { tablespaceMap: { ts1: "/x", "16384": "/y" } },
      "tablespaceMap",
      "tablespace remapped by name 'ts1' and id 16384 with different paths",
    ],
    [{ linkMap: { nothing: "/x" } }, "linkMap", "unable to map link 'nothing'"],
    [
      { linkMap: { "postgresql.conf": "name" } },
      "linkMap",
      "'name' is not long enough to be the destination for file link 'postgresql.conf'",
    ],
    [
      { linkMap: { log: `${PGDATA}/inside` } },
      "linkDestination",
      `link 'log' destination '${PGDATA}/inside' is in PGDATA`,
    ],
    [
      { tablespaceMap: { ts1: PGDATA } },
      "linkDestination",
      `link 'pg_tblspc/16384' destination '${PGDATA}' is in PGDATA`,
    ],
    [{ linkMap: { log: "/restored" } }, "linkDestination", "link 'log' destination '/restored' is above PGDATA"],
    [{ linkMap: { log: "/" } }, "linkDestination", "link 'log' destination '/' is above PGDATA"],
    [{ tablespaceMap: { ts1: "/" } }, "linkDestination", "link 'pg_tblspc/16384' destination '/' is above PGDATA"],
    [
      { linkMap: { log: "/a/b", pg_wal: "/a" } },
      "linkDestination",
      "link 'log' (/a/b) destination is a subdirectory of link 'pg_wal' (/a)",
    ],
    [
      { linkMap: { log: "/a", pg_wal: "/a" } },
      "linkDestination",
      "link 'pg_wal' (/a) destination is the same directory as link 'log' (/a)",
    ],
  ])("refuses %o", (more, kind, message) => {
    expect(() => planLayout(LINKED, { ...OPTIONS, ...more })).toThrow(expect.objectContaining({ kind, message }));
  });

  it.each([
    "/",
    "/etc/cron.d",
    "/var/spool/cron/crontabs",
    "/home",
    "/usr",
    "/tmp/../root/x",
    "/run/systemd/system",
    "/dev/shm",
    "/dev/shm/../x",
  ])("does not follow the manifest to %s, unless the user names it", (location) => {
    const tablespace = {
      name: "pg_tblspc/16384",
      type: "link",
      path: location,
      tablespaceId: "16384",
      tablespaceName: "ts1",
    } as const;
    const moved: Manifest = { ...GOLDEN, targets: [GOLDEN.targets[0] as Manifest["targets"][0], tablespace] };
    const refused = expect.objectContaining({
      kind: "linkDestination",
      message: expect.stringContaining("a directory of the system"),
    });
    expect(() => planLayout(moved, OPTIONS)).toThrow(refused);
    expect(planLayout(moved, { ...OPTIONS, tablespaceMap: { ts1: "/new" } }).links[0]?.destination).toBe("/new");
    const linked: Manifest = {
      ...GOLDEN,
      targets: [...GOLDEN.targets, { name: "pg_data/log", type: "link", path: location }],
    };
    expect(() => planLayout(linked, { ...OPTIONS, linkAll: true })).toThrow(refused);
    expect(planLayout(linked, OPTIONS).links).toHaveLength(1);
    if (location !== "/")
      expect(planLayout(linked, { ...OPTIONS, linkMap: { log: location } }).links[1]?.destination).toBe(location);
  });

  it("follows it into shared memory that is open to all, as into /tmp", () => {
    const tablespace = {
      name: "pg_tblspc/16384",
      type: "link",
      path: "/dev/shm/pg/ts1",
      tablespaceId: "16384",
      tablespaceName: "ts1",
    } as const;
    const layout = planLayout(
      { ...GOLDEN, targets: [GOLDEN.targets[0] as Manifest["targets"][0], tablespace] },
      OPTIONS,
    );
    expect(layout.links[0]?.destination).toBe("/dev/shm/pg/ts1");
  });

  it("does not mistake a tablespace or link for a property of every object, nor leave the directory for all", () => {
    const named = (tablespaceName: string): Manifest => ({
      ...GOLDEN,
      targets: [{ name: "pg_tblspc/16384", type: "link", path: TABLESPACE, tablespaceId: "16384", tablespaceName }],
    });
    expect(placed(planLayout(named("constructor"), OPTIONS))).toEqual([[`${PGDATA}/pg_tblspc/16384`, TABLESPACE]]);
    for (const name of ["..", ".", "", "../../etc", "a/b"]) {
      expect(() => planLayout(named(name), { ...OPTIONS, tablespaceMapAll: "/all" })).toThrow(
        expect.objectContaining({ kind: "tablespaceMap" }),
      );
      expect(
        placed(
          planLayout(named(name), { ...OPTIONS, tablespaceMapAll: "/all", tablespaceMap: { "16384": "/own" } }),
        )[0]?.[1],
      ).toBe("/own");
    }
    const linked: Manifest = { ...GOLDEN, targets: [{ name: "pg_data/toString", type: "link", path: "/logs" }] };
    expect(planLayout(linked, OPTIONS).links).toEqual([]);
  });

  it("restores a link inside a tablespace as its target's content", () => {
    const name = `pg_tblspc/16384/${OWN}/5/1`;
    const layout = planLayout(
      { ...GOLDEN, targets: [...GOLDEN.targets, { name, type: "link", path: "/x", file: "y" }] },
      { ...OPTIONS, linkAll: true },
    );
    expect(layout.links).toHaveLength(1);
    expect(layout.warnings).toEqual([`link '${name}' in a tablespace will be restored as a file at the same location`]);
    expect(layout.locate(name)).toBe(`${TABLESPACE}/${OWN}/5/1`);
  });

  it("gives every row its own location", () => {
    const layout = planLayout(LINKED, { ...OPTIONS, linkAll: true });
    const locations = GOLDEN.files.map((file) => layout.locate(file.name));
    expect(new Set(locations).size).toBe(locations.length);
    for (const location of locations)
      expect(
        layout.roots.some((root) => location.startsWith(`${root}/`)) || location === "/etc/postgresql/pg/main.conf",
      ).toBe(true);
  });
});

describe("the order of files", () => {
  const wanted = GOLDEN.files.filter((file) => file.name !== CONTROL_FILE && file.name !== "pg_data/tablespace_map");
  const row = wanted[0] as ManifestFile;

  it("has each of them once, without pg_control and tablespace_map", () => {
    const { single, batches, sizeBytes } = restoreOrder(GOLDEN);
    expect(sizeBytes).toBe(wanted.reduce((sum, file) => sum + file.sizeBytes, 0));
    const names = [...single, ...[...batches].flat()].map((file) => file.name);
    expect(names.toSorted()).toEqual(wanted.map((file) => file.name).toSorted());
  });

  it("is largest first, except small ones, which follow the repository's order in bounded batches", () => {
    const files = fc.array(
      fc.record({
        sizeBytes: fc.oneof(fc.nat(BATCH_FILE_SIZE_BYTES_MAX), fc.nat(2 ** 31)),
        id: fc.nat(3),
        offsetBytes: fc.nat(),
        old: fc.boolean(),
      }),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(files, (facts) => {
        const rows = facts.map(({ sizeBytes, id, offsetBytes, old }, index): ManifestFile => {
          const { reference: _, bundle: __, ...plain } = row;
          const bundle = id === 0 ? {} : { bundle: { id, offsetBytes } };
          return {
            ...plain,
            name: `pg_data/${index}`,
            sizeBytes,
            ...bundle,
            ...(old ? { reference: "20200101-000000F" } : {}),
          };
        });
        const order = restoreOrder({ label: GOLDEN.label, files: rows });
        const { single } = order;
        const batches = [...order.batches];
        expect([...single, ...batches.flat()].map((file) => file.name).toSorted()).toEqual(
          rows.map((file) => file.name).toSorted(),
        );
        const sizes = single.map((file) => file.sizeBytes);
        expect(sizes).toEqual(sizes.toSorted((left, right) => right - left));
        expect(sizes.every((sizeBytes) => sizeBytes > BATCH_FILE_SIZE_BYTES_MAX)).toBe(true);
        const locations = batches
          .flat()
          .map(
            (file) => [file.reference ?? GOLDEN.label, file.bundle?.id ?? 0, file.bundle?.offsetBytes ?? 0] as const,
          );
        for (const [index, [label, id, offsetBytes]] of locations.entries()) {
          const [labelBefore, idBefore, offsetBefore] = locations[index - 1] ?? ["", 0, 0];
          if (label === labelBefore)
            expect(id > idBefore || (id === idBefore && offsetBytes >= offsetBefore)).toBe(true);
          else expect(label > labelBefore).toBe(true);
        }
        for (const batch of batches) {
          expect(batch.length).toBeLessThanOrEqual(64);
          expect(batch.reduce((sum, file) => sum + file.sizeBytes, 0)).toBeLessThanOrEqual(1024 * 1024);
        }
      }),
    );
  });
});

describe("the location of a file's bytes", () => {
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

  it("is the backup's own directory, or an earlier one's", () => {
    expect(sourceOf(1, "demo", GOLDEN, find("pg_data/backup_label"))).toEqual({
      repoIndex: 1,
      path: `backup/demo/${GOLDEN.label}/pg_data/backup_label`,
      range: null,
      sizeRepoBytes: find("pg_data/backup_label").sizeRepoBytes,
      compressType: "none",
      raw: false,
      cipherPass: null,
    });
    expect(sourceOf(1, "demo", GOLDEN, find("pg_data/PG_VERSION")).path).toBe(
      "backup/demo/20261120-065325F/pg_data/PG_VERSION",
    );
  });

  it("is an extent of a bundle, raw if the backup says so", () => {
    const manifest: Manifest = {
      ...GOLDEN,
      bundleRaw: true,
      cipherPass: "pass",
      options: { ...GOLDEN.options, compressType: "zst" },
    };
    expect(sourceOf(2, "demo", manifest, { ...row, bundle: { id: 3, offsetBytes: 100 } })).toEqual({
      repoIndex: 2,
      path: `backup/demo/${GOLDEN.label}/bundle/3`,
      range: { offsetBytes: 100, sizeBytes: 7 },
      sizeRepoBytes: 7,
      compressType: "zst",
      raw: true,
      cipherPass: "pass",
    });
    expect(sourceOf(2, "demo", manifest, row)).toMatchObject({
      path: `backup/demo/${GOLDEN.label}/pg_data/x.zst`,
      range: null,
      raw: false,
    });
  });

  it("of a block incremental is its blocks: the row locates the map", () => {
    const file: ManifestFile = {
      ...row,
      sizeRepoBytes: 100,
      block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 40 },
    };
    const source = sourceOf(1, "demo", GOLDEN, file);
    expect(source).toMatchObject({
      path: `backup/demo/${GOLDEN.label}/pg_data/x.pgbi`,
      block: { mapOffsetBytes: 60, mapSizeBytes: 40 },
    });
    expect(storedAt(1, "demo", GOLDEN, file)).not.toHaveProperty("block");
    expect(sourceOf(1, "demo", GOLDEN, row)).not.toHaveProperty("block");
  });
});
