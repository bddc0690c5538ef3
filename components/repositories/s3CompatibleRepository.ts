/** A repository in a bucket of any S3-compatible object store: MinIO, Ceph, Garage, Hetzner, Wasabi and others. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { withDefault } from "../internal/inputs";
import { checkStored } from "../plan/storage/bucketChecks";
import { estimateStorage, type StorageCost } from "../plan/storage/cost";
import { DEFAULTS } from "../plan/model/defaults";
import { typeOf } from "../plan/repositories/repositoryTypes";
import {
  cipherOf,
  costOutputs,
  isEncrypted,
  readerTargetOf,
  repositoryArguments,
  secretCipher,
  secretCredentials,
  setChosen,
  shareableTarget,
} from "./common";
import { watchLocation } from "../credentials/renamedPassphrase";
import type { BucketContentArgs } from "./repositoryArgs";
import type { BucketFacts, RepositoryTarget, S3Credentials, S3Quirks, SecretRef, UriStyle } from "./target";
import { given } from "../../runtime/base/given";

/** An existing bucket; it is neither changed nor removed. */
export interface ExistingBucket {
  /** Name of the bucket. */
  name: pulumi.Input<string>;
  /**
   * Keys of the bucket. They must be able to list, read, write and delete its objects, and nothing else. Exactly one of
   * `credentials` and `existingSecret`.
   */
  credentials?: S3Credentials;
  /**
   * For Kubernetes clusters: an existing Secret, with keys of any names.
   * @example
   * {
   *   name: "longhorn-minio-credentials",
   *   accessKeyIdKey: "AWS_ACCESS_KEY_ID",
   *   secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY"
   * }
   */
  existingSecret?: SecretRef;
  /**
   * Read-only keys for restores elsewhere (`readerTarget`). They must be able to list and read objects of this bucket,
   * and nothing else.
   */
  readerCredentials?: S3Credentials;
  /** The bucket's own features (versions, locks, rules); omitted ones count as unknown. Databases' rules check them. */
  facts?: BucketFacts;
}

/** Which bucket. */
export interface S3BucketArgs {
  existing: ExistingBucket;
}

export interface S3CompatibleRepositoryArgs extends BucketContentArgs {
  bucket: S3BucketArgs;
  /** Host name, without `https://` and port. @example "s3.example.net" */
  endpoint: pulumi.Input<string>;
  /** Region for which requests are signed. @example "us-east-1" */
  region: pulumi.Input<string>;
  /** Port of the store. @default 443 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Bucket in the host name or in the path of the address. If omitted, the usual style of the provider (`quirks`). */
  uriStyle?: pulumi.Input<UriStyle>;
  /**
   * File on the database's host with the trusted certificates, for a private authority.
   * @example "/etc/ssl/private-ca.pem"
   */
  caFile?: pulumi.Input<string>;
  /** The provider's differences; if omitted, guessed from the endpoint. */
  quirks?: pulumi.Input<S3Quirks>;
  /**
   * True if the bucket survives the loss of the database's site.
   * @default true for providers with their own data centres, else unknown
   */
  offSite?: pulumi.Input<boolean>;
}

/**
 * A repository in a bucket of an S3-compatible object store.
 *
 * Creates nothing itself: the bucket and its keys exist. Destroying it leaves every backup in place.
 *
 * ```ts
 * const lab = new S3CompatibleRepository("events-s3", {
 *   endpoint: "s3.example.net",
 *   region: "lab",
 *   bucket: {
 *     existing: {
 *       name: "events",
 *       credentials: {
 *         accessKeyId: config.requireSecret("accessKeyId"),
 *         secretAccessKey: config.requireSecret("secretAccessKey"),
 *       },
 *     },
 *   },
 *   cipher: key.ref,
 * });
 * ```
 */
export class S3CompatibleRepository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: lab.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = lab.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /**
   * The repository with the reader's keys, for a host with `restoreOnly`; set with `bucket.existing.readerCredentials`.
   */
  public readonly readerTarget?: RepositoryTarget;
  /** `s3://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Endpoint URL for a restore elsewhere. */
  public readonly restoreEndpoint: pulumi.Output<string>;
  /** Price in US dollars a month of keeping `expectedStoredGiB`; set for providers with a known price. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: S3CompatibleRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const title = `S3CompatibleRepository ${name}`;
    const own = repositoryArguments("S3CompatibleRepository", name, args, ({ expectedStoredGiB }) =>
      checkStored(expectedStoredGiB),
    );
    const { bucket, endpoint, region } = own;
    const encrypted = isEncrypted(title, own);
    const path = withDefault(own.path, DEFAULTS.repositoryPath);
    const port = withDefault(own.port, DEFAULTS.s3Port);
    const { credentials, existingSecret, facts, readerCredentials } = bucket.existing;
    if (readerCredentials !== undefined && existingSecret?.passphraseKey !== undefined && !encrypted) {
      throw new pulumi.InputPropertyError({
        propertyPath: "bucket.existing.readerCredentials",
        reason: `${title}: only the Secret has the passphrase, so a host could not decrypt what readerTarget leads to: set cipher instead of passphraseKey`,
      });
    }
    const watched = watchLocation(opts);
    super(
      typeToken("S3CompatibleRepository"),
      name,
      { bucket: bucket.existing.name, endpoint, region, path, encrypted },
      watched.opts,
    );
    const { cipher, passphrase } = cipherOf(name, own, this, opts?.protect);
    this.target = shareableTarget({
      name,
      path,
      ...given({ offSite: own.offSite }),
      s3: {
        bucket: bucket.existing.name,
        endpoint,
        region,
        ...given({ port: own.port, uriStyle: own.uriStyle, caFile: own.caFile, quirks: own.quirks }),
        ...(credentials === undefined ? {} : { credentials: secretCredentials(credentials) }),
        ...given({ existingSecret, facts }),
      },
      ...secretCipher(cipher),
    });
    if (readerCredentials !== undefined)
      this.readerTarget = readerTargetOf(this.target, secretCredentials(readerCredentials));
    this.location = pulumi.interpolate`s3://${bucket.existing.name}${path}`;
    watched.record(this.target, this.location, this);
    this.restoreEndpoint = pulumi.interpolate`https://${endpoint}:${port}`;
    const { storageClass } = facts ?? {};
    const priced = { storedGiB: own.expectedStoredGiB, endpoint, ...given({ quirks: own.quirks, storageClass }) };
    this.registerOutputs({
      location: this.location,
      restoreEndpoint: this.restoreEndpoint,
      ...setChosen(this, { passphrase, ...costOutputs(priced, priceOf) }),
    });
  }
}

/** Null with an unknown provider or price. */
function priceOf({
  endpoint = "",
  quirks,
  storageClass,
  storedGiB,
}: Parameters<Parameters<typeof costOutputs>[1]>[0]): StorageCost | null {
  const { provider } = typeOf({ kind: "s3" }).site({
    name: "",
    encrypted: true,
    s3: { bucket: "", region: "", endpoint, ...given({ quirks }) },
  });
  return estimateStorage(provider, storageClass, storedGiB);
}
