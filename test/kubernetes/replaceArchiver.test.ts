/**
 * The Job that takes over from the operator's own archiver, under a real API server's rules of field ownership: its
 * command with its account's rights, then the attachment. The whole update with an operator is in
 * `realProvider.test.ts`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CnpgBackup } from "../../components/databases/cnpgBackup";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { run, type RunResult } from "../../tools/parts/process";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { apiServerParts } from "../harness/kubernetes/parts";
import { renderedObjects } from "../harness/kubernetes/rendered";
import { findRuntime, type RuntimeProgram } from "../harness/real/runtimeCli";

interface Cluster extends KubernetesObject {
  readonly metadata: KubernetesObject["metadata"] & {
    readonly generation: number;
    readonly managedFields: readonly { readonly manager: string }[];
  };
  readonly spec: { readonly instances: number; readonly plugins?: readonly object[]; readonly backup?: object };
}

const barmanObjectStore = { destinationPath: "s3://a/b", s3Credentials: { inheritFromIAMRole: true } };
const IN_TREE = {
  apiVersion: "postgresql.cnpg.io/v1",
  kind: "Cluster",
  metadata: { name: "legacy", namespace: "default" },
  spec: { instances: 1, storage: { size: "1Gi" }, backup: { barmanObjectStore, retentionPolicy: "30d" } },
};

function attach(): void {
  const { target } = new S3CompatibleRepository("b2", {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    bucket: { existing: { name: "legacy-pg", credentials: { accessKeyId: "id", secretAccessKey: "key" } } },
  });
  new CnpgBackup("legacy", {
    namespace: "default",
    clusterName: "legacy",
    repositories: { repo1: { at: target, keepDays: 7 } },
    schedules: { full: { cron: "0 3 * * *" } },
    replaceBarmanObjectStore: true,
  });
}

describe("the Job that replaces an archiver", async () => {
  const parts = await apiServerParts("the Job that replaces an archiver");
  if (parts === null) return;
  let server: ApiServer;
  let program: RuntimeProgram;
  let account: string;
  let attachment: KubernetesObject & { readonly spec: Cluster["spec"] };
  let args: readonly string[];

  beforeAll(async () => {
    program = await findRuntime();
    server = await startApiServer(parts, "replace-archiver");
    await server.define(["cnpg"]);
    await server.kubectl.apply([IN_TREE], { fieldManager: "others" });
    const objects = (await renderedObjects(attach)) as readonly KubernetesObject[];
    const find = (kind: string, name: string): never =>
      objects.find((object) => object.kind === kind && object.metadata.name === name) as never;
    attachment = find("Cluster", "legacy");
    const job: { readonly spec: { template: { spec: { containers: [{ args: readonly string[] }] } } } } = find(
      "Job",
      "legacy-archiver",
    );
    args = job.spec.template.spec.containers[0].args;
    const rights = ["ServiceAccount", "Role", "RoleBinding"].map((kind) => find(kind, "legacy-archiver") as object);
    await server.kubectl.apply(rights);
    account = mkdtempSync(join(tmpdir(), "pgbk-archiver-"));
    const token = await server.kubectl.runOk(["create", "token", "legacy-archiver"]);
    writeFileSync(join(account, "token"), token, { mode: 0o600 });
    writeFileSync(join(account, "ca.crt"), readFileSync(server.caFile));
    writeFileSync(join(account, "namespace"), "default");
  });
  afterAll(async () => {
    await server?.stop();
    rmSync(account ?? "", { recursive: true, force: true });
  });

  /** The Job's command, with the address and the account that its pod would get. */
  function replace(): Promise<RunResult> {
    const { hostname, port } = new URL(server.url);
    const given = args.map((arg) =>
      arg.replace("$(KUBERNETES_SERVICE_HOST)", hostname).replace("$(KUBERNETES_SERVICE_PORT)", port),
    );
    return run(program.node, [program.file, `--kubernetes-account-path=${account}`, ...given], { timeoutMs: 60_000 });
  }
  async function cluster(): Promise<Cluster> {
    const present = await server.kubectl.find<Cluster>(CLUSTERS, "legacy");
    if (present === null) throw new Error("the Cluster is gone");
    const managers = ["get", CLUSTERS, "legacy", "-o", "json", "--show-managed-fields"];
    return JSON.parse(await server.kubectl.runOk(managers)) as Cluster;
  }
  const { apiVersion, kind, metadata } = IN_TREE;
  const apply = (spec: object): Promise<unknown> =>
    server.kubectl.apply([{ apiVersion, kind, metadata, spec }], { fieldManager: "pgbackstop" });

  test("removes the old archiver, sets the new one, and owns nothing of it afterwards", async () => {
    const result = await replace();
    expect(result, result.stdout + result.stderr).toMatchObject({ exitCode: 0 });
    expect(result.stdout).toContain("Cluster legacy has its new archiver instead of barmanObjectStore");
    const { metadata: made, spec } = await cluster();
    expect(spec.backup).toEqual({ target: "prefer-standby" });
    expect(spec.plugins).toEqual([expect.objectContaining({ name: "pgbackstop", isWALArchiver: true })]);
    expect(spec.instances).toBe(1);
    expect(made.managedFields.map(({ manager }) => manager)).toEqual(["others"]);
  });

  test("changes nothing when it runs again", async () => {
    const before = await cluster();
    expect(await replace()).toMatchObject({ exitCode: 0 });
    expect(await cluster()).toEqual(before);
  });

  // claim: docs/kubernetes/engines.md: `replaceBarmanObjectStore`: one update takes…
  test("leaves its fields to the attachment, which takes, changes and removes them without force", async () => {
    const { generation } = (await cluster()).metadata;
    await apply({ plugins: attachment.spec.plugins, backup: attachment.spec.backup });
    expect((await cluster()).metadata.generation).toBe(generation);
    const changed = (attachment.spec.plugins ?? []).map((plugin) => ({ ...plugin, parameters: { stanza: "other" } }));
    await apply({ plugins: changed, backup: attachment.spec.backup });
    expect((await cluster()).spec.plugins).toMatchObject(changed);
    await apply({});
    expect((await cluster()).spec.plugins).toBeUndefined();
  });

  // claim: docs/kubernetes/engines.md: `replaceBarmanObjectStore`: one update takes…
  test("its account may read and change this Cluster, and nothing else", async () => {
    const may = async (...what: readonly string[]): Promise<boolean> => {
      const as = "--as=system:serviceaccount:default:legacy-archiver";
      return (await server.kubectl.run(["auth", "can-i", ...what, as])).stdout.trim() === "yes";
    };
    for (const verb of ["get", "patch"]) expect([verb, await may(verb, `${CLUSTERS}/legacy`)]).toEqual([verb, true]);
    for (const [verb = "", what = ""] of [
      ["patch", `${CLUSTERS}/other`],
      ["update", `${CLUSTERS}/legacy`],
      ["delete", `${CLUSTERS}/legacy`],
      ["list", CLUSTERS],
      ["create", CLUSTERS],
      ["get", "secrets"],
      ["list", "pods"],
    ])
      expect([verb, what, await may(verb, what)]).toEqual([verb, what, false]);
  });
});
