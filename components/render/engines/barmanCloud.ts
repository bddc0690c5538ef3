/**
 * Engine `barman-cloud`: the Barman Cloud plugin (0.14) with one ObjectStore. It writes to one repository, takes full
 * backups and has no encryption of its own. Rules refuse additional repositories and other kinds of backups; nothing is
 * omitted here.
 */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { RepositoryPlan } from "../../plan/repositories/repositoryTypes";
import type { S3Plan } from "../../plan/repositories/s3Type";
import { BARMAN } from "../../plan/rules/manifests/plugins";
import { areSame, fields, givenFields, merged, readers } from "../../plan/model/deferred";
import { metadataOf, object, type RenderedObject, resourcesSpec } from "../kubernetes/objects";
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
  source: (context) => ({
    plugin: barmanSource(context),
    objects: [objectStore(context, () => context.database.cluster)],
  }),
};

/** Everything that the engine brings into the namespace of the cluster. */
function renderBarman(context: EngineContext): EngineParts {
  const { database } = context;
  const storeName = (): string => `${database.cluster}-store`;
  const [stanza, cluster] = [(): string => database.stanza, (): string => database.cluster];
  const serverName = (): string | undefined => (areSame(stanza, cluster) ? undefined : stanza());
  const parameters = givenFields({ barmanObjectName: storeName, serverName }) as PluginEntry["parameters"];
  const plugin = merged(fields({ name: () => context.pluginName ?? BARMAN }), { isWALArchiver: true, parameters });
  return {
    plugins: [plugin],
    backup: fields({ target: () => database.backupTarget }),
    objects: database.repositories.length === 0 ? [] : [objectStore(context, storeName)],
    runs: database.schedules.map((schedule) =>
      merged(
        scheduleOptionsOf(context, schedule.name),
        { suffix: schedule.name, method: "plugin" as const, pluginConfiguration: { name: BARMAN } },
        fields({ cron: () => schedule.cron }),
      ),
    ),
  };
}

/** Source of a restore: the server's name is that of the backed-up cluster. */
function barmanSource({ database }: EngineContext): PluginEntry {
  const parameters = fields({ barmanObjectName: () => database.cluster, serverName: () => database.stanza });
  return { name: BARMAN, parameters };
}

/** The store of the first repository. @param name of the object */
function objectStore({ database, definition, secrets }: EngineContext, name: () => string): RenderedObject {
  const repository = (): RepositoryPlan => database.repositories[0] as RepositoryPlan;
  const { sidecarResources } = definition;
  const retention = (): string | undefined => {
    const { keepDays } = repository();
    return keepDays === undefined ? undefined : `${keepDays}d`;
  };
  return object("object-store", ["barmancloud.cnpg.io/v1", "ObjectStore"], metadataOf(database, name), {
    spec: () =>
      givenFields({
        configuration: () => storeConfiguration(repository(), () => secrets[repository().name] ?? {}),
        retentionPolicy: retention,
        instanceSidecarConfiguration: () =>
          givenFields({
            env: () => environmentOf(bucketOf(repository())),
            resources: () => resourcesSpec(sidecarResources),
          }),
      }),
  });
}

function storeConfiguration(repository: RepositoryPlan, keys: () => SecretKeysSettings): object {
  const s3 = bucketOf(repository);
  const compression = (part: "wal" | "data") => (): object | undefined => {
    const name = COMPRESSIONS[repository.compressType]?.[part];
    return name === undefined ? undefined : { compression: name };
  };
  return givenFields({
    destinationPath: () => `s3://${s3.bucket}${repository.path}`,
    endpointURL: () => `https://${s3.endpoint}${s3.port === 443 ? "" : `:${s3.port}`}`,
    endpointCA: () => keys().ca,
    s3Credentials: () => credentialsOf(s3, keys()),
    wal: compression("wal"),
    data: compression("data"),
  });
}

function bucketOf({ s3 }: RepositoryPlan): S3Plan {
  if (s3 === undefined) throw new Error("this plugin writes to a bucket only");
  return s3;
}

/** The region comes from a Secret, if one holds it, or from the environment. */
function credentialsOf({ keyType }: S3Plan, keys: SecretKeysSettings): object {
  if (keyType !== "shared") return { inheritFromIAMRole: true };
  return givenFields({
    ...readers(keys, "accessKeyId", "secretAccessKey", "sessionToken", "region"),
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
