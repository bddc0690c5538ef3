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
import { given } from "../../../runtime/base/given";
import { areSame, fields, givenFields, isGiven, mappedFields, merged, readOr } from "../../plan/model/deferred";
import { takesFirstBackup } from "../../plan/cluster/clusterPlan";
import type { KeyRefSettings, SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import { type RepositoryPlan, storeKindOf, storeOf } from "../../plan/repositories/repositoryTypes";
import type { Schedule } from "../../plan/schedule/schedule";
import { fullBackupReport } from "../kubernetes/fullBackupGate";
import { metadataOf, object, type RenderedObject } from "../kubernetes/objects";
import { SECRET_KEYS } from "../kubernetes/secrets";
import { renderPgbackrestConf } from "../host/pgbackrestConf";
import { renderSettingsFile } from "../host/settingsFile";
import { type ClusterEngine, type BackupRun, type EngineContext, type EngineParts, scheduleOptionsOf } from "./engine";

/** CloudNativePG's layout of every pod, with any version of PostgreSQL. */
const PGDATA = "/var/lib/postgresql/data/pgdata";
const SPOOL_BESIDE_DATA = "/var/lib/postgresql/data/pgbackstop";
const SPOOL_BESIDE_WAL = "/var/lib/postgresql/wal/pgbackstop";

/** File names that the plugin expects for a Secret's parts. */
const SECRET_FILES: Readonly<Partial<Record<keyof SecretKeysSettings, string>>> = {
  accessKeyId: SECRET_KEYS.accessKeyId,
  secretAccessKey: SECRET_KEYS.secretAccessKey,
  sessionToken: SECRET_KEYS.sessionToken,
  azureKey: SECRET_KEYS.azureKey,
  gcsKey: SECRET_KEYS.gcsKey,
  passphrase: SECRET_KEYS.passphrase,
  ca: "ca.crt",
};

export const runtimePlugin: ClusterEngine = {
  render: renderRuntime,
  source: (context) => {
    const configMap = (): string => configMapName(context.database.cluster);
    const parameters = (): Record<string, string> => runtimeParameters(context, configMap);
    return {
      plugin: fields({ name: () => PLUGIN_NAME, parameters }),
      objects: [configObject(context, configMap, undefined)],
    };
  },
};

/** Everything that the engine brings into the namespace of the cluster. */
function renderRuntime(context: EngineContext): EngineParts {
  const { database } = context;
  const configMap = (): string => configMapName(database.cluster);
  return {
    plugins: [
      fields({
        name: () => context.pluginName ?? PLUGIN_NAME,
        isWALArchiver: () => true,
        parameters: () => merged(runtimeParameters(context, configMap), reportParameter(context)),
      }),
    ],
    backup: fields({ target: () => database.backupTarget }),
    objects: [configObject(context, configMap, fullBackupReport(context))],
    runs: database.schedules.map((schedule) => runOf(context, schedule)),
  };
}

/** `orders-pgbackstop` */
export function configMapName(cluster: string): string {
  return `${cluster}-pgbackstop`;
}

/**
 * An upload holds three parts, each repository has its own, and the sidecar's memory is limited. Only this runtime
 * reads the file, and its parts are equal at any size.
 */
const UPLOAD_CHUNK = "8MiB";

/** The ConfigMap with `pgbackrest.conf` and `pgbackstop.json`. @param fullBackups not for the source of a restore */
function configObject(
  context: EngineContext,
  name: () => string,
  fullBackups: FullBackupReport | undefined,
): RenderedObject {
  const { database, secrets, definition } = context;
  const firstBackup = (): boolean => takesFirstBackup(context);
  const own = fields({
    agent: () => false,
    repositories: () => database.repositories.map((each) => withMountedCa(each, () => secrets[each.name])),
    firstBackup,
    sidecarTakesFirst: firstBackup,
    dataDirectory: () => PGDATA,
    port: () => DEFAULTS.port,
    socketDirectory: () => "/controller/run",
    databaseUser: () => "postgres",
    processMax: () => definition.processMax,
    pod: () => ({ uploadChunk: UPLOAD_CHUNK }),
    directories: () => ({
      config: PATHS.config,
      lib: PATHS.bundle,
      units: "",
      bin: "",
      metrics: "",
      // On a volume that outlives the pod: the record of missing WAL is kept there.
      spool: "walStorage" in definition.spec ? SPOOL_BESIDE_WAL : SPOOL_BESIDE_DATA,
      lock: `${PATHS.run}/lock`,
      log: `${PATHS.run}/log`,
    }),
  });
  const view = merged(database, own, given({ fullBackups }));
  const cluster = fields({ "cnpg.io/cluster": () => database.cluster });
  return object(
    "config",
    ["v1", "ConfigMap"],
    metadataOf(database, name, undefined, () => cluster),
    {
      data: () =>
        fields({
          "pgbackrest.conf": () => renderPgbackrestConf(view),
          "pgbackstop.json": () => renderSettingsFile(view, context.runtime.version),
        }),
    },
  );
}

function runtimeParameters(
  { database, runtime, secrets, definition }: EngineContext,
  configMap: () => string,
): Record<string, string> {
  const { sidecar } = definition;
  const hasClaims = database.repositories.some(({ kind }) => kind === "posix");
  const keys = database.repositories.flatMap(({ name }) => secretParameters(name, secrets[name] ?? {}));
  const own = givenFields({
    stanza: () => database.stanza,
    configMap,
    cpuRequest: () => sidecar.cpu,
    memoryRequest: () => sidecar.memory,
    memoryLimit: () => sidecar.memoryLimit,
    cpuLimit: () => sidecar.cpuLimit,
  });
  const parameters = merged(
    own,
    programParameters(runtime),
    hasClaims ? fields({ claims: () => claimNames(database).join(",") }) : {},
    fields(Object.fromEntries(keys)),
  );
  return mappedFields(parameters as object as Record<string, string>, (read) => read());
}

function reportParameter({ definition: { monitors } }: EngineContext): Readonly<Record<string, string>> {
  if (!isGiven(() => monitors.reportPassword)) return {};
  return fields({ reportPassword: () => `${monitors.reportPassword?.name}/${monitors.reportPassword?.key}` });
}

function programParameters(runtime: EngineContext["runtime"]): object {
  // One that comes later is a ConfigMap's name.
  if (readOr(() => runtime.configMap === "", false)) return fields({ runtimeImage: () => runtime.image });
  return givenFields({
    bundle: () => runtime.configMap,
    image: () => runtime.image,
    runtime: () => runtime.sha256,
    runtimeUrl: () => runtime.url,
  });
}

/**
 * `repo1Secret` if one Secret has the names that the plugin expects; `repo1SecretKeys` maps keys of Secrets to parts.
 */
function secretParameters(name: string, keys: SecretKeysSettings): [string, () => string][] {
  const files = secretFiles(keys);
  const [first] = files;
  if (first === undefined) return [];
  const isOne = files.every(
    ({ file, ref }) =>
      areSame(
        () => ref.name,
        () => first.ref.name,
      ) && ref.key === file,
  );
  if (isOne) return [[`${name}Secret`, () => first.ref.name]];
  return [[`${name}SecretKeys`, () => files.map(({ file, ref }) => `${file}=${ref.name}/${ref.key}`).join(",")]];
}

/** A repository's keys as files, with the source of each. */
export function secretFiles(
  keys: SecretKeysSettings,
): readonly { readonly file: string; readonly ref: KeyRefSettings }[] {
  return Object.entries(SECRET_FILES).flatMap(([part, file]) => {
    const ref = keys[part as keyof SecretKeysSettings];
    return ref === undefined ? [] : [{ file, ref }];
  });
}

/** Claims of volumes with repositories, sorted. */
export function claimNames({ repositories }: Pick<EngineContext["database"], "repositories">): readonly string[] {
  const claims = repositories.filter(({ kind }) => kind === "posix").map(({ path }) => claimOf(path));
  return [...new Set(claims)].sort();
}

/** For a repository in a directory: the claim of its volume. */
function claimOf(path: string): string {
  return path.slice(PATHS.claims.length + 1).split("/")[0] ?? "";
}

function withMountedCa(repository: RepositoryPlan, keys: () => SecretKeysSettings | undefined): RepositoryPlan {
  const kind = storeKindOf(repository);
  const store = storeOf(repository);
  if (kind === null || store === undefined || keys()?.ca === undefined) return repository;
  const ca = { caFile: `${PATHS.secrets}/${repository.name}/ca.crt` };
  return merged(repository, { [kind]: merged(store, ca) }) as RepositoryPlan;
}

function runOf(context: EngineContext, schedule: Schedule): BackupRun {
  const repositories = (): string | undefined =>
    schedule.repositories.length === context.database.repositories.length ? undefined : schedule.repositories.join(",");
  const parameters = (): Record<string, string> =>
    givenFields({ type: () => schedule.type, repositories }) as Record<string, string>;
  return merged(
    scheduleOptionsOf(context, schedule.name),
    { suffix: schedule.name, method: "plugin" as const },
    fields({
      cron: () => schedule.cron,
      pluginConfiguration: () => fields({ name: () => PLUGIN_NAME, parameters }),
    }),
  );
}
