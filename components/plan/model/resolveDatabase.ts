/**
 * Resolves databases' plain arguments to complete plans: all defaults are filled in here. Pure.
 *
 * Unknown values come as markers of unknown.ts and pass through. Resolving never throws; rules/ check the values.
 */
import type { DeclaredCluster } from "../cluster/declaredCluster";
import { engineOf } from "../engines/engines";
import { DEFAULTS, defaultLevel, findRepoIndex, SYSTEMD_DIRECTORIES } from "./defaults";
import { given as givenOnly } from "./given";
import { withDefaults } from "./hostDefaults";
import { resolveDrill, resolveDrillChecks } from "../schedule/declaredDrills";
import { withDefaultBackups } from "../schedule/defaultBackups";
import { archiveTimeoutFor, streamedTimeout } from "../schedule/objectives";
import type {
  AcknowledgePlan,
  ClusterDatabasePlan,
  DatabasePlan,
  Directories,
  HostPlan,
  Sizing,
  TaskPlan,
} from "./plan";
import { ENV_FILE, OPTIONS_FILE } from "../repositories/repositoryType";
import { kindOf, type RepositoryPlan, SECRET_FILE_OPTIONS, typeOf } from "../repositories/repositoryTypes";
import { unknownTarget } from "../repositories/unknownType";
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
  const database = resolveDatabase(name, settings, settings.stanza ?? DEFAULTS.stanza, undefined);
  const directories = resolveDirectories(settings.directories ?? {}, engineOf(database.engine).stock);
  const given = withDefaults(settings);
  const { drillsOnly, restoreOnly } = given;
  // A restore that is kept needs the keys for PostgreSQL's own account, which fetches WAL.
  const lends = !restoreOnly || drillsOnly;
  const agent =
    settings.agent ?? (engineOf(database.engine).own && lends && SYSTEMD_DIRECTORIES.includes(directories.units));
  // The agent serves these already; a file would count them twice.
  const tasks = (["expire", "verify", "heal", "metrics"] as const).filter(
    (task) => task !== "metrics" || settings.monitoring?.listen === undefined,
  );
  // Beside stock the runtime only reads. Stock expires its own backups, after each backup.
  const reads = engineOf(database.engine).stock && !restoreOnly && SYSTEMD_DIRECTORIES.includes(directories.units);
  return {
    ...database,
    ...given,
    ...(usual === null ? {} : { chosen: usual.chosen }),
    ...resolveStreaming(settings, database.archiveTimeoutSeconds),
    // A drill measures the objectives, and nothing is archived.
    ...(restoreOnly ? { archiveTimeoutSeconds: settings.archiveTimeoutSeconds } : {}),
    kind: "host",
    dataDirectory: settings.dataDirectory,
    socketDirectory: settings.socketDirectory,
    databaseUser: settings.databaseUser,
    connections: namesOf(settings.connection),
    directories,
    maintenance: resolveMaintenance(
      settings.maintenance ?? {},
      drillsOnly ? ["metrics"] : agent ? tasks : reads ? ["verify", "metrics"] : [],
    ),
    notifies: settings.notify !== undefined,
    notices: resolveNotices(settings.notify ?? {}),
    metricsListen: settings.monitoring?.listen,
    notifyFile: settings.notify?.existingFile,
    agent,
    nodePath: settings.nodePath ?? defaultNodePath,
    postgres:
      settings.postgres === undefined
        ? undefined
        : { version: settings.postgres.version, install: settings.postgres.install ?? false },
    firstBackup: settings.firstBackup ?? (DEFAULTS.firstBackup && !restoreOnly),
    snapshots: namesOf(settings.snapshots ?? {}),
  };
}

/** Stanza and Cluster default to the component's name. */
export function resolveClusterDatabase(name: string, settings: DeclaredCluster): ClusterDatabasePlan {
  const cluster = settings.clusterName ?? name;
  const stanza = settings.stanza ?? cluster;
  const database = resolveDatabase(name, settings, stanza, DEFAULTS.clusterArchiveTimeoutSeconds);
  return {
    ...database,
    ...resolveStreaming(settings, database.archiveTimeoutSeconds),
    kind: "cnpg",
    namespace: settings.namespace,
    cluster,
    instances: settings.instances ?? DEFAULTS.instances,
    postgresVersion: settings.postgresVersion,
    storageGiB: settings.storageGiB,
    operatorVersion: settings.operatorVersion,
    backupTarget: settings.backupTarget ?? DEFAULTS.backupTarget,
    serviceNames: settings.serviceNames ?? [],
  };
}

/** @param engineTimeoutSeconds the environment's own `archive_timeout` */
function resolveDatabase(
  name: string,
  settings: DatabaseSettings,
  stanza: string,
  engineTimeoutSeconds: number | undefined,
): Omit<DatabasePlan, "kind"> {
  const repositories = Object.entries(settings.repositories)
    .map(([repositoryName, repository]) => resolveRepository(repositoryName, repository))
    .sort((left, right) => left.key - right.key || (left.name < right.name ? -1 : 1));
  const { maxRepositoryGB, pitrDays, pitrRtoMinutes, rpoSeconds, rtoMinutes } = settings.objectives ?? {};
  return {
    name,
    stanza,
    engine: settings.engine ?? DEFAULTS.engine,
    engineVersion: settings.engineVersion,
    repositories,
    schedules: resolveSchedules(settings, repositories),
    acknowledge: resolveAcknowledge(settings.acknowledge),
    archiveTimeoutSeconds: settings.archiveTimeoutSeconds ?? archiveTimeoutFor(rpoSeconds) ?? engineTimeoutSeconds,
    objectives: { rpoSeconds, rtoMinutes, pitrDays, maxRepositoryGB, ...givenOnly({ pitrRtoMinutes }) },
    drills: Object.entries(settings.drills ?? {}).map(([drillName, drill]) => resolveDrill(drillName, drill)),
    drillChecks: resolveDrillChecks(settings.drillChecks ?? {}),
    sizing: resolveSizing(settings.sizing),
    silence: settings.silence ?? {},
    acknowledgeWeaker: settings.acknowledgeWeaker ?? {},
    options: settings.options ?? {},
  };
}

/** @param archiveTimeoutSeconds that follows from the objective */
function resolveStreaming(
  { archiveTimeoutSeconds: given, streaming }: Pick<DeclaredCluster, "archiveTimeoutSeconds" | "streaming">,
  archiveTimeoutSeconds: number | undefined,
): Partial<Pick<DatabasePlan, "archiveTimeoutSeconds" | "streamIntervalSeconds" | "synchronous">> {
  if (streaming === undefined) return {};
  return {
    streamIntervalSeconds: streaming.intervalSeconds ?? DEFAULTS.streamIntervalSeconds,
    archiveTimeoutSeconds: given ?? streamedTimeout(archiveTimeoutSeconds),
    ...resolveSynchronous(streaming),
  };
}

/** Credentials named like options replace those (runtime/config/secretFiles.ts). */
function secretFilesOf(name: string, files: SecretFilesSettings): Record<string, string> {
  const { encrypted: _encrypted, ...paths } = files;
  const options = { options: OPTIONS_FILE, env: ENV_FILE, ...SECRET_FILE_OPTIONS, passphrase: "cipher-pass" };
  return Object.fromEntries(
    Object.entries(options).flatMap(([field, option]): [string, string][] => {
      const path = paths[field as keyof typeof paths];
      return path === undefined ? [] : [[`${name}-${option}`, path]];
    }),
  );
}

function resolveRepository(name: string, settings: RepositorySettings): RepositoryPlan {
  const { secretFiles } = settings;
  const compressType = settings.compress?.type ?? DEFAULTS.compressType;
  const kind = kindOf(settings.at);
  const at = kind === "unknown" ? unknownTarget(settings.at) : settings.at;
  const type = typeOf({ kind });
  return {
    key: findRepoIndex(name) ?? 0,
    name,
    kind,
    path: at.path ?? DEFAULTS.repositoryPath,
    requireMount: at.requireMount ?? false,
    ...type.resolve(at),
    site: type.site(at),
    encrypted: at.encrypted || secretFiles?.passphrase !== undefined || secretFiles?.encrypted === true,
    writesSecrets: at.encrypted || type.bringsKeys(at),
    ...(secretFiles === undefined ? {} : { secretFiles: secretFilesOf(name, secretFiles) }),
    readOnly: at.readOnly ?? false,
    keepFullCount: settings.keepFullCount,
    keepDays: settings.keepDays,
    keepDiffCount: settings.keepDiffCount,
    compressType,
    compressLevel: settings.compress?.level ?? defaultLevel(compressType),
    bundle: settings.bundle ?? type.bundles,
    options: settings.options ?? {},
    // Whether an unknown repository has bundles is unknown too.
    blockIncremental: kind === "unknown" ? false : (settings.blockIncremental ?? false),
  };
}

/** By kind: the common schedule, then those of single repositories, which the common one leaves out. */
function resolveSchedules(settings: DatabaseSettings, repositories: readonly RepositoryPlan[]): Schedule[] {
  return BACKUP_TYPES.flatMap((type): Schedule[] => {
    const own = repositories.flatMap(({ name }) => {
      const schedule = settings.repositories[name]?.schedules?.[type];
      return schedule === undefined ? [] : [{ name, schedule }];
    });
    const others = repositories.map(({ name }) => name).filter((name) => !own.some((each) => each.name === name));
    const common = settings.schedules?.[type];
    return [
      ...(common === undefined ? [] : [resolveSchedule(type, type, common, common.repositories ?? others)]),
      ...own.map(({ name, schedule }) => resolveSchedule(ownScheduleName(type, name), type, schedule, [name])),
    ];
  });
}

function resolveSchedule(
  name: string,
  type: BackupType,
  schedule: ScheduleSettings,
  repositories: readonly string[],
): Schedule {
  return {
    name,
    cron: schedule.cron,
    timeZone: schedule.timeZone ?? DEFAULTS.timeZone,
    type,
    repoKeys: repositories.map((each) => findRepoIndex(each) ?? 0),
    repositories,
    jitterSeconds: schedule.jitterSeconds ?? DEFAULTS.jitterSeconds,
    deadlineSeconds: schedule.deadlineSeconds ?? DEFAULTS.deadlineSeconds,
  };
}

/** By default tasks run only if systemd runs them: the user starts units that were written to another folder. */
/** @param usual default of a task */
function resolveMaintenance(settings: MaintenanceSettings, usual: readonly TaskPlan["name"][]): TaskPlan[] {
  return (["expire", "verify", "heal", "metrics", "stale"] as const).flatMap((name): TaskPlan[] => {
    const task = settings[name];
    if (!(task?.enabled ?? (task !== undefined || usual.includes(name)))) return [];
    const row = DEFAULTS.maintenance[name];
    return [
      {
        name,
        cron: task?.cron ?? row.cron,
        timeZone: task?.timeZone ?? DEFAULTS.timeZone,
        jitterSeconds: task?.jitterSeconds ?? row.jitterSeconds,
        deadlineSeconds: task?.deadlineSeconds ?? row.deadlineSeconds,
        ...(name === "verify" ? { samplePercent: task?.samplePercent ?? DEFAULTS.verifySamplePercent } : {}),
      },
    ];
  });
}

/**
 * The content of a file on the host is unknown here: units report everything, and the verb notifies the targets that
 * want it.
 */
function resolveNotices({ existingFile, targets = [] }: NotifySettings): HostPlan["notices"] {
  const given = targets.map(({ events, type, units = [] }) => {
    const usual = TARGET_TYPES.find((known) => known === type);
    return { events: events ?? (usual === undefined ? [] : DEFAULT_EVENTS[usual]), units };
  });
  return existingFile === undefined ? given : [...given, { events: EVENTS, units: [] }];
}

function resolveSynchronous({
  repositories,
  synchronous,
  ...streaming
}: NonNullable<DeclaredCluster["streaming"]>): Pick<DatabasePlan, "synchronous"> {
  const { degradeAfterSeconds, groupMilliseconds, standbys } = streaming;
  const others = givenOnly({ degradeAfterSeconds, groupMilliseconds, standbys });
  // Settings without an effect are an error of the rules, so they must reach them.
  if (synchronous === undefined && repositories === undefined && Object.keys(others).length === 0) return {};
  const policy = resolveAcknowledge({ mode: synchronous ?? "nothing", ...givenOnly({ repositories }) });
  return { synchronous: { ...policy, ...others } };
}

function resolveAcknowledge(settings: DatabaseSettings["acknowledge"]): AcknowledgePlan {
  const repositories = settings?.repositories ?? [];
  return {
    mode: settings?.mode ?? DEFAULTS.acknowledge,
    repositories,
    repoIndexes: repositories.map((name) => findRepoIndex(name) ?? 0),
  };
}

function resolveSizing(sizing: SizingSettings | undefined): Sizing | undefined {
  if (sizing === undefined) return undefined;
  const { databaseGiB, walGiBPerDay } = sizing;
  return {
    databaseGiB,
    walGiBPerDay,
    changedGiBPerDay: sizing.changedGiBPerDay ?? databaseGiB * DEFAULTS.changedShare,
    compressedTo: sizing.compressedTo ?? DEFAULTS.compressedTo,
  };
}

function resolveDirectories(settings: DirectorySettings, isStock: boolean): Directories {
  const spool = settings.spool ?? DEFAULTS.directories.spool;
  return {
    config: settings.config ?? (isStock ? DEFAULTS.stockConfig : DEFAULTS.directories.config),
    lib: settings.lib ?? DEFAULTS.directories.lib,
    units: settings.units ?? DEFAULTS.directories.units,
    bin: settings.bin ?? DEFAULTS.directories.bin,
    metrics: settings.metrics ?? DEFAULTS.directories.metrics,
    // Not in /tmp, stock's default: after a boot any account could create the directory first and block backups.
    lock: settings.lock ?? `${spool}/lock`,
    spool,
    log: settings.log ?? DEFAULTS.directories.log,
  };
}

function namesOf(alternatives: object): string[] {
  return Object.entries(alternatives).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}
