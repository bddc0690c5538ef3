/**
 * Logical dumps of a cluster as its component declares them: the CronJob's pod, the pod of the dump, the operator, the
 * API server with its rights, PostgreSQL and the repositories are real. The kubelet is a double.
 */
// claim: docs/dumps.md: a CronJob dumps a Cluster with its own pg_dump, keys and credentials (the kubelet is a double)
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import type { RunResult } from "../../tools/parts/process";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { labParts } from "../harness/kubernetes/parts";

const POD = "orders-1";
const SUM = "select count(*) || ' ' || sum(hashtextextended(t::text, 0)::numeric) from public.goods t";
const JOB_MS = 180_000;

describe("dumps of a cluster", async () => {
  const parts = await labParts("logical dumps of a cluster in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-dumps-"));
  let stack: ComponentLab;

  const declared = (more: Partial<CnpgClusterArgs> = {}): Promise<unknown> =>
    stack.declare(
      () =>
        new CnpgCluster("orders", {
          ...stack.common("/orders"),
          storageGiB: 1,
          dumps: { cron: "0 5 1 1 *", keepCount: 2 },
          ...more,
        }),
    );
  const kubectl = (...args: readonly string[]): Promise<RunResult> => stack.lab.kubectl.run(args);
  const start = (job: string): Promise<string> =>
    stack.lab.kubectl.runOk(["create", "job", job, "--from=cronjob/orders-dump"]);
  /** Waits for the end of a Job; returns its condition and the log of its last pod. */
  const ended = async (job: string): Promise<{ readonly condition: string; readonly log: string }> => {
    const read = async (): Promise<string | undefined> => {
      const object = JSON.parse(await stack.lab.kubectl.runOk(["get", "job", job, "-o", "json"])) as KubernetesObject;
      return ["Complete", "Failed"].find((type) => conditionOf(object, type)?.status === "True");
    };
    await expect.poll(read, { timeout: JOB_MS }).toBeDefined();
    const log = await stack.lab.kubectl.runOk(["logs", `job/${job}`]);
    // The double keeps the log of earlier pods of this name.
    const [own = "", ...repeated] = log.split(/(?=.*INFO: dump command begin)/);
    return { condition: (await read()) ?? "", log: `${own}${repeated.at(-1) ?? ""}` };
  };
  const dumped = async (job: string): Promise<string> => {
    await start(job);
    const { condition, log } = await ended(job);
    expect(condition, log).toBe("Complete");
    return log;
  };
  const dumps = async (): Promise<object[]> => {
    const { exitCode, stdout, stderr } = await stack.verb(POD, "dump-ls", "--output=json");
    expect(exitCode, stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const app = (sql: string): Promise<string> => stack.sql(POD, `set role app; ${sql}`);
  const hasPod = async (): Promise<boolean> => (await kubectl("get", "pod", "orders-dump")).exitCode === 0;

  beforeAll(async () => {
    stack = await startComponentLab(parts, "dump");
    await declared();
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
  });
  afterAll(async () => {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  // claim: docs/dumps.md: without the superuser's Secret a cluster's dump has no passwords, and the databases of the
  //   application's role
  test("dumps the application's database as its role, into both repositories, and pg_restore loads it", async () => {
    await app("create table goods as select i as id, md5(i::text) as name from generate_series(1, 2000) i");
    await stack.firstBackup("orders");
    expect((await stack.verb(POD, "check", "--stale", "--no-archive-check")).stdout).toContain(
      "no complete dump: expected",
    );
    const log = await dumped("first");
    expect(log).toContain("app is no superuser");
    expect(log).toContain("repo1: new dump label");
    expect(log).toContain("repo2: new dump label");
    expect(await hasPod()).toBe(false);
    expect(await dumps()).toMatchObject([{ database: [{ name: "app" }], repo: [{ key: 1 }, { key: 2 }] }]);
    expect((await stack.verb(POD, "check", "--stale", "--no-archive-check")).exitCode).toBe(0);
    const loaded = await stack.lab.shell(
      `kubectl exec ${POD} -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop dump-get --database=app > app.dump &&
       kubectl exec -i ${POD} -c postgres -- sh -c 'createdb loaded && pg_restore -d loaded --single-transaction' < app.dump`,
      { cwd: folder },
    );
    expect(loaded.exitCode, loaded.stderr).toBe(0);
    expect(await stack.sql(POD, SUM, "loaded")).toBe(await stack.sql(POD, SUM, "app"));
    const globals = await stack.verb(POD, "dump-get", "--globals");
    expect(globals.stdout).toContain("CREATE ROLE app");
    expect(globals.stdout).not.toContain("PASSWORD");
  });

  // claim: docs/security.md: the account of dumps may read its Cluster, create pods, and read and remove its own pod
  test("its account has no more rights", async () => {
    const may = async (verb: string, what: string, ...part: readonly string[]): Promise<boolean> =>
      (await kubectl("auth", "can-i", verb, what, ...part, "--as=system:serviceaccount:default:orders-dump"))
        .exitCode === 0;
    for (const [verb, what] of [
      ["get", "clusters.postgresql.cnpg.io/orders"],
      ["create", "pods"],
      ["delete", "pods/orders-dump"],
    ] as const)
      expect(await may(verb, what), `${verb} ${what}`).toBe(true);
    for (const [verb, what, ...part] of [
      ["get", "clusters.postgresql.cnpg.io/other"],
      ["patch", "clusters.postgresql.cnpg.io/orders"],
      ["get", `pods/${POD}`],
      ["delete", `pods/${POD}`],
      ["list", "pods"],
      ["create", "pods", "--subresource=exec"],
      ["get", "secrets/orders-app"],
    ] as const)
      expect(await may(verb, what, ...part), `${verb} ${what}`).toBe(false);
  });

  // claim: docs/dumps.md: a failed dump of a cluster fails its Job, whose log has the error
  test("a database that does not exist: the Job fails with the error, and its pod is gone", async () => {
    const made = await stack.lab.shell(
      `kubectl create job bad --from=cronjob/orders-dump --dry-run=client -o json |
       sed 's#"cnpg-dump"#"--database=nowhere", "cnpg-dump"#' | kubectl apply -f -`,
      { cwd: folder },
    );
    expect(made.exitCode, made.stderr).toBe(0);
    const { condition, log } = await ended("bad");
    expect(condition).toBe("Failed");
    expect(log).toContain("ERROR: [032]: 'nowhere' is not valid for 'database' option");
    expect(log).toContain("dump in pod orders-dump ended with 32");
    expect(await hasPod()).toBe(false);
  });

  // claim: docs/dumps.md: a killed run leaves nothing that disturbs the next one of a cluster
  test("a killed run starts over, and a deleted one takes its pod along", async () => {
    const waiting = async (): Promise<string> =>
      stack.sql(
        POD,
        "select count(*) from pg_stat_activity where application_name = 'pg_dump' and wait_event_type = 'Lock'",
      );
    const locked = stack.sql(POD, "begin; lock table goods; select pg_sleep(3600)", "app").catch(() => "");
    const isLocked =
      "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = 'goods'::regclass";
    await expect.poll(() => stack.sql(POD, isLocked, "app")).toBe("1");
    await start("killed");
    await expect.poll(waiting, { timeout: 60_000 }).toBe("1");
    const uidOf = async (): Promise<string> =>
      (await kubectl("get", "pod", "orders-dump", "-o", "jsonpath={.metadata.uid}")).stdout;
    const before = await uidOf();
    // Another Job finds the name taken, and leaves the dump alone.
    await start("beside");
    const beside = await ended("beside");
    expect(beside.condition).toBe("Failed");
    expect(beside.log).toContain("ERROR: [050]: another dump of Cluster 'orders' runs in pod 'orders-dump'");
    expect(await uidOf()).toBe(before);

    await stack.lab.kubectl.runOk(["delete", "pod", "-l", "job-name=killed", "--grace-period=0", "--force"]);
    await expect.poll(async () => [before, ""].includes(await uidOf()), { timeout: 60_000 }).toBe(false);
    await expect.poll(waiting, { timeout: 60_000 }).toBe("1");
    // As for an emptied node.
    const second = await uidOf();
    await stack.lab.kubectl.runOk(["delete", "pod", "orders-dump"]);
    await expect.poll(async () => [second, ""].includes(await uidOf()), { timeout: 60_000 }).toBe(false);
    await expect.poll(waiting, { timeout: 60_000 }).toBe("1");
    await stack.lab.kubectl.runOk(["delete", "job", "killed"]);
    await expect.poll(hasPod, { timeout: 60_000 }).toBe(false);
    await expect.poll(waiting, { timeout: 60_000 }).toBe("0");

    await stack.sql(
      POD,
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()",
    );
    await locked;
    await dumped("after");
    expect(await dumps()).toHaveLength(2);
  });

  // claim: docs/dumps.md: with enableSuperuserAccess a cluster's dump has all databases and the passwords of roles
  test("as the superuser it dumps every database, and passwords", async () => {
    await declared({
      spec: { enableSuperuserAccess: true },
      dumps: { cron: "0 5 1 1 *", keepCount: 2, repositories: ["repo2"] },
    });
    const secret = async (): Promise<number | null> => (await kubectl("get", "secret", "orders-superuser")).exitCode;
    await expect.poll(secret, { timeout: 60_000 }).toBe(0);
    const hasPassword = "select count(*) from pg_authid where rolname = 'postgres' and rolpassword is not null";
    await expect.poll(() => stack.sql(POD, hasPassword), { timeout: 60_000 }).toBe("1");
    const log = await dumped("whole");
    expect(log).not.toContain("repo1: new dump label");
    expect((await dumps()).at(-1)).toMatchObject({
      database: [{ name: "app" }, { name: "loaded" }, { name: "postgres" }],
      repo: [{ key: 2 }],
    });
    const globals = await stack.verb(POD, "dump-get", "--repo=2", "--globals");
    expect(globals.stdout).toContain("PASSWORD 'SCRAM-SHA-256$");
  });
});
