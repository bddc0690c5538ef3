/**
 * Engine `barman-cloud`: the Barman Cloud plugin (0.14) with one ObjectStore. It writes to one repository, takes full
 * backups and has no encryption of its own. Rules refuse additional repositories and other kinds of backups; nothing is
 * left out here.
 */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { ClusterDatabasePlan } from "../../plan/model/plan";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import type { S3Plan } from "../../plan/repositories/s3Type";
import { BARMAN } from "../../plan/rules/manifests/plugins";
import { given } from "../../plan/model/given";
import { MANAGED_BY, type RenderedObject, resourcesSpec } from "../kubernetes/objects";
import {
  type ClusterEngine,
  type EngineContext,
  type EngineParts,
  type PluginEntry,
  scheduleOptionsOf,
} from "./engine";

/** Providers that have refused the checksums which newer Amazon libraries send by default. */
const WITHOUT_CHECKSUMS = ["b2", "r2"];
const CHECKSUM_VARIABLES = ["AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"];
/** Barman's own names; types that it does not support get its default. */
const COMPRESSIONS: Readonly<Partial<Record<string, { readonly wal: string; readonly data?: string }>>> = {
  gz: { wal: "gzip", data: "gzip" },
  lz4: { wal: "lz4", data: "lz4" },
  zst: { wal: "zstd" },
};

export const barmanCloud: ClusterEngine = {
  render: renderBarman,
  source: (context) => {
    const { cluster, repositories } = context.database;
    return {
      plugin: barmanSource(context, cluster),
      objects: repositories.slice(0, 1).map((first) => objectStore(context, first, cluster)),
    };
  },
};

/** Everything that the engine brings into the namespace of the cluster. */
function renderBarman(context: EngineContext): EngineParts {
  const { database } = context;
  return {
    plugins: [
      {
        name: context.pluginName ?? BARMAN,
        isWALArchiver: true,
        parameters: parametersOf(database, objectStoreName(database)),
      },
    ],
    backup: { target: database.backupTarget },
    objects: database.repositories
      .slice(0, 1)
      .map((repository) => objectStore(context, repository, objectStoreName(database))),
    runs: database.schedules.map((schedule) => ({
      ...scheduleOptionsOf(context, schedule.name),
      suffix: schedule.name,
      cron: schedule.cron,
      method: "plugin" as const,
      pluginConfiguration: { name: BARMAN },
    })),
  };
}

/** Source of a restore: the server's name is that of the backed-up cluster. */
function barmanSource({ database }: EngineContext, name: string): PluginEntry {
  return { name: BARMAN, parameters: { barmanObjectName: name, serverName: database.stanza } };
}

/** `orders-store` */
function objectStoreName({ cluster }: Pick<ClusterDatabasePlan, "cluster">): string {
  return `${cluster}-store`;
}

/** @param name of the object */
function objectStore(context: EngineContext, repository: RepositoryPlan, name: string): RenderedObject {
  const { database } = context;
  const spec = context.isOutline ? {} : storeSpec(context, repository);
  return {
    role: "object-store",
    manifest: {
      apiVersion: "barmancloud.cnpg.io/v1",
      kind: "ObjectStore",
      metadata: { name, namespace: database.namespace, labels: MANAGED_BY },
      spec,
    },
  };
}

function storeSpec({ definition, secrets }: EngineContext, repository: RepositoryPlan): object {
  const { s3 } = repository;
  if (s3 === undefined) throw new Error("this plugin writes to a bucket only");
  const keys = secrets[repository.name] ?? {};
  const compression = COMPRESSIONS[repository.compressType];
  const env = environmentOf(s3);
  return given({
    configuration: given({
      destinationPath: `s3://${s3.bucket}${repository.path}`,
      endpointURL: endpointUrl(s3),
      endpointCA: keys.ca,
      s3Credentials: credentialsOf(s3, keys),
      wal: compression === undefined ? undefined : { compression: compression.wal },
      data: compression?.data === undefined ? undefined : { compression: compression.data },
    }),
    retentionPolicy: repository.keepDays === undefined ? undefined : `${repository.keepDays}d`,
    instanceSidecarConfiguration: given({
      env,
      resources: resourcesSpec(definition.sidecarResources),
    }),
  });
}

function parametersOf({ cluster, stanza }: ClusterDatabasePlan, name: string): Record<string, string> {
  return { barmanObjectName: name, ...(stanza === cluster ? {} : { serverName: stanza }) };
}

function endpointUrl({ endpoint, port }: S3Plan): string {
  return `https://${endpoint}${port === 443 ? "" : `:${port}`}`;
}

/** The region comes from a Secret, if one holds it, or from the environment. */
function credentialsOf({ keyType }: S3Plan, keys: SecretKeysSettings): object {
  if (keyType !== "shared") return { inheritFromIAMRole: true };
  return given({
    accessKeyId: keys.accessKeyId,
    secretAccessKey: keys.secretAccessKey,
    sessionToken: keys.sessionToken,
    region: keys.region,
  });
}

/**
 * No variable selects the bucket's addressing: Amazon's library puts the name into the path of every given endpoint.
 */
function environmentOf(s3: S3Plan): { readonly name: string; readonly value: string }[] {
  const row = findQuirks(s3.quirks ?? "auto", s3.endpoint);
  const checksums = row === null || WITHOUT_CHECKSUMS.includes(row.id) || !row.hosted;
  return [
    { name: "AWS_DEFAULT_REGION", value: s3.region },
    ...(checksums ? CHECKSUM_VARIABLES.map((name) => ({ name, value: "when_required" })) : []),
  ];
}
