/**
 * The components for CloudNativePG with the real Kubernetes provider in a real Kubernetes: everything is created,
 * changed and destroyed as a user's program does it. The engine, the program and the provider run in the
 * lab's namespaces. No package registry has the provider: the tests are skipped if it is not on PATH.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build as bundle } from "esbuild";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { projectFolder } from "../../tools/parts/cache";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { CLUSTERS, endSegment, sqlIn } from "../harness/kubernetes/clusterCalls";
import { conditionOf } from "../harness/kubernetes/kubectl";
import { type Lab, startLab } from "../harness/kubernetes/lab";
import type { ProgramResult, ProgramSettings, ProgramStack } from "../harness/kubernetes/providerProgram";
import { realProviderFolder, realProviderLabParts } from "../harness/kubernetes/realProvider";
import { createStores, exposeStores, segmentsOf } from "../harness/kubernetes/stores";

/** A small part of the hour that the provider waits for a Backup. */
const AT_ONCE_MS = 120_000;
const READY_MS = 300_000;
/** Everything that a stack or its objects may leave behind. */
const KINDS = [
  "configmaps,secrets,services,serviceaccounts,pods,persistentvolumeclaims",
  "deployments,jobs,cronjobs,poddisruptionbudgets,roles,rolebindings",
  "clusters.postgresql.cnpg.io,scheduledbackups,backups.postgresql.cnpg.io,poolers",
  "podmonitors,prometheusrules,validatingadmissionpolicies,validatingadmissionpolicybindings",
].join(",");

interface AttachedCluster {
  readonly spec: { readonly plugins?: readonly object[]; readonly backup: object };
}

describe("the real Kubernetes provider", async () => {
  const parts = await realProviderLabParts("the components with the real Kubernetes provider");
  if (parts === null) return;
  let lab: Lab;
  let stores: readonly S3Server[];
  let programFolder: ProgramFolder;
  let settings: ProgramSettings;
  let configFolder: string | undefined;
  let before: readonly string[];
  const program = (): string => join(programFolder.folder, "program.cjs");

  beforeAll(async () => {
    stores = await createStores("first", "second");
    lab = await startLab(parts.api, { name: "real-provider" });
    await exposeStores(lab, stores);
    await lab.kubectl.applyFiles(parts.api.manifests.definitions.prometheus);
    configFolder = mkdtempSync(join(tmpdir(), "pgb-lab-"));
    const kubeconfig = join(configFolder, "kubeconfig.json");
    writeFileSync(kubeconfig, await lab.kubectl.runOk(["config", "view", "--raw", "-o", "json"]), { mode: 0o600 });
    programFolder = await realProviderFolder(parts, { kubeconfig });
    await bundle({
      entryPoints: [join(projectFolder(), "test", "harness", "kubernetes", "providerProgram.ts")],
      outfile: program(),
      bundle: true,
      platform: "node",
      format: "cjs",
      target: "node22",
      external: ["pgbackstop", "@pulumi/*"],
      tsconfigRaw: {},
      logLevel: "silent",
    });
    settings = {
      folder: programFolder.folder,
      kubeconfig,
      stores: stores.map(({ accessKey, bucket, port, region, secretKey }) => {
        return { accessKey, bucket, port, region, secretKey };
      }),
      passphrase: "a passphrase of the second one",
      version: "v1",
    };
    // A busy API server offers new kinds some time after it has accepted their definitions.
    before = await vi.waitFor(objects, { timeout: AT_ONCE_MS, interval: 1000 });
  });
  afterAll(async () => {
    await lab?.stop();
    for (const store of stores ?? []) await store.remove();
    for (const folder of [programFolder?.folder, configFolder])
      if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  async function pulumi(
    action: "preview" | "up" | "refresh" | "destroy",
    change: Partial<ProgramSettings> = {},
    stack: ProgramStack = "platform",
  ): Promise<ProgramResult> {
    const file = join(programFolder.folder, "settings.json");
    writeFileSync(file, JSON.stringify({ ...settings, ...change }), { mode: 0o600 });
    const { stdout } = await lab.shell(
      `cd '${programFolder.folder}'; exec '${await ensureNode()}' '${program()}' '${file}' ${stack} ${action}`,
      {
        env: programFolder.env,
        timeoutMs: 560_000,
      },
    );
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as ProgramResult;
  }

  async function objects(): Promise<readonly string[]> {
    const lines = await lab.kubectl.runOk(["get", KINDS, "-A", "-o", "name", "--show-kind", "--ignore-not-found"]);
    return lines.trim().split("\n").toSorted();
  }

  test("one update creates plugin, clusters, pooler, monitoring and backups in both repositories", async () => {
    const { changes, error, outputs } = await pulumi("up");
    expect(error).toBeUndefined();
    expect(Object.keys(changes ?? {})).toEqual(["create"]);
    expect(outputs).toMatchObject({
      label: expect.stringMatching(/^\d{8}-\d{6}F$/),
      legacy: expect.stringMatching(/^legacy-[0-9a-f]+$/),
      attached: outputs?.["legacy"],
      labels: expect.objectContaining({ team: "shop" }),
      replicas: 2,
      schedule: "orders-full",
    });
    for (const name of ["destinations", "attachedDestinations"]) {
      const destinations = JSON.parse(String(outputs?.[name])) as object;
      expect(JSON.stringify(destinations), name).toMatch(/repo1.*\d{8}-\d{6}F.*repo2.*\d{8}-\d{6}F/);
    }
    expect(await objects()).toEqual(expect.arrayContaining([expect.stringContaining("orders-web")]));
    const info = ["/pgbackstop/run/pgbackstop", "info", "--output=json"];
    const { stdout } = await lab.kubectl.exec("orders-1", "plugin-pgbackstop", info);
    expect(stdout.match(/"pgbackstop-hold":"the audit's copy"/g)).toHaveLength(2);
  });

  test("a second update and a refresh change nothing", async () => {
    expect((await pulumi("up")).changes).toEqual({ same: expect.any(Number) });
    expect((await pulumi("refresh")).changes).toEqual({ same: expect.any(Number) });
  });

  test("a Backup that fails ends the update at once with its own error", async () => {
    const startMs = performance.now();
    const { error } = await pulumi("up", { failingBackup: true });
    expect(error).toMatch(
      /Backup orders-failing-backup in namespace default has not completed \(failed\): .*absent\.example\.net/,
    );
    expect(performance.now() - startMs).toBeLessThan(AT_ONCE_MS);
  });

  // claim: docs/retention.md: `BackupHold` of a…
  test("a hold of a backup that nobody has fails the update, and the first hold stays", async () => {
    // The kubelet's double gives no end of the log.
    expect((await pulumi("up", { hold: "20200101-000000F" })).error).toMatch(
      /orders-audit-[0-9a-f]{8}[^]*completed with exit code 75/,
    );
    const { error, changes } = await pulumi("up");
    expect(error).toBeUndefined();
    expect(changes).toMatchObject({ same: expect.any(Number) });
  });

  test("CnpgRestore restores a copy to a time", async () => {
    await sqlIn(lab, "orders-1", "create table kept as select 1 as n");
    const time = await sqlIn(
      lab,
      "orders-1",
      "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    );
    await sqlIn(lab, "orders-1", "select pg_sleep(1); create table lost as select 1 as n");
    const segment = await endSegment(lab, "orders-1");
    const [first] = stores;
    if (first === undefined) throw new Error("no store");
    await expect.poll(() => segmentsOf(first, "/orders"), { timeout: READY_MS }).toContain(segment);
    const { error, outputs } = await pulumi("up", { restoreTo: time });
    expect(error).toBeUndefined();
    expect(outputs?.["copy"]).toBe("copy");
    const isReady = async (): Promise<boolean> => {
      const cluster = await lab.kubectl.find(CLUSTERS, "copy");
      return cluster !== null && conditionOf(cluster, "Ready")?.status === "True";
    };
    await expect.poll(isReady, { timeout: READY_MS, interval: 1000 }).toBe(true);
    expect(await sqlIn(lab, "copy-1", "select to_regclass('kept') is not null, to_regclass('lost') is null")).toBe(
      "t|t",
    );
  });

  // claim: docs/kubernetes/engines.md: `replaceBarmanObjectStore`: one update takes over from the operator's own
  //   archiver in one request; a run that is killed between its two requests is completed by the next one
  test("CnpgBackup takes over from the operator's own archiver in one update, and a destroy takes ours away", async () => {
    const barmanObjectStore = { destinationPath: "s3://a/b", s3Credentials: { inheritFromIAMRole: true } };
    const spec = {
      instances: 1,
      imageName: "ghcr.io/cloudnative-pg/postgresql:18",
      storage: { size: "1Gi" },
      postgresql: { parameters: { shared_buffers: "32MB" } },
      backup: { barmanObjectStore, retentionPolicy: "30d" },
    };
    const metadata = { name: "intree", namespace: "default" };
    await lab.kubectl.apply([{ apiVersion: "postgresql.cnpg.io/v1", kind: "Cluster", metadata, spec }], {
      fieldManager: "others",
    });
    await lab.kubectl.waitForCondition(CLUSTERS, "intree", "Ready");
    const specOf = async (): Promise<AttachedCluster["spec"]> =>
      (
        JSON.parse(
          await lab.kubectl.runOk(["get", CLUSTERS, "intree", "-n", "default", "-o", "json"]),
        ) as AttachedCluster
      ).spec;
    const preview = await pulumi("preview", {}, "intree");
    expect(preview.error).toBeUndefined();
    expect((await specOf()).backup).toHaveProperty("barmanObjectStore");
    const made = await pulumi("up", {}, "intree");
    expect(made.error).toBeUndefined();
    expect(String(made.outputs?.["destinations"])).toMatch(/repo1.*\d{8}-\d{6}F.*repo2.*\d{8}-\d{6}F/);
    const changed = await specOf();
    expect(changed.plugins).toEqual([expect.objectContaining({ name: "pgbackstop", isWALArchiver: true })]);
    expect(Object.keys(changed.backup)).toEqual(["target"]);
    // No segment was reported as archived before there was an archive.
    for (const store of stores) expect(segmentsOf(store, "/intree")).toContain("000000010000000000000001");
    expect((await pulumi("up", {}, "intree")).changes).toEqual({ same: made.changes?.["create"] });
    expect((await pulumi("destroy", {}, "intree")).error).toBeUndefined();
    expect((await specOf()).plugins ?? []).toEqual([]);
    await lab.kubectl.runOk(["delete", CLUSTERS, "intree", "-n", "default", "--wait=true"]);
  });

  // claim: README.md: the update of a…
  test("an update fails with the names of the repositories that lack a full backup, and succeeds once they have one", async () => {
    const { error } = await pulumi("up", {}, "unbacked");
    expect(error).toMatch(/unbacked-full.*fullBackups:repo1 and repo2 have no full backup: nothing can be restored/);
    await lab.kubectl.waitForCondition(CLUSTERS, "unbacked", "Ready");
    const backup = ["/pgbackstop/run/pgbackstop", "backup", "--type=full"];
    expect((await lab.kubectl.exec("unbacked-1", "plugin-pgbackstop", backup)).exitCode).toBe(0);
    const { outputs, ...made } = await pulumi("up", {}, "unbacked");
    expect(made.error).toBeUndefined();
    expect(String(outputs?.["destinations"])).toMatch(/repo1.*\d{8}-\d{6}F.*repo2.*\d{8}-\d{6}F/);
    expect(Object.keys((await pulumi("refresh", {}, "unbacked")).changes ?? {})).toEqual(["same"]);
    expect(Object.keys((await pulumi("up", {}, "unbacked")).changes ?? {})).toEqual(["same"]);
    expect((await pulumi("destroy", {}, "unbacked")).error).toBeUndefined();
  });

  test("a provider whose cluster does not answer gives one clear error", async () => {
    const startMs = performance.now();
    const { error = "" } = await pulumi("up", {}, "away");
    const errors = error.split("\n").filter((line) => /^ +error: (?!update failed)/.test(line));
    // The same for each object that begins at once.
    expect([...new Set(errors)]).toEqual([
      expect.stringMatching(/configured Kubernetes cluster is unreachable: .*https:\/\/127\.0\.0\.1:1\//),
    ]);
    expect(performance.now() - startMs).toBeLessThan(AT_ONCE_MS);
  });

  test("destroy leaves nothing but the repositories", async () => {
    const { changes, error } = await pulumi("destroy");
    expect(error).toBeUndefined();
    expect(Object.keys(changes ?? {})).toEqual(["delete"]);
    await expect.poll(objects, { timeout: READY_MS, interval: 2000 }).toEqual(before);
    for (const { bucketPath } of stores)
      for (const path of ["orders", "legacy"])
        expect(existsSync(join(bucketPath, path, "backup")), `${bucketPath}/${path}`).toBe(true);
  });
});
