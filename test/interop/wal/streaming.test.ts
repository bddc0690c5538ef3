/**
 * Streamed WAL. The test repeatedly kills a primary under load together with its agent and its disk, then restores it
 * from a repository.
 *
 * A client records when each commit was acknowledged. The oldest lost commit is never older than the streaming interval
 * plus the measured time that a position takes to reach the repository. Stock does not know the stream: it ends at the
 * last full segment and reports nothing wrong. The nightly form kills 20 times instead of once (once with PostgreSQL
 * 17). `PGBACKSTOP_SEED` repeats a run.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseChunkName } from "../../../runtime/format/wal/streamChunk";
import { formatLsn, lsnOfSegment, parseLsn } from "../../../runtime/format/wal/walSegment";
import { sleep, waitFor } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { agentPaths, AgentProcess, archiveCommandOf } from "../../harness/real/agentProcess";
import { seededRandom } from "../../harness/context";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { requireOk, type RestoreOptions, TestBed } from "../../harness/real/testBed";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const KILLS = NIGHTLY ? 20 : 1;
const INTERVAL_MS = 2000;
/** Delays of the test machine: from a commit until the client sees it, and from the kill until it takes effect. */
const SLACK_MS = 1500;

interface Commit {
  readonly id: number;
  readonly ackMs: number;
}

describe.each(atNight(18, 17))("streamed WAL of PostgreSQL %i", async (major) => {
  const isWhole = major === 18;
  const kills = isWhole ? KILLS : 1;
  const parts = await findParts(`streamed WAL of PostgreSQL ${major}`, major, "2.60");
  if (parts === null) return;
  const paths = agentPaths();
  let server: S3Server;
  let bed: TestBed;
  let agent: AgentProcess;

  const startAgent = (configPath = bed.configPath, at = paths): Promise<AgentProcess> =>
    AgentProcess.start({ paths: at, runtime: bed.runtime, configPath, stanza: bed.stanza });
  /** Positions up to which each repository is complete, as the agent reports them; 0 if nothing is streamed. */
  const streamed = async (asked = agent): Promise<bigint[]> => {
    const { stdout, stderr } = await asked.ask(bed.cluster.dataPath, ["status"]);
    return [...`${stdout}${stderr}`.matchAll(/streamed=(\S+)/g)].map(([, lsn = ""]) =>
      lsn === "none" ? 0n : parseLsn(lsn),
    );
  };

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "zst" }, { s3: server, compressType: "lz4", encrypted: true }],
      acknowledge: "any",
      settings: { archive_command: archiveCommandOf(paths) },
      global: { "archive-timeout": "20", "io-timeout": "10" },
    });
    bed.writeVariant(bed.configPath, { settings: { stream: { intervalSeconds: INTERVAL_MS / 1000 } } });
    agent = await startAgent();
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE commits (id int PRIMARY KEY, filler text)");
    await bed.oursOk(["backup", "--type=full"]);
  }, 300_000);

  afterAll(async () => {
    await agent?.stop("SIGKILL");
    await bed?.remove();
    await server?.remove();
    rmSync(paths.folder, { recursive: true, force: true });
  });

  // claim: docs/streaming.md: a primary that dies with its disk loses no commit older than the interval and the upload
  //   time (20 times in the nightly form)
  test(`${kills} primaries die with their disks: the lost time never exceeds the interval and the upload`, {
    timeout: 1_200_000,
  }, async () => {
    const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
    process.stdout.write(`streaming: PGBACKSTOP_SEED=${seed}\n`);
    const bytes = seededRandom(seed);
    const random = (): number => (bytes.bytes(1)[0] ?? 0) / 256;
    let worstMs = 0;
    for (let kill = 0, next = 1; kill < kills; kill++) {
      const { commits, delaysMs, idleMs, killedAtMs } = await loadUntilKilled(
        next,
        1000 + random() * (NIGHTLY ? 6000 : 2000),
        random(),
      );
      const repo = (kill % 2) + 1;
      await bed.oursOk(["restore", `--repo=${repo}`]);
      agent = await startAgent();
      // Processes of the killed server hold its shared memory until they notice that it is gone.
      await waitFor("the end of the killed server's processes", 60_000, () =>
        bed.cluster.start({}, { timeoutMs: 180_000 }).then(
          () => true as const,
          (error: unknown) => {
            if (String(error).includes("pre-existing shared memory block")) return null;
            throw error;
          },
        ),
      );
      await bed.cluster.waitForRecovery();
      const last = Number(await bed.cluster.value("SELECT coalesce(max(id), 0) FROM commits"));
      // No commit in between is missing.
      expect(await bed.cluster.value("SELECT count(*) FROM commits")).toBe(String(last));
      const lost = commits.filter(({ id }) => id > last);
      const lostMs = lost.length === 0 ? 0 : killedAtMs - (lost[0]?.ackMs ?? 0);
      worstMs = Math.max(worstMs, lostMs);
      const latencyMs = Math.max(idleMs, ...delaysMs.map((delayMs) => delayMs - INTERVAL_MS));
      process.stdout.write(
        `streaming: kill ${kill + 1} from repo${repo}: ${commits.length} commits, ${lost.length} lost, the oldest ${Math.round(lostMs)} ms old; the longest time to ship ${Math.round(latencyMs)} ms\n`,
      );
      expect(commits.length).toBeGreaterThan(0);
      expect(lostMs).toBeLessThanOrEqual(INTERVAL_MS + latencyMs + SLACK_MS);
      expect(await bed.cluster.value("SELECT timeline_id FROM pg_control_checkpoint()")).toBe(String(kill + 2));
      next = last + 1;
      // Otherwise each recovery replays all WAL written so far.
      if (kill % 4 === 2) await bed.oursOk(["backup", "--type=incr"]);
    }
    process.stdout.write(`streaming: the oldest lost commit of all was ${Math.round(worstMs)} ms old\n`);
  });

  // claim: docs/find.md: a lost host's stream…
  // claim: docs/streaming.md: stock's verify, check, info and expire ignore the stream, and its restore ends at the
  //   last complete segment
  test.runIf(isWhole)(
    "the restored server is consistent, continues to archive, and stock ignores the stream but stops at the last complete segment",
    async () => {
      await bed.cluster.sql("CREATE EXTENSION IF NOT EXISTS amcheck");
      await bed.cluster.sql("SELECT bt_index_check('commits_pkey', true)");
      expect(await bed.cluster.value("SELECT count(*) FROM verify_heapam('commits')")).toBe("0");
      await bed.oursOk(["check"]);
      await bed.stockOk(parts.stock, ["check"]);
      await bed.archiveAll();
      const whole = Number(await bed.cluster.value("SELECT count(*) FROM commits"));
      await bed.cluster.sql("INSERT INTO commits SELECT 1000000 + n FROM generate_series(1, 12) n");
      await bed.cluster.sql("DELETE FROM commits WHERE id > 1000010");
      await untilStreamed();
      // As on another host, which does not have this server's pg_wal.
      const { stdout } = await bed.oursOk([
        "find",
        "--table=commits",
        "--output=json",
        `--pg1-path=${join(bed.folder, "nowhere")}`,
      ]);
      const { transactions } = JSON.parse(stdout) as {
        transactions: { source: string; markers: { kind: string; rows: number }[] }[];
      };
      expect(
        transactions.map(({ markers, source }) => [source, markers.map(({ kind, rows }) => [kind, rows])]),
      ).toEqual([["stream", [["delete", 2]]]]);
      for (const key of [1, 2]) {
        expect(
          (await bed.stockOk(parts.stock, ["verify", `--repo=${key}`, "--output=text", "--verbose"])).stdout,
        ).toMatch(/^status: ok$/m);
        await bed.stockOk(parts.stock, ["expire", `--repo=${key}`]);
        await bed.oursOk(["verify", `--repo=${key}`]);
        await bed.oursOk(["expire", `--repo=${key}`]);
      }
      await bed.stockOk(parts.stock, ["info"]);
      expect(await rowsOf({ by: parts.stock, repo: 1 })).toBe(whole);
      expect(await rowsOf({ by: null, repo: 2 })).toBe(whole + 10);
    },
  );

  // claim: docs/streaming.md: info, status and metrics report its progress, verify detects a damaged chunk, check names
  //   obstacles while archiving continues
  test.runIf(isWhole)("info, status, metrics and verify report it, and verify detects a damaged chunk", async () => {
    await bed.cluster.sql("INSERT INTO commits SELECT 1500000 + n FROM generate_series(1, 10) n");
    await untilStreamed();
    const lsn = await flushed();
    const state = async (): Promise<{ key: number; stream: { at: number; behind: number; lsn: string } | null }[]> => {
      const { stdout } = await bed.ours(["status", "--output=json"]);
      return (
        JSON.parse(stdout) as { repos: { key: number; stream: { at: number; behind: number; lsn: string } | null }[] }
      ).repos;
    };
    const repos = await waitFor("what the agent tells", 60_000, async () => {
      const result = await state();
      return result.every(({ stream }) => stream !== null && parseLsn(stream.lsn) >= lsn) ? result : null;
    });
    for (const { stream } of repos) expect(Math.abs(Date.now() / 1000 - (stream?.at ?? 0))).toBeLessThan(60);
    const [info] = JSON.parse((await bed.oursOk(["info", "--output=json"])).stdout) as {
      repo: { "wal-stream"?: { lsn: string } }[];
    }[];
    for (const { "wal-stream": stream } of info?.repo ?? [])
      expect(parseLsn(stream?.lsn ?? "0/0")).toBeGreaterThanOrEqual(lsn);
    expect((await bed.oursOk(["info"])).stdout.match(/^ +repo[12] wal stream: up to /gm)).toHaveLength(2);
    expect((await bed.oursOk(["metrics"])).stdout.match(/^pgbackstop_repo_stream_timestamp_seconds\{/gm)).toHaveLength(
      2,
    );
    // A running agent merges chunks and removes those of archived segments, so this chunk would disappear.
    await agent.stop();
    const folder = join(bed.repoPath(1), "pgbackstop", bed.stanza, "stream", `${major}-1`);
    const [name = ""] = readdirSync(folder).filter((each) => parseChunkName(each) !== null);
    const content = readFileSync(join(folder, name));
    // One changed bit can leave the decompressed bytes as they were.
    writeFileSync(join(folder, name), Buffer.from(content).fill(0, Math.floor(content.length / 2)));
    const { exitCode, stdout, stderr } = await bed.ours(["verify", "--repo=1"]);
    writeFileSync(join(folder, name), content);
    expect([exitCode, `${stdout}${stderr}`]).toEqual([
      26,
      expect.stringContaining(`damaged streamed WAL 'pgbackstop/${bed.stanza}/stream/${major}-1/${name}'`),
    ]);
    await bed.oursOk(["verify", "--repo=1"]);
    agent = await startAgent();
  });

  // claim: docs/streaming.md: info, status and metrics…
  test.runIf(isWhole && NIGHTLY)(
    "check names obstacles and remedies; the agent reports them too, and continues to archive",
    { timeout: 600_000 },
    async () => {
      expect((await bed.oursOk(["check", "--log-level-console=info"])).stdout).toContain(
        "WAL is received from this server and streamed",
      );
      await bed.cluster.sql("CREATE ROLE plain LOGIN; GRANT pg_read_all_settings TO plain");
      await bed.cluster.sql("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO plain");
      const plain = bed.variant("plain", {
        settings: { stream: { intervalSeconds: INTERVAL_MS / 1000 } },
        stanza: { "pg1-user": "plain" },
      });
      const refused = await bed.ours(["check"], { config: plain });
      expect([refused.exitCode, `${refused.stdout}${refused.stderr}`]).toEqual([
        56,
        expect.stringContaining("the role 'plain' is neither a superuser nor has REPLICATION"),
      ]);
      expect(`${refused.stdout}${refused.stderr}`).toContain('HINT: ALTER ROLE "plain" REPLICATION');
      await agent.stop();
      const before = agent.log().length;
      agent = await startAgent(plain);
      const reported = (): string => agent.log().slice(before);
      await waitFor("the agent's word", 60_000, async () =>
        /WARN: WAL is not streamed: .*permission denied/.test(reported()) ? true : null,
      );
      expect(reported()).toContain('HINT: ALTER ROLE "plain" REPLICATION');
      await bed.archiveAll();
      const { stderr, stdout } = await agent.ask(bed.cluster.dataPath, ["status"]);
      expect(`${stdout}${stderr}`.match(/ streamed=none stream-error=056 /g)).toHaveLength(2);
      await bed.cluster.sql("ALTER ROLE plain REPLICATION");
      await untilStreamed();
      await bed.oursOk(["check"], { config: plain });
      await agent.stop();
      agent = await startAgent();
      await bed.cluster.alterSystem({ max_wal_senders: 0 });
      await bed.cluster.restart();
      const none = await bed.ours(["check"]);
      expect([none.exitCode, `${none.stdout}${none.stderr}`]).toEqual([
        67,
        expect.stringContaining("max_wal_senders is 0"),
      ]);
      await bed.archiveAll();
      await bed.cluster.sql("ALTER SYSTEM RESET max_wal_senders");
      await bed.cluster.restart();
      await untilStreamed();
      await bed.oursOk(["check"]);
    },
  );

  // claim: docs/streaming.md: a repository that is down delays nothing; SIGTERM ships the received bytes; a standby is
  //   streamed from only once it is promoted
  test.runIf(isWhole)("a repository that is down delays nothing, and has everything when it is back", async () => {
    await server.stop();
    await bed.cluster.sql("INSERT INTO commits SELECT 2000000 + n FROM generate_series(1, 10) n");
    const lsn = await flushed();
    await waitFor("repo1", 90_000, async () => (((await streamed())[0] ?? 0n) >= lsn ? true : null));
    expect((await streamed())[1]).toBeLessThan(lsn);
    await server.start();
    await waitFor("repo2", 90_000, async () => (((await streamed())[1] ?? 0n) >= lsn ? true : null));
  });

  // claim: docs/streaming.md: a repository that is…
  test.runIf(isWhole)(
    "SIGTERM ships the received bytes, and a restart of the server starts a new session",
    async () => {
      await agent.stop();
      const rows = Number(await bed.cluster.value("SELECT count(*) FROM commits"));
      const seldom = bed.variant("seldom", { settings: { stream: { intervalSeconds: 3600 } } });
      const before = await flushed();
      agent = await startAgent(seldom);
      // Its first upload may come before it has received all, and the second one an hour later.
      while (!(await isSoonStreamed(before))) {
        await agent.stop();
        agent = await startAgent(seldom);
      }
      await bed.cluster.sql("INSERT INTO commits SELECT 3000000 + n FROM generate_series(1, 10) n");
      const lsn = await flushed();
      // On SIGTERM the agent ships only what it has received. It has received this WAL if it answers a later request.
      await bed.cluster.waitForValue(
        `SELECT coalesce(max(sent_lsn), '0/0') >= '${formatLsn(lsn)}' FROM pg_stat_replication`,
        "true",
      );
      await streamed();
      await sleep(500);
      expect(shipped()).toBeLessThan(lsn);
      await agent.stop();
      expect(shipped()).toBeGreaterThanOrEqual(lsn);
      agent = await startAgent();
      await bed.cluster.restart();
      await bed.cluster.sql("INSERT INTO commits VALUES (4000000)");
      await untilStreamed();
      expect(await rowsOf({ by: null, repo: 1 })).toBe(rows + 11);
    },
  );

  // Must run last: it removes the primary.
  // claim: docs/streaming.md: a repository that is…
  test.runIf(isWhole && NIGHTLY)("a standby is streamed only after its promotion, and then immediately", async () => {
    const standby = await bed.cluster.createStandby({ archive_command: "false" });
    const second = agentPaths();
    const config = bed.variant("standby", {
      settings: { stream: { intervalSeconds: INTERVAL_MS / 1000 } },
      stanza: { "pg1-path": standby.dataPath, "pg1-socket-path": standby.socketPath, "pg1-port": String(standby.port) },
    });
    const other = await startAgent(config, second);
    try {
      await bed.cluster.sql("INSERT INTO commits VALUES (5000000)");
      await bed.cluster.waitForStandby(standby);
      expect(await streamed(other)).toEqual([0n, 0n]);
      await Promise.all([agent.stop("SIGKILL"), bed.cluster.stop("immediate")]);
      await standby.sql("SELECT pg_promote()");
      await standby.alterSystem({ archive_command: archiveCommandOf(second) });
      await standby.sql("INSERT INTO commits VALUES (5000001)");
      const lsn = parseLsn(await standby.value("SELECT pg_current_wal_flush_lsn()"));
      await waitFor("the promoted one's stream", 60_000, async () => ((await isStreamed(lsn, other)) ? true : null));
      expect(other.log()).toMatch(/streaming WAL of timeline \d+ from/);
      await waitFor("its history", 60_000, async () =>
        existsSync(standby.dataPath) && other.log().includes(".history") ? true : null,
      );
      expect(await rowsOf({ by: null, repo: 1 }, "SELECT count(*) FROM commits WHERE id >= 5000000")).toBe(2);
    } finally {
      await other.stop("SIGKILL");
      await standby.remove();
      rmSync(second.folder, { recursive: true, force: true });
    }
  });

  /** Position up to which the directory of repo1 has chunks. */
  function shipped(): bigint {
    const folder = join(bed.repoPath(1), "pgbackstop", bed.stanza, "stream", `${major}-1`);
    const ends = readdirSync(folder).flatMap((name) => {
      const chunk = parseChunkName(name);
      return chunk === null ? [] : [lsnOfSegment(chunk.segment, 16 * 1024 * 1024) + BigInt(chunk.end)];
    });
    return ends.reduce((most, end) => (end > most ? end : most), 0n);
  }

  async function isStreamed(lsn: bigint, asked = agent): Promise<boolean> {
    const reached = await streamed(asked);
    return reached.length === 2 && reached.every((each) => each >= lsn);
  }

  const isSoonStreamed = (lsn: bigint): Promise<boolean> =>
    waitFor("both repositories", 15_000, async () => ((await isStreamed(lsn)) ? true : null)).catch(() => false);

  const flushed = async (): Promise<bigint> => parseLsn(await bed.cluster.value("SELECT pg_current_wal_flush_lsn()"));

  async function untilStreamed(): Promise<void> {
    const lsn = await flushed();
    await waitFor("both repositories", 90_000, async () => ((await isStreamed(lsn)) ? true : null));
  }

  /** Counts rows in a separate restore that recovers to the end of the available WAL. */
  async function rowsOf(options: RestoreOptions, query = "SELECT count(*) FROM commits"): Promise<number> {
    const { result, dataPath } = await bed.restoreAside(options);
    requireOk("restore", result);
    const restored = TestCluster.adopt({ binaries: bed.cluster.binaries, dataPath });
    try {
      await restored.start({}, { timeoutMs: 180_000 });
      await restored.waitForRecovery();
      return Number(await restored.value(query));
    } finally {
      await restored.remove();
    }
  }

  /**
   * Commits one row after the other and measures how long positions take to reach both repositories, until everything
   * is killed.
   */
  async function loadUntilKilled(
    firstId: number,
    durationMs: number,
    time: number,
  ): Promise<{
    readonly commits: Commit[];
    readonly delaysMs: number[];
    readonly idleMs: number;
    readonly killedAtMs: number;
  }> {
    await waitFor("the stream", 120_000, async () =>
      (await streamed()).filter((lsn) => lsn > 0n).length === 2 ? true : null,
    );
    // After an idle interval new WAL is shipped immediately, so this measures the upload alone.
    await sleep(INTERVAL_MS);
    await bed.cluster.sql("SELECT pg_logical_emit_message(true, 'test', 'x')");
    const emittedAtMs = performance.now();
    await untilStreamed();
    const idleMs = performance.now() - emittedAtMs;
    const commits: Commit[] = [];
    const delaysMs: number[] = [];
    let over = false;
    let pendingSinceMs = performance.now();
    const client = await bed.cluster.connect();
    const writing = (async () => {
      for (let id = firstId; !over; id++) {
        await client.query("INSERT INTO commits VALUES ($1::int, repeat(md5($1::int::text), 30))", [id]);
        commits.push({ id, ackMs: performance.now() });
      }
    })().catch(() => undefined);
    const measuring = (async () => {
      while (!over) {
        const lsn = parseLsn(await bed.cluster.value("SELECT pg_current_wal_flush_lsn()"));
        const atMs = performance.now();
        const isThere = (): Promise<boolean> => isStreamed(lsn);
        // Nothing was written since, so there is nothing to measure.
        if (await isThere()) continue;
        pendingSinceMs = atMs;
        while (!over && !(await isThere())) await sleep(50);
        if (!over) delaysMs.push(performance.now() - atMs);
      }
    })().catch(() => undefined);
    await sleep(durationMs);
    // A busy machine ships slowly. The test has to know how slowly.
    await waitFor("two measured delays", 60_000, async () => (delaysMs.length >= 2 ? true : null), 10);
    // Vary the time between the last shipment and the kill.
    await sleep(time * INTERVAL_MS);
    const killedAtMs = performance.now();
    // A position on its way takes at least this long. The long form needs an otherwise idle machine and skips this.
    if (!NIGHTLY) delaysMs.push(Math.min(killedAtMs - pendingSinceMs, 10_000));
    over = true;
    await Promise.all([agent.stop("SIGKILL"), killServer(bed.cluster)]);
    await Promise.all([writing, measuring]);
    await client.end().catch(() => undefined);
    return { commits, delaysMs, idleMs, killedAtMs };
  }

  /** Kills all its processes at once, then removes its disk. */
  async function killServer(cluster: TestCluster): Promise<void> {
    process.kill(cluster.pid, "SIGKILL");
    await cluster.stop("immediate");
    for (const name of readdirSync(cluster.dataPath))
      rmSync(join(cluster.dataPath, name), { recursive: true, force: true });
    expect(existsSync(join(cluster.dataPath, "PG_VERSION"))).toBe(false);
  }
});
