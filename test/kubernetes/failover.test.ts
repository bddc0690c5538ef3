/**
 * Failovers under write load, with the real operator and PostgreSQL. A primary's node loses power: once with its disk
 * while no repository is reachable, once with synchronous replication. A client records every acknowledged commit. A
 * new cluster restored from the second repository alone must have them, except those that never left the dead primary.
 * With policy `any`, a primary dies with its disk while one repository is behind, and its missing WAL is copied from
 * the other repository: minutes later, so the other tests run between. Two of them end a sidecar: on a clean shutdown
 * while a repository hangs, and by its liveness probe.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { findStockPgbackrest } from "../../tools/parts/debian/pgbackrest";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, PASSPHRASE, startComponentLab } from "../harness/kubernetes/componentLab";
import { labParts } from "../harness/kubernetes/parts";
import { acknowledged, moreAcknowledged, sessionOf, startWriter, stopWriter } from "../harness/kubernetes/writer";

/** The cluster's objective: how long an acknowledged commit may be missing from the archive. */
const RPO_S = 90;

describe("a failover under write load", async () => {
  const parts = await labParts("failovers in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  const folder = mkdtempSync(join(tmpdir(), "pgb-failover-"));
  /** Ids that were acknowledged but never left a dead primary. */
  let lost: readonly number[] = [];
  let primary = "orders-1";
  /** Segments missing from the second repository. The record of them died with the primary. */
  const lacked: string[] = [];

  beforeAll(async () => {
    stack = await startComponentLab(parts, "failover");
  });
  afterAll(async () => {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const cluster = (synchronous: boolean): void => {
    const spec = { postgresql: { synchronous: { method: "any", number: 1 } } };
    // PostgreSQL must not drop the frozen connection before the test crashes the primary.
    const parameters = { shared_buffers: "32MB", wal_sender_timeout: "5min", wal_receiver_timeout: "5min" };
    void new CnpgCluster("orders", {
      ...stack.common("/orders"),
      storageGiB: 1,
      instances: 2,
      parameters,
      ...(synchronous ? { spec } : {}),
    });
  };
  const oneIsEnough = (path: string): ClusterBackupArgs => {
    const common = stack.common(path);
    return { ...common, acknowledge: { mode: "any" }, silence: { ...common.silence, PB021: "one is enough here" } };
  };
  const acks = (): readonly number[] => acknowledged(stack.lab).map(({ id }) => id);
  const moreAcks = (count: number): Promise<void> => moreAcknowledged(stack.lab, count);
  const idsOn = async (pod: string): Promise<ReadonlySet<number>> =>
    new Set((await stack.sql(pod, "select id from load")).split("\n").map(Number));
  const segmentNow = (pod: string): Promise<string> =>
    stack.sql(pod, "select pg_walfile_name(pg_current_wal_insert_lsn())");
  /** Stops the WAL sender: the standby receives nothing more, and nobody notices. */
  const freezeReplication = async (pod: string): Promise<void> => {
    const sender = "select pid from pg_stat_replication where application_name like 'orders-%' and state = 'streaming'";
    let pid = "";
    await expect.poll(async () => (pid = await stack.sql(pod, sender)), { timeout: 60_000 }).toMatch(/^\d+$/);
    expect((await stack.lab.kubectl.exec(pod, "postgres", ["sh", "-c", `kill -STOP ${pid}`])).exitCode).toBe(0);
  };
  /** Waits until another pod than `dead` accepts commits, and returns its name. */
  const awaitPromotion = async (dead: string, name = "orders"): Promise<string> => {
    const diedAtMs = performance.now();
    const primaryOf = (object: object): string =>
      (object as { status?: { currentPrimary?: string } }).status?.currentPrimary ?? dead;
    const promoted = primaryOf(
      await stack.lab.kubectl.waitUntil({ kind: CLUSTERS, name }, (object) => primaryOf(object) !== dead),
    );
    await expect
      .poll(() => stack.sql(promoted, "select pg_is_in_recovery()").catch(String), { timeout: 180_000, interval: 200 })
      .toBe("f");
    note(`${promoted} accepted commits ${((performance.now() - diedAtMs) / 1000).toFixed(1)} s after ${dead} had died`);
    return promoted;
  };
  const uidOf = async (pod: string): Promise<unknown> =>
    (await stack.lab.kubectl.find<{ metadata: { uid: string } }>("pods", pod))?.metadata.uid;
  /** Time at which a segment of `restored` was complete. */
  const storedAtMs = (server: S3Server, segment: string): number => {
    const archive = join(server.bucketPath, "restored", "archive");
    const file = readdirSync(archive, { recursive: true, encoding: "utf8" }).find((path) =>
      path.includes(`/${segment}-`),
    );
    return statSync(join(archive, file ?? segment)).mtimeMs;
  };
  const verifyBoth = async (): Promise<void> => {
    for (const key of ["1", "2"]) {
      const verified = await stack.verb(primary, "verify", `--repo=${key}`);
      expect(`${verified.stdout}${verified.stderr}`).not.toContain("ERROR");
      expect(verified.exitCode).toBe(0);
    }
  };
  const note = (text: string): void => void process.stdout.write(`    ${text}\n`);

  test("with policy any, a primary that dies with its disk loses the record of a repository's missing WAL", async () => {
    await stack.declare(
      () =>
        void new CnpgCluster("ledger", {
          ...oneIsEnough("/ledger"),
          storageGiB: 1,
          instances: 2,
          // A promoted server must not find the segments in its own pg_wal.
          parameters: { shared_buffers: "32MB", wal_keep_size: "0MB", min_wal_size: "32MB", wal_recycle: "off" },
        }),
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "ledger", "ContinuousArchiving");
    expect((await stack.firstBackup("ledger")).error).toBeUndefined();
    await stack.sql("ledger-1", "create table entries (id bigint)");

    await stack.second.stop();
    for (let id = 1; id <= 3; id++) {
      await stack.sql("ledger-1", `insert into entries values (${id})`);
      lacked.push(await stack.endSegment("ledger-1"));
    }
    for (const segment of lacked)
      await expect.poll(() => stack.segmentsOf(stack.first, "ledger"), { timeout: 180_000 }).toContain(segment);
    // A standby removes only WAL older than the last checkpoint that its primary sent.
    const keptByStandby = async (): Promise<readonly string[]> => {
      await stack.sql("ledger-1", "checkpoint");
      const names = (await stack.sql("ledger-2", "checkpoint; select name from pg_ls_waldir()")).split("\n");
      return lacked.filter((segment) => names.includes(segment));
    };
    await expect.poll(keptByStandby, { timeout: 120_000, interval: 2000 }).toEqual([]);

    await stack.lab.crash("ledger-1");
    await stack.lab.kubectl.runOk(["delete", "pvc", "ledger-1", "-n", "default", "--wait=false"]);
    await stack.second.start();
    expect(await awaitPromotion("ledger-1", "ledger")).toBe("ledger-2");
    const first = await stack.endSegment("ledger-2");
    await stack.awaitSegment("ledger", first);
    expect(stack.segmentsOf(stack.second, "ledger").filter((segment) => lacked.includes(segment))).toEqual([]);
  });

  // claim: docs/kubernetes/failover.md: an acknowledged commit is in every repository after `archive_timeout` and a
  //   push
  test("a commit is in both repositories after archive_timeout and a push", async () => {
    await stack.declare(() => cluster(false));
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    expect((await stack.firstBackup("orders")).error).toBeUndefined();
    await stack.sql("orders-1", "create table load (id bigint primary key); alter table load owner to app");
    await startWriter(stack.lab, "orders");
    await moreAcks(20);
    const beganAtMs = performance.now();
    await stack.awaitSegment("orders", await segmentNow("orders-1"));
    const tookS = (performance.now() - beganAtMs) / 1000;
    note(`a commit was in both repositories after ${tookS.toFixed(1)} s`);
    expect(tookS).toBeLessThan(RPO_S);
  });

  // claim: docs/kubernetes/failover.md: a failover loses the last unreplicated commits, with synchronous replication
  //   none; the rest is recovered from one repository alone
  test("a primary that dies with its disk, while no repository is reachable, loses only unreplicated data", async () => {
    await stack.first.stop();
    await stack.second.stop();
    const waiting = (): Promise<string> =>
      stack.sql("orders-1", "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'");
    await expect.poll(async () => Number(await waiting()), { timeout: 180_000 }).toBeGreaterThanOrEqual(2);
    // Read the ids before freezing: on a busy machine, commits acknowledged while the call returns were never sent.
    const replicated = acks();
    await freezeReplication("orders-1");
    await moreAcks(20);

    await stack.lab.crash("orders-1");
    await stack.lab.kubectl.runOk(["delete", "pvc", "orders-1", "-n", "default", "--wait=false"]);
    await stack.first.start();
    await stack.second.start();
    primary = await awaitPromotion("orders-1");
    const before = acks().filter((id) => sessionOf(id) === sessionOf(replicated.at(-1) ?? 0));
    const kept = await idsOn(primary);
    lost = before.filter((id) => !kept.has(id));
    note(
      `${before.length} commits were acknowledged by the dead primary, ${lost.length} of them were never replicated`,
    );
    // The lost commits are the last that the dead primary acknowledged. All date from after the freeze, except a few
    // that were in flight.
    expect(lost.length).toBeGreaterThan(0);
    expect(lost).toEqual(before.slice(-lost.length));
    expect(lost.filter((id) => replicated.slice(0, -20).includes(id))).toEqual([]);

    await moreAcks(20);
    await stack.awaitSegment("orders", await segmentNow(primary));
  });

  // claim: docs/kubernetes/plugin.md: a promoted server archives…
  test("the promoted server archives the dead primary's missing WAL", async () => {
    await verifyBoth();
  });

  // claim: docs/kubernetes/failover.md: a failover loses the…
  test("with synchronous replication no acknowledged transaction is lost", async () => {
    await stack.declare(() => cluster(true));
    await stack.lab.kubectl.waitUntil({ kind: CLUSTERS, name: "orders" }, (object) => {
      const { status } = object as { status?: { readyInstances?: number } };
      return status?.readyInstances === 2;
    });
    const state = (): Promise<string> =>
      stack.sql(primary, "select string_agg(sync_state, ',') from pg_stat_replication").catch(String);
    await expect.poll(state, { timeout: 180_000 }).toBe("quorum");
    await moreAcks(20);
    await freezeReplication(primary);
    const before = acks();
    await stack.lab.crash(primary);
    primary = await awaitPromotion(primary);
    const kept = await idsOn(primary);
    const gone = new Set(lost);
    expect(before.filter((id) => !kept.has(id) && !gone.has(id))).toEqual([]);
    // Commits wait for the standby, which restarts from its own disk.
    await moreAcks(20);
  });

  // claim: docs/kubernetes/failover.md: a failover loses the…
  test("a new cluster from repo2 alone has every commit that was archived when it began, under load", async () => {
    const marker = acks();
    await stack.awaitSegment("orders", await segmentNow(primary));
    await stack.declare(
      () =>
        void new CnpgRestore("restored", {
          ...oneIsEnough("/restored"),
          // Only the shutdown ends the last segment, and one repository is enough to acknowledge it.
          archiveTimeoutSeconds: 300,
          objectives: { rpoSeconds: 600 },
          storageGiB: 1,
          parameters: { shared_buffers: "32MB" },
          source: { stanza: "orders", repositories: stack.repositoriesAt("/orders"), from: ["repo2"] },
        }),
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
    const restored = await idsOn("restored-1");
    const live = await idsOn(primary);
    const gone = new Set(lost);
    const wanted = marker.filter((id) => !gone.has(id));
    note(
      `${wanted.length} commits acknowledged until the restore began, ${restored.size} rows restored, ${acks().length} acknowledged by now`,
    );
    expect(wanted.filter((id) => !restored.has(id))).toEqual([]);
    // The live primary has every restored commit, so none that died with the old one came back.
    expect([...restored].filter((id) => !live.has(id))).toEqual([]);
    await stopWriter(stack.lab);
  });

  test("both repositories are complete, for verify and for stock's", async (context) => {
    await verifyBoth();
    const stock = await findStockPgbackrest("2.60");
    if ("missing" in stock) return context.skip(stock.missing);
    const keys = (key: number, server: S3Server): string[] =>
      Object.entries({ ...server.repositoryOptions(), path: "/orders" }).map(
        ([name, value]) => `repo${key}-${name}=${value}`,
      );
    const cipher = ["repo2-cipher-type=aes-256-cbc", `repo2-cipher-pass=${PASSPHRASE}`];
    const lines = [
      "[global]",
      ...keys(1, stack.first),
      ...keys(2, stack.second),
      ...cipher,
      "log-level-file=off",
      `lock-path=${folder}`,
    ];
    const conf = join(folder, "stock.conf");
    writeFileSync(conf, `${[...lines, "[orders]", `pg1-path=${folder}`].join("\n")}\n`, { mode: 0o600 });
    for (const key of ["1", "2"]) {
      const args = [
        `--config=${conf}`,
        "--allow-root",
        "--stanza=orders",
        `--repo=${key}`,
        "verify",
        "--output=text",
        "--verbose",
      ];
      const verified = await stock.pgbackrest.run(args);
      expect(`${verified.stdout}${verified.stderr}`).toContain("status: ok");
      const labels = readdirSync(join(stack.first.bucketPath, "orders/backup/orders")).filter((name) =>
        /^\d{8}-\d{6}F/.test(name),
      );
      expect(verified.stdout.match(/status: valid/g)?.length).toBe(labels.length);
    }
  });

  // claim: docs/kubernetes/plugin.md: a clean shutdown archives the last segment; a hanging sidecar is restarted
  test("a pod that is deleted properly ends when both repositories have its last segment", async () => {
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "restored", "ContinuousArchiving");
    expect((await stack.firstBackup("restored")).error).toBeUndefined();
    await stack.sql("restored-1", "insert into load values (0)");
    const last = await segmentNow("restored-1");
    const before = await uidOf("restored-1");
    stack.first.pause();
    const whole = (): string =>
      readFileSync(join(stack.lab.logFolder, "pods", "default_restored-1_plugin-pgbackstop.log"), "utf8");
    const began = whole().length;
    const log = (): string => whole().slice(began);
    await stack.lab.kubectl.runOk(["delete", "pod", "restored-1", "-n", "default", "--wait=false"]);
    await expect.poll(log, { timeout: 180_000 }).toContain("terminated on signal [SIGTERM]: ending");
    // repo2's answer let PostgreSQL end. repo1 hangs, so the sidecar waits.
    expect(log()).toContain(`archived ${last}`);
    expect(stack.segmentsOf(stack.second, "restored")).toContain(last);
    expect(stack.segmentsOf(stack.first, "restored")).not.toContain(last);
    expect(log()).not.toContain("cnpg-instance command end");
    expect(await uidOf("restored-1")).toBe(before);
    stack.first.resume();
    await expect.poll(log, { timeout: 180_000 }).toContain("cnpg-instance command end: completed successfully");
    const endedAtMs = Date.parse(`${/^(\S+ \S+) .*cnpg-instance command end/m.exec(log())?.[1]}Z`);
    expect(storedAtMs(stack.first, last)).toBeLessThanOrEqual(endedAtMs);
    await expect
      .poll(() => stack.sql("restored-1", "select count(*) from load where id = 0").catch(String), { timeout: 180_000 })
      .toBe("1");
  });

  // claim: docs/kubernetes/plugin.md: a clean shutdown archives…
  test("a hanging sidecar is restarted, and waiting WAL is archived", async () => {
    const restarts = async (): Promise<number> => {
      const pod = await stack.lab.kubectl.find<{
        status: { initContainerStatuses: { name: string; restartCount: number }[] };
      }>("pods", "restored-1");
      return pod?.status.initContainerStatuses.find(({ name }) => name === "plugin-pgbackstop")?.restartCount ?? 0;
    };
    const before = await restarts();
    await stack.lab.signal("restored-1", "plugin-pgbackstop", "SIGSTOP");
    const waiting: string[] = [];
    for (let id = -1; id > -4; id--) {
      await stack.sql("restored-1", `insert into load values (${id})`);
      waiting.push(await stack.endSegment("restored-1"));
    }
    await expect.poll(restarts, { timeout: 300_000, interval: 1000 }).toBeGreaterThan(before);
    for (const segment of waiting) await stack.awaitSegment("restored", segment);
    expect(await stack.verb("restored-1", "verify", "--repo=1")).toMatchObject({ exitCode: 0 });
    expect(await stack.verb("restored-1", "verify", "--repo=2")).toMatchObject({ exitCode: 0 });
  });

  // claim: docs/kubernetes/plugin.md: the primary's sidecar copies…
  test("with policy any, the promoted server copies the missing WAL from the other repository", async () => {
    // The copy starts five minutes after the first archived file: the tests between used most of that time.
    await expect
      .poll(() => stack.segmentsOf(stack.second, "ledger"), { timeout: 480_000, interval: 2000 })
      .toEqual(expect.arrayContaining(lacked));
    expect(await stack.verb("ledger-2", "verify", "--repo=2")).toMatchObject({ exitCode: 0 });
  });
});
