/**
 * The options of `restore` on a real server: recovery targets and what the server does there, leftovers of an earlier
 * recovery, damaged and extra files, maps, excluded databases, a repository that fails during the restore, a killed
 * restore, and the configuration files that Debian keeps outside the data directory. Where possible, the result is
 * compared with stock's restore of the same backup, file by file.
 */
// claim: README.md: every kind of restore target ends at the right position
import { NIGHTLY } from "../../../tools/parts/nightly";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, sleep, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { compareChecksums, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo, isRoot } from "../../../tools/parts/users";
import { findReplayed } from "../../../runtime/cnpg/drill/drillSql";
import { Session } from "../../../runtime/postgres/session";
import { testContext } from "../../harness/context";
import { findParts, type InteropParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates, fillBed } from "../../harness/real/sampleData";
import { requireOk, TestBed } from "../../harness/real/testBed";

const TITLE = "restore with its options, stock 2.60, PostgreSQL 15";

describe(TITLE, async () => {
  const parts = await findParts(TITLE, 15, "2.60");
  if (parts !== null) restoreOptions(parts);
});

function restoreOptions({ binaries, stock }: InteropParts): void {
  let server: S3Server;
  let bed: TestBed;
  /** The server's configuration, outside its data directory as on Debian. */
  let etc: string;
  /** A restored directory that most tests restore over again with `--delta`. */
  let data: string;
  let midTime: string;

  const marks = async (cluster: TestCluster): Promise<string> =>
    cluster.value("SELECT string_agg(name, ' ' ORDER BY id) FROM mark");
  const mark = async (name: string): Promise<void> =>
    void (await bed.cluster.sql("INSERT INTO mark (name) VALUES ($1)", [name]));
  const again = async (args: readonly string[], options: Parameters<TestBed["oursOk"]>[1] = {}) =>
    bed.oursOk(
      [
        "restore",
        "--delta",
        `--pg1-path=${data}`,
        `--tablespace-map=space=${join(data, "../space")}`,
        "--archive-mode=off",
        ...args,
      ],
      options,
    );
  const adopted = async <T>(
    dataPath: string,
    use: (cluster: TestCluster) => Promise<T>,
    settings = outside(dataPath),
  ): Promise<T> => {
    const cluster = TestCluster.adopt({ binaries, dataPath });
    try {
      await cluster.start(settings);
      return await use(cluster);
    } catch (error) {
      throw new Error(`${String(error)}\n${cluster.logTail()}`, { cause: error });
    } finally {
      await cluster.remove();
    }
  };

  const outside = (dataPath: string): Record<string, string> => ({
    config_file: join(etc, "postgresql.conf"),
    data_directory: dataPath,
  });

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries,
      repos: [
        { s3: server, compressType: "zst" },
        { encrypted: true, compressType: "lz4" },
      ],
      global: { "io-timeout": "3s", "process-max": "2" },
    });
    const { cluster } = bed;
    etc = join(bed.folder, "etc");
    debianize(cluster, etc);
    await cluster.start({ config_file: join(etc, "postgresql.conf") });
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed, 2000);
    await cluster.sql("CREATE DATABASE other");
    await dropTemplates(bed);
    await cluster.sql("CREATE TABLE mark (id int GENERATED ALWAYS AS IDENTITY, name text)");
    // Left over from an earlier recovery. If one of them took effect, no other target could be reached.
    await cluster.sql("ALTER SYSTEM SET recovery_target_action = 'shutdown'");
    appendFileSync(join(cluster.dataPath, "old.conf"), "recovery_target_name = 'long ago'\nwork_mem = '5MB'\n");
    await mark("before");
    await bed.oursOk(["backup", "--type=full"]);
    await mark("first");
    await cluster.sql("SELECT pg_create_restore_point('middle')");
    midTime = await cluster.value("SELECT clock_timestamp()::text");
    await sleep(20);
    await mark("second");
    await bed.archiveAll();
    ({ dataPath: data } = await restored({ by: null, args: ["--repo=2"] }));
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  const restored = async (
    options: Parameters<TestBed["restoreAside"]>[0],
  ): Promise<{ readonly dataPath: string; readonly output: string }> => {
    const { result, dataPath } = await bed.restoreAside(options);
    requireOk("restore", result);
    return { dataPath, output: result.stdout };
  };

  test("default replays everything and promotes; the old targets are gone", async () => {
    expect(readFileSync(join(data, "postgresql.auto.conf"), "utf8")).toMatch(
      /^# Removed by pgBackRest restore on .{19} # recovery_target_action = 'shutdown'$/m,
    );
    expect(readFileSync(join(data, "old.conf"), "utf8")).toBe("recovery_target_name = 'long ago'\nwork_mem = '5MB'\n");
    const result = await adopted(
      data,
      async (cluster) => {
        await cluster.waitForRecovery();
        expect(await cluster.value("SHOW work_mem")).toBe("5MB");
        return [
          await marks(cluster),
          compareChecksums(await bed.cluster.tableChecksums(), await cluster.tableChecksums()),
        ];
      },
      {},
    );
    expect(result).toEqual(["before first second", []]);
  });

  type Target = readonly [type: string, args: () => string[], expected: string, end: "paused" | "promoted" | "standby"];
  const otherTargets: readonly Target[] = [
    ["immediate", () => ["--type=immediate", "--target-action=promote"], "before", "promoted"],
    ["name", () => ["--type=name", "--target=middle"], "before first", "paused"],
  ];
  test.each<Target>([
    ...(NIGHTLY ? otherTargets : []),
    ["time", () => ["--type=time", `--target=${midTime}`, "--target-action=promote"], "before first", "promoted"],
    ["standby", () => ["--type=standby"], "before first second", "standby"],
  ])("%s ends at the right position", async (_, args, expected, end) => {
    await again(args());
    expect(existsSync(join(data, "standby.signal"))).toBe(end === "standby");
    expect(existsSync(join(data, "recovery.signal"))).toBe(end !== "standby");
    await adopted(data, async (cluster) => {
      if (end === "paused") await cluster.waitForValue("SELECT pg_get_wal_replay_pause_state()", "paused");
      else await cluster.waitForValue("SELECT pg_is_in_recovery()", String(end === "standby"));
      if (end === "standby") await cluster.waitForValue("SELECT count(*) FROM mark", "3");
      expect(await marks(cluster)).toBe(expected);
      expect(await cluster.value("SELECT timeline_id FROM pg_control_checkpoint()")).toBe(
        end === "promoted" ? "2" : "1",
      );
    });
  });

  test("a time without a zone is local time of the program, and a drill sees where the recovery ended", async () => {
    const local = `to_char('${midTime}'::timestamptz AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD HH24:MI:SS.US')`;
    const target = await bed.cluster.value(`SELECT ${local}`);
    const env = { ...process.env, TZ: "Asia/Kolkata" };
    await again(["--type=time", `--target=${target}`, "--target-action=promote"], { env });
    await adopted(data, async (cluster) => {
      await cluster.waitForRecovery();
      expect(await marks(cluster)).toBe("before first");
      const at = { host: cluster.socketPath, port: cluster.port, user: cluster.superuser, database: "postgres" };
      const session = await Session.open({ ...at, queryTimeoutMs: 60_000, applicationName: "test" });
      try {
        // The connection may come before the checkpoint that writes the new timeline.
        await session.checkpoint();
        const { lsn } = await findReplayed(session, 15, testContext());
        expect(lsn).toBeGreaterThan(0n);
      } finally {
        await session.close();
      }
    });
  });

  test.runIf(NIGHTLY)("shutdown at the target stops the server", async () => {
    await again(["--type=name", "--target=middle", "--target-action=shutdown"]);
    const cluster = TestCluster.adopt({ binaries, dataPath: data });
    await cluster.start(outside(data)).catch(() => undefined);
    await waitFor("shutdown", 120_000, async () => (cluster.isRunning() ? null : true));
    expect(cluster.logTail(100)).toContain("shutdown at recovery target");
    await cluster.remove();
  });

  test.runIf(NIGHTLY)("type preserve keeps the user's recovery settings, type none writes none", async () => {
    await again(["--type=name", "--target=middle"]);
    const own = `${readFileSync(join(data, "postgresql.auto.conf"), "utf8")}# mine\n`;
    writeFileSync(join(data, "postgresql.auto.conf"), own);
    expect((await again(["--type=preserve"])).stdout).not.toContain("write updated");
    expect(readFileSync(join(data, "postgresql.auto.conf"), "utf8")).toBe(own);
    expect(existsSync(join(data, "recovery.signal"))).toBe(true);
    await adopted(data, async (cluster) => {
      await cluster.waitForValue("SELECT pg_get_wal_replay_pause_state()", "paused");
      expect(await marks(cluster)).toBe("before first");
    });
    await again(["--type=none"]);
    expect(readdirSync(data).filter((name) => name.endsWith(".signal"))).toEqual([]);
    expect(readFileSync(join(data, "postgresql.auto.conf"), "utf8")).not.toMatch(/^(restore_command|recovery_target)/m);
  });

  test("--delta repairs any change in the directory: the result equals stock's restore", async () => {
    damage(data, bed);
    const output = (await again(["--type=immediate", "--log-level-console=detail"])).stdout;
    expect(output).toContain(`remove invalid path '${join(data, "extra")}'`);
    const { dataPath } = await restored({ by: stock, repo: 2, args: ["--type=immediate"] });
    expect(differences(tree(dataPath), tree(data))).toEqual([]);
    expect(differences(tree(join(dataPath, "../space")), tree(join(data, "../space")))).toEqual(["foreign: only here"]);
    // Restore fetches only the damaged files.
    const fetched = output
      .split("\n")
      .filter((line) => /restore file .*checksum/.test(line) && !line.includes("exists and matches backup"));
    expect(fetched.length).toBeLessThan(25);
  });

  test.runIf(NIGHTLY)("--force trusts size and time, --delta does not", async () => {
    const path = join(data, "base/5/1259");
    const { mtimeMs, size } = statSync(path);
    writeFileSync(path, Buffer.alloc(size, 7));
    utimesSync(path, mtimeMs / 1000, mtimeMs / 1000);
    const options = [
      "restore",
      `--pg1-path=${data}`,
      `--tablespace-map=space=${join(data, "../space")}`,
      "--archive-mode=off",
    ];
    const forced = await bed.oursOk([...options, "--force", "--log-level-console=detail"]);
    expect(forced.stdout).toContain(`restore file ${path} - exists and matches size and modification time`);
    expect(readFileSync(path)[0]).toBe(7);
    await again([]);
    expect(readFileSync(path)[0]).not.toBe(7);
    const refused = await bed.ours(options);
    expect([refused.exitCode, refused.stdout]).toEqual([40, expect.stringContaining("because it contains files")]);
  });

  test("links and tablespaces go to the given paths", async () => {
    const args = (location: string): string[] => [
      "--type=immediate",
      `--tablespace-map-all=${join(location, "all")}`,
      `--link-map=pg_wal=${join(location, "wal")}`,
      `--link-map=pg_hba.conf=${join(location, "hba/pg_hba.conf")}`,
    ];
    const location = (name: string): string => {
      const path = join(bed.folder, "side", name);
      mkdirSync(path);
      giveTo(path, bed.cluster.user);
      return path;
    };
    const [ours, theirs] = [location("ours"), location("theirs")];
    const own = await bed.oursOk(["restore", "--repo=2", `--pg1-path=${join(ours, "data")}`, ...args(ours)]);
    await bed.stockOk(stock, ["restore", "--repo=2", `--pg1-path=${join(theirs, "data")}`, ...args(theirs)]);
    expect(own.stdout).toContain(`link 'pg_wal' to '${join(ours, "wal")}'`);
    expect(differences(renamed(tree(theirs), theirs, ours), tree(ours))).toEqual([]);
    expect(readlinkSync(join(ours, "data/pg_wal"))).toBe(join(ours, "wal"));
    await adopted(join(ours, "data"), async (cluster) => {
      expect(await cluster.value("SELECT count(*) FROM history", [], "shop")).toBe("2000");
    });
  });

  // claim: docs/internals/versus-pgbackrest.md: a copied data directory: the running server's tablespaces stay as they
  //   are
  test("into a copied data directory it spares the tablespaces of the running server", async () => {
    const { cluster } = bed;
    const copy = join(bed.folder, "side", "copy");
    spawnSync("cp", ["-a", cluster.dataPath, copy]);
    rmSync(join(copy, "postmaster.pid"));
    const result = await bed.ours(["restore", "--delta", "--repo=2", `--pg1-path=${copy}`]);
    expect([result.exitCode, result.stdout]).toEqual([
      38,
      expect.stringContaining(`the running server of '${cluster.dataPath}' uses it`),
    ]);
  });

  test("--db-include restores one database and leaves the others sparse, like stock", async () => {
    const args = ["--db-include=shop", "--type=immediate", "--target-action=promote"];
    const { dataPath } = await restored({ by: null, repo: 2, args });
    const { dataPath: theirs } = await restored({ by: stock, repo: 2, args });
    expect(differences(tree(theirs), tree(dataPath))).toEqual([]);
    const other = await bed.cluster.value("SELECT oid FROM pg_database WHERE datname = 'other'");
    const relation = lstatSync(join(dataPath, "base", other, "1259"));
    expect([relation.size > 0, relation.blocks]).toEqual([true, 0]);
    await adopted(dataPath, async (cluster) => {
      await cluster.waitForRecovery();
      expect(await cluster.value("SELECT count(*) FROM customers", [], "shop")).toBe("200");
      await expect(cluster.value("SELECT 1", [], "other")).rejects.toThrow(/invalid/);
      await cluster.sql("DROP DATABASE other");
    });
  });

  test.skipIf(!isRoot())("root restores every original owner", async () => {
    const location = join(bed.folder, "side", "root");
    mkdirSync(location, { mode: 0o755 });
    // Only root may enter it, like a new directory. After the restore the server must be able to enter it.
    mkdirSync(join(location, "space"), { mode: 0o700 });
    const own = ["lock", "log", "spool"].map((name) => `--${name}-path=${join(location, name)}`);
    for (const name of ["lock", "log", "spool"]) mkdirSync(join(location, name));
    const result = await bed.ours(
      [
        "restore",
        "--repo=2",
        `--pg1-path=${join(location, "data")}`,
        `--tablespace-map=space=${join(location, "space")}`,
        "--archive-mode=off",
        ...own,
      ],
      { user: { name: "root", uid: 0, gid: 0, group: "root" } },
    );
    requireOk("restore", result);
    const { dataPath } = await restored({ by: null, repo: 2 });
    expect(differences(tree(dataPath), tree(join(location, "data")))).toEqual([]);
    await adopted(join(location, "data"), async (cluster) => {
      await cluster.waitForRecovery();
      expect(await cluster.value("SELECT count(*) FROM history", [], "shop")).toBe("2000");
    });
  });

  test("a repository that fails in the middle is replaced by the other one", async () => {
    let stopped: Promise<void> | undefined;
    const location = join(bed.folder, "side", "outage");
    mkdirSync(location);
    giveTo(location, bed.cluster.user);
    const result = await bed.ours(
      [
        "restore",
        `--pg1-path=${join(location, "data")}`,
        `--tablespace-map=space=${join(location, "space")}`,
        "--archive-mode=off",
        "--log-level-console=detail",
      ],
      {
        onLine: (line) => {
          if (line.includes("restore file ")) stopped ??= server.stop();
        },
      },
    );
    await stopped;
    await server.start();
    requireOk("restore", result);
    expect(result.stdout).toContain("repo1: restore backup set");
    expect(result.stdout).toContain("repo1 is now the last choice");
    await adopted(join(location, "data"), async (cluster) => {
      await cluster.waitForRecovery();
      expect(compareChecksums(await bed.cluster.tableChecksums(), await cluster.tableChecksums())).toEqual([]);
    });
  });

  test("a killed restore does not start, and continues with --delta", async () => {
    const location = join(bed.folder, "side", "killed");
    mkdirSync(location);
    giveTo(location, bed.cluster.user);
    const path = join(location, "data");
    const options = [
      "restore",
      "--repo=2",
      `--pg1-path=${path}`,
      `--tablespace-map=space=${join(location, "space")}`,
      "--archive-mode=off",
    ];
    const abort = new AbortController();
    let lines = 0;
    const killed = await bed
      .ours([...options, "--log-level-console=detail"], {
        signal: abort.signal,
        onLine: (line) => {
          if (line.includes("restore file ") && ++lines === 100) abort.abort();
        },
      })
      .catch(() => null);
    expect(killed?.exitCode ?? 1).not.toBe(0);
    expect([existsSync(join(path, "backup.manifest")), existsSync(join(path, "global/pg_control"))]).toEqual([
      true,
      false,
    ]);
    const refused = await run(join(binaries.folder, "postgres"), ["-D", path, "-C", "port"], {
      user: bed.cluster.user,
    });
    expect(refused.exitCode).not.toBe(0);
    const output = (await bed.oursOk([...options, "--delta", "--log-level-console=detail"])).stdout;
    expect(output.split("\n").filter((line) => line.includes("exists and matches backup")).length).toBeGreaterThan(50);
    await adopted(path, async (cluster) => {
      await cluster.waitForRecovery();
      expect(await marks(cluster)).toBe("before first second");
    });
  });

  // claim: README.md: Debian's configuration files outside the data directory are restored
  test("a new machine gets its configuration files back too, and stock ignores them", async () => {
    await bed.stockOk(stock, ["verify", "--repo=2", "--output=text"]);
    await bed.stockOk(stock, ["expire", "--repo=2", "--repo2-retention-full=1"]);
    const offered = await again([]);
    expect(offered.stdout).toContain(
      `this backup has configuration files from outside of the data directory: ${join(etc, "conf.d/more.conf")}`,
    );
    const expected = tree(etc);
    await bed.cluster.stop();
    const lost = `${bed.cluster.dataPath}.lost`;
    await run("mv", [bed.cluster.dataPath, lost]);
    rmSync(etc, { recursive: true });
    rmSync(join(bed.folder, "tablespace"), { recursive: true });

    await bed.oursOk(["restore", "--repo=2", "--server-files=/"]);
    expect(differences(expected, tree(etc))).toEqual([]);
    await bed.cluster.start({ config_file: join(etc, "postgresql.conf") });
    await bed.cluster.waitForRecovery();
    expect(await bed.cluster.value("SHOW maintenance_work_mem")).toBe("17MB");
    expect(await marks(bed.cluster)).toBe("before first second");
  });

  test("none of its files contains a secret", () => {
    expect(bed.findLeaks()).toEqual([]);
  });
}

/** Moves the configuration of a cluster out of its data directory, as on Debian. One included file stays. */
function debianize(cluster: TestCluster, etc: string): void {
  mkdirSync(join(etc, "conf.d"), { recursive: true });
  const conf = readFileSync(join(cluster.dataPath, "postgresql.conf"), "utf8");
  const files: [string, string][] = [
    [
      "postgresql.conf",
      `${conf}\ndata_directory = '${cluster.dataPath}'\nhba_file = '${etc}/pg_hba.conf'\nident_file = '${etc}/pg_ident.conf'\ninclude_dir = 'conf.d'\n`,
    ],
    ["conf.d/more.conf", "maintenance_work_mem = '17MB'\n"],
    ["pg_hba.conf", readFileSync(join(cluster.dataPath, "pg_hba.conf"), "utf8")],
    ["pg_ident.conf", readFileSync(join(cluster.dataPath, "pg_ident.conf"), "utf8")],
    ["start.conf", "auto\n"],
  ];
  for (const [name, text] of files) writeFileSync(join(etc, name), text, { mode: 0o640 });
  for (const path of ["", "conf.d", ...files.map(([name]) => name)]) giveTo(join(etc, path), cluster.user);
  writeFileSync(join(cluster.dataPath, "postgresql.conf"), "include 'old.conf'\n");
  writeFileSync(join(cluster.dataPath, "old.conf"), "");
  giveTo(join(cluster.dataPath, "old.conf"), cluster.user);
}

/** Damages a data directory in many ways. */
function damage(data: string, bed: TestBed): void {
  const own = (path: string): void => giveTo(path, bed.cluster.user);
  mkdirSync(join(data, "extra/deeper"), { recursive: true });
  writeFileSync(join(data, "extra/deeper/file"), "x");
  writeFileSync(join(data, "standby.signal"), "");
  writeFileSync(join(data, "base/5/999999"), "x");
  symlinkSync("/tmp", join(data, "pg_tblspc/99999"));
  symlinkSync("/etc/passwd", join(data, "link"));
  for (const path of ["extra", "extra/deeper", "extra/deeper/file", "standby.signal", "base/5/999999"])
    own(join(data, path));
  appendFileSync(join(data, "base/5/1259"), Buffer.alloc(8192, 1));
  truncateSync(join(data, "base/5/1249"), 8192);
  rmSync(join(data, "base/5/2619"), { force: true });
  rmSync(join(data, "global/1262"));
  rmSync(join(data, "pg_xact"), { recursive: true });
  rmSync(join(data, "pg_multixact"), { recursive: true });
  writeFileSync(join(data, "pg_multixact"), "a file where a directory was");
  chmodSync(join(data, "PG_VERSION"), 0o644);
  const flipped = readFileSync(join(data, "base/5/1255"));
  flipped[5000] = (flipped[5000] ?? 0) ^ 1;
  writeFileSync(join(data, "base/5/1255"), flipped);
  // Beside the directory of this version, where another server may keep its own.
  writeFileSync(join(data, "../space/foreign"), "not the restore's");
  own(join(data, "../space/foreign"));
}

/** Every file, directory and link below a folder, without content that depends on the time or the program. */
function tree(root: string): Map<string, string> {
  const result = new Map<string, string>();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const info = lstatSync(path);
    const name = path.slice(root.length + 1);
    // Node follows links. The content of a tablespace is compared in its own directory.
    if (/(^|\/)pg_tblspc\/\d+\//.test(name)) continue;
    const owner = `${(info.mode & 0o7777).toString(8)} ${info.uid}:${info.gid}`;
    if (info.isSymbolicLink()) result.set(name, `link ${name.includes("pg_tblspc") ? "" : readlinkSync(path)}`);
    else if (info.isDirectory()) result.set(name, `directory ${owner}`);
    else if (entry.name === "postgresql.auto.conf" || entry.name === "old.conf" || entry.name.endsWith(".signal"))
      result.set(name, `file ${owner}`);
    else
      result.set(
        name,
        `file ${owner} ${Math.floor(info.mtimeMs / 1000)} ${createHash("sha1").update(readFileSync(path)).digest("hex")}`,
      );
  }
  return result;
}

function renamed(files: ReadonlyMap<string, string>, from: string, to: string): Map<string, string> {
  return new Map([...files].map(([name, text]) => [name, text.replaceAll(from, to)]));
}

function differences(expected: ReadonlyMap<string, string>, result: ReadonlyMap<string, string>): string[] {
  return [...new Set([...expected.keys(), ...result.keys()])].sort().flatMap((name) => {
    const [there, here] = [expected.get(name), result.get(name)];
    if (there === here) return [];
    return [
      there === undefined
        ? `${name}: only here`
        : here === undefined
          ? `${name}: only there`
          : `${name}: ${there} there, ${here} here`,
    ];
  });
}
