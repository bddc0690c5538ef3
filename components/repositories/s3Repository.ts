/** A repository on Amazon S3: bucket, keys or roles, and the settings that keep it restorable. */
import * as pulumi from "@pulumi/pulumi";
import { type Aws, loadAws } from "../internal/cloudPackages";
import { typeToken } from "../internal/children";
import { isDeferredInput } from "../internal/inputs";
import { guardChildren } from "../internal/destroyGuard";
import { refusedUpdate } from "../internal/earlierState";
import { accessPolicy, s3EndpointOf } from "../plan/storage/awsPolicies";
import { checkS3Repository, resolveS3Repository, uriStyleOf } from "../plan/storage/s3";
import {
  cipherOf,
  prepareBucket,
  readerTargetOf,
  repositoryArguments,
  resourcesOf,
  secretCipher,
  setChosen,
  shareableTarget,
  storageCost,
} from "./common";
import { createAccess, createBucket, type S3Access, type S3BucketPlan } from "./s3Children";
import type { S3RepositoryArgs } from "./s3RepositoryArgs";
import type { BucketKind } from "./renamedBucket";
import type { RepositoryTarget, S3Credentials } from "./target";
import { given } from "../../runtime/base/given";

const S3_BUCKETS: BucketKind = {
  type: "aws:s3/bucket:Bucket",
  identityOf: (bucket) => ({ bucket }),
  keyTypes: ["aws:iam/accessKey:AccessKey", "aws:iam/role:Role"],
  serviceOf: () => ({}),
};

/**
 * A repository in a bucket of Amazon S3. Needs the package `@pulumi/aws` to make a bucket, users or a role.
 *
 * Creates a bucket (`<name>-bucket`) with versioning, no access from the public, encryption, TLS only, rules that end
 * unfinished uploads after 2 days and keep replaced versions for `undeleteDays`, on request object lock; and for
 * databases a user with one policy and one key (`<name>-writer-user`, `-writer-policy`, `-writer-key`) or a role for
 * pods. Amazon's users are global: the account of the update needs rights on `iam` besides `s3`.
 *
 * It is protected: a destroy is refused before anything of it is deleted, its keys included. When the protection is
 * taken off (`{ protect: false }`, then an update), destroying it deletes users, keys and roles, and the bucket stays
 * at Amazon with its settings and every backup; with `{ protect: false, retainOnDelete: false }` it is deleted when it
 * is empty, or with everything in it after `forceDestroy`. A bucket that was taken over always stays.
 *
 * Costs (list prices of 2026-11, us-east-1) 0.023 USD a month per GB, 5 USD per million writes, and 0.09 USD per GB
 * that is restored outside of Amazon's network.
 *
 * ```ts
 * const s3 = new S3Repository("orders-s3", {
 *   region: "eu-central-1",
 *   bucket: { create: { name: "acme-orders-pg" } },
 *   cipher: key.ref,
 * });
 * ```
 */
export class S3Repository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: s3.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = s3.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `s3://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Host name of the S3 interface: `s3.eu-central-1.amazonaws.com`. */
  public readonly endpoint: pulumi.Output<string>;
  /** Endpoint URL for a restore elsewhere. */
  public readonly restoreEndpoint: pulumi.Output<string>;
  /** Rights of the writer of backups, as JSON text of a policy. */
  public readonly writerPolicy: pulumi.Output<string>;
  /** Rights for a restore, for a role or user of your own; JSON text. */
  public readonly readerPolicy: pulumi.Output<string>;
  /** Rights for cleaning the bucket after an attack, for a role or user of your own; JSON text. */
  public readonly recoveryPolicy: pulumi.Output<string>;
  /** Role for pods; set with `credentials.role`. */
  public readonly roleArn?: pulumi.Output<string>;
  /** Secret. Read-only; set with `credentials.create.reader`. */
  public readonly readerCredentials?: S3Credentials;
  /** The repository with the reader's key, for a host with `restoreOnly`; set with `credentials.create.reader`. */
  public readonly readerTarget?: RepositoryTarget;
  /** Secret. Can delete versions that are not locked; no target has it. Set with `credentials.create.recovery`. */
  public readonly recoveryCredentials?: S3Credentials;
  /** Price in US dollars a month of keeping `expectedStoredGiB`, without calls and restores. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: S3RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const title = `S3Repository ${name}`;
    const own = repositoryArguments("S3Repository", name, args, checkS3Repository);
    const prepared = prepareBucket(title, own, refusedUpdate(title, opts, lostKey), {
      kind: S3_BUCKETS,
      fields: ["rules", "undeleteDays"],
      resolve: resolveS3Repository,
      check: checkS3Repository,
    });
    const aws = (): Aws => loadAws("S3Repository");
    super(typeToken("S3Repository"), name, prepared.inputs, prepared.opts);
    const { path, plan } = prepared;
    const kept = prepared.begin(this);
    const bucket = createBucket(aws, name, own, plan, kept);
    const { cipher, passphrase } = cipherOf(name, own, this, kept.protect, resourcesOf(bucket.name));
    const { formerKmsKeyArns, kmsKeyArn } = own;
    const scope = pulumi.output({ bucketArn: bucket.arn, path, kmsKeyArn, formerKmsKeyArns });
    const policyOf: S3Access["policyOf"] = (role) => scope.apply((values) => accessPolicy(role, values));
    const access = createAccess(aws, name, own, policyOf, bucket, this);
    guardChildren(name, access.made, this, kept.protect);

    this.endpoint = pulumi.output(own.region).apply(s3EndpointOf);
    this.restoreEndpoint = pulumi.interpolate`https://${this.endpoint}`;
    this.location = pulumi.interpolate`s3://${bucket.name}${path}`;
    this.writerPolicy = policyOf("writer");
    this.readerPolicy = policyOf("reader");
    this.recoveryPolicy = policyOf("recovery");
    const shown = { ...own, ...given({ cipher }) };
    this.target = shareableTarget(targetOf(name, shown, plan, path, bucket.name, this.endpoint, access.writer));
    prepared.record(this.target, this.location, this);
    if (access.reader !== undefined) this.readerTarget = readerTargetOf(this.target, access.reader);
    this.registerOutputs({
      location: this.location,
      endpoint: this.endpoint,
      restoreEndpoint: this.restoreEndpoint,
      writerPolicy: this.writerPolicy,
      readerPolicy: this.readerPolicy,
      recoveryPolicy: this.recoveryPolicy,
      ...setChosen(this, {
        passphrase,
        roleArn: access.roleArn,
        readerCredentials: access.reader,
        recoveryCredentials: access.recovery,
        ...storageCost("aws", own.expectedStoredGiB),
      }),
    });
  }
}

/** Why another key is refused: nobody could read what is stored. */
function lostKey(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): string | null {
  const { kmsKeyArn: former } = before;
  const { formerKmsKeyArns = [], kmsKeyArn } = after;
  if (typeof former !== "string" || former === kmsKeyArn) return null;
  // What no preview knows is no text and no list: the update judges it.
  if (kmsKeyArn !== undefined && typeof kmsKeyArn !== "string") return null;
  if (!Array.isArray(formerKmsKeyArns) || formerKmsKeyArns.includes(former)) return null;
  return `kmsKeyArn was ${former}, and what is stored stays encrypted with that key: set formerKmsKeyArns: ["${former}"], and keep the key as long as those backups`;
}

function targetOf(
  name: string,
  { bucket, cipher, credentials: { existingSecret } = {}, region }: S3RepositoryArgs,
  plan: S3BucketPlan,
  path: pulumi.Input<string>,
  bucketName: pulumi.Output<string>,
  endpoint: pulumi.Output<string>,
  credentials: S3Credentials | undefined,
): RepositoryTarget {
  const { immutableDays, keyType, lockMode, managed, undeleteDays } = plan;
  const isDeferredName = isDeferredInput(bucket.create?.name ?? bucket.existing?.name);
  const locked = immutableDays === undefined || immutableDays === 0 ? {} : { immutableDays, lockMode };
  return {
    name,
    path,
    offSite: true,
    s3: {
      bucket: bucketName,
      endpoint,
      region,
      uriStyle: isDeferredName ? bucketName.apply(uriStyleOf) : plan.uriStyle,
      quirks: "aws",
      keyType,
      ...given({ credentials, existingSecret }),
      facts: managed ? { versioning: true, undeleteDays, ...locked } : (bucket.existing?.facts ?? {}),
    },
    ...secretCipher(cipher),
  };
}
