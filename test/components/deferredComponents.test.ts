/** Every input of the other components: deferred values give what plain ones give, and a preview guesses nothing. */
// claim: docs/reference/components.md: "Plain arguments": every other…
import { expect, test } from "vitest";
import * as all from "../../components/index";
import { describeDeferred, inputsOf, type DeferredForm, withInputs } from "./deferredInputs";
import { topology } from "./topologies";

const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf";
const ACCOUNT = "0123456789abcdef0123456789abcdef";
const KEYS = { accessKeyId: "id", secretAccessKey: "secret", sessionToken: "token" };
const SECRET = {
  name: "keys",
  accessKeyIdKey: "id",
  secretAccessKeyKey: "secret",
  sessionTokenKey: "token",
  azureKeyKey: "azure",
  gcsKeyKey: "google",
  passphraseKey: "pass",
  regionKey: "region",
};
const FACTS = {
  versioning: true,
  immutableDays: 3,
  lockMode: "governance",
  undeleteDays: 8,
  storageClass: "STANDARD_IA",
  expireLiveDays: 900,
};
const HOST: all.HostAccess = {
  // Nothing listens there: an update asks the host for a greeting.
  connection: { ssh: { host: "127.0.0.1", port: 1, hostKeys: [HOST_KEY], privateKey: "key" } },
  user: "root",
  runtimeArgv: ["/usr/local/bin/pgbackstop"],
  databaseUser: "postgres",
};
const CLUSTER = {
  namespace: "db",
  clusterName: "orders",
  backups: { full: [{ cluster: { name: "orders" } }] },
  repositoryBackups: { repo1: { full: [{ cluster: { name: "orders" } }] } },
  superuserAccess: true,
  verbs: {
    args: ["--stanza=orders"],
    volumeMounts: [],
    volumes: [],
    drills: { weekly: {} },
    hold: { template: { spec: { containers: [{ args: ["hold"] }] } } },
  },
};
const LEDGER = JSON.stringify(topology());

const forms: DeferredForm[] = [];
/** Inputs that no program here gives. */
let missing: string[] = [];
const given = new Set<string>();

/** Adds a program with one component. @param ignored paths that decide nothing here, or that another test has */
function add<Args extends object>(
  name: string,
  type: string,
  args: Args,
  make: (args: Args) => object,
  ignored: readonly string[] = [],
): void {
  const inputs = inputsOf(type, args);
  const paths = inputs.paths.map(({ path }) => path).filter((path) => !ignored.includes(path));
  for (const { field } of inputs.paths) given.add(field);
  missing = [...new Set([...missing, ...inputs.missing])];
  forms.push({
    name,
    missing: inputs.missing,
    paths,
    own: paths,
    run: (deferred, of) => () => make(withInputs(args, deferred, of)),
  });
}

/** What a program reads of a component. */
function outputsOf(component: object): object {
  const hidden = ["urn", "__", "registerOutputs"];
  return Object.fromEntries(
    Object.entries(component).filter(([name]) => !hidden.some((beginning) => name.startsWith(beginning))),
  );
}

add(
  "B2Repository",
  "B2RepositoryArgs",
  {
    bucket: { create: { name: "acme-orders-pg", forceDestroy: true } },
    path: "/p",
    credentials: { create: { rotationTrigger: "2" } },
    cipher: { passphrase: "pass" },
    immutableDays: 15,
    undeleteDays: 21,
    expectedStoredGiB: 500,
  },
  (args) => outputsOf(new all.B2Repository("b2", args)),
);
add(
  "B2Repository in an existing bucket",
  "B2RepositoryArgs",
  {
    bucket: { existing: { name: "acme-orders-pg", replaceLifecycleRules: true } },
    credentials: { keys: { applicationKeyId: "id", applicationKey: "key" } },
  },
  (args) => outputsOf(new all.B2Repository("b2", args)),
);
add(
  "S3Repository",
  "S3RepositoryArgs",
  {
    region: "eu-central-1",
    bucket: { create: { name: "acme-orders-pg", forceDestroy: true } },
    path: "/p",
    credentials: { create: { rotationTrigger: "2" } },
    cipher: { passphrase: "pass" },
    immutableDays: 15,
    undeleteDays: 21,
    kmsKeyArn: "arn:aws:kms:eu-central-1:123456789012:key/abc",
    formerKmsKeyArns: ["arn:aws:kms:eu-central-1:123456789012:key/abb"],
    expectedStoredGiB: 500,
  },
  (args) => outputsOf(new all.S3Repository("s3", args)),
);
add(
  "R2Repository",
  "R2RepositoryArgs",
  {
    accountId: ACCOUNT,
    jurisdiction: "eu" as const,
    bucket: { create: { name: "acme-orders-pg", location: "weur" as const } },
    path: "/p",
    credentials: {
      create: { rotationTrigger: "2", writerPermissionGroupId: "w", readerPermissionGroupId: "r", reader: true },
    },
    cipher: { passphrase: "pass" },
    expectedStoredGiB: 500,
  },
  (args) => outputsOf(new all.R2Repository("r2", args)),
);
const AZURE = { accountName: "acmepg", location: "westeurope" };
add(
  "AzureRepository",
  "AzureRepositoryArgs",
  {
    container: {
      create: { ...AZURE, resourceGroupName: "backups", name: "orders", redundancy: "Standard_ZRS" as const },
    },
    endpoint: "blob.core.usgovcloudapi.net",
    path: "/p",
    credentials: { create: { expires: "2027-12-31", signedBy: "key2" as const } },
    cipher: { passphrase: "pass" },
    offSite: true,
    immutableDays: 15,
    undeleteDays: 21,
    expectedStoredGiB: 500,
  },
  (args) => outputsOf(new all.AzureRepository("azure", args)),
);
add(
  "AzureRepository with an account's key",
  "AzureRepositoryArgs",
  { container: { create: AZURE }, credentials: { accountKey: { signedBy: "key2" as const } } },
  (args) => outputsOf(new all.AzureRepository("azure", args)),
);
add(
  "AzureRepository of a machine",
  "AzureRepositoryArgs",
  { container: { create: AZURE }, credentials: { managedIdentity: { principalId: "identity" } } },
  (args) => outputsOf(new all.AzureRepository("azure", args)),
);
add(
  "AzureRepository in an existing container",
  "AzureRepositoryArgs",
  {
    container: {
      existing: {
        accountName: "acmepg",
        name: "orders",
        resourceGroupName: "backups",
        port: 10000,
        uriStyle: "path" as const,
        caFile: "/etc/ca.pem",
        facts: FACTS,
      },
    },
    endpoint: "azurite.lan",
    credentials: { keys: { key: "sas" } },
  },
  (args) => outputsOf(new all.AzureRepository("azure", args)),
);
const GOOGLE = { name: "acme-pg", location: "europe-west3" };
add(
  "GcsRepository",
  "GcsRepositoryArgs",
  {
    bucket: { create: { ...GOOGLE, forceDestroy: true } },
    project: "acme-backups",
    endpoint: "gcs.lan:4443",
    path: "/p",
    credentials: { create: { rotationTrigger: "2026-11" } },
    cipher: { passphrase: "pass" },
    offSite: true,
    undeleteDays: 21,
    expectedStoredGiB: 500,
  },
  (args) => outputsOf(new all.GcsRepository("google", args)),
);
add(
  "GcsRepository of a machine",
  "GcsRepositoryArgs",
  {
    bucket: { create: GOOGLE },
    credentials: { identity: { member: "serviceAccount:db@acme.iam.gserviceaccount.com" } },
  },
  (args) => outputsOf(new all.GcsRepository("google", args)),
);
add(
  "GcsRepository in an existing bucket",
  "GcsRepositoryArgs",
  {
    bucket: { existing: { name: "acme-pg", userProject: "acme-backups", caFile: "/etc/ca.pem", facts: FACTS } },
    credentials: { keys: { key: "{}" } },
  },
  (args) => outputsOf(new all.GcsRepository("google", args)),
);
add(
  "S3CompatibleRepository",
  "S3CompatibleRepositoryArgs",
  {
    bucket: { existing: { name: "acme", credentials: KEYS, readerCredentials: KEYS, facts: FACTS } },
    endpoint: "s3.example.net",
    region: "eu",
    port: 9000,
    uriStyle: "path" as const,
    caFile: "/etc/ca.pem",
    quirks: "wasabi" as const,
    path: "/p",
    cipher: { passphrase: "pass" },
    offSite: true,
    expectedStoredGiB: 2000,
  },
  (args) => outputsOf(new all.S3CompatibleRepository("s3", args)),
);
add(
  "PosixRepository",
  "PosixRepositoryArgs",
  { path: "/mnt/nas", requireMount: true, offSite: true, cipher: { passphrase: "pass" } },
  (args) => outputsOf(new all.PosixRepository("nas", args)),
);
add(
  "SftpRepository",
  "SftpRepositoryArgs",
  {
    host: "vault",
    port: 2022,
    user: "db",
    hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ",
    privateKey: "key",
    privateKeyPassphrase: "phrase",
    path: "/p",
    offSite: true,
    cipher: { passphrase: "pass" },
  },
  (args) => outputsOf(new all.SftpRepository("sftp", args)),
);
add(
  "RepositoryHost",
  "RepositoryHostArgs",
  {
    connection: { ssh: { host: "vault", hostKeys: ["ssh-ed25519 AAAAC3"] } },
    clients: {
      orders: {
        privateKey: "key",
        privateKeyPassphrase: "phrase",
        publicKeys: ["ssh-ed25519 AAAAC3"],
        immutableDays: 14,
        cipher: { passphrase: "pass" },
      },
    },
    directory: "/srv/own",
    requireMount: true,
    address: "vault.example.net",
    port: 2022,
    offSite: true,
  },
  (args) => outputsOf(new all.RepositoryHost("vault", args)),
);
const REMOTE = { key: "backblaze", property: "KEY", secretKey: "own-key" };
const STORE = {
  name: "vault",
  kind: "SecretStore" as const,
  refreshIntervalSeconds: 90,
  creationPolicy: "Orphan" as const,
  deletionPolicy: "Delete" as const,
};
add(
  "RepositorySecret",
  "RepositorySecretArgs",
  {
    namespace: "db",
    secretName: "own",
    external: { store: STORE, keys: { accessKeyId: REMOTE, secretAccessKey: { ...REMOTE, secretKey: "other" } } },
    labels: { own: "label" },
  },
  (args) => outputsOf(new all.RepositorySecret("keys", args)),
);
add("RepositorySecret of an existing one", "RepositorySecretArgs", { namespace: "db", existing: SECRET }, (args) =>
  outputsOf(new all.RepositorySecret("keys", args)),
);
add(
  "SharedExternalSecret",
  "SharedExternalSecretArgs",
  {
    namespace: "db",
    secretName: "own",
    store: STORE,
    repositories: { b2: { accessKeyId: REMOTE, secretAccessKey: { ...REMOTE, secretKey: "other" } } },
    labels: { own: "label" },
  },
  (args) => outputsOf(new all.SharedExternalSecret("keys", args)),
);
const PLUGIN = {
  operatorNamespace: "cnpg",
  serviceName: "own-plugin",
  replicas: 3,
  image: "registry.example.net/node:24",
  podPlacement: {
    nodeSelector: { pool: "backups" },
    imagePullSecrets: ["registry"],
    priorityClassName: "low",
    annotations: { mesh: "no" },
  },
  memory: "300Mi",
  cpu: "70m",
  rotationTrigger: "2",
};
add("CnpgPlugin", "CnpgPluginArgs", PLUGIN, (args) => outputsOf(new all.CnpgPlugin("plugin", args)));
add("CnpgPlugin of an own image", "CnpgPluginArgs", { runtimeImage: "registry.example.net/own@sha256:1" }, (args) =>
  outputsOf(new all.CnpgPlugin("plugin", args)),
);
add("CnpgPlugin from a URL", "CnpgPluginArgs", { runtimeSource: "https://npm.example.net/own.tgz" }, (args) =>
  outputsOf(new all.CnpgPlugin("plugin", args)),
);
add(
  "CnpgPlugin of Dalibo",
  "CnpgPluginArgs",
  { ...PLUGIN, replicas: 1, engine: "pgbackrest" as const, sidecarImage: "sidecar", exporterImage: "exporter" },
  (args) => outputsOf(new all.CnpgPlugin("plugin", args)),
);
add(
  "Monitoring",
  "MonitoringArgs",
  {
    topologies: [LEDGER],
    kubernetes: {
      namespace: "monitoring",
      name: "own",
      ruleLabels: { release: "stack" },
      dashboardLabels: { own: "1" },
      dashboardAnnotations: { folder: "own" },
    },
    selectors: { ledger: 'instance="db1"' },
    alertLabels: { team: "db" },
    runbookUrl: "https://runbook.example.net",
    title: "Own",
  },
  (args) => outputsOf(new all.Monitoring("backups", args)),
);
add(
  "Runbook",
  "RunbookArgs",
  { topologies: [LEDGER], roles: { "Incident Lead": "Ada" }, internalMinutes: 7, externalMinutes: 9 },
  (args) => outputsOf(new all.Runbook("recovery", args)),
);
add(
  "BackupHold",
  "BackupHoldArgs",
  { host: HOST, backup: "20261231-020000F", reason: "audit", until: "2027-12-31" },
  (args) => outputsOf(new all.BackupHold("audit", args)),
);
add("CheckNow", "CheckNowArgs", { host: HOST, triggers: ["v2"], timeoutMinutes: 4 }, (args) =>
  outputsOf(new all.CheckNow("check", args)),
);
add(
  "DrillNow",
  "DrillNowArgs",
  {
    host: HOST,
    drill: "weekly",
    from: "repo2",
    pick: "oldest" as const,
    level: "quick" as const,
    binDirectory: "/opt/pg/bin",
    maxMinutes: 77,
    triggers: ["v2"],
  },
  (args) => outputsOf(new all.DrillNow("drill", args)),
);
add(
  "DatabaseClone",
  "DatabaseCloneArgs",
  {
    host: HOST,
    at: "2026-11-20 06:40:00+00",
    from: "repo2",
    databases: ["shop"],
    mask: ["UPDATE customers SET email = ''"],
    role: "preview",
    lifetimeHours: 12,
    listen: "10.0.0.5",
    allow: ["10.0.0.0/8"],
    address: "db1.internal",
    directory: "/srv/clones",
    cacheGiB: 5,
    binDirectory: "/opt/pg/bin",
  },
  (args) => outputsOf(new all.DatabaseClone("pr-123", args)),
);
add(
  "BackupNow",
  "BackupNowArgs",
  { cluster: CLUSTER, repositories: ["repo1"], target: "primary" as const, triggers: ["v2"] },
  (args) => outputsOf(new all.BackupNow("backup", args)),
);
add(
  "FireDrill",
  "FireDrillArgs",
  {
    connection: { ssh: { host: "drills", hostKeys: ["ssh-ed25519 AAAAC3"] } },
    path: "/drills",
    stanza: "ledger",
    nodePath: "/opt/node",
    user: "pg",
    processMax: 3,
    repositories: { repo1: { at: { name: "nas", path: "/mnt/nas/p", readOnly: true } } },
    drills: { monthly: { cron: "0 5 1 * *", level: "quick" as const } },
  },
  (args) => outputsOf(new all.FireDrill("drills", args)),
);
add(
  "StandbyHost",
  "StandbyHostArgs",
  {
    connection: { ssh: { host: "db2", hostKeys: ["ssh-ed25519 AAAAC3"] } },
    dataDirectory: "/data/main",
    stanza: "ledger",
    nodePath: "/opt/node",
    user: "pg",
    processMax: 3,
    repositories: { repo1: { at: { name: "nas", path: "/mnt/nas/p", readOnly: true } } },
    primary: {
      host: "db1",
      port: 5433,
      user: "replicator",
      passfile: "/pass",
      sslmode: "require" as const,
      slot: "db2",
    },
  },
  (args) => outputsOf(new all.StandbyHost("db2", args)),
);

test("the programs give every input of their components", () => {
  const others =
    /^(Acknowledge|Cluster|Command|Compress|Drill|Host|KeyRef|Objectives|Postgres|AzureCredentials|AzureLocation|GcsCredentials|GcsLocation|S3Location|Sftp|Ssh|PodPlacement|RepositoryTarget)/;
  expect(missing.filter((name) => !given.has(name) && !others.test(name))).toEqual([]);
});

describeDeferred(forms);
