/**
 * Synchronous streaming with a real server and a real bucket: acknowledged commits are in a repository.
 *
 * `npm run bench -- rpo` kills hundreds of times with the same parts. `PGBACKSTOP_SEED` repeats a run.
 */
import { afterEach, describe, expect, test } from "vitest";
import { sleep, waitFor } from "../../../tools/parts/process";
import { killHosts, reportText, seeded } from "../../../tools/bench/rpo";
import { missingCommits, RpoLab, type RpoLabOptions, Writers } from "../../../tools/bench/rpoLab";
import { findParts, s3Kind } from "../../harness/real/interopParts";
import { findRuntime } from "../../harness/real/runtimeCli";

const KILLS = process.env["PGBACKSTOP_LONG"] === "1" ? 60 : 6;

describe("synchronous streaming", async () => {
  const parts = await findParts("synchronous streaming", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const common = {
    binaries: parts.binaries,
    runtimeFile: (await findRuntime()).file,
    s3Kind: await s3Kind(),
    latencyMs: 5,
  };
  let lab: RpoLab | null = null;
  const open = async (more: Pick<RpoLabOptions, "stream"> & Partial<RpoLabOptions>): Promise<RpoLab> => {
    lab = await RpoLab.create({ ...common, repos: ["s3"], ...more });
    return lab;
  };
  const names = (own: RpoLab): Promise<string> => own.cluster.value("SHOW synchronous_standby_names");
  const state = async (own: RpoLab): Promise<string> => /synchronous=(\w+)/.exec(await own.status())?.[1] ?? "";
  const untilState = (own: RpoLab, wanted: string): Promise<true> =>
    waitFor(`state ${wanted}`, 60_000, async () => ((await state(own)) === wanted ? true : null));

  afterEach(async () => {
    await lab?.remove();
    lab = null;
  });

  test.each(["any", "all"] as const)(
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

  test("a killed agent leaves commits waiting, and the next one goes on", { timeout: 300_000 }, async () => {
    const own = await open({ stream: { intervalSeconds: 60, synchronous: "all" }, repos: ["posix"] });
    await own.untilStreaming();
    await own.stopAgent("SIGKILL");
    const writers = new Writers(own.cluster, 2, new Map());
    await sleep(2000);
    expect(writers.commits).toEqual([]);
    await own.startAgent();
    await waitFor("a commit", 60_000, async () => (writers.commits.length > 0 ? true : null));
    await writers.ended();
  });

  test("with a limit commits wait no longer than that, and wait again when the bucket is back", {
    timeout: 300_000,
  }, async () => {
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
  });

  test("a server's own synchronous standby stays required, and others' values stay", { timeout: 300_000 }, async () => {
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
  });

  test("remote_apply is refused, remote_write waits for the bucket too", { timeout: 300_000 }, async () => {
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
  });

  test("a server with a dead bucket shuts down, and starts again", { timeout: 300_000 }, async () => {
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
