import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import * as fs from "node:fs";
import * as fsPromises from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Context } from "../../../runtime/base/context";
import { hasOwnClock } from "../../../runtime/local/nodeFiles";
import type { UserNames } from "../../../runtime/local/users";
import { compareBytes } from "../../../runtime/base/bytes";
import { type Scan, scanDataDirectory, type ScanOptions } from "../../../runtime/postgres/dataDirectory";
import { ManualClock, TEST_TIME_MS, testContext } from "../../harness/context";
import { makeTree, temporaryFolder } from "../repository/support";

vi.mock("node:fs", async (original) => ({ ...(await original<typeof fs>()) }));
vi.mock("node:fs/promises", async (original) => ({ ...(await original<typeof fsPromises>()) }));

const USERS: UserNames = {
  userName: () => "postgres",
  groupName: () => null,
  findUid: () => null,
  findGid: () => null,
};
const CONTENT = "PG_15_202209061";
let folder: string;
let data: string;

beforeEach(() => {
  folder = temporaryFolder();
  data = join(folder, "data");
  makeTree(data, { PG_VERSION: "15\n", "global/1262": "x", "base/1/1259": "x", "pg_tblspc/": "" });
});
afterEach(() => vi.restoreAllMocks());

function scan(more: Partial<ScanOptions> = {}, ctx: Context = testContext()): Promise<Scan> {
  return scanDataDirectory(
    {
      dataDirectory: data,
      version: "15",
      catalogVersion: 202209061,
      online: true,
      exclude: [],
      tablespaces: new Map([[16384, "ts1"]]),
      users: USERS,
      ...more,
    },
    ctx,
  );
}

const fileNames = async (more: Partial<ScanOptions> = {}): Promise<string[]> =>
  (await scan(more)).files.map((file) => file.name.replace("pg_data/", ""));
const BASE = ["PG_VERSION", "base/1/1259", "global/1262"];
const withBase = (...names: string[]): string[] => [...BASE, ...names].sort(compareBytes);

describe("the files of a data directory", () => {
  it("are rows with size, time, mode and owner, in byte order", async () => {
    writeFileSync(join(data, "base/1/1259"), "12345");
    utimesSync(join(data, "base/1/1259"), 1000, 1795157583.9);
    makeTree(data, { "base/1/B": "", "base/1/a": "", "base/1/ä": "", "base/1-": "" });
    const { files, paths, sources, targets, links } = await scan();
    expect(sources.pathOf("pg_data/base/1/1259")).toBe(join(data, "base/1/1259"));
    expect(files.find((file) => file.name === "pg_data/base/1/1259")).toEqual({
      name: "pg_data/base/1/1259",
      sizeBytes: 5,
      sizeRepoBytes: 5,
      sha1: "",
      modifiedAtS: 1795157583,
      mode: expect.any(Number),
      user: "postgres",
      group: null,
    });
    expect(files.map((file) => file.name)).toEqual(files.map((file) => file.name).sort(compareBytes));
    expect(paths.map((path) => path.name)).toEqual([
      "pg_data",
      "pg_data/base",
      "pg_data/base/1",
      "pg_data/global",
      "pg_data/pg_tblspc",
    ]);
    expect(targets).toEqual([{ name: "pg_data", type: "path", path: data }]);
    expect(links).toEqual([]);
  });

  it("omit what the server recreates, and keep its directories", async () => {
    const empty = [
      "pg_dynshmem",
      "pg_notify",
      "pg_replslot",
      "pg_serial",
      "pg_snapshots",
      "pg_stat_tmp",
      "pg_subtrans",
    ];
    makeTree(data, Object.fromEntries(empty.map((name) => [`${name}/sub/file`, "x"])));
    // Elsewhere a directory with this name is an ordinary one.
    makeTree(data, { "base/pg_notify/file": "x" });
    const { files, paths } = await scan();
    expect(files.map((file) => file.name.slice(8))).toEqual(withBase("base/pg_notify/file"));
    for (const name of empty) {
      expect(paths.some((path) => path.name === `pg_data/${name}`)).toBe(true);
      expect(paths.some((path) => path.name === `pg_data/${name}/sub`)).toBe(false);
    }
  });

  it("omit a running server's WAL, but not other directories there", async () => {
    makeTree(data, {
      "pg_wal/000000010000000000000001": "x",
      "pg_wal/archive_status/000000010000000000000001.ready": "",
      "pg_wal/summaries/a": "x",
      "sub/pg_wal/x": "x",
    });
    expect(await fileNames()).toEqual(withBase("pg_wal/summaries/a", "sub/pg_wal/x"));
    expect((await scan()).paths.map((path) => path.name)).toContain("pg_data/pg_wal/archive_status");
    expect(await fileNames({ online: false })).toEqual(
      withBase(
        "pg_wal/summaries/a",
        "sub/pg_wal/x",
        "pg_wal/000000010000000000000001",
        "pg_wal/archive_status/000000010000000000000001.ready",
      ),
    );
  });

  it("omit files of a running or recovering server only in the root", async () => {
    const always = [
      "postgresql.auto.conf.tmp",
      "backup_label",
      "backup_label.old",
      "postmaster.opts",
      "postmaster.pid",
    ];
    const newer = ["recovery.signal", "standby.signal", "backup_manifest", "backup_manifest.tmp"];
    const older = ["recovery.conf", "recovery.done"];
    makeTree(
      data,
      Object.fromEntries(
        [...always, ...newer, ...older].flatMap((name) => [
          [name, "x"],
          [`base/1/${name}`, "x"],
        ]),
      ),
    );
    const kept = [...always, ...newer, ...older].map((name) => `base/1/${name}`);
    expect(await fileNames()).toEqual(withBase(...kept, ...older));
    expect(await fileNames({ version: "11" })).toEqual(withBase(...kept, ...newer));
  });

  it("omit every name that begins with pgsql_tmp, anywhere", async () => {
    makeTree(data, {
      "base/pgsql_tmp/pgsql_tmp1.0": "x",
      "base/1/pgsql_tmp12.3": "x",
      pgsql_tmpfile: "x",
      "base/1/xpgsql_tmp": "x",
    });
    expect(await fileNames()).toEqual(withBase("base/1/xpgsql_tmp"));
    expect((await scan()).paths.some((path) => path.name.includes("pgsql_tmp"))).toBe(false);
  });

  it("omit caches and temporary relations of databases", async () => {
    const gone = [
      "pg_internal.init",
      "pg_internal.init.123",
      "t3_16384",
      "t3_16384_fsm",
      "t12_16384_vm.2",
      "t3_16384.1",
    ];
    const kept = ["pg_internal.initx", "t3", "t_16384", "t3_16384_init", "tx3_16384", "pg_internal.init.x"];
    makeTree(
      data,
      Object.fromEntries(
        [...gone, ...kept].flatMap((name) =>
          ["base/1", "global", "base", "."].map((location) => [`${location}/${name}`, "x"]),
        ),
      ),
    );
    const expected = [
      ...kept.flatMap((name) => [`base/1/${name}`, `global/${name}`]),
      ...[...gone, ...kept].flatMap((name) => [`base/${name}`, name]),
    ];
    expect(await fileNames()).toEqual(withBase(...expected));
  });

  it("omit unlogged relations except their init fork", async () => {
    const gone = ["16390", "16390_fsm", "16390_vm", "16390.1", "16390_fsm.2"];
    const kept = ["16390_init", "163900", "16391", "16391_fsm", "1639", "16390x"];
    makeTree(data, Object.fromEntries([...gone, ...kept].map((name) => [`base/5/${name}`, "x"])));
    // The same number in another database, or outside databases, belongs to another relation.
    makeTree(data, { "base/6/16390": "x", "base/16390": "x", "16390": "x" });
    expect(await fileNames()).toEqual(
      withBase(...kept.map((name) => `base/5/${name}`), "base/6/16390", "base/16390", "16390"),
    );
  });

  it("omit excluded paths, with or without their directory", async () => {
    makeTree(data, { "junk/a": "x", "junk/deep/b": "x", "junk2/a": "x", "base/1/16384": "x" });
    const { files, paths } = await scan({ exclude: ["junk", "base/1/16384", "none"] });
    expect(files.map((file) => file.name.slice(8))).toEqual(withBase("junk2/a"));
    expect(paths.some((path) => path.name === "pg_data/junk")).toBe(false);
    const contents = await scan({ exclude: ["junk/"] });
    expect(contents.files.map((file) => file.name.slice(8))).toEqual(withBase("base/1/16384", "junk2/a"));
    expect(contents.paths.map((path) => path.name)).toContain("pg_data/junk");
    expect(contents.paths.map((path) => path.name)).not.toContain("pg_data/junk/deep");
  });

  it("omit special files with a warning", async () => {
    execFileSync("mkfifo", [join(data, "pipe")]);
    const server = createServer().listen(join(data, ".s.sock"));
    await new Promise((resolve) => server.once("listening", resolve));
    makeTree(data, { null: "-> /dev/null" });
    const { files, warnings, links } = await scan();
    server.close();
    expect(files.map((file) => file.name.slice(8))).toEqual(BASE);
    expect(links).toEqual([]);
    expect([...warnings].sort()).toEqual(
      [".s.sock", "null", "pipe"].map((name) => `exclude special file '${join(data, name)}' from backup`),
    );
  });

  it("may vanish at any time", async () => {
    makeTree(data, { "base/5/1": "x", "base/5/2": "x", "base/7/1": "x", pg_link: `-> ${folder}` });
    const real = await vi.importActual<typeof fsPromises>("node:fs/promises");
    const realNow = await vi.importActual<typeof fs>("node:fs");
    const vanish =
      (name: string): (() => void) =>
      () =>
        rmSync(join(data, name), { recursive: true, force: true });
    const at = new Map<string, () => void>([
      ["readdir:base/5", vanish("base/5")],
      ["lstat:base/7/1", vanish("base/7/1")],
      ["readlink:pg_link", vanish("pg_link")],
    ]);
    const first = (call: string, path: unknown): void => at.get(`${call}:${String(path).slice(data.length + 1)}`)?.();
    vi.spyOn(fs, "readdirSync").mockImplementation(
      ((path: string) => (first("readdir", path), realNow.readdirSync(path))) as never,
    );
    vi.spyOn(fs, "lstatSync").mockImplementation(
      ((path: string) => (first("lstat", path), realNow.lstatSync(path))) as never,
    );
    vi.spyOn(fsPromises, "readlink").mockImplementation(
      ((path: string) => (first("readlink", path), real.readlink(path))) as never,
    );
    expect(await fileNames()).toEqual(BASE);
    expect(["base/5", "base/7/1", "pg_link"].filter((name) => existsSync(join(data, name)))).toEqual([]);
  });

  it("cannot be scanned without the directory", async () => {
    await expect(scan({ dataDirectory: join(folder, "none") })).rejects.toMatchObject({
      kind: "pathMissing",
      exitCode: 73,
    });
  });
});

describe("tablespaces and links", () => {
  const space = (name: string): string => join(folder, name);

  beforeEach(() => {
    makeTree(folder, {
      [`ts1/${CONTENT}/5/16400`]: "x",
      [`ts1/${CONTENT}/5/16401_init`]: "",
      [`ts1/${CONTENT}/5/16401`]: "x",
      "ts1/PG_14_202107181/5/16400": "old",
      "ts1/stray": "x",
    });
    makeTree(folder, { "elsewhere/log/today.log": "x", "elsewhere/postgresql.conf": "x" });
  });

  it("tell whether another machine may have stamped some of the files", async () => {
    expect((await scan()).ownClock).toBe(hasOwnClock(folder));
    expect(hasOwnClock("/dev/shm")).toBe(true);
    symlinkSync("/proc/version", join(data, "linked"));
    expect((await scan()).ownClock).toBe(false);
  });

  it("of this version's catalog are walked under their number", async () => {
    symlinkSync(space("ts1"), join(data, "pg_tblspc/16384"));
    const result = await scan();
    expect(result.files.map((file) => file.name).filter((name) => name.startsWith("pg_tblspc"))).toEqual([
      `pg_tblspc/16384/${CONTENT}/5/16400`,
      `pg_tblspc/16384/${CONTENT}/5/16401_init`,
    ]);
    expect(result.sources.pathOf(`pg_tblspc/16384/${CONTENT}/5/16400`)).toBe(
      join(data, `pg_tblspc/16384/${CONTENT}/5/16400`),
    );
    expect(result.paths.map((path) => path.name).filter((name) => name.startsWith("pg_tblspc"))).toEqual([
      "pg_tblspc",
      "pg_tblspc/16384",
      `pg_tblspc/16384/${CONTENT}`,
      `pg_tblspc/16384/${CONTENT}/5`,
    ]);
    expect(result.targets[1]).toEqual({
      name: "pg_tblspc/16384",
      type: "link",
      path: space("ts1"),
      tablespaceId: "16384",
      tablespaceName: "ts1",
    });
    expect(result.links).toEqual([
      { name: "pg_data/pg_tblspc/16384", destination: space("ts1"), user: "postgres", group: null },
    ]);
  });

  it("under another name than a number are no tablespaces, as for PostgreSQL", async () => {
    symlinkSync(space("ts1"), join(data, "pg_tblspc/16384"));
    symlinkSync(space("elsewhere"), join(data, "pg_tblspc/16384.old"));
    const { files, links, warnings } = await scan();
    expect(warnings).toContain(
      `exclude '${data}/pg_tblspc/16384.old' from backup: its name is not that of a tablespace`,
    );
    expect([...files, ...links].filter(({ name }) => name.includes("16384.old"))).toEqual([]);
  });

  it("without a name are our bug online, and named by their number offline", async () => {
    symlinkSync(space("ts1"), join(data, "pg_tblspc/16399"));
    await expect(scan()).rejects.toMatchObject({
      kind: "assert",
      message: "tablespace with oid 16399 not found in tablespace map",
    });
    expect((await scan({ online: false })).targets[1]?.tablespaceName).toBe("ts16399");
  });

  it.each([true, false])("on a disk that is not mounted are refused (41): online %s", async (online) => {
    mkdirSync(space("unmounted"));
    symlinkSync(space("unmounted"), join(data, "pg_tblspc/16384"));
    await expect(scan({ online })).rejects.toMatchObject({
      kind: "fileOpen",
      exitCode: 41,
      message: `tablespace 16384 has no directory '${join(data, "pg_tblspc/16384", CONTENT)}'`,
      hints: ["is its disk mounted?"],
    });
  });

  it.each([
    ["a link", `-> ../ts1/${CONTENT}`],
    ["a file", "x"],
  ])("whose directory of this version is %s are refused (70)", async (_what, content) => {
    makeTree(folder, { [`ts2/${CONTENT}`]: content });
    symlinkSync(space("ts2"), join(data, "pg_tblspc/16384"));
    await expect(scan()).rejects.toMatchObject({ kind: "linkDestination", exitCode: 70 });
  });

  it("that are dropped during the scan leave no rows", async () => {
    const link = join(data, "pg_tblspc/16384");
    mkdirSync(space("dropped"));
    symlinkSync(space("dropped"), link);
    // PostgreSQL has removed the directory, and removes the link while the scan waits.
    const clock = new (class extends ManualClock {
      override sleep(durationMs: number, signal: AbortSignal): Promise<void> {
        rmSync(link);
        return super.sleep(durationMs, signal);
      }
    })(TEST_TIME_MS);
    const { targets, links, paths } = await scan({}, testContext({ clock }));
    expect(targets.map((target) => target.name)).toEqual(["pg_data"]);
    expect(links).toEqual([]);
    expect(paths.map((path) => path.name)).not.toContain("pg_tblspc/16384");
  });

  it.each([
    ["a file", "pg_tblspc/x"],
    ["a directory", "pg_tblspc/16384/x"],
  ])("must be links: %s in pg_tblspc is refused (69)", async (_what, name) => {
    makeTree(data, { [name]: "x" });
    await expect(scan()).rejects.toMatchObject({ kind: "linkExpected", exitCode: 69 });
  });

  it("of directories and files keep their targets", async () => {
    symlinkSync(space("elsewhere/log"), join(data, "log"));
    symlinkSync("../elsewhere/postgresql.conf", join(data, "postgresql.conf"));
    const { files, targets, links, paths } = await scan();
    expect(files.map((file) => file.name.slice(8))).toEqual(withBase("log/today.log", "postgresql.conf"));
    expect(targets.slice(1)).toEqual([
      { name: "pg_data/log", type: "link", path: space("elsewhere/log") },
      { name: "pg_data/postgresql.conf", type: "link", path: "../elsewhere", file: "postgresql.conf" },
    ]);
    expect(links.map((link) => link.destination)).toEqual([space("elsewhere/log"), "../elsewhere/postgresql.conf"]);
    expect(paths.map((path) => path.name)).toContain("pg_data/log");
  });

  it("keep pg_wal's rules where pg_wal is a link", async () => {
    makeTree(folder, { "wal/000000010000000000000001": "x", "wal/archive_status/x.ready": "" });
    symlinkSync(space("wal"), join(data, "pg_wal"));
    expect(await fileNames()).toEqual(BASE);
  });

  const refused: [string, Record<string, string>, string][] = [
    ["to a link", { a: "-> ../chain" }, "cannot reference another link"],
    ["into the data directory", { a: "-> base" }, "is in PGDATA"],
    ["twice to one directory", { a: "-> ../elsewhere/log", b: "-> ../elsewhere/log" }, "is the same as link"],
    [
      "twice to one file",
      { a: "-> ../elsewhere/postgresql.conf", b: "-> ../elsewhere/postgresql.conf" },
      "is the same as link",
    ],
    [
      "to a directory and into it",
      { a: "-> ../elsewhere", b: "-> ../elsewhere/log" },
      "is a subdirectory of link 'pg_data/a'",
    ],
    ["of a tablespace by a relative path", { "pg_tblspc/16384": "-> ../../ts1" }, "is not absolute"],
  ];
  it.each(refused)("%s are refused (70)", async (_what, tree, message) => {
    symlinkSync(space("elsewhere/log"), space("chain"));
    makeTree(data, tree);
    await expect(scan()).rejects.toMatchObject({
      kind: "linkDestination",
      exitCode: 70,
      message: expect.stringContaining(message),
    });
  });

  it("may be side by side, and files anywhere", async () => {
    mkdirSync(space("elsewhere/log2"));
    makeTree(data, { a: "-> ../elsewhere/log", b: "-> ../elsewhere/log2", c: "-> ../elsewhere/postgresql.conf" });
    expect((await scan()).targets.map((target) => target.name)).toEqual([
      "pg_data",
      "pg_data/a",
      "pg_data/b",
      "pg_data/c",
    ]);
  });

  it("to nowhere are an error that names them", async () => {
    makeTree(data, { a: "-> ../none" });
    await expect(scan()).rejects.toMatchObject({
      kind: "fileOpen",
      message: expect.stringContaining("link 'pg_data/a' points to '../none'"),
    });
  });
});
