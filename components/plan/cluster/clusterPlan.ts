/**
 * Resolves a CloudNativePG cluster apart from its backups: all defaults are filled in here. Pure. Resolving never
 * throws; rules/cluster/definition.ts checks the values.
 */
import { engineOf, findEngine } from "../engines/engines";
import type {
  AffinitySettings,
  BootstrapSettings,
  ClusterDrillSettings,
  ClusterScheduleSettings,
  DeclaredCluster,
  ExtensionSettings,
  KeyRefSettings,
  PodPlacement,
  PoolerSettings,
  ReplicaSettings,
  ResourcesSettings,
  RoleSettings,
  SecretKeysSettings,
  SnapshotSettings,
  StorageSettings,
  TablespaceSettings,
} from "./declaredCluster";
import { type Contradiction, isReplica } from "./overrides";
import { findPostgresImage, majorOf, NODE_IMAGE } from "./images";
import type { SettledItems } from "./overriddenItems";
import { overSpec } from "./specArgument";
import type { Finding } from "../findings/findings";
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
  /** Merged over the object. */
  readonly overrides: object;
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

/** The keys are their names. */
interface Items {
  readonly tablespaces: Readonly<Record<string, TablespaceSettings>>;
  readonly extensions: Readonly<Record<string, ExtensionSettings>>;
  readonly roles: Readonly<Record<string, RoleSettings>>;
}

export interface ClusterDefinition extends Items {
  readonly postgresVersion: number;
  /** Undefined if a catalog decides. */
  readonly image: string | undefined;
  /** True if neither an image nor a catalog is declared. */
  readonly isDefaultImage: boolean;
  readonly imageCatalog: { readonly name: string; readonly kind: string } | undefined;
  readonly storage: StorageSettings | undefined;
  readonly walStorage: StorageSettings | undefined;
  readonly parameters: Readonly<Record<string, string>>;
  readonly sharedPreloadLibraries: readonly string[];
  readonly bootstrap: BootstrapSettings;
  /** Follows the cluster it was restored from; `enabled: false` has promoted it. */
  readonly replica: (ReplicaSettings & { readonly enabled: boolean }) | undefined;
  readonly poolers: readonly PoolerPlan[];
  readonly monitors: MonitorPlan;
  readonly customQueries: readonly KeyRefSettings[];
  readonly disableDefaultQueries: boolean;
  readonly resources: ResourcesSettings;
  readonly affinity: AffinitySettings | undefined;
  readonly primaryUpdateStrategy: string | undefined;
  readonly primaryUpdateMethod: string | undefined;
  readonly sidecar: Required<Omit<ResourcesSettings, "cpuLimit">> & {
    readonly image: string;
    readonly cpuLimit: string | undefined;
  };
  /** As declared, without defaults. */
  readonly sidecarResources: ResourcesSettings;
  readonly processMax: number;
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
  readonly overrides: NonNullable<DeclaredCluster["overrides"]>;
  /** Tablespaces, extensions and roles with those of `spec` and overrides. */
  readonly settled: Items;
  /** Overrides that arguments contradict. */
  readonly contradictions: readonly Contradiction[];
  /** Overrides of other types than the objects have; then there are no others, and nothing else is judged. */
  readonly wrongOverrides: readonly Finding[];
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
export function isHibernated(settings: Pick<DeclaredCluster, "annotations" | "overrides">): boolean {
  const isOn = (...path: readonly string[]): boolean =>
    readOr(() => valueAt(settings, ...path, HIBERNATION) === "on", false);
  return isOn("annotations") || isOn("overrides", "cluster", "metadata", "annotations");
}

const HIBERNATION = "cnpg.io/hibernation";

/** Fills in the defaults of a Cluster's fields. */
export function resolveDefinition(
  database: ClusterDatabasePlan,
  settings: DeclaredCluster,
  items: SettledItems,
  judged: Pick<ClusterDefinition, "contradictions" | "wrongOverrides">,
): ClusterDefinition {
  const postgresVersion = (): number => database.postgresVersion ?? DEFAULT_POSTGRES_VERSION;
  const processMax = (): number => settings.processMax ?? PROCESS_MAX;
  const { monitoring = {}, replica, sidecar = {} } = settings;
  return fields({
    postgresVersion,
    isDefaultImage: () => readOr(() => settings.image === undefined, false) && settings.imageCatalog === undefined,
    image: () =>
      settings.image ?? (settings.imageCatalog === undefined ? findPostgresImage(postgresVersion())?.image : undefined),
    imageCatalog: () => resolveCatalog(settings.imageCatalog),
    storage: () => resolveStorage(database, settings),
    tablespaces: () => settings.tablespaces ?? {},
    parameters: () => settings.parameters ?? {},
    sharedPreloadLibraries: () => settings.sharedPreloadLibraries ?? [],
    extensions: () => settings.extensions ?? {},
    roles: () => settings.roles ?? {},
    bootstrap: () => settings.bootstrap ?? {},
    replica: () =>
      replica === undefined ? undefined : merged(replica, fields({ enabled: () => replica.enabled ?? true })),
    poolers: () =>
      Object.entries(settings.poolers ?? {}).map(([name, pooler]) =>
        resolvePooler(name, pooler, () => settings.overrides?.poolers?.[name]),
      ),
    monitors: () => resolveMonitors(monitoring),
    customQueries: () => monitoring.customQueries ?? [],
    disableDefaultQueries: () => monitoring.disableDefaultQueries ?? false,
    resources: () => settings.resources ?? {},
    ...readers(settings, "affinity", "primaryUpdateStrategy", "primaryUpdateMethod", "walStorage"),
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
    superuserAccess: () => settings.superuserAccess ?? false,
    labels: () => settings.labels ?? {},
    annotations: () => settings.annotations ?? {},
    asksBackupTarget: () =>
      readOr(() => settings.backupTarget !== undefined, true) || findEngine(database.engine)?.fromStandby === false,
    drills: () => settings.drills ?? {},
    drillPolicy: () => settings.drillPolicy ?? true,
    firstBackupTimeoutMinutes: () =>
      settings.firstBackupTimeoutMinutes ?? (takesFirst(database, settings) ? FIRST_BACKUP_MINUTES : 0),
    replacesBarmanObjectStore: () => settings.replaceBarmanObjectStore ?? false,
    staleCheck: () => staleCheckOf(settings),
    stanzaKind: () => settings.stanzaKind ?? "Stanza",
    overrides: () => settings.overrides ?? {},
    settled: () =>
      fields<Items>({
        tablespaces: () => items.tablespaces ?? {},
        extensions: () => items.extensions ?? {},
        roles: () => items.roles ?? {},
      }),
    ...readers(judged, "contradictions", "wrongOverrides"),
  });
}

function resolveCatalog(catalog: DeclaredCluster["imageCatalog"]): ClusterDefinition["imageCatalog"] {
  if (catalog === undefined) return undefined;
  return fields({ name: () => catalog.name, kind: () => catalog.kind ?? "ClusterImageCatalog" });
}

function resolveStorage(database: ClusterDatabasePlan, settings: DeclaredCluster): StorageSettings | undefined {
  if (readOr(() => database.storageGiB === undefined, false)) return undefined;
  return fields<StorageSettings>({
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
  if (!engineOf(engine).own || repositories.length === 0 || isHibernated(settings)) return false;
  // What comes later makes no replica, unless it is a part of `replica`.
  const spec = (): object => valueAt(settings, "overrides", "cluster", "spec") ?? {};
  const isNamed = settings.replica !== undefined || readOr(() => "replica" in spec(), false);
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

function resolvePooler(name: string, settings: PoolerSettings, overrides: () => object | undefined): PoolerPlan {
  return fields({
    name: () => name,
    type: () => settings.type ?? "rw",
    instances: () => settings.instances ?? 1,
    poolMode: () => settings.poolMode ?? "session",
    parameters: () => settings.parameters ?? {},
    overrides: () => overSpec(settings.spec, overrides() ?? {}),
  });
}

export function staleCheckOf({ staleCheck }: Pick<DeclaredCluster, "staleCheck">): StaleCheckPlan | undefined {
  if (staleCheck === undefined) return undefined;
  return fields({
    cron: () => staleCheck.cron ?? DEFAULTS.maintenance.stale.cron,
    timeZone: () => staleCheck.timeZone ?? DEFAULTS.timeZone,
  });
}
