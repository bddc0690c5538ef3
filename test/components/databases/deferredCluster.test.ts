/** Every input of a cluster: deferred values give what plain ones give, and a preview without them guesses nothing. */
// claim: docs/reference/components.md: "Plain arguments": every other…
import { expect, test } from "vitest";
import type { ClusterBackupArgs, CnpgClusterArgs } from "../../../components/databases/cnpgArgs";
import { CnpgBackup, type CnpgBackupArgs } from "../../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { UNKNOWN } from "../../harness/doubles/providerValues";
import {
  AZURE_LOCATION,
  GCS_LOCATION,
  deferred,
  describeDeferred,
  inputsOf,
  notKnown,
  register,
  withInputs,
} from "../deferredInputs";

const AT = {
  name: "bucket",
  path: "/b",
  offSite: true,
  s3: {
    bucket: "own-pg",
    endpoint: "s3.example.net",
    region: "eu",
    port: 8443,
    uriStyle: "path",
    quirks: "minio",
    keyType: "shared",
    existingSecret: {
      name: "keys",
      accessKeyIdKey: "id",
      secretAccessKeyKey: "secret",
      sessionTokenKey: "token",
      passphraseKey: "pass",
      regionKey: "region",
    },
    facts: { versioning: true, immutableDays: 3, lockMode: "governance", undeleteDays: 8, storageClass: "GLACIER_IR" },
  },
} as const;

const BACKUPS: ClusterBackupArgs = {
  namespace: "db",
  stanza: "ledger",
  plugin: { name: "pgbackstop.dev" },
  operatorVersion: "1.30.0",
  engineVersion: "2.58.0",
  backupTarget: "primary",
  archiveTimeoutSeconds: 45,
  repositories: {
    repo1: {
      at: AT,
      ca: { name: "authority", key: "own.crt" },
      keepDays: 40,
      keepDiffCount: 2,
      limitRate: "20MiB",
      compress: { type: "gz", level: 4 },
      bundle: true,
      blockIncremental: true,
      schedules: { diff: { cron: "0 4 * * 3", jitterSeconds: 0, timeZone: "UTC" } },
      options: { "retention-archive": "3" },
    },
    repo2: { at: { name: "claim", path: "/pgbackstop/claims/nas/p" }, keepFullCount: 3 },
    repo3: {
      at: {
        name: "azure",
        path: "/z",
        azure: { ...AZURE_LOCATION, existingSecret: { name: "azure", azureKeyKey: "sas" } },
      },
      keepDays: 9,
    },
    repo4: {
      at: {
        name: "google",
        path: "/g",
        gcs: { ...GCS_LOCATION, existingSecret: { name: "google", gcsKeyKey: "json" } },
      },
      keepDays: 9,
    },
  },
  schedules: {
    full: { cron: "0 3 * * 0", suspend: true, target: "primary", ownerReference: "none" },
    incr: { cron: "0 3 * * 1-6", immediate: false },
  },
  acknowledge: { mode: "named", repositories: ["repo1"] },
  objectives: { rpoSeconds: 300, rtoMinutes: 90, pitrRtoMinutes: 95, pitrDays: 7, maxRepositoryGB: 100 },
  drills: {
    weekly: {
      cron: "0 5 * * 6",
      timeZone: "Europe/Oslo",
      from: "repo2",
      pick: "newest",
      level: "quick",
      maxMinutes: 80,
      maxGiB: 30,
      resources: { cpu: "1", memory: "2Gi", cpuLimit: "3", memoryLimit: "4Gi" },
    },
    turns: { cron: "0 5 15 * *", repositories: ["repo1", "repo2"] },
    away: { cron: "0 6 15 * *", elsewhere: true, level: "standard" },
  },
  drillChecks: {
    heartbeat: { sql: "SELECT now()", database: "shop" },
    assertions: [{ name: "orders", sql: "SELECT true", database: "shop" }],
    backupAgeHours: 200,
  },
  notifySecret: "notices",
  podPlacement: {
    nodeSelector: { pool: "backups" },
    imagePullSecrets: ["registry"],
    priorityClassName: "low",
    annotations: { mesh: "no" },
  },
  streaming: {
    intervalSeconds: 9,
    synchronous: "named",
    repositories: ["repo1"],
    groupMilliseconds: 20,
    standbys: 1,
  },
  staleCheck: { cron: "21 * * * *", timeZone: "Europe/Rome" },
  sizing: { databaseGiB: 10, walGiBPerDay: 2, changedGiBPerDay: 1, compressedTo: 0.4 },
  snapshots: {
    className: "fast",
    walClassName: "faster",
    tablespaceClassNames: { archive: "slow" },
    online: false,
    ownerReference: "backup",
    cron: "0 7 * * *",
    keepDays: 5,
    acceptDowntime: true,
  },
  sidecar: { cpu: "150m", memory: "500Mi" },
  processMax: 3,
  runtimeImage: "registry.example.net/pgbackstop@sha256:1",
  options: { "log-level-file": "detail" },
};

const CLUSTER: CnpgClusterArgs = {
  ...BACKUPS,
  clusterName: "orders",
  instances: 4,
  postgresVersion: 17,
  image: "registry.example.net/postgresql:17.2",
  storageGiB: 20,
  storageClass: "disk",
  parameters: { shared_buffers: "1GB" },
  poolers: {
    web: {
      type: "ro",
      instances: 3,
      poolMode: "transaction",
      parameters: { max_client_conn: "500" },
      metadata: { labels: { own: "1" }, annotations: { own: "2" } },
      spec: { serviceTemplate: { spec: { type: "LoadBalancer" } } },
    },
  },
  monitoring: {
    podMonitor: true,
    tls: true,
    prometheusRule: true,
    labels: { release: "stack" },
    alertLabels: { team: "db" },
    runbookUrl: "https://runbook.example.net",
    reportPassword: { name: "report", key: "password" },
  },
  spec: {
    enablePDB: false,
    walStorage: { size: "5Gi", storageClass: "wal" },
    tablespaces: [{ name: "archive", owner: { name: "shop" }, storage: { size: "9Gi" }, temporary: true }],
    postgresql: {
      pg_hba: ["hostssl all all all cert"],
      parameters: { work_mem: "8MB" },
      shared_preload_libraries: ["pg_stat_statements"],
      extensions: [{ name: "vector", image: { reference: "registry.example.net/vector:1" } }],
    },
    managed: { roles: [{ name: "reader", login: true, passwordSecret: { name: "reader-password" } }] },
    bootstrap: { initdb: { database: "shop", owner: "shop", secret: { name: "shop-keys" } } },
    primaryUpdateStrategy: "supervised",
    resources: { limits: { "hugepages-2Mi": "1Gi" } },
    affinity: { topologyKey: "zone", nodeSelector: { pool: "databases" } },
    enableSuperuserAccess: true,
    env: [{ name: "TZ", value: "UTC" }],
  },
  metadata: { labels: { own: "label" }, annotations: { own: "annotation" } },
};

const RESTORED: CnpgClusterArgs = {
  namespace: "db",
  clusterName: "copy",
  like: { image: "registry.example.net/postgresql:17.2", storageGiB: 20, parameters: { work_mem: "8MB" } },
  repositories: { repo1: { at: { ...AT, path: "/other" }, keepDays: 9 } },
  schedules: { full: { cron: "0 3 * * 0" } },
  replica: { minApplyDelay: "4h", promotionToken: "token" },
  bootstrap: {
    recovery: {
      stanza: "ledger",
      repositories: { repo1: { at: AT }, repo2: { at: { ...AT, path: "/second" } } },
      from: ["repo2"],
      continueArchive: false,
      database: "shop",
      owner: "shop",
      ownerSecret: "shop-keys",
    },
  },
};

const { replica: _replica, ...STOPPED } = RESTORED;
const TO_TIME: CnpgClusterArgs = {
  ...STOPPED,
  spec: { walStorage: { size: "5Gi" }, tablespaces: [{ name: "archive", storage: { size: "9Gi" } }] },
  bootstrap: {
    recovery: {
      stanza: "ledger",
      repositories: { repo1: { at: AT } },
      target: { time: "2026-11-20T06:40:59Z", timeline: "3", exclusive: true },
      snapshot: { storage: "data", walStorage: "wal", tablespaces: { archive: "old" } },
    },
  },
};
const IMPORTED: CnpgClusterArgs = {
  namespace: "db",
  storageGiB: 20,
  repositories: { repo1: { at: AT, keepDays: 9 } },
  schedules: { full: { cron: "0 3 * * 0" } },
  spec: {
    imageCatalogRef: { apiGroup: "postgresql.cnpg.io", kind: "ImageCatalog", name: "catalog", major: 17 },
    bootstrap: {
      initdb: { import: { type: "monolith", source: { externalCluster: "old" }, databases: ["*"], roles: ["*"] } },
    },
    externalClusters: [{ name: "old", connectionParameters: { host: "old" } }],
  },
};
const ATTACHED: CnpgBackupArgs = {
  ...BACKUPS,
  clusterName: "orders",
  instances: 4,
  hasWalStorage: true,
  takeOverPlugins: true,
  replaceBarmanObjectStore: true,
};
const DALIBO: CnpgBackupArgs = {
  namespace: "db",
  clusterName: "orders",
  engine: "pgbackrest",
  engineVersion: "2.58.0",
  archiveTimeoutSeconds: 45,
  repositories: {
    repo1: { at: AT, keepDays: 40, compress: { type: "gz", level: 4 } },
    repo2: { at: { ...AT, path: "/second" }, keepFullCount: 3 },
  },
  schedules: { full: { cron: "0 3 * * 0", target: "primary" } },
  sidecar: { cpu: "150m", memory: "500Mi", cpuLimit: "1", memoryLimit: "1Gi" },
};
const { passphraseKey: _key, ...PLAIN_KEYS } = AT.s3.existingSecret;
const BARMAN: CnpgBackupArgs = {
  ...DALIBO,
  engine: "barman-cloud",
  repositories: { repo1: { at: { ...AT, s3: { ...AT.s3, existingSecret: PLAIN_KEYS } }, keepDays: 40 } },
};

function makeCluster(args: CnpgClusterArgs): object {
  const made = new CnpgCluster("orders", args);
  const { access, applicationSecret, clusterName, drilled, like, poolerHosts, source, stanza, topology } = made;
  return { access, applicationSecret, clusterName, drilled, like, poolerHosts, source, stanza, topology };
}

function makeBackup(args: CnpgBackupArgs): object {
  const { access, clusterName, drilled, scheduleNames, source, stanza, topology } = new CnpgBackup("orders", args);
  return { access, clusterName, drilled, scheduleNames, source, stanza, topology };
}

/** Fields that earlier programs give. */
const seen = new Set<string>();

/** Each engine writes these in its own form. */
function isRendered(path: string): boolean {
  return /^(sidecar|repositories\.repo1\.(at|compress|keepDays))/.test(path);
}

const formOf = <T extends object>(name: string, type: string, args: T, make: (args: T) => object) => {
  const { missing, paths } = inputsOf(type, args);
  // A target that comes as a whole has its own Secret (cnpgBackup.test.ts).
  const inputs = paths.filter(({ path }) => !path.endsWith(".at"));
  const own = inputs.filter(({ field, path }) => !seen.has(field) || isRendered(path));
  for (const { field } of inputs) seen.add(field);
  return {
    name,
    missing,
    paths: inputs.map(({ path }) => path),
    own: own.map(({ path }) => path),
    run: (chosen: readonly string[], of: (value: unknown) => unknown) => () => make(withInputs(args, chosen, of)),
  };
};

const forms = [
  formOf("a new one", "CnpgClusterArgs", CLUSTER, makeCluster),
  formOf("a replica cluster", "CnpgClusterArgs", RESTORED, makeCluster),
  formOf("a restore to a time", "CnpgClusterArgs", TO_TIME, makeCluster),
  formOf("an import", "CnpgClusterArgs", IMPORTED, makeCluster),
  formOf("an existing one", "CnpgBackupArgs", ATTACHED, makeBackup),
  formOf("Dalibo's plugin", "CnpgBackupArgs", DALIBO, makeBackup),
  formOf("Barman's plugin", "CnpgBackupArgs", BARMAN, makeBackup),
];

/**
 * Clusters refuse the first two, and mount claims; only targets that come as a whole have `secretLocation`; pods have
 * `ca`; a wait of a cluster has no limit (PB150); CloudNativePG has none of the others (PB044).
 */
const UNUSED = [
  "BucketFacts.expireLiveDays",
  "RepositoryTarget.readOnly",
  "RepositoryTarget.requireMount",
  "RepositoryTarget.secretLocation",
  "S3Location.caFile",
  "StreamingArgs.degradeAfterSeconds",
  "ClusterScheduleArgs.timeZone",
  "ClusterScheduleArgs.jitterSeconds",
  "ClusterScheduleArgs.deadlineSeconds",
];

test("the programs give every input of the arguments", () => {
  const missing = forms.map((form) => form.missing);
  const everywhere = (missing[0] ?? []).filter((name) => missing.every((names) => names.includes(name)));
  expect(everywhere.filter((name) => !UNUSED.includes(name))).toEqual([]);
});

describeDeferred(forms);

test("what other fields follow from is deferred with them, and nothing else is", async () => {
  const args: CnpgClusterArgs = {
    namespace: "db",
    storageGiB: 20,
    repositories: { repo1: { at: AT, keepDays: 9 } },
    parameters: { shared_buffers: "1GB" },
    metadata: { labels: { "app.kubernetes.io/managed-by": "others" } },
    monitoring: { podMonitor: true },
    spec: {
      postgresql: { parameters: { work_mem: "8MB", max_connections: "200" } },
      monitoring: { tls: { enabled: true } },
    },
  };
  const paths = ["metadata.labels", "spec.postgresql.parameters", "spec.monitoring.tls.enabled"];
  const madeOf = async (chosen: readonly string[], of: (value: unknown) => unknown, preview: boolean) => {
    const { resources } = await register(() => makeCluster(withInputs(args, chosen, of)), preview);
    const specOf = (object: string): Record<string, object> => resources[object] as Record<string, object>;
    return {
      cluster: specOf("kubernetes:postgresql.cnpg.io/v1:Cluster orders-cluster"),
      monitor: specOf("kubernetes:monitoring.coreos.com/v1:PodMonitor orders-pod-monitor"),
    };
  };
  const plain = await madeOf([], deferred, false);
  expect(plain).toMatchObject({
    cluster: {
      metadata: { labels: { "app.kubernetes.io/managed-by": "others" } },
      spec: { postgresql: { parameters: { shared_buffers: "1GB", work_mem: "8MB", max_connections: "200" } } },
    },
    monitor: { spec: { podMetricsEndpoints: [{ scheme: "https" }] } },
  });
  expect(await madeOf(paths, deferred, false)).toEqual(plain);
  const { cluster, monitor } = plain;
  const tls = { tls: { enabled: UNKNOWN } };
  expect(await madeOf(paths, notKnown, true)).toEqual({
    cluster: {
      ...cluster,
      metadata: { name: "orders", namespace: "db", labels: UNKNOWN },
      spec: { ...cluster["spec"], postgresql: { parameters: UNKNOWN }, monitoring: tls },
    },
    monitor: { ...monitor, spec: { ...monitor["spec"], podMetricsEndpoints: [UNKNOWN] } },
  });
});
