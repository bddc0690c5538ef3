/**
 * Commits of a cluster that wait for repositories, with the real operator and PostgreSQL. A client records when each
 * commit was acknowledged. A repository goes down and comes back, the primary dies with its disk, a standby takes over
 * on request, and at last the whole cluster is lost with its volumes: nothing acknowledged is missing, and no bootstrap
 * and no change of primary waits for itself. `archive_timeout` is an hour and the interval a minute, so what a restore
 * has of the last minute was waited for.
 */
// claim: docs/synchronous.md: a cluster with `synchronous`, lost with its volumes, comes back with every acknowledged
//   commit; a new and a restored one start with it; a repository that is down makes commits wait, a failover loses
//   none, a switchover ends
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NIGHTLY } from "../../tools/parts/nightly";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { OPERATOR_NAMESPACE } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { acknowledged, moreAcknowledged, startWriter, stopWriter } from "../harness/kubernetes/writer";

const OPERATOR = ["deployment/cnpg-controller-manager", "-n", OPERATOR_NAMESPACE];
/** The last step of "Commits hang" (components/plan/runbook/clusterCare.ts). */
const REMOVAL = '[{"op":"remove","path":"/spec/postgresql/synchronous"}]';

describe("commits of a cluster that wait for repositories", async () => {
  const parts = await labParts("synchronous streaming in the lab");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  let stack: ComponentLab;
  let primary = "ledger-1";
  /** That the operator makes for the lost one. */
  let standby = "";

  beforeAll(async () => {
    stack = await startComponentLab(parts, "synchronous");
  });
  afterAll(async () => {
    await stack?.stop();
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
  const acks = (): number => acknowledged(stack.lab).length;
  const moreAcks = (count: number): Promise<void> => moreAcknowledged(stack.lab, count);
  const metric = async (name: string): Promise<number> => {
    const program =
      "fetch('http://localhost:9187/metrics').then((answer) => answer.text()).then((text) => console.log(text))";
    const { stdout } = await stack.lab.kubectl.exec(primary, "plugin-pgbackstop", ["node", "-e", program]);
    return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, "m").exec(stdout)?.[1] ?? "NaN");
  };
  const names = (): Promise<string> => stack.sql(primary, "show synchronous_standby_names");
  const idsOn = async (pod: string): Promise<ReadonlySet<number>> =>
    new Set((await stack.sql(pod, "select id from load")).split("\n").map(Number));
  const missingOn = async (pod: string, untilMs = Number.POSITIVE_INFINITY): Promise<readonly number[]> => {
    const wanted = acknowledged(stack.lab).filter(({ atMs }) => atMs <= untilMs);
    const there = await idsOn(pod);
    note(`${wanted.length} commits acknowledged, ${wanted.filter(({ id }) => !there.has(id)).length} missing`);
    return wanted.filter(({ id }) => !there.has(id)).map(({ id }) => id);
  };
  const otherInstance = async (): Promise<string> => {
    const pods = (await stack.lab.kubectl.list("pods", "default")).map(({ metadata }) => metadata.name);
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
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
    expect((await stack.firstBackup("ledger")).error).toBeUndefined();
    expect(await names()).toBe('FIRST 2 ("pgbackstop","ledger-2")');
    await stack.sql(primary, "create table load (id bigint primary key); alter table load owner to app");
    await startWriter(stack.lab, "ledger");
    await moreAcks(50);
    const states = await stack.sql(primary, "select application_name, sync_state from pg_stat_replication order by 1");
    expect(states).toBe("ledger-2|sync\npgbackstop|sync");
    await expect.poll(() => metric("pgbackstop_stream_synchronous"), { timeout: 60_000 }).toBe(1);
    expect((await stack.verb(primary, "status")).stdout).toContain("wait for repositories (synchronous)");
  });

  test("while a repository is down commits wait, which its metric says, and go on when it is back", async () => {
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
  });

  test.runIf(NIGHTLY)("the runbook's command ends a wait, and the next update makes commits wait again", async () => {
    const uids = (): Promise<string> =>
      stack.lab.kubectl.runOk(["get", "pods", "-n", "default", "-o", "jsonpath={.items[*].metadata.uid}"]);
    const before = await uids();
    await stack.second.stop();
    await stack.lab.kubectl.runOk(["patch", CLUSTERS, "ledger", "-n", "default", "--type=json", "-p", REMOVAL]);
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
      await stack.lab.crash(primary);
      const killedAtMs = Date.now();
      await stack.lab.kubectl.runOk(["delete", "pvc", primary, "-n", "default", "--wait=false"]);
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
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
    const beganMs = performance.now();
    const now = new Date().toISOString().replace("Z", "000Z");
    const status = { targetPrimary: standby, targetPrimaryTimestamp: now, phase: "Switchover in progress" };
    const patch = JSON.stringify({ status });
    await stack.lab.kubectl.runOk([
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
    await stack.lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=0"]);
    const killedAtMs = Date.now();
    await Promise.all([primary, await otherInstance()].map((pod) => stack.lab.crash(pod)));
    await stack.lab.kubectl.runOk(["delete", CLUSTERS, "ledger", "-n", "default", "--wait=false"]);
    await stack.lab.kubectl.runOk(["delete", "pvc", "--all", "-n", "default", "--wait=false"]);
    await stopWriter(stack.lab);
    await stack.lab.kubectl.runOk(["scale", ...OPERATOR, "--replicas=1"]);
    await stack.lab.kubectl.runOk(["rollout", "status", ...OPERATOR, "--timeout=180s"], { timeoutMs: 190_000 });
    await stack.declare(
      () =>
        void new CnpgRestore("restored", {
          ...common("/restored"),
          streaming: { intervalSeconds: 60, synchronous: "any" },
          parameters: { shared_buffers: "32MB" },
          source: { stanza: "ledger", repositories: stack.repositoriesAt("/ledger"), from: ["repo2"] },
        }),
    );
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "restored", "Ready");
    primary = "restored-1";
    expect(await missingOn(primary, killedAtMs)).toEqual([]);
    expect(await names()).toBe('FIRST 1 ("pgbackstop")');
    // A restored cluster's own commits wait too.
    expect(await stack.sql(primary, "insert into load values (0) returning id")).toMatch(/^0/);
  });
});
