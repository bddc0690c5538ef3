/** Arguments of {@link AzureRepository}. */
import type * as pulumi from "@pulumi/pulumi";
import type { BucketContentArgs, BucketProtectionArgs } from "./repositoryArgs";
import type { BucketFacts, SecretRef, UriStyle } from "./target";

/** Where Azure keeps its copies of the data. */
export const AzureRedundancy = {
  /** Three copies in one data centre. */
  Local: "Standard_LRS",
  /** Three copies in three data centres of the region. */
  Zone: "Standard_ZRS",
  /** Three copies in the region, and later three in another one. */
  Geo: "Standard_GRS",
} as const;
export type AzureRedundancy = (typeof AzureRedundancy)[keyof typeof AzureRedundancy];

/** The two keys of a storage account. */
export const AzureAccountKey = { Key1: "key1", Key2: "key2" } as const;
export type AzureAccountKey = (typeof AzureAccountKey)[keyof typeof AzureAccountKey];

/** A storage account and a container to make. */
export interface AzureNewContainer {
  /** Name of the account: 3 to 24 lower-case letters and digits, unique at Azure. @example "acmeorderspg" */
  accountName: pulumi.Input<string>;
  /** Region of the account. @example "westeurope" */
  location: pulumi.Input<string>;
  /**
   * An existing resource group for the account.
   * @default a new one, `pgbackstop-ACCOUNT`
   */
  resourceGroupName?: pulumi.Input<string>;
  /** Name of the container: 3 to 63 lower-case letters, digits and single hyphens. @default "pgbackrest" */
  name?: pulumi.Input<string>;
  /** @default "Standard_LRS" */
  redundancy?: pulumi.Input<AzureRedundancy>;
}

/** An existing container. The component creates signatures for it and does not change it. */
export interface AzureExistingContainer {
  /** Name of the account. @example "acmeorderspg" */
  accountName: pulumi.Input<string>;
  /** Name of the container. @example "pgbackrest" */
  name: pulumi.Input<string>;
  /** Resource group of the account: needed where keys are made. */
  resourceGroupName?: pulumi.Input<string>;
  /** Port of the service. @default 443 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account in the host name or, for servers such as Azurite, in the path. @default "host" */
  uriStyle?: pulumi.Input<UriStyle>;
  /**
   * File on the database's host with the trusted certificates, for a private authority.
   * @example "/etc/ssl/private-ca.pem"
   */
  caFile?: pulumi.Input<string>;
  /** The features of account and container; omitted ones count as unknown. Databases' rules check them. */
  facts?: BucketFacts;
}

/** Which container: exactly one of the two. */
export interface AzureContainerChoice {
  create?: AzureNewContainer;
  existing?: AzureExistingContainer;
}

/**
 * Signatures (SAS) for this container, over HTTPS only. The writer's is always made: it lists, reads, writes and
 * deletes by name, and cannot delete a version.
 */
export interface AzureNewKeys {
  /**
   * True makes a read-only signature, for restores elsewhere, drills and clones: `readerTarget`, `readerCredentials`.
   * @default false
   * @plain whether the signature exists
   */
  reader?: boolean;
  /**
   * True makes a signature that can also delete versions (not locked ones), to clean the container after an attack:
   * `recoveryCredentials`. Do not give it to databases.
   * @default false
   * @plain whether the signature exists
   */
  recovery?: boolean;
  /**
   * Last day of the signatures, UTC. Backups stop then: set it only if you also plan their renewal.
   * @default no end, as keys of other providers have none
   * @example "2027-12-31"
   */
  expires?: pulumi.Input<string>;
  /**
   * The account's key that signs. To take all signatures away, sign with the other one, update, and renew this one at
   * Azure: `az storage account keys renew --key key1 …`.
   * @default "key1"
   */
  signedBy?: pulumi.Input<AzureAccountKey>;
}

/** A key of the account itself. It can do everything in all containers of the account: prefer a signature. */
export interface AzureSharedKey {
  /** Which of the two keys databases get. @default "key1" */
  signedBy?: pulumi.Input<AzureAccountKey>;
}

/** The managed identity of the machine (a virtual machine of Azure); no key can leak. */
export interface AzureManagedIdentity {
  /**
   * Object id of the identity, which gets the role Storage Blob Data Contributor for the container. If omitted, assign
   * the role yourself.
   */
  principalId?: pulumi.Input<string>;
}

/** An existing key. */
export interface AzureExistingKeys {
  /** Secret. A shared access signature of the container with the rights `racwdl`, or a key of the account. */
  key: pulumi.Input<string>;
  /**
   * True if it is a key of the account, not a signature.
   * @default false
   * @plain what kind of key it is
   */
  isAccountKey?: boolean;
}

/** How databases sign in: exactly one of the five. */
export interface AzureCredentialsChoice {
  create?: AzureNewKeys;
  accountKey?: AzureSharedKey;
  managedIdentity?: AzureManagedIdentity;
  keys?: AzureExistingKeys;
  /**
   * For Kubernetes clusters: an existing Secret with a signature under a key of any name.
   * @example
   * { name: "backup-credentials", azureKeyKey: "AZURE_STORAGE_SAS_TOKEN" }
   */
  existingSecret?: SecretRef;
}

export interface AzureRepositoryArgs extends BucketContentArgs, BucketProtectionArgs {
  /** The container to create or use. One container for each repository is best. */
  container: AzureContainerChoice;
  /** How databases sign in. @default a separate signature for this container, made here */
  credentials?: AzureCredentialsChoice;
  /**
   * Another cloud's endpoint, or a server's host name, without the account.
   * @default "blob.core.windows.net"
   * @example "blob.core.usgovcloudapi.net"
   */
  endpoint?: pulumi.Input<string>;
  /**
   * True if the container survives the loss of the database's site.
   * @default true at Azure, else unknown
   */
  offSite?: pulumi.Input<boolean>;
}
