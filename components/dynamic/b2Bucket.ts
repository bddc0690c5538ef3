/** The declaration of the dynamic resource behind a bucket of Backblaze B2; b2.ts has its methods. */
import * as pulumi from "@pulumi/pulumi";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";

/** What happens to files by themselves, in whole days; what is omitted does not happen. */
export interface B2LifecycleRule {
  /** Prefix of the file names that the rule applies to; empty for all files. @example "pgbackrest/" */
  prefix: pulumi.Input<string>;
  /** Removes overwritten and deleted versions after this many days. @minimum 1 */
  deleteHiddenAfterDays?: pulumi.Input<number>;
  /** Cancels unfinished uploads after this many days. @minimum 1 */
  cancelUnfinishedAfterDays?: pulumi.Input<number>;
}

/** How long every new file is locked. */
export interface B2Retention {
  /** `governance` (a key with bypassGovernance can end it) or `compliance` (nobody can, Backblaze included). */
  mode: pulumi.Input<string>;
  /** Days for which it is locked. @minimum 1 @maximum 3000 */
  days: pulumi.Input<number>;
}

export interface B2BucketArgs {
  /**
   * Name of the bucket: 6 to 63 lower-case letters, digits, dots and hyphens, unlike that of any other customer.
   * Another name is another bucket.
   * @example "acme-orders-pg"
   */
  bucketName: pulumi.Input<string>;
  /** Rules of the bucket. In a bucket that is taken over, rules about other files stay alongside them. @default none */
  lifecycleRules?: pulumi.Input<pulumi.Input<B2LifecycleRule>[]>;
  /** Object lock. You can switch it on, but never off. @default false */
  fileLockEnabled?: pulumi.Input<boolean>;
  /** Locks every new file for this time; needs `fileLockEnabled`. */
  defaultRetention?: pulumi.Input<B2Retention>;
  /**
   * Take over a bucket that exists. Its mark, the lifecycle rules named here, and object lock when asked for, are
   * changed; nothing else. It is never deleted: with the resource, only the mark goes.
   * @default false
   */
  adopt?: pulumi.Input<boolean>;
  /** In a bucket that is taken over: true replaces all other lifecycle rules with these. @default false */
  replaceLifecycleRules?: pulumi.Input<boolean>;
  /** True deletes all files with the bucket. Set it in an earlier update than the destroy. @default false */
  forceDestroy?: pulumi.Input<boolean>;
}

type B2Module = typeof import("./b2");

const BUCKET: DynamicClass = {
  type: "B2Bucket",
  methods: methodsOf<B2Module>("pgbackstop/dynamic/b2", {
    configure: "configureProvider",
    check: "bucketCheck",
    diff: "bucketDiff",
    create: "bucketCreate",
    read: "bucketRead",
    update: "bucketUpdate",
    delete: "bucketDelete",
  }),
  outputs: ["bucketId", "accountId", "s3Endpoint", "s3Region", "adopted", "isPrivate", "foundOwner"],
};

/**
 * A private bucket of Backblaze B2.
 *
 * Who signs in is configuration: `b2:applicationKeyId` and `b2:applicationKey` of the stack, else the environment's
 * B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY. The bucket is marked in its info as that of this project, stack and
 * name; a bucket with another mark is refused. The resource's id is `<S3 endpoint>/<bucket id>`. Destroying it fails
 * while there is anything in it, unless `forceDestroy` says otherwise.
 *
 * ```ts
 * new B2Bucket("backups", {
 *   bucketName: "acme-orders-pg",
 *   lifecycleRules: [{ prefix: "", deleteHiddenAfterDays: 14 }],
 * });
 * ```
 */
export class B2Bucket extends DynamicResource {
  /** Name of the bucket. */
  declare readonly bucketName: pulumi.Output<string>;
  /** Backblaze's bucket id. */
  declare readonly bucketId: pulumi.Output<string>;
  /** Backblaze's account id. */
  declare readonly accountId: pulumi.Output<string>;
  /** Host name for S3: `s3.eu-central-003.backblazeb2.com`. */
  declare readonly s3Endpoint: pulumi.Output<string>;
  /** `eu-central-003` */
  declare readonly s3Region: pulumi.Output<string>;
  /** True for a bucket that was taken over: it is never deleted. */
  declare readonly adopted: pulumi.Output<boolean>;

  constructor(name: string, args: B2BucketArgs, opts: pulumi.CustomResourceOptions = {}) {
    const owner = `${pulumi.getProject()}/${pulumi.getStack()}/${name}`;
    super(BUCKET, name, { ...args, owner }, opts);
  }
}
