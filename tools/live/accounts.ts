/** The accounts of `npm run test:live`: their variables, and how to create throw-away ones. */

/** An existing bucket, and a key for it. */
export interface BucketAccess {
  /** `B2` */
  readonly name: string;
  readonly bucket: string;
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly keyId: string;
  readonly key: string;
  /** Prefix of the key; default: a new one. */
  readonly path?: string;
  /** Certificates to trust; default: the machine's. */
  readonly caFile?: string | undefined;
}

export interface Account {
  /**
   * Prefix of a bucket's variables: `B2_BUCKET`, `B2_ENDPOINT`, `B2_REGION`, `B2_KEY_ID`, `B2_KEY`; `B2_PORT`,
   * `B2_CA_FILE` if needed.
   */
  readonly prefix: "B2" | "R2" | "AWS";
  readonly howTo: string;
  /** Variables for components that create a bucket and keys. */
  readonly management: readonly string[];
  readonly managementHowTo: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export const ACCOUNTS: readonly Account[] = [
  {
    prefix: "B2",
    howTo:
      "a private bucket at Backblaze, then an application key for this bucket alone with listBuckets, listFiles, readFiles and writeFiles; the endpoint stands at the bucket (s3.REGION.backblazeb2.com)",
    management: ["B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY"],
    managementHowTo:
      "an application key of an account without anything else in it, for all buckets, with listBuckets, writeBuckets, deleteBuckets, readBucketRetentions, writeBucketRetentions, listFiles, deleteFiles, listKeys, writeKeys and deleteKeys",
  },
  {
    prefix: "R2",
    howTo:
      'a bucket at Cloudflare R2, then an API token "Object Read & Write" for it alone; the endpoint is ACCOUNT.r2.cloudflarestorage.com, the region auto',
    management: ["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN"],
    managementHowTo:
      'an API token of an account without anything else in it, with "Workers R2 Storage Write", "Account API Tokens Write" and "Account API Tokens Read"',
  },
  {
    prefix: "AWS",
    howTo:
      "a versioned bucket at Amazon S3, then a user with ListBucket on it and GetObject, PutObject, DeleteObject, AbortMultipartUpload on its objects; the endpoint is s3.REGION.amazonaws.com",
    management: ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"],
    managementHowTo: "an access key of a user in an account without anything else in it, with rights on s3 and iam",
  },
];

const BUCKET_FIELDS = ["BUCKET", "ENDPOINT", "REGION", "KEY_ID", "KEY"] as const;

/** Names of the variables of a bucket. */
export function bucketVariables({ prefix }: Account): string[] {
  return BUCKET_FIELDS.map((field) => `${prefix}_${field}`);
}

/** Those of `names` that are not set. */
export function missingOf(environment: Environment, names: readonly string[]): string[] {
  return names.filter((name) => (environment[name] ?? "") === "");
}

/** The bucket in the variables; null if one of them is missing. */
export function findBucketAccess(account: Account, environment: Environment): BucketAccess | null {
  if (missingOf(environment, bucketVariables(account)).length > 0) return null;
  const value = (field: string): string => environment[`${account.prefix}_${field}`] ?? "";
  return {
    name: account.prefix,
    bucket: value("BUCKET"),
    endpoint: value("ENDPOINT"),
    port: Number(value("PORT") || 443),
    region: value("REGION"),
    keyId: value("KEY_ID"),
    key: value("KEY"),
    caFile: value("CA_FILE") || undefined,
  };
}
