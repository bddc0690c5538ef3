/** A repository on Cloudflare R2: bucket, tokens for it, and the rules that keep it restorable. */
import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import { childName, typeToken } from "../internal/children";
import { type Cloudflare, loadCloudflare } from "../internal/cloudPackages";
import { guardChildren } from "../internal/destroyGuard";
import { plainText, withDefault } from "../internal/inputs";
import { FIRST_ROTATION } from "../internal/rotation";
import { checkR2, R2_PERMISSION_GROUPS, r2EndpointOf, r2Rules, r2TokenResources } from "../plan/storage/r2";
import {
  cipherOf,
  prepareBucket,
  readerTargetOf,
  repositoryArguments,
  resourcesOf,
  secretCipher,
  secretCredentials,
  setChosen,
  shareableTarget,
  storageCost,
} from "./common";
import type { BucketKind } from "./renamedBucket";
import type { BucketContentArgs } from "./repositoryArgs";
import type { RepositoryTarget, S3Credentials, SecretRef } from "./target";
import { given } from "../../runtime/base/given";

/** Cloudflare's guaranteed location of the data. A bucket of a jurisdiction has a separate address. */
export const R2Jurisdiction = { Default: "default", Eu: "eu", FedRamp: "fedramp", Us: "us" } as const;
export type R2Jurisdiction = (typeof R2Jurisdiction)[keyof typeof R2Jurisdiction];

/** A hint, not a guarantee; it only counts when a bucket name is first used. */
export const R2Location = {
  AsiaPacific: "apac",
  EasternEurope: "eeur",
  EasternNorthAmerica: "enam",
  WesternEurope: "weur",
  WesternNorthAmerica: "wnam",
  Oceania: "oc",
} as const;
export type R2Location = (typeof R2Location)[keyof typeof R2Location];

/** A bucket to make. */
export interface R2NewBucket {
  /** 3 to 63 lower-case letters, digits and hyphens. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /** Region of the world to keep it in. @default near the machine that creates it */
  location?: pulumi.Input<R2Location>;
}

/** An existing bucket. The component creates tokens for it and does not change it, unless you take it over. */
export interface R2ExistingBucket {
  /** Name of the bucket. @example "acme-orders-pg" */
  name: pulumi.Input<string>;
  /**
   * True imports the bucket into the stack and replaces its lifecycle rules with ours. It is kept when the repository
   * is destroyed. Name, account and jurisdiction must be plain text.
   * @default false
   * @plain whether the bucket is imported
   */
  takeOver?: boolean;
}

/** Which bucket: exactly one of the two. */
export interface R2BucketChoice {
  create?: R2NewBucket;
  existing?: R2ExistingBucket;
}

/**
 * Tokens to create, each for this bucket alone. There is none for a recovery: R2 keeps no versions, so nothing can be
 * restored, and its tokens are "Object Read & Write" or "Object Read only", without a right to write that excludes
 * deletion (Cloudflare's documentation of R2, "API tokens", "Permissions").
 */
export interface R2NewTokens {
  /**
   * True creates a read-only token, for restores elsewhere, drills and clones: `readerTarget`, `readerCredentials`.
   * @default false
   * @plain whether the token exists
   */
  reader?: boolean;
  /**
   * Any text. A new text creates new tokens, and deletes the old ones once every database has the new ones.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
  /**
   * Identifier of the permission group "Workers R2 Storage Bucket Item Write".
   * @default looked up by that name, for which the update's own token needs "Account API Tokens Read"
   */
  writerPermissionGroupId?: pulumi.Input<string>;
  /** Identifier of the permission group "Workers R2 Storage Bucket Item Read". @default looked up by that name */
  readerPermissionGroupId?: pulumi.Input<string>;
}

/** An existing token: "Object Read & Write" for this bucket, created in Cloudflare's dashboard. */
export interface R2ExistingKeys {
  /** The token's "Access Key ID", 32 characters. */
  accessKeyId: pulumi.Input<string>;
  /** Secret. Its "Secret Access Key", 64 characters: not the token's value. */
  secretAccessKey: pulumi.Input<string>;
}

/** Which keys: exactly one of the three. */
export interface R2CredentialsChoice {
  create?: R2NewTokens;
  keys?: R2ExistingKeys;
  /**
   * For Kubernetes clusters: an existing Secret, with keys of any names.
   * @example
   * { name: "r2-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" }
   */
  existingSecret?: SecretRef;
}

export interface R2RepositoryArgs extends BucketContentArgs {
  /** The Cloudflare account. @example "0123456789abcdef0123456789abcdef" */
  accountId: pulumi.Input<string>;
  /** Jurisdiction of the bucket, also of an existing one. @default "default" */
  jurisdiction?: pulumi.Input<R2Jurisdiction>;
  /** The bucket to create or use. Use one for each repository: tokens cannot be limited to a part of a bucket. */
  bucket: R2BucketChoice;
  /** The databases' keys. @default a separate token of this repository, created here */
  credentials?: R2CredentialsChoice;
  /**
   * R2 cannot lock objects, so this is refused: lock another repository.
   * @plain whether the preview refuses the repository
   * @minimum 0
   */
  immutableDays?: number;
}

const R2_BUCKETS: BucketKind = {
  type: "cloudflare:index/r2Bucket:R2Bucket",
  identityOf: (name, { accountId, jurisdiction = "default" }) => ({ name, accountId, jurisdiction }),
  keyTypes: ["cloudflare:index/accountToken:AccountToken"],
  serviceOf: ({ accountId, jurisdiction = "default" }) => ({
    endpoint: r2EndpointOf(String(accountId), String(jurisdiction)),
  }),
};

/**
 * A repository in a bucket of Cloudflare R2. Needs the package `@pulumi/cloudflare` to make a bucket or a token.
 *
 * Creates a bucket (`<name>-bucket`) with a rule that ends unfinished uploads after 2 days (`-lifecycle`), and a token
 * for databases (`-writer-token`), on request one to read (`-reader-token`). The provider signs in with
 * CLOUDFLARE_API_TOKEN, a token with "Workers R2 Storage Write", "Account API Tokens Write" and "Account API Tokens
 * Read".
 *
 * R2 keeps no versions and cannot lock: what the writer's token deletes is gone. Use it as the second repository, from
 * which restores are free.
 *
 * It is protected: a destroy is refused before anything of it is deleted, its tokens included. When the protection is
 * taken off (`{ protect: false }`, then an update), destroying it deletes the tokens, and the bucket stays at
 * Cloudflare with every backup; with `{ protect: false, retainOnDelete: false }` it is deleted when it is empty. A
 * bucket that was taken over always stays.
 *
 * Costs (list prices of 2026-11) 0.015 USD a month per GB, the first 10 GB free, 4.50 USD per million writes after the
 * first million; restoring is free.
 *
 * ```ts
 * const r2 = new R2Repository("orders-r2", {
 *   accountId: config.require("accountId"),
 *   bucket: { create: { name: "acme-orders-pg" } },
 *   cipher: key.ref,
 * });
 * ```
 */
export class R2Repository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: r2.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = r2.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `s3://bucket/prefix`. */
  public readonly location: pulumi.Output<string>;
  /** Host name of the S3 interface, which includes the jurisdiction. */
  public readonly endpoint: pulumi.Output<string>;
  /** Endpoint URL for a restore elsewhere; the region is `auto`. */
  public readonly restoreEndpoint: pulumi.Output<string>;
  /** Secret. Read-only; set with `credentials.create.reader`. */
  public readonly readerCredentials?: S3Credentials;
  /** The repository with the reader's token, for a host with `restoreOnly`; set with `credentials.create.reader`. */
  public readonly readerTarget?: RepositoryTarget;
  /** Price in US dollars a month of keeping `expectedStoredGiB`, without calls. */
  public readonly monthlyCostUsd?: pulumi.Output<number>;
  /** Day of that price. */
  public readonly pricesAsOf?: pulumi.Output<string>;

  constructor(name: string, args: R2RepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = repositoryArguments("R2Repository", name, args, checkR2);
    const prepared = prepareBucket(`R2Repository ${name}`, own, opts, {
      kind: R2_BUCKETS,
      fields: [],
      resolve: () => ({}),
      check: checkR2,
    });
    const cloudflare = (): Cloudflare => loadCloudflare("R2Repository");
    super(typeToken("R2Repository"), name, prepared.inputs, prepared.opts);
    const { path } = prepared;
    const kept = prepared.begin(this);
    const region = regionOf(own);
    const bucket = createBucket(cloudflare, name, own, region, kept);
    const { cipher, passphrase } = cipherOf(name, own, this, kept.protect, resourcesOf(bucket));
    const groups = permissionGroups(cloudflare, this, own);
    const made: pulumi.Resource[] = [];
    const createKeys = (role: TokenRole): S3Credentials => {
      const token = createToken(cloudflare(), this, name, role, own, region.jurisdiction, bucket, groups[role]);
      made.push(token);
      return secretCredentials({ accessKeyId: token.id, secretAccessKey: token.value.apply(secretKeyOf) });
    };
    const { create, existingSecret, keys } = own.credentials ?? {};
    const signIn =
      existingSecret !== undefined
        ? { existingSecret }
        : { credentials: keys === undefined ? createKeys("writer") : secretCredentials(keys) };

    this.endpoint = pulumi.all([own.accountId, region.jurisdiction]).apply((parts) => r2EndpointOf(...parts));
    this.restoreEndpoint = pulumi.interpolate`https://${this.endpoint}`;
    this.location = pulumi.interpolate`s3://${bucket}${path}`;
    this.target = shareableTarget({
      name,
      path,
      offSite: true,
      s3: {
        bucket,
        endpoint: this.endpoint,
        region: "auto",
        uriStyle: "path",
        quirks: "r2",
        ...signIn,
        facts: { versioning: false },
      },
      ...secretCipher(cipher),
    });
    prepared.record(this.target, this.location, this);
    const readerCredentials = create?.reader === true ? createKeys("reader") : undefined;
    if (readerCredentials !== undefined) this.readerTarget = readerTargetOf(this.target, readerCredentials);
    guardChildren(name, made, this, kept.protect);
    this.registerOutputs({
      location: this.location,
      endpoint: this.endpoint,
      restoreEndpoint: this.restoreEndpoint,
      ...setChosen(this, { passphrase, readerCredentials, ...storageCost("r2", own.expectedStoredGiB) }),
    });
  }
}

interface Region {
  readonly jurisdiction: pulumi.Input<string>;
  readonly location?: pulumi.Input<string>;
}

function regionOf({ bucket: { create }, jurisdiction }: R2RepositoryArgs): Region {
  return { jurisdiction: withDefault<string>(jurisdiction, "default"), ...given({ location: create?.location }) };
}

type AccountToken = InstanceType<Cloudflare["AccountToken"]>;
type TokenRole = keyof typeof R2_PERMISSION_GROUPS;

/** The bucket's name, available once its rules exist; for an unchanged existing one, only the name. */
function createBucket(
  cloudflare: () => Cloudflare,
  name: string,
  { accountId, bucket: { create, existing } }: R2RepositoryArgs,
  { jurisdiction, ...location }: Region,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  if (create === undefined && existing?.takeOver !== true) return pulumi.output(existing?.name ?? "");
  const { R2Bucket, R2BucketLifecycle } = cloudflare();
  const inputs = { accountId, name: create?.name ?? existing?.name ?? "", jurisdiction };
  const kept = create === undefined ? { ...opts, retainOnDelete: true } : opts;
  const imported = {
    import: [accountId, existing?.name, jurisdiction].map(plainText).join("/"),
    // Cloudflare returns its own choice; that is no change.
    ignoreChanges: ["location", "storageClass"],
  };
  const bucket = new R2Bucket(
    childName(name, "bucket"),
    { ...inputs, ...location },
    create === undefined ? { ...kept, ...imported } : kept,
  );
  const rules = r2Rules().map((rule) => ({ ...rule }));
  const lifecycle = new R2BucketLifecycle(
    childName(name, "lifecycle"),
    { accountId, bucketName: bucket.name, jurisdiction, rules },
    kept,
  );
  return pulumi.all([bucket.name, lifecycle.bucketName]).apply(([bucketName]) => bucketName);
}

/** A token for the bucket, neither protected nor kept. */
function createToken(
  cloudflare: Cloudflare,
  parent: pulumi.Resource,
  name: string,
  role: TokenRole,
  { accountId, credentials }: R2RepositoryArgs,
  jurisdiction: pulumi.Input<string>,
  bucket: pulumi.Output<string>,
  permissionGroupId: pulumi.Input<string>,
): AccountToken {
  const { rotationTrigger } = credentials?.create ?? {};
  const resources = pulumi.all([accountId, jurisdiction, bucket]).apply((parts) => r2TokenResources(...parts));
  return new cloudflare.AccountToken(
    childName(name, `${role}Token`),
    {
      accountId,
      name: `pgbackstop ${pulumi.getStack()} ${name} ${role}`,
      policies: [{ effect: "allow", permissionGroups: [{ id: permissionGroupId }], resources }],
    },
    {
      parent,
      protect: false,
      retainOnDelete: false,
      replacementTrigger: rotationTrigger ?? FIRST_ROTATION,
      // A renamed stack or repository keeps its token as it is.
      ignoreChanges: ["name"],
    },
  );
}

/**
 * A token's secret for S3: the SHA-256 of its value in lower-case hexadecimal digits ("R2: get S3 API credentials from
 * a token").
 */
export function secretKeyOf(tokenValue: string): string {
  return createHash("sha256").update(tokenValue, "utf8").digest("hex");
}

/**
 * Identifiers of the tokens' rights: the given ones, else looked up by name, once.
 * @throws RunError if the account has none of that name, or does not answer: a stored identifier could be that of
 * another right
 */
function permissionGroups(
  cloudflare: () => Cloudflare,
  parent: pulumi.Resource,
  { accountId, credentials }: R2RepositoryArgs,
): Record<TokenRole, pulumi.Input<string>> {
  const { reader = false, readerPermissionGroupId, writerPermissionGroupId } = credentials?.create ?? {};
  const isComplete = writerPermissionGroupId !== undefined && (readerPermissionGroupId !== undefined || !reader);
  if (credentials?.keys !== undefined || credentials?.existingSecret !== undefined || isComplete)
    return { writer: writerPermissionGroupId ?? "", reader: readerPermissionGroupId ?? "" };
  const listed = pulumi.output(accountId).apply(async (account) => {
    const { results } = await cloudflare()
      .getAccountApiTokenPermissionGroupsList({ accountId: account }, { parent })
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        throw new pulumi.RunError(
          `unable to read the permission groups of Cloudflare account ${account}: ${reason}; ${REMEDY}`,
        );
      });
    return results;
  });
  const find = (role: TokenRole): pulumi.Output<string> =>
    pulumi.all([accountId, listed]).apply(([account, results]) => {
      const group = results.find((each) => each.name === R2_PERMISSION_GROUPS[role]);
      if (group === undefined)
        throw new pulumi.RunError(
          `account ${account} has no permission group "${R2_PERMISSION_GROUPS[role]}"; ${REMEDY}`,
        );
      return group.id;
    });
  return {
    writer: writerPermissionGroupId ?? find("writer"),
    reader: readerPermissionGroupId ?? (reader ? find("reader") : ""),
  };
}

const REMEDY =
  "look them up yourself and set writerPermissionGroupId and readerPermissionGroupId of credentials.create, or create a token in the dashboard and set credentials.keys";
