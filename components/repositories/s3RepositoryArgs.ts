/** Arguments of {@link S3Repository}. */
import type * as pulumi from "@pulumi/pulumi";
import type { BucketFacts, CipherRef, LockMode, SecretRef } from "./target";

/** A bucket to make. */
export interface S3NewBucket {
  /**
   * 3 to 63 lower-case letters, digits and hyphens; no other customer of Amazon has the same.
   * @example "acme-orders-pg"
   */
  name: pulumi.Input<string>;
  /**
   * True deletes every backup with the bucket, once it is neither protected nor retained. It must be set by an update before that one.
   * @default false
   */
  forceDestroy?: boolean;
}

/** A bucket that exists already. Keys are made for it, and nothing of it is changed, unless it is taken over. */
export interface S3ExistingBucket {
  /** Name of the bucket. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /**
   * True imports the bucket into the stack and puts our settings in the place of its own: versioning, lifecycle rules, access from the public,
   * encryption, policy, and object lock with `immutableDays`. It is kept when the repository is destroyed. Name and region must be plain text.
   * @default false
   */
  takeOver?: boolean;
  /** What the bucket does by itself, where it is not taken over; what is left out is taken as not known. */
  facts?: BucketFacts;
}

/** Which bucket: exactly one of the two. */
export interface S3BucketChoice {
  create?: S3NewBucket;
  existing?: S3ExistingBucket;
}

/** Users and access keys to make. The writer's is always made: it lists, reads, writes and deletes by name, and cannot delete a version. */
export interface S3NewKeys {
  /**
   * True makes a user that only reads, also versions of a time before an attack, for restores elsewhere, drills and clones: `readerTarget`,
   * `readerCredentials`.
   * @default false
   */
  reader?: boolean;
  /**
   * True makes a user that can also delete versions (not locked ones), to put the bucket in order after an attack: `recoveryCredentials`. Keep
   * it away from databases.
   * @default false
   */
  recovery?: boolean;
  /**
   * Any text; another one makes new keys, and deletes the old ones when everything that uses them has the new ones.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
}

/** A token of Kubernetes is exchanged for the role (IRSA). Annotate the service account: `eks.amazonaws.com/role-arn` is `roleArn`. */
export interface S3Irsa {
  /** OIDC provider of the EKS cluster. @example "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF" */
  oidcProviderArn: pulumi.Input<string>;
  /** Namespace of the service account. */
  namespace: pulumi.Input<string>;
  /** CloudNativePG names it like the cluster. */
  serviceAccount: pulumi.Input<string>;
}

/** The agent of EKS Pod Identity gives pods the role. */
export interface S3PodIdentity {
  /** Name of the cluster in EKS. */
  clusterName: pulumi.Input<string>;
  /** Namespace of the service account. */
  namespace: pulumi.Input<string>;
  /** CloudNativePG names it like the cluster. */
  serviceAccount: pulumi.Input<string>;
}

/** A role for pods, by exactly one of the two ways; without any key that could be lost. */
export interface S3Role {
  irsa?: S3Irsa;
  podIdentity?: S3PodIdentity;
}

/** The role of the machine (EC2). */
export interface S3InstanceRole {
  /** Name of an existing role, which gets the writer's policy. Left out, nothing is made: attach `writerPolicy` yourself. */
  roleName?: pulumi.Input<string>;
}

/** Keys that exist already. */
export interface S3ExistingKeys {
  /** Id of the access key. */
  accessKeyId: pulumi.Input<string>;
  /** Secret. */
  secretAccessKey: pulumi.Input<string>;
}

/** How databases sign in: exactly one of the five. */
export interface S3CredentialsChoice {
  create?: S3NewKeys;
  role?: S3Role;
  instanceRole?: S3InstanceRole;
  keys?: S3ExistingKeys;
  /**
   * For clusters of Kubernetes: a Secret that is there already, with keys of any names.
   * @example { name: "backup-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" }
   */
  existingSecret?: SecretRef;
}

export interface S3RepositoryArgs {
  /** The bucket to make, or the one to use. One bucket for each repository is best. */
  bucket: S3BucketChoice;
  /** Region of the bucket. @example "eu-central-1" */
  region: pulumi.Input<string>;
  /**
   * Prefix of all keys, with a leading slash.
   * @default "/pgbackrest"
   */
  path?: pulumi.Input<string>;
  /**
   * How databases sign in.
   * @default a user of this repository's own with a key, made here
   */
  credentials?: S3CredentialsChoice;
  /** Client-side encryption: Amazon sees neither contents nor names of tables. Leaving it out is a warning. */
  cipher?: CipherRef;
  /**
   * Object lock: days for which no key can delete what was written, counted from its upload. At least as long as a full backup shall be safe;
   * longer than backups are kept only costs. A bucket that has object lock keeps it for ever; 0 stops locking new objects.
   * @default no object lock
   * @example 30
   */
  immutableDays?: number;
  /**
   * Days for which what was overwritten or deleted can be brought back. At least 7, and one more than `immutableDays`.
   * @default 14
   */
  undeleteDays?: number;
  /** @default "governance" */
  lockMode?: LockMode;
  /**
   * Has to be true for mode "compliance": what it locks can be deleted by nobody, and is paid for, until the days are over.
   * @default false
   */
  acceptIrreversible?: boolean;
  /**
   * Key with which Amazon encrypts the bucket; the keys and roles made here may use it, its own policy must allow that.
   * @default Amazon's own key (SSE-S3)
   */
  kmsKeyArn?: pulumi.Input<string>;
  /** What will lie there on average, for `monthlyCostUsd`. Versions that can be brought back count too. */
  expectedStoredGiB?: number;
}
