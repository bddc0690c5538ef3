/**
 * Doubles of the custom resources of Dalibo's plugin, because no package manager carries a published definition. Kinds,
 * fields, required fields and values follow its documentation and its version 0.0.3. Like real definitions, they make
 * an API server reject unknown fields.
 *
 * `Stanza` and `PluginConfig` exist since 0.0.1; `Repository` preceded them.
 */

interface Schema {
  readonly type: "object" | "array" | "string" | "integer" | "boolean";
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly additionalProperties?: Schema;
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
}

const GROUP = "pgbackrest.dalibo.com";
const TEXT: Schema = { type: "string" };
const FLAG: Schema = { type: "boolean" };
const NUMBER: Schema = { type: "integer" };
/** Types that Kubernetes defines, and the status that the plugin writes. Their fields are not checked. */
const OPEN: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

const SECRET_KEY = object({ name: TEXT, key: TEXT }, ["name", "key"]);
const RETENTION = object({
  full: { type: "integer", minimum: 1, maximum: 9_999_999 },
  fullType: oneOf("count", "time"),
  diff: NUMBER,
  archive: NUMBER,
  archiveType: oneOf("full", "diff", "incr"),
  history: NUMBER,
});
const S3_REPOSITORY = object(
  {
    bucket: TEXT,
    endpoint: TEXT,
    region: TEXT,
    repoPath: TEXT,
    uriStyle: oneOf("host", "path"),
    verifyTLS: FLAG,
    secretRef: object({ accessKeyId: SECRET_KEY, secretAccessKey: SECRET_KEY }, ["accessKeyId", "secretAccessKey"]),
    retentionPolicy: RETENTION,
    cipherConfig: object({ encryptionPass: SECRET_KEY, type: oneOf("aes-256-cbc") }),
  },
  ["bucket", "endpoint", "region", "repoPath"],
);
const AZURE_REPOSITORY = object(
  {
    account: TEXT,
    container: TEXT,
    repoPath: TEXT,
    endpoint: TEXT,
    keyType: oneOf("shared", "sas", "auto"),
    uriStyle: oneOf("host", "path"),
    verifyTLS: FLAG,
    secretRef: object({ keyReference: SECRET_KEY }),
    retentionPolicy: RETENTION,
  },
  ["account", "container", "repoPath"],
);
/** Fields of both kinds of configuration. */
const COMMON = {
  s3Repositories: { type: "array", items: S3_REPOSITORY },
  archive: object({ async: FLAG, pushQueueMax: TEXT, getQueueMax: TEXT }),
  processMax: NUMBER,
  startFast: FLAG,
  delta: FLAG,
  logLevel: TEXT,
  compressConfig: object({ type: oneOf("bz2", "gz", "lz4", "zst"), level: NUMBER }),
  customEnvVar: { type: "object", additionalProperties: TEXT },
} as const satisfies Readonly<Record<string, Schema>>;

const STANZA = object({
  stanzaConfiguration: object(
    { name: TEXT, azureRepositories: { type: "array", items: AZURE_REPOSITORY }, ...COMMON },
    ["name"],
  ),
});
const REPOSITORY = object({ repoConfiguration: object({ stanza: TEXT, ...COMMON }, ["stanza"]) });
const PLUGIN_CONFIG = object({
  resourcesRequirement: OPEN,
  storageConfig: object({ storageClass: TEXT, size: { type: "string", pattern: "^[0-9]+[M|G]i$" } }),
  exporterConfig: object({ enabled: FLAG, collectInterval: NUMBER, resourcesRequirement: OPEN }),
});

/** The current kinds, or the older `Repository` kind. */
export function daliboDefinitions(generation: "stanza" | "repository"): readonly object[] {
  if (generation === "repository") return [definition("Repository", "repositories", REPOSITORY)];
  return [definition("Stanza", "stanzas", STANZA), definition("PluginConfig", "pluginconfigs", PLUGIN_CONFIG)];
}

function object(properties: Readonly<Record<string, Schema>>, required: readonly string[] = []): Schema {
  return { type: "object", properties, ...(required.length === 0 ? {} : { required }) };
}

function oneOf(...values: readonly string[]): Schema {
  return { type: "string", enum: values };
}

function definition(kind: string, plural: string, spec: Schema): object {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      scope: "Namespaced",
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { apiVersion: TEXT, kind: TEXT, metadata: { type: "object" }, spec, status: OPEN },
              required: ["spec"],
            },
          },
        },
      ],
    },
  };
}
