/** Arguments of {@link S3Repository}. */
import type * as pulumi from "@pulumi/pulumi";
import type { BucketContentArgs, BucketProtectionArgs } from "./repositoryArgs";
import type { BucketFacts, SecretRef } from "./target";

/** A bucket to make. */
export interface S3NewBucket {
  /** Name of the bucket: 3 to 63 lower-case letters, digits and hyphens, unique at Amazon. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /**
   * True deletes every backup with the bucket, once it is neither protected nor retained. Set it in an earlier update
   * than the destroy.
   * @default false
   */
  forceDestroy?: pulumi.Input<boolean>;
}

/** An existing bucket. The component creates keys for it and does not change it, unless you take it over. */
export interface S3ExistingBucket {
  /** Name of the bucket. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /**
   * True imports the bucket into the stack and replaces its settings with ours: versioning, lifecycle rules, public
   * access, encryption, policy, and object lock with `immutableDays`. It is kept when the repository is destroyed. Name
   * and region must be plain text.
   * @default false
   * @plain whether the bucket is imported
   */
  takeOver?: boolean;
  /** The features of a bucket that is not taken over; omitted ones count as unknown. */
  facts?: BucketFacts;
}

/** Which bucket: exactly one of the two. */
export interface S3BucketChoice {
  create?: S3NewBucket;
  existing?: S3ExistingBucket;
}

/**
 * Users and access keys to create. The writer's is always created: it lists, reads, writes and deletes by name, and
 * cannot delete a version.
 */
export interface S3NewKeys {
  /**
   * True creates a read-only user, which also reads versions from before an attack, for restores elsewhere, drills and
   * clones: `readerTarget`, `readerCredentials`.
   * @default false
   * @plain whether the user exists
   */
  reader?: boolean;
  /**
   * True creates a user that can also delete versions (not locked ones), to clean the bucket after an attack:
   * `recoveryCredentials`. Do not give it to databases.
   * @default false
   * @plain whether the user exists
   */
  recovery?: boolean;
  /**
   * Any text. A new text creates new keys, and deletes the old ones once every database has the new ones.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
}

/**
 * Exchanges a Kubernetes token for the role (IRSA). Annotate the service account: `eks.amazonaws.com/role-arn` is
 * `roleArn`.
 */
export interface S3Irsa {
  /**
   * OIDC provider of the EKS cluster.
   * @example "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
   */
  oidcProviderArn: pulumi.Input<string>;
  /** Namespace of the service account. */
  namespace: pulumi.Input<string>;
  /** Name of the service account. CloudNativePG names it like the cluster. */
  serviceAccount: pulumi.Input<string>;
}

/** Gives pods the role through EKS Pod Identity's agent. */
export interface S3PodIdentity {
  /** Name of the cluster in EKS. */
  clusterName: pulumi.Input<string>;
  /** Namespace of the service account. */
  namespace: pulumi.Input<string>;
  /** Name of the service account. CloudNativePG names it like the cluster. */
  serviceAccount: pulumi.Input<string>;
}

/** A role for pods, by exactly one of the two methods; no key can leak. */
export interface S3Role {
  irsa?: S3Irsa;
  podIdentity?: S3PodIdentity;
}

/** The role of the machine (EC2). */
export interface S3InstanceRole {
  /** Name of an existing role, which gets the writer's policy. If omitted, attach `writerPolicy` yourself. */
  roleName?: pulumi.Input<string>;
}

/** Existing keys. */
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
   * For Kubernetes clusters: an existing Secret, with keys of any names.
   * @example
   * { name: "backup-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" }
   */
  existingSecret?: SecretRef;
}

export interface S3RepositoryArgs extends BucketContentArgs, BucketProtectionArgs {
  /** The bucket to create or use. One bucket for each repository is best. */
  bucket: S3BucketChoice;
  /** Region of the bucket. @example "eu-central-1" */
  region: pulumi.Input<string>;
  /** How databases sign in. @default a separate user of this repository with a key, created here */
  credentials?: S3CredentialsChoice;
  /**
   * Amazon encrypts the bucket with this key. The keys and roles created here may use it; its own policy must allow
   * that.
   * @default Amazon's own key (SSE-S3)
   */
  kmsKeyArn?: pulumi.Input<string>;
  /**
   * Keys that encrypted the bucket before `kmsKeyArn`: what is stored stays encrypted with them, so everybody who reads
   * it may decrypt with them. Another `kmsKeyArn` is refused until the present one is here.
   * @default none
   */
  formerKmsKeyArns?: pulumi.Input<pulumi.Input<string>[]>;
}
