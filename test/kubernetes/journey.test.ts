/**
 * A user's stack in a Kubernetes with the real operator and PostgreSQL. The test applies the components' objects
 * unchanged, from the plugin to a restored cluster with separate volumes for WAL and a tablespace. A running Cluster
 * that others created gets backups too. Last, commits wait for repositories.
 */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { BackupNow } from "../../components/actions/backupNow";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { backupEndCreate } from "../../components/dynamic/clusterBackup";
import type { ReportFile } from "../../runtime/operations/report/reportFields";
import type { RepositoryTarget } from "../../components/repositories/target";
import type { RunResult } from "../../tools/parts/process";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { BACKUPS, backupResult, CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { POSTGRES_IMAGE } from "../harness/kubernetes/images";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, OPERATOR_NAMESPACE } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { segmentsOf } from "../harness/kubernetes/stores";
import { acknowledged, moreAcknowledged, startWriter, stopWriter } from "../harness/kubernetes/writer";
import { NIGHTLY } from "../../tools/parts/nightly";

const OPERATOR = ["deployment/cnpg-controller-manager", "-n", OPERATOR_NAMESPACE];
/** The last step of "Commits hang" (components/plan/runbook/clusterCare.ts). */
const REMOVAL = '[{"op":"remove","path":"/spec/postgresql/synchronous"}]';

/** Arguments: address, path, password. */
const REQUEST =
  'exec 3<>/dev/tcp/$0/9854 && printf \'GET %s HTTP/1.0\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n\' "$1" "$2" >&3 && cat <&3';

describe("a stack of the components", async () => {
  const parts = await labParts("the components' objects in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  let lab: Lab;

  beforeAll(async () => {
    stack = await startComponentLab(parts, "journey");
    lab = stack.lab;
  });
  afterAll(() => stack?.stop());

  const volumes: Pick<CnpgClusterArgs, "storageGiB" | "spec" | "parameters"> = {
    storageGiB: 1,
    spec: {
      walStorage: { size: "1Gi" },
      tablespaces: [{ name: "hot", owner: { name: "app" }, storage: { size: "1Gi" } }],
    },
    parameters: { shared_buffers: "32MB" },
  };
  const orders = (over: Partial<CnpgClusterArgs> = {}): CnpgCluster =>
    new CnpgCluster("orders", {
      ...stack.common("/orders"),
      ...volumes,
      instances: 2,
      monitoring: { reportPassword: { name: "orders-report", key: "password" } },
      ...over,
    });

  const sql = (pod: string, text: string): Promise<string> => stack.sql(pod, text);
  const podsOf = async (cluster: string): Promise<string[]> => {
    const pods = await lab.kubectl.list<KubernetesObject & { metadata: { uid: string } }>("pods", "default");
    // Pods of the Jobs that created the instances disappear with a delay.
    const instances = pods.filter(({ metadata }) => new RegExp(`^${cluster}-\\d+$`).test(metadata.name));
    return instances.map(({ metadata }) => `${metadata.name} ${metadata.uid}`).sort();
  };
  const sum = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";

  // claim: docs/kubernetes/new-cluster.md: the components' cluster starts as declared: WAL and backups in both
  //   repositories, restored to a time from the named one
  test("comes up, archives into both repositories and takes its first backup at once", async () => {
    await stack.declare(() => orders());
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    const status = await stack.firstBackup("orders");
    expect(status.error).toBeUndefined();
    expect(status.pluginMetadata?.["type"]).toBe("full");
    expect(status.pluginMetadata?.["repo1"]).toMatch(/^\d{8}-\d{6}F$/);
    expect(status.pluginMetadata?.["repo2"]).toBe(status.pluginMetadata?.["repo1"]);
    expect(await sql("orders-1", "show archive_timeout")).toBe("5s");
  });

  // claim: docs/kubernetes/commands.md: the sidecar's command line; `check` before hibernation leaves the last WAL in
  //   every repository
  // claim: docs/commands.md: `status` shows on one…
  test("answers on its sidecar's command line", async () => {
    const command = (...args: string[]): Promise<RunResult> => stack.verb("orders-1", ...args);
    const info = await command("info");
    expect(info.stderr).toBe("");
    expect(info.stdout).toContain("status: ok");
    expect(info.stdout).toMatch(/repo1: none\n\s+repo2: aes-256-cbc/);
    const args =
      /^orders: all is well, but no drill has restored these backups\n {2}repo1 {2}s3:.*\n {4}newest backup {2}\d{8}-\d{6}F \(full\), \d+ (seconds|minutes) ago\n/;
    const status = (): Promise<RunResult> => command("status");
    await expect
      .poll(status, { timeout: 60_000, interval: 1000 })
      .toMatchObject({ exitCode: 0, stdout: expect.stringMatching(args) });
    expect(await command("verify", "--repo=2")).toMatchObject({ exitCode: 0 });
    await stack.check("orders-1");
  });

  // claim: docs/report.md: a cluster's sidecar serves the page on the pod's loopback, behind the password of a Secret;
  //   a changed one counts without a restart (the kubelet is a double, and forwards no port)
  test("serves its report inside the pod, to those with the password", async () => {
    const before = await podsOf("orders");
    // PostgreSQL's container shares the pod's network.
    const ask = (path: string, password: string, address = "127.0.0.1"): Promise<RunResult> =>
      lab.kubectl.exec("orders-1", "postgres", ["bash", "-c", REQUEST, address, path, password]);
    const statusOf = async (password: string): Promise<string> => (await ask("/report", password)).stdout.slice(0, 12);
    const passwords = ["first", "second"].map((name) => `${name}-${randomBytes(16).toString("hex")}`);
    const secret = (password: string): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "orders-report", namespace: "default" },
      stringData: { password },
    });
    const [first = "", second = ""] = passwords;
    // The cluster has started without the Secret.
    expect((await ask("/report", first)).stderr).toContain("Connection refused");
    await lab.kubectl.apply([secret(first)]);
    const limit = { timeout: 90_000, interval: 1000 };
    await expect.poll(() => statusOf(first), limit).toBe("HTTP/1.1 200");
    const refused = (await ask("/report.json", second)).stdout;
    expect([refused.slice(0, 12), refused.includes("orders")]).toEqual(["HTTP/1.1 401", false]);
    const backupsIn = (text: string): unknown =>
      (JSON.parse(text) as ReportFile).databases.map(({ repos, stanza }) => [
        stanza,
        repos.map(({ backups }) => backups),
      ]);
    const { stdout: served } = await ask("/report.json", first);
    const printed = await stack.verb("orders-1", "report", "--format=json");
    expect(backupsIn(served.slice(served.indexOf("\r\n\r\n")))).toEqual(backupsIn(printed.stdout));
    const pod = await lab.kubectl.find<{ status: { podIP: string } }>("pods", "orders-1");
    expect((await ask("/report", first, pod?.status.podIP)).stderr).toContain("Connection refused");

    await lab.kubectl.apply([secret(second)]);
    await expect.poll(() => statusOf(second), limit).toBe("HTTP/1.1 200");
    expect(await statusOf(first)).toBe("HTTP/1.1 401");
    expect(await podsOf("orders")).toEqual(before);
    const shown = `${await lab.kubectl.logs("orders-1", "plugin-pgbackstop")}${JSON.stringify(pod)}`;
    expect(shown).toContain("/report is served on 127.0.0.1:9854");
    for (const password of passwords) expect(shown).not.toContain(password);
  });

  test("changes nothing when it is applied again, and restarts nothing for a changed retention", async () => {
    const before = await podsOf("orders");
    const generation = async (): Promise<unknown> =>
      (await lab.kubectl.find(CLUSTERS, "orders"))?.metadata["generation"];
    const was = await generation();
    const again = (await renderedObjects(() => void orders())) as KubernetesObject[];
    await lab.kubectl.apply(again);
    expect(await generation()).toBe(was);
    const kept7Days = (): ClusterBackupArgs["repositories"] =>
      Object.fromEntries(
        Object.entries(stack.repositoriesAt("/orders")).map(([key, location]) => [key, { ...location, keepDays: 7 }]),
      );
    const other = (await renderedObjects(() => void orders({ repositories: kept7Days() }))) as KubernetesObject[];
    const changed = other
      .filter((object, index) => JSON.stringify(object) !== JSON.stringify(again[index]))
      .map(({ kind }) => kind);
    expect(changed).toEqual(["ConfigMap"]);
    await lab.kubectl.apply(other);
    expect(await generation()).toBe(was);
    expect(await podsOf("orders")).toEqual(before);
  });

  // claim: docs/kubernetes/commands.md: `BackupNow` for every engine (the real provider is needed on PATH)
  test("takes a backup when an update requests one", async () => {
    const program = (): BackupNow =>
      new BackupNow("before-v2", { cluster: orders().access, type: "incr", triggers: ["v2"] });
    const backups = ((await renderedObjects(() => void program())) as KubernetesObject[]).filter(
      ({ kind }) => kind === "Backup",
    );
    expect(backups.map(({ metadata }) => metadata.name)).toEqual([
      expect.stringMatching(/^orders-before-v2-backup-[0-9a-f]{8}$/),
    ]);
    await lab.kubectl.apply(backups);
    const status = await backupResult(lab, backups[0]?.metadata.name ?? "");
    expect(status.error).toBeUndefined();
    expect(status.pluginMetadata?.["type"]).toBe("incr");
  });

  // claim: README.md: two hosts that share…
  test.runIf(NIGHTLY)(
    "keeps a Backup on a standby waiting while the primary's pod backs up, and both are complete",
    async () => {
      const labels = (server: S3Server): string[] =>
        readdirSync(join(server.bucketPath, "orders/backup/orders")).filter((name) => /^\d{8}-\d{6}F/.test(name));
      const before = labels(stack.first);
      // The changed retention has reached the pod or soon will. Its sidecar restarts only after the manual backup ends.
      // Without a fast start, PostgreSQL spreads a backup's checkpoint over minutes, as long as there is data to write.
      await sql(
        "orders-1",
        "create table ballast as select g as id, repeat('x', 900) as filler from generate_series(1, 20000) g",
      );
      const onPrimary = stack.verb("orders-1", "backup", "--type=full", "--start-fast=n");
      const leases = join(stack.first.bucketPath, "orders/pgbackstop/orders/lease");
      const isHeld = (): boolean =>
        readdirSync(leases).some((name) => /"state":"held"/.test(readFileSync(join(leases, name), "utf8")));
      await expect.poll(isHeld, { timeout: 60_000 }).toBe(true);

      const objects = await renderedObjects(
        () => void new BackupNow("beside", { cluster: orders().access, type: "incr" }),
      );
      const asked = (objects as KubernetesObject[]).find(({ kind }) => kind === "Backup") as KubernetesObject;
      await lab.kubectl.apply([asked]);
      const log = (): string =>
        readFileSync(join(lab.logFolder, "pods", "default_orders-2_plugin-pgbackstop.log"), "utf8");
      await expect.poll(log, { timeout: 120_000 }).toContain("another process uses a repository");
      expect(isHeld()).toBe(true);
      await sql("orders-1", "checkpoint");
      const full = await onPrimary;
      expect(`${full.stdout}${full.stderr}`).not.toContain("ERROR");
      expect(full.exitCode).toBe(0);

      const status = await backupResult(lab, asked.metadata.name);
      expect(status.error).toBeUndefined();
      // The backup builds on the full backup that it waited for.
      const made = labels(stack.first)
        .filter((label) => !before.includes(label))
        .sort();
      expect(made).toEqual([expect.stringMatching(/^\d{8}-\d{6}F$/), status.pluginMetadata?.["repo1"]]);
      expect(made[1]?.startsWith(`${made[0]}_`)).toBe(true);
      expect(status.pluginMetadata?.["repo2"]).toBe(status.pluginMetadata?.["repo1"]);
      // Retries: the sidecar may restart now, which ends a read-only command.
      await expect
        .poll(() => stack.verb("orders-2", "verify"), { timeout: 120_000, interval: 1000 })
        .toMatchObject({ exitCode: 0 });
    },
  );

  test("is added to an existing running Cluster, whose instance is replaced", async () => {
    const cluster = {
      apiVersion: "postgresql.cnpg.io/v1",
      kind: "Cluster",
      metadata: { name: "legacy", namespace: "default" },
      spec: {
        instances: 1,
        imageName: POSTGRES_IMAGE,
        storage: { size: "1Gi" },
        enablePDB: false,
        postgresql: { parameters: { shared_buffers: "32MB" } },
      },
    };
    await lab.kubectl.apply([cluster]);
    await lab.kubectl.waitForCondition(CLUSTERS, "legacy", "Ready");
    await sql("legacy-1", "create table goods as select g as id, md5(g::text) as name from generate_series(1, 100) g");
    const before = await podsOf("legacy");

    const attached = (): CnpgBackup => new CnpgBackup("legacy", { ...stack.common("/legacy"), clusterName: "legacy" });
    await lab.kubectl.apply(await renderedObjects(() => void attached()), { fieldManager: "pulumi", force: true });
    await expect
      .poll(() => podsOf("legacy"), { timeout: 180_000, interval: 500 })
      .toEqual([expect.not.stringContaining(before[0] ?? "")]);
  });

  // claim: docs/kubernetes/plugin.md: retention by time; the…
  test("reports each repository's recovery window on CloudNativePG's own endpoint", async () => {
    const scrape =
      "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
    const metrics = async (): Promise<string> =>
      (await lab.kubectl.exec("orders-1", "plugin-pgbackstop", ["node", "-e", scrape])).stdout;
    const window = async (): Promise<Record<string, number>> => {
      const lines = (await metrics()).matchAll(
        /^pgbackstop_recovery_window_(start|end)_timestamp_seconds\{[^}]*repo_key="([12])"[^}]*\} (\S+)$/gm,
      );
      return Object.fromEntries([...lines].map(([, end, repoIndex, value]) => [`${end} ${repoIndex}`, Number(value)]));
    };
    await expect
      .poll(async () => Object.keys(await window()).sort(), { timeout: 180_000 })
      .toEqual(["end 1", "end 2", "start 1", "start 2"]);
    const ends = await window();
    const nowS = Date.now() / 1000;
    for (const repoIndex of ["1", "2"]) {
      expect(nowS - (ends[`start ${repoIndex}`] ?? 0)).toBeLessThan(1800);
      expect(nowS - (ends[`end ${repoIndex}`] ?? 0)).toBeLessThan(600);
    }
    // What `status` says there. A failure shows the kinds of its troubles.
    const status = async (): Promise<string[]> =>
      (await metrics()).match(/^pgbackstop_(?:status_ok|troubles).*$/gm) ?? [];
    await expect
      .poll(status, { timeout: 180_000, interval: 2000 })
      .toEqual([expect.stringMatching(/^pgbackstop_status_ok\{stanza="[^"]+"\} 1$/)]);
  });

  // claim: docs/kubernetes/new-cluster.md: the components' cluster starts…
  // claim: docs/kubernetes/restore.md: `like` and `source` contain what a copy needs
  test.runIf(NIGHTLY)(
    "is restored to a time from the named repository, with tablespace and WAL on their own volumes",
    async () => {
      await sql("orders-1", "create table goods (id int primary key, name text) tablespace hot");
      await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
      const before = await sql("orders-1", sum);
      await sql("orders-1", "select pg_sleep(1.1)");
      const time = await sql("orders-1", `select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
      await sql("orders-1", "select pg_sleep(1.1)");
      await sql("orders-1", "delete from goods where id > 100");
      await stack.awaitSegment("orders", await stack.endSegment("orders-1"));

      const restored = (): CnpgRestore => {
        const { like, source } = orders();
        return new CnpgRestore("restored", {
          ...stack.common("/restored"),
          like,
          source: { ...source, from: ["repo2"], target: { time } },
        });
      };
      await stack.declare(() => restored());
      await lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
      expect(await sql("restored-1", sum)).toBe(before);
      expect(
        await sql(
          "restored-1",
          "select spcname from pg_tablespace t join pg_class c on c.reltablespace = t.oid where relname = 'goods'",
        ),
      ).toBe("hot");
      expect(
        (await lab.kubectl.exec("restored-1", "postgres", ["sh", "-c", "readlink -f $PGDATA/pg_wal"])).stdout,
      ).toContain("/var/lib/postgresql/wal");
      const status = await stack.firstBackup("restored");
      expect(status.error).toBeUndefined();
      expect(status.pluginMetadata?.["type"]).toBe("full");
    },
  );

  // claim: docs/kubernetes/replica.md: a replica cluster follows the archive alone, is backed up, and is promoted
  //   without a new pod
  test.runIf(NIGHTLY)(
    "is followed by a replica cluster through the archive alone, which is backed up and promoted without a new pod",
    async () => {
      const follower = (enabled: boolean): CnpgRestore =>
        new CnpgRestore("follower", {
          ...stack.common("/follower"),
          ...volumes,
          source: { stanza: "orders", repositories: stack.repositoriesAt("/orders"), from: ["repo2"] },
          replica: { enabled },
        });
      await stack.declare(() => follower(true));
      await lab.kubectl.waitForCondition(CLUSTERS, "follower", "Ready");
      // CloudNativePG restarts a new instance once more after it has its settings.
      await expect
        .poll(() => sql("follower-1", "select pg_is_in_recovery()").catch(String), { timeout: 180_000 })
        .toBe("t");
      await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(10001, 12000) g");
      const before = await sql("orders-1", sum);
      const last = await stack.endSegment("orders-1");
      await expect.poll(() => sql("follower-1", sum).catch(String), { timeout: 180_000 }).toBe(before);
      // It archives the WAL that it follows to its own repositories.
      await expect.poll(() => segmentsOf(stack.second, "follower"), { timeout: 180_000 }).toContain(last);
      const status = await stack.firstBackup("follower");
      expect(status.error).toBeUndefined();
      expect(status.pluginMetadata?.["type"]).toBe("full");

      const pods = await podsOf("follower");
      await stack.declare(() => follower(false));
      await expect
        .poll(() => sql("follower-1", "select pg_is_in_recovery()").catch(String), { timeout: 180_000 })
        .toBe("f");
      // PostgreSQL restarts in the same pod: only a replica cluster has archive_mode = always.
      const written = "insert into goods values (20001, 'after the promotion') on conflict do nothing returning id";
      await expect.poll(() => sql("follower-1", written).catch(String), { timeout: 180_000 }).toContain("20001");
      let next = "";
      const switched = async (): Promise<string> => (next = await stack.endSegment("follower-1").catch(() => ""));
      await expect.poll(switched, { timeout: 60_000 }).toMatch(/^[0-9A-F]{24}$/);
      expect(next.slice(0, 8)).not.toBe(last.slice(0, 8));
      await expect.poll(() => segmentsOf(stack.second, "follower"), { timeout: 180_000 }).toContain(next);
      expect(await podsOf("follower")).toEqual(pods);
    },
  );

  // claim: docs/kubernetes/running-cluster.md: an existing Cluster gets its archive, and a first backup by the sidecar
  test("gives an existing running Cluster its archive and a first backup", async () => {
    const info = async (): Promise<string> => (await stack.verb("legacy-1", "info")).stdout;
    // The sidecar takes one in each repository, a minute after it starts.
    const backups = async (): Promise<number> => (await info()).match(/full backup: /g)?.length ?? 0;
    await expect.poll(backups, { timeout: 240_000, interval: 1000 }).toBe(2);
    expect(await info()).toMatch(/repo1: [^]*full backup: (\d{8}-\d{6}F)/);
    await lab.kubectl.waitForCondition(CLUSTERS, "legacy", "ContinuousArchiving");
    expect(
      await lab.kubectl
        .list(BACKUPS, "default")
        .then((all) => all.filter(({ metadata }) => metadata.name.startsWith("legacy"))),
    ).toEqual([]);
    expect(await sql("legacy-1", "select count(*) from goods")).toBe("100");
    expect(segmentsOf(stack.first, "legacy").length).toBeGreaterThan(0);
    expect(segmentsOf(stack.second, "legacy").length).toBeGreaterThan(0);
  });

  // claim: docs/kubernetes/commands.md: the sidecar's command line…
  test.runIf(NIGHTLY)("hibernates with its last WAL in every repository, and wakes", async () => {
    await sql("legacy-1", "insert into goods values (1000000, 'the last one')");
    const last = await sql("legacy-1", "select pg_walfile_name(pg_current_wal_lsn())");
    await stack.check("legacy-1");
    expect(segmentsOf(stack.first, "legacy")).toContain(last);
    expect(segmentsOf(stack.second, "legacy")).toContain(last);
    const annotate = (arg: string): Promise<string> =>
      lab.kubectl.runOk(["annotate", CLUSTERS, "legacy", "-n", "default", "--overwrite", `cnpg.io/hibernation=${arg}`]);
    await annotate("on");
    await lab.kubectl.waitForCondition(CLUSTERS, "legacy", "cnpg.io/hibernation");
    await expect.poll(() => podsOf("legacy"), { timeout: 120_000 }).toEqual([]);
    await annotate("off");
    await expect
      .poll(() => sql("legacy-1", "select count(*) from goods").catch(String), { timeout: 240_000 })
      .toBe("101");
  });

  describe("bad input", () => {
    const message = async (name: string, args: string): Promise<string> => {
      const cluster = await lab.kubectl.waitUntil({ kind: CLUSTERS, name }, (object) => {
        const { status } = object as { status?: object };
        return JSON.stringify(status ?? {}).includes(args);
      });
      return (
        conditionOf(cluster, "ContinuousArchiving")?.message ??
        (cluster as { status?: { phaseReason?: string } }).status?.phaseReason ??
        ""
      );
    };
    const one = (name: string, over: Partial<CnpgClusterArgs> = {}): CnpgCluster =>
      new CnpgCluster(name, {
        ...stack.common(`/${name}`),
        storageGiB: 1,
        parameters: { shared_buffers: "32MB" },
        ...over,
      });
    const clusterOf = (objects: readonly object[]): KubernetesObject =>
      (objects as KubernetesObject[]).find(({ kind }) => kind === "Cluster") as KubernetesObject;

    const missing = (): ClusterBackupArgs["repositories"] => {
      const { repo1, repo2 } = stack.repositoriesAt("/nowhere");
      const at = repo1?.at as RepositoryTarget | undefined;
      if (repo1 === undefined || at?.s3 === undefined || repo2 === undefined) throw new Error("no bucket");
      return { repo1: { ...repo1, at: { ...at, s3: { ...at.s3, bucket: "missing" } } }, repo2 };
    };

    test("the Cluster's condition names a missing bucket", async () => {
      await stack.declare(() => one("nowhere", { repositories: missing() }));
      expect(await message("nowhere", "bucket 'missing' does not exist")).toContain("Check repo1-s3-bucket");
    });

    test.runIf(NIGHTLY)(
      "a backup into it on an update's request fails, and fails the update with its own error",
      async () => {
        await lab.kubectl.waitForCondition(CLUSTERS, "nowhere", "Ready");
        const program = (): BackupNow =>
          new BackupNow("before-v3", { cluster: one("nowhere", { repositories: missing() }).access });
        const asked = ((await renderedObjects(() => void program())) as KubernetesObject[]).find(
          ({ kind }) => kind === "Backup",
        ) as KubernetesObject;
        await lab.kubectl.apply([asked]);
        const backup = asked.metadata.name;
        const { phase = "", error = "" } = await backupResult(lab, backup);
        expect((asked.metadata["annotations"] as Record<string, string>)["pulumi.com/waitFor"]).toContain(
          `@.phase == '${phase}'`,
        );
        const end = backupEndCreate({ namespace: "default", backup, uid: "", phase, error, backupId: "" });
        await expect(end).rejects.toThrow(/has not completed \(failed\): [^]*bucket 'missing' does not exist/);
      },
    );

    test.runIf(NIGHTLY)("the Cluster's status names an unknown parameter", async () => {
      const objects = await renderedObjects(() => one("unknown"));
      const cluster = clusterOf(objects);
      const plugins = [{ name: "pgbackstop", isWALArchiver: true, parameters: { confMap: "a" } }];
      await lab.kubectl.apply([
        ...objects.filter((object) => object !== cluster),
        { ...cluster, spec: { ...(cluster["spec"] as object), plugins } },
      ]);
      expect(await message("unknown", "confMap")).toMatch(/plugin parameter 'confMap' is unknown/);
    });

    test("the Cluster's status names a plugin that is not installed", async () => {
      const cluster = clusterOf(await renderedObjects(() => one("nobody")));
      const plugins = [{ name: "nobody.example", isWALArchiver: true, parameters: {} }];
      await lab.kubectl.apply([{ ...cluster, spec: { ...(cluster["spec"] as object), plugins } }]);
      expect(await message("nobody", "nobody.example")).toMatch(/nobody\.example/);
    });
  });

  /**
   * Commits of a cluster that wait for repositories. A client records when each commit was acknowledged. A repository
   * goes down and comes back, the primary dies with its disk, a standby takes over on request, and at last the whole
   * cluster is lost with its volumes: nothing acknowledged is missing, and no bootstrap and no change of primary waits
   * for itself. `archive_timeout` is an hour and the interval a minute, so what a restore has of the last minute was
   * waited for.
   */
  // claim: docs/synchronous.md: a cluster with `synchronous`, lost with its volumes, comes back with every acknowledged
  //   commit; a new and a restored one start with it; a repository that is down makes commits wait, a failover loses
  //   none, a switchover ends
  describe("whose commits wait for repositories", () => {
    let primary = "ledger-1";
    /** That the operator makes for the lost one. */
    let standby = "";

    beforeAll(async () => {
      await lab.kubectl.runOk(["delete", CLUSTERS, "--all", "-n", "default", "--wait=false"]);
    });

    const common = (path: string): ReturnType<ComponentLab["common"]> & { storageGiB: number } => ({
      ...stack.common(path),
      archiveTimeoutSeconds: 3600,
      storageGiB: 1,
    });
    const declare = (): Promise<unknown> =>
      stack.declare(
        () =>
          void new CnpgCluster("ledger", {
            ...common("/ledger"),
            streaming: { intervalSeconds: 60, synchronous: "all", standbys: 1 },
            instances: 2,
            parameters: { shared_buffers: "32MB" },
          }),
      );
    const note = (text: string): void => void process.stdout.write(`    ${text}\n`);
    const acks = (): number => acknowledged(lab).length;
    const moreAcks = (count: number): Promise<void> => moreAcknowledged(lab, count);
    const metric = async (name: string): Promise<number> => {
      const program =
        "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
      const { stdout } = await lab.kubectl.exec(primary, "plugin-pgbackstop", ["node", "-e", program]);
      return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(stdout)?.[1] ?? "NaN");
    };
    const names = (): Promise<string> => stack.sql(primary, "show synchronous_standby_names");
    const idsOn = async (pod: string): Promise<ReadonlySet<number>> =>
      new Set((await stack.sql(pod, "select id from load")).split("\n").map(Number));
    const missingOn = async (pod: string, untilMs = Number.POSITIVE_INFINITY): Promise<readonly number[]> => {
      const wanted = acknowledged(lab).filter(({ atMs }) => atMs <= untilMs);
      const there = await idsOn(pod);
      note(`${wanted.length} commits acknowledged, ${wanted.filter(({ id }) => !there.has(id)).length} missing`);
      return wanted.filter(({ id }) => !there.has(id)).map(({ id }) => id);
    };
    const otherInstance = async (): Promise<string> => {
      const pods = (await lab.kubectl.list("pods", "default")).map(({ metadata }) => metadata.name);
      return pods.find((name) => /^ledger-\d+$/.test(name) && name !== primary) ?? "";
    };
    const becomesPrimary = async (pod: string): Promise<void> => {
      primary = pod;
      await expect
        .poll(() => stack.sql(pod, "select pg_is_in_recovery()").catch(String), { timeout: 300_000, interval: 200 })
        .toBe("f");
    };

    test("a new cluster starts with it, and its commits wait for both repositories and a standby", async () => {
      await declare();
      await lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
      expect((await stack.firstBackup("ledger")).error).toBeUndefined();
      expect(await names()).toBe('FIRST 2 ("pgbackstop","ledger-2")');
      await stack.sql(primary, "create table load (id bigint primary key); alter table load owner to app");
      await startWriter(lab, "ledger");
      await moreAcks(50);
      const states = await stack.sql(
        primary,
        "select application_name, sync_state from pg_stat_replication order by 1",
      );
      expect(states).toBe("ledger-2|sync\npgbackstop|sync");
      await expect.poll(() => metric("pgbackstop_stream_synchronous"), { timeout: 60_000 }).toBe(1);
      expect((await stack.verb(primary, "status")).stdout).toContain("wait for repositories (synchronous)");
    });

    test.runIf(NIGHTLY)(
      "while a repository is down commits wait, which its metric says, and go on when it is back",
      async () => {
        await stack.second.stop();
        await expect
          .poll(() => metric("pgbackstop_stream_waiting_seconds"), { timeout: 120_000 })
          .toBeGreaterThanOrEqual(5);
        const before = acks();
        await new Promise((resolve) => setTimeout(resolve, 2000));
        expect(acks()).toBe(before);
        expect(await stack.sql(primary, "select 1")).toBe("1");
        await stack.second.start();
        const beganMs = performance.now();
        await moreAcks(20);
        note(`20 more commits ${((performance.now() - beganMs) / 1000).toFixed(1)} s after the repository was back`);
        await expect.poll(() => metric("pgbackstop_stream_waiting_seconds"), { timeout: 60_000 }).toBeLessThan(5);
      },
    );

    test.runIf(NIGHTLY)("the runbook's command ends a wait, and the next update makes commits wait again", async () => {
      const uids = (): Promise<string> =>
        lab.kubectl.runOk(["get", "pods", "-n", "default", "-o", "jsonpath={.items[*].metadata.uid}"]);
      const before = await uids();
      await stack.second.stop();
      await lab.kubectl.runOk(["patch", CLUSTERS, "ledger", "-n", "default", "--type=json", "-p", REMOVAL]);
      await expect.poll(names, { timeout: 60_000 }).toBe("");
      await moreAcks(20);
      await expect.poll(() => metric("pgbackstop_stream_synchronous"), { timeout: 60_000 }).toBe(0);
      await stack.second.start();
      await declare();
      await expect.poll(names, { timeout: 60_000 }).toBe('FIRST 2 ("pgbackstop","ledger-2")');
      await expect.poll(() => metric("pgbackstop_stream_synchronous"), { timeout: 60_000 }).toBe(1);
      await moreAcks(20);
      expect(await uids()).toBe(before);
    });

    test.runIf(NIGHTLY)(
      "a primary that dies with its disk loses nothing, and commits wait on the new timeline",
      async () => {
        await lab.crash(primary);
        const killedAtMs = Date.now();
        await lab.kubectl.runOk(["delete", "pvc", primary, "-n", "default", "--wait=false"]);
        await becomesPrimary("ledger-2");
        expect(await missingOn(primary, killedAtMs)).toEqual([]);
        await moreAcks(20);
        note(
          `commits were acknowledged again ${((Date.now() - killedAtMs) / 1000).toFixed(1)} s after the primary's death`,
        );
        standby = await otherInstance();
        expect(await names()).toBe(`FIRST 2 ("pgbackstop","${standby}")`);
      },
    );

    test.runIf(NIGHTLY)("a switchover waits for nobody", async () => {
      await lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
      const beganMs = performance.now();
      const now = new Date().toISOString().replace("Z", "000Z");
      const status = { targetPrimary: standby, targetPrimaryTimestamp: now, phase: "Switchover in progress" };
      const patch = JSON.stringify({ status });
      await lab.kubectl.runOk([
        "patch",
        CLUSTERS,
        "ledger",
        "-n",
        "default",
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
      ]);
      await becomesPrimary(standby);
      await moreAcks(20);
      note(`commits were acknowledged again ${((performance.now() - beganMs) / 1000).toFixed(1)} s after the request`);
      expect(await missingOn(primary)).toEqual([]);
    });

    test("a cluster lost with its volumes comes back with every acknowledged commit", async () => {
      await moreAcks(50);
      await lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=0"]);
      const killedAtMs = Date.now();
      await Promise.all([primary, await otherInstance()].map((pod) => lab.crash(pod)));
      await lab.kubectl.runOk(["delete", CLUSTERS, "ledger", "-n", "default", "--wait=false"]);
      await lab.kubectl.runOk(["delete", "pvc", "--all", "-n", "default", "--wait=false"]);
      await stopWriter(lab);
      await lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=1"]);
      await lab.kubectl.runOk(["rollout", "status", ...OPERATOR, "--timeout=180s"], { timeoutMs: 190_000 });
      await stack.declare(
        () =>
          void new CnpgRestore("rebuilt", {
            ...common("/rebuilt"),
            streaming: { intervalSeconds: 60, synchronous: "any" },
            parameters: { shared_buffers: "32MB" },
            source: { stanza: "ledger", repositories: stack.repositoriesAt("/ledger"), from: ["repo2"] },
          }),
      );
      await lab.kubectl.waitForCondition(CLUSTERS, "rebuilt", "Ready");
      primary = "rebuilt-1";
      expect(await missingOn(primary, killedAtMs)).toEqual([]);
      expect(await names()).toBe('FIRST 1 ("pgbackstop")');
      // A restored cluster's own commits wait too.
      expect(await stack.sql(primary, "insert into load values (0) returning id")).toMatch(/^0/);
    });
  });
});
