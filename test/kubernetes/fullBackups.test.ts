/**
 * The report for which an update waits, by the primary's sidecar with the instances' account. `realProvider.test.ts`
 * shows an update that waits for it, and one that fails.
 */
// claim: README.md: the update of a…
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { parseDestinations } from "../../components/host/hostDestinations";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { labParts } from "../harness/kubernetes/parts";

const REPORTED_MS = 400_000;
const LABEL = expect.stringMatching(/^\d{8}-\d{6}F$/) as string;

interface Report extends KubernetesObject {
  readonly data?: Readonly<Record<string, string>>;
}

describe("the report of a cluster's full backups", async () => {
  const parts = await labParts("the report of a cluster's full backups");
  if (parts === null) return;
  let components: ComponentLab;
  beforeAll(async () => {
    components = await startComponentLab(parts, "full-backups");
  });
  afterAll(() => components?.stop());

  type Over = (common: ReturnType<ComponentLab["common"]>) => Partial<ClusterBackupArgs>;

  async function declare(name: string, over: Over): Promise<void> {
    await components.declare(() => {
      const common = components.common(`/${name}`);
      return new CnpgCluster(name, { ...common, instances: 1, storageGiB: 1, ...over(common) });
    });
  }

  async function reportOf(cluster: string, text: RegExp): Promise<Readonly<Record<string, string>>> {
    const { kubectl } = components.lab;
    const read = async (): Promise<Report["data"]> =>
      (await kubectl.find<Report>("configmaps", `${cluster}-full`))?.data;
    const state = async (): Promise<string | undefined> => (await read())?.["fullBackups"];
    await expect.poll(state, { timeout: REPORTED_MS, interval: 1000 }).toMatch(text);
    return (await read()) ?? {};
  }

  function destinations(report: Readonly<Record<string, string>>): readonly object[] {
    return parseDestinations(JSON.parse(report["destinations"] ?? "null"));
  }

  test("says that both repositories have one, and what each holds", async () => {
    await declare("orders", () => ({ firstBackupTimeoutMinutes: 6 }));
    const report = await reportOf("orders", /^in every repository of [0-9a-f]{16}$/);
    expect(destinations(report)).toMatchObject([
      { repository: "repo1", newestFull: { label: LABEL } },
      { repository: "repo2", newestFull: { label: LABEL } },
    ]);
  });

  test("names the repositories that have none, until a backup is taken", async () => {
    const over: Over = ({ schedules = {} }) => ({
      firstBackupTimeoutMinutes: 1,
      schedules: { full: { ...schedules.full, cron: schedules.full?.cron ?? "", immediate: false } },
    });
    await declare("ledger", over);
    const report = await reportOf("ledger", /^repo1 and repo2 have no full backup: nothing can be restored from there/);
    expect(destinations(report)).toMatchObject([{ newestFull: null }, { newestFull: null }]);
    await components.lab.kubectl.waitForCondition(CLUSTERS, "ledger", "Ready");
    expect((await components.verb("ledger-1", "backup", "--type=full", "--repo=2")).exitCode).toBe(0);
    await reportOf("ledger", /^repo1 has no full backup/);
    expect((await components.verb("ledger-1", "backup", "--type=full", "--repo=1")).exitCode).toBe(0);
    await reportOf("ledger", /^in every repository of /);
  });
});
