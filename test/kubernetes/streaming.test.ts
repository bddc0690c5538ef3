/**
 * Streamed WAL of a cluster, with the real operator and PostgreSQL, under write load. `archive_timeout` is an hour, so
 * what a restore has of the last minute came from the stream. A client records when each commit was acknowledged. The
 * sidecar reads a changed configuration, the primary dies with its disk, a drill runs, and at last the whole cluster is
 * lost with its volumes: a `CnpgRestore` has every commit older than the interval and the time of an upload.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { worstCaseRpo } from "../../components/plan/schedule/objectives";
import { lsnOfSegment, parseLsn } from "../../runtime/format/wal/walSegment";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { OPERATOR_NAMESPACE } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { acknowledged, moreAcknowledged, startWriter, stopWriter } from "../harness/kubernetes/writer";

const INTERVAL_S = 2;
const WORST_MS =
  1000 * (worstCaseRpo({ archiveTimeoutSeconds: undefined, streamIntervalSeconds: INTERVAL_S })?.totalSeconds ?? 0);
const SEGMENT_BYTES = 16 * 1024 * 1024;
const OPERATOR = ["deployment/cnpg-controller-manager", "-n", OPERATOR_NAMESPACE];
const DRILL = "orders-drill-newest";

interface InfoRepo {
  readonly key: number;
  readonly "wal-stream"?: { readonly lsn: string; readonly wal: string };
}

describe("streamed WAL of a cluster", async () => {
  const parts = await labParts("streaming in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  let primary = "orders-1";
  /** The death of the first primary. */
  let diedAtMs = 0;

  beforeAll(async () => {
    stack = await startComponentLab(parts, "streaming");
  });
  afterAll(async () => {
    await stack?.stop();
  });

  const common = (path: string): ReturnType<ComponentLab["common"]> & { storageGiB: number } => ({
    ...stack.common(path),
    archiveTimeoutSeconds: 3600,
    storageGiB: 1,
  });
  const declare = (intervalSeconds: number): Promise<unknown> =>
    stack.declare(
      () =>
        void new CnpgCluster("orders", {
          ...common("/orders"),
          streaming: { intervalSeconds },
          instances: 2,
          parameters: { shared_buffers: "32MB" },
          drills: { newest: { cron: "0 5 1 1 *", pick: "newest", level: "quick", from: "repo2", maxMinutes: 20 } },
        }),
    );
  const note = (text: string): void => void process.stdout.write(`    ${text}\n`);
  const moreAcks = (count: number): Promise<void> => moreAcknowledged(stack.lab, count);
  const flushed = async (): Promise<bigint> => parseLsn(await stack.sql(primary, "select pg_current_wal_flush_lsn()"));
  const podLog = (part: string): string => {
    const folder = join(stack.lab.logFolder, "pods");
    const files = readdirSync(folder).filter((name) => name.includes(part));
    return files.map((name) => readFileSync(join(folder, name), "utf8")).join("\n");
  };
  /** What each repository has of the stream, by its listing. */
  const streams = async (pod: string): Promise<readonly InfoRepo["wal-stream"][]> => {
    const { stdout } = await stack.verb(pod, "info", "--output=json");
    const [stanza] = JSON.parse(stdout) as { readonly repo: readonly InfoRepo[] }[];
    return (stanza?.repo ?? []).map((repo) => repo["wal-stream"]);
  };
  /** Milliseconds until both repositories have the stream up to this position. */
  const awaitStreamed = async (lsn: bigint): Promise<number> => {
    const beganMs = performance.now();
    const reached = async (): Promise<boolean> =>
      (await streams(primary)).every((stream) => parseLsn(stream?.lsn ?? "0/0") >= lsn);
    await expect.poll(() => reached().catch(() => false), { timeout: 180_000, interval: 500 }).toBe(true);
    return performance.now() - beganMs;
  };
  /** Both repositories have a stream of this timeline. */
  const awaitTimeline = (timeline: string): Promise<void> =>
    // A backup may end the segment in between: nothing of the next one is streamed yet.
    vi.waitFor(
      async () => {
        await stack.sql(primary, "select pg_logical_emit_message(true, 'test', '')");
        await awaitStreamed(await flushed());
        for (const stream of await streams(primary)) expect(stream?.wal.slice(0, 8)).toBe(timeline);
      },
      { timeout: 180_000, interval: 1000 },
    );
  const metrics = async (pod: string): Promise<ReadonlyMap<string, number>> => {
    const program =
      "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
    const { stdout } = await stack.lab.kubectl.exec(pod, "plugin-pgbackstop", ["node", "-e", program]);
    const lines = stdout.matchAll(/^pgbackstop_repo_stream_timestamp_seconds\{[^}]*repo_key="(\d)"[^}]*\} (\S+)$/gm);
    return new Map([...lines].map(([, key = "", value]) => [key, Number(value)]));
  };

  test("the primary's sidecar streams into every repository before the first segment is full", async () => {
    await declare(5);
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    expect((await stack.firstBackup("orders")).error).toBeUndefined();
    await stack.sql(primary, "create table load (id bigint primary key); alter table load owner to app");
    await startWriter(stack.lab, "orders");
    await moreAcks(20);
    await awaitStreamed(await flushed());
    const nowS = Math.floor(Date.now() / 1000);
    await expect.poll(async () => (await metrics(primary)).size, { timeout: 60_000 }).toBe(2);
    for (const [, atS] of await metrics(primary)) expect(Math.abs(atS - nowS)).toBeLessThan(60);
    expect(await metrics("orders-2")).toEqual(new Map());
    const status = await stack.verb(primary, "status");
    expect(status.stdout).toMatch(/stream/);
    const checked = await stack.verb(primary, "check", "--log-level-console=info");
    expect(`${checked.stdout}${checked.stderr}`).toContain("WAL is received from this server");
  });

  // claim: docs/streaming.md: a cluster lost with…
  test("a changed interval restarts nothing, and the stream goes on", async () => {
    const restarts = async (): Promise<string> =>
      (
        await stack.lab.kubectl.runOk(["get", "pods", "-n", "default", "-o", "jsonpath={.items[*].metadata.uid}"])
      ).trim();
    const before = await restarts();
    await declare(INTERVAL_S);
    await expect
      .poll(() => podLog(`${primary}_plugin-pgbackstop`), { timeout: 180_000 })
      .toContain("the configuration has changed: read again");
    await moreAcks(20);
    note(`after a reload a position was streamed in ${(await awaitStreamed(await flushed())).toFixed(0)} ms`);
    expect(await restarts()).toBe(before);
  });

  // claim: docs/streaming.md: a cluster lost with…
  test("a promoted standby streams its own timeline", async () => {
    // Only the stream then has the time that the next test restores to.
    const idleS = "select extract(epoch from now() - last_archived_time) from pg_stat_archiver";
    await expect
      .poll(async () => Number(await stack.sql(primary, idleS)) * 1000, { timeout: 120_000 })
      .toBeGreaterThan(1.5 * WORST_MS);
    diedAtMs = Date.now();
    await stack.lab.crash(primary);
    await stack.lab.kubectl.runOk(["delete", "pvc", primary, "-n", "default", "--wait=false"]);
    const beganMs = performance.now();
    primary = "orders-2";
    await expect
      .poll(() => stack.sql(primary, "select pg_is_in_recovery()").catch(String), { timeout: 300_000, interval: 200 })
      .toBe("f");
    const promotedMs = performance.now();
    await moreAcks(20);
    await awaitStreamed(await flushed());
    const streamedMs = performance.now() - promotedMs;
    note(
      `promoted after ${((promotedMs - beganMs) / 1000).toFixed(1)} s, streamed ${(streamedMs / 1000).toFixed(1)} s later`,
    );
    // After a switch, its own stream pauses: the newest is then the dead primary's last segment, never archived.
    const timelines = async (): Promise<unknown> => (await streams(primary)).map((stream) => stream?.wal.slice(0, 8));
    await expect.poll(timelines, { timeout: 60_000 }).toEqual(["00000002", "00000002"]);
  });

  test("a restore along the dead primary's timeline has what only its stream has", async () => {
    const time = new Date(diedAtMs - WORST_MS).toISOString();
    await stack.declare(
      () =>
        void new CnpgRestore("dead", {
          ...common("/dead"),
          parameters: { shared_buffers: "32MB" },
          source: {
            stanza: "orders",
            repositories: stack.repositoriesAt("/orders"),
            from: ["repo2"],
            target: { time, timeline: "1" },
          },
        }),
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "dead", "Ready");
    expect(podLog("dead-1-full-recovery")).toMatch(/found 00000001[0-9A-F]{16} up to \S+ in the repo2/);
    const kept = new Set((await stack.sql("dead-1", "select id from load")).split("\n").map(Number));
    const acks = acknowledged(stack.lab).filter(({ atMs }) => atMs < diedAtMs - WORST_MS);
    expect(acks.length).toBeGreaterThan(20);
    expect(acks.filter(({ id }) => !kept.has(id))).toEqual([]);
    await stack.lab.kubectl.runOk(["delete", CLUSTERS, "dead", "-n", "default", "--wait=false"]);
  });

  // claim: docs/streaming.md: a cluster lost with…
  test("a drill of the newest state replays the stream", async () => {
    const last = await stack.endSegment(primary);
    await stack.awaitSegment("/orders", last);
    await moreAcks(20);
    await awaitStreamed(await flushed());
    await stack.lab.kubectl.runOk(["create", "job", "-n", "default", `--from=cronjob/${DRILL}`, "newest-1"]);
    await expect.poll(() => podLog("_drill.log"), { timeout: 600_000, interval: 1000 }).toMatch(/drill \S+ of repo2: /);
    const log = podLog("_drill.log");
    expect(log).toMatch(/drill \S+ of repo2: passed/);
    // Not by the end of the backup, which is older.
    const rpo = /RPO +(\S+) s by the last commit/.exec(log)?.[1];
    expect(Number(rpo) * 1000).toBeLessThan(4 * WORST_MS);
    const reached = parseLsn(/recovery: ok: reached (\S+),/.exec(log)?.[1] ?? "0/0");
    expect(reached).toBeGreaterThan(lsnOfSegment(last, SEGMENT_BYTES) + BigInt(SEGMENT_BYTES));
  });

  // claim: docs/streaming.md: a cluster lost with its volumes comes back with every commit older than the interval and
  //   an upload; a reload and a failover keep streaming; a drill replays the stream; a replica cluster streams once it
  //   is promoted
  test("a lost cluster comes back with every commit older than the interval and an upload", async () => {
    const last = await stack.endSegment(primary);
    await stack.awaitSegment("/orders", last);
    const archivedAtMs = Date.now();
    // Without the stream a restore would lose more than the assertion below allows.
    await expect.poll(() => Date.now() - archivedAtMs, { timeout: 120_000 }).toBeGreaterThan(2 * WORST_MS);
    await moreAcks(20);
    expect((await stack.sql(primary, "select pg_walfile_name(pg_current_wal_lsn())")) > last).toBe(true);

    const grep = ["sh", "-c", "grep VmHWM /proc/1/status"];
    const peak = (await stack.lab.kubectl.exec(primary, "plugin-pgbackstop", grep)).stdout;
    note(`the sidecar's process took at most ${Math.round(Number(/\d+/.exec(peak)?.[0]) / 1024)} MiB`);
    const pods = (await stack.lab.kubectl.list("pods", "default"))
      .map(({ metadata }) => metadata.name)
      .filter((name) => /^orders-\d+$/.test(name));
    await stack.lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=0"]);
    const killedAtMs = Date.now();
    await Promise.all(pods.map((pod) => stack.lab.crash(pod)));
    await stack.lab.kubectl.runOk(["delete", CLUSTERS, "orders", "-n", "default", "--wait=false"]);
    await stack.lab.kubectl.runOk(["delete", "pvc", "--all", "-n", "default", "--wait=false"]);
    await stopWriter(stack.lab);
    await stack.lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=1"]);
    await stack.lab.kubectl.runOk(["rollout", "status", ...OPERATOR, "--timeout=180s"], { timeoutMs: 190_000 });

    await stack.declare(
      () =>
        void new CnpgRestore("restored", {
          ...common("/restored"),
          streaming: { intervalSeconds: INTERVAL_S },
          parameters: { shared_buffers: "32MB" },
          source: { stanza: "orders", repositories: stack.repositoriesAt("/orders"), from: ["repo2"] },
        }),
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
    primary = "restored-1";
    const kept = new Set((await stack.sql(primary, "select id from load")).split("\n").map(Number));
    const acks = acknowledged(stack.lab).filter(({ atMs }) => atMs <= killedAtMs);
    // Ids of the first primary that never reached the standby are not on this timeline.
    const own = acks.filter(({ atMs }) => atMs > archivedAtMs);
    const lost = own.filter(({ id }) => !kept.has(id));
    const oldestMs = lost.length === 0 ? 0 : killedAtMs - (lost[0]?.atMs ?? 0);
    note(
      `${own.length} commits since the last archived segment, ${lost.length} lost, the oldest ${oldestMs.toFixed(0)} ms old`,
    );
    expect(podLog("restored-1-full-recovery")).toMatch(/found [0-9A-F]{24} up to \S+ in the repo2/);
    expect(own.length).toBeGreaterThan(20);
    expect(oldestMs).toBeLessThan(WORST_MS);
    // What is lost is the end, without gaps before it.
    expect(lost).toEqual(own.slice(own.length - lost.length));
  });

  test("the restored cluster archives and streams its own timeline", async () => {
    await stack.sql(primary, "insert into load values (0)");
    await awaitTimeline("00000003");
    expect(await stack.verb(primary, "verify", "--repo=2")).toMatchObject({ exitCode: 0 });
  });

  // claim: docs/streaming.md: a cluster lost with…
  test("a replica cluster is not streamed before its promotion, and its commits wait from then on", async () => {
    expect((await stack.firstBackup("restored")).error).toBeUndefined();
    const follower = (enabled: boolean): Promise<unknown> =>
      stack.declare(
        () =>
          void new CnpgRestore("follower", {
            ...common("/follower"),
            streaming: { intervalSeconds: INTERVAL_S, synchronous: "any" },
            parameters: { shared_buffers: "32MB" },
            source: { stanza: "restored", repositories: stack.repositoriesAt("/restored") },
            replica: { enabled },
          }),
      );
    const inRecovery = (): Promise<string> => stack.sql("follower-1", "select pg_is_in_recovery()").catch(String);
    await follower(true);
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "follower", "Ready");
    await expect.poll(inRecovery, { timeout: 180_000 }).toBe("t");
    await stack.sql(primary, "insert into load values (-1)");
    const last = await stack.endSegment(primary);
    const rows = (): Promise<string> =>
      stack.sql("follower-1", "select count(*) from load where id = -1").catch(String);
    await expect.poll(rows, { timeout: 180_000 }).toBe("1");
    await expect.poll(() => stack.segmentsOf(stack.second, "follower"), { timeout: 180_000 }).toContain(last);
    expect(podLog("follower-1_plugin-pgbackstop")).not.toMatch(/streaming WAL|WAL is not streamed/);

    await follower(false);
    await expect.poll(inRecovery, { timeout: 180_000 }).toBe("f");
    primary = "follower-1";
    // The operator restarts it now, and lets a commit that waits end first: for three minutes, because no receiver can
    // connect to a server that shuts down.
    const mode = (): Promise<string> => stack.sql(primary, "show archive_mode").catch(String);
    await expect.poll(mode, { timeout: 180_000 }).toBe("on");
    const write = (): Promise<string> =>
      stack.sql(primary, "insert into load values (-2) on conflict do nothing returning 1").catch(String);
    await expect.poll(write, { timeout: 180_000 }).toMatch(/^1/);
    expect(await stack.sql(primary, "show synchronous_standby_names")).toBe('FIRST 1 ("pgbackstop")');
    await awaitTimeline("00000004");
  });
});
