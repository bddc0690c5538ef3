/**
 * Resolves a CloudNativePG cluster apart from its backups: all defaults are filled in here. Pure. Resolving never
 * throws; rules/cluster/definition.ts checks the values.
 */
import { engineOf, findEngine } from "../engines/engines";
import type {
  BootstrapSettings,
  ClusterDrillSettings,
  ClusterScheduleSettings,
  DeclaredCluster,
  KeyRefSettings,
  PodPlacement,
  PoolerSettings,
  ReplicaSettings,
  ResourcesSettings,
  SecretKeysSettings,
  SnapshotSettings,
} from "./declaredCluster";
import { isReplica, likeOf, type SaidTwice } from "./specFields";
import { findPostgresImage, majorOf, NODE_IMAGE } from "./images";
import { DEFAULTS } from "../model/defaults";
import { fields, merged, readOr, readers } from "../model/deferred";
import { valueAt } from "../model/anyValue";
import type { ClusterDatabasePlan, StaleCheckPlan } from "../model/plan";

/** Default major version. Changing it is a breaking change. */
export const DEFAULT_POSTGRES_VERSION = 18;
/**
 * Enough for a backup of any size with one worker, also of a primary that streams under constant writes: 284 MiB of
 * proportional memory beside other processes of Node, alone up to 330 (test/kubernetes/memory.test.ts). The rest is
 * page cache for its writes.
 */
const SIDECAR_MEMORY_MIB = 448;
/** Measured with 2 GB: 172 MiB with one worker, 262 with two (test/kubernetes/memory.test.ts). */
const WORKER_MEMORY_MIB = 160;
/** One worker leaves the processors to PostgreSQL, which shares the node. */
const PROCESS_MAX = 1;
const SIDECAR_CPU = "100m";
const FIRST_BACKUP_MINUTES = 60;

export interface PoolerPlan {
  readonly name: string;
  readonly type: string;
  readonly instances: number;
  readonly poolMode: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Merged over the Pooler's. */
  readonly spec: object;
}

export interface MonitorPlan {
  readonly podMonitor: boolean;
  readonly prometheusRule: boolean;
  /** Undefined if the argument is not given. */
  readonly tls: boolean | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly alertLabels: Readonly<Record<string, string>>;
  readonly runbookUrl: string | undefined;
  /** Undefined if no sidecar serves the report. */
  readonly reportPassword: KeyRefSettings | undefined;
}

export interface ClusterDefinition {
  readonly postgresVersion: number;
  /** Undefined if a catalog decides. */
  readonly image: string | undefined;
  /** True if neither an image nor a catalog is declared. */
  readonly isDefaultImage: boolean;
  readonly storage: { readonly sizeGiB: number; readonly storageClass: string | undefined } | undefined;
  readonly parameters: Readonly<Record<string, string>>;
  readonly bootstrap: BootstrapSettings;
  /** Follows the cluster it was restored from; `enabled: false` has promoted it. */
  readonly replica: (ReplicaSettings & { readonly enabled: boolean }) | undefined;
  readonly poolers: readonly PoolerPlan[];
  readonly monitors: MonitorPlan;
  readonly sidecar: Required<Omit<ResourcesSettings, "cpuLimit">> & {
    readonly image: string;
    readonly cpuLimit: string | undefined;
  };
  /** As declared, without defaults. */
  readonly sidecarResources: ResourcesSettings;
  readonly processMax: number;
  /** The operator makes a Secret of `postgres`. */
  readonly superuserAccess: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly snapshots: SnapshotSettings | undefined;
  /** True if `spec.backup.target` is asked for: by the argument, or by an engine that can only use the primary. */
  readonly asksBackupTarget: boolean;
  readonly drills: Readonly<Record<string, ClusterDrillSettings>>;
  /** A cluster-scoped object restricts what the drills' account may create. */
  readonly drillPolicy: boolean;
  /** Targets of notifications about scheduled Jobs. */
  readonly notifySecret: string | undefined;
  /** How long an update waits for full backups in all repositories; 0 does not wait. */
  readonly firstBackupTimeoutMinutes: number;
  readonly podPlacement: PodPlacement | undefined;
  /** For an attachment: a Job removes the operator's own archiver. */
  readonly replacesBarmanObjectStore: boolean;
  readonly staleCheck: StaleCheckPlan | undefined;
  readonly stanzaKind: string;
  /** Merged over the Cluster's. */
  readonly spec: object;
  /** What a copy needs to start. */
  readonly like: object;
  /** Fields of `spec` that arguments say, too. */
  readonly saidTwice: readonly SaidTwice[];
}

export interface ClusterPlan {
  readonly database: ClusterDatabasePlan;
  readonly definition: ClusterDefinition;
  readonly schedules: ScheduleOptions;
  /** The cluster whose backups it is restored from. */
  readonly source: SourcePlan | null;
}

export interface SourcePlan {
  readonly database: ClusterDatabasePlan;
  readonly from: readonly string[];
  /** The time that shows its repository as it was. */
  readonly repositoryTargetTime?: string | undefined;
}

/** The major version that the cluster gets; null if an image without one decides. */
export function majorOfCluster({ image, postgresVersion }: ClusterDefinition): number | null {
  return image === undefined ? postgresVersion : majorOf(image);
}

/** True if pods run the runtime, for backups or for the restore at bootstrap. */
export function runsInPods({ database, source }: Pick<ClusterPlan, "database" | "source">): boolean {
  return engineOf(database.engine).own || (source !== null && engineOf(source.database.engine).own);
}

/**
 * True for a Cluster that sleeps: it has no pod that could take a backup (CloudNativePG 1.30, "Declarative
 * hibernation").
 */
export function isHibernated(metadata: Pick<PodPlacement, "annotations">): boolean {
  return readOr(() => metadata.annotations?.[HIBERNATION] === "on", false);
}

const HIBERNATION = "cnpg.io/hibernation";

/** Fills in the defaults of a Cluster's fields. */
export function resolveDefinition(
  database: ClusterDatabasePlan,
  settings: DeclaredCluster,
  saidTwice: readonly SaidTwice[],
): ClusterDefinition {
  const postgresVersion = (): number => database.postgresVersion ?? DEFAULT_POSTGRES_VERSION;
  const processMax = (): number => settings.processMax ?? PROCESS_MAX;
  const { monitoring = {}, replica, sidecar = {}, spec = {} } = settings;
  const hasCatalog = (): boolean => valueAt(spec, "imageCatalogRef") !== undefined;
  return fields({
    postgresVersion,
    isDefaultImage: () => readOr(() => settings.image === undefined, false) && !hasCatalog(),
    image: () => settings.image ?? (hasCatalog() ? undefined : findPostgresImage(postgresVersion())?.image),
    storage: () => resolveStorage(database, settings),
    parameters: () => settings.parameters ?? {},
    bootstrap: () => settings.bootstrap ?? {},
    replica: () =>
      replica === undefined ? undefined : merged(replica, fields({ enabled: () => replica.enabled ?? true })),
    poolers: () => Object.entries(settings.poolers ?? {}).map(([name, pooler]) => resolvePooler(name, pooler)),
    monitors: () => resolveMonitors(monitoring),
    ...readers(settings, "snapshots", "notifySecret", "podPlacement"),
    sidecar: () =>
      fields({
        image: () => NODE_IMAGE,
        memory: () => sidecar.memory ?? sidecar.memoryLimit ?? sidecarMemory(processMax()),
        memoryLimit: () => sidecar.memoryLimit ?? sidecar.memory ?? sidecarMemory(processMax()),
        cpu: () => sidecar.cpu ?? SIDECAR_CPU,
        cpuLimit: () => sidecar.cpuLimit,
      }),
    sidecarResources: () => sidecar,
    processMax,
    superuserAccess: () => valueAt(spec, "enableSuperuserAccess") === true,
    labels: () => settings.metadata?.labels ?? {},
    annotations: () => settings.metadata?.annotations ?? {},
    asksBackupTarget: () =>
      readOr(() => settings.backupTarget !== undefined, true) || findEngine(database.engine)?.fromStandby === false,
    drills: () => settings.drills ?? {},
    drillPolicy: () => settings.drillPolicy ?? true,
    firstBackupTimeoutMinutes: () =>
      settings.firstBackupTimeoutMinutes ?? (takesFirst(database, settings) ? FIRST_BACKUP_MINUTES : 0),
    replacesBarmanObjectStore: () => settings.replaceBarmanObjectStore ?? false,
    staleCheck: () => staleCheckOf(settings),
    stanzaKind: () => settings.stanzaKind ?? "Stanza",
    spec: () => spec,
    like: () => likeOf(settings),
    saidTwice: () => saidTwice,
  });
}

function resolveStorage(database: ClusterDatabasePlan, settings: DeclaredCluster): ClusterDefinition["storage"] {
  if (readOr(() => database.storageGiB === undefined, false)) return undefined;
  return fields({
    sizeGiB: () => database.storageGiB as number,
    storageClass: () => settings.storageClass,
  });
}

/**
 * True if something takes the first backup immediately, and a Job can tell: a schedule, or the primary's sidecar. A
 * replica cluster has no primary.
 */
function takesFirst(database: ClusterDatabasePlan, settings: DeclaredCluster): boolean {
  const { engine, repositories } = database;
  if (!engineOf(engine).own || repositories.length === 0 || isHibernated(settings.metadata ?? {})) return false;
  // What comes later makes no replica, unless it is a part of `replica`.
  const isNamed = settings.replica !== undefined || "replica" in (settings.spec ?? {});
  if (readOr(() => isReplica(settings, () => database.cluster), isNamed)) return false;
  return takesFirstBackup({ database, schedules: scheduleOptions(database, settings.schedules ?? {}) });
}

/** True if a schedule asks for a backup before its first run. */
export function takesFirstBackup(plan: Pick<ClusterPlan, "database" | "schedules">): boolean {
  return plan.database.schedules.some(({ name }) => isImmediate(plan, name));
}

/** Without a first full backup the archive restores nothing until the schedule's first run. */
export function isImmediate(
  { database, schedules }: Pick<ClusterPlan, "database" | "schedules">,
  name: string,
): boolean {
  return schedules[name]?.immediate ?? name === database.schedules.find(({ type }) => type === "full")?.name;
}

/** A repository's own schedule has the settings of the common one of its kind, but begins at its own time. */
export function scheduleOptions(
  { schedules }: Pick<ClusterDatabasePlan, "schedules">,
  common: ScheduleOptions,
): ScheduleOptions {
  const own = schedules
    .filter(({ name, type }) => name !== type)
    .map(({ name, type }) => [name, merged(common[type] ?? {}, { immediate: undefined })] as const);
  return { ...common, ...Object.fromEntries(own) };
}

function sidecarMemory(processMax: number): string {
  return `${SIDECAR_MEMORY_MIB + WORKER_MEMORY_MIB * (processMax - 1)}Mi`;
}

/** Settings of schedules beyond their times, by schedule name. */
export type ScheduleOptions = Readonly<Partial<Record<string, ClusterScheduleSettings>>>;
export type RepositorySecrets = Readonly<Partial<Record<string, SecretKeysSettings>>>;

function resolveMonitors(monitoring: NonNullable<DeclaredCluster["monitoring"]>): MonitorPlan {
  return fields({
    podMonitor: () => monitoring.podMonitor ?? false,
    prometheusRule: () => monitoring.prometheusRule ?? false,
    tls: () => monitoring.tls,
    labels: () => monitoring.labels ?? {},
    alertLabels: () => monitoring.alertLabels ?? {},
    ...readers(monitoring, "runbookUrl", "reportPassword"),
  });
}

function resolvePooler(name: string, settings: PoolerSettings): PoolerPlan {
  return fields({
    name: () => name,
    type: () => settings.type ?? "rw",
    instances: () => settings.instances ?? 1,
    poolMode: () => settings.poolMode ?? "session",
    parameters: () => settings.parameters ?? {},
    labels: () => settings.metadata?.labels ?? {},
    annotations: () => settings.metadata?.annotations ?? {},
    spec: () => settings.spec ?? {},
  });
}

export function staleCheckOf({ staleCheck }: Pick<DeclaredCluster, "staleCheck">): StaleCheckPlan | undefined {
  if (staleCheck === undefined) return undefined;
  return fields({
    cron: () => staleCheck.cron ?? DEFAULTS.maintenance.stale.cron,
    timeZone: () => staleCheck.timeZone ?? DEFAULTS.timeZone,
  });
}
