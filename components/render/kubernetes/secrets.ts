/**
 * Kubernetes Secrets with a repository's keys and passphrase, in one form for every engine: Barman's documentation and
 * Dalibo's samples use the names `ACCESS_KEY_ID`, `ACCESS_SECRET_KEY`, `ACCESS_SESSION_TOKEN` and `ENCRYPTION_PASS`.
 * Pure: values are texts or deferred values.
 *
 * ExternalSecret: external-secrets.io/v1; the operator no longer serves v1beta1.
 */
import { given } from "../../../runtime/base/given";
import { type StoreKind, storeKindOf } from "../../plan/repositories/repositoryTypes";

/** Parts of a repository's Secret, and their names. */
export const SECRET_KEYS = {
  accessKeyId: "ACCESS_KEY_ID",
  secretAccessKey: "ACCESS_SECRET_KEY",
  sessionToken: "ACCESS_SESSION_TOKEN",
  azureKey: "AZURE_KEY",
  gcsKey: "GCS_KEY",
  passphrase: "ENCRYPTION_PASS",
  region: "ACCESS_REGION",
} as const;
export type SecretPart = keyof typeof SECRET_KEYS;
export const SECRET_PARTS = Object.keys(SECRET_KEYS) as SecretPart[];

/** A Secret and the names of its keys; a missing name is our default, or the part is absent. */
export interface SecretNames<T> {
  readonly name: T;
  readonly accessKeyIdKey?: T | undefined;
  readonly secretAccessKeyKey?: T | undefined;
  readonly sessionTokenKey?: T | undefined;
  readonly azureKeyKey?: T | undefined;
  readonly gcsKeyKey?: T | undefined;
  readonly passphraseKey?: T | undefined;
  readonly regionKey?: T | undefined;
}

/** Each part with its Secret and key. @param kind null for a Secret that holds a passphrase only */
export function secretKeysOf<T>(
  ref: SecretNames<T>,
  kind: StoreKind | null,
): Partial<Record<SecretPart, { name: T; key: T | string }>> {
  const keys: Record<SecretPart, T | string | undefined> = {
    accessKeyId: kind === "s3" ? (ref.accessKeyIdKey ?? SECRET_KEYS.accessKeyId) : undefined,
    secretAccessKey: kind === "s3" ? (ref.secretAccessKeyKey ?? SECRET_KEYS.secretAccessKey) : undefined,
    azureKey: kind === "azure" ? (ref.azureKeyKey ?? SECRET_KEYS.azureKey) : undefined,
    gcsKey: kind === "gcs" ? (ref.gcsKeyKey ?? SECRET_KEYS.gcsKey) : undefined,
    sessionToken: ref.sessionTokenKey,
    passphrase: ref.passphraseKey,
    region: ref.regionKey,
  };
  return Object.fromEntries(
    SECRET_PARTS.flatMap((part) => (keys[part] === undefined ? [] : [[part, { name: ref.name, key: keys[part] }]])),
  );
}

type KeptKeys<T> = {
  readonly [Kind in StoreKind]?: { readonly existingSecret?: SecretNames<T> | undefined } | undefined;
};

export function existingKeysOf<T>(target: KeptKeys<T>): ReturnType<typeof secretKeysOf<T>> {
  const kind = storeKindOf(target);
  const existing = kind === null ? undefined : target[kind]?.existingSecret;
  return existing === undefined ? {} : secretKeysOf(existing, kind);
}

/** With this label CloudNativePG and its plugins read a changed Secret again. */
const RELOAD = { "cnpg.io/reload": "true" };

export interface SecretMetadata<T, Labels = Readonly<Record<string, T>>> {
  readonly name: T;
  readonly namespace: T;
  /** Besides the required ones. */
  readonly labels: Labels;
}

/** Labels of both, which may come later as a whole. */
type Join<Labels> = (required: Readonly<Record<string, string>>, own: Labels) => Labels;

function joined<Labels>(required: Readonly<Record<string, string>>, own: Labels): Labels {
  return { ...required, ...own };
}

/** `v1/Secret` with `stringData`, which Pulumi's provider keeps secret. Undefined parts are omitted. */
export function renderSecret<T, Labels = Readonly<Record<string, T>>>(
  metadata: SecretMetadata<T, Labels>,
  parts: Readonly<Partial<Record<SecretPart, T | undefined>>>,
  join: Join<Labels> = joined,
) {
  const entries = SECRET_PARTS.flatMap((part): [string, T][] => {
    const value = parts[part];
    return value === undefined ? [] : [[SECRET_KEYS[part], value]];
  });
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { ...metadata, labels: join(RELOAD, metadata.labels) },
    type: "Opaque",
    stringData: Object.fromEntries(entries),
  };
}

/** One key of the Secret, and its location in the store. */
export interface ExternalKey<T> {
  readonly secretKey: T;
  /** Item, path or `item/section/field`, in the store's form. */
  readonly key: T;
  /** Field of the item, for stores with fields. */
  readonly property?: T | undefined;
}

export interface ExternalSource<T> {
  readonly storeName: T;
  /** `SecretStore` or `ClusterSecretStore`. */
  readonly storeKind: T;
  /** A duration in Go's form: {@link durationText}. */
  readonly refreshInterval: T;
  /** `Owner`, `Orphan` or `Merge`. */
  readonly creationPolicy: T;
  /** `Retain`, `Delete` or `Merge`. */
  readonly deletionPolicy: T;
}

/** `external-secrets.io/v1/ExternalSecret` whose Secret has its name. */
export function renderExternalSecret<T, Labels extends object = Readonly<Record<string, T>>>(
  metadata: SecretMetadata<T, Labels>,
  source: ExternalSource<T>,
  keys: readonly ExternalKey<T>[],
  join: Join<Labels> = joined,
) {
  const { storeName, storeKind, refreshInterval, creationPolicy, deletionPolicy } = source;
  return {
    apiVersion: "external-secrets.io/v1",
    kind: "ExternalSecret",
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      ...(Object.keys(metadata.labels).length === 0 ? {} : { labels: metadata.labels }),
    },
    spec: {
      refreshPolicy: "Periodic",
      refreshInterval,
      secretStoreRef: { name: storeName, kind: storeKind },
      target: {
        name: metadata.name,
        creationPolicy,
        deletionPolicy,
        template: { metadata: { labels: join(RELOAD, metadata.labels) } },
      },
      data: keys.map(({ secretKey, key, property }) => ({ secretKey, remoteRef: { key, ...given({ property }) } })),
    },
  };
}

/** A duration in Go's form: `1h`, `90s`. */
export function durationText(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
