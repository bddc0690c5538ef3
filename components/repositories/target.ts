/**
 * The location of a repository, as databases see it: output of the repository components, and `at` of a database's
 * repository.
 */
import type * as pulumi from "@pulumi/pulumi";

/** Addressing of buckets: in the host name, or in the path. */
export const UriStyle = { Host: "host", Path: "path" } as const;
export type UriStyle = (typeof UriStyle)[keyof typeof UriStyle];

/** Object storage providers with known differences: one row each of the runtime's table. */
export const S3Quirks = {
  Aws: "aws",
  B2: "b2",
  R2: "r2",
  Minio: "minio",
  Ceph: "ceph",
  SeaweedFs: "seaweedfs",
  Garage: "garage",
  Hetzner: "hetzner",
  Wasabi: "wasabi",
  DigitalOcean: "digitalocean",
  Scaleway: "scaleway",
  OvhCloud: "ovhcloud",
  IDrive: "idrive",
  RustFs: "rustfs",
  VersityGw: "versitygw",
  Generic: "generic",
} as const;
export type S3Quirks = (typeof S3Quirks)[keyof typeof S3Quirks];

/** A passphrase that encrypts a repository's data before it leaves the database's machine. */
export interface CipherRef {
  /** Secret. Without it nobody can read the backups. */
  passphrase: pulumi.Input<string>;
}

/** Keys of an object store. Each is treated as a secret. */
export interface S3Credentials {
  /** Id of the access key. */
  accessKeyId: pulumi.Input<string>;
  /** Its secret. */
  secretAccessKey: pulumi.Input<string>;
  /** Token; only for temporary credentials. */
  sessionToken?: pulumi.Input<string>;
}

/**
 * An existing Kubernetes Secret in the cluster's namespace, or one from `RepositorySecret`, and the names of its keys.
 */
export interface SecretRef {
  /** Name of the Secret. */
  name: pulumi.Input<string>;
  /** Key that holds the access key's id. @default "ACCESS_KEY_ID" */
  accessKeyIdKey?: pulumi.Input<string>;
  /** Key that holds the access key's secret. @default "ACCESS_SECRET_KEY" */
  secretAccessKeyKey?: pulumi.Input<string>;
  /** Key that holds the session token; only for temporary credentials. */
  sessionTokenKey?: pulumi.Input<string>;
  /** Key that holds the key of an Azure storage account, or its shared access signature. @default "AZURE_KEY" */
  azureKeyKey?: pulumi.Input<string>;
  /** Key that holds the JSON key of a service account at Google. @default "GCS_KEY" */
  gcsKeyKey?: pulumi.Input<string>;
  /** Key that holds the passphrase of client-side encryption, if there is one. */
  passphraseKey?: pulumi.Input<string>;
  /** Key that holds the region, if there is one; for Barman. */
  regionKey?: pulumi.Input<string>;
}

/** Administrators' rights under object lock. */
export const LockMode = {
  /**
   * A key with the right to it (B2's bypassGovernance, Amazon's s3:BypassGovernanceRetention) can end a lock; no key
   * made here has it.
   */
  Governance: "governance",
  /** Nobody can end a lock, the provider included. */
  Compliance: "compliance",
} as const;
export type LockMode = (typeof LockMode)[keyof typeof LockMode];

/** How requests to an object store are signed: names of pgBackRest's `repo-s3-key-type`. */
export const S3KeyType = {
  /** With an access key and its secret. */
  Shared: "shared",
  /** With the role of the machine (EC2 instance role). */
  Auto: "auto",
  /** With a token that Kubernetes gives the service account (IRSA). */
  WebId: "web-id",
  /** With the credentials that EKS Pod Identity gives the pod. */
  PodId: "pod-id",
} as const;
export type S3KeyType = (typeof S3KeyType)[keyof typeof S3KeyType];

/**
 * Facts about a bucket beyond its address. A repository component that creates its bucket knows all of them; for an
 * existing bucket omitted ones count as unknown.
 */
export interface BucketFacts {
  /** True if overwritten or deleted objects survive as versions. */
  versioning?: pulumi.Input<boolean>;
  /** Days for which nobody can remove stored objects (object lock). @minimum 0 */
  immutableDays?: pulumi.Input<number>;
  /** `governance` or `compliance`. */
  lockMode?: pulumi.Input<string>;
  /** Days for which overwritten or deleted versions are kept. @minimum 0 */
  undeleteDays?: pulumi.Input<number>;
  /** Storage class. If omitted, the provider's standard class. */
  storageClass?: pulumi.Input<string>;
  /** Age in days at which the bucket's rules remove current objects. Destroys backups: refused. @minimum 0 */
  expireLiveDays?: pulumi.Input<number>;
}

/** A bucket and its address. */
export interface S3Location {
  /** Name of the bucket. */
  bucket: pulumi.Input<string>;
  /** Host name, without scheme and port. */
  endpoint: pulumi.Input<string>;
  /** Region for which requests are signed. */
  region: pulumi.Input<string>;
  /** Port of the store. If omitted, 443. @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  uriStyle?: pulumi.Input<UriStyle>;
  /** File with the certificate of a private authority. */
  caFile?: pulumi.Input<string>;
  quirks?: pulumi.Input<S3Quirks>;
  /** @default "shared" */
  keyType?: pulumi.Input<S3KeyType>;
  /** Keys; with key type "shared" only, and not together with `existingSecret`. */
  credentials?: S3Credentials;
  /** For Kubernetes clusters only: the Secret that already has the keys. */
  existingSecret?: SecretRef;
  facts?: BucketFacts;
}

/** How requests to Azure are authorized: names of pgBackRest's `repo-azure-key-type`. */
export const AzureKeyType = {
  /** With a key of the account, which may do everything in all of its containers. */
  Shared: "shared",
  /** With a shared access signature (SAS), which may do what it names until it ends. */
  Sas: "sas",
  /** With the managed identity of the machine. */
  Auto: "auto",
} as const;
export type AzureKeyType = (typeof AzureKeyType)[keyof typeof AzureKeyType];

/** The key of a container of Azure Blob Storage. It is treated as a secret. */
export interface AzureCredentials {
  /** A key of the account, or a shared access signature with `keyType` "sas". */
  key: pulumi.Input<string>;
}

/** A container of Azure Blob Storage and its address. */
export interface AzureLocation {
  /** Name of the storage account. */
  account: pulumi.Input<string>;
  /** Name of the container. */
  container: pulumi.Input<string>;
  /** Host name without the account, scheme and port. If omitted, `blob.core.windows.net`. */
  endpoint?: pulumi.Input<string>;
  /** Port of the service. If omitted, 443. @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account in the host name or in the path of the address. If omitted, in the host name. */
  uriStyle?: pulumi.Input<UriStyle>;
  /** File with the certificate of a private authority. */
  caFile?: pulumi.Input<string>;
  /** @default "shared" */
  keyType?: pulumi.Input<AzureKeyType>;
  /** The key; with key types "shared" and "sas" only, and not together with `existingSecret`. */
  credentials?: AzureCredentials;
  /** For Kubernetes clusters only: the Secret that already has the key. */
  existingSecret?: SecretRef;
  facts?: BucketFacts;
}

/** How requests to Google Cloud Storage are authorized: names of pgBackRest's `repo-gcs-key-type`. */
export const GcsKeyType = {
  /** With the JSON key of a service account. */
  Service: "service",
  /** With the service account of the machine or the pod. */
  Auto: "auto",
} as const;
export type GcsKeyType = (typeof GcsKeyType)[keyof typeof GcsKeyType];

/** The key of a service account at Google. It is treated as a secret. */
export interface GcsCredentials {
  /** Text of the JSON key. */
  key: pulumi.Input<string>;
}

/** A bucket of Google Cloud Storage. */
export interface GcsLocation {
  /** Name of the bucket. */
  bucket: pulumi.Input<string>;
  /** Host name, optionally with scheme and port. If omitted, `storage.googleapis.com`. */
  endpoint?: pulumi.Input<string>;
  /** Project that pays for requests, for a bucket whose requesters pay. */
  userProject?: pulumi.Input<string>;
  /** File with the certificate of a private authority. */
  caFile?: pulumi.Input<string>;
  /** @default "service" */
  keyType?: pulumi.Input<GcsKeyType>;
  /** The key; with key type "service" only, and not together with `existingSecret`. */
  credentials?: GcsCredentials;
  /** For Kubernetes clusters only: the Secret that already has the key. */
  existingSecret?: SecretRef;
  facts?: BucketFacts;
}

/** Facts about a directory of an SFTP server beyond its address. The targets of a `RepositoryHost` have them. */
export interface SftpFacts {
  /** Days for which the account cannot change or remove stored files. @minimum 0 */
  immutableDays?: pulumi.Input<number>;
}

/** A directory of an SFTP server and its address. */
export interface SftpLocation {
  /** Name or address of the server. */
  host: pulumi.Input<string>;
  /** Port of the server. If omitted, 22. @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account on the server. */
  user: pulumi.Input<string>;
  /** The server's public key, as `SftpRepository` takes it. */
  hostKey?: pulumi.Input<string>;
  /** Instead, the SHA-256 fingerprint of that key. */
  hostFingerprint?: pulumi.Input<string>;
  /** Private key. Secret. Absent if the host already has it (`secretFiles` of the database). */
  privateKey?: pulumi.Input<string>;
  /** Secret. */
  privateKeyPassphrase?: pulumi.Input<string>;
  facts?: SftpFacts;
}

/** The location of a repository: `target` of a repository component. */
export interface RepositoryTarget {
  /** Name of the repository component. @plain the name of the repository in errors of the preview */
  name: string;
  /** Directory, or key prefix in the bucket. */
  path: pulumi.Input<string>;
  /** For directories: true refuses writes while nothing is mounted there. */
  requireMount?: pulumi.Input<boolean>;
  /**
   * True if the copies survive the loss of the database's site. If omitted, vendors' buckets are off-site and
   * directories are not.
   */
  offSite?: pulumi.Input<boolean>;
  /** The bucket, for object stores with Amazon's protocol. */
  s3?: S3Location;
  /** The container, for Azure Blob Storage. */
  azure?: AzureLocation;
  /** The bucket, for Google Cloud Storage. */
  gcs?: GcsLocation;
  /** The server, for directories of an SFTP server. */
  sftp?: SftpLocation;
  /** Client-side encryption. */
  cipher?: CipherRef;
  /** True for read-only keys, which hosts that only restore use. `readerTarget` of a repository component sets it. */
  readOnly?: pulumi.Input<boolean>;
  /**
   * False if nothing of the location itself is secret, only keys and passphrase. The repository components set it. A
   * StackReference knows only that some part of a target is secret; without this, all of it then stays secret.
   */
  secretLocation?: pulumi.Input<boolean>;
}
