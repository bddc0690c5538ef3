/**
 * A cluster's backup as part of an update, with the real Kubernetes provider and a real API server. The operator is a
 * double that ends each Backup at once. No package registry has the provider: the tests are skipped if it is not on
 * PATH.
 */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupNow } from "../../components/actions/backupNow";
import { type RunResult, sleep } from "../../tools/parts/process";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import type { ApiServer } from "../harness/kubernetes/apiServer";
import { BACKUPS } from "../harness/kubernetes/clusterCalls";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { type ProviderServer, realProviderParts, startProviderServer } from "../harness/kubernetes/realProvider";

/** A small part of the hour that the provider waits for a Backup. */
const AT_ONCE_MS = 120_000;
const NAMESPACE = "orders";

interface BackupObject extends KubernetesObject {
  readonly status?: { readonly phase?: string };
}

describe("a cluster's backup as part of an update", async () => {
  const parts = await realProviderParts("a backup of a cluster as part of an update");
  if (parts === null) return;
  let server: ApiServer;
  let real: ProviderServer;
  let outcome: object;
  const ended = new AbortController();
  let operator: Promise<void>;

  /** Ignores errors: the Backup may be gone by now. */
  const patch = (name: string, change: object, ...more: string[]): Promise<RunResult> =>
    server.kubectl.run([
      "-n",
      NAMESPACE,
      "patch",
      "backup",
      name,
      "--type=merge",
      "-p",
      JSON.stringify(change),
      ...more,
    ]);

  /**
   * Does what this test needs from CloudNativePG (ends new Backups) and from the garbage collector (removes deleted
   * ones).
   */
  async function endBackups(): Promise<void> {
    while (!ended.signal.aborted) {
      for (const { metadata, status } of await server.kubectl.list<BackupObject>(BACKUPS)) {
        if (metadata["deletionTimestamp"] !== undefined) await patch(metadata.name, { metadata: { finalizers: null } });
        else if (status?.phase === undefined) await patch(metadata.name, { status: outcome }, "--subresource=status");
      }
      await sleep(500);
    }
  }

  beforeAll(async () => {
    real = await startProviderServer(parts, "backup-now", [NAMESPACE]);
    ({ server } = real);
    operator = endBackups();
  });
  afterAll(async () => {
    ended.abort();
    await operator;
    await real?.stop();
  });

  function openBackup(version: string): Promise<Stack> {
    return openStack(real.programFolder, "now", async () => {
      const spec = {
        cluster: { name: "orders" },
        method: "plugin",
        pluginConfiguration: { name: "pgbackstop.example.net" },
      };
      const cluster = { namespace: NAMESPACE, clusterName: "orders", backups: { full: [spec] } };
      return { label: new BackupNow("before", { cluster, triggers: [version] }).label };
    });
  }

  // claim: docs/kubernetes/commands.md: `BackupNow` for every engine…
  test("the update ends at once with the error of a failed Backup, and again without a change", async () => {
    outcome = { phase: "failed", error: "unable to find a primary to back up" };
    const stack = await openBackup("v1");
    for (const attempt of ["first", "second"]) {
      const startMs = performance.now();
      await expect(stack.up(), attempt).rejects.toThrow(
        /Backup orders-before-backup-[0-9a-f]{8} in namespace orders has not completed \(failed\): unable to find a primary to back up/,
      );
      expect(performance.now() - startMs, attempt).toBeLessThan(AT_ONCE_MS);
    }
  });

  test("another trigger takes another backup, and the update has its label", async () => {
    outcome = { phase: "completed", backupId: "20261120-065300F" };
    const stack = await openBackup("v2");
    expect((await stack.up()).outputs["label"]?.value).toBe("20261120-065300F");
    expect((await stack.preview()).changeSummary).toEqual({ same: expect.any(Number) });
    expect((await stack.up()).summary.resourceChanges).toEqual({ same: expect.any(Number) });
  });
});
