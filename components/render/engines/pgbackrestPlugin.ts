/**
 * Engine `pgbackrest` on CloudNativePG: Dalibo's plugin (0.0.3), which runs stock pgBackRest. WAL goes to all
 * repositories, a backup to one: each schedule becomes one ScheduledBackup per repository, an hour apart, always on the
 * primary. Repositories are numbered by their position in the Stanza, not by their key. Since version 0.0.1 the object
 * is a Stanza; before, it was called Repository.
 */
import { findCompressType } from "../../plan/model/defaults";
import type { SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { ConfOptions } from "../../plan/model/confOptions";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import { OFFSET_MINUTES } from "../../plan/rules/engines";
import { DALIBO } from "../../plan/rules/manifests/plugins";
import { ownScheduleName, type Schedule, shiftCron } from "../../plan/schedule/schedule";
import { given } from "../../plan/model/given";
import { isUnknown } from "../../plan/model/unknown";
import { MANAGED_BY, type RenderedObject, resourcesSpec } from "../kubernetes/objects";
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
  source: (context) => ({
    plugin: pgbackrestSource(context, context.database.cluster),
    objects: [stanzaObject(context, context.database.cluster)],
  }),
};

/** Everything that the engine brings into the namespace of the cluster. */
function renderPgbackrestPlugin(context: EngineContext): EngineParts {
  const { database } = context;
  return {
    plugins: [
      {
        name: context.pluginName ?? DALIBO,
        isWALArchiver: true,
        parameters: {
          ...referenceOf(context, stanzaName(database)),
          ...(pluginConfig(context).length === 0 ? {} : { pluginConfigRef: pluginConfigName(database) }),
        },
      },
    ],
    backup: { target: "primary" },
    objects: [stanzaObject(context, stanzaName(database)), ...pluginConfig(context)],
    runs: database.schedules.flatMap((schedule) => runsOf(context, schedule)),
  };
}

/** `orders-plugin` */
function pluginConfigName({ cluster }: Pick<ClusterDatabasePlan, "cluster">): string {
  return `${cluster}-plugin`;
}

/** CPU and memory of the sidecars; empty if none are declared. */
function pluginConfig({ database, definition }: EngineContext): RenderedObject[] {
  const resourcesRequirement = resourcesSpec(definition.sidecarResources);
  if (resourcesRequirement === undefined) return [];
  const metadata = { name: pluginConfigName(database), namespace: database.namespace, labels: MANAGED_BY };
  return [
    {
      role: "plugin-config",
      manifest: { apiVersion: GROUP, kind: "PluginConfig", metadata, spec: { resourcesRequirement } },
    },
  ];
}

/** Source of a restore. */
function pgbackrestSource(context: EngineContext, name: string): PluginEntry {
  return { name: DALIBO, parameters: referenceOf(context, name) };
}

/** `orders-stanza` */
function stanzaName({ cluster }: Pick<ClusterDatabasePlan, "cluster">): string {
  return `${cluster}-stanza`;
}

/** The Stanza with all repositories. @param name of the object */
function stanzaObject(context: EngineContext, name: string): RenderedObject {
  const { database, secrets } = context;
  const isOld = context.definition.stanzaKind === "Repository";
  const s3Repositories = context.isOutline
    ? []
    : database.repositories.map((repository) => repositoryOf(repository, secrets[repository.name] ?? {}, isOld));
  // Beyond pushQueueMax the plugin drops its queued WAL for all repositories, so no limit is set.
  const archive = { async: true };
  const manifest = {
    apiVersion: GROUP,
    metadata: { name, namespace: database.namespace, labels: MANAGED_BY },
  };
  if (isOld) {
    return {
      role: "stanza",
      manifest: {
        ...manifest,
        kind: "Repository",
        spec: { repoConfiguration: { stanza: database.stanza, archive, s3Repositories } },
      },
    };
  }
  const variables = Object.fromEntries([
    ...database.repositories.flatMap(variablesOf),
    ...optionVariables("PGBACKREST", database.options),
  ]);
  const stanzaConfiguration = given({
    name: database.stanza,
    archive,
    startFast: true,
    compressConfig: compressOf(database.repositories[0]),
    customEnvVar: Object.keys(variables).length === 0 ? undefined : variables,
    s3Repositories,
  });
  return { role: "stanza", manifest: { ...manifest, kind: "Stanza", spec: { stanzaConfiguration } } };
}

function referenceOf({ definition }: EngineContext, name: string): Record<string, string> {
  return definition.stanzaKind === "Repository" ? { repositoryRef: name } : { stanzaRef: name };
}

function repositoryOf(
  { encrypted, keepDays, keepDiffCount, keepFullCount, path, s3 }: RepositoryPlan,
  keys: SecretKeysSettings,
  isOld: boolean,
): object {
  if (s3 === undefined) throw new Error("this plugin writes to buckets only");
  const retention = keepDays === undefined ? keepFullCount : keepDays;
  return given({
    bucket: s3.bucket,
    endpoint: s3.port === 443 ? s3.endpoint : `${s3.endpoint}:${s3.port}`,
    region: s3.region,
    repoPath: path,
    uriStyle: s3.uriStyle,
    // Version 0.0.3 turns it off by default.
    verifyTLS: true,
    retentionPolicy:
      retention === undefined
        ? undefined
        : given({ full: retention, fullType: keepDays === undefined ? "count" : "time", diff: keepDiffCount }),
    secretRef:
      keys.accessKeyId === undefined || keys.secretAccessKey === undefined
        ? undefined
        : { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
    cipherConfig:
      !encrypted || isOld || keys.passphrase === undefined
        ? undefined
        : { type: "aes-256-cbc", encryptionPass: keys.passphrase },
  });
}

/** Settings without a field in the Stanza. */
function variablesOf({ blockIncremental, bundle, options, s3 }: RepositoryPlan, index: number): [string, string][] {
  const prefix = `PGBACKREST_REPO${index + 1}`;
  return [
    ...(blockIncremental ? [[`${prefix}_BLOCK`, "y"] as [string, string]] : []),
    ...(bundle ? [[`${prefix}_BUNDLE`, "y"] as [string, string]] : []),
    ...(s3 === undefined || s3.keyType === "shared" ? [] : [[`${prefix}_S3_KEY_TYPE`, s3.keyType] as [string, string]]),
    ...optionVariables(prefix, options),
  ];
}

/** pgBackRest's form for lists is one value after the other, with colons between. */
function optionVariables(prefix: string, options: ConfOptions): [string, string][] {
  return Object.entries(options)
    .map(([name, value]): [string, string] => [
      `${prefix}_${name.toUpperCase().replaceAll("-", "_")}`,
      value.replaceAll("\n", ":"),
    ])
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

function compressOf(repository: RepositoryPlan | undefined): object | undefined {
  if (
    repository === undefined ||
    findCompressType(repository.compressType) === null ||
    repository.compressType === "none"
  )
    return undefined;
  return { type: repository.compressType, level: repository.compressLevel };
}

/** The first repository at the schedule's time, each other one an hour later; only the first backs up at once. */
function runsOf(context: EngineContext, schedule: Schedule): BackupRun[] {
  const { database } = context;
  const options = scheduleOptionsOf(context, schedule.name);
  const chosen = database.repositories.filter(({ name }) => schedule.repositories.includes(name));
  return chosen.map((repository, index) => {
    const cron =
      index === 0 || isUnknown(schedule.cron) ? schedule.cron : shiftCron(schedule.cron, index * OFFSET_MINUTES);
    if (cron === null) throw new Error(`"${schedule.cron}" cannot be moved by ${index * OFFSET_MINUTES} minutes`);
    return {
      ...options,
      target: "primary",
      immediate: options.immediate && index === 0,
      suffix: database.repositories.length === 1 ? schedule.name : ownScheduleName(schedule.type, repository.name),
      cron,
      method: "plugin" as const,
      pluginConfiguration: {
        name: DALIBO,
        parameters: {
          backupType: schedule.type,
          selectedRepository: String(database.repositories.indexOf(repository) + 1),
        },
      },
    };
  });
}
