/**
 * The plugin in a Kubernetes with the real operator and PostgreSQL. A cluster of two instances sends WAL and backups to
 * two S3 servers, one of them encrypted. One server dies and comes back, certificates change, and a new cluster
 * recovers to a time from the second repository alone.
 */
// claim: README.md: CloudNativePG: the real operator adds our sidecar to pods, WAL and backups reach two S3 servers, a
//   new cluster recovers to a time from one of them; the kubelet is a double
import { NIGHTLY } from "../../tools/parts/nightly";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findStockPgbackrest } from "../../tools/parts/debian/pgbackrest";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { s3Kind } from "../harness/real/interopParts";
import { POSTGRES_IMAGE } from "../harness/kubernetes/images";
import { backupResult, endSegment } from "../harness/kubernetes/clusterCalls";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { certificates, installPlugin, PLUGIN_SERVICE, RUNTIME_MAP } from "../harness/kubernetes/plugin";

const CLUSTERS = "clusters.postgresql.cnpg.io";
const CNPG = "postgresql.cnpg.io/v1";
const PASSPHRASE = "a passphrase of the second repository";
const metadataOf = (name: string): { name: string; namespace: string } => ({ name, namespace: "default" });

type BackupFields = Readonly<Record<string, unknown>> & { readonly error?: string };

describe("the plugin of CloudNativePG", async () => {
  const parts = await labParts("the plugin in the lab");
  if (parts === null) return;
  let lab: Lab;
  let first: S3Server;
  let second: S3Server;
  let primary = "orders-1";
  const folder = mkdtempSync(join(tmpdir(), "pgb-plugin-"));

  beforeAll(async () => {
    const kind = await s3Kind();
    const serverOf = (name: string): Promise<S3Server> =>
      S3Server.create({ kind, bucket: name, moreNames: [`${name}.default.svc`] });
    [first, second] = await Promise.all([serverOf("first"), serverOf("second")]);
    lab = await startLab(parts, { name: "plugin" });
    await lab.expose("first", first.port);
    await lab.expose("second", second.port);
    await installPlugin(lab.kubectl);
  });
  afterAll(async () => {
    await lab?.stop();
    await first?.remove();
    await second?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const repo = (key: number, server: S3Server, service: string): string[] => [
    `repo${key}-type=s3`,
    `repo${key}-path=/repo`,
    `repo${key}-s3-bucket=${server.bucket}`,
    `repo${key}-s3-endpoint=${server.host}`,
    `repo${key}-s3-region=${server.region}`,
    `repo${key}-s3-uri-style=path`,
    `repo${key}-storage-host=${service}.default.svc`,
    `repo${key}-storage-port=${server.port}`,
    `repo${key}-storage-ca-file=/pgbackstop/config/ca${key}.pem`,
    `repo${key}-retention-full=5`,
  ];
  const encrypted = "repo2-cipher-type=aes-256-cbc";
  const configMap = (name: string, lines: readonly string[], compressType = "zst"): object => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: metadataOf(name),
    data: {
      "pgbackrest.conf": `${["[global]", ...lines, `compress-type=${compressType}`, "start-fast=y", "archive-timeout=2m"].join("\n")}\n`,
      "pgbackstop.json": '{"version":1,"acknowledge":"any"}\n',
      "ca1.pem": readFileSync(first.caFile, "utf8"),
      "ca2.pem": readFileSync(second.caFile, "utf8"),
    },
  });
  const secret = (name: string, server: S3Server, more: object = {}): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadataOf(name),
    stringData: { ACCESS_KEY_ID: server.accessKey, ACCESS_SECRET_KEY: server.secretKey, ...more },
  });
  const plugin = <T extends object>(parameters: T): { name: string; parameters: T & { bundle: string } } => ({
    name: "pgbackstop",
    parameters: { bundle: RUNTIME_MAP, ...parameters },
  });
  const both = { configMap: "both", repo1Secret: "first", repo2Secret: "second" };
  const cluster = (name: string, more: object = {}): object => ({
    apiVersion: CNPG,
    kind: "Cluster",
    metadata: metadataOf(name),
    spec: {
      instances: 1,
      imageName: POSTGRES_IMAGE,
      storage: { size: "1Gi" },
      enablePDB: false,
      stopDelay: 60,
      switchoverDelay: 60,
      plugins: [{ ...plugin(both), isWALArchiver: true }],
      postgresql: { parameters: { shared_buffers: "32MB", archive_timeout: "5s" } },
      ...more,
    },
  });
  const sql = async (pod: string, text: string): Promise<string> => {
    const result = await lab.kubectl.exec(pod, "postgres", ["psql", "-XAtc", text]);
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  const backup = async (name: string, more: object): Promise<BackupFields> => {
    const spec = {
      method: "plugin",
      cluster: { name: "orders" },
      pluginConfiguration: { name: "pgbackstop" },
      ...more,
    };
    await lab.kubectl.apply([{ apiVersion: CNPG, kind: "Backup", metadata: metadataOf(name), spec }]);
    return (await backupResult(lab, name)) as BackupFields;
  };
  /** Names of WAL segments in a bucket, without checksums and suffixes. */
  const segmentsOf = (server: S3Server): string[] =>
    readdirSync(join(server.bucketPath, "repo", "archive", "orders"), { recursive: true, encoding: "utf8" })
      .flatMap((path) => /([0-9A-F]{24})-[0-9a-f]{40}/.exec(path)?.[1] ?? [])
      .sort();
  const fill = (from: number, to: number): string =>
    `insert into goods select g, md5(g::text) from generate_series(${from}, ${to}) g`;

  // claim: docs/kubernetes/plugin.md: the sidecar's patch is…
  test("archives a cluster's WAL into both repositories, with one sidecar a pod", async () => {
    await lab.kubectl.apply([
      configMap("both", [...repo(1, first, "first"), ...repo(2, second, "second"), encrypted]),
      configMap("only-second", [...repo(2, second, "second"), encrypted]),
      secret("first", first),
      secret("second", second, { ENCRYPTION_PASS: PASSPHRASE }),
      cluster("orders", { instances: 2 }),
    ]);
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    await sql("orders-1", "create table goods (id int primary key, name text)");
    await sql("orders-1", fill(1, 5000));
    const pods = await lab.kubectl.list<KubernetesObject & { spec: { initContainers: { name: string }[] } }>(
      "pods",
      "default",
    );
    // Pods of the Jobs that created the instances disappear with a delay.
    const instances = pods.filter(({ metadata }) => /^orders-\d+$/.test(metadata.name));
    const counts = instances.map(
      ({ spec }) => spec.initContainers.filter(({ name }) => name === "plugin-pgbackstop").length,
    );
    expect(counts).toEqual([1, 1]);
    // The pod that EVALUATE returned needs no change on creation.
    const log = await lab.kubectl.runOk(["logs", "-n", OPERATOR_NAMESPACE, `deployment/${PLUGIN_SERVICE}`]);
    expect(log).toContain("TYPE_EVALUATE Pod orders-1");
    expect(log).not.toContain("TYPE_CREATE Pod");
    // `archive_timeout` closes a segment every 5 seconds: only the names as of one time can be compared.
    const atOnce = segmentsOf(second);
    expect(atOnce.length).toBeGreaterThan(0);
    await expect.poll(() => segmentsOf(first), { timeout: 60_000 }).toEqual(expect.arrayContaining(atOnce));
  });

  // claim: docs/kubernetes/plugin.md: a Backup is one pass, from the primary or a standby, once for each object, and
  //   ends when nobody waits
  test("takes backups from the primary and from a standby into both repositories", async () => {
    const full = await backup("full", {
      target: "primary",
      pluginConfiguration: { name: "pgbackstop", parameters: { type: "full" } },
    });
    expect(full.error).toBeUndefined();
    expect(full).toMatchObject({
      phase: "completed",
      instanceID: { podName: "orders-1" },
      online: true,
      majorVersion: 18,
    });
    const label = String(full["backupId"]);
    expect(label).toMatch(/^\d{8}-\d{6}F$/);
    expect(full["pluginMetadata"]).toMatchObject({ type: "full", repo1: label, repo2: label });
    expect(full["beginWal"]).toMatch(/^[0-9A-F]{24}$/);

    const standby = await backup("standby", { target: "prefer-standby" });
    expect(standby.error).toBeUndefined();
    expect(standby).toMatchObject({ phase: "completed", instanceID: { podName: "orders-2" } });
    expect(standby["pluginMetadata"]).toMatchObject({ type: "incr" });
    const wrong = await backup("wrong", {
      target: "primary",
      pluginConfiguration: { name: "pgbackstop", parameters: { typ: "full" } },
    });
    expect(wrong.error).toContain("backup parameter 'typ' is unknown");
  });

  // claim: docs/kubernetes/runtime.md: an image that contains the runtime needs no ConfigMap (the image is a double)
  test.runIf(NIGHTLY)("runs the runtime of an image that contains it, without a ConfigMap", async () => {
    const { bundle: _bundle, ...parameters } = plugin(both).parameters;
    const own = { ...plugin(both), parameters: { ...parameters, runtimeImage: "registry.test/pgbackstop:test" } };
    await lab.kubectl.apply([cluster("imaged", { plugins: [{ ...own, isWALArchiver: true }] })]);
    await lab.kubectl.waitForCondition(CLUSTERS, "imaged", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "imaged", "ContinuousArchiving");
    const pod = await lab.kubectl.find<{ spec: { volumes: { name: string }[] } }>("pods", "imaged-1");
    expect(pod?.spec.volumes.map(({ name }) => name)).not.toContain("pgbackstop-bundle");
    await lab.kubectl.runOk(["delete", CLUSTERS, "imaged"]);
  });

  // claim: docs/kubernetes/plugin.md: while one repository is down archiving continues, and its missing WAL follows
  test("continues while a repository is down, and completes it afterwards", async () => {
    await first.stop();
    for (let turn = 1; turn <= 4; turn++) {
      await sql("orders-1", fill(turn * 10_000, turn * 10_000 + 999));
      await sql("orders-1", "select pg_switch_wal()");
    }
    const waiting = (): Promise<string> =>
      sql("orders-1", "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'");
    await expect.poll(waiting, { timeout: 120_000 }).toBe("0");
    const result = await lab.kubectl.find(CLUSTERS, "orders");
    expect(conditionOf(result ?? {}, "ContinuousArchiving")?.status).toBe("True");
    await expect
      .poll(() => segmentsOf(second).length - segmentsOf(first).length, { timeout: 60_000 })
      .toBeGreaterThanOrEqual(4);
    await first.start();
    await expect
      .poll(() => segmentsOf(second).filter((name) => !segmentsOf(first).includes(name)), { timeout: 120_000 })
      .toEqual([]);
  });

  const restartsOf = async (name: string): Promise<number> => {
    const pod = await lab.kubectl.find<{
      status: { initContainerStatuses: { name: string; restartCount: number }[] };
    }>("pods", name);
    return pod?.status.initContainerStatuses.find(({ name: each }) => each === "plugin-pgbackstop")?.restartCount ?? 0;
  };

  // claim: docs/kubernetes/plugin.md: a sidecar reads a changed configuration under load: no restart, no failed
  //   segment; an unreadable one leaves the former in force
  test.runIf(NIGHTLY)(
    "reads a changed configuration under load: no container restarts, and no segment fails",
    async () => {
      const log = (pod: string): string =>
        readFileSync(join(lab.logFolder, "pods", `default_${pod}_plugin-pgbackstop.log`), "utf8");
      const reads = (pod: string): number => log(pod).split("the configuration has changed: read again").length - 1;
      const failures = (): Promise<string> => sql("orders-1", "select failed_count from pg_stat_archiver");
      const archive = join(first.bucketPath, "repo", "archive", "orders");
      const pathOf = (segment: string): string =>
        readdirSync(archive, { recursive: true, encoding: "utf8" }).find((path) => path.includes(`${segment}-`)) ?? "";
      const lines = [...repo(1, first, "first"), ...repo(2, second, "second"), encrypted];
      const change = (compressType: string): Promise<void> =>
        lab.kubectl.apply([configMap("both", lines, compressType)]).then(() => {});
      const before = [await restartsOf("orders-1"), await restartsOf("orders-2"), await failures()];
      await change("nonsense");
      await expect.poll(() => log("orders-1"), { timeout: 120_000 }).toContain("continuing with the previous one");
      let isWriting = true;
      const writing = (async () => {
        for (let id = 500_000; isWriting; id += 100) {
          await sql("orders-1", fill(id, id + 99));
          await sql("orders-1", "select pg_switch_wal()");
        }
      })();
      const extensions: string[] = [];
      for (const [index, compressType] of ["gz", "zst"].entries()) {
        await change(compressType);
        for (const pod of ["orders-1", "orders-2"])
          await expect.poll(() => reads(pod), { timeout: 120_000 }).toBe(index + 1);
        const last = await endSegment(lab, "orders-1");
        await expect.poll(() => segmentsOf(first), { timeout: 60_000 }).toContain(last);
        extensions.push(pathOf(last).split(".").at(-1) ?? "");
      }
      isWriting = false;
      await writing;
      expect(extensions).toEqual(["gz", "zst"]);
      expect([await restartsOf("orders-1"), await restartsOf("orders-2"), await failures()]).toEqual(before);
    },
  );

  // claim: docs/kubernetes/plugin.md: the liveness probe detects…
  test.runIf(NIGHTLY)("has a sidecar that is restarted when its socket is gone", async () => {
    const restarts = (): Promise<number> => restartsOf("orders-2");
    const before = await restarts();
    await lab.kubectl.exec("orders-2", "postgres", ["rm", "/plugins/pgbackstop"]);
    await expect.poll(restarts, { timeout: 240_000, interval: 1000 }).toBeGreaterThan(before);
    const back = async (): Promise<number> =>
      (await lab.kubectl.exec("orders-2", "postgres", ["test", "-S", "/plugins/pgbackstop"])).exitCode ?? 1;
    await expect.poll(back, { timeout: 180_000 }).toBe(0);
  });

  // claim: docs/kubernetes/failover.md: the new primary continues to archive after a failover, and its WAL can be
  //   recovered
  test.runIf(NIGHTLY)("continues to archive after a failover under load, without a gap", async () => {
    let acknowledged = 0;
    let ended = false;
    const writing = (async () => {
      for (let id = 1_000_000; !ended; id++) {
        const isDone = await sql("orders-1", fill(id, id)).then(
          () => true,
          () => false,
        );
        if (!isDone) break;
        acknowledged = id;
      }
    })();
    await expect.poll(() => acknowledged, { timeout: 120_000 }).toBeGreaterThan(1_000_003);
    await expect
      .poll(() => sql("orders-2", "select count(*) from goods where id = 1000003").catch(String), { timeout: 120_000 })
      .toBe("1");
    await lab.kubectl.runOk(["delete", "pod", "orders-1", "--grace-period=1", "--wait=false"]);
    const isPromoted = (object: object): boolean =>
      (object as { status?: { currentPrimary?: string } }).status?.currentPrimary === "orders-2";
    await lab.kubectl.waitUntil({ kind: CLUSTERS, name: "orders" }, isPromoted);
    ended = true;
    await writing;
    primary = "orders-2";
    await expect.poll(() => sql(primary, "select pg_is_in_recovery()").catch(String), { timeout: 120_000 }).toBe("f");
    // Replication is asynchronous: the last commits may be lost with the old primary. The archive must have every
    // commit of the new primary, and the next test recovers them.
    const kept = Number(await sql(primary, "select max(id) from goods"));
    expect(kept).toBeGreaterThanOrEqual(1_000_003);
    await expect.poll(() => endSegment(lab, primary).catch(String), { timeout: 60_000 }).toMatch(/^[0-9A-F]{24}$/);
    await expect
      .poll(() => segmentsOf(second).some((name) => name.startsWith("00000002")), { timeout: 180_000 })
      .toBe(true);
  });

  // claim: docs/kubernetes/failover.md: the new primary continues…
  // claim: docs/kubernetes/restore.md: the recovery target chooses…
  test.runIf(NIGHTLY)(
    "recovers a new cluster to a time from the second repository alone, under new certificates",
    async () => {
      const log = (): Promise<string> =>
        lab.kubectl.runOk(["logs", "-n", OPERATOR_NAMESPACE, `deployment/${PLUGIN_SERVICE}`]);
      await lab.kubectl.apply(await certificates(), { force: true });
      await expect.poll(log, { timeout: 120_000 }).toContain("certificates were renewed");

      const before = await sql(primary, "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods");
      await sql(primary, "select pg_sleep(1.1)");
      const targetTime = await sql(
        primary,
        "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'",
      );
      await sql(primary, "select pg_sleep(1.1)");
      await sql(primary, "delete from goods where id > 100");
      const last = await endSegment(lab, primary);
      // PostgreSQL's archiver looks again after a minute at the latest, even if it missed a signal on a busy machine.
      await expect.poll(() => segmentsOf(second), { timeout: 180_000 }).toContain(last);

      const origin = plugin({ stanza: "orders", configMap: "only-second", repo2Secret: "second" });
      await lab.kubectl.apply([
        cluster("copy", {
          bootstrap: { recovery: { source: "origin", recoveryTarget: { targetTime } } },
          externalClusters: [{ name: "origin", plugin: origin }],
        }),
      ]);
      await lab.kubectl.waitForCondition(CLUSTERS, "copy", "Ready");
      expect(await sql("copy-1", "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods")).toBe(
        before,
      );
      expect(await sql("copy-1", "select pg_is_in_recovery()")).toBe("f");
      await lab.kubectl.waitForCondition(CLUSTERS, "copy", "ContinuousArchiving");
    },
  );

  // claim: docs/kubernetes/plugin.md: a missing stanza is…
  test("refuses the archive of another cluster", async () => {
    await lab.kubectl.apply([
      cluster("wrong", { plugins: [{ ...plugin({ ...both, stanza: "orders" }), isWALArchiver: true }] }),
    ]);
    const refused = await lab.kubectl.waitUntil({ kind: CLUSTERS, name: "wrong" }, (object) => {
      const condition = conditionOf(object, "ContinuousArchiving");
      return condition?.status === "False" && (condition.message ?? "").includes("do not match repo");
    });
    expect(conditionOf(refused, "ContinuousArchiving")?.message).toContain("are you archiving to the correct stanza?");
  });

  test("leaves repositories that stock pgBackRest verifies", async (context) => {
    const stock = await findStockPgbackrest("2.60");
    if ("missing" in stock) return context.skip(stock.missing);
    const keys = (key: number, server: S3Server): string[] =>
      Object.entries(server.repositoryOptions()).map(([name, value]) => `repo${key}-${name}=${value}`);
    const conf = join(folder, "stock.conf");
    const lines = [
      "[global]",
      ...keys(1, first),
      "repo1-path=/repo",
      ...keys(2, second),
      "repo2-path=/repo",
      encrypted,
      `repo2-cipher-pass=${PASSPHRASE}`,
    ];
    writeFileSync(
      conf,
      `${[...lines, "log-level-file=off", `lock-path=${folder}`, "[orders]", `pg1-path=${folder}`].join("\n")}\n`,
      { mode: 0o600 },
    );
    for (const key of ["1", "2"]) {
      const verified = await stock.pgbackrest.run([
        `--config=${conf}`,
        "--allow-root",
        "--stanza=orders",
        `--repo=${key}`,
        "verify",
        "--output=text",
        "--verbose",
      ]);
      expect(`${verified.stdout}${verified.stderr}`).toContain("status: ok");
      expect(verified.stdout.match(/status: valid/g)?.length).toBe(2);
    }
    const info = await stock.pgbackrest.run([`--config=${conf}`, "--allow-root", "--stanza=orders", "info"]);
    expect(info.stdout).toContain("status: ok");
  });
});
