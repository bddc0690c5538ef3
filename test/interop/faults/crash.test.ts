/**
 * SIGKILL at random points of a backup, and two backups at once.
 *
 * Each kill has its own slice of a backup's duration, so that the kills cover all of it. Random kills seldom hit the
 * short phases (start, stop, the wait for WAL, the info files), so these are killed shortly after the log line that
 * begins them. The nightly form kills with more data, and completes a backup after every kill.
 * `PGBACKSTOP_SEED=<number>` repeats the times of an earlier run, which printed its seed.
 */
// claim: README.md: a kill at any point leaves valid repositories
// claim: README.md: stock and ours exclude each other
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Started, sleep, start, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { seededRandom } from "../../harness/context";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

/** Kills by time come first, then the kills by log line. */
const TIMED_KILLS = NIGHTLY ? 16 : 1;
const PHASES = NIGHTLY
  ? [
      "repo1: new backup label = ",
      "execute non-exclusive backup start",
      "backup stop archive = ",
      "check archive for segment(s)",
    ]
  : [];
const KILLS = TIMED_KILLS + PHASES.length;
/** The last kill is followed by one, which removes the lock files. */
const KILLS_PER_BACKUP = NIGHTLY ? 1 : KILLS;
/** Maximum delay of a kill after the log line of its phase. */
const PHASE_MS = 40;

describe("interrupted backups", async () => {
  const parts = await findParts("crashes of backup", 18, "2.60");
  if (parts === null) return;
  const { stock } = parts;
  let server: S3Server;
  let bed: TestBed;
  /** Duration of an undisturbed backup. */
  let backupMs = 0;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { s3: server, compressType: "zst", encrypted: true, options: { bundle: "y" } }],
      // Every kept backup is verified after every kill.
      global: { "repo1-retention-full": "1", "repo2-retention-full": "1", "process-max": "2" },
    });
    await bed.startWithStanza();
    await fillBed(bed, NIGHTLY ? 20_000 : 2_000);
    if (!NIGHTLY) await dropTemplates(bed);
    backupMs = (await bed.oursOk(["backup", "--type=full"])).elapsedMs;
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  const startOurs = (...args: string[]): Promise<Started> =>
    start(bed.runtime.node, bed.oursCommand(["backup", "--type=full", ...args]), {
      user: bed.cluster.user,
      cwd: bed.folder,
      logFile: join(bed.folder, "log", "started-ours.log"),
    });

  /** Starts a backup and kills it at its planned point. Returns false if the backup ended first. */
  const killOne = async (kill: number, random: () => number): Promise<boolean> => {
    const phase = PHASES[kill - TIMED_KILLS];
    const startedAtMs = performance.now();
    const backup = await startOurs();
    const before = backup.log().length;
    if (phase === undefined) {
      await Promise.race([sleep(((kill + random()) / TIMED_KILLS) * backupMs), backup.exited]);
      // At night some kills come before the directory exists. The only kill must leave one behind.
      if (!NIGHTLY)
        await waitFor("a directory", 60_000, async () => unfinished(bed).length > 0 || !backup.isRunning() || null, 5);
    } else {
      await waitFor(
        phase,
        60_000,
        async () => (backup.log().includes(phase, before) || !backup.isRunning() ? true : null),
        5,
      );
      await sleep(random() * PHASE_MS);
    }
    const killed = (await backup.stop("SIGKILL")) !== 0;
    const time = `${Math.round(performance.now() - startedAtMs)} ms${phase === undefined ? "" : ` (${phase})`}`;
    if (killed)
      process.stdout.write(
        `crash: kill ${kill + 1} after ${time}, unfinished in repo1: ${unfinished(bed).join(" ") || "none"}\n`,
      );
    else if (phase === undefined) backupMs = Math.min(backupMs, performance.now() - startedAtMs);
    return killed;
  };

  test(`SIGKILL at ${KILLS} random moments leaves valid repositories, and the next backup cleans up`, async () => {
    const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
    const bytes = seededRandom(seed);
    const random = (): number => (bytes.bytes(1)[0] ?? 0) / 256;
    process.stdout.write(`crash: seed ${seed}, an undisturbed backup takes ${Math.round(backupMs)} ms\n`);
    let leftBehind = 0;
    let kills = 0;
    // A backup that ended before its kill does not count. Try another one with the shorter duration.
    for (let attempt = 1; kills < KILLS && attempt <= 3 * KILLS + 7; attempt++) {
      if (!(await killOne(kills, random))) continue;
      kills++;
      leftBehind += unfinished(bed).length;
      await expectValid(bed);
      if (kills % KILLS_PER_BACKUP !== 0) continue;
      const info = parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout);
      expect(info.status).toMatchObject({ code: 0, message: "ok" });
      expect(new Set(labelsOf(info).map((entry) => entry.repo))).toEqual(new Set([1, 2]));
      backupMs = (await bed.oursOk(["backup", "--type=full"])).elapsedMs;
      expect(unfinished(bed)).toEqual([]);
    }
    expect(kills).toBe(KILLS);
    // Otherwise every kill came too early or too late, and the test proved nothing.
    expect(leftBehind).toBeGreaterThan(0);
    await writeMore(bed);
    await bed.archiveAll();
    for (const key of [1, 2]) {
      const verified = await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"]);
      expect(verified.stdout).toMatch(/^status: ok$/m);
    }
    expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
    expect(await bed.restoreAndCompare({ by: stock, repo: 1 })).toEqual([]);
  }, 1_200_000);

  test("a stock backup at the same time is refused, and ours frees its lock when it is killed", async () => {
    await makeDirty(bed);
    // Without start-fast the backup waits for a checkpoint that PostgreSQL spreads over minutes.
    const held = await startOurs("--no-start-fast");
    await lockTaken(bed, 2);
    for (const key of [1, 2]) {
      const refused = await bed.stock(stock, ["backup", "--type=full", `--repo=${key}`]);
      expect(refused.exitCode).toBe(50);
      expect(refused.stdout).toContain(
        `unable to acquire lock on file '${join(bed.folder, "lock", `main-backup-${key}.lock`)}'`,
      );
    }
    const own = await bed.ours(["backup", "--type=full"]);
    expect(own.exitCode).toBe(50);
    expect(own.stdout).toContain("ERROR: [050]: unable to acquire lock on file");
    expect(parseInfo((await bed.stockOk(stock, ["info", "--output=json"])).stdout).status).toMatchObject({
      lock: { backup: { held: true } },
    });
    await held.stop("SIGKILL");
    // Wait before anyone requests another checkpoint, which would also end this session's wait.
    await waitFor("the end of our session", 120_000, () => sessionsGone(bed));
    await bed.stockOk(stock, ["backup", "--type=full", "--repo=1", "--no-expire-auto"]);
    await bed.oursOk(["backup", "--type=full"]);
  });

  test.runIf(NIGHTLY)(
    "our backup beside a stock one is refused, and stock's frees its lock when it is killed",
    async () => {
      await makeDirty(bed);
      const args = [
        `--config-path=${bed.configPath}`,
        "--stanza=main",
        "--repo=1",
        "--type=full",
        "--no-start-fast",
        "backup",
      ];
      const held = await start(stock.path, args, {
        user: bed.cluster.user,
        cwd: bed.folder,
        logFile: join(bed.folder, "log", "started-stock.log"),
      });
      await lockTaken(bed, 1);
      const refused = await bed.ours(["backup", "--type=full"]);
      expect(refused.exitCode).toBe(50);
      expect(refused.stdout).toContain(
        `unable to acquire lock on file '${join(bed.folder, "lock", "main-backup-1.lock")}': Resource temporarily unavailable`,
      );
      await held.stop("SIGKILL");
      // Stock's session does not notice the kill while it waits for the checkpoint. This ends the wait.
      await bed.cluster.sql("CHECKPOINT");
      await waitFor("the end of stock's session", 120_000, () => sessionsGone(bed));
      const { stdout } = await bed.oursOk(["backup", "--type=full"]);
      expect(stdout.match(/new backup label = /g)).toHaveLength(2);
    },
  );
});

/** Both repositories are valid and have a backup. The interrupted backup is not part of them. */
async function expectValid(bed: TestBed): Promise<void> {
  const { stdout } = await bed.oursOk(["verify", "--output=text", "--verbose"]);
  expect(stdout.match(/^status: ok$/gm)).toHaveLength(2);
  expect(stdout.split(/^repo: 2$/m).map((text) => /backup: \d{8}-\d{6}F, status: valid/.test(text))).toEqual([
    true,
    true,
  ]);
}

/**
 * Waits for the lock of a repository. Ours locks the repository with the highest index last, and writes the file's
 * content once it holds the lock.
 */
async function lockTaken(bed: TestBed, key: number): Promise<void> {
  const path = join(bed.folder, "lock", `main-backup-${key}.lock`);
  await waitFor(`the lock of repo${key}`, 60_000, async () =>
    existsSync(path) && readFileSync(path, "utf8").includes('"pid"') ? true : null,
  );
}

async function sessionsGone(bed: TestBed): Promise<true | null> {
  const count = await bed.cluster.value(
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest%'",
  );
  return count === "0" ? true : null;
}

/** Directories of unfinished backups in repo1. */
function unfinished(bed: TestBed): string[] {
  const root = join(bed.repoPath(1), "backup", bed.stanza);
  return readdirSync(root).filter(
    (name) => /^\d{8}-\d{6}F$/.test(name) && !existsSync(join(root, name, "backup.manifest")),
  );
}

/** Dirties pages, so that the next checkpoint takes a while. */
async function makeDirty(bed: TestBed): Promise<void> {
  await bed.cluster.sql("UPDATE orders SET note = note || '.'; UPDATE documents SET body = body || '.'");
}
