/** Arguments of {@link GcsRepository}. */
import type * as pulumi from "@pulumi/pulumi";
import type { BucketContentArgs } from "./repositoryArgs";
import type { BucketFacts, SecretRef } from "./target";

/** A bucket to make. */
export interface GcsNewBucket {
  /** Name of the bucket: 3 to 63 lower-case letters, digits and hyphens, unique at Google. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /** Region, or a pair of regions, or a part of the world. @example "europe-west3" */
  location: pulumi.Input<string>;
  /**
   * True deletes every backup with the bucket, once it is neither protected nor retained. Set it in an earlier update
   * than the destroy.
   * @default false
   */
  forceDestroy?: pulumi.Input<boolean>;
}

/** An existing bucket. The component creates a key for it and does not change it. */
export interface GcsExistingBucket {
  /** Name of the bucket. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /** Project that pays for requests, for a bucket whose requesters pay. */
  userProject?: pulumi.Input<string>;
  /**
   * File on the database's host with the trusted certificates, for a server with a private authority.
   * @example "/etc/ssl/private-ca.pem"
   */
  caFile?: pulumi.Input<string>;
  /** The features of the bucket; omitted ones count as unknown. Databases' rules check them. */
  facts?: BucketFacts;
}

/** Which bucket: exactly one of the two. */
export interface GcsBucketChoice {
  create?: GcsNewBucket;
  existing?: GcsExistingBucket;
}

/**
 * Service accounts with a key each, and with rights on this bucket alone. The writer's is always made: it lists, reads,
 * writes and deletes.
 */
export interface GcsNewKeys {
  /**
   * True makes a read-only account, for restores elsewhere, drills and clones: `readerTarget`, `readerCredentials`.
   * @default false
   * @plain whether the account exists
   */
  reader?: boolean;
  /**
   * Any text. A new text makes new keys, and deletes the old ones once every database has the new ones.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
}

/** The service account of the machine or the pod, at Google; no key can leak. */
export interface GcsIdentity {
  /**
   * Who gets the writer's roles on the bucket, as a policy of Google names it. If omitted, grant the roles yourself.
   * @example "serviceAccount:database@acme.iam.gserviceaccount.com"
   */
  member?: pulumi.Input<string>;
}

/** An existing key. */
export interface GcsExistingKeys {
  /** Secret. Text of a service account's JSON key. */
  key: pulumi.Input<string>;
}

/** How databases sign in: exactly one of the four. */
export interface GcsCredentialsChoice {
  create?: GcsNewKeys;
  identity?: GcsIdentity;
  keys?: GcsExistingKeys;
  /**
   * For Kubernetes clusters: an existing Secret with a JSON key under a key of any name.
   * @example
   * { name: "backup-credentials", gcsKeyKey: "key.json" }
   */
  existingSecret?: SecretRef;
}

export interface GcsRepositoryArgs extends BucketContentArgs {
  /** The bucket to create or use. One bucket for each repository is best. */
  bucket: GcsBucketChoice;
  /** How databases sign in. @default a service account of this repository with a key, made here */
  credentials?: GcsCredentialsChoice;
  /** Project of the bucket and of the accounts. @default that of Pulumi's provider @example "acme-backups" */
  project?: pulumi.Input<string>;
  /**
   * Days for which overwritten or deleted files can be restored: versions stay so long, and soft delete keeps what is
   * removed for as long again. No key of a database can switch that off.
   * @default 14
   * @minimum 1 @maximum 90
   */
  undeleteDays?: pulumi.Input<number>;
  /**
   * Host name of another server, optionally with scheme and port.
   * @default "storage.googleapis.com"
   * @example "gcs.lan:4443"
   */
  endpoint?: pulumi.Input<string>;
  /**
   * True if the bucket survives the loss of the database's site.
   * @default true at Google, else unknown
   */
  offSite?: pulumi.Input<boolean>;
}
