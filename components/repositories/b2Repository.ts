/** A repository on Backblaze B2: bucket, keys, and the rules that keep it restorable. */
import * as pulumi from "@pulumi/pulumi";
import { B2ApplicationKey } from "../dynamic/b2ApplicationKey";
import { B2Bucket } from "../dynamic/b2Bucket";
import { childName, typeToken } from "../internal/children";
import { guardChildren } from "../internal/destroyGuard";
import { B2_CAPABILITIES, type B2Plan, checkB2, filePrefixOf, resolveB2 } from "../plan/storage/b2";
import {
  cipherOf,
  type PlannedBucket,
  prepareBucket,
  readerTargetOf,
  repositoryArguments,
  secretCipher,
  setChosen,
  shareableTarget,
  storageCost,
} from "./common";
import type { BucketKind } from "./renamedBucket";
import type { BucketContentArgs, BucketProtectionArgs } from "./repositoryArgs";
import type { RepositoryTarget, S3Credentials, S3Location, SecretRef } from "./target";
import { given } from "../../runtime/base/given";

/** A bucket to make. */
export interface B2NewBucket {
  /**
   * Name of the bucket: 6 to 63 lower-case letters, digits, dots and hyphens, unique at Backblaze.
   * @example "acme-orders-pg"
   */
  name: pulumi.Input<string>;
  /**
   * True deletes every backup with the bucket, once it is neither protected nor retained. Set it in an earlier update
   * than the destroy.
   * @default false
   */
  forceDestroy?: pulumi.Input<boolean>;
}

/**
 * An existing private bucket of this account. It gets our mark, a lifecycle rule for the files below `path`, and object
 * lock if `immutableDays` requires it; nothing else is changed, and it is never deleted.
 */
export interface B2ExistingBucket {
  /** Name of the bucket. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /**
   * True replaces all other lifecycle rules with ours. Needed if another rule covers the files below `path`: B2 allows
   * one per file.
   * @default false
   */
  replaceLifecycleRules?: pulumi.Input<boolean>;
}

/** Which bucket: exactly one of the two. */
export interface B2BucketChoice {
  create?: B2NewBucket;
  existing?: B2ExistingBucket;
}

/**
 * Keys to create. The writer's is always created: it lists, reads and writes files of this bucket, and cannot delete a
 * version.
 */
export interface B2NewKeys {
  /**
   * True creates a read-only key, for restores elsewhere, drills and clones: `readerTarget`, `readerCredentials`.
   * @default false
   * @plain whether the key exists
   */
  reader?: boolean;
  /**
   * True creates a key that can also delete versions (not locked ones), to clean the bucket after an attack:
   * `recoveryCredentials`. Do not give it to databases.
   * @default false
   * @plain whether the key exists
   */
  recovery?: boolean;
  /**
   * Any text. A new text creates new keys, and deletes the old ones once every database has the new ones.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
}

/** Existing keys. The master key does not work: B2's S3 interface refuses it. */
export interface B2ExistingKeys {
  /** Id of the key. It needs listBuckets, listFiles, readFiles and writeFiles on this bucket, and nothing else. */
  applicationKeyId: pulumi.Input<string>;
  /** Secret. */
  applicationKey: pulumi.Input<string>;
}

/** Which keys: exactly one of the three. */
export interface B2CredentialsChoice {
  create?: B2NewKeys;
  keys?: B2ExistingKeys;
  /**
   * For Kubernetes clusters: an existing Secret, with keys of any names.
   * @example
   * { name: "b2-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" }
   */
  existingSecret?: SecretRef;
}

export interface B2RepositoryArgs extends BucketContentArgs, BucketProtectionArgs {
  /** The bucket to create or use. One bucket for each repository is best. */
  bucket: B2BucketChoice;
  /** The databases' keys. @default a separate key of this repository, created here */
  credentials?: B2CredentialsChoice;
}

const B2_BUCKETS: BucketKind = {
  type: "pulumi-nodejs:dynamic/index:B2Bucket",
  identityOf: (bucketName) => ({ bucketName }),
  keyTypes: ["pulumi-nodejs:dynamic/index:B2ApplicationKey"],
  serviceOf: () => ({}),
};

/**
 * A repository in a bucket of Backblaze B2.
 *
 * Creates a private bucket (`<name>-bucket`) whose deleted versions stay for `undeleteDays` and whose unfinished
 * uploads go after 2 days, a key for databases (`<name>-writer-key`), and on request one to read (`-reader-key`) and
 * one to recover (`-recovery-key`). Endpoint and region are those of the account that signs in:
 * `pulumi config set --secret b2:applicationKey`, `b2:applicationKeyId`, else the environment's B2_APPLICATION_KEY_ID
 * and B2_APPLICATION_KEY, a key with listBuckets, writeBuckets, deleteBuckets, readBucketRetentions,
 * writeBucketRetentions, listKeys, writeKeys and deleteKeys. This key can create any key: keep it off the databases'
 * machines.
 *
 * It is protected: a destroy is refused before anything of it is deleted, its keys included. When the protection is
 * taken off (`{ protect: false }`, then an update), destroying it deletes the keys, and the bucket stays at Backblaze
 * with every backup; with `{ protect: false, retainOnDelete: false }` it is deleted when it is empty, or with
 * everything in it after `forceDestroy`.
 *
 * Costs (list prices of 2026-11) 6.95 USD a month per TB, the first 10 GB free, calls free; restoring is free up to
 * three times the stored amount a month. Versions that were deleted count until `undeleteDays` are over, locked ones
 * until `immutableDays` are.
 *
 * `const b2 = new B2Repository("orders-b2", { bucket: { create: { name: "acme-orders-pg" } }, cipher: key.ref });`
 */
export class B2Repository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: b2.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = b2.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `s3://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Host name of the S3 interface, for restores: `s3.eu-central-003.backblazeb2.com`. */
  public readonly endpoint: pulumi.Output<string>;
  /** Endpoint URL for a restore elsewhere. */
  public readonly restoreEndpoint: pulumi.Output<string>;
  /** `eu-central-003` */
  public readonly region: pulumi.Output<string>;
  /** Secret. Read-only; set with `credentials.create.reader`. */
  public readonly readerCredentials?: S3Credentials;
  /** The repository with the reader's key, for a host with `restoreOnly`; set with `credentials.create.reader`. */
  public readonly readerTarget?: RepositoryTarget;
  /** Secret. Can delete versions that are not locked; no target has it. Set with `credentials.create.recovery`. */
  public readonly recoveryCredentials?: S3Credentials;
  /** Price in US dollars a month of keeping `expectedStoredGiB`. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: B2RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = repositoryArguments("B2Repository", name, args, checkB2);
    const prepared = prepareBucket(`B2Repository ${name}`, own, opts, {
      kind: B2_BUCKETS,
      fields: ["deleteHiddenAfterDays"],
      resolve: resolveB2,
      check: checkB2,
    });
    super(typeToken("B2Repository"), name, prepared.inputs, prepared.opts);
    const { path, plan } = prepared;
    const kept = prepared.begin(this);
    const bucketName = own.bucket.create?.name ?? own.bucket.existing?.name ?? "";
    const bucket = createBucket(name, own, plan, path, kept);
    const { cipher, passphrase } = cipherOf(name, own, this, kept.protect, bucket);
    const { create = {}, existingSecret, keys } = own.credentials ?? {};
    const made: B2ApplicationKey[] = [];
    const createKey = (role: keyof typeof B2_CAPABILITIES): S3Credentials => {
      const key = createApplicationKey(this, name, role, create, bucket);
      made.push(key);
      return credentialsOf(key);
    };
    const signIn =
      existingSecret !== undefined
        ? { existingSecret }
        : { credentials: keys === undefined ? createKey("writer") : credentialsOf(keys) };
    this.target = shareableTarget(targetOf(name, { ...own, ...given({ cipher }) }, plan, path, bucket, signIn));
    const readerCredentials = create.reader === true ? createKey("reader") : undefined;
    if (readerCredentials !== undefined) this.readerTarget = readerTargetOf(this.target, readerCredentials);
    const recoveryCredentials = create.recovery === true ? createKey("recovery") : undefined;
    guardChildren(name, made, this, kept.protect);

    this.endpoint = factsOf(bucket).endpoint;
    this.restoreEndpoint = pulumi.interpolate`https://${this.endpoint}`;
    this.region = factsOf(bucket).region;
    this.location = pulumi.interpolate`s3://${bucketName}${path}`;
    prepared.record(this.target, this.location, this);
    this.registerOutputs({
      location: this.location,
      endpoint: this.endpoint,
      restoreEndpoint: this.restoreEndpoint,
      region: this.region,
      ...setChosen(this, {
        passphrase,
        readerCredentials,
        recoveryCredentials,
        ...storageCost("b2", own.expectedStoredGiB),
      }),
    });
  }
}

type PlannedB2 = PlannedBucket<B2Plan, "deleteHiddenAfterDays">;

function createBucket(
  name: string,
  args: B2RepositoryArgs,
  plan: PlannedB2,
  path: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): B2Bucket {
  const { create, existing } = args.bucket;
  const { cancelUnfinishedAfterDays, deleteHiddenAfterDays, immutableDays, lockMode } = plan;
  // A bucket created here contains nothing else; in another one, only our files concern us.
  const prefix = create === undefined ? pulumi.output(path).apply(filePrefixOf) : "";
  return new B2Bucket(
    childName(name, "bucket"),
    {
      bucketName: create?.name ?? existing?.name ?? "",
      lifecycleRules: [{ prefix, deleteHiddenAfterDays, cancelUnfinishedAfterDays }],
      fileLockEnabled: immutableDays !== undefined,
      ...(immutableDays === undefined || immutableDays === 0
        ? {}
        : { defaultRetention: { mode: lockMode, days: immutableDays } }),
      ...(existing === undefined
        ? {}
        : { adopt: true, replaceLifecycleRules: existing.replaceLifecycleRules ?? false }),
      ...(create === undefined ? {} : { forceDestroy: create.forceDestroy ?? false }),
    },
    opts,
  );
}

/**
 * From the resource's id, which a preview knows even while the bucket is about to change: dependents then show no
 * change.
 */
function factsOf(bucket: B2Bucket): {
  endpoint: pulumi.Output<string>;
  region: pulumi.Output<string>;
  bucketId: pulumi.Output<string>;
} {
  const part = (index: number): pulumi.Output<string> => bucket.id.apply((id) => id.split("/")[index] ?? "");
  return { endpoint: part(0), region: part(0).apply((endpoint) => endpoint.split(".")[1] ?? ""), bucketId: part(1) };
}

/** Neither protected nor kept, so that a rotation can delete old keys. */
function createApplicationKey(
  parent: pulumi.Resource,
  name: string,
  role: keyof typeof B2_CAPABILITIES,
  keys: B2NewKeys,
  bucket: B2Bucket,
): B2ApplicationKey {
  const ending = `-${role}`;
  const keyName = `pgbackstop-${pulumi.getStack()}-${name}`.replace(/[^A-Za-z0-9-]/g, "-").slice(0, 80 - ending.length);
  return new B2ApplicationKey(
    childName(name, `${role}Key`),
    {
      keyName: `${keyName}${ending}`,
      capabilities: [...B2_CAPABILITIES[role]],
      bucketIds: [factsOf(bucket).bucketId],
      ...given({ rotationTrigger: keys.rotationTrigger }),
    },
    { parent, protect: false, retainOnDelete: false },
  );
}

function credentialsOf({ applicationKey, applicationKeyId }: B2ExistingKeys): S3Credentials {
  return { accessKeyId: pulumi.secret(applicationKeyId), secretAccessKey: pulumi.secret(applicationKey) };
}

function targetOf(
  name: string,
  { cipher }: B2RepositoryArgs,
  { deleteHiddenAfterDays, immutableDays, lockMode }: PlannedB2,
  path: pulumi.Input<string>,
  bucket: B2Bucket,
  signIn: Pick<S3Location, "credentials" | "existingSecret">,
): RepositoryTarget {
  return {
    name,
    path,
    offSite: true,
    s3: {
      bucket: bucket.bucketName,
      endpoint: factsOf(bucket).endpoint,
      region: factsOf(bucket).region,
      uriStyle: "path",
      quirks: "b2",
      ...signIn,
      facts: {
        versioning: true,
        undeleteDays: deleteHiddenAfterDays,
        ...(immutableDays === undefined || immutableDays === 0 ? {} : { immutableDays, lockMode }),
      },
    },
    ...secretCipher(cipher),
  };
}
