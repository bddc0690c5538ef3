/**
 * Synchronous streaming with a real server and a real bucket: acknowledged commits are in a repository.
 *
 * `npm run bench -- rpo` kills hundreds of times with the same parts. `PGBACKSTOP_SEED` repeats a run.
 */
// claim: docs/synchronous.md: commits wait for the bucket; with a limit they wait no longer, and again when it is back;
//   others' standbys stay required; `remote_apply` is refused
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { degradeFile } from "../../../components/render/units/degradeUnit";
import { withoutReceiver } from "../../../runtime/operations/stream/standbyNames";
import { sleep, type Started, start, waitFor } from "../../../tools/parts/process";
import { makeUserFolder } from "../../../tools/parts/users";
import { killHosts, reportText, seeded } from "../../../tools/bench/rpo";
import { missingCommits, RpoLab, type RpoLabOptions, Writers } from "../../../tools/bench/rpoLab";
import { plan } from "../../components/plans";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { findRuntime } from "../../harness/real/runtimeCli";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const KILLS = NIGHTLY ? 30 : 2;

describe("synchronous streaming", async () => {
  const parts = await findParts("synchronous streaming", 18, "2.60");
  if (parts === null) return;
  const common = {
    binaries: parts.binaries,
    runtimeFile: (await findRuntime()).file,
    s3Kind: await s3Kind(),
    latencyMs: 5,
  };
  let lab: RpoLab | null = null;
  let degrading: Started | null = null;
  const open = async (more: Pick<RpoLabOptions, "stream"> & Partial<RpoLabOptions>): Promise<RpoLab> => {
    lab = await RpoLab.create({ ...common, repos: ["s3"], ...more });
    return lab;
  };
  const names = (own: RpoLab): Promise<string> => own.cluster.value("SHOW synchronous_standby_names");
  const state = async (own: RpoLab): Promise<string> => /synchronous=(\w+)/.exec(await own.status())?.[1] ?? "";
  const untilState = (own: RpoLab, wanted: string): Promise<true> =>
    waitFor(`state ${wanted}`, 60_000, async () => ((await state(own)) === wanted ? true : null));

  /** The script of the host's unit, with shorter pauses. */
  const startDegrading = async ({ cluster }: RpoLab, degradeAfterSeconds: number): Promise<string> => {
    const streaming = { synchronous: "any", degradeAfterSeconds } as const;
    const { port, socketPath, superuser, user } = cluster;
    const file = degradeFile(plan({ streaming, port, socketDirectory: socketPath, databaseUser: superuser }));
    const path = join(makeUserFolder("pgb-degrade-"), "degrade-main");
    writeFileSync(path, file?.text.replace("sleep 2", "sleep 0.25") ?? "", { mode: 0o755 });
    const logFile = `${path}.log`;
    // As systemd starts it: psql complains about a directory that its account cannot read.
    degrading = await start("/bin/sh", [path], { user, logFile, cwd: "/" });
    return logFile;
  };

  afterEach(async () => {
    await degrading?.stop();
    degrading = null;
    await lab?.remove();
    lab = null;
  });

  // claim: docs/synchronous.md: with `synchronous` no acknowledged commit is missing from a restore, whatever is
  //   killed: host, agent, server, bucket, network (300 kills and none lost: `npm run bench -- rpo`)
  test.each(atNight("any", "all"))(
    `hosts, receivers, servers, buckets and networks die ${KILLS} times: no acknowledged commit is lost ("%s")`,
    { timeout: 900_000 },
    async (synchronous) => {
      const seed = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
      const random = seeded(seed);
      const report = await killHosts({
        ...common,
        kills: KILLS,
        clients: 4,
        synchronous,
        intervalSeconds: 2,
        random,
        note: () => undefined,
      });
      process.stdout.write(`synchronous ${synchronous}: PGBACKSTOP_SEED=${seed} ${reportText(report)}\n`);
      expect(report.acknowledged).toBeGreaterThan(10);
      expect(report.lost).toBe(0);
    },
  );

  test("a commit waits for the bucket, and the wait ends when the bucket is back", { timeout: 300_000 }, async () => {
    const own = await open({ stream: { intervalSeconds: 60, synchronous: ["repo1"] } });
    await own.untilStreaming();
    expect(await names(own)).toBe("pgbackstop");
    const [standby] = await own.cluster.sql(
      "SELECT sync_state, flush_lsn IS NOT NULL AS flushes, replay_lsn FROM pg_stat_replication",
    );
    expect(standby).toEqual({ sync_state: "sync", flushes: true, replay_lsn: null });
    await own.bucket?.stop();
    let isDone = false;
    const commit = own.cluster.sql("INSERT INTO commits VALUES (100, 1)").then(() => {
      isDone = true;
    });
    await sleep(3000);
    expect(isDone).toBe(false);
    await own.bucket?.start();
    await commit;
    await own.loseHost();
    await own.restore();
    expect(await missingCommits(own.cluster, [{ client: 100, no: 1, ackMs: 0 }])).toEqual([]);
  });

  test.runIf(NIGHTLY)(
    "a killed agent leaves commits waiting, and the next one goes on",
    { timeout: 300_000 },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" }, repos: ["posix"] });
      await own.untilStreaming();
      await own.stopAgent("SIGKILL");
      const writers = new Writers(own.cluster, 2, new Map());
      await sleep(2000);
      expect(writers.commits).toEqual([]);
      await own.startAgent();
      await waitFor("a commit", 60_000, async () => (writers.commits.length > 0 ? true : null));
      await writers.ended();
    },
  );

  // claim: docs/synchronous.md: streamed WAL that vanishes from a repository is noticed before a later commit is
  //   confirmed, and sent again
  test("streamed WAL that vanishes is sent again before a later commit is confirmed", {
    timeout: 300_000,
  }, async () => {
    const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" }, repos: ["posix"] });
    await own.untilStreaming();
    await own.cluster.sql("INSERT INTO commits VALUES (100, 1)");
    rmSync(join(own.repositoryPath(1), "pgbackstop", "rpo", "stream"), { recursive: true });
    // As long as a proof lasts.
    await sleep(11_000);
    await own.cluster.sql("INSERT INTO commits VALUES (100, 2)");
    expect(own.agentLog()).toMatch(/WARN: streaming: repo1: .*streamed WAL from .* on is gone/);
    await own.loseHost();
    await own.restore();
    const commits = [1, 2].map((no) => ({ client: 100, no, ackMs: 0 }));
    expect(await missingCommits(own.cluster, commits)).toEqual([]);
  });

  // claim: docs/synchronous.md: nothing counts in a segment of which the archive has another server's file
  test.runIf(NIGHTLY)(
    "a commit waits while the archive has another server's file of its segment",
    { timeout: 300_000 },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" }, repos: ["posix"] });
      await own.untilStreaming();
      const name = await own.cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
      const directory = join(own.repositoryPath(1), "archive", "rpo", "18-1", name.slice(0, 16));
      const foreign = join(directory, `${name}-${"0".repeat(40)}.gz`);
      writeFileSync(foreign, Buffer.alloc(4096, 7), { mode: 0o644 });
      // As long as a proof lasts.
      await sleep(11_000);
      let isDone = false;
      const commit = own.cluster.sql("INSERT INTO commits VALUES (100, 1)").then(() => {
        isDone = true;
      });
      await waitFor("the warning", 60_000, async () => (own.agentLog().includes(`${name} differs from`) ? true : null));
      expect(isDone).toBe(false);
      rmSync(foreign);
      await commit;
      await own.loseHost();
      await own.restore();
      expect(await missingCommits(own.cluster, [{ client: 100, no: 1, ackMs: 0 }])).toEqual([]);
    },
  );

  test.runIf(NIGHTLY)(
    "with a limit commits wait no longer than that, and wait again when the bucket is back",
    {
      timeout: 300_000,
    },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all", degradeAfterSeconds: 3 } });
      await own.untilStreaming();
      await own.bucket?.stop();
      const beganMs = performance.now();
      await own.cluster.sql("INSERT INTO commits VALUES (100, 1)");
      expect(performance.now() - beganMs).toBeGreaterThan(2500);
      await untilState(own, "asynchronous");
      expect(await names(own)).toBe("");
      expect(own.agentLog()).toContain("WARN: commits no longer wait for the repositories");
      await own.bucket?.start();
      await untilState(own, "synchronous");
      expect(await names(own)).toBe("pgbackstop");
    },
  );

  // claim: docs/synchronous.md: with a limit, commits stop waiting when no agent can start, the next agent lets them
  //   wait again, and a living one decides itself (on a booted host without its keys, after a boot, and with two
  //   processes at once)
  test.runIf(NIGHTLY)(
    "with a limit, the host's unit ends the wait when no agent runs, and the next agent begins it again",
    {
      timeout: 300_000,
    },
    async () => {
      const own = await open({
        stream: { intervalSeconds: 60, synchronous: "all", degradeAfterSeconds: 2 },
        repos: ["posix"],
      });
      await own.untilStreaming();
      const logFile = await startDegrading(own, 2);
      await own.cluster.sql("INSERT INTO commits VALUES (100, 1)");
      // Longer than its limit: it leaves a living agent alone.
      await sleep(4000);
      expect(await names(own)).toBe("pgbackstop");
      await own.stopAgent("SIGKILL");
      await own.cluster.sql("INSERT INTO commits VALUES (100, 2)");
      expect(await names(own)).toBe("");
      expect(readFileSync(logFile, "utf8")).toBe(
        "<4>commits no longer wait for the repositories: no agent has answered for 2 seconds\n",
      );
      for (const value of [
        "FIRST 2 (pgbackstop, s1)",
        'ANY 3 (pgbackstop, s1, "S 2")',
        "FIRST 1 (pgbackstop, s1)",
        "pgbackstop",
      ]) {
        await own.cluster.alterSystem({ synchronous_standby_names: value });
        await sleep(4000);
        // An agent never writes the third: one standby alone fulfils it, so no commit waits for the agent.
        expect(await names(own)).toBe(value.startsWith("FIRST 1") ? value : withoutReceiver(value));
      }
      await own.cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
      await own.startAgent();
      await own.untilStreaming();
      expect(await names(own)).toBe("pgbackstop");
    },
  );

  // claim: docs/synchronous.md: two agents of one server, killed and asleep in turn, confirm nothing that a restore
  //   lacks; a replaced primary that still runs loses nothing along its own timeline
  test.runIf(NIGHTLY)(
    "two agents of one server, killed and asleep in turn, confirm nothing that a restore lacks",
    {
      timeout: 300_000,
    },
    async () => {
      const own = await open({
        stream: { intervalSeconds: 60, synchronous: "all" },
        repos: ["s3", "posix"],
        settings: { wal_sender_timeout: "2s" },
      });
      await own.untilStreaming();
      await own.startAgent(2);
      await own.untilStreaming(2);
      const writers = new Writers(own.cluster, 4, new Map());
      // Each disturbance ends with both, so that the next one meets both.
      await sleep(500);
      await own.stopAgent("SIGKILL", 1);
      await sleep(1000);
      await own.startAgent(1);
      await own.untilStreaming(1);
      own.signalAgent("SIGSTOP", 1);
      await sleep(4000);
      const before = writers.commits.length;
      await sleep(500);
      // PostgreSQL waits for either of them.
      expect(writers.commits.length).toBeGreaterThan(before);
      own.signalAgent("SIGSTOP", 2);
      own.signalAgent("SIGCONT", 1);
      await sleep(4000);
      own.signalAgent("SIGCONT", 2);
      await own.stopAgent("SIGKILL", 1);
      await sleep(1500);
      writers.stop();
      await own.loseHost();
      await writers.ended();
      for (const repoIndex of [1, 2]) {
        if (repoIndex === 2) await own.loseHost();
        await own.restore(repoIndex);
        expect(await missingCommits(own.cluster, writers.commits)).toEqual([]);
      }
      process.stdout.write(`two agents: ${writers.commits.length} commits acknowledged, none lost\n`);
    },
  );

  // claim: docs/synchronous.md: two agents of one…
  test.runIf(NIGHTLY)(
    "an old primary that still runs beside the promoted one: each timeline has every commit that was acknowledged on it",
    {
      timeout: 300_000,
    },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" } });
      await own.untilStreaming();
      const standby = await own.cluster.createStandby(own.archivesBy(2));
      try {
        await own.startAgent(2, standby);
        const next = new Map<number, number>();
        const old = new Writers(own.cluster, 2, next);
        await sleep(1000);
        await standby.sql("SELECT pg_promote()");
        const promoted = new Writers(standby, 2, new Map([0, 1].map((client) => [client, 1_000_000])));
        await own.untilStreaming(2);
        await sleep(3000);
        old.stop();
        promoted.stop();
        const { timeline_id: timeline } =
          (await standby.sql("SELECT timeline_id FROM pg_control_checkpoint()"))[0] ?? {};
        expect(timeline).toBe(2);
        await Promise.all([own.stopAgent("SIGKILL", 2), standby.stop("immediate")]);
        await own.loseHost();
        await Promise.all([old.ended(), promoted.ended()]);
        expect([old, promoted].map(({ commits }) => commits.length > 10)).toEqual([true, true]);
        await own.restore(undefined, ["--type=default", "--target-timeline=1"]);
        expect(await missingCommits(own.cluster, old.commits)).toEqual([]);
        await own.loseHost();
        await own.restore(undefined, ["--type=default", "--target-timeline=2"]);
        expect(await missingCommits(own.cluster, promoted.commits)).toEqual([]);
      } finally {
        await standby.remove();
      }
    },
  );

  test.runIf(NIGHTLY)(
    "a server's own synchronous standby stays required, and others' values stay",
    { timeout: 300_000 },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" }, repos: ["posix"] });
      await own.untilStreaming();
      await own.stopAgent();
      const standby = await own.cluster.createStandby();
      try {
        await own.cluster.alterSystem({ synchronous_standby_names: "standby" });
        await own.startAgent();
        await own.untilStreaming();
        expect(await names(own)).toBe("FIRST 2 (pgbackstop, standby)");
        await own.cluster.sql("INSERT INTO commits VALUES (100, 1)");
        await standby.stop("immediate");
        let isDone = false;
        const commit = own.cluster.sql("INSERT INTO commits VALUES (100, 2)").then(() => {
          isDone = true;
        });
        await sleep(1500);
        expect(isDone).toBe(false);
        await standby.start();
        await commit;
        await own.stopAgent();
        await own.cluster.alterSystem({ synchronous_standby_names: "ANY 1 (standby, other)" });
        await own.startAgent();
        await waitFor("the refusal", 60_000, async () =>
          own.agentLog().includes("does not require every listed standby") ? true : null,
        );
        expect(await names(own)).toBe("ANY 1 (standby, other)");
      } finally {
        await standby.remove();
      }
    },
  );

  test.runIf(NIGHTLY)(
    "remote_apply is refused, remote_write waits for the bucket too",
    { timeout: 300_000 },
    async () => {
      const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" } });
      await own.untilStreaming();
      await own.bucket?.stop();
      let isDone = false;
      const commit = own.cluster
        .sql("SET synchronous_commit = remote_write; INSERT INTO commits VALUES (100, 1)")
        .then(() => {
          isDone = true;
        });
      await sleep(1500);
      expect(isDone).toBe(false);
      await own.bucket?.start();
      await commit;
      await own.stopAgent();
      await own.cluster.sql("ALTER SYSTEM RESET synchronous_standby_names");
      await own.cluster.alterSystem({ synchronous_commit: "remote_apply" });
      await own.startAgent();
      await waitFor("the refusal", 60_000, async () =>
        own.agentLog().includes("synchronous_commit is remote_apply for the server") ? true : null,
      );
      expect(await names(own)).toBe("");
    },
  );

  test.runIf(NIGHTLY)("a server with a dead bucket shuts down, and starts again", { timeout: 300_000 }, async () => {
    // The directory takes the last segment, so that only the stream waits for the bucket.
    const own = await open({ stream: { intervalSeconds: 60, synchronous: ["repo1"] }, repos: ["s3", "posix"] });
    await own.untilStreaming();
    await own.bucket?.stop();
    void own.cluster.sql("INSERT INTO commits VALUES (100, 1)").catch(() => undefined);
    await sleep(500);
    const beganMs = performance.now();
    await own.cluster.stop("fast", 90_000);
    process.stdout.write(`a fast shutdown with a dead bucket took ${Math.round(performance.now() - beganMs)} ms\n`);
    await own.bucket?.start();
    await own.startServer();
    await own.untilStreaming();
  });
});
