/**
 * Streamed WAL: a primary under load is killed together with its agent and its disk, again and again, and comes back from a repository.
 *
 * A client writes down when each of its commits was acknowledged. What a restore lacks of them is never older than the interval of streaming and
 * the time that a position took, measured meanwhile, until the repository had it. Stock, which knows nothing of the stream, ends at the last full
 * segment and finds nothing wrong. `PGBACKSTOP_LONG=1` kills 20 times instead of 3; `PGBACKSTOP_SEED` repeats a run.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseLsn } from "../../runtime/format/walSegment";
import { sleep, waitFor } from "../../tools/parts/process";
import { S3Server } from "../../tools/parts/s3Server";
import { TestCluster } from "../../tools/parts/testCluster";
import { agentPlace, AgentProcess, archiveCommandOf } from "../harness/agentProcess";
import { seededRandom } from "../harness/context";
import { findParts, s3Kind } from "../harness/interopParts";
import { TestBed } from "../harness/testBed";

const LONG = process.env["PGBACKSTOP_LONG"] === "1";
const KILLS = LONG ? 20 : 3;
const INTERVAL_MS = 2000;
/** Of the machine that the test runs on, between the kill and what the test knows of it. */
const SLACK_MS = 500;

interface Commit {
  readonly id: number;
  readonly ackMs: number;
}

describe("streamed WAL", async () => {
  const parts = await findParts("streamed WAL", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const place = agentPlace();
  let server: S3Server;
  let bed: TestBed;
  let agent: AgentProcess;

  const startAgent = (): Promise<AgentProcess> => AgentProcess.start({ place, runtime: bed.runtime, configPath: bed.configPath, stanza: bed.stanza });
  /** Positions up to which the repositories have everything, by the agent's word. */
  const streamed = async (): Promise<bigint[]> => {
    const { stdout, stderr } = await agent.ask(bed.cluster.dataPath, ["status"]);
    return [...`${stdout}${stderr}`.matchAll(/streamed=(\S+)/g)].map(([, lsn = ""]) => (lsn === "none" ? 0n : parseLsn(lsn)));
  };

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "zst" }, { s3: server, compressType: "lz4", encrypted: true }],
      acknowledge: "any",
      settings: { archive_command: archiveCommandOf(place) },
      global: { "archive-timeout": "20", "io-timeout": "10" },
    });
    bed.writeVariant(bed.configPath, { settings: { stream: { intervalSeconds: INTERVAL_MS / 1000 } } });
    agent = await startAgent();
    await bed.cluster.start();
    await bed.oursOk(["stanza-create"]);
    await bed.cluster.sql("CREATE TABLE commits (id int PRIMARY KEY, filler text)");
    await bed.oursOk(["backup", "--type=full"]);
  }, 120_000);

  afterAll(async () => {
    await agent?.stop("SIGKILL");
    await bed?.remove();
    await server?.remove();
    rmSync(place.folder, { recursive: true, force: true });
  });

  test(`${KILLS} primaries die with their disks: what is lost is never older than the interval and the time to ship`, {
    timeout: 1_200_000,
  }, async () => {
    const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
    process.stdout.write(`streaming: PGBACKSTOP_SEED=${seed}\n`);
    const bytes = seededRandom(seed);
    const random = (): number => (bytes.bytes(1)[0] ?? 0) / 256;
    let worstMs = 0;
    for (let kill = 0, next = 1; kill < KILLS; kill++) {
      const { commits, delaysMs, killedAtMs } = await loadUntilKilled(next, 3000 + random() * 4000);
      const repo = (kill % 2) + 1;
      await bed.oursOk(["restore", `--repo=${repo}`]);
      agent = await startAgent();
      await bed.cluster.start({}, { timeoutMs: 180_000 });
      await bed.cluster.waitForValue("SELECT pg_is_in_recovery()", "false", 60_000);
      const last = Number(await bed.cluster.value("SELECT coalesce(max(id), 0) FROM commits"));
      // Nothing in between is missing.
      expect(await bed.cluster.value("SELECT count(*) FROM commits")).toBe(String(last));
      const lost = commits.filter(({ id }) => id > last);
      const lostMs = lost.length === 0 ? 0 : killedAtMs - (lost[0]?.ackMs ?? 0);
      worstMs = Math.max(worstMs, lostMs);
      const delayMs = Math.max(INTERVAL_MS, ...delaysMs);
      process.stdout.write(
        `streaming: kill ${kill + 1} from repo${repo}: ${commits.length} commits, ${lost.length} lost, the oldest ${Math.round(lostMs)} ms old; longest delay ${Math.round(delayMs)} ms\n`,
      );
      expect(commits.length).toBeGreaterThan(0);
      expect(lostMs).toBeLessThanOrEqual(delayMs + SLACK_MS);
      expect(await bed.cluster.value("SELECT timeline_id FROM pg_control_checkpoint()")).toBe(String(kill + 2));
      next = last + 1;
    }
    process.stdout.write(`streaming: the oldest lost commit of all was ${Math.round(worstMs)} ms old\n`);
  });

  /** Commits one after the other, and measures how long positions take to be in both repositories, until everything is killed. */
  async function loadUntilKilled(
    firstId: number,
    durationMs: number,
  ): Promise<{ readonly commits: Commit[]; readonly delaysMs: number[]; readonly killedAtMs: number }> {
    await waitFor("the stream", 20_000, async () => ((await streamed()).filter((lsn) => lsn > 0n).length === 2 ? true : null));
    const commits: Commit[] = [];
    const delaysMs: number[] = [];
    let over = false;
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
        while (!over && (await streamed()).some((reached) => reached < lsn)) await sleep(50);
        if (!over) delaysMs.push(performance.now() - atMs);
      }
    })().catch(() => undefined);
    await sleep(durationMs);
    const killedAtMs = performance.now();
    over = true;
    await Promise.all([agent.stop("SIGKILL"), killServer(bed.cluster)]);
    await Promise.all([writing, measuring]);
    await client.end().catch(() => undefined);
    return { commits, delaysMs, killedAtMs };
  }

  /** Every process of it at once, and then its disk. */
  async function killServer(cluster: TestCluster): Promise<void> {
    process.kill(cluster.pid, "SIGKILL");
    await cluster.stop("immediate");
    for (const name of readdirSync(cluster.dataPath)) rmSync(join(cluster.dataPath, name), { recursive: true, force: true });
    expect(existsSync(join(cluster.dataPath, "PG_VERSION"))).toBe(false);
  }
});
