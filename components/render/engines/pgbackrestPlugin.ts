/**
 * Engine `pgbackrest` on CloudNativePG: Dalibo's plugin (0.0.3), which runs stock pgBackRest. WAL goes to all
 * repositories, a backup to one: each schedule becomes one ScheduledBackup per repository, an hour apart, always on the
 * primary. Repositories are numbered by their position in the Stanza, not by their key. Since version 0.0.1 the object
 * is a Stanza; before, it was called Repository.
 */
import { findCompressType } from "../../plan/model/defaults";
import type { SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { ConfOptions } from "../../plan/model/confOptions";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { OFFSET_MINUTES } from "../../plan/rules/engines";
import { DALIBO } from "../../plan/rules/manifests/plugins";
import { ownScheduleName, type Schedule, shiftCron } from "../../plan/schedule/schedule";
import { fields, givenFields, isGiven, mapped, merged } from "../../plan/model/deferred";
import { filled, metadataOf, object, type RenderedObject, resourcesSpec } from "../kubernetes/objects";
import {
  type ClusterEngine,
  type BackupRun,
  type EngineContext,
  type EngineParts,
  type PluginEntry,
  scheduleOptionsOf,
} from "./engine";

const GROUP = "pgbackrest.dalibo.com/v1";

export const pgbackrestPlugin: ClusterEngine = {
  render: renderPgbackrestPlugin,
  source: (context) => {
    const name = (): string => context.database.cluster;
    const plugin = { name: DALIBO, parameters: referenceOf(context, name) };
    return { plugin, objects: [stanzaObject(context, name)], writeTime };
  },
};

/**
 * Dalibo's plugin passes the text on. Stock chooses a backup by `2026-11-20 06:40:59.123+02:00` alone: it reads no T
 * and no Z. The operator reads minutes of an offset only after a colon.
 */
function writeTime(time: string): string {
  return time
    .replace(/^(\d{4}-\d{2}-\d{2})T/, "$1 ")
    .replace(/Z$/, "+00")
    .replace(/([+-]\d{2})(\d{2})$/, "$1:$2");
}

/** Everything that the engine brings into the namespace of the cluster. */
function renderPgbackrestPlugin(context: EngineContext): EngineParts {
  const { database } = context;
  const stanzaName = (): string => `${database.cluster}-stanza`;
  const pluginConfigRef = (): string => `${database.cluster}-plugin`;
  const config = pluginConfig(context, pluginConfigRef);
  const parameters = merged(
    referenceOf(context, stanzaName),
    config.length === 0 ? {} : fields({ pluginConfigRef }),
  ) as PluginEntry["parameters"];
  const plugin = merged(fields({ name: () => context.pluginName ?? DALIBO }), { isWALArchiver: true, parameters });
  return {
    plugins: [plugin],
    backup: { target: "primary" },
    objects: [stanzaObject(context, stanzaName), ...config],
    runs: database.schedules.flatMap((schedule) => runsOf(context, schedule)),
  };
}

/** CPU and memory of the sidecars; empty if none are declared. */
function pluginConfig({ database, definition }: EngineContext, name: () => string): RenderedObject[] {
  const resourcesRequirement = resourcesSpec(definition.sidecarResources);
  if (resourcesRequirement === undefined) return [];
  const metadata = metadataOf(database, name);
  return [object("plugin-config", [GROUP, "PluginConfig"], metadata, { spec: () => ({ resourcesRequirement }) })];
}

/** The Stanza with all repositories. @param name of the object */
function stanzaObject({ database, definition, secrets }: EngineContext, name: () => string): RenderedObject {
  const isOld = definition.stanzaKind === "Repository";
  const stanza = (): string => database.stanza;
  const s3Repositories = (): object[] =>
    mapped(database.repositories, (read) => repositoryOf(read(), secrets[read().name] ?? {}, isOld));
  // Asynchronous archiving needs a volume of its own for the spool: the sidecar's file system is read-only. Beyond
  // pushQueueMax the plugin drops its queued WAL for all repositories, so no limit is set.
  const archive = (): object => ({ async: false });
  const metadata = metadataOf(database, name);
  if (isOld)
    return object("stanza", [GROUP, "Repository"], metadata, {
      spec: () => ({ repoConfiguration: fields({ stanza, archive, s3Repositories }) }),
    });
  const variables = (): object | undefined =>
    filled(
      fields(
        Object.fromEntries([
          ...database.repositories.flatMap(variablesOf),
          ...optionVariables("PGBACKREST", database.options),
        ]),
      ),
    );
  const stanzaConfiguration = givenFields({
    name: stanza,
    archive,
    startFast: () => true,
    compressConfig: () => compressOf(database.repositories[0]),
    customEnvVar: variables,
    s3Repositories,
  });
  return object("stanza", [GROUP, "Stanza"], metadata, { spec: () => ({ stanzaConfiguration }) });
}

function referenceOf({ definition }: EngineContext, name: () => string): Record<string, string> {
  return fields({ [definition.stanzaKind === "Repository" ? "repositoryRef" : "stanzaRef"]: name });
}

function repositoryOf(repository: RepositoryPlan, keys: SecretKeysSettings, isOld: boolean): object {
  const { s3 } = repository;
  if (s3 === undefined) throw new Error("this plugin writes to buckets only");
  const { accessKeyId, passphrase, secretAccessKey } = keys;
  return givenFields({
    bucket: () => s3.bucket,
    endpoint: () => (s3.port === 443 ? s3.endpoint : `${s3.endpoint}:${s3.port}`),
    region: () => s3.region,
    repoPath: () => repository.path,
    uriStyle: () => s3.uriStyle,
    // Version 0.0.3 turns it off by default.
    verifyTLS: () => true,
    retentionPolicy: () => retentionOf(repository),
    secretRef: () =>
      accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey },
    cipherConfig: () =>
      !repository.encrypted || isOld || passphrase === undefined
        ? undefined
        : { type: "aes-256-cbc", encryptionPass: passphrase },
  });
}

function retentionOf(repository: RepositoryPlan): object | undefined {
  const field = (["keepDays", "keepFullCount"] as const).find((name) => isGiven(() => repository[name]));
  if (field === undefined) return undefined;
  return givenFields({
    full: () => repository[field],
    fullType: () => (field === "keepDays" ? "time" : "count"),
    diff: () => repository.keepDiffCount,
  });
}

/** Settings without a field in the Stanza. */
function variablesOf({ blockIncremental, bundle, options, s3 }: RepositoryPlan, index: number): Variable[] {
  const prefix = `PGBACKREST_REPO${index + 1}`;
  return [
    ...(blockIncremental ? [[`${prefix}_BLOCK`, () => "y"] as const] : []),
    ...(bundle ? [[`${prefix}_BUNDLE`, () => "y"] as const] : []),
    ...(s3 === undefined || s3.keyType === "shared" ? [] : [[`${prefix}_S3_KEY_TYPE`, () => s3.keyType] as const]),
    ...optionVariables(prefix, options),
  ];
}

/** Name and value. */
type Variable = readonly [string, () => string];

/** pgBackRest's form for lists is one value after the other, with colons between. */
function optionVariables(prefix: string, options: ConfOptions): Variable[] {
  return Object.keys(options)
    .map(
      (name): Variable => [
        `${prefix}_${name.toUpperCase().replaceAll("-", "_")}`,
        () => (options[name] ?? "").replaceAll("\n", ":"),
      ],
    )
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

function compressOf(repository: RepositoryPlan | undefined): object | undefined {
  if (
    repository === undefined ||
    findCompressType(repository.compressType) === null ||
    repository.compressType === "none"
  )
    return undefined;
  return fields({ type: () => repository.compressType, level: () => repository.compressLevel });
}

/** The first repository at the schedule's time, each other one an hour later; only the first backs up immediately. */
function runsOf(context: EngineContext, schedule: Schedule): BackupRun[] {
  const { repositories } = context.database;
  const options = scheduleOptionsOf(context, schedule.name);
  const chosen = repositories.filter(({ name }) => schedule.repositories.includes(name));
  return chosen.map((repository, index) => {
    const parameters = {
      backupType: schedule.type,
      selectedRepository: String(repositories.indexOf(repository) + 1),
    };
    const own = {
      target: "primary",
      suffix: repositories.length === 1 ? schedule.name : ownScheduleName(schedule.type, repository.name),
      method: "plugin" as const,
      pluginConfiguration: { name: DALIBO, parameters },
    };
    return merged(
      options,
      own,
      fields({ immediate: () => options.immediate && index === 0, cron: () => shiftedCron(schedule.cron, index) }),
    );
  });
}

function shiftedCron(cron: string, index: number): string {
  const shifted = index === 0 ? cron : shiftCron(cron, index * OFFSET_MINUTES);
  if (shifted === null) throw new Error(`"${cron}" cannot be moved by ${index * OFFSET_MINUTES} minutes`);
  return shifted;
}
