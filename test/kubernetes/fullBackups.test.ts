/**
 * The Job for which an update waits, in its own pod: with the instances' account and the repositories' keys, it ends
 * when every repository has a full backup, and fails when one has none. test/engine/cnpg.test.ts shows the update.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ClusterBackupArgs } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { type Destination, parseDestinations } from "../../components/host/hostDestinations";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { conditionOf, type KubernetesObject } from "../harness/kubernetes/kubectl";
import { labParts } from "../harness/kubernetes/parts";

const ENDED_MS = 400_000;

describe("the wait for full backups of a cluster", async () => {
  const parts = await labParts("the wait for full backups of a cluster");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
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

  async function endOf(cluster: string): Promise<KubernetesObject> {
    const { kubectl } = components.lab;
    let job: KubernetesObject | null = null;
    const hasEnded = async (): Promise<boolean> => {
      job = await kubectl.find("jobs", `${cluster}-full`);
      return ["Complete", "Failed"].some((type) => conditionOf(job ?? {}, type)?.status === "True");
    };
    await expect.poll(hasEnded, { timeout: ENDED_MS, interval: 1000 }).toBe(true);
    if (job === null) throw new Error("the Job is gone");
    return job;
  }

  function recorded({ metadata }: KubernetesObject): Destination[] {
    const annotations = metadata["annotations"] as Record<string, string>;
    return parseDestinations(JSON.parse(annotations["pgbackstop/destinations"] ?? "null"));
  }

  test("ends when both repositories have a full backup, and records them", async () => {
    await declare("orders", () => ({ firstBackupTimeoutMinutes: 6 }));
    const job = await endOf("orders");
    expect(conditionOf(job, "Complete")?.status).toBe("True");
    expect(recorded(job)).toMatchObject([
      { repository: "repo1", newestFull: { label: expect.stringMatching(/^\d{8}-\d{6}F$/) } },
      { repository: "repo2", newestFull: { label: expect.stringMatching(/^\d{8}-\d{6}F$/) } },
    ]);
  });

  test("fails after its time with the repositories that have none", async () => {
    await declare("ledger", ({ schedules = {} }) => ({
      firstBackupTimeoutMinutes: 1,
      schedules: { full: { ...schedules.full, cron: schedules.full?.cron ?? "", immediate: false } },
    }));
    const job = await endOf("ledger");
    expect(conditionOf(job, "Failed")).toMatchObject({ status: "True", reason: "BackoffLimitExceeded" });
    expect(recorded(job).map(({ newestFull }) => newestFull)).toEqual([null, null]);
    const log = await components.lab.kubectl.runOk(["logs", "job/ledger-full"]);
    expect(log).toContain("repo1 and repo2 have no full backup after 1 minute: nothing can be restored from there");
  });
});
