/** A repository in a bucket of any object store that speaks S3: MinIO, Ceph, Garage, Hetzner, Wasabi and so on. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { DEFAULTS } from "../plan/defaults";
import type { CipherRef, RepositoryTarget, S3Credentials, S3Quirks, SecretRef, UriStyle } from "./target";

/** A bucket that exists already; it is neither changed nor removed. */
export interface ExistingBucket {
  name: pulumi.Input<string>;
  /** Need to list, read, write and delete objects of this bucket, and nothing else. Exactly one of `credentials` and `existingSecret`. */
  credentials?: S3Credentials;
  /**
   * For clusters of Kubernetes: a Secret that is there already, with keys of any names.
   * @example { name: "longhorn-minio-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" }
   */
  existingSecret?: SecretRef;
}

/** Which bucket. */
export interface S3BucketArgs {
  existing: ExistingBucket;
}

export interface S3CompatibleRepositoryArgs {
  bucket: S3BucketArgs;
  /**
   * Host name, without `https://` and port.
   * @example "s3.example.net"
   */
  endpoint: pulumi.Input<string>;
  /**
   * Region that requests are signed for.
   * @example "us-east-1"
   */
  region: pulumi.Input<string>;
  /** @default 443 */
  port?: pulumi.Input<number>;
  /**
   * Bucket in the host name or in the path of the address. Left out, it is what the provider (`quirks`) is used with.
   */
  uriStyle?: UriStyle;
  /**
   * File on the host of the database with the certificates to trust, for a private authority.
   * @example "/etc/ssl/private-ca.pem"
   */
  caFile?: pulumi.Input<string>;
  /** What the provider does differently; guessed from the endpoint when left out. */
  quirks?: S3Quirks;
  /**
   * Prefix of all keys, with a leading slash.
   * @default "/pgbackrest"
   */
  path?: pulumi.Input<string>;
  /** Client-side encryption: the provider sees neither contents nor keys. Leaving it out is a warning. */
  cipher?: CipherRef;
}

/**
 * A repository in a bucket of an S3-compatible object store.
 *
 * Creates nothing by itself: the bucket and its keys exist. Destroying it leaves every backup in place.
 *
 * `const lab = new S3CompatibleRepository("events-s3", { endpoint: "s3.example.net", region: "lab", bucket: { existing: { name: "events", credentials } }, cipher: key.ref });`
 */
export class S3CompatibleRepository extends pulumi.ComponentResource {
  /** Give this to a database: `repositories: { repo2: { at: lab.target } }`. */
  public readonly target: RepositoryTarget;
  /** `s3://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;

  constructor(name: string, args: S3CompatibleRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const { bucket, cipher, endpoint, region } = args;
    const path = args.path ?? DEFAULTS.repositoryPath;
    const { credentials, existingSecret } = bucket.existing;
    super(typeToken("S3CompatibleRepository"), name, { bucket: bucket.existing.name, endpoint, region, path, encrypted: cipher !== undefined }, opts);
    this.target = {
      name,
      path,
      s3: {
        bucket: bucket.existing.name,
        endpoint,
        region,
        ...(args.port === undefined ? {} : { port: args.port }),
        ...(args.uriStyle === undefined ? {} : { uriStyle: args.uriStyle }),
        ...(args.caFile === undefined ? {} : { caFile: args.caFile }),
        ...(args.quirks === undefined ? {} : { quirks: args.quirks }),
        ...(credentials === undefined ? {} : { credentials: secretCredentials(credentials) }),
        ...(existingSecret === undefined ? {} : { existingSecret }),
      },
      ...(cipher === undefined ? {} : { cipher: { passphrase: pulumi.secret(cipher.passphrase) } }),
    };
    this.location = pulumi.interpolate`s3://${bucket.existing.name}${path}`;
    this.registerOutputs({ location: this.location });
  }
}

function secretCredentials({ accessKeyId, secretAccessKey, sessionToken }: S3Credentials): S3Credentials {
  return {
    accessKeyId: pulumi.secret(accessKeyId),
    secretAccessKey: pulumi.secret(secretAccessKey),
    ...(sessionToken === undefined ? {} : { sessionToken: pulumi.secret(sessionToken) }),
  };
}
