/**
 * Common parts of `RepositorySecret` and `SharedExternalSecret`: keys in a store, their names in the Secret, and
 * references to them.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  durationText,
  type ExternalKey,
  type ExternalSource,
  SECRET_KEYS,
  SECRET_PARTS,
} from "../render/kubernetes/secrets";
import type { SecretRef } from "../repositories/target";

/** Whether the store is the namespace's own or the cluster's. */
export const SecretStoreKind = { SecretStore: "SecretStore", ClusterSecretStore: "ClusterSecretStore" } as const;
export type SecretStoreKind = (typeof SecretStoreKind)[keyof typeof SecretStoreKind];

/** Who owns the Secret that the operator writes. */
export const SecretCreationPolicy = { Owner: "Owner", Orphan: "Orphan", Merge: "Merge" } as const;
export type SecretCreationPolicy = (typeof SecretCreationPolicy)[keyof typeof SecretCreationPolicy];

/** What happens to the Secret when the store no longer has the keys. */
export const SecretDeletionPolicy = { Retain: "Retain", Delete: "Delete", Merge: "Merge" } as const;
export type SecretDeletionPolicy = (typeof SecretDeletionPolicy)[keyof typeof SecretDeletionPolicy];

/** A store of the External Secrets Operator, and how its keys become a Secret. */
export interface ExternalStore {
  /** Name of the SecretStore or ClusterSecretStore. @example "onepassword-connect" */
  name: pulumi.Input<string>;
  /** @default "ClusterSecretStore" */
  kind?: pulumi.Input<SecretStoreKind>;
  /** Interval between reads of the store. @default 3600 @minimum 0 */
  refreshIntervalSeconds?: pulumi.Input<number>;
  /** @default "Owner" */
  creationPolicy?: pulumi.Input<SecretCreationPolicy>;
  /** Backups continue with the last known keys while the store is unreadable or empty. @default "Retain" */
  deletionPolicy?: pulumi.Input<SecretDeletionPolicy>;
}

/** Location of one value in the store. */
export interface RemoteKey {
  /** Item or path; with 1Password's SDK `item/[section/]field`. @example "backblaze" */
  key: pulumi.Input<string>;
  /** Field of the item. @example "BACKBLAZE_PGBACKREST_ACCESS_KEY" */
  property?: pulumi.Input<string>;
  /** Name in the Secret, if other readers of the same Secret expect it. @example "b2-access-key-id" */
  secretKey?: pulumi.Input<string>;
}

/** The values of one repository in a store: the keys of one service, the passphrase, or both. */
export interface ExternalKeys {
  /** Where the store has the access key's id; together with `secretAccessKey`. */
  accessKeyId?: RemoteKey;
  /** Where the store has the access key's secret; together with `accessKeyId`. */
  secretAccessKey?: RemoteKey;
  /** Where the store has the token; only for temporary credentials. */
  sessionToken?: RemoteKey;
  /** Where the store has the key of an Azure storage account, or its shared access signature. */
  azureKey?: RemoteKey;
  /** Where the store has the JSON key of a service account at Google. */
  gcsKey?: RemoteKey;
  /** Passphrase of client-side encryption. */
  passphrase?: RemoteKey;
  /** For Barman, if the region is no argument. */
  region?: RemoteKey;
}

const REFRESH_SECONDS = 3600;

/** Applies every default. @throws InputPropertyError */
export function externalSourceOf(store: ExternalStore): ExternalSource<pulumi.Input<string>> {
  const seconds = store.refreshIntervalSeconds ?? REFRESH_SECONDS;
  return {
    storeName: store.name,
    storeKind: store.kind ?? SecretStoreKind.ClusterSecretStore,
    refreshInterval: typeof seconds === "number" ? intervalText(seconds) : pulumi.output(seconds).apply(intervalText),
    creationPolicy: store.creationPolicy ?? SecretCreationPolicy.Owner,
    deletionPolicy: store.deletionPolicy ?? SecretDeletionPolicy.Retain,
  };
}

function intervalText(seconds: number): string {
  if (Number.isSafeInteger(seconds) && seconds >= 1) return durationText(seconds);
  throw new pulumi.InputPropertyError({
    propertyPath: "store.refreshIntervalSeconds",
    reason: `${seconds} is not a number of seconds`,
  });
}

/**
 * The keys by their part.
 * @param prefix of omitted names in the Secret, if several repositories share it: `b2-`
 * @throws InputPropertyError
 */
export function externalKeysOf(
  title: string,
  propertyPath: string,
  keys: ExternalKeys,
  prefix = "",
): Record<string, ExternalKey<pulumi.Input<string>>> {
  checkParts(title, propertyPath, keys);
  const given = SECRET_PARTS.flatMap((part): [string, ExternalKey<pulumi.Input<string>>][] => {
    const remote = keys[part];
    if (remote === undefined) return [];
    const own = `${prefix}${SECRET_KEYS[part]}`;
    return [
      [
        part,
        {
          secretKey: remote.secretKey ?? own,
          key: remote.key,
          ...(remote.property === undefined ? {} : { property: remote.property }),
        },
      ],
    ];
  });
  return Object.fromEntries(given);
}

function checkParts(title: string, propertyPath: string, keys: ExternalKeys): void {
  const wrong = (reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `${title}: ${reason}` });
  };
  const { accessKeyId, azureKey, gcsKey, passphrase, secretAccessKey } = keys;
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    wrong("accessKeyId and secretAccessKey belong together: give both");
  const services = [accessKeyId, azureKey, gcsKey].filter((key) => key !== undefined);
  if (services.length > 1) wrong("these are keys of several services: a repository is at one");
  if (services.length === 0 && passphrase === undefined)
    wrong("no key is given: set accessKeyId and secretAccessKey, azureKey, gcsKey or passphrase");
}

/** @param keys name of a part to its name in the Secret */
export function refOf(name: pulumi.Input<string>, keys: Readonly<Record<string, pulumi.Input<string>>>): SecretRef {
  return { name, ...Object.fromEntries(Object.entries(keys).map(([part, key]) => [`${part}Key`, key])) };
}

/** The name, checked when it arrives if it is deferred. @throws InputPropertyError if Kubernetes refuses it */
export function checkedSecretName(title: string, name: pulumi.Input<string>): pulumi.Input<string> {
  const check = (known: string): string => checkedName(title, known);
  return typeof name === "string" ? check(name) : pulumi.output(name).apply(check);
}

function checkedName(title: string, name: string): string {
  if (name.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name)) return name;
  const reason = `${title}: "${name}" is not a name for a Secret: use lower-case letters, digits, hyphens and dots, at most 253`;
  throw new pulumi.InputPropertyError({ propertyPath: "secretName", reason });
}
