/**
 * A user's stack in a Kubernetes with the real operator and PostgreSQL: what the components declare is applied as it is, from the plugin to a
 * restored cluster, with WAL and a tablespace on volumes of their own. A Cluster that others made gets its backups while it runs.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { BackupNow } from "../../components/actions/backupNow";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgPlugin } from "../../components/databases/cnpgPlugin";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import type { RunResult } from "../../tools/parts/process";
import { S3Server } from "../../tools/parts/s3Server";
import { s3Kind } from "../harness/interopParts";
import { POSTGRES_IMAGE } from "../harness/kubernetes/images";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { type Lab, OPERATOR_NAMESPACE, startLab } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";

const CLUSTERS = "clusters.postgresql.cnpg.io";
const BACKUPS = "backups.postgresql.cnpg.io";
const SILENCE = { PB007: "no drill here", PB030: "no off-site copy here" };

interface BackupObject extends KubernetesObject {
  readonly spec: { readonly cluster: { readonly name: string } };
  readonly status?: { readonly phase?: string; readonly error?: string; readonly pluginMetadata?: Readonly<Record<string, string>> };
}

describe("a stack of the components", async () => {
  const parts = await labParts("the components' objects in the lab");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  let lab: Lab;
  let first: S3Server;
  let second: S3Server;

  beforeAll(async () => {
    const kind = await s3Kind();
    const serverOf = (name: string): Promise<S3Server> => S3Server.create({ kind, bucket: name, moreNames: [`${name}.default.svc`] });
    [first, second] = await Promise.all([serverOf("first"), serverOf("second")]);
    lab = await startLab(parts, { name: "journey" });
    await lab.expose("first", first.port);
    await lab.expose("second", second.port);
    const ca = (name: string, server: S3Server): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: `${name}-ca`, namespace: "default" },
      stringData: { "ca.crt": readFileSync(server.caFile, "utf8") },
    });
    await lab.kubectl.apply([ca("first", first), ca("second", second)]);
    await lab.kubectl.apply(await renderedObjects(() => void new CnpgPlugin("pgbackstop", { operatorNamespace: OPERATOR_NAMESPACE })));
    await lab.kubectl.runOk(["rollout", "status", "deployment/pgbackstop", "-n", OPERATOR_NAMESPACE, "--timeout=120s"], { timeoutMs: 130_000 });
  });
  afterAll(async () => {
    await lab?.stop();
    await first?.remove();
    await second?.remove();
  });

  const bucket = (name: string, server: S3Server, path: string, passphrase?: string): S3CompatibleRepository =>
    new S3CompatibleRepository(`${name}${path.replaceAll("/", "-")}`, {
      endpoint: `${name}.default.svc`,
      port: server.port,
      region: server.region,
      uriStyle: "path",
      path,
      bucket: { existing: { name: server.bucket, credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey } } },
      ...(passphrase === undefined ? {} : { cipher: { passphrase } }),
    });
  const places = (path: string): ClusterBackupArgs["repositories"] => ({
    repo1: { at: bucket("first", first, path).target, keepDays: 14, ca: { name: "first-ca", key: "ca.crt" } },
    repo2: { at: bucket("second", second, path, "a passphrase of the second one").target, keepDays: 90, ca: { name: "second-ca", key: "ca.crt" } },
  });
  const common = (path: string): ClusterBackupArgs => ({
    namespace: "default",
    operatorVersion: "1.30.0",
    repositories: places(path),
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    objectives: { rpoSeconds: 90 },
    archiveTimeoutSeconds: 5,
    silence: { ...SILENCE, PB042: "no encryption in the first one" },
  });
  const volumes: Pick<CnpgClusterArgs, "storageGiB" | "walStorage" | "tablespaces" | "parameters"> = {
    storageGiB: 1,
    walStorage: { sizeGiB: 1 },
    tablespaces: { hot: { sizeGiB: 1, owner: "app" } },
    parameters: { shared_buffers: "32MB" },
  };
  const orders = (over: Partial<CnpgClusterArgs> = {}): CnpgCluster =>
    new CnpgCluster("orders", { ...common("/orders"), ...volumes, instances: 2, ...over });

  const sql = async (pod: string, text: string, database = "app"): Promise<string> => {
    const result = await lab.kubectl.exec(pod, "postgres", ["psql", "-XAtd", database, "-c", text]);
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout.trim();
  };
  /** The first backup of a cluster that has ended. */
  const firstBackup = async (cluster: string): Promise<NonNullable<BackupObject["status"]>> => {
    const ended = async (): Promise<BackupObject | undefined> =>
      (await lab.kubectl.list<BackupObject>(BACKUPS, "default")).find(
        ({ spec, status }) => spec.cluster.name === cluster && /^(completed|failed)$/.test(status?.phase ?? ""),
      );
    await expect.poll(ended, { timeout: 180_000 }).toBeDefined();
    return (await ended())?.status ?? {};
  };
  const podsOf = async (cluster: string): Promise<string[]> => {
    const pods = await lab.kubectl.list<KubernetesObject & { metadata: { labels?: Record<string, string>; uid: string } }>("pods", "default");
    return pods.filter(({ metadata }) => metadata.labels?.["cnpg.io/cluster"] === cluster).map(({ metadata }) => `${metadata.name} ${metadata.uid}`);
  };
  const segmentsOf = (server: S3Server, path: string): string[] =>
    readdirSync(join(server.bucketPath, path, "archive"), { recursive: true, encoding: "utf8" }).flatMap(
      (name) => /([0-9A-F]{24})-[0-9a-f]{40}/.exec(name)?.[1] ?? [],
    );
  const sum = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";

  test("comes up, archives into both repositories and takes its first backup at once", async () => {
    await lab.kubectl.apply(await renderedObjects(() => void orders()));
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    const status = await firstBackup("orders");
    expect(status.error).toBeUndefined();
    expect(status.pluginMetadata?.["type"]).toBe("full");
    expect(status.pluginMetadata?.["repo1"]).toMatch(/^\d{8}-\d{6}F$/);
    expect(status.pluginMetadata?.["repo2"]).toBe(status.pluginMetadata?.["repo1"]);
    expect(await sql("orders-1", "show archive_timeout")).toBe("5s");
  });

  test("answers on the command line of its sidecar", async () => {
    const command = (...words: string[]): Promise<RunResult> =>
      lab.kubectl.exec("orders-1", "plugin-pgbackstop", ["/pgbackstop/run/pgbackstop", ...words]);
    const info = await command("info");
    expect(info.stderr).toBe("");
    expect(info.stdout).toContain("status: ok");
    expect(info.stdout).toMatch(/repo1: none\n\s+repo2: aes-256-cbc/);
    const status = await command("status");
    expect(status.stdout).toMatch(
      /^orders: all is well\n {2}repo1 {2}s3:.*\n {4}newest backup {2}\d{8}-\d{6}F \(full\), \d+ (seconds|minutes) ago\n/,
    );
    expect(status.exitCode).toBe(0);
    expect(await command("verify", "--repo=2")).toMatchObject({ exitCode: 0 });
    const check = await command("check");
    expect(`${check.stdout}${check.stderr}`).not.toContain("ERROR");
    expect(check.exitCode).toBe(0);
  });

  test("changes nothing when it is applied again, and restarts nothing for another retention", async () => {
    const before = await podsOf("orders");
    const generation = async (): Promise<unknown> => (await lab.kubectl.find(CLUSTERS, "orders"))?.metadata["generation"];
    const was = await generation();
    const again = (await renderedObjects(() => void orders())) as KubernetesObject[];
    await lab.kubectl.apply(again);
    expect(await generation()).toBe(was);
    const kept7Days = (): ClusterBackupArgs["repositories"] =>
      Object.fromEntries(Object.entries(places("/orders")).map(([key, place]) => [key, { ...place, keepDays: 7 }]));
    const other = (await renderedObjects(() => void orders({ repositories: kept7Days() }))) as KubernetesObject[];
    const changed = other.filter((object, index) => JSON.stringify(object) !== JSON.stringify(again[index])).map(({ kind }) => kind);
    expect(changed).toEqual(["ConfigMap"]);
    await lab.kubectl.apply(other);
    expect(await generation()).toBe(was);
    expect(await podsOf("orders")).toEqual(before);
  });

  test("takes a backup when an update asks for one", async () => {
    const program = (): BackupNow => new BackupNow("before-v2", { cluster: orders().access, type: "incr", triggers: ["v2"] });
    const backups = ((await renderedObjects(() => void program())) as KubernetesObject[]).filter(({ kind }) => kind === "Backup");
    expect(backups.map(({ metadata }) => metadata.name)).toEqual([expect.stringMatching(/^orders-before-v2-backup-[0-9a-f]{8}$/)]);
    await lab.kubectl.apply(backups);
    const isOver = ({ status }: BackupObject): boolean => /^(completed|failed)$/.test(status?.phase ?? "");
    const { status } = await lab.kubectl.waitUntil<BackupObject>({ kind: BACKUPS, name: backups[0]?.metadata.name ?? "" }, isOver);
    expect(status?.error).toBeUndefined();
    expect(status?.pluginMetadata?.["type"]).toBe("incr");
  });

  test("tells the recovery window of each repository on CloudNativePG's own endpoint", async () => {
    const scrape = "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
    const window = async (): Promise<Record<string, number>> => {
      const { stdout } = await lab.kubectl.exec("orders-1", "plugin-pgbackstop", ["node", "-e", scrape]);
      const lines = stdout.matchAll(/^pgbackstop_recovery_window_(start|end)_timestamp_seconds\{[^}]*repo_key="([12])"[^}]*\} (\S+)$/gm);
      return Object.fromEntries([...lines].map(([, end, repoKey, value]) => [`${end} ${repoKey}`, Number(value)]));
    };
    await expect.poll(async () => Object.keys(await window()).sort(), { timeout: 180_000 }).toEqual(["end 1", "end 2", "start 1", "start 2"]);
    const ends = await window();
    const nowS = Date.now() / 1000;
    for (const repoKey of ["1", "2"]) {
      expect(nowS - (ends[`start ${repoKey}`] ?? 0)).toBeLessThan(1800);
      expect(nowS - (ends[`end ${repoKey}`] ?? 0)).toBeLessThan(600);
    }
  });

  test("is restored to a time from the named repository, with its tablespace and WAL on volumes of their own", async () => {
    await sql("orders-1", "create table goods (id int primary key, name text) tablespace hot");
    await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
    const before = await sql("orders-1", sum);
    await sql("orders-1", "select pg_sleep(1.1)");
    const time = await sql("orders-1", `select to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
    await sql("orders-1", "select pg_sleep(1.1)");
    await sql("orders-1", "delete from goods where id > 100");
    const last = await sql("orders-1", "select pg_walfile_name(pg_switch_wal())");
    await expect.poll(() => segmentsOf(second, "orders"), { timeout: 120_000 }).toContain(last);

    const restored = (): CnpgRestore => {
      const { like, source } = orders();
      return new CnpgRestore("restored", { ...common("/restored"), ...like, source: { ...source, from: ["repo2"], target: { time } } });
    };
    await lab.kubectl.apply(await renderedObjects(() => void restored()));
    await lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
    expect(await sql("restored-1", sum)).toBe(before);
    expect(await sql("restored-1", "select spcname from pg_tablespace t join pg_class c on c.reltablespace = t.oid where relname = 'goods'")).toBe(
      "hot",
    );
    expect((await lab.kubectl.exec("restored-1", "postgres", ["sh", "-c", "readlink -f $PGDATA/pg_wal"])).stdout).toContain(
      "/var/lib/postgresql/wal",
    );
    const status = await firstBackup("restored");
    expect(status.error).toBeUndefined();
    expect(status.pluginMetadata?.["type"]).toBe("full");
  });

  test("is followed by a replica cluster through the archive alone, which is backed up and promoted without a new pod", async () => {
    const follower = (enabled: boolean): CnpgRestore =>
      new CnpgRestore("follower", {
        ...common("/follower"),
        ...volumes,
        source: { stanza: "orders", repositories: places("/orders"), from: ["repo2"] },
        replica: { enabled },
      });
    await lab.kubectl.apply(await renderedObjects(() => void follower(true)));
    await lab.kubectl.waitForCondition(CLUSTERS, "follower", "Ready");
    // CloudNativePG restarts a new instance once more when it has its settings.
    await expect.poll(() => sql("follower-1", "select pg_is_in_recovery()").catch(String), { timeout: 60_000 }).toBe("t");
    await sql("orders-1", "insert into goods select g, md5(g::text) from generate_series(10001, 12000) g");
    const before = await sql("orders-1", sum);
    const last = await sql("orders-1", "select pg_walfile_name(pg_switch_wal())");
    await expect.poll(() => sql("follower-1", sum).catch(String), { timeout: 120_000 }).toBe(before);
    // It archives what it follows, into places of its own.
    await expect.poll(() => segmentsOf(second, "follower"), { timeout: 120_000 }).toContain(last);
    const status = await firstBackup("follower");
    expect(status.error).toBeUndefined();
    expect(status.pluginMetadata?.["type"]).toBe("full");

    const pods = await podsOf("follower");
    await lab.kubectl.apply(await renderedObjects(() => void follower(false)));
    await expect.poll(() => sql("follower-1", "select pg_is_in_recovery()").catch(String), { timeout: 120_000 }).toBe("f");
    // In the same pod PostgreSQL starts once more: only a replica cluster has archive_mode = always.
    const written = "insert into goods values (20001, 'after the promotion') on conflict do nothing returning id";
    await expect.poll(() => sql("follower-1", written).catch(String), { timeout: 60_000 }).toContain("20001");
    let next = "";
    const switched = async (): Promise<string> => (next = await sql("follower-1", "select pg_walfile_name(pg_switch_wal())").catch(() => ""));
    await expect.poll(switched, { timeout: 60_000 }).toMatch(/^[0-9A-F]{24}$/);
    expect(next.slice(0, 8)).not.toBe(last.slice(0, 8));
    await expect.poll(() => segmentsOf(second, "follower"), { timeout: 120_000 }).toContain(next);
    expect(await podsOf("follower")).toEqual(pods);
  });

  test("gives a running Cluster of others its archive and a first backup", async () => {
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

    const attached = (): CnpgBackup => new CnpgBackup("legacy", { ...common("/legacy"), clusterName: "legacy" });
    await lab.kubectl.apply(await renderedObjects(() => void attached()), { fieldManager: "pulumi", force: true });
    const info = async (): Promise<string> => {
      const { stdout } = await lab.kubectl.exec("legacy-1", "plugin-pgbackstop", ["/pgbackstop/run/pgbackstop", "info"]);
      return stdout;
    };
    // By the sidecar itself, a minute after it began.
    await expect.poll(info, { timeout: 180_000 }).toContain("full backup");
    expect(await info()).toMatch(/repo1: [^]*full backup: (\d{8}-\d{6}F)/);
    expect((await info()).match(/full backup: /g)?.length).toBe(2);
    await lab.kubectl.waitForCondition(CLUSTERS, "legacy", "ContinuousArchiving");
    expect(await lab.kubectl.list(BACKUPS, "default").then((all) => all.filter(({ metadata }) => metadata.name.startsWith("legacy")))).toEqual([]);
    expect(await sql("legacy-1", "select count(*) from goods")).toBe("100");
    expect(segmentsOf(first, "legacy").length).toBeGreaterThan(0);
    expect(segmentsOf(second, "legacy").length).toBeGreaterThan(0);
  });

  test("sleeps with its last WAL in every repository, and wakes", async () => {
    await sql("legacy-1", "insert into goods values (1000000, 'the last one')");
    const last = await sql("legacy-1", "select pg_walfile_name(pg_current_wal_lsn())");
    const check = await lab.kubectl.exec("legacy-1", "plugin-pgbackstop", ["/pgbackstop/run/pgbackstop", "check"]);
    expect(check.exitCode).toBe(0);
    expect(segmentsOf(first, "legacy")).toContain(last);
    expect(segmentsOf(second, "legacy")).toContain(last);
    const annotate = (word: string): Promise<string> =>
      lab.kubectl.runOk(["annotate", CLUSTERS, "legacy", "-n", "default", "--overwrite", `cnpg.io/hibernation=${word}`]);
    await annotate("on");
    await lab.kubectl.waitForCondition(CLUSTERS, "legacy", "cnpg.io/hibernation");
    expect(await podsOf("legacy")).toEqual([]);
    await annotate("off");
    await expect.poll(() => sql("legacy-1", "select count(*) from goods").catch(String), { timeout: 120_000 }).toBe("101");
  });

  describe("bad input", () => {
    const message = async (name: string, words: string): Promise<string> => {
      const cluster = await lab.kubectl.waitUntil({ kind: CLUSTERS, name }, (object) => {
        const { status } = object as { status?: object };
        return JSON.stringify(status ?? {}).includes(words);
      });
      return conditionOf(cluster, "ContinuousArchiving")?.message ?? (cluster as { status?: { phaseReason?: string } }).status?.phaseReason ?? "";
    };
    const one = (name: string, over: Partial<CnpgClusterArgs> = {}): void => {
      void new CnpgCluster(name, { ...common(`/${name}`), storageGiB: 1, parameters: { shared_buffers: "32MB" }, ...over });
    };
    const clusterOf = (objects: readonly object[]): KubernetesObject =>
      (objects as KubernetesObject[]).find(({ kind }) => kind === "Cluster") as KubernetesObject;

    test("a bucket that is not there is named in the Cluster's condition", async () => {
      const missing = (): ClusterBackupArgs["repositories"] => {
        const { repo1, repo2 } = places("/nowhere");
        if (repo1?.at.s3 === undefined || repo2 === undefined) throw new Error("no bucket");
        return { repo1: { ...repo1, at: { ...repo1.at, s3: { ...repo1.at.s3, bucket: "missing" } } }, repo2 };
      };
      await lab.kubectl.apply(await renderedObjects(() => one("nowhere", { repositories: missing() })));
      expect(await message("nowhere", "bucket 'missing' does not exist")).toContain("Check repo1-s3-bucket");
    });

    test("a parameter that the plugin does not know is named in the Cluster's status", async () => {
      const objects = await renderedObjects(() => one("unknown", { overrides: { cluster: { spec: { plugins: null } } } }));
      const cluster = clusterOf(objects);
      const plugins = [{ name: "pgbackstop", isWALArchiver: true, parameters: { confMap: "a" } }];
      await lab.kubectl.apply([...objects.filter((object) => object !== cluster), { ...cluster, spec: { ...(cluster["spec"] as object), plugins } }]);
      expect(await message("unknown", "confMap")).toMatch(/plugin parameter 'confMap' is unknown/);
    });

    test("a plugin that is not installed is named in the Cluster's status", async () => {
      const cluster = clusterOf(await renderedObjects(() => one("nobody")));
      const plugins = [{ name: "nobody.example", isWALArchiver: true, parameters: {} }];
      await lab.kubectl.apply([{ ...cluster, spec: { ...(cluster["spec"] as object), plugins } }]);
      expect(await message("nobody", "nobody.example")).toMatch(/nobody\.example/);
    });
  });
});
