/** A place for backups as databases see it: made by the repository components, used as `at` of a database's repository. */
import type * as pulumi from "@pulumi/pulumi";

/** How object stores are addressed: bucket in the host name, or in the path. */
export const UriStyle = { Host: "host", Path: "path" } as const;
export type UriStyle = (typeof UriStyle)[keyof typeof UriStyle];

/** Providers of object storage whose differences are known: a row each of the runtime's table. */
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
  VersityGw: "versitygw",
  Generic: "generic",
} as const;
export type S3Quirks = (typeof S3Quirks)[keyof typeof S3Quirks];

/** A passphrase that encrypts a repository before anything leaves the database's machine. */
export interface CipherRef {
  /** Secret. Without it the backups cannot be read by anybody. */
  passphrase: pulumi.Input<string>;
}

/** Keys of an object store. Each is treated as a secret. */
export interface S3Credentials {
  accessKeyId: pulumi.Input<string>;
  secretAccessKey: pulumi.Input<string>;
  /** Only for temporary credentials. */
  sessionToken?: pulumi.Input<string>;
}

/** A bucket and how it is reached. */
export interface S3Location {
  bucket: pulumi.Input<string>;
  /** Host name, without scheme and port. */
  endpoint: pulumi.Input<string>;
  region: pulumi.Input<string>;
  port?: pulumi.Input<number>;
  uriStyle?: UriStyle;
  caFile?: pulumi.Input<string>;
  quirks?: S3Quirks;
  credentials: S3Credentials;
}

/** Where a repository is. Comes from the `target` of a repository component. */
export interface RepositoryTarget {
  /** Name of the repository component. */
  name: string;
  /** Directory, or key prefix in the bucket. */
  path: pulumi.Input<string>;
  /** For directories: refuse to write when nothing is mounted there. */
  requireMount?: boolean;
  /** For object stores. */
  s3?: S3Location;
  /** Client-side encryption. */
  cipher?: CipherRef;
}
