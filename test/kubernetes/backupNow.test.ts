/**
 * A cluster's backup as part of an update, with the real Kubernetes provider and a real API server. The operator is a
 * double that ends each Backup at once. No package registry has the provider: the tests are skipped if it is not on
 * PATH.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupNow } from "../../components/actions/backupNow";
import type { ApiServerParts } from "../../tools/parts/kubernetes/kubernetesPrograms";
import { findOnPath, type RunResult, sleep } from "../../tools/parts/process";
import { findPulumiCli, type PulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { openStack, prepareProgramFolder, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { loud } from "../harness/real/interopParts";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { apiServerParts } from "../harness/kubernetes/parts";

/** A small part of the hour that the provider waits for a Backup. */
const AT_ONCE_MS = 120_000;
const NAMESPACE = "orders";

interface BackupObject extends KubernetesObject {
  readonly status?: { readonly phase?: string };
}

/** The API server's parts, the Pulumi CLI and the provider. Null, with a printed line, if this machine lacks one. */
async function findParts(title: string): Promise<{ api: ApiServerParts; cli: PulumiCli; provider: string } | null> {
  const api = await apiServerParts(title);
  if (api === null) return null;
  const cli = await findPulumiCli();
  if (cli === null) return loud(title, "there is no Pulumi CLI: npm test -- --all builds it");
  const provider = await findOnPath("pulumi-resource-kubernetes");
  return provider === null
    ? loud(title, "pulumi-resource-kubernetes is not on PATH: Pulumi's releases have it")
    : { api, cli, provider };
}

describe("a cluster's backup as part of an update", async () => {
  const parts = await findParts("a backup of a cluster as part of an update");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const { api, cli, provider } = parts;
  let server: ApiServer;
  let programFolder: ProgramFolder;
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
      const list = JSON.parse(
        await server.kubectl.runOk(["get", "backups.postgresql.cnpg.io", "-A", "-o", "json"]),
      ) as { items: BackupObject[] };
      for (const { metadata, status } of list.items) {
        if (metadata["deletionTimestamp"] !== undefined) await patch(metadata.name, { metadata: { finalizers: null } });
        else if (status?.phase === undefined) await patch(metadata.name, { status: outcome }, "--subresource=status");
      }
      await sleep(500);
    }
  }

  beforeAll(async () => {
    server = await startApiServer(api, "backup-now");
    await server.define(["cnpg"]);
    await server.kubectl.apply([{ apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } }]);
    const prepared = await prepareProgramFolder(mkdtempSync(join(tmpdir(), "pgb-now-")), {
      cli,
      passphrase: "only for this test",
    });
    const path = [prepared.env["PATH"], dirname(provider)].join(delimiter);
    programFolder = { ...prepared, env: { ...prepared.env, PATH: path, KUBECONFIG: server.kubeconfig } };
    operator = endBackups();
  });
  afterAll(async () => {
    ended.abort();
    await operator;
    await server?.stop();
    rmSync(programFolder?.folder ?? "", { recursive: true, force: true });
  });

  function openBackup(version: string): Promise<Stack> {
    return openStack(programFolder, "now", async () => {
      const spec = {
        cluster: { name: "orders" },
        method: "plugin",
        pluginConfiguration: { name: "pgbackstop.example.net" },
      };
      const cluster = { namespace: NAMESPACE, clusterName: "orders", backups: { full: [spec] } };
      return { label: new BackupNow("before", { cluster, triggers: [version] }).label };
    });
  }

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
