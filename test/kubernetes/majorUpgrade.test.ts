/**
 * CloudNativePG's major upgrade in place, 17 to 18, of two instances: the operator runs pg_upgrade in a Job when the
 * image's major version rises, and clones the standby again. Nobody runs a command of ours: the stanza follows, the
 * archive goes on, and both versions can be restored.
 */
// claim: docs/kubernetes/upgrade.md: after a major upgrade in place (17 to 18, two instances) the stanza follows by
//   itself, the archive goes on, a full backup is taken, the standby is cloned again, and times before and after are
//   restored
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { CnpgRestore } from "../../components/databases/cnpgRestore";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { upgradeImages } from "../harness/kubernetes/images";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { upgradeLabParts } from "../harness/kubernetes/parts";
import { FORGET_ATTRIBUTE_VERSIONS } from "../harness/real/pgUpgrade";

const SUM = "select count(*) || md5(string_agg(id || name, ',' order by id)) from goods";
const SETTINGS = { storageGiB: 1, instances: 1, parameters: { shared_buffers: "32MB" } } as const;

interface UpgradedCluster extends KubernetesObject {
  readonly status?: { readonly pgDataImageInfo?: { readonly majorVersion?: number } };
}

interface ShownBackup {
  readonly type: string;
  readonly database: { readonly id: number; readonly "repo-key": number };
}

describe("a major upgrade in place", async () => {
  const parts = await upgradeLabParts("a major upgrade in the lab");
  if (parts === null) return;
  const folder = mkdtempSync(join(tmpdir(), "pgb-upgrade-"));
  let stack: ComponentLab;
  /** Rows and time of version 17, a while before the upgrade. */
  let before: { readonly sum: string; readonly time: string };

  beforeAll(async () => {
    stack = await startComponentLab(parts.lab, "upgrade", { images: upgradeImages(parts.former, folder) });
  });
  afterAll(async () => {
    await stack?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const orders = (postgresVersion: number): CnpgCluster =>
    new CnpgCluster("orders", { ...stack.common("/orders"), ...SETTINGS, instances: 2, postgresVersion });
  const sql = (pod: string, text: string): Promise<string> => stack.sql(pod, text);
  const add = (from: number, to: number): Promise<string> =>
    sql("orders-1", `insert into goods select g, md5(g::text) from generate_series(${from}, ${to}) g`);
  /** Its directory and its volume are new after the upgrade. */
  const standby = async (): Promise<string> => {
    const pods = (await stack.lab.kubectl.list("pods", "default")).map(({ metadata }) => metadata.name);
    return pods.find((name) => /^orders-\d+$/.test(name) && name !== "orders-1") ?? "none";
  };
  const stateOfStandby = async (): Promise<string> =>
    sql(
      await standby(),
      `select current_setting('server_version_num')::int / 10000 || ' ' || pg_is_in_recovery() || ' ' || (${SUM})`,
    );
  const fullBackups = async (): Promise<string[]> => {
    const { stdout } = await stack.verb("orders-1", "info", "--output=json");
    const [stanza] = JSON.parse(stdout) as { readonly backup: readonly ShownBackup[] }[];
    return (stanza?.backup ?? [])
      .filter(({ type }) => type === "full")
      .map(({ database }) => `repo${database["repo-key"]} cluster ${database.id}`)
      .sort();
  };
  const archiveIds = (server: S3Server): string[] =>
    readdirSync(join(server.bucketPath, "orders/archive/orders"))
      .filter((name) => /^\d+-\d+$/.test(name))
      .sort();

  test("version 17 has a backup and WAL", async () => {
    await stack.declare(() => orders(17));
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    expect((await stack.firstBackup("orders")).error).toBeUndefined();
    expect(await sql("orders-1", "show server_version_num")).toMatch(/^17/);
    await sql("orders-1", "create table goods as select g as id, md5(g::text) as name from generate_series(1, 1000) g");
    before = { sum: await sql("orders-1", SUM), time: await sql("orders-1", "select now()") };
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await add(1001, 1100);
    await stack.awaitSegment("/orders", await stack.endSegment("orders-1"));
    expect(await fullBackups()).toEqual(["repo1 cluster 1", "repo2 cluster 1"]);
  });

  test("version 18 continues the stanza by itself, and takes its first full backup", { timeout: 900_000 }, async () => {
    const sum = await sql("orders-1", SUM);
    await sql("orders-1", FORGET_ATTRIBUTE_VERSIONS);
    await stack.declare(() => orders(18));
    const majorVersion = async (): Promise<number | undefined> =>
      (await stack.lab.kubectl.find<UpgradedCluster>(CLUSTERS, "orders"))?.status?.pgDataImageInfo?.majorVersion;
    await expect.poll(majorVersion, { timeout: 600_000, interval: 1000 }).toBe(18);
    await expect
      .poll(() => sql("orders-1", "show server_version_num").catch(String), { timeout: 300_000, interval: 1000 })
      .toMatch(/^18/);
    expect(await sql("orders-1", SUM)).toBe(sum);
    await add(2001, 2200);
    const segment = await stack.endSegment("orders-1");
    const archived = (server: S3Server): readonly string[] =>
      readdirSync(join(server.bucketPath, "orders/archive/orders/18-2"), { recursive: true, encoding: "utf8" });
    for (const server of [stack.first, stack.second]) {
      await expect.poll(() => archiveIds(server), { timeout: 180_000 }).toEqual(["17-1", "18-2"]);
      await expect.poll(() => archived(server).some((name) => name.includes(segment)), { timeout: 180_000 }).toBe(true);
    }
    await expect
      .poll(fullBackups, { timeout: 300_000, interval: 2000 })
      .toEqual(["repo1 cluster 1", "repo1 cluster 2", "repo2 cluster 1", "repo2 cluster 2"]);
    await stack.check("orders-1");
    await expect
      .poll(() => stateOfStandby().catch(String), { timeout: 300_000, interval: 1000 })
      .toBe(`18 true ${await sql("orders-1", SUM)}`);
  });

  test("a time before the upgrade is restored with version 17", { timeout: 600_000 }, async () => {
    const past = (): CnpgRestore =>
      new CnpgRestore("past", {
        ...stack.common("/past"),
        ...SETTINGS,
        postgresVersion: 17,
        source: {
          stanza: "orders",
          repositories: stack.repositoriesAt("/orders"),
          from: ["repo2"],
          target: { time: before.time },
        },
      });
    await stack.declare(() => past());
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "past", "Ready");
    expect(await sql("past-1", "show server_version_num")).toMatch(/^17/);
    expect(await sql("past-1", SUM)).toBe(before.sum);
  });

  test("the end of the archive is restored with version 18", { timeout: 600_000 }, async () => {
    await add(3001, 3100);
    const sum = await sql("orders-1", SUM);
    await stack.awaitSegment("/orders", await stack.endSegment("orders-1"));
    const now = (): CnpgRestore =>
      new CnpgRestore("now", {
        ...stack.common("/now"),
        ...SETTINGS,
        postgresVersion: 18,
        source: { stanza: "orders", repositories: stack.repositoriesAt("/orders"), from: ["repo1"] },
      });
    await stack.declare(() => now());
    await stack.lab.kubectl.waitForCondition(CLUSTERS, "now", "Ready");
    expect(await sql("now-1", "show server_version_num")).toMatch(/^18/);
    expect(await sql("now-1", SUM)).toBe(sum);
  });
});
