/**
 * `Migration` into a cluster as its component declares it, in a Kubernetes with the real operator and PostgreSQL. Jobs
 * copy a plain server's databases into the cluster. An application is stopped, redirected and started. A target that
 * was tampered with fails its step. The source can be removed after a backup in each repository and a drill.
 *
 * The engine is a **double**: it applies the declared objects one after the other, and recreates a failed Job as the
 * Kubernetes provider does with `pulumi.com/replaceUnready`. packages/migration/test/engine runs the real engine.
 */
// claim: packages/migration/docs/program.md: Jobs move databases into a cluster; a Deployment is stopped, redirected by
//   its Secret and started; a difference fails its step; the return (the operator, PostgreSQL and the API server are
//   real; the engine's order of steps is simulated)
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgCluster } from "../../../../components/databases/cnpgCluster";
import { Migration } from "../../components/migration";
import type { MigrationStage } from "../../components/migrationArgs";
import type { MigrationPlan } from "../../runtime/migrationPlan";
import type { VerifyReport } from "../../runtime/verifyMigration";
import { BACKUPS, backupResult, CLUSTERS } from "../../../../test/harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../../../../test/harness/kubernetes/componentLab";
import { POSTGRES_IMAGE } from "../../../../test/harness/kubernetes/images";
import { conditionOf, type KubernetesObject } from "../../../../test/harness/kubernetes/kubectl";
import type { Lab } from "../../../../test/harness/kubernetes/lab";
import { labParts } from "../../../../test/harness/kubernetes/parts";
import { renderedObjects } from "../../../../test/harness/kubernetes/rendered";

const PASSWORD = "password-of-the-old-one";
const JOB_MS = 300_000;
/** A plain server with roles, databases and rows, and nothing specific to Kubernetes. */
const OLD_SERVER = `set -e
export PGDATA=/tmp/data
echo "$PGPASSWORD" > /tmp/password
initdb -U postgres --auth=scram-sha-256 --pwfile=/tmp/password --no-sync > /dev/null
echo "host all all all scram-sha-256" >> $PGDATA/pg_hba.conf
pg_ctl -o "-c unix_socket_directories=/tmp -c listen_addresses=" -w start > /dev/null
psql -XAtq -v ON_ERROR_STOP=1 -h /tmp -U postgres <<SQL
create role shopkeeper login password 'of a shopkeeper';
create database shop owner shopkeeper;
create database ledger owner shopkeeper;
\\c shop
create table goods (id serial primary key, name text);
insert into goods (name) select md5(i::text) from generate_series(1, 500) i;
alter table goods owner to shopkeeper;
SQL
pg_ctl -m fast -w stop > /dev/null
exec postgres -c unix_socket_directories=/tmp -c listen_addresses=* -c fsync=off`;
/** Holds a connection like an application. The server soon notices when it is gone. */
const APPLICATION = `while sleep 0.5; do psql -XAtq "dbname=shop user=shopkeeper connect_timeout=3 application_name=web options='-c client_connection_check_interval=500'" -c "select pg_sleep(600)"; done`;

describe("a migration into a cluster", async () => {
  const parts = await labParts("a migration into a cluster in the lab");
  if (parts === null) return;
  let stack: ComponentLab;
  let lab: Lab;

  const program = (until: MigrationStage): void => {
    const orders = new CnpgCluster("orders", {
      ...stack.common("/orders"),
      storageGiB: 1,
      spec: { enableSuperuserAccess: true },
      parameters: { shared_buffers: "32MB" },
      drills: { first: { cron: "0 5 1 1 *", level: "quick", maxMinutes: 20 } },
    });
    new Migration("move", {
      source: { address: "legacy", sslMode: "disable", passwordSecret: { name: "legacy", key: "password" } },
      target: { cluster: orders.access },
      drill: "first",
      workloads: [
        { kind: "Deployment", name: "web" },
        { kind: "CronJob", name: "nightly" },
      ],
      secrets: [{ name: "web-database", values: { host: "orders-rw" } }],
      until,
    });
  };
  const sql = (text: string, database = "shop"): Promise<string> => stack.sql("orders-1", text, database);
  const sqlOld = async (text: string, database = "shop"): Promise<string> => {
    const args = [
      "env",
      `PGPASSWORD=${PASSWORD}`,
      "psql",
      "-XAtd",
      database,
      "-h",
      "/tmp",
      "-U",
      "postgres",
      "-c",
      text,
    ];
    const { exitCode, stderr, stdout } = await lab.kubectl.exec("legacy", "main", args);
    if (exitCode !== 0) throw new Error(stderr);
    return stdout.trim();
  };
  const web = async (): Promise<{ readonly replicas: number; readonly pods: number }> => {
    const result = await lab.kubectl.find<{ spec: { replicas: number } }>("deployment", "web");
    const pods = (await lab.kubectl.list("pods", "default")).filter(({ metadata }) => metadata.name.startsWith("web-"));
    return { replicas: result?.spec.replicas ?? -1, pods: pods.length };
  };
  const isSuspended = async (): Promise<boolean | undefined> =>
    (await lab.kubectl.find<{ spec: { suspend?: boolean } }>("cronjob", "nightly"))?.spec.suspend;
  const secretOf = async (name: string): Promise<Readonly<Record<string, string>>> => {
    const { data = {} } = (await lab.kubectl.find<{ data?: Record<string, string> }>("secret", name)) ?? {};
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, atob(value)]));
  };
  const report = async <T>(verb: string): Promise<T> =>
    JSON.parse(
      (await lab.kubectl.find<{ data?: { report?: string } }>("configmap", `move-report-${verb}`))?.data?.report ??
        "null",
    ) as T;

  /** Objects of a stage: those of the cluster, and those of the migration with its steps in the order of execution. */
  const objectsOf = async (
    until: MigrationStage,
  ): Promise<{ readonly cluster: readonly KubernetesObject[]; readonly move: readonly KubernetesObject[] }> => {
    // Objects that the program only reads have no kind here.
    const objects = ((await renderedObjects(() => program(until))) as KubernetesObject[]).filter(
      ({ kind }) => kind !== undefined,
    );
    const isOfMigration = ({ metadata }: KubernetesObject): boolean =>
      metadata.name.startsWith("move") || metadata.name.startsWith("orders-move");
    return { cluster: objects.filter((object) => !isOfMigration(object)), move: objects.filter(isOfMigration) };
  };
  const isStep = ({ kind }: KubernetesObject): boolean => kind === "Job" || kind === "Backup";
  const jobEnd = async (name: string): Promise<"Complete" | "Failed"> => {
    const ended = await lab.kubectl.waitUntil(
      { kind: "jobs", name },
      (object) => ["Complete", "Failed"].some((type) => conditionOf(object, type)?.status === "True"),
      JOB_MS,
    );
    return conditionOf(ended, "Complete")?.status === "True" ? "Complete" : "Failed";
  };
  /**
   * Applies the missing objects like an update. Ends at the step that fails, or after `last`. Returns the steps that it
   * made.
   */
  const up = async (until: MigrationStage, last?: string): Promise<readonly string[]> => {
    const objects = (await objectsOf(until)).move;
    await lab.kubectl.apply(objects.filter((object) => !isStep(object)));
    const made: string[] = [];
    for (const step of objects.filter(isStep)) {
      const { name } = step.metadata;
      const result = await lab.kubectl.find(step.kind === "Job" ? "jobs" : BACKUPS, name);
      if (result !== null && conditionOf(result, "Failed")?.status === "True")
        await lab.kubectl.runOk(["delete", "job", name, "-n", "default"]);
      else if (result !== null) continue;
      await lab.kubectl.apply([step]);
      const end = step.kind === "Job" ? await jobEnd(name) : (await backupResult(lab, name)).phase;
      made.push(`${name}${end === "Complete" || end === "completed" ? "" : ` ${end}`}`);
      if (end === "Failed" || end === "failed" || name === last) break;
    }
    return made;
  };

  beforeAll(async () => {
    stack = await startComponentLab(parts, "migration");
    lab = stack.lab;
    const metadata = (name: string): object => ({ name, namespace: "default", labels: { app: name } });
    const secret = { apiVersion: "v1", kind: "Secret" };
    const postgres = { name: "main", image: POSTGRES_IMAGE, securityContext: { runAsUser: 26 } };
    const fromSecret = (name: string, of: string, key: string): object => ({
      name,
      valueFrom: { secretKeyRef: { name: of, key } },
    });
    const env = [fromSecret("PGHOST", "web-database", "host"), fromSecret("PGPASSWORD", "web-database", "password")];
    const pod = {
      terminationGracePeriodSeconds: 1,
      containers: [{ ...postgres, command: ["bash", "-c", APPLICATION], env }],
    };
    await lab.kubectl.apply([
      { ...secret, metadata: metadata("legacy"), stringData: { password: PASSWORD } },
      { ...secret, metadata: metadata("web-database"), stringData: { host: "legacy", password: "of a shopkeeper" } },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: metadata("legacy"),
        spec: { selector: { app: "legacy" }, ports: [{ port: 5432 }] },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: metadata("legacy"),
        spec: {
          containers: [
            { ...postgres, command: ["bash", "-c", OLD_SERVER], env: [fromSecret("PGPASSWORD", "legacy", "password")] },
          ],
        },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: metadata("web"),
        spec: {
          replicas: 2,
          selector: { matchLabels: { app: "web" } },
          template: { metadata: { labels: { app: "web" } }, spec: pod },
        },
      },
      {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: metadata("nightly"),
        spec: {
          schedule: "0 0 31 2 *",
          jobTemplate: { spec: { template: { spec: { ...pod, restartPolicy: "Never" } } } },
        },
      },
    ]);
    await lab.kubectl.apply((await objectsOf("plan")).cluster);
    await lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
  });
  afterAll(() => stack?.stop());

  test("the plan lists the connected clients, and changes nothing", async () => {
    const connected = "select count(*) from pg_stat_activity where application_name = 'web'";
    await expect.poll(() => sqlOld(connected, "postgres").catch(String), { timeout: 120_000 }).toBe("2");
    expect(await up("plan")).toEqual(["move-plan"]);
    const plan = await report<MigrationPlan>("plan");
    expect([plan.refusals, plan.databases.map(({ name }) => name).sort(), plan.roles]).toEqual([
      [],
      ["ledger", "shop"],
      ["shopkeeper"],
    ]);
    expect(plan.clients).toHaveLength(2);
    for (const client of plan.clients)
      expect(client).toMatchObject({ database: "shop", user: "shopkeeper", application: "web", count: 1 });
    expect(await web()).toEqual({ replicas: 2, pods: 2 });
  });

  // claim: packages/migration/docs/program.md: CronJobs are suspended, running…
  test("the application is stopped, databases are copied, and tampering fails the comparison until it is repaired", async () => {
    expect(await up("copy", "move-copy")).toEqual(["move-stop-workloads", "move-copy"]);
    expect([await web(), await isSuspended()]).toEqual([{ replicas: 0, pods: 0 }, true]);
    await sql("update goods set name = 'other' where id = 7");
    expect(await up("copy")).toEqual(["move-verify Failed"]);
    expect((await report<VerifyReport>("verify")).differences).toEqual([
      expect.objectContaining({ database: "shop", kind: "table", name: "public.goods" }),
    ]);
    await sql("update goods set name = md5('7') where id = 7");
    expect(await up("copy")).toEqual(["move-verify"]);
    const { databases, guarded, ok } = await report<VerifyReport>("verify");
    expect([ok, guarded, databases.reduce((sum, { rows }) => sum + rows, 0)]).toEqual([true, true, 500]);
    expect(await up("copy")).toEqual([]);
    await expect(sqlOld("set role shopkeeper; create table late (x int)")).rejects.toThrow("read-only");
  });

  test("its Secret redirects the application to the cluster, where it starts as before", async () => {
    expect(await up("switch")).toEqual(["move-repoint-secrets", "move-start-workloads"]);
    expect(await secretOf("web-database")).toEqual({ host: "orders-rw", password: "of a shopkeeper" });
    const connected = "select count(*) from pg_stat_activity where application_name = 'web'";
    await expect.poll(() => sql(connected), { timeout: 120_000 }).toBe("2");
    expect([await web(), await isSuspended()]).toEqual([{ replicas: 2, pods: 2 }, false]);
  });

  test("the source can be removed after a backup in each repository, and a drill", async () => {
    expect(await up("retire")).toEqual([expect.stringMatching(/move-first-backup/), "move-first-drill", "move-finish"]);
    expect(await report("finish")).toMatchObject({
      mayRetireSource: true,
      missing: [],
      databases: 2,
      backups: [{ repo: 1 }, { repo: 2 }],
    });
  });

  test("the return restores the source and the Secret", async () => {
    expect(await up("release")).toEqual(["move-release", "move-restore-secrets", "move-start-workloads-again"]);
    expect(await secretOf("web-database")).toEqual({ host: "legacy", password: "of a shopkeeper" });
    await sqlOld("set role shopkeeper; create table late (x int)");
  });

  test("its account has these rights and no others", async () => {
    const may = async (...args: readonly string[]): Promise<string> =>
      (
        await lab.kubectl.run(["auth", "can-i", ...args, "-n", "default", "--as=system:serviceaccount:default:move"])
      ).stdout.trim();
    for (const args of [
      ["get", "deployments/web"],
      ["patch", "deployments/web", "--subresource=scale"],
      ["patch", "secrets/web-database"],
      ["patch", "cronjobs/nightly"],
    ])
      expect([args, await may(...args)]).toEqual([args, "yes"]);
    for (const args of [
      ["patch", "deployments/web"],
      ["list", "secrets"],
      ["get", "secrets/legacy"],
      ["get", "secrets/orders-superuser"],
      ["delete", "pods"],
      ["create", "jobs"],
      ["patch", "cronjobs/weekly"],
    ])
      expect([args, await may(...args)]).toEqual([args, "no"]);
    const texts =
      JSON.stringify(await lab.kubectl.list("configmaps", "default")) +
      JSON.stringify(await lab.kubectl.list("jobs", "default"));
    for (const secret of [PASSWORD, "of a shopkeeper"]) expect(texts.includes(secret)).toBe(false);
  });
});
