/**
 * The examples for CloudNativePG on the real engine, with a double of the Kubernetes provider. Their previews have no
 * findings. They create what the published YAML intended, except for its mistakes, and these tests name each mistake.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPostgresImage } from "../../components/plan/cluster/images";
import { checkManifests } from "../../components/plan/rules/manifests";
import type { AttachOutputs, AttachSettings } from "../../examples/cnpg-attach/program";
import type { ClusterOutputs, ProgramSettings } from "../../examples/cnpg-b2-r2/program";
import type { MinioOutputs, MinioSettings } from "../../examples/cnpg-barman-minio/program";
import { loadExample, openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { CLUSTER, FINAL_BACKUPS, MINIO, REPOSITORY } from "../components/plan/manifests/seeds";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { KUBERNETES } from "../harness/doubles/providerSchemas";
import { type Difference, differencesOf, publishedObjects } from "../harness/compare/published";
import { textOf, type Values } from "../harness/doubles/providerValues";
import { NIGHTLY } from "../../tools/parts/nightly";

let programFolder: ProgramFolder;
let kubernetes: ProviderDouble;

beforeAll(async () => {
  kubernetes = await ProviderDouble.start(KUBERNETES);
  programFolder = await makeProgramFolder([kubernetes]);
});
afterAll(() => {
  kubernetes?.stop();
  removeProgramFolder(programFolder);
});

/** The objects of a namespace by `Kind name`, without those that this package creates to keep its own records. */
function objectsOf(namespace: string): Map<string, Values> {
  const result = kubernetes.all().filter(({ id }) => id.startsWith(`${namespace}/`));
  return new Map(
    result.map(({ id, inputs }) => [`${textOf(inputs["kind"])} ${id.slice(namespace.length + 1)}`, inputs]),
  );
}

function specOf(objects: ReadonlyMap<string, Values>, name: string): Values {
  const object = objects.get(name);
  if (object === undefined) throw new Error(`no ${name} among ${[...objects.keys()].join(", ")}`);
  return object["spec"] as Values;
}

const SETTINGS: ProgramSettings = {
  accountId: "0123456789abcdef0123456789abcdef",
  buckets: { immich: "nerdz-postgres-immich", others: "nerdz-postgres-cluster" },
  immichImage:
    "ghcr.io/tensorchord/cloudnative-vectorchord:18-1.0.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

/** The fields, the published value, our value, and the reason for the difference. */
type Correction = readonly [fields: readonly string[], published: unknown, ours: unknown, why: string];

function asDifferences(corrections: readonly Correction[]): Record<string, Difference> {
  return Object.fromEntries(
    corrections.flatMap(([fields, published, ours]) => fields.map((field) => [field, [published, ours] as const])),
  );
}

/** Finds the object that replaces a published one. */
function placed(
  objects: ReadonlyMap<string, Values>,
  renamed: Readonly<Record<string, string>>,
): { ours: (kind: string, name: string) => Values } {
  return {
    ours: (kind, name) => {
      const result = objects.get(`${kind} ${renamed[name] ?? name}`);
      if (result === undefined) throw new Error(`no ${kind} for ${name} among ${[...objects.keys()].join(", ")}`);
      return result;
    },
  };
}

const IMMICH_PLACEHOLDERS = {
  "immich-cnpg-secret": "cnpg-secret",
  immich18: "postgres18-immich",
  "${IMMICH_PG_BACKUP_B2_BUCKET}": SETTINGS.buckets.immich,
  "${IMMICH_PG_BACKUP_R2_BUCKET}": SETTINGS.buckets.immich,
  "${CLOUDFLARE_ACCOUNT_ID}": SETTINGS.accountId,
};
const RENAMED: Readonly<Record<string, string>> = {
  "postgres18-immich-repository": "postgres18-immich-stanza",
  "postgres18-cluster-repository": "postgres18-cluster-stanza",
  "postgres18-immich-daily-b2": "postgres18-immich-full-repo1",
  "postgres18-immich-daily-r2": "postgres18-immich-full-repo2",
};

const REPOSITORIES = ["immich", "cluster"].map((short) => `Repository postgres18-${short}-repository`);
const DAILY = ["b2", "r2"].map((short) => `ScheduledBackup postgres18-immich-daily-${short}`);
const MAIN = "Cluster postgres18-cluster";
const KEYS = "ExternalSecret cnpg-secret";
const EACH_REPOSITORY = REPOSITORIES.flatMap((name) =>
  [0, 1].map((index) => `${name} spec.repoConfiguration.s3Repositories.${index}`),
);
const MANAGED = "metadata.labels.app.kubernetes.io/managed-by";

/** Every difference from `test/vectors/published/cnpg-b2-r2.yaml`. */
const DALIBO_CORRECTIONS: readonly Correction[] = [
  ...Object.entries(RENAMED).map(([there, here]): Correction => {
    const kind = there.endsWith("-repository") ? "Repository" : "ScheduledBackup";
    return [[`${kind} ${there} metadata.name`], there, here, "named after the cluster, the kind and the repository"];
  }),
  [
    [`${MAIN} spec.plugins.pgbackrest.dalibo.com.parameters.repositoryRef`],
    "postgres18-cluster-repository",
    "postgres18-cluster-stanza",
    "the same",
  ],
  [
    [...REPOSITORIES, ...DAILY, MAIN, "Pooler postgres18-cluster-pooler"].map((name) => `${name} ${MANAGED}`),
    undefined,
    "pgbackstop",
    "who made it",
  ],
  [
    ["Pooler postgres18-cluster-pooler metadata.annotations.pulumi.com/deletionPropagationPolicy"],
    undefined,
    "background",
    "without it a destroy never ends",
  ],
  [[`${DAILY[0]} spec.schedule`], "0 3 * * *", "0 0 3 * * *", "PB070: five fields ran every hour"],
  [[`${DAILY[1]} spec.schedule`], "0 4 * * *", "0 0 4 * * *", "PB070: five fields ran every hour"],
  [
    DAILY.map((name) => `${name} spec.pluginConfiguration.parameters.backupType`),
    undefined,
    "full",
    "said, and not left to the plugin",
  ],
  [
    REPOSITORIES.map((name) => `${name} spec.repoConfiguration.archive.pushQueueMax`),
    "1GiB",
    undefined,
    "PB079: WAL was thrown away for both buckets",
  ],
  [
    REPOSITORIES.map((name) => `${name} spec.repoConfiguration.archive.async`),
    true,
    false,
    "its sidecar can write no spool, so no WAL was archived",
  ],
  [EACH_REPOSITORY.map((where) => `${where}.verifyTLS`), undefined, true, "PB088: certificates are checked"],
  [
    EACH_REPOSITORY.map((where) => `${where}.uriStyle`),
    undefined,
    "path",
    "as both vendors take it whatever the bucket is called",
  ],
  [
    [`${MAIN} spec.plugins.pgbackrest.dalibo.com.isWALArchiver`],
    undefined,
    true,
    "PB074: without its sidecar WAL counted as archived",
  ],
  [[`${MAIN} spec.backup.target`], undefined, "primary", "PB050: what asks for no target gets the primary too"],
  [[`${MAIN} spec.enableSuperuserAccess`], undefined, false, "CloudNativePG's default, said"],
  [
    [`${MAIN} spec.imageName`],
    "ghcr.io/cloudnative-pg/postgresql:18@sha256:7f374e054e46fdefd64b52904e32362949703a75c05302dca8ffa1eb78d41891",
    findPostgresImage(18)?.image,
    "the same major version; which minor one it is can be read",
  ],
  [[`${KEYS} apiVersion`], "external-secrets.io/v1beta1", "external-secrets.io/v1", "PB087: the old version is gone"],
  [[`${KEYS} spec.refreshInterval`], undefined, "1h", "the operator's default, said"],
  [[`${KEYS} spec.refreshPolicy`], undefined, "Periodic", "the operator's default, said"],
  [[`${KEYS} spec.target.creationPolicy`], undefined, "Owner", "the operator's default, said"],
  [[`${KEYS} spec.target.deletionPolicy`], undefined, "Retain", "the operator's default, said"],
  [[`${KEYS} spec.target.template.metadata.labels.cnpg.io/reload`], undefined, "true", "CloudNativePG reads new keys"],
];

const STORE = "ObjectStore app-minio-store";
const OF_STORE = `${STORE} spec.instanceSidecarConfiguration.env`;
const APP = "Cluster unnamed";
const SCHEDULE = "ScheduledBackup app-db-backup";

/**
 * Every difference from `test/vectors/published/cnpg-barman-minio.yaml`, whose Cluster is a fragment without a name.
 */
const MINIO_CORRECTIONS: readonly Correction[] = [
  [[`${STORE} metadata.name`], "app-minio-store", "app-db-store", "named after the cluster"],
  [
    [`${APP} spec.plugins.barman-cloud.cloudnative-pg.io.parameters.barmanObjectName`],
    "app-minio-store",
    "app-db-store",
    "the same",
  ],
  [[`${SCHEDULE} metadata.name`], "app-db-backup", "app-db-full", "named after the kind of backup"],
  [[STORE, APP, SCHEDULE].map((name) => `${name} ${MANAGED}`), undefined, "pgbackstop", "who made it"],
  [[`${SCHEDULE} spec.schedule`], "0 3 * * *", "0 0 3 * * *", "PB070: five fields ran every hour"],
  [[`${SCHEDULE} spec.immediate`], undefined, false, "CloudNativePG's default, said"],
  [
    [`${SCHEDULE} spec.target`, `${APP} spec.backup.target`],
    undefined,
    "prefer-standby",
    "CloudNativePG's default, said",
  ],
  [[`${STORE} spec.retentionPolicy`], undefined, "30d", "PB006: kept for ever"],
  [[`${STORE} spec.configuration.wal.compression`], undefined, "zstd", "WAL was stored as it is"],
  [
    [`${STORE} spec.configuration.s3Credentials.region.name`],
    undefined,
    "longhorn-minio-credentials",
    "in the Secret, and nobody named it",
  ],
  [
    [`${STORE} spec.configuration.s3Credentials.region.key`],
    undefined,
    "AWS_REGION",
    "in the Secret, and nobody named it",
  ],
  ...Object.entries({
    AWS_DEFAULT_REGION: ["us-west-1", "for programs that ask for it beside the Secret"],
    AWS_REQUEST_CHECKSUM_CALCULATION: ["when_required", "PB077: what S3-compatible servers have refused"],
    AWS_RESPONSE_CHECKSUM_VALIDATION: ["when_required", "PB077"],
  }).flatMap(([name, [value, why = ""]]): Correction[] => [
    [[`${OF_STORE}.${name}.name`], undefined, name, why],
    [[`${OF_STORE}.${name}.value`], undefined, value, why],
  ]),
  [[`${APP} metadata.name`], undefined, "app-db", "the fragment has none"],
  [[`${APP} metadata.namespace`], undefined, "app", "the fragment has none"],
  [[`${APP} spec.instances`], undefined, 1, "the fragment has none"],
  [[`${APP} spec.storage.size`], undefined, "10Gi", "the fragment has none"],
  [[`${APP} spec.imageName`], undefined, findPostgresImage(18)?.image, "the fragment has none"],
  [[`${APP} spec.enableSuperuserAccess`], undefined, false, "CloudNativePG's default, said"],
];

// claim: examples/README.md: cnpg-b2-r2 and cnpg-barman-minio: the objects are the published ones, apart from named
//   corrections
test("B2 and R2 with Dalibo's plugin: the published set-up without its mistakes", async () => {
  const { program } = await loadExample<{ program: (settings: ProgramSettings) => ClusterOutputs }>(
    programFolder,
    "cnpg-b2-r2",
  );
  const stack = await openStack(programFolder, "dalibo", async () =>
    program({ ...SETTINGS, engine: "pgbackrest", stanzaKind: "Repository" }),
  );
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
      // Named after the cluster. No pushQueueMax, beyond which WAL is dropped for both buckets (PB079).
      stanza: "postgres18-immich",
      archive: { async: false },
      s3Repositories: [
        { ...b2, ...mended, secretRef: secretRef("b2") },
        { ...r2, ...mended, endpoint: `${SETTINGS.accountId}.r2.cloudflarestorage.com`, secretRef: secretRef("r2") },
      ],
    },
  });
  expect(specOf(objects, "Cluster postgres18-immich")).toMatchObject({
    ...(CLUSTER["spec"] as object),
    // Without isWALArchiver, WAL would count as archived even if the sidecar is missing (PB074).
    plugins: [
      { name: "pgbackrest.dalibo.com", isWALArchiver: true, parameters: { repositoryRef: "postgres18-immich-stanza" } },
    ],
  });
  for (const [index, short] of ["repo1", "repo2"].entries()) {
    const { schedule: _schedule, ...meant } = (FINAL_BACKUPS[index]?.["spec"] ?? {}) as Values;
    expect(specOf(objects, `ScheduledBackup postgres18-immich-full-${short}`)).toEqual({
      ...meant,
      // The published schedule had five fields and ran every hour (PB070).
      schedule: `0 0 ${3 + index} * * *`,
      cluster: { name: "postgres18-immich" },
      pluginConfiguration: {
        name: "pgbackrest.dalibo.com",
        parameters: { backupType: "full", selectedRepository: String(index + 1) },
      },
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
  const { ours } = placed(objects, RENAMED);
  expect(differencesOf(publishedObjects("cnpg-b2-r2", IMMICH_PLACEHOLDERS), ours)).toEqual(
    asDifferences(DALIBO_CORRECTIONS),
  );
  // The remaining findings concern only the old kind, which has no field for a passphrase.
  expect(new Set(checkManifests([...objects.values()]).map(({ code }) => code))).toEqual(new Set(["PB007", "PB089"]));
});

test("B2 and R2 with our plugin: one schedule, both buckets, and no finding", async () => {
  const { program } = await loadExample<{ program: (settings: ProgramSettings) => ClusterOutputs }>(
    programFolder,
    "cnpg-b2-r2",
  );
  const { stdout, changeSummary } = await (
    await openStack(programFolder, "runtime", async () => program(SETTINGS))
  ).preview({ diff: true });
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

// claim: examples/README.md: cnpg-b2-r2 and cnpg-barman-minio: the…
test("Barman over MinIO: the published set-up without its mistakes", async () => {
  const { program } = await loadExample<{ program: (settings: MinioSettings) => MinioOutputs }>(
    programFolder,
    "cnpg-barman-minio",
  );
  const stack = await openStack(programFolder, "minio", async () =>
    program({ app: "app", namespace: "app", clusterName: "app-db" }),
  );
  const { stdout } = await stack.up();
  expect(stdout).not.toMatch(/(error|warning): /);
  const objects = objectsOf("app");
  const [store, cluster, schedule] = MINIO.map((object) => object["spec"] as Values);
  if (store === undefined || cluster === undefined || schedule === undefined)
    throw new Error("three objects were published");
  const { s3Credentials, ...configuration } = store["configuration"] as Values;
  expect(specOf(objects, "ObjectStore app-db-store")).toMatchObject({
    configuration: {
      ...configuration,
      // The Secret had the region, but nothing referred to it.
      s3Credentials: {
        ...(s3Credentials as Values),
        region: { name: "longhorn-minio-credentials", key: "AWS_REGION" },
      },
    },
    // The published set-up kept backups forever (PB006).
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
  const { ours } = placed(objects, {
    "app-minio-store": "app-db-store",
    "app-db-backup": "app-db-full",
    unnamed: "app-db",
  });
  const args = { "<app>": "app", "<namespace>": "app", "<cluster-name>": "app-db" };
  expect(differencesOf(publishedObjects("cnpg-barman-minio", args), ours)).toEqual(asDifferences(MINIO_CORRECTIONS));
  // There is only one bucket, and its encryption is up to MinIO: neither is an error.
  expect(checkManifests([...objects.values()]).filter(({ severity }) => severity === "error")).toEqual([]);
});

// claim: docs/kubernetes/running-cluster.md: an archiver comes after its mounts, schedules after the archiver; a
//   restore uses the named repositories only
test.runIf(NIGHTLY)("an existing cluster gets its archiver last, and a copy starts at a point in time", async () => {
  const { program } = await loadExample<{ program: (settings: AttachSettings) => AttachOutputs }>(
    programFolder,
    "cnpg-attach",
  );
  const keys = { accessKeyId: "id", secretAccessKey: "secret" };
  const cluster = { metadata: { name: "legacy", namespace: "db" }, spec: { instances: 2 } };
  const type = "kubernetes:postgresql.cnpg.io/v1:Cluster";
  kubernetes.changeByHand({ type, id: "db/legacy", inputs: cluster, outputs: cluster }, {});
  const before = kubernetes.calls.length;
  const open = (restoreTo?: string) =>
    openStack(programFolder, "attach", async () =>
      program({ namespace: "db", clusterName: "legacy", keys, ...(restoreTo === undefined ? {} : { restoreTo }) }),
    );
  await (await open()).up();
  const made = kubernetes.calls
    .slice(before)
    .flatMap((call) => /^create kubernetes:(?:[^:]+):(\w+)$/.exec(call)?.[1] ?? []);
  const configMaps = made.flatMap((kind, index) => (kind === "ConfigMap" ? [index] : []));
  expect(made.indexOf("ClusterPatch")).toBeGreaterThan(configMaps.at(-2) ?? made.length);
  // The report, for which the update waits.
  expect(configMaps.at(-1)).toBeGreaterThan(made.lastIndexOf("ScheduledBackup"));
  expect(made.indexOf("ClusterPatch")).toBeGreaterThan(made.indexOf("Service"));
  expect(made.indexOf("ScheduledBackup")).toBeGreaterThan(made.indexOf("ClusterPatch"));
  const attached = specOf(objectsOf("db"), "Cluster legacy");
  expect(attached).toMatchObject({ plugins: [{ name: "pgbackstop", isWALArchiver: true }] });
  expect(Object.keys(attached)).toEqual(["plugins"]);

  await (await open("2026-11-20T06:40:59Z")).up();
  expect(specOf(objectsOf("db"), "Cluster legacy-then")).toMatchObject({
    bootstrap: { recovery: { source: "source", recoveryTarget: { targetTime: "2026-11-20T06:40:59Z" } } },
    externalClusters: [
      {
        name: "source",
        plugin: { name: "pgbackstop", parameters: { stanza: "legacy", configMap: "legacy-then-source-pgbackstop" } },
      },
    ],
  });
});
