/** Findings about a cluster's definition, and about limits of CloudNativePG and its engines, each with its path. */
// claim: docs/kubernetes/rename.md: a renamed cluster keeps…
import { describe, expect, test } from "vitest";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import { checkClusterPlan } from "../../../components/plan/cluster/planCluster";
import { majorOf, POSTGRES_IMAGES } from "../../../components/plan/cluster/images";
import type { RepositorySettings } from "../../../components/plan/model/databaseSettings";
import { checkPlugin } from "../../../components/plan/rules/plugin";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { resolved } from "../clusters";
import { BUCKET, NAS, R2 } from "../plans";

function codes(over: Partial<DeclaredCluster>, attached = false): string[] {
  return checkClusterPlan(resolved(over), attached).map(({ code, path }) => `${code} ${path}`);
}

const LOCAL = { ...NAS, at: { ...NAS.at, path: "/pgbackstop/claims/nas/orders" } };
const RECOVERY = { stanza: "orders-old", repositories: { repo1: BUCKET, repo2: R2 } };
const PAST = { ...RECOVERY, repositoryTargetTime: "2026-11-20T06:40:59Z" };
const PAST_FINDING = "PB114 bootstrap.recovery.repositoryTargetTime";
const bucketWith = (s3: object): RepositorySettings => ({
  ...BUCKET,
  at: { ...BUCKET.at, s3: { ...BUCKET.at.s3, ...s3 } as never },
});
const UNVERSIONED = bucketWith({ quirks: "minio", facts: { versioning: false } });
const UNKNOWN_BUCKET = bucketWith({ endpoint: unknownMarker(0) });

const UNENCRYPTED = { at: { ...BUCKET.at, encrypted: false }, keepDays: 30 };
const OF_BARMAN: Partial<DeclaredCluster> = {
  engine: "barman-cloud",
  repositories: { repo1: UNENCRYPTED },
  schedules: { full: { cron: "0 3 * * *" } },
  drills: undefined,
  silence: { PB003: "a test", PB042: "a test", PB078: "a test" },
};
const CONTINUED = { stanza: "orders", repositories: { repo1: UNENCRYPTED }, continueArchive: true };

const COPY: Partial<DeclaredCluster> = { repositories: {}, drills: undefined, schedules: undefined };
const COLD = { online: false, cron: "0 5 * * *", keepDays: 7 };
const ALONE: Partial<DeclaredCluster> = {
  engine: "volumeSnapshot",
  repositories: {},
  drills: undefined,
  schedules: { full: { cron: "0 3 * * *" } },
};

const SNAPPED: Partial<DeclaredCluster> = { ...ALONE, snapshots: { keepDays: 7 } };
const COLD_ALONE = { online: false, keepDays: 7 };

const WAITING = { synchronous: "any" } as const;

const CASES: readonly (readonly [what: string, over: Partial<DeclaredCluster>, expected: readonly string[]])[] = [
  ["nothing wrong", {}, []],
  ["a kind of another engine", { stanzaKind: "Repository" }, ["PB193 stanzaKind"]],
  ["no size of its volumes", { storageGiB: undefined }, ["PB118 storageGiB"]],
  ["a size by `spec`", { storageGiB: undefined, spec: { storage: { size: "5Gi" } } }, []],
  [
    "fields that no version of the operator has",
    { spec: { brandNew: 1, afinity: {} }, poolers: { web: { spec: { pgbouncer: { poolmode: "session" } } } } },
    ["PB192 spec.brandNew", "PB192 spec.afinity", "PB192 poolers.web.spec.pgbouncer.poolmode"],
  ],
  [
    "updates of the primary by hand",
    { spec: { primaryUpdateStrategy: "supervised" } },
    ["PB211 spec.primaryUpdateStrategy"],
  ],
  [
    "poolers with the names of the Cluster's own Services",
    { poolers: { rw: {}, ro: { type: "ro" }, r: {}, web: {} } },
    ["PB110 poolers.rw", "PB110 poolers.ro", "PB110 poolers.r"],
  ],
  ["alerts of an engine with metrics", { monitoring: { prometheusRule: true } }, []],
  [
    "alerts of an engine without any",
    { ...ALONE, monitoring: { prometheusRule: true } },
    ["PB095 engine", "PB120 snapshots", "PB131 monitoring.prometheusRule"],
  ],
  ["a served report", { monitoring: { reportPassword: { name: "orders-report", key: "password" } } }, []],
  [
    "a served report of an engine without our sidecar, from no Secret",
    { ...ALONE, monitoring: { reportPassword: { name: "Orders", key: "pass word" } } },
    ["PB095 engine", "PB120 snapshots", "PB044 monitoring.reportPassword", "PB110 monitoring.reportPassword"],
  ],
  [
    "drills without the policy of their account",
    { drillPolicy: false, drills: { weekly: { cron: "0 5 * * 6" } } },
    ["PB141 drillPolicy"],
  ],
  [
    "dumps without the policy of their account",
    { drillPolicy: false, spec: { enableSuperuserAccess: true }, dumps: { cron: "30 4 * * *" } },
    ["PB141 drillPolicy"],
  ],
  [
    "a stale check that tells nobody, at no time",
    { staleCheck: { cron: "daily" } },
    ["PB011 staleCheck.cron", "PB180 staleCheck"],
  ],
  [
    "memory of a sidecar that does not exist",
    { engine: "volumeSnapshot", sidecar: { memory: "1Gi" }, repositories: {}, snapshots: { keepDays: 7 }, drills: {} },
    expect.arrayContaining(["PB044 sidecar"]) as string[],
  ],
  [
    "memory of the sidecars of Dalibo's plugin",
    {
      engine: "pgbackrest",
      backupTarget: "primary",
      sidecar: { memory: "1Gi" },
      schedules: { full: { cron: "0 3 * * 0" } },
    },
    [],
  ],
  [
    "memory of sidecars that the old kind cannot set",
    {
      engine: "pgbackrest",
      backupTarget: "primary",
      stanzaKind: "Repository",
      sidecar: { memory: "1Gi" },
      schedules: { full: { cron: "0 3 * * 0" } },
      repositories: { repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false } } },
    },
    expect.arrayContaining(["PB044 sidecar"]) as string[],
  ],
  [
    "a spool that sidecars of Dalibo's plugin cannot write",
    {
      engine: "pgbackrest",
      schedules: { full: { cron: "0 3 * * 0" } },
      options: { "archive-async": "y" },
    },
    ["PB170 options.archive-async"],
  ],
  ["a stale check that notifies", { staleCheck: {}, notifySecret: "whom" }, []],
  [
    "a stale check that the engine cannot make",
    { engine: "pgbackrest", backupTarget: "primary", staleCheck: {}, schedules: { full: { cron: "0 3 * * 0" } } },
    ["PB044 staleCheck"],
  ],
  ["no policy where drills are made elsewhere", { drillPolicy: false }, ["PB193 drillPolicy"]],
  ["a copy without backups", { ...COPY, bootstrap: { recovery: RECOVERY } }, ["PB142 repositories"]],
  [
    "a copy with schedules and without repositories",
    { ...COPY, schedules: { full: { cron: "0 3 * * 0" } }, bootstrap: { recovery: RECOVERY } },
    ["PB002 repositories"],
  ],
  [
    "a copy that streams nowhere",
    { ...COPY, streaming: {}, bootstrap: { recovery: RECOVERY } },
    ["PB142 repositories", "PB150 streaming"],
  ],
  ["commits that wait", { streaming: WAITING }, ["PB151 streaming.synchronous", "PB152 streaming.standbys"]],
  ["commits that wait for a standby too", { streaming: { ...WAITING, standbys: 1 } }, ["PB151 streaming.synchronous"]],
  ["commits that wait, of one instance", { instances: 1, streaming: WAITING }, ["PB151 streaming.synchronous"]],
  [
    "a limit of the wait in a cluster",
    { streaming: { ...WAITING, degradeAfterSeconds: 30 } },
    ["PB150 streaming.degradeAfterSeconds"],
  ],
  [
    "commits that wait for nobody known",
    { streaming: { synchronous: "named", repositories: ["repo9"] } },
    ["PB017 streaming.repositories"],
  ],
  ["standbys without repositories to wait for", { streaming: { standbys: 1 } }, ["PB017 streaming.synchronous"]],
  [
    "commits that wait for what a repository never does",
    { streaming: WAITING, parameters: { synchronous_commit: "remote_apply" } },
    ["PB150 parameters.synchronous_commit"],
  ],
  [
    "commits that wait and do not",
    { streaming: WAITING, parameters: { synchronous_commit: "off" } },
    ["PB150 parameters.synchronous_commit"],
  ],
  [
    "commits that wait for some of several",
    {
      streaming: WAITING,
      spec: { postgresql: { synchronous: { method: "any", number: 1 } } },
    },
    ["PB150 spec.postgresql.synchronous"],
  ],
  ["a new cluster without repositories", COPY, ["PB002 repositories", "PB012 schedules"]],
  ["a wait that is no whole number", { firstBackupTimeoutMinutes: 1.5 }, ["PB014 firstBackupTimeoutMinutes"]],
  ["a name with capitals", { clusterName: "Orders" }, ["PB110 clusterName"]],
  ["a name that is too long for names of pods", { clusterName: "o".repeat(51) }, ["PB110 clusterName"]],
  [
    "a name that is not known yet",
    { clusterName: unknownMarker(0), snapshots: { cron: "0 5 * * *", keepDays: 7 } },
    [],
  ],
  ["a name that begins with a digit", { clusterName: "9orders" }, ["PB110 clusterName"]],
  ["a namespace that is too long", { namespace: "o".repeat(64) }, ["PB110 namespace"]],
  [
    "a pooler with a name that is too long",
    { clusterName: "o".repeat(50), poolers: { "read-and-write": {} } },
    ["PB110 poolers.read-and-write"],
  ],
  ["a stanza that is no name", { stanza: "a b" }, ["PB013 stanza"]],
  ["an invalid namespace", { namespace: "Orders" }, ["PB110 namespace"]],
  ["a pooler that cannot be named", { poolers: { "Read-Write": {} } }, ["PB110 poolers.Read-Write"]],
  ["an unsupported version", { postgresVersion: 13 }, ["PB111 postgresVersion"]],
  ["an unsupported version with an image", { postgresVersion: 20, image: "pg:20.1" }, ["PB111 postgresVersion"]],
  ["a version without an image of ours", { postgresVersion: 19 }, ["PB111 postgresVersion"]],
  ["the same with an image", { postgresVersion: 19, image: "registry.example.net/pg:19rc1-trixie" }, []],
  [
    "the same with a catalog",
    { postgresVersion: undefined, spec: { imageCatalogRef: { name: "own", major: 19 } } },
    [],
  ],
  ["an image of another version", { image: "registry.example.net/pg:17.4" }, ["PB111 image"]],
  [
    "an image without a version",
    { postgresVersion: undefined, image: "registry.example.net:5000/pg:latest" },
    ["PB111 image"],
  ],
  ["an image by another component", { image: unknownMarker(3) }, []],
  ["archive_timeout twice", { parameters: { archive_timeout: "60s" } }, ["PB113 parameters.archive_timeout"]],
  [
    "two targets",
    { bootstrap: { recovery: { ...RECOVERY, target: { lsn: "0/3", time: "2026-11-20T06:40:59Z" } } } },
    ["PB114 bootstrap.recovery.target"],
  ],
  [
    "a time without a zone",
    { bootstrap: { recovery: { ...RECOVERY, target: { time: "2026-11-20 06:40:59" } } } },
    ["PB114 bootstrap.recovery.target.time"],
  ],
  [
    "a day as a time",
    { bootstrap: { recovery: { ...RECOVERY, target: { time: "2026-11-20" } } } },
    ["PB114 bootstrap.recovery.target.time"],
  ],
  [
    "a restore point without a backup",
    { bootstrap: { recovery: { ...RECOVERY, target: { restorePoint: "before" } } } },
    ["PB114 bootstrap.recovery.target.restorePoint"],
  ],
  [
    "from an unknown repository",
    { bootstrap: { recovery: { ...RECOVERY, from: ["repo3"] } } },
    ["PB114 bootstrap.recovery.from"],
  ],
  [
    "from nowhere",
    { bootstrap: { recovery: { stanza: "orders", repositories: {} } } },
    ["PB114 bootstrap.recovery.repositories"],
  ],
  [
    "from backups of another version",
    { postgresVersion: undefined, bootstrap: { recovery: { ...RECOVERY, postgresVersion: 16 } } },
    ["PB114 postgresVersion"],
  ],
  [
    "from backups of another version than the image's",
    { postgresVersion: undefined, image: "pg:17.2", bootstrap: { recovery: { ...RECOVERY, postgresVersion: 16 } } },
    ["PB114 postgresVersion"],
  ],
  [
    "from backups of its own version",
    { postgresVersion: 16, bootstrap: { recovery: { ...RECOVERY, postgresVersion: 16 } } },
    [],
  ],
  [
    "from backups of a version that nobody names",
    { postgresVersion: undefined, bootstrap: { recovery: RECOVERY } },
    ["PB119 postgresVersion"],
  ],
  ["a replica cluster", { bootstrap: { recovery: RECOVERY }, replica: {} }, []],
  ["a replica cluster of nothing", { replica: {} }, ["PB114 replica"]],
  [
    "a replica cluster of a snapshot",
    { bootstrap: { recovery: { stanza: "o", repositories: {}, snapshot: { storage: "s" } } }, replica: {} },
    ["PB114 replica"],
  ],
  [
    "a replica cluster that ends at a moment",
    { bootstrap: { recovery: { ...RECOVERY, target: { lsn: "0/3" } } }, replica: {} },
    ["PB114 bootstrap.recovery.target"],
  ],
  [
    "a promoted one that had begun at a moment",
    { bootstrap: { recovery: { ...RECOVERY, target: { lsn: "0/3" } } }, replica: { enabled: false } },
    [],
  ],
  [
    "a restore to a moment",
    { bootstrap: { recovery: { ...RECOVERY, from: ["repo2"], target: { time: "2026-11-20T06:40:59+01" } } } },
    [],
  ],
  ["from a repository as it was", { bootstrap: { recovery: { ...PAST, from: ["repo1"] } } }, []],
  ["from several as they were", { bootstrap: { recovery: PAST } }, [PAST_FINDING]],
  [
    "from one of a provider without versions as it was",
    { bootstrap: { recovery: { ...PAST, from: ["repo2"] } } },
    [PAST_FINDING],
  ],
  [
    "from a bucket without versions as it was",
    { bootstrap: { recovery: { ...PAST, repositories: { repo1: UNVERSIONED } } } },
    [PAST_FINDING],
  ],
  ["from a volume as it was", { bootstrap: { recovery: { ...PAST, repositories: { repo1: LOCAL } } } }, [PAST_FINDING]],
  [
    "from a bucket whose provider is not known yet, as it was",
    { bootstrap: { recovery: { ...PAST, repositories: { repo1: UNKNOWN_BUCKET } } } },
    [],
  ],
  [
    "from a repository as it was at a time without a zone",
    { bootstrap: { recovery: { ...PAST, from: ["repo1"], repositoryTargetTime: "2026-11-20 06:40:59" } } },
    [PAST_FINDING],
  ],
  [
    "from a repository as it was, as a replica",
    { bootstrap: { recovery: { ...PAST, from: ["repo1"] } }, replica: {} },
    [PAST_FINDING],
  ],
  [
    "from backups of another engine as they were",
    { bootstrap: { recovery: { ...PAST, from: ["repo1"], engine: "pgbackrest" } } },
    [PAST_FINDING],
  ],
  [
    "into the archive that it comes from",
    { bootstrap: { recovery: { stanza: "orders", repositories: { repo1: R2 } } } },
    ["PB114 repositories.repo2"],
  ],
  [
    "on in the archive that it comes from, under another name",
    { bootstrap: { recovery: { stanza: "orders", repositories: { repo1: R2 }, continueArchive: true } } },
    [],
  ],
  [
    "on in the archive that it follows, as a replica",
    { bootstrap: { recovery: { stanza: "orders", repositories: { repo1: R2 }, continueArchive: true } }, replica: {} },
    ["PB114 bootstrap.recovery.continueArchive"],
  ],
  [
    "on in the archive that it followed until its promotion",
    {
      bootstrap: { recovery: { stanza: "orders", repositories: { repo1: R2 }, continueArchive: true } },
      replica: { enabled: false },
    },
    [],
  ],
  [
    "on in an archive that it does not come from",
    { bootstrap: { recovery: { ...RECOVERY, continueArchive: true } } },
    ["PB114 bootstrap.recovery.continueArchive"],
  ],
  [
    "on in Barman's archive, which its plugin refuses",
    { ...OF_BARMAN, bootstrap: { recovery: CONTINUED } },
    ["PB044 bootstrap.recovery.continueArchive"],
  ],
  [
    "the same without the check",
    {
      ...OF_BARMAN,
      metadata: { annotations: { "cnpg.io/skipEmptyWalArchiveCheck": "enabled" } },
      bootstrap: { recovery: CONTINUED },
    },
    [],
  ],
  ["a directory of a container", { repositories: { repo1: NAS, repo2: R2 } }, ["PB044 repositories.repo1.at.path"]],
  ["a claim", { repositories: { repo1: LOCAL, repo2: R2 } }, []],
  [
    "a passphrase for objects of Dalibo's plugin that have no field for it",
    {
      engine: "pgbackrest",
      stanzaKind: "Repository",
      repositories: { repo1: BUCKET, repo2: R2 },
      schedules: { full: { cron: "0 3 * * *" } },
    },
    ["PB045 repositories.repo1.at", "PB045 repositories.repo2.at"],
  ],
  [
    "Barman by count",
    {
      engine: "barman-cloud",
      repositories: { repo1: { ...BUCKET, at: { ...BUCKET.at, encrypted: false } } },
      schedules: { full: { cron: "0 3 * * *" } },
      drills: undefined,
    },
    ["PB078 repositories.repo1.at", "PB003 repositories", "PB042 drills", "PB044 repositories.repo1.keepFullCount"],
  ],
  [
    "a jitter",
    { schedules: { full: { cron: "0 3 * * 0", jitterSeconds: 60, deadlineSeconds: 3600 } } },
    ["PB044 schedules.full.jitterSeconds", "PB044 schedules.full.deadlineSeconds"],
  ],
  ["two workers", { processMax: 2 }, []],
  ["no worker", { processMax: 0 }, ["PB014 processMax"]],
  [
    "workers of another engine",
    { engine: "pgbackrest", processMax: 2, schedules: { full: { cron: "0 3 * * *" } } },
    ["PB044 processMax"],
  ],
  [
    "a suspended schedule",
    { schedules: { full: { cron: "0 3 * * 0", suspend: true } } },
    ["PB092 schedules.full.suspend"],
  ],
  ["a limit of memory below the usual request", { sidecar: { memoryLimit: "128Mi" } }, []],
  [
    "limits below what is requested",
    { sidecar: { cpu: "0.5", cpuLimit: "200m", memory: "1Gi", memoryLimit: "1000M" } },
    ["PB014 sidecar.cpuLimit", "PB014 sidecar.memoryLimit"],
  ],
  ["a limit of processors below the usual request", { sidecar: { cpuLimit: "50m" } }, ["PB014 sidecar.cpuLimit"]],
  [
    "a hibernated cluster",
    { metadata: { annotations: { "cnpg.io/hibernation": "on" } } },
    ["PB092 metadata.annotations"],
  ],
  [
    "a cold snapshot of the only instance",
    { instances: 1, snapshots: { ...COLD, acceptDowntime: false } },
    ["PB115 snapshots.online"],
  ],
  ["the same, accepted", { instances: 1, snapshots: { ...COLD, acceptDowntime: true } }, ["PB093 snapshots.online"]],
  ["a cold snapshot of a standby", { snapshots: COLD }, []],
  ["a cold snapshot of the primary", { backupTarget: "primary", snapshots: COLD }, ["PB115 snapshots.online"]],
  [
    "a cold snapshot of the primary by its schedule",
    {
      ...ALONE,
      schedules: { full: { cron: "0 3 * * *", target: "primary" } },
      snapshots: { online: false, keepDays: 7 },
    },
    ["PB095 engine", "PB115 snapshots.online"],
  ],
  ["an invalid schedule of snapshots", { snapshots: { cron: "0 0 5 * * *", keepDays: 7 } }, ["PB011 snapshots.cron"]],
  ["snapshots that nobody removes", { snapshots: { cron: "0 5 * * *" } }, ["PB120 snapshots"]],
  ["the same, meant", { snapshots: { cron: "0 5 * * *" }, silence: { PB120: "the storage removes them" } }, []],
  ["snapshots alone that nobody removes", ALONE, ["PB095 engine", "PB120 snapshots"]],
  [
    "hot snapshots alone of a volume for WAL",
    { ...SNAPPED, spec: { walStorage: { size: "5Gi" } } },
    ["PB095 engine", "PB115 snapshots.online"],
  ],
  [
    "hot snapshots alone of a tablespace, by `spec`",
    { ...SNAPPED, spec: { tablespaces: [{ name: "big", storage: { size: "1Gi" } }] } },
    ["PB095 engine", "PB115 snapshots.online"],
  ],
  [
    "cold snapshots alone of several volumes",
    {
      ...SNAPPED,
      spec: { walStorage: { size: "5Gi" }, tablespaces: [{ name: "big", storage: { size: "1Gi" } }] },
      snapshots: COLD_ALONE,
    },
    ["PB095 engine"],
  ],
  [
    "hot snapshots of several volumes with an archiver of others",
    {
      ...SNAPPED,
      spec: { walStorage: { size: "5Gi" }, plugins: [{ name: "other", isWALArchiver: true }] },
    },
    ["PB095 engine"],
  ],
  ["hot snapshots alone of one volume", SNAPPED, ["PB095 engine"]],
  [
    "hot snapshots of several volumes beside an archiver",
    { spec: { walStorage: { size: "5Gi" } }, snapshots: { cron: "0 5 * * *", keepDays: 7 } },
    [],
  ],
  ["a retention of nothing", { snapshots: { keepCount: 3 } }, ["PB120 snapshots.keepCount"]],
  [
    "a retention that keeps nothing",
    { snapshots: { cron: "0 5 * * *", keepDays: 0, keepCount: 1.5 } },
    ["PB005 snapshots.keepDays", "PB005 snapshots.keepCount"],
  ],
  [
    "a name that fills the labels of snapshots",
    { clusterName: "o".repeat(39), snapshots: { cron: "0 5 * * *", keepDays: 7 } },
    [],
  ],
  [
    "a name that is too long for them",
    { clusterName: "o".repeat(40), snapshots: { cron: "0 5 * * *", keepDays: 7 } },
    ["PB110 clusterName"],
  ],
  [
    "to the end of a snapshot",
    { bootstrap: { recovery: { ...RECOVERY, snapshot: { storage: "s" }, target: { immediate: true } } } },
    [],
  ],
  [
    "from a snapshot and a backup",
    {
      bootstrap: {
        recovery: { ...RECOVERY, snapshot: { storage: "s" }, target: { immediate: true, backup: "20261120-064059F" } },
      },
    },
    ["PB114 bootstrap.recovery.target.backup"],
  ],
  [
    "from a snapshot of WAL without a volume for it",
    { bootstrap: { recovery: { ...RECOVERY, snapshot: { storage: "s", walStorage: "s-wal" } } } },
    ["PB114 bootstrap.recovery.snapshot.walStorage"],
  ],
  [
    "from snapshots of several volumes without WAL",
    {
      bootstrap: {
        recovery: { stanza: "o", repositories: {}, snapshot: { storage: "s", tablespaces: { big: "s-t" } } },
      },
    },
    ["PB095 bootstrap.recovery.snapshot"],
  ],
  [
    "from a snapshot of one volume without WAL",
    { bootstrap: { recovery: { stanza: "o", repositories: {}, snapshot: { storage: "s" } } } },
    [],
  ],
  [
    "from snapshots of several volumes with WAL",
    {
      spec: { walStorage: { size: "5Gi" } },
      bootstrap: { recovery: { ...RECOVERY, snapshot: { storage: "s", walStorage: "s-wal" } } },
    },
    [],
  ],
  [
    "from a snapshot with WAL by Dalibo's plugin",
    { bootstrap: { recovery: { ...RECOVERY, engine: "pgbackrest", snapshot: { storage: "s" } } } },
    ["PB044 bootstrap.recovery.snapshot"],
  ],
];

describe("a cluster", () => {
  test.each(CASES)("%s", (_what, over, expected) => {
    expect(codes(over)).toEqual(expected);
  });
});

test("an existing Cluster of several volumes may have an archiver of its own", () => {
  const over = { ...SNAPPED, walStorage: { sizeGiB: 0 }, storageGiB: undefined, operatorVersion: "1.30.0" };
  expect(codes(over, true)).toEqual(["PB095 engine"]);
});

test("snapshots alone restore no point in time between them", () => {
  expect(codes({ ...ALONE, snapshots: { cron: "0 5 * * *", keepDays: 7 } })).toEqual([
    "PB095 engine",
    "PB115 snapshots.cron",
  ]);
});

test("findings of clusters alone can be silenced with a reason, and an unused reason is reported", () => {
  expect(
    codes({
      ...ALONE,
      silence: { PB095: "a copy of production, made again each night", PB120: "pruned by the storage" },
    }),
  ).toEqual([]);
  expect(codes({ silence: { PB095: "a copy" } })).toEqual(["PB025 silence.PB095"]);
});

test("attaching to a running cluster requires an operator that restarts its primary in place", () => {
  const codesOf = (operatorVersion: string): string[] => codes({ operatorVersion, storageGiB: undefined }, true);
  for (const old of ["1.29.1", "v1.29.1", "1.29.0-rc1", "1.28"])
    expect(codesOf(old), old).toEqual(["PB112 operatorVersion"]);
  for (const good of ["1.29.2", "1.30.0", "v1.30.0", "1.31.0-rc1"]) expect(codesOf(good), good).toEqual([]);
});

test("a version of the operator that is too old or cannot be read is refused, also for a new cluster", () => {
  for (const old of ["1.27.4", "v1.27", "1.9.9", "latest", "", "1.x", "main"])
    for (const attached of [false, true])
      expect(codes({ operatorVersion: old, ...(attached ? { storageGiB: undefined } : {}) }, attached), old).toEqual([
        "PB112 operatorVersion",
      ]);
  for (const good of ["1.28", "v1.28.0", "1.29.1"]) expect(codes({ operatorVersion: good }), good).toEqual([]);
});

test("the operator's own archiver is replaced by the runtime alone", () => {
  const replaced = { storageGiB: undefined, replaceBarmanObjectStore: true };
  expect(codes(replaced, true)).toEqual([]);
  expect(codes({ ...replaced, engine: "barman-cloud", repositories: { repo1: BUCKET } }, true)).toContain(
    "PB044 replaceBarmanObjectStore",
  );
});

test("a plugin with a name that becomes options of pgBackRest, or with no replica", () => {
  expect(checkPlugin({ serviceName: "pgbackrest", replicas: 0 }).map(({ code, path }) => `${code} ${path}`)).toEqual([
    "PB052 serviceName",
    "PB110 replicas",
  ]);
  expect(checkPlugin({ serviceName: "Backups", replicas: 2 }).map(({ code }) => code)).toEqual(["PB110"]);
  const plugin = { serviceName: "backups", replicas: 2 };
  const own = { ...plugin, sidecarImage: "a", exporterImage: "b", followRuntime: true };
  expect(checkPlugin(own).map(({ path }) => path)).toEqual(["sidecarImage", "exporterImage"]);
  expect(checkPlugin({ ...own, replicas: 1, isOwn: false }).map(({ path }) => path)).toEqual(["followRuntime"]);
});

test("a second replica of Dalibo's plugin, which would never be ready", () => {
  const codesOf = (replicas: number): string[] =>
    checkPlugin({ serviceName: "backups", replicas, isOwn: false }).map(({ code, path }) => `${code} ${path}`);
  expect(codesOf(2)).toEqual(["PB044 replicas"]);
  expect(codesOf(1)).toEqual([]);
});

test("each major version has one image by its digest, and its tag names the version", () => {
  expect(POSTGRES_IMAGES.map(({ image, major }) => [major, majorOf(image)])).toEqual(
    [18, 17, 16, 15, 14].map((major) => [major, major]),
  );
  for (const { image, version } of POSTGRES_IMAGES)
    expect(image).toMatch(new RegExp(`:${version}-\\d{12}-standard-trixie@sha256:[0-9a-f]{64}$`));
  expect([
    majorOf("pg:17"),
    majorOf("host:5000/pg"),
    majorOf("pg:latest"),
    majorOf("host:5000/pg:16.3@sha256:ab"),
  ]).toEqual([17, null, null, 16]);
});

test("a restore into its own archive hears of continueArchive only where the engine takes it", () => {
  const hintOf = (over: Partial<DeclaredCluster>, repository: RepositorySettings): string => {
    const recovery = { stanza: "orders", repositories: { repo1: repository } };
    const findings = checkClusterPlan(resolved({ ...over, bootstrap: { recovery } }), false);
    return findings.find(({ code }) => code === "PB114")?.hint ?? "";
  };
  expect(hintOf({}, R2)).toContain("set continueArchive only if");
  const barman = hintOf(OF_BARMAN, UNENCRYPTED);
  expect(barman).toContain("choose another path or stanza");
  expect(barman).not.toContain("continueArchive");
});

test("an objective that only streaming meets is missed by a replica cluster, which has declared it", () => {
  const over = { objectives: { rpoSeconds: 60 }, streaming: {}, bootstrap: { recovery: RECOVERY }, replica: {} };
  const missed = checkClusterPlan(resolved(over), false).find(({ code }) => code === "PB039");
  expect(missed?.path).toBe("objectives.rpoSeconds");
  expect(missed?.hint).not.toContain("streaming");
});

test("commits of a cluster that wait name repositories, standbys, outage and cost", () => {
  const text = (streaming: DeclaredCluster["streaming"], attached = false): string =>
    checkClusterPlan(resolved({ streaming }), attached).find(({ code }) => code === "PB151")?.message ?? "";
  expect(text({ synchronous: "all", standbys: 1 })).toMatch(
    /until repo1 and repo2 hold it: postgresql\.synchronous of the Cluster requires pgbackstop and 1 standby\(s\); while they do not answer, or the primary's sidecar is down, every commit waits; repo1: /,
  );
  expect(text({ synchronous: "any" }, true)).toContain("or is replaced with takeOverPlugins");
});
