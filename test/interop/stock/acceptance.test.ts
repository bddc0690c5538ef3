/**
 * Eight promises (a) to (h) to users of stock pgBackRest. Each is measured with stock 2.60, if it has the command, and
 * with ours. docs/internals/versus-pgbackrest.md has the table.
 *
 * Two equal hosts run PostgreSQL with two repositories in directories. repo2 is taken away while WAL is written. An
 * outage of an hour is scaled down to tens of segments of 1 MiB: what counts is how many segments wait, not how long.
 * The tests of one host run in sequence and depend on each other.
 */
// claim: README.md: `archive-get` never mistakes a fault for the end of the archive, and a recovery does not end there
// claim: README.md: what differs from stock when a repository fails
// claim: docs/internals/versus-pgbackrest.md: the table of failures, both columns
import { NIGHTLY } from "../../../tools/parts/nightly";
import { chmodSync, existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { type RunResult, waitFor } from "../../../tools/parts/process";
import { compareChecksums, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { type InfoStanza, labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { findParts } from "../../harness/real/interopParts";
import { bringBack, takeAway } from "../../harness/network/outage";
import { dropTemplates } from "../../harness/real/sampleData";
import { findStoredSegment, storingDelaysS, writeSegments } from "../../harness/real/segments";
import { TestBed } from "../../harness/real/testBed";

/** Segments written during an outage. A busy server writes more in an hour. */
const SEGMENTS = 16;
/** The limit for "within seconds" on two busy cores. */
const DELAY_S_MAX = 10;
const WAIT_MS = 120_000;
/** A segment that no repository holds. */
const NOWHERE = "0000000100000000000000FF";

describe("the promises beside stock", async () => {
  const parts = await findParts("acceptance", 18, "2.60");
  if (parts === null) return;
  const { stock } = parts;

  const create = async (archiver: "ours" | StockPgbackrest): Promise<TestBed> => {
    const bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{}, {}],
      archiver,
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: { wal_keep_size: 0, min_wal_size: "2MB", max_wal_size: "1GB" },
      global: {
        "archive-timeout": "4",
        "process-max": "2",
        "repo1-retention-full": "9",
        "repo2-retention-full": "9",
        ...(archiver === "ours" ? {} : { "archive-async": "y" }),
      },
    });
    await bed.cluster.start();
    await bed.cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text) TABLESPACE space");
    await dropTemplates(bed);
    return bed;
  };

  const beds: TestBed[] = [];
  beforeAll(async () => {
    const [theirs, ours] = await Promise.all([create(stock), create("ours")]);
    beds.push(theirs, ours);
    const withStock = async (): Promise<void> => {
      await theirs.stockOk(stock, ["stanza-create"]);
      for (const key of [1, 2]) await theirs.stockOk(stock, ["backup", "--type=full", `--repo=${key}`]);
      await theirs.archiveAll();
    };
    const withOurs = async (): Promise<void> => {
      await ours.oursOk(["stanza-create"]);
      await ours.oursOk(["backup", "--type=full"]);
      await ours.archiveAll();
    };
    await Promise.all([withStock(), withOurs()]);
  });
  afterAll(() => Promise.all(beds.map((bed) => bed.remove())));

  const bedAt = (index: number): TestBed => {
    const bed = beds[index];
    if (bed === undefined) throw new Error("the beds were not made");
    return bed;
  };

  describe.runIf(NIGHTLY)("stock 2.60, async, process-max 2", () => {
    let bed: TestBed;
    let names: string[] = [];
    const run = (...args: string[]): Promise<RunResult> => bed.stock(stock, args);

    beforeAll(() => {
      bed = bedAt(0);
    });

    test("(h) a failed expire fails a backup that is complete", async () => {
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
      const result = await run("backup", "--type=full");
      expect(result.stdout).toContain("backup command end: completed successfully");
      expect(result.exitCode).toBe(104);
      expect(await labels(run)).toHaveLength(2);
    });

    test("(a) while repo2 is down, repo1 gets a few of the waiting segments and then none", async () => {
      names = await writeSegments(bed, SEGMENTS);
      // Its processes redistribute these few at each attempt. On a busy machine the last one arrives late.
      let [before, after] = [-1, storedIn(bed, 1, names).length];
      for (let round = 0; after !== before && round < 6; round++) {
        await moreFailures(bed, 3);
        [before, after] = [after, storedIn(bed, 1, names).length];
      }
      report(
        `stock: ${after} of ${SEGMENTS} segments in repo1 after ${await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")} failures`,
      );
      expect(after).toBeLessThanOrEqual(4);
      expect(after).toBe(before);
    });

    test("(h) every backup fails with 82, even in the healthy repository alone", async () => {
      const result = await run("backup", "--type=full", "--repo=1");
      expect(result.exitCode).toBe(82);
      expect(await labels(run)).toHaveLength(2);
    });

    test("(f) check stops at the first repository that fails and does not report repo1; info exits 0", async () => {
      const checked = await run("check");
      expect(checked.exitCode).toBe(41);
      expect(checked.stdout).not.toMatch(/repo1: |archived to repo1|repo2: /);
      const info = await run("info");
      expect(info.exitCode).toBe(0);
      expect(info.stdout).toContain("repo2: error (other)");
    });

    test("(g) archive-get says 'not found' (1) while repo2 is unreadable", async () => {
      expect((await run("archive-get", "--no-archive-async", NOWHERE, join(bed.folder, "side", "got"))).exitCode).toBe(
        1,
      );
    });

    test("(b, d) archive-push-queue-max drops WAL of the healthy repository too, counted as archived and recorded nowhere", async () => {
      // Only segments wait here. With a backup's history file among them, stock 2.60 dropped nothing.
      bringBack(bed.repoPath(2));
      await nudge(bed);
      await bed.archiveAll();
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
      names = await writeSegments(bed, SEGMENTS);
      await moreFailures(bed, 3);
      bed.writeVariant(bed.configPath, { global: { "archive-push-queue-max": "6MiB" } });
      const archived = async (): Promise<number> =>
        Number(await bed.cluster.value("SELECT archived_count FROM pg_stat_archiver"));
      const before = await archived();
      await waitFor(
        "dropping",
        WAIT_MS,
        async () => ((await nudge(bed), await archived()) >= before + SEGMENTS / 2 ? true : null),
        500,
      );
      expect(bed.logs()).toMatch(/WARN: dropped WAL file '[0-9A-F]{24}' because archive queue exceeded 6MB/);
      const lost = names.slice(0, SEGMENTS / 2).filter((name) => findStoredSegment(bed, 1, name) === null);
      report(`stock: ${lost.length} of the first ${SEGMENTS / 2} segments dropped for repo1, which was well`);
      expect(lost.length).toBeGreaterThan(1);
      expect((await run("info", "--output=json")).stdout).not.toContain(lost[0]);
    });

    test("(b, c) when repo2 is back, the dropped segments arrive in neither repository", async () => {
      bringBack(bed.repoPath(2));
      bed.writeVariant(bed.configPath, {});
      await nudge(bed);
      await bed.archiveAll();
      await bed.cluster.sql("CHECKPOINT");
      const gone = names.filter(
        (name) => !existsSync(bed.walFile(name)) && [1, 2].some((key) => findStoredSegment(bed, key, name) === null),
      );
      expect(gone.length).toBeGreaterThan(1);
    });

    test("(e) verify reports ok and exits 0 despite missing segments; ours names the gap in stock's repository and exits 26", async () => {
      for (const key of [1, 2]) {
        const verified = await run("verify", `--repo=${key}`, "--output=text", "--verbose");
        expect(verified.exitCode).toBe(0);
        expect(verified.stdout).toMatch(/^status: ok$/m);
        expect(verified.stdout).not.toMatch(/missing: [1-9]/);
      }
      const seen = await bed.ours(["verify", "--output=text"]);
      expect(seen.exitCode).toBe(26);
      expect(seen.stdout.match(/^status: error$/gm)).toHaveLength(2);
      const missing = names.filter((name) => findStoredSegment(bed, 1, name) === null);
      expect(seen.stdout).toContain(`WAL gap: ${missing[0]} to ${missing.at(-1)}`);
    });
  });

  describe("ours", () => {
    let bed: TestBed;
    let names: string[] = [];
    const run = (...args: string[]): Promise<RunResult> => bed.ours(args);
    const archiver = (column: "archived_count" | "failed_count"): Promise<string> =>
      bed.cluster.value(`SELECT ${column} FROM pg_stat_archiver`);
    const reported = async (): Promise<InfoStanza["repo"]> =>
      parseInfo((await run("info", "--output=json")).stdout).repo;
    const missingWal = async (): Promise<number[]> => (await reported()).map((repo) => repo["wal-missing"] ?? 0);

    beforeAll(() => {
      bed = bedAt(1);
    });

    test("(a) while repo2 is down, repo1 has every segment within seconds of being ready", async () => {
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
      const before = Number(await archiver("archived_count"));
      names = await writeSegments(bed, SEGMENTS);
      await waitFor("repo1 to hold every segment", WAIT_MS, async () =>
        storedIn(bed, 1, names).length === SEGMENTS ? true : null,
      );
      await waitFor("acknowledgement", WAIT_MS, async () =>
        Number(await archiver("archived_count")) >= before + SEGMENTS ? true : null,
      );
      const longest = Math.max(...storingDelaysS(bed, names));
      report(`ours: ${SEGMENTS} of ${SEGMENTS} segments in repo1, the slowest after ${longest.toFixed(2)} s`);
      expect(longest).toBeLessThan(DELAY_S_MAX);
    });

    test("(b, c) policy any: acknowledged without a failure, counted as missing WAL of repo2, and pg_wal shrinks", async () => {
      expect(await archiver("failed_count")).toBe("0");
      expect(await missingWal()).toEqual([0, SEGMENTS]);
      expect((await run("info")).stdout).toContain(`repo2 wal missing: ${SEGMENTS} segment(s)`);
      await shrinks(bed, names);
    });

    test("(f) policy any: check and info list both repositories and exit 0", async () => {
      const checked = await run("check");
      expect(checked.exitCode).toBe(0);
      expect(checked.stdout).toContain("repo1: configuration and archive are valid");
      expect(checked.stdout).toMatch(/WARN: repo2: \[FileOpenError\][\s\S]*Not a directory/);
      const info = await run("info");
      expect(info.exitCode).toBe(0);
      expect(info.stdout).toMatch(/repo1: ok\n\s+repo2: error \(other\)\n\s+\[FileOpenError\]/);
    });

    test("(h) a backup succeeds for repo1 and its exit code says partial: 104", async () => {
      const result = await run("backup", "--type=full");
      expect(result.exitCode).toBe(104);
      expect(result.stdout).toMatch(/repo1: new backup label = /);
      expect(result.stdout).toMatch(/ERROR: \[104\]: backup command encountered error\(s\):\n\s+repo2: /);
      expect(labelsOf(parseInfo((await run("info", "--output=json")).stdout)).map((entry) => entry.repo)).toEqual([
        1, 1,
      ]);
    });

    test.each(["blocked", "unmounted"] as const)(
      "(g) archive-get cannot decide while repo2 is %s: 103, never 1",
      async (absence) => {
        bringBack(bed.repoPath(2));
        takeAway(bed.repoPath(2), absence, bed.cluster.user);
        const result = await run("archive-get", NOWHERE, join(bed.folder, "side", "got"));
        expect(result.exitCode).toBe(103);
        expect(result.stdout).toContain(`unable to determine whether ${NOWHERE} is in the archive`);
        // archive-get still returns segments of repo1.
        await bed.oursOk(["archive-get", names[0] ?? "", join(bed.folder, "side", "got")]);
      },
    );

    test("(g) recovery does not stop at repo1's end while repo2 is unreadable: it aborts, and completes once repo2 is back", async () => {
      // Leave one segment that only repo2 has.
      bringBack(bed.repoPath(2));
      await bed.oursOk(["heal"]);
      const [name] = names.slice(-4);
      const only = findStoredSegment(bed, 1, name ?? "") ?? "";
      renameSync(only, `${only}.away`);
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
      const expected = await bed.cluster.tableChecksums();
      const config = bed.variant("impatient", { global: { "archive-timeout": "1" } });
      const { dataPath } = await bed.restoreAside({ by: null, config });
      const restored = TestCluster.adopt({ binaries: parts.binaries, dataPath });
      try {
        await restored.start().catch(() => undefined);
        await waitFor("the end of the server", WAIT_MS, async () => (restored.isRunning() ? null : true));
        // Recovery first requests a history file, to detect newer timelines.
        expect(restored.logTail()).toContain(
          'could not restore file "00000002.history" from archive: child process exited with exit code 255',
        );
        bringBack(bed.repoPath(2));
        await restored.start();
        await restored.waitForRecovery();
        expect(compareChecksums(expected, await restored.tableChecksums())).toEqual([]);
      } finally {
        await restored.remove();
        renameSync(`${only}.away`, only);
      }
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
    });

    test("(b, f) policy all: nothing is acknowledged, nothing dropped, repo1 stays current; check and info exit 104", async () => {
      bed.writeVariant(bed.configPath, { settings: { acknowledge: "all" } });
      const before = await archiver("archived_count");
      const more = await writeSegments(bed, SEGMENTS / 2);
      await waitFor("repo1 to hold every segment", WAIT_MS, async () =>
        (await nudge(bed), storedIn(bed, 1, more).length) === more.length ? true : null,
      );
      await moreFailures(bed, 1);
      expect(await archiver("archived_count")).toBe(before);
      await bed.cluster.sql("CHECKPOINT");
      expect(more.filter((name) => existsSync(bed.walFile(name)))).toEqual(more);
      for (const verb of ["check", "info"]) {
        const result = await run(verb);
        expect(result.exitCode).toBe(104);
        for (const key of [1, 2]) expect(result.stdout).toMatch(new RegExp(`repo${key}: `));
      }
      // The operator declares that repo1 is enough.
      bed.writeVariant(bed.configPath, { settings: { acknowledge: ["repo1"] } });
      await waitFor(
        "acknowledgement",
        WAIT_MS,
        async () => ((await nudge(bed), existsSync(bed.walFile(`archive_status/${more.at(-1)}.ready`))) ? null : true),
        500,
      );
      await shrinks(bed, more);
      names.push(...more);
    });

    test("(c) heal copies repo2's missing WAL from repo1, without pg_wal", async () => {
      bringBack(bed.repoPath(2));
      expect(storedIn(bed, 2, names.slice(SEGMENTS))).toEqual([]);
      const missing = (await missingWal())[1] ?? 0;
      const healed = await bed.oursOk(["heal"]);
      expect(healed.stdout).toContain(
        `repo2: ${missing} missing WAL file(s) copied, 0 no longer missing, 0 could not be copied`,
      );
      expect(storedIn(bed, 2, names)).toEqual(names);
      expect(await missingWal()).toEqual([0, 0]);
      for (const key of [1, 2]) {
        expect((await bed.stockOk(stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"])).stdout).toMatch(
          /^status: ok$/m,
        );
      }
    });

    test("(e) verify names a segment that is missing after a backup's start, exit 26, and heal restores it", async () => {
      const name = names[3] ?? "";
      rmSync(findStoredSegment(bed, 1, name) ?? "");
      const verified = await run("verify", "--output=text");
      expect(verified.exitCode).toBe(26);
      expect(verified.stdout).toContain(`WAL gap: ${name} to ${name}`);
      await bed.oursOk(["heal"]);
      expect(findStoredSegment(bed, 1, name)).not.toBeNull();
    });

    test("(h) a failed expire is reported and changes nothing about the backup: 0", async () => {
      const [old] = labelsOf(parseInfo((await run("info", "--output=json")).stdout)).filter(
        (entry) => entry.repo === 2,
      );
      const stuck = join(bed.repoPath(2), "backup", bed.stanza, old?.label ?? "", "pg_data");
      chmodSync(stuck, 0o500);
      const config = bed.variant("short", { global: { "repo2-retention-full": "1" } });
      const result = await bed.ours(["backup", "--type=full"], { config });
      chmodSync(stuck, 0o700);
      expect(result.stdout).toMatch(/ERROR: \[061\]: repo2: /);
      expect(result.stdout).toContain("WARN: the backup is complete, but removing expired backups failed");
      expect(result.exitCode).toBe(0);
    });

    test("(d) archive-push-queue-max while repo1 is healthy loses nothing: repo2's missing WAL is recorded", async () => {
      const limited = { global: { "archive-push-queue-max": "6MiB" }, settings: { acknowledge: "all" } };
      takeAway(bed.repoPath(2), "blocked", bed.cluster.user);
      bed.writeVariant(bed.configPath, limited);
      names = await writeSegments(bed, SEGMENTS / 2);
      const waiting = (): string[] => names.filter((name) => existsSync(bed.walFile(`archive_status/${name}.ready`)));
      await waitFor(
        "a shorter queue",
        WAIT_MS,
        async () => ((await nudge(bed), waiting().length) <= 6 ? true : null),
        500,
      );
      expect(storedIn(bed, 1, names)).toEqual(names);
      expect((await reported())[1]).toMatchObject({ "wal-missing": expect.any(Number) });
      expect(await reported()).not.toContainEqual(expect.objectContaining({ "wal-dropped": expect.any(Number) }));
      bringBack(bed.repoPath(2));
      await nudge(bed);
      await bed.archiveAll();
      await bed.oursOk(["heal"]);
      expect(storedIn(bed, 2, names)).toEqual(names);
    });

    // claim: docs/agent.md: `archive-push-queue-max` drops only segments…
    test("(d) with every repository down, each drop is recorded for each, and info and check report it until a later backup begins", async () => {
      for (const key of [1, 2]) takeAway(bed.repoPath(key), "blocked", bed.cluster.user);
      names = await writeSegments(bed, SEGMENTS / 2);
      const waiting = (): string[] => names.filter((name) => existsSync(bed.walFile(`archive_status/${name}.ready`)));
      await waitFor(
        "a shorter queue",
        WAIT_MS,
        async () => ((await nudge(bed), waiting().length) <= 6 ? true : null),
        500,
      );
      for (const key of [1, 2]) bringBack(bed.repoPath(key));
      bed.writeVariant(bed.configPath, { settings: { acknowledge: "any" } });
      await nudge(bed);
      await bed.archiveAll();
      const dropped = names.filter((name) => findStoredSegment(bed, 1, name) === null);
      expect(dropped.length).toBeGreaterThan(0);
      for (const repo of await reported()) expect(repo).toMatchObject({ "wal-dropped": dropped.length });
      expect((await run("info")).exitCode).toBe(103);
      expect((await run("check")).exitCode).toBe(103);
      const verified = await run("verify", "--output=text");
      expect(verified.exitCode).toBe(26);
      expect(verified.stdout).toContain(`WAL gap: ${dropped[0]} to ${dropped.at(-1)}`);
      await bed.oursOk(["backup", "--type=full"]);
      for (const repo of await reported()) expect(repo).not.toHaveProperty("wal-dropped");
      await bed.oursOk(["info"]);
      await bed.oursOk(["check"]);
    });
  });
});

/** The segments of `names` that a repository holds. */
function storedIn(bed: TestBed, key: number, names: readonly string[]): string[] {
  return names.filter((name) => findStoredSegment(bed, key, name) !== null);
}

/** Labels in repo1. */
async function labels(run: (...args: string[]) => Promise<RunResult>): Promise<string[]> {
  return labelsOf(parseInfo((await run("info", "--output=json")).stdout)).flatMap((entry) =>
    entry.repo === 1 ? [entry.label] : [],
  );
}

/** Wakes an archiver that pauses for up to a minute after three failures. */
async function nudge(bed: TestBed): Promise<void> {
  await bed.cluster.sql("SELECT pg_reload_conf()");
}

/** Waits for `count` more failures of the archiver. */
async function moreFailures(bed: TestBed, count: number): Promise<void> {
  const failures = async (): Promise<number> =>
    Number(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver"));
  const before = await failures();
  await waitFor(
    `${count} failures`,
    WAIT_MS,
    async () => ((await nudge(bed), await failures()) >= before + count ? true : null),
    200,
  );
}

/** Waits until checkpoints have removed `names`. */
async function shrinks(bed: TestBed, names: readonly string[]): Promise<void> {
  await bed.cluster.sql("CHECKPOINT");
  // PostgreSQL may still need the newest segments.
  await waitFor("removal of WAL", WAIT_MS, async () =>
    names.slice(0, -2).some((name) => existsSync(bed.walFile(name))) ? null : true,
  );
}

function report(text: string): void {
  process.stdout.write(`${text}\n`);
}
