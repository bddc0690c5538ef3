/**
 * The fault model on a real PostgreSQL. A writer inserts numbered rows, one per transaction, and records the LSN after
 * each commit. Repositories in a directory and on an S3 server fail and return, backups of every type run and are
 * killed, and heal copies missing WAL. A restored cluster that opens at one of these LSNs has exactly the rows up to
 * it. Without an outage it must open.
 *
 * The nightly form runs for `PGBACKSTOP_MODEL_MINUTES` (default 5). `PGBACKSTOP_SEED` repeats a run.
 */
// claim: README.md: acknowledged WAL stays restorable…
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sleep, start, waitFor } from "../../tools/parts/process";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { TestCluster } from "../../tools/parts/postgres/testCluster";
import { seededRandom } from "../harness/context";
import { parseInfo } from "../harness/compare/infoJson";
import { findParts, s3Kind } from "../harness/real/interopParts";
import { bringBack, takeAway } from "../harness/network/outage";
import { TestBed } from "../harness/real/testBed";
import { NIGHTLY } from "../../tools/parts/nightly";

const MINUTES = Number(process.env["PGBACKSTOP_MODEL_MINUTES"] ?? 5);
const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? 7);
/** Steps of the normal run. */
const STEPS = 10;
const TYPES = ["full", "diff", "incr"] as const;

describe("a counting writer", async () => {
  const parts = await findParts("fault model on PostgreSQL", 18, "2.60");
  if (parts === null) return;
  const { binaries } = parts;
  let server: S3Server;
  let bed: TestBed;
  const random = seededRandom(SEED);
  const draw = (count: number): number => {
    const [high = 0, low = 0] = random.bytes(2);
    return (high * 256 + low) % count;
  };
  /** LSN after the commit of row n, at index n - 1. */
  const lsns: string[] = [];
  /** Number of rows in acknowledged WAL. */
  let safe = 0;
  /** Number of rows at the end of each backup, by label. */
  const ends = new Map<string, number>();
  let isAway1 = false;
  const tally = new Map<string, number>();
  const count = (name: string): void => void tally.set(name, (tally.get(name) ?? 0) + 1);

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries,
      repos: [{}, { s3: server, compressType: "zst", encrypted: true }],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: 0, min_wal_size: "2MB" },
      global: { "archive-timeout": "8", "io-timeout": "5", "repo1-retention-full": "9", "repo2-retention-full": "9" },
    });
    await bed.cluster.start();
    await bed.cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await bed.cluster.sql("CREATE TABLE counted (id int PRIMARY KEY, filler text) TABLESPACE space");
    await bed.oursOk(["stanza-create"]);
    await backup("full", false);
  });
  afterAll(async () => {
    process.stdout.write(
      `fault model on PostgreSQL: seed ${SEED}, ${[...tally].map(([name, times]) => `${name} ${times}`).join(", ")}\n`,
    );
    await bed?.remove();
    await server?.remove();
  });

  const isCalm = (): boolean => !isAway1 && server.isRunning();

  async function write(): Promise<void> {
    const client = await bed.cluster.connect();
    try {
      for (let left = 1 + draw(30); left > 0; left--) {
        await client.query("INSERT INTO counted VALUES ($1::int, repeat(md5(($1::int)::text), 20))", [lsns.length + 1]);
        const { rows } = await client.query<{ lsn: string }>("SELECT pg_current_wal_insert_lsn()::text AS lsn");
        lsns.push(rows[0]?.lsn ?? "");
      }
    } finally {
      await client.end();
    }
  }

  async function archive(timeoutMs: number): Promise<boolean> {
    const rows = lsns.length;
    await bed.cluster.sql("SELECT pg_create_restore_point('archive')");
    const name = await bed.cluster.switchWal();
    const done = waitFor("archiving", timeoutMs, async () => {
      await bed.cluster.sql("SELECT pg_reload_conf()");
      return existsSync(bed.walFile(`archive_status/${name}.done`)) || !existsSync(bed.walFile(name)) ? true : null;
    });
    const isDone = await done.catch(() => false);
    if (isDone) safe = Math.max(safe, rows);
    return isDone;
  }

  async function backup(type: string, isKilled: boolean): Promise<void> {
    if (isKilled) {
      const logFile = join(bed.folder, "log", "killed.log");
      const one = await start(bed.runtime.node, bed.oursCommand(["backup", `--type=${type}`]), {
        user: bed.cluster.user,
        cwd: bed.folder,
        logFile,
      });
      await Promise.race([sleep(draw(3000)), one.exited]);
      count((await one.stop("SIGKILL")) === 0 ? "backups" : "backups killed");
    } else {
      // The archiver must first catch up after an outage, and the machine may be busy.
      const patience = isCalm() ? ["--archive-timeout=120"] : [];
      const result = await bed.ours(["backup", `--type=${type}`, ...patience]);
      if (isCalm()) expect(`${result.exitCode}${result.exitCode === 0 ? "" : result.stdout.slice(-2000)}`).toBe("0");
      count(result.exitCode === 0 ? "backups" : "backups in one repository or none");
    }
    for (const label of await labels()) if (!ends.has(label)) ends.set(label, lsns.length);
  }

  async function labels(): Promise<string[]> {
    return parseInfo((await bed.ours(["info", "--output=json"])).stdout).backup.map((row) => row.label);
  }

  async function outage(): Promise<void> {
    if (!isCalm()) return calm();
    count("outages");
    // 2 takes both repositories down.
    const which = draw(5);
    isAway1 = which < 3;
    if (isAway1) takeAway(bed.repoPath(1), draw(2) === 0 ? "blocked" : "unmounted", bed.cluster.user);
    if (which >= 2) await server.stop();
  }

  async function calm(): Promise<void> {
    if (isAway1) bringBack(bed.repoPath(1));
    isAway1 = false;
    await server.start();
  }

  /** Restores to a row in acknowledged WAL. A cluster that opens must have exactly the rows up to it. */
  async function restore(repo?: number): Promise<void> {
    const oldest = Math.min(...(await labels()).map((label) => ends.get(label) ?? Number.POSITIVE_INFINITY));
    if (!(oldest < safe)) return;
    const row = oldest + 1 + draw(safe - oldest);
    const args = ["--type=lsn", `--target=${lsns[row - 1]}`, "--target-action=promote"];
    const { result, dataPath } = await bed.restoreAside({ by: null, args, ...(repo === undefined ? {} : { repo }) });
    const mustOpen = isCalm();
    try {
      if (result.exitCode !== 0) {
        if (mustOpen) expect(result.stdout).toBe("");
        return count("restores refused");
      }
      const restored = TestCluster.adopt({ binaries, dataPath });
      try {
        await restored.start({}, { timeoutMs: 120_000 });
        await restored.waitForRecovery();
      } catch (error) {
        if (mustOpen)
          throw new Error(`restore to row ${row}: ${String(error)}\n${restored.logTail()}`, { cause: error });
        await restored.remove();
        return count("recoveries stopped");
      }
      expect(await restored.sql("SELECT count(*)::int AS rows, max(id) AS last FROM counted")).toEqual([
        { rows: row, last: row },
      ]);
      count("restores");
      await restored.remove();
    } finally {
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  }

  async function step(): Promise<void> {
    const choice = draw(20);
    if (choice < 6) return write();
    if (choice < 10) return void (await archive(isCalm() ? 60_000 : 5000));
    if (choice < 14) return backup(TYPES[draw(3)] ?? "full", draw(3) === 0);
    if (choice < 16) return outage();
    if (choice < 18) return restore();
    if (choice === 18) return void (await bed.ours(["heal"]));
    return bed.cluster.sql("CHECKPOINT").then(() => undefined);
  }

  test(
    NIGHTLY
      ? `keeps every acknowledged row for ${MINUTES} minutes`
      : `keeps every acknowledged row over ${STEPS} steps`,
    async () => {
      const endMs = performance.now() + MINUTES * 60_000;
      for (let no = 0; NIGHTLY ? performance.now() < endMs : no < STEPS; no++) await step();
      await calm();
      await write();
      expect(await archive(240_000)).toBe(true);
      await bed.oursOk(["heal"]);
      await backup("incr", false);
      const verified = await bed.oursOk(["verify", "--output=text"]);
      expect(verified.stdout.match(/^status: ok$/gm)).toHaveLength(2);
      for (const repo of [1, 2]) await restore(repo);
      expect(bed.findLeaks()).toEqual([]);
    },
    (MINUTES + 10) * 60_000,
  );
});
