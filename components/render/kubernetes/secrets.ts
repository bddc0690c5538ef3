/**
 * Secrets of Kubernetes that hold a repository's keys and passphrase, in one shape for every engine: Barman's documentation and Dalibo's
 * samples use the names `ACCESS_KEY_ID`, `ACCESS_SECRET_KEY`, `ACCESS_SESSION_TOKEN` and `ENCRYPTION_PASS`. Pure: the values are what the
 * caller has, texts or values to come.
 *
 * ExternalSecret: external-secrets.io/v1; the operator no longer serves v1beta1.
 */

/** What a repository's Secret may hold, and under which name. */
export const SECRET_KEYS = {
  accessKeyId: "ACCESS_KEY_ID",
  secretAccessKey: "ACCESS_SECRET_KEY",
  sessionToken: "ACCESS_SESSION_TOKEN",
  passphrase: "ENCRYPTION_PASS",
  region: "ACCESS_REGION",
} as const;
export type SecretPart = keyof typeof SECRET_KEYS;
export const SECRET_PARTS = Object.keys(SECRET_KEYS) as SecretPart[];

/** A Secret and the names of its keys; what is left out has our own name, or is not there. */
export interface SecretNames<T> {
  readonly name: T;
  readonly accessKeyIdKey?: string | undefined;
  readonly secretAccessKeyKey?: string | undefined;
  readonly sessionTokenKey?: string | undefined;
  readonly passphraseKey?: string | undefined;
  readonly regionKey?: string | undefined;
}

/** Each part with its Secret and key. @param hasKeys false for a Secret that holds a passphrase only */
export function secretKeysOf<T>(ref: SecretNames<T>, hasKeys: boolean): Partial<Record<SecretPart, { name: T; key: string }>> {
  const keys: Record<SecretPart, string | undefined> = {
    accessKeyId: hasKeys ? (ref.accessKeyIdKey ?? SECRET_KEYS.accessKeyId) : undefined,
    secretAccessKey: hasKeys ? (ref.secretAccessKeyKey ?? SECRET_KEYS.secretAccessKey) : undefined,
    sessionToken: ref.sessionTokenKey,
    passphrase: ref.passphraseKey,
    region: ref.regionKey,
  };
  return Object.fromEntries(SECRET_PARTS.flatMap((part) => (keys[part] === undefined ? [] : [[part, { name: ref.name, key: keys[part] }]])));
}

/** CloudNativePG and its plugins read a Secret anew when it changes and has this label. */
const RELOAD = { "cnpg.io/reload": "true" };

export interface SecretPlace<T> {
  readonly name: T;
  readonly namespace: T;
  /** Beside those that are needed. */
  readonly labels: Readonly<Record<string, T>>;
}

/** `v1/Secret` with `stringData`: what Pulumi's provider keeps secret by itself. Parts that are undefined are left out. */
export function renderSecret<T>(place: SecretPlace<T>, parts: Readonly<Partial<Record<SecretPart, T | undefined>>>) {
  const given = SECRET_PARTS.flatMap((part): [string, T][] => {
    const value = parts[part];
    return value === undefined ? [] : [[SECRET_KEYS[part], value]];
  });
  return { apiVersion: "v1", kind: "Secret", metadata: metadataOf(place), type: "Opaque", stringData: Object.fromEntries(given) };
}

/** One key of the Secret, and where the store has it. */
export interface ExternalKey<T> {
  readonly secretKey: string;
  /** Item, path or `item/section/field`, as the store names it. */
  readonly key: T;
  /** Field of the item, for stores that have such. */
  readonly property?: T | undefined;
}

export interface ExternalSource<T> {
  readonly storeName: T;
  /** `SecretStore` or `ClusterSecretStore`. */
  readonly storeKind: string;
  readonly refreshIntervalSeconds: number;
  /** `Owner`, `Orphan` or `Merge`. */
  readonly creationPolicy: string;
  /** `Retain`, `Delete` or `Merge`. */
  readonly deletionPolicy: string;
}

/** `external-secrets.io/v1/ExternalSecret` whose Secret has its name. */
export function renderExternalSecret<T>(place: SecretPlace<T>, source: ExternalSource<T>, keys: readonly ExternalKey<T>[]) {
  const { storeName, storeKind, refreshIntervalSeconds, creationPolicy, deletionPolicy } = source;
  return {
    apiVersion: "external-secrets.io/v1",
    kind: "ExternalSecret",
    metadata: { name: place.name, namespace: place.namespace, ...(Object.keys(place.labels).length === 0 ? {} : { labels: place.labels }) },
    spec: {
      refreshPolicy: "Periodic",
      refreshInterval: durationText(refreshIntervalSeconds),
      secretStoreRef: { name: storeName, kind: storeKind },
      target: {
        name: place.name,
        creationPolicy,
        deletionPolicy,
        template: { metadata: { labels: { ...RELOAD, ...place.labels } } },
      },
      data: keys.map(({ secretKey, key, property }) => ({ secretKey, remoteRef: { key, ...(property === undefined ? {} : { property }) } })),
    },
  };
}

function metadataOf<T>({ name, namespace, labels }: SecretPlace<T>) {
  return { name, namespace, labels: { ...RELOAD, ...labels } };
}

/** As Go reads durations: `1h`, `90s`. */
function durationText(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  return seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}
