/**
 * Runs a cluster's runbook command by command, in a Kubernetes with the real operator and PostgreSQL. kubectl is real,
 * and the runbook's programs run as printed. `pulumi` is a **double**: `up` applies the changes since the last update
 * and deletes objects that are no longer declared, `refresh` forgets objects that are gone. test/engine tests the real
 * engine. No test can redirect applications or buy a Kubernetes: those steps are left out by name.
 *
 * Without the nightly form: a failover, a dropped table and a lost cluster.
 */
// claim: docs/runbook.md: the runbook of a cluster, command by command; `pulumi` is a double that applies what the
//   components declare (a failover, a dropped table and a lost cluster; the other scenarios in the nightly form)
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CnpgClusterArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { runbookOf } from "../../components/plan/runbook/databaseRunbook";
import type { RunbookScenario, RunbookStep } from "../../components/plan/runbook/runbookDocument";
import type { Topology } from "../../components/plan/topology/topology";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { endedBackup, hurryBackups } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import type { Lab } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { repositoryIn, segmentsOf } from "../harness/kubernetes/stores";
import { NIGHTLY } from "../../tools/parts/nightly";

const NAMESPACE = "shop";
const SUM = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";

const TIME_TARGET = 'target: { time: "<TIME>" }';

/** Values of the incident, and the optional steps that it needs. */
interface Incident {
  readonly placeholders?: Readonly<Record<string, string>>;
  /** Words from their texts. */
  readonly optional?: readonly string[];
  /** Replaces the time in the target. */
  readonly target?: string;
  /** The lab has no terminal that could answer. */
  readonly isAgreed?: boolean;
}

describe("the runbook of a cluster", async () => {
  const parts = await labParts("the runbook of a cluster in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-runbook-"));
  let stack: ComponentLab;
  let lab: Lab;
  let topology = "";
  let scenarios: readonly RunbookScenario[] = [];
  /** Programs that the runbook adds to the stack, as printed. */
  let programs: readonly string[] = [];
  let isDeclared = true;
  /** Path of the second repository. It changes when the passphrase is lost. */
  let second = "/orders";
  let restores = 0;
  const done: string[] = [];

  const ordersArgs = (): CnpgClusterArgs => ({
    ...stack.common("/orders"),
    ...(second === "/orders"
      ? {}
      : {
          repositories: {
            repo1: repositoryIn(stack.first, "/orders", 14),
            repo3: repositoryIn(stack.second, second, 90, "another one"),
          },
        }),
    namespace: NAMESPACE,
    storageGiB: 1,
    parameters: { shared_buffers: "32MB" },
    instances: 2,
  });
  /** The stack's program, which the double of `pulumi up` applies. */
  const program = (): CnpgCluster | null => {
    const orders = isDeclared ? new CnpgCluster("orders", ordersArgs()) : null;
    const { at: target, ca } = repositoryIn(stack.first, `/restored-${restores}`, 14);
    for (const text of programs) {
      // These servers have a private certificate authority, so each target needs `ca`.
      const placeholders = {
        CnpgRestore,
        plugin: { ref: { name: "pgbackstop" } },
        orders,
        ordersArgs: ordersArgs(),
        other: { target },
        ca,
      };
      const made = runInThisContext(
        `({ ${Object.keys(placeholders).join(", ")} }) => { ${text.replace("at: other.target", "at: other.target, ca")} }`,
      );
      (made as (given: typeof placeholders) => void)(placeholders);
    }
    return orders;
  };
  /** Objects of the last update, by kind and name. An update recreates a deleted one only after a refresh. */
  const state = new Map<string, string>();
  /** They print nothing and do not wait: an update can end before the objects are ready. */
  const PULUMI: Readonly<Record<string, () => Promise<unknown>>> = {
    "pulumi up": async () => {
      await bringSecrets();
      const objects = (await renderedObjects(() => void program())) as KubernetesObject[];
      const changed = objects.filter((object) => state.get(keyOf(object)) !== JSON.stringify(object));
      // A Job's template cannot change: the provider replaces it.
      for (const { kind, metadata } of changed)
        if (kind === "Job")
          await shell(`kubectl delete job ${metadata.name} -n ${metadata.namespace} --ignore-not-found`);
      if (changed.length > 0) await lab.kubectl.apply(changed);
      for (const object of objects) state.set(keyOf(object), JSON.stringify(object));
      const declared = new Set(objects.map(keyOf));
      for (const key of [...state.keys()].filter((one) => !declared.has(one))) {
        const { kind, metadata } = JSON.parse(state.get(key) ?? "") as KubernetesObject;
        await shell(`kubectl delete ${kind} ${metadata.name} -n ${metadata.namespace} --ignore-not-found`);
        state.delete(key);
      }
    },
    "pulumi refresh": async () => {
      for (const [key, text] of state) {
        const { kind, metadata } = JSON.parse(text) as KubernetesObject;
        const result = await shell(
          `kubectl get ${kind} ${metadata.name} -n ${metadata.namespace} --ignore-not-found -o name`,
        );
        if (result === "") state.delete(key);
      }
    },
    // Prints the program's outputs. This program has none.
    "pulumi stack output --show-secrets": async () => undefined,
  };

  beforeAll(async () => {
    stack = await startComponentLab(parts, "runbook");
    lab = stack.lab;
  });
  afterAll(async () => {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Creates the namespace with the Secrets that the user provides: certificates of the servers. */
  const bringSecrets = async (): Promise<void> => {
    const secretOf = ({ bucket, caFile }: S3Server): object => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: `${bucket}-ca`, namespace: NAMESPACE },
      stringData: { "ca.crt": readFileSync(caFile, "utf8") },
    });
    const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } };
    await lab.kubectl.apply([namespace, secretOf(stack.first), secretOf(stack.second)]);
  };
  const shell = async (script: string): Promise<string> => {
    const output = await lab.shell(script, { cwd: folder, timeoutMs: 400_000 });
    expect([script, output.exitCode, output.exitCode === 0 ? "" : output.stdout + output.stderr]).toEqual([
      script,
      0,
      "",
    ]);
    return output.stdout.trim();
  };
  const sql = (cluster: string, text: string): Promise<string> =>
    shell(
      `kubectl exec -n ${NAMESPACE} svc/${cluster}-rw -c postgres -- psql -XAtd app -v ON_ERROR_STOP=1 -c ${quoted(text)}`,
    );
  /** Returns the output, whatever the exit code. */
  const verb = async (cluster: string, placeholders: string): Promise<string> => {
    const command = `kubectl exec -n ${NAMESPACE} svc/${cluster}-rw -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop ${placeholders}`;
    const { stderr, stdout } = await lab.shell(command);
    return stdout + stderr;
  };
  const primary = (): Promise<string> =>
    shell(`kubectl get -n ${NAMESPACE} cluster orders -o 'jsonpath={.status.currentPrimary}'`);
  const archived = async (): Promise<void> => {
    // Use the segment of the record, not of the switch: archive_timeout may have switched first, and PostgreSQL never
    // archives an empty segment.
    const output = await sql(
      "orders",
      "select pg_walfile_name(pg_create_restore_point('archived')); select pg_switch_wal()",
    );
    const last = output.split("\n")[0];
    for (const [server, path] of [
      [stack.first, "/orders"],
      [stack.second, second],
    ] as const) {
      await expect.poll(() => segmentsOf(server, path), { timeout: 180_000 }).toContain(last);
    }
  };
  const forgetRestored = async (): Promise<void> => {
    programs = [];
    for (const key of state.keys()) if (key.includes("orders-restored")) state.delete(key);
    await shell(`kubectl delete -n ${NAMESPACE} cluster orders-restored --timeout=5m`);
    await expect
      .poll(() => shell(`kubectl get pod -n ${NAMESPACE} -l cnpg.io/cluster=orders-restored -o name`), {
        timeout: 240_000,
      })
      .toBe("");
  };

  /** @returns the output of each step */
  const carryOut = async (
    id: string,
    { isAgreed = false, optional = [], target = TIME_TARGET, placeholders = {} }: Incident = {},
  ): Promise<string[]> => {
    const scenario = scenarios.find((one) => one.id === id) ?? expect.fail(`there is no ${id}`);
    const printed: string[] = [];
    restores++;
    for (const step of scenario.steps) {
      if (step.isOptional === true && !optional.some((part) => step.text.includes(part))) continue;
      printed.push(
        await carryOutStep(step, (line) =>
          Object.entries(placeholders).reduce(
            (text, [arg, value]) => text.replaceAll(`<${arg}>`, value),
            line.replace(TIME_TARGET, target).replace(" --swap ", isAgreed ? " --swap --yes " : " --swap "),
          ),
        ),
      );
    }
    done.push(id);
    return printed;
  };
  const carryOutStep = async (
    { commands, isRepeated = false, language = "sh" }: RunbookStep,
    fill: (line: string) => string,
  ): Promise<string> => {
    if (language === "ts") {
      programs = [fill(commands.join("\n"))];
      return "";
    }
    const printed: string[] = [];
    const filled = commands.map(fill);
    for (const command of filled) expect(command).not.toMatch(/<[A-Z]+>/);
    if (isRepeated) await expect.poll(() => repeated(filled.join("\n")), { timeout: 400_000, interval: 1000 }).toBe(0);
    else
      for (const command of filled) {
        if (command.startsWith("pulumi "))
          await (PULUMI[command] ?? expect.fail(`the double does not know ${command}`))();
        else printed.push(await shell(command));
      }
    return printed.join("\n");
  };
  /** Runs the whole step again from its first command, which may have acted on pods that were replaced since. */
  const repeated = async (script: string): Promise<number | null> => {
    const { exitCode } = await lab.shell(script, { cwd: folder });
    if (exitCode !== 0) await hurryBackups(lab, NAMESPACE);
    return exitCode;
  };

  test("starts with a cluster that has a backup", async () => {
    await bringSecrets();
    await renderedObjects(() => void program()?.topology.apply((text) => (topology = text)));
    await PULUMI["pulumi up"]?.();
    scenarios = runbookOf(JSON.parse(topology) as Topology)?.scenarios ?? [];
    await shell(`kubectl wait -n ${NAMESPACE} --for=condition=Ready --timeout=5m cluster/orders`);
    expect((await endedBackup(lab, "orders", NAMESPACE)).error).toBeUndefined();
    await expect
      .poll(() => verb("orders", "status"), { timeout: 240_000, interval: 1000 })
      .toContain("orders: all is well");
    await sql(
      "orders",
      "create table goods (id int primary key, name text); create index on goods (name); create table sales (id serial)",
    );
    await sql("orders", "insert into goods select g, md5(g::text) from generate_series(1, 5000) g");
  });

  test.runIf(NIGHTLY)("a primary lost with its node: the new primary has every row", async () => {
    const before = await sql("orders", SUM);
    const old = await primary();
    // Its processes die at once and its kubelet does not answer: an evicted pod then stays in Terminating.
    await shell(`kubectl get --raw /api/v1/nodes/procklet/proxy/lose/${NAMESPACE}/${old}`);
    await shell(`kubectl delete pod -n ${NAMESPACE} ${old} --wait=false`);
    const ends = `kubectl get pod -n ${NAMESPACE} ${old} -o 'jsonpath={.metadata.deletionTimestamp}'`;
    expect(await shell(ends)).not.toBe("");
    await carryOut("failover", { placeholders: { POD: old }, optional: ["stays in Terminating"] });
    expect(await primary()).not.toBe(old);
    expect(await sql("orders", SUM)).toBe(before);
    // The only backup is on the timeline before the failover.
    await sql("orders", "insert into sales select from generate_series(1, 10)");
    await sql("orders", "delete from sales");
    expect(await verb("orders", "find --table=sales")).toMatch(
      /delete 10 rows of table app: public\.sales\n {2}just before it: target: \{ lsn: /,
    );
  });

  test.runIf(NIGHTLY)("a lost standby is replaced", async () => {
    const replicas = "-l cnpg.io/cluster=orders,cnpg.io/instanceRole=replica -o name";
    const pods = (): Promise<string> => shell(`kubectl get pod -n ${NAMESPACE} ${replicas}`);
    await expect.poll(pods, { timeout: 180_000 }).toMatch(/^pod\/orders-\d$/);
    const old = (await pods()).replace("pod/", "");
    const volumes = (): Promise<string> =>
      shell(`kubectl get pvc -n ${NAMESPACE} -l cnpg.io/cluster=orders -o 'jsonpath={.items[*].metadata.uid}'`);
    const before = (await volumes()).split(" ");
    await carryOut("instance-lost", { placeholders: { POD: old } });
    await expect
      .poll(async () => (await volumes()).split(" ").filter((uid) => before.includes(uid)).length, { timeout: 180_000 })
      .toBe(1);
    const streaming =
      "select count(*) from pg_stat_replication where application_name like 'orders-%' and state = 'streaming'";
    await expect.poll(() => sql("orders", streaming), { timeout: 180_000 }).toBe("1");
  });

  test.runIf(NIGHTLY)("a repository that is down: its missing WAL arrives", async () => {
    await stack.second.stop();
    await sql("orders", "insert into sales default values; select pg_switch_wal()");
    await expect.poll(() => verb("orders", "status"), { timeout: 180_000 }).toMatch(/needs? attention/);
    const { steps } = scenarios.find(({ id }) => id === "archiving") ?? expect.fail("there is no archiving");
    const [why, which, lines, , ...mend] = steps;
    const fill = (line: string): string => line;
    for (const step of [why, lines]) await carryOutStep(step ?? expect.fail("a step is missing"), fill);
    // The exit code says that something needs attention.
    expect((await lab.shell(which?.commands[0] ?? "")).exitCode).not.toBe(0);
    await stack.second.start();
    for (const step of mend) await carryOutStep(step, fill);
    await archived();
  });

  test.runIf(NIGHTLY)(
    "a repository that lost everything: it reaches back as far as the other repository, and is fully readable",
    async () => {
      // Retries: the archiver may write files during the removal.
      rmSync(join(stack.first.bucketPath, "orders"), { recursive: true, maxRetries: 10 });
      await carryOut("repository-1-lost");
      await archived();
      await expect
        .poll(() => verb("orders", "status"), { timeout: 120_000, interval: 1000 })
        .toContain("orders: all is well");
    },
  );

  // claim: docs/find.md: in a sidecar it shows the target of a CnpgRestore, also after a failover
  test.runIf(NIGHTLY)("a dropped table: it is restored, and later changes are kept", async () => {
    const before = await sql("orders", SUM);
    await sql("orders", "drop table goods");
    await sql("orders", "insert into sales select from generate_series(1, 100)");
    const sales = await sql("orders", "select count(*) from sales");
    const placeholders = { DATABASE: "app", SCHEMA: "public", TABLE: "goods" };
    // There may be no backup since the failover: the search follows the timeline of the backup before it.
    const stepOutput = await carryOutStep(stepOf(scenarios, "time", "nobody knows the time"), (line) => line);
    expect(stepOutput).toContain("drop table app: public.goods\n");
    const target = /just before it: (target: \{ lsn: .* \})$/m.exec(stepOutput)?.[1] ?? expect.fail(stepOutput);
    await carryOut("time", { target });
    expect(await sql("orders-restored", SUM)).toBe(before);

    // With another engine the table comes from a new cluster, which is made by the same steps.
    const others =
      runbookOf(JSON.parse(topology.replaceAll('"runtime"', '"barman-cloud"')) as Topology)?.scenarios ?? [];
    const [whole, part] = ["time", "table"].map((id) => others.find((one) => one.id === id)?.steps ?? []);
    const made = (steps: readonly RunbookStep[] = []): readonly RunbookStep[] =>
      steps.filter(({ commands, isOptional }) => commands.length > 0 && isOptional !== true);
    const copied = made(part).slice(made(whole).length);
    expect(made(whole)).toEqual(made(part).slice(0, made(whole).length));
    const fill = (line: string): string =>
      Object.entries(placeholders).reduce((text, [arg, value]) => text.replaceAll(`<${arg}>`, value), line);
    const copies: string[] = [];
    for (const step of copied) copies.push(await carryOutStep(step, fill));
    const compared = copies.find((text) => text.startsWith("5000|"))?.split("\n") ?? [];
    expect([compared.length, compared[0]]).toEqual([2, compared[1]]);
    await carryOutStep(stepOf(others, "table", "production has lost the table"), fill);
    expect(await sql("orders", SUM)).toBe(before);
    expect(await sql("orders", "select count(*) from pg_indexes where tablename = 'goods'")).toBe("2");
    await sql(
      "orders",
      "create table recovered.goods (like goods including all); insert into recovered.goods select * from goods; delete from goods where id > 7",
    );
    await carryOutStep(stepOf(others, "table", "lacks rows"), fill);
    expect(await sql("orders", SUM)).toBe(before);
    await forgetRestored();

    await sql("orders", "drop table goods");
    const TARGET = `--type=lsn --target=${/lsn: "(.*?)"/.exec(target)?.[1]} --target-exclusive`;
    const printed = await carryOut("table", {
      placeholders: { ...placeholders, TARGET },
      optional: ["does not belong to the application's role", "take it away again"],
      isAgreed: true,
    });
    expect(printed.join("\n")).toMatch(/just before it: --type=xid --target=\d+ --target-exclusive --set=/);
    expect(await sql("orders", SUM)).toBe(before);
    expect(await sql("orders", "select count(*) from sales")).toBe(sales);
  });

  test.runIf(NIGHTLY)("hibernation: it wakes with every row", async () => {
    const before = await sql("orders", SUM);
    await carryOut("asleep");
    expect(await sql("orders", SUM)).toBe(before);
  });

  test.runIf(NIGHTLY)(
    "a cluster lost with its first repository: the second one has every row, and the new cluster has backups",
    async () => {
      const before = await sql("orders", SUM);
      await archived();
      const lost = join(stack.first.bucketPath, "orders");
      renameSync(lost, `${lost}.lost`);
      await carryOut("repository-2", { optional: ["hibernate it"] });
      expect(await sql("orders-restored", SUM)).toBe(before);
      await expect
        .poll(() => shell(`kubectl get pod -n ${NAMESPACE} -l cnpg.io/cluster=orders -o name`), { timeout: 120_000 })
        .toBe("");
      await forgetRestored();
      rmSync(lost, { recursive: true, force: true });
      renameSync(`${lost}.lost`, lost);
      await shell(`kubectl annotate -n ${NAMESPACE} cluster orders --overwrite cnpg.io/hibernation=off`);
      await shell(`kubectl wait -n ${NAMESPACE} --for=condition=Ready --timeout=5m cluster/orders`);
    },
  );

  test.runIf(NIGHTLY)("a revoked key: the new one reaches the pods, and waiting WAL is archived", async () => {
    await stack.first.changeKeys();
    await expect.poll(() => verb("orders", "check"), { timeout: 180_000, interval: 2000 }).toContain("ERROR");
    await carryOut("keys-lost");
    await archived();
  });

  // claim: docs/runbook.md: the runbook of a…
  test.runIf(NIGHTLY)(
    "a lost passphrase: a new repository replaces that one, has a full backup, and is fully readable",
    async () => {
      const before = await sql("orders", SUM);
      const { steps } = scenarios.find(({ id }) => id === "keys-lost") ?? expect.fail("there is no keys-lost");
      const begin = steps.findIndex(({ text }) => text.startsWith("A passphrase"));
      expect(begin).toBeGreaterThan(0);
      for (const step of steps.slice(begin)) {
        if (step.text.includes("replace it by one under another key")) second = "/second";
        await carryOutStep(step, (line) => line.replaceAll("<KEY>", "3"));
      }
      expect(second).toBe("/second");
      expect(await shell(`kubectl get secret -n ${NAMESPACE} -o name`)).not.toContain("secret/orders-repo2");
      await archived();
      expect(await verb("orders", "info --repo=3")).toContain("full backup: ");
      await shell(
        `kubectl exec -n ${NAMESPACE} svc/orders-rw -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop verify --repo=3`,
      );
      expect(await sql("orders", SUM)).toBe(before);
      await renderedObjects(() => void program()?.topology.apply((text) => (topology = text)));
      scenarios = runbookOf(JSON.parse(topology) as Topology)?.scenarios ?? [];
    },
  );

  test("a lost cluster: a new one has every row, and no empty one replaces the old one", async () => {
    const before = await sql("orders", SUM);
    await archived();
    await shell(`kubectl delete -n ${NAMESPACE} cluster orders --timeout=5m`);
    await carryOut("latest");
    expect(await sql("orders-restored", SUM)).toBe(before);
    expect(await shell(`kubectl get -n ${NAMESPACE} cluster -o name`)).toBe(
      "cluster.postgresql.cnpg.io/orders-restored",
    );
  });

  test.runIf(NIGHTLY)("a deleted namespace: the data outside it is enough", async () => {
    await shell(`kubectl delete namespace ${NAMESPACE} --timeout=5m`);
    isDeclared = false;
    await carryOut("namespace-lost");
    expect(await sql("orders-restored", "select count(*) from goods")).toBe("5000");
    expect(done.filter((id) => id !== "repository-2")).toEqual([
      "failover",
      "instance-lost",
      "repository-1-lost",
      "time",
      "table",
      "asleep",
      "keys-lost",
      "latest",
      "namespace-lost",
    ]);
  });
});

function stepOf(scenarios: readonly RunbookScenario[], id: string, part: string): RunbookStep {
  const steps = scenarios.find((one) => one.id === id)?.steps ?? [];
  return steps.find(({ text }) => text.includes(part)) ?? expect.fail(`${id} has no step: ${part}`);
}

function keyOf({ kind, metadata }: KubernetesObject): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`;
}

/** Quotes an argument for the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
