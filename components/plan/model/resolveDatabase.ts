/**
 * Resolves databases' plain arguments to complete plans: all defaults are filled in here. Pure.
 *
 * Unknown values come as markers of unknown.ts and pass through. Resolving never throws; rules/ check the values.
 */
import type { DeclaredCluster } from "../cluster/declaredCluster";
import { engineOf } from "../engines/engines";
import { DEFAULTS, defaultLevel, findRepoIndex, isUnitDirectory } from "./defaults";
import { given } from "../../../runtime/base/given";
import { attempt, DeferredRead, fields, givenFields, items, merged, view, readers } from "./deferred";
import { type HostDefaults, withDefaults } from "./hostDefaults";
import { resolveDrill, resolveDrillChecks } from "../schedule/declaredDrills";
import { withDefaultBackups } from "../schedule/defaultBackups";
import { archiveTimeoutFor, streamedTimeout } from "../schedule/objectives";
import type {
  AcknowledgePlan,
  ClusterDatabasePlan,
  ContainerPlan,
  DatabasePlan,
  Directories,
  DumpPlan,
  HostPlan,
  Sizing,
  PriorityPlan,
  SynchronousPlan,
  TaskPlan,
} from "./plan";
import { ENV_FILE, KEEP_CLASSES, type KeepPlan, OPTIONS_FILE } from "../repositories/repositoryType";
import {
  kindOf,
  type RepositoryPlan,
  SECRET_FILE_OPTIONS,
  type TargetSettings,
  typeOf,
} from "../repositories/repositoryTypes";
import { UNKNOWN_TARGET } from "../repositories/unknownType";
import { BACKUP_TYPES, type BackupType, ownScheduleName, type Schedule } from "../schedule/schedule";
import type {
  DatabaseSettings,
  DirectorySettings,
  HostSettings,
  MaintenanceSettings,
  NotifySettings,
  RepositorySettings,
  ScheduleSettings,
  SecretFilesSettings,
  SizingSettings,
} from "./databaseSettings";
import { DEFAULT_EVENTS, EVENTS, TARGET_TYPES } from "../../../runtime/notify/events";

/** `defaultNodePath` is this program's Node.js, for a local host. */
export function resolveHost(name: string, declared: HostSettings, defaultNodePath: string): HostPlan {
  const usual = withDefaultBackups(name, declared);
  const settings = usual?.settings ?? declared;
  const database = resolveDatabase(name, settings, () => settings.stanza ?? DEFAULTS.stanza, undefined);
  const directories = resolveDirectories(settings.directories ?? {}, engineOf(database.engine).stock);
  const taken = withDefaults(settings);
  const { drillsOnly, restoreOnly } = taken;
  // A restore that is kept needs the keys for PostgreSQL's own account, which fetches WAL.
  const lends = !restoreOnly || drillsOnly;
  const hasAgent = (): boolean =>
    settings.agent ?? (engineOf(database.engine).own && lends && isUnitDirectory(directories.units));
  // The agent serves these already; a file would count them twice.
  const isServed = "listen" in (settings.monitoring ?? {}) && settings.monitoring?.otlp === undefined;
  const tasks = (["expire", "verify", "heal", "metrics"] as const).filter((task) => task !== "metrics" || !isServed);
  // With stock, the runtime only reads. Stock expires its own backups, after each backup.
  const reads = (): boolean => engineOf(database.engine).stock && !restoreOnly && isUnitDirectory(directories.units);
  const own = fields<Omit<HostPlan, keyof DatabasePlan | keyof HostDefaults>>({
    dataDirectory: () => settings.dataDirectory ?? (settings.container === undefined ? "" : CONTAINER.dataDirectory),
    container: () => resolveContainer(settings.container),
    ...readers(settings, "socketDirectory", "databaseUser"),
    connections: () => namesOf(settings.connection),
    directories: () => directories,
    backupPriority: () => resolvePriority(settings.backupPriority ?? {}),
    maintenance: () =>
      resolveMaintenance(settings.maintenance ?? {}, () =>
        drillsOnly ? ["metrics"] : hasAgent() ? tasks : reads() ? ["verify", "metrics"] : [],
      ),
    notifies: () => settings.notify !== undefined,
    notices: () => resolveNotices(settings.notify ?? {}),
    metricsListen: () => settings.monitoring?.listen,
    servesReport: () => settings.monitoring?.servesReport ?? false,
    sendsMetrics: () => settings.monitoring?.otlp !== undefined,
    otlpFile: () => settings.monitoring?.otlp?.existingFile,
    notifyFile: () => settings.notify?.existingFile,
    agent: hasAgent,
    nodePath: () => settings.nodePath ?? defaultNodePath,
    postgres: () => {
      const { postgres } = settings;
      if (postgres === undefined) return undefined;
      return fields({ version: () => postgres.version, install: () => postgres.install ?? false });
    },
    firstBackup: () => settings.firstBackup ?? (DEFAULTS.firstBackup && !restoreOnly),
    snapshots: () => namesOf(settings.snapshots ?? {}),
  });
  return merged(
    merged(database, taken, usual === null ? {} : fields({ chosen: usual.chosen })),
    resolveStreaming(settings, database),
    // A drill measures the objectives, and nothing is archived.
    restoreOnly ? fields({ archiveTimeoutSeconds: () => settings.archiveTimeoutSeconds }) : {},
    merged({ kind: "host" as const }, own, settings.container === undefined ? {} : inContainer(settings)),
  );
}

/** As the official images have it, up to PostgreSQL 17. */
const CONTAINER = { dataDirectory: "/var/lib/postgresql/data", engine: "docker" } as const;

function resolveContainer(settings: HostSettings["container"]): ContainerPlan | undefined {
  if (settings === undefined) return undefined;
  return merged(
    fields({ engine: () => settings.engine ?? CONTAINER.engine }),
    givenFields({ ...readers(settings, "name", "compose", "service") }),
  );
}

/** The host has no account of PostgreSQL, and no program in the container archives. */
function inContainer(settings: HostSettings): Pick<HostPlan, "user" | "archive"> {
  return fields({
    user: () => settings.user ?? "root",
    archive: () => settings.archive ?? (settings.restoreOnly === true ? "command" : "stream"),
  });
}

/** Stanza and Cluster default to the component's name. */
export function resolveClusterDatabase(name: string, settings: DeclaredCluster): ClusterDatabasePlan {
  const cluster = (): string => settings.clusterName ?? name;
  const stanza = (): string => settings.stanza ?? cluster();
  const database = resolveDatabase(name, settings, stanza, DEFAULTS.clusterArchiveTimeoutSeconds);
  const own = fields<Omit<ClusterDatabasePlan, keyof DatabasePlan>>({
    ...readers(settings, "namespace", "postgresVersion", "storageGiB", "operatorVersion"),
    cluster,
    instances: () => settings.instances ?? DEFAULTS.instances,
    backupTarget: () => settings.backupTarget ?? DEFAULTS.backupTarget,
    serviceNames: () => settings.serviceNames ?? [],
  });
  return merged(database, resolveStreaming(settings, database), { kind: "cnpg" as const }, own);
}

/** @param engineTimeoutSeconds the environment's own `archive_timeout` */
function resolveDatabase(
  name: string,
  settings: DatabaseSettings,
  stanza: () => string,
  engineTimeoutSeconds: number | undefined,
): Omit<DatabasePlan, "kind"> {
  const repositories = Object.keys(settings.repositories)
    .map((repositoryName) => resolveRepository(repositoryName, settings.repositories))
    .sort((left, right) => left.key - right.key || (left.name < right.name ? -1 : 1));
  const { objectives = {} } = settings;
  return fields({
    name: () => name,
    stanza,
    engine: () => settings.engine ?? DEFAULTS.engine,
    engineVersion: () => settings.engineVersion,
    repositories: () => repositories,
    schedules: () => resolveSchedules(settings, repositories),
    acknowledge: () => resolveAcknowledge(settings.acknowledge),
    archiveTimeoutSeconds: () =>
      settings.archiveTimeoutSeconds ?? archiveTimeoutFor(objectives.rpoSeconds) ?? engineTimeoutSeconds,
    objectives: () =>
      merged(
        fields({
          ...readers(objectives, "rpoSeconds", "rtoMinutes", "pitrDays", "maxRepositoryGB"),
        }),
        givenFields({ pitrRtoMinutes: () => objectives.pitrRtoMinutes }),
      ),
    drills: () => Object.entries(settings.drills ?? {}).map(([drillName, drill]) => resolveDrill(drillName, drill)),
    drillChecks: () => resolveDrillChecks(settings.drillChecks ?? {}),
    dumps: () => resolveDumps(settings.dumps, repositories),
    sizing: () => resolveSizing(settings.sizing),
    silence: () => settings.silence ?? {},
    acknowledgeWeaker: () => settings.acknowledgeWeaker ?? {},
    options: () => settings.options ?? {},
  });
}

function resolveStreaming(
  settings: Pick<DeclaredCluster, "archiveTimeoutSeconds" | "streaming">,
  database: Pick<DatabasePlan, "archiveTimeoutSeconds">,
): Partial<Pick<DatabasePlan, "archiveTimeoutSeconds" | "streamIntervalSeconds" | "synchronous">> {
  const { streaming } = settings;
  if (streaming === undefined) return {};
  const synchronous = fields({ synchronous: () => resolveSynchronous(streaming) });
  return merged(
    fields({
      streamIntervalSeconds: () => streaming.intervalSeconds ?? DEFAULTS.streamIntervalSeconds,
      archiveTimeoutSeconds: () => settings.archiveTimeoutSeconds ?? streamedTimeout(database.archiveTimeoutSeconds),
    }),
    given(synchronous),
  );
}

/** Credentials named like options replace those (runtime/config/secretFiles.ts). */
function secretFilesOf(name: string, files: SecretFilesSettings): Record<string, string> {
  const options = { options: OPTIONS_FILE, env: ENV_FILE, ...SECRET_FILE_OPTIONS, passphrase: "cipher-pass" };
  const paths = Object.entries(options).map(([field, option]) => [
    `${name}-${option}`,
    () => files[field as keyof typeof options],
  ]);
  return givenFields<Record<string, string | undefined>>(Object.fromEntries(paths)) as Record<string, string>;
}

function targetOf(at: TargetSettings): TargetSettings {
  return kindOf(at) === "unknown" ? UNKNOWN_TARGET : at;
}

function resolveRepository(name: string, all: DatabaseSettings["repositories"]): RepositoryPlan {
  const settings = all[name] as RepositorySettings;
  const { secretFiles } = settings;
  const compressType = (): string => settings.compress?.type ?? DEFAULTS.compressType;
  const located = attempt(() => settings.at);
  const at = (): TargetSettings => targetOf(settings.at);
  const type = (): ReturnType<typeof typeOf> => typeOf({ kind: kindOf(settings.at) });
  const own = fields<Omit<RepositoryPlan, "azure" | "gcs" | "secretFiles" | "s3" | "sftp">>({
    key: () => findRepoIndex(name) ?? 0,
    name: () => name,
    kind: () => kindOf(settings.at),
    path: () => at().path ?? DEFAULTS.repositoryPath,
    requireMount: () => at().requireMount ?? false,
    site: () => type().site(at()),
    encrypted: () => at().encrypted || secretFiles?.passphrase !== undefined || secretFiles?.encrypted === true,
    writesSecrets: () => at().encrypted || type().bringsKeys(at()),
    readOnly: () => at().readOnly ?? false,
    ...readers(settings, "keepFullCount", "keepDays", "keepDiffCount", "limitRate"),
    keep: () => keepOf(settings.keep),
    compressType,
    compressLevel: () => settings.compress?.level ?? defaultLevel(compressType()),
    bundle: () => settings.bundle ?? type().bundles,
    options: () => settings.options ?? {},
    // Whether an unknown repository has bundles is unknown too.
    blockIncremental: () => kindOf(settings.at) !== "unknown" && (settings.blockIncremental ?? false),
  });
  return merged(
    own,
    givenFields({ secretFiles: () => (secretFiles === undefined ? undefined : secretFilesOf(name, secretFiles)) }),
    // A target that comes later may have any of them.
    located instanceof DeferredRead
      ? view({ azure: located.marker, gcs: located.marker, s3: located.marker, sftp: located.marker })
      : type().resolve(at()),
  );
}

function keepOf(keep: RepositorySettings["keep"]): KeepPlan | undefined {
  if (keep === undefined) return undefined;
  const counts = givenFields(readers(keep, ...KEEP_CLASSES));
  return merged(counts, fields({ zone: () => keep.zone ?? DEFAULTS.timeZone }));
}

/** Only clusters can suspend one. */
type Suspendable = ScheduleSettings & { readonly suspend?: boolean | undefined };

/** Schedules by kind: the common schedule, then those of single repositories, which the common one omits. */
function resolveSchedules(settings: DatabaseSettings, repositories: readonly RepositoryPlan[]): Schedule[] {
  return BACKUP_TYPES.flatMap((type): Schedule[] => {
    const own = repositories.flatMap(({ name }) => {
      const schedule = settings.repositories[name]?.schedules?.[type];
      return schedule === undefined ? [] : [{ name, schedule }];
    });
    const others = repositories.map(({ name }) => name).filter((name) => !own.some((each) => each.name === name));
    const common: Suspendable | undefined = settings.schedules?.[type];
    // A repository's own schedule has the other settings of the common one of its kind.
    const suspended = givenFields({ suspended: () => (common?.suspend === false ? undefined : common?.suspend) });
    const made = [
      ...(common === undefined ? [] : [resolveSchedule(type, type, common, () => common.repositories ?? others)]),
      ...own.map(({ name, schedule }) => resolveSchedule(ownScheduleName(type, name), type, schedule, () => [name])),
    ];
    return made.map((schedule) => merged(schedule, suspended));
  });
}

function resolveSchedule(
  name: string,
  type: BackupType,
  schedule: ScheduleSettings,
  repositories: () => readonly string[],
): Schedule {
  return fields({
    name: () => name,
    cron: () => schedule.cron,
    timeZone: () => schedule.timeZone ?? DEFAULTS.timeZone,
    type: () => type,
    repoKeys: () => repositories().map((each) => findRepoIndex(each) ?? 0),
    repositories,
    jitterSeconds: () => schedule.jitterSeconds ?? DEFAULTS.jitterSeconds,
    deadlineSeconds: () => schedule.deadlineSeconds ?? DEFAULTS.deadlineSeconds,
  });
}

function resolveDumps(
  dumps: DatabaseSettings["dumps"],
  repositories: DatabasePlan["repositories"],
): DumpPlan | undefined {
  if (dumps === undefined) return undefined;
  return fields({
    name: () => "dump",
    cron: () => dumps.cron,
    timeZone: () => dumps.timeZone ?? DEFAULTS.timeZone,
    jitterSeconds: () => dumps.jitterSeconds ?? DEFAULTS.jitterSeconds,
    deadlineSeconds: () => dumps.deadlineSeconds ?? DEFAULTS.deadlineSeconds,
    ...readers(dumps, "databases", "keepCount"),
    repositories: () => dumps.repositories ?? repositories.map(({ name }) => name),
    keepDays: () => dumps.keepDays ?? (dumps.keepCount === undefined ? DEFAULTS.dumpKeepDays : undefined),
  });
}

/**
 * By default tasks run only if systemd runs them: the user starts units that were written to another folder.
 * @param usual default of a task
 */
function resolveMaintenance(settings: MaintenanceSettings, usual: () => readonly TaskPlan["name"][]): TaskPlan[] {
  return items(["expire", "verify", "heal", "metrics", "stale"] as const, (name): TaskPlan[] => {
    const task = settings[name];
    if (!(task?.enabled ?? (task !== undefined || usual().includes(name)))) return [];
    const row = DEFAULTS.maintenance[name];
    const made: Omit<TaskPlan, "samplePercent"> = fields({
      name: () => name,
      cron: () => task?.cron ?? row.cron,
      timeZone: () => task?.timeZone ?? DEFAULTS.timeZone,
      jitterSeconds: () => task?.jitterSeconds ?? row.jitterSeconds,
      deadlineSeconds: () => task?.deadlineSeconds ?? row.deadlineSeconds,
    });
    if (name !== "verify") return [made];
    return [merged(made, fields({ samplePercent: () => task?.samplePercent ?? DEFAULTS.verifySamplePercent }))];
  });
}

/**
 * The content of a file on the host is unknown here: units report everything, and the verb notifies the targets that
 * want it.
 */
function resolveNotices({ existingFile, targets = [] }: NotifySettings): HostPlan["notices"] {
  const declared = targets.map(({ events, type, units = [] }) => {
    const usual = TARGET_TYPES.find((known) => known === type);
    return { events: events ?? (usual === undefined ? [] : DEFAULT_EVENTS[usual]), units };
  });
  return existingFile === undefined ? declared : [...declared, { events: EVENTS, units: [] }];
}

function resolveSynchronous(streaming: NonNullable<DeclaredCluster["streaming"]>): SynchronousPlan | undefined {
  const { intervalSeconds: _interval, ...policy } = Object.getOwnPropertyDescriptors(streaming);
  // Settings without an effect are an error of the rules, so they must reach them.
  if (Object.values(policy).every(({ get, value }) => get === undefined && value === undefined)) return undefined;
  const acknowledge = fields({
    mode: () => streaming.synchronous ?? "nothing",
    repositories: () => streaming.repositories,
  });
  return merged(
    resolveAcknowledge(acknowledge),
    givenFields({
      ...readers(streaming, "degradeAfterSeconds", "groupMilliseconds", "standbys"),
    }),
  );
}

function resolveAcknowledge(settings: DatabaseSettings["acknowledge"]): AcknowledgePlan {
  const repositories = (): readonly string[] => settings?.repositories ?? [];
  return fields({
    mode: () => settings?.mode ?? DEFAULTS.acknowledge,
    repositories,
    repoIndexes: () => repositories().map((name) => findRepoIndex(name) ?? 0),
  });
}

function resolveSizing(sizing: SizingSettings | undefined): Sizing | undefined {
  if (sizing === undefined) return undefined;
  return fields({
    ...readers(sizing, "databaseGiB", "walGiBPerDay"),
    changedGiBPerDay: () => sizing.changedGiBPerDay ?? sizing.databaseGiB * DEFAULTS.changedShare,
    compressedTo: () => sizing.compressedTo ?? DEFAULTS.compressedTo,
  });
}

function resolvePriority(settings: NonNullable<HostSettings["backupPriority"]>): PriorityPlan {
  const { cpuNice, ioClass } = DEFAULTS.priority;
  return merged(
    fields({ cpuNice: () => settings.cpuNice ?? cpuNice, ioClass: () => settings.ioClass ?? ioClass }),
    givenFields({ ioLevel: () => settings.ioLevel }),
  );
}

function resolveDirectories(settings: DirectorySettings, isStock: boolean): Directories {
  const spool = (): string => settings.spool ?? DEFAULTS.directories.spool;
  return fields({
    config: () => settings.config ?? (isStock ? DEFAULTS.stockConfig : DEFAULTS.directories.config),
    lib: () => settings.lib ?? DEFAULTS.directories.lib,
    units: () => settings.units ?? DEFAULTS.directories.units,
    bin: () => settings.bin ?? DEFAULTS.directories.bin,
    metrics: () => settings.metrics ?? DEFAULTS.directories.metrics,
    // Not in /tmp, stock's default: after a boot any account could create the directory first and block backups.
    lock: () => settings.lock ?? `${spool()}/lock`,
    spool,
    log: () => settings.log ?? DEFAULTS.directories.log,
  });
}

function namesOf(alternatives: object): string[] {
  return Object.entries(alternatives).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}
