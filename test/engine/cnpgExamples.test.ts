/**
 * The examples for CloudNativePG on the real engine, with a double of Kubernetes' provider: their previews find nothing wrong, and what they
 * make is what the published YAML meant, apart from its mistakes, each of which is named here.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkManifests } from "../../components/plan/rules/manifests";
import type { AttachOutputs, AttachSettings } from "../../examples/cnpg-attach/program";
import type { ClusterOutputs, ClusterSettings } from "../../examples/cnpg-b2-r2/program";
import type { MinioOutputs, MinioSettings } from "../../examples/cnpg-barman-minio/program";
import { findPulumiCli } from "../../tools/parts/pulumiCli";
import { loadExample, openStack, prepareProgramFolder, type ProgramFolder } from "../../tools/parts/pulumiEngine";
import { CLUSTER, FINAL_BACKUPS, MINIO, REPOSITORY } from "../components/plan/manifests/seeds";
import { engineEnvironment, ProviderDouble } from "../harness/providerDouble";
import { KUBERNETES } from "../harness/providerSchemas";
import { textOf, type Values } from "../harness/providerValues";

let place: ProgramFolder;
let kubernetes: ProviderDouble;

beforeAll(async () => {
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  kubernetes = await ProviderDouble.start(KUBERNETES);
  const prepared = await prepareProgramFolder(mkdtempSync(join(tmpdir(), "pgb-cnpgx-")), { cli, passphrase: "only for this test" });
  place = { ...prepared, env: { ...prepared.env, ...engineEnvironment([kubernetes]) } };
});
afterAll(() => {
  kubernetes?.stop();
  rmSync(place?.folder ?? "", { recursive: true, force: true });
});

/** Objects of a namespace by `Kind name`, without what this package notes down for itself. */
function objectsOf(namespace: string): Map<string, Values> {
  const found = kubernetes.all().filter(({ id }) => id.startsWith(`${namespace}/`));
  return new Map(found.map(({ id, inputs }) => [`${textOf(inputs["kind"])} ${id.slice(namespace.length + 1)}`, inputs]));
}

function specOf(objects: ReadonlyMap<string, Values>, name: string): Values {
  const object = objects.get(name);
  if (object === undefined) throw new Error(`no ${name} among ${[...objects.keys()].join(", ")}`);
  return object["spec"] as Values;
}

const SETTINGS: ClusterSettings = {
  accountId: "0123456789abcdef0123456789abcdef",
  buckets: { immich: "nerdz-postgres-immich", others: "nerdz-postgres-cluster" },
  immichImage: "ghcr.io/tensorchord/cloudnative-vectorchord:18-1.0.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

test("B2 and R2 with Dalibo's plugin: what was published, without its mistakes", async () => {
  const { program } = await loadExample<{ program: (settings: ClusterSettings) => ClusterOutputs }>(place, "cnpg-b2-r2");
  const stack = await openStack(place, "dalibo", async () => program({ ...SETTINGS, engine: "pgbackrest", stanzaKind: "Repository" }));
  await stack.up();
  const objects = objectsOf("database");
  const published = REPOSITORY["spec"] as { repoConfiguration: { s3Repositories: readonly object[] } };
  const [b2, r2] = published.repoConfiguration.s3Repositories;
  const secretRef = (short: string): object => ({
    accessKeyId: { name: "cnpg-secret", key: `${short}-access-key-id` },
    secretAccessKey: { name: "cnpg-secret", key: `${short}-secret-access-key` },
  });
  const mended = { repoPath: "/postgres18-immich", uriStyle: "path", verifyTLS: true };
  expect(specOf(objects, "Repository postgres18-immich-stanza")).toEqual({
    repoConfiguration: {
      // Its name; and no pushQueueMax, beyond which WAL is thrown away for both buckets (PB079).
      stanza: "postgres18-immich",
      archive: { async: true },
      s3Repositories: [
        { ...b2, ...mended, secretRef: secretRef("b2") },
        { ...r2, ...mended, endpoint: `${SETTINGS.accountId}.r2.cloudflarestorage.com`, secretRef: secretRef("r2") },
      ],
    },
  });
  expect(specOf(objects, "Cluster postgres18-immich")).toMatchObject({
    ...(CLUSTER["spec"] as object),
    // Without isWALArchiver a missing sidecar would count WAL as archived (PB074).
    plugins: [{ name: "pgbackrest.dalibo.com", isWALArchiver: true, parameters: { repositoryRef: "postgres18-immich-stanza" } }],
  });
  for (const [index, short] of ["repo1", "repo2"].entries()) {
    const { schedule: _schedule, ...meant } = (FINAL_BACKUPS[index]?.["spec"] ?? {}) as Values;
    expect(specOf(objects, `ScheduledBackup postgres18-immich-full-${short}`)).toEqual({
      ...meant,
      // Five fields ran every hour (PB070).
      schedule: `0 0 ${3 + index} * * *`,
      cluster: { name: "postgres18-immich" },
      pluginConfiguration: { name: "pgbackrest.dalibo.com", parameters: { backupType: "full", selectedRepository: String(index + 1) } },
    });
  }
  expect(specOf(objects, "Pooler postgres18-cluster-pooler")).toEqual({
    cluster: { name: "postgres18-cluster" },
    instances: 2,
    type: "rw",
    pgbouncer: { poolMode: "session", parameters: { max_client_conn: "500", default_pool_size: "100" } },
  });
  expect(specOf(objects, "Cluster postgres18-cluster")).toMatchObject({
    instances: 3,
    storage: { size: "20Gi", storageClass: "openebs-hostpath" },
    postgresql: { parameters: { max_connections: "200", shared_buffers: "256MB", wal_keep_size: "2GB" } },
    bootstrap: { initdb: { database: "postgres", owner: "postgres" } },
  });
  // What is left is said of the old kind alone, which has no field for a passphrase.
  expect(new Set(checkManifests([...objects.values()]).map(({ code }) => code))).toEqual(new Set(["PB007", "PB089"]));
});

test("B2 and R2 with the plugin of this package: one schedule, both buckets, and no finding", async () => {
  const { program } = await loadExample<{ program: (settings: ClusterSettings) => ClusterOutputs }>(place, "cnpg-b2-r2");
  const { stdout, changeSummary } = await (await openStack(place, "runtime", async () => program(SETTINGS))).preview({ diff: true });
  expect(Object.keys(changeSummary)).toEqual(["create"]);
  expect(stdout).not.toMatch(/PB\d{3} /);
  for (const text of [
    'schedule            : "0 0 3 * * *"',
    "repo1SecretKeys",
    "cloudnative-vectorchord:18",
    "s3://nerdz-postgres-cluster/postgres18-cluster",
  ])
    expect(stdout).toContain(text);
});

test("Barman over MinIO: what was published, without its mistakes", async () => {
  const { program } = await loadExample<{ program: (settings: MinioSettings) => MinioOutputs }>(place, "cnpg-barman-minio");
  const stack = await openStack(place, "minio", async () => program({ app: "app", namespace: "app", clusterName: "app-db" }));
  const { stdout } = await stack.up();
  expect(stdout).not.toMatch(/(error|warning): /);
  const objects = objectsOf("app");
  const [store, cluster, schedule] = MINIO.map((object) => object["spec"] as Values);
  if (store === undefined || cluster === undefined || schedule === undefined) throw new Error("three objects were published");
  const { s3Credentials, ...configuration } = store["configuration"] as Values;
  expect(specOf(objects, "ObjectStore app-db-store")).toMatchObject({
    configuration: {
      ...configuration,
      // The region was in the Secret, and nobody named it.
      s3Credentials: { ...(s3Credentials as Values), region: { name: "longhorn-minio-credentials", key: "AWS_REGION" } },
    },
    // Kept for ever (PB006).
    retentionPolicy: "30d",
  });
  expect(specOf(objects, "Cluster app-db")["plugins"]).toEqual([
    { ...(cluster["plugins"] as Values[])[0], parameters: { barmanObjectName: "app-db-store" } },
  ]);
  expect(specOf(objects, "ScheduledBackup app-db-full")).toEqual({
    ...schedule,
    schedule: "0 0 3 * * *",
    target: "prefer-standby",
    immediate: false,
  });
  // One bucket, and it is MinIO's own to encrypt.
  expect(checkManifests([...objects.values()]).filter(({ severity }) => severity === "error")).toEqual([]);
});

test("a cluster of others gets its archiver last, and a copy begins at a moment", async () => {
  const { program } = await loadExample<{ program: (settings: AttachSettings) => AttachOutputs }>(place, "cnpg-attach");
  const keys = { accessKeyId: "id", secretAccessKey: "secret" };
  const before = kubernetes.calls.length;
  const open = (restoreTo?: string) =>
    openStack(place, "attach", async () =>
      program({ namespace: "db", clusterName: "legacy", keys, ...(restoreTo === undefined ? {} : { restoreTo }) }),
    );
  await (await open()).up();
  const made = kubernetes.calls.slice(before).flatMap((call) => /^create kubernetes:(?:[^:]+):(\w+)$/.exec(call)?.[1] ?? []);
  expect(made.indexOf("ClusterPatch")).toBeGreaterThan(made.lastIndexOf("ConfigMap"));
  expect(made.indexOf("ClusterPatch")).toBeGreaterThan(made.indexOf("Service"));
  expect(made.indexOf("ScheduledBackup")).toBeGreaterThan(made.indexOf("ClusterPatch"));
  const attached = specOf(objectsOf("db"), "Cluster legacy");
  expect(attached).toMatchObject({ plugins: [{ name: "pgbackstop", isWALArchiver: true }], backup: { target: "prefer-standby" } });
  expect(Object.keys(attached).sort()).toEqual(["backup", "plugins"]);

  await (await open("2026-11-20T06:40:59Z")).up();
  expect(specOf(objectsOf("db"), "Cluster legacy-then")).toMatchObject({
    bootstrap: { recovery: { source: "source", recoveryTarget: { targetTime: "2026-11-20T06:40:59Z" } } },
    externalClusters: [
      { name: "source", plugin: { name: "pgbackstop", parameters: { stanza: "legacy", configMap: "legacy-then-source-pgbackstop" } } },
    ],
  });
});
