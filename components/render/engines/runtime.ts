/**
 * Engine `runtime`: the plugin of this package. The Cluster names a ConfigMap with the same two files as on a host, the
 * ConfigMap with the program, and the Secret and key of every secret option. One ScheduledBackup per schedule reaches
 * all repositories in one pass.
 *
 * The configuration's ConfigMap keeps its name: the plugin reads it again, so that a new retention restarts nothing.
 * The program's is named after its content. Parameters: docs/cnpg.md.
 */
import { PATHS, PLUGIN_NAME } from "../../../runtime/cnpg/names";
import type { FullBackupReport } from "../../../runtime/config/types";
import { DEFAULTS } from "../../plan/model/defaults";
import { given } from "../../plan/model/given";
import type { SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import type { Schedule } from "../../plan/schedule/schedule";
import { fullBackupReport } from "../kubernetes/fullBackupGate";
import { MANAGED_BY, type RenderedObject, sortedEntries } from "../kubernetes/objects";
import { SECRET_KEYS } from "../kubernetes/secrets";
import { renderPgbackrestConf } from "../host/pgbackrestConf";
import { renderSettingsFile } from "../host/settingsFile";
import {
  type ClusterEngine,
  type BackupRun,
  type EngineContext,
  type EngineParts,
  type PluginEntry,
  scheduleOptionsOf,
} from "./engine";

/** CloudNativePG's layout of every pod, with any version of PostgreSQL. */
const PGDATA = "/var/lib/postgresql/data/pgdata";
const SPOOL_BESIDE_DATA = "/var/lib/postgresql/data/pgbackstop";
const SPOOL_BESIDE_WAL = "/var/lib/postgresql/wal/pgbackstop";

/** File names that the plugin expects for a Secret's parts. */
const SECRET_FILES: Readonly<Partial<Record<keyof SecretKeysSettings, string>>> = {
  accessKeyId: SECRET_KEYS.accessKeyId,
  secretAccessKey: SECRET_KEYS.secretAccessKey,
  sessionToken: SECRET_KEYS.sessionToken,
  passphrase: SECRET_KEYS.passphrase,
  ca: "ca.crt",
};

export const runtimePlugin: ClusterEngine = {
  render: renderRuntime,
  source: (context) => {
    const configMap = configMapName(context.database.cluster);
    return { plugin: runtimeSource(context, configMap), objects: [configObject(context, configMap)] };
  },
};

/** Everything that the engine brings into the namespace of the cluster. */
function renderRuntime(context: EngineContext): EngineParts {
  const { database } = context;
  return {
    plugins: [
      {
        name: context.pluginName ?? PLUGIN_NAME,
        isWALArchiver: true,
        parameters: runtimeParameters(context, configMapName(database.cluster)),
      },
    ],
    backup: { target: database.backupTarget },
    objects: [configObject(context, configMapName(database.cluster), fullBackupReport(context))],
    runs: database.schedules.map((schedule) => runOf(context, schedule)),
  };
}

/** Source of a restore. @param configMap the one with the source's configuration */
function runtimeSource(context: EngineContext, configMap: string): PluginEntry {
  return { name: PLUGIN_NAME, parameters: runtimeParameters(context, configMap) };
}

/** `orders-pgbackstop` */
export function configMapName(cluster: string): string {
  return `${cluster}-pgbackstop`;
}

/** The ConfigMap with `pgbackrest.conf` and `pgbackstop.json`. @param fullBackups not for the source of a restore */
function configObject(context: EngineContext, name: string, fullBackups?: FullBackupReport): RenderedObject {
  const { database, secrets, definition } = context;
  const firstBackup = database.schedules.some((schedule) => scheduleOptionsOf(context, schedule.name).immediate);
  const view = {
    agent: false,
    stanza: database.stanza,
    repositories: database.repositories.map((repository) => withMountedCa(repository, secrets[repository.name])),
    schedules: database.schedules,
    acknowledge: database.acknowledge,
    ...given({ streamIntervalSeconds: database.streamIntervalSeconds, synchronous: database.synchronous }),
    firstBackup,
    sidecarTakesFirst: firstBackup,
    ...given({ fullBackups }),
    dataDirectory: PGDATA,
    port: DEFAULTS.port,
    socketDirectory: "/controller/run",
    databaseUser: "postgres",
    options: database.options,
    processMax: definition.processMax,
    directories: {
      config: PATHS.config,
      lib: PATHS.bundle,
      units: "",
      bin: "",
      metrics: "",
      // On a volume that outlives the pod: the record of missing WAL is kept there.
      spool: definition.walStorage === undefined ? SPOOL_BESIDE_DATA : SPOOL_BESIDE_WAL,
      lock: `${PATHS.run}/lock`,
      log: `${PATHS.run}/log`,
    },
  };
  return {
    role: "config",
    manifest: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: database.namespace, labels: { ...MANAGED_BY, "cnpg.io/cluster": database.cluster } },
      data: context.isOutline
        ? {}
        : { "pgbackrest.conf": renderPgbackrestConf(view), "pgbackstop.json": renderSettingsFile(view) },
    },
  };
}

function runtimeParameters(
  { database, runtime, secrets, definition }: EngineContext,
  configMap: string,
): Record<string, string> {
  const claims = claimNames(database);
  const parameters: Record<string, string> = {
    stanza: database.stanza,
    configMap,
    ...programParameters(runtime),
    cpuRequest: definition.sidecar.cpu,
    memoryRequest: definition.sidecar.memory,
    memoryLimit: definition.sidecar.memory,
    ...(claims.length === 0 ? {} : { claims: claims.join(",") }),
    ...Object.fromEntries(
      database.repositories.flatMap((repository) => secretParameters(repository.name, secrets[repository.name] ?? {})),
    ),
  };
  return Object.fromEntries(sortedEntries(parameters));
}

function programParameters({ configMap, image, sha256, url }: EngineContext["runtime"]): Record<string, string> {
  if (configMap === "") return { runtimeImage: image };
  return given({ bundle: configMap, image, runtime: sha256, runtimeUrl: url }) as Record<string, string>;
}

/**
 * `repo1Secret` if one Secret has the names that the plugin expects; `repo1SecretKeys` maps keys of Secrets to parts.
 */
function secretParameters(name: string, keys: SecretKeysSettings): [string, string][] {
  const files = secretFiles(keys);
  const [first] = files;
  if (first === undefined) return [];
  if (files.every((ref) => ref.name === first.name && ref.key === ref.file)) return [[`${name}Secret`, first.name]];
  return [[`${name}SecretKeys`, files.map((ref) => `${ref.file}=${ref.name}/${ref.key}`).join(",")]];
}

/** A repository's keys as files, with the source of each. */
export function secretFiles(
  keys: SecretKeysSettings,
): readonly { readonly file: string; readonly name: string; readonly key: string }[] {
  return Object.entries(SECRET_FILES).flatMap(([part, file]) => {
    const ref = keys[part as keyof SecretKeysSettings];
    return ref === undefined ? [] : [{ file, ...ref }];
  });
}

/** Claims of volumes with repositories, sorted. */
export function claimNames({ repositories }: Pick<EngineContext["database"], "repositories">): readonly string[] {
  return [...new Set(repositories.flatMap(({ kind, path }) => (kind === "posix" ? [claimOf(path)] : [])))].sort();
}

/** For a repository in a directory: the claim of its volume. */
function claimOf(path: string): string {
  return path.slice(PATHS.claims.length + 1).split("/")[0] ?? "";
}

function withMountedCa(repository: RepositoryPlan, keys: SecretKeysSettings | undefined): RepositoryPlan {
  if (repository.s3 === undefined || keys?.ca === undefined) return repository;
  return { ...repository, s3: { ...repository.s3, caFile: `${PATHS.secrets}/${repository.name}/ca.crt` } };
}

function runOf(context: EngineContext, schedule: Schedule): BackupRun {
  const isForAll = schedule.repositories.length === context.database.repositories.length;
  const repositories = isForAll ? {} : { repositories: schedule.repositories.join(",") };
  return {
    ...scheduleOptionsOf(context, schedule.name),
    suffix: schedule.name,
    cron: schedule.cron,
    method: "plugin",
    pluginConfiguration: { name: PLUGIN_NAME, parameters: { type: schedule.type, ...repositories } },
  };
}
