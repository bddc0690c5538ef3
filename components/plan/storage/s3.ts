/**
 * A repository in an Amazon S3 bucket as plain values: defaults, the desired bucket, and checks of the arguments. Pure.
 */
import {
  CANCEL_UNFINISHED_DAYS,
  checkChoice,
  checkKeyPrefix,
  checkProtection,
  checkStored,
  chosen,
  type OpenArguments,
  undeleteDaysOf,
} from "./bucketChecks";
import type { S3RepositoryArgs } from "../../repositories/s3RepositoryArgs";
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

export type S3RepositorySettings = OpenArguments<S3RepositoryArgs>;

export interface S3RepositoryPlan {
  /** False if others own the bucket's settings. */
  readonly managed: boolean;
  /** In the host name, unless its dots break certificates. */
  readonly uriStyle: "host" | "path";
  /** Name of pgBackRest's `repo-s3-key-type`. */
  readonly keyType: "shared" | "auto" | "web-id" | "pod-id";
  /** Undefined: no object lock. 0: the bucket has it, but new objects are not locked. */
  readonly immutableDays: number | undefined;
  readonly lockMode: string;
  readonly undeleteDays: number;
  readonly rules: readonly LifecycleRule[];
}

/**
 * As `aws.s3.BucketLifecycleConfiguration` takes it. None touches live objects: increments refer to them at any age.
 */
export interface LifecycleRule {
  readonly id: string;
  readonly status: "Enabled";
  readonly filter: { readonly prefix: string };
  readonly abortIncompleteMultipartUpload?: { readonly daysAfterInitiation: number };
  readonly noncurrentVersionExpiration?: { readonly noncurrentDays: number };
  readonly expiration?: { readonly expiredObjectDeleteMarker: boolean };
}

/** No wildcard certificate covers a name with dots. */
export function uriStyleOf(bucketName: string): "host" | "path" {
  return bucketName.includes(".") ? "path" : "host";
}

/** The complete plan; {@link checkS3Repository} checks it. */
export function resolveS3Repository(settings: S3RepositorySettings): S3RepositoryPlan {
  const { bucket, credentials } = settings;
  const name = bucket.create?.name ?? bucket.existing?.name ?? "";
  const undeleteDays = undeleteDaysOf(settings);
  return {
    managed: bucket.create !== undefined || bucket.existing?.takeOver === true,
    uriStyle: isUnknown(name) ? "host" : uriStyleOf(name),
    keyType: keyTypeOf(credentials),
    immutableDays: settings.immutableDays,
    lockMode: settings.lockMode ?? "governance",
    undeleteDays,
    rules: [
      {
        id: "pgbackstop-unfinished-uploads",
        status: "Enabled",
        filter: { prefix: "" },
        abortIncompleteMultipartUpload: { daysAfterInitiation: CANCEL_UNFINISHED_DAYS },
      },
      {
        id: "pgbackstop-replaced-versions",
        status: "Enabled",
        filter: { prefix: "" },
        noncurrentVersionExpiration: { noncurrentDays: undeleteDays },
        expiration: { expiredObjectDeleteMarker: true },
      },
    ],
  };
}

function keyTypeOf(credentials: S3RepositorySettings["credentials"]): S3RepositoryPlan["keyType"] {
  if (credentials?.instanceRole !== undefined) return "auto";
  if (credentials?.role?.irsa !== undefined) return "web-id";
  return credentials?.role === undefined ? "shared" : "pod-id";
}

export function checkS3Repository(settings: S3RepositorySettings): Finding[] {
  const { create, existing } = settings.bucket;
  return [
    ...checkChoice("bucket", { create, existing }, "which bucket it is", 'set bucket: { create: { name: "…" } }'),
    ...checkName(settings),
    ...checkRegion(settings.region),
    ...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath),
    ...checkCredentials(settings.credentials),
    ...checkKmsKey(settings.kmsKeyArn),
    ...checkForeign(settings),
    ...checkProtection(settings, "Amazon"),
    ...checkStored(settings.expectedStoredGiB),
  ];
}

/** Amazon's rules for names ("General purpose bucket naming rules"). */
function checkName({ bucket }: S3RepositorySettings): Finding[] {
  const [choice, { name = "" } = {}] =
    bucket.create === undefined ? (["existing", bucket.existing] as const) : (["create", bucket.create] as const);
  if (isUnknown(name)) {
    if (choice !== "existing" || bucket.existing?.takeOver !== true) return [];
    return [
      finding(
        "PB082",
        "bucket.existing.name",
        "taking over a bucket needs its name, which is not known yet",
        "write the name as plain text",
      ),
    ];
  }
  if (name === "" && bucket.create === undefined && bucket.existing === undefined) return [];
  const isName =
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) && !name.includes("..") && !/^[0-9]+(\.[0-9]+){3}$/.test(name);
  const isReserved = /^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$/.test(name);
  if (isName && !isReserved) return [];
  const fact = `"${name}" is not a bucket name: Amazon allows 3 to 63 lower-case letters, digits, dots and hyphens, and reserves some prefixes and suffixes`;
  return [finding("PB020", `bucket.${choice}.name`, fact, "choose a name that no other customer has")];
}

function checkRegion(region: string): Finding[] {
  if (isUnknown(region) || /^[a-z]{2,4}(-[a-z]+)+-[0-9]+$/.test(region)) return [];
  return [finding("PB020", "region", `"${region}" is not a region`, 'set for instance "eu-central-1"')];
}

function checkCredentials(credentials: S3RepositorySettings["credentials"]): Finding[] {
  if (credentials === undefined) return [];
  const { create, role, instanceRole, keys, existingSecret } = credentials;
  const choices = { create, role, instanceRole, keys, existingSecret };
  const findings = checkChoice(
    "credentials",
    choices,
    "how databases sign in",
    "leave credentials out to have a key made",
  );
  if (role === undefined) return findings;
  const { irsa, podIdentity } = role;
  findings.push(
    ...checkChoice(
      "credentials.role",
      { irsa, podIdentity },
      "how pods get the role",
      "prefer Pod Identity, the newer one",
    ),
  );
  if (
    irsa === undefined ||
    isUnknown(irsa.oidcProviderArn) ||
    /^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider\/.+/.test(irsa.oidcProviderArn)
  )
    return findings;
  const fact = `"${irsa.oidcProviderArn}" is not an ARN of an OIDC provider`;
  const hint = 'it looks like "arn:aws:iam::123456789012:oidc-provider/oidc.eks.…"';
  findings.push(finding("PB020", "credentials.role.irsa.oidcProviderArn", fact, hint));
  return findings;
}

function checkKmsKey(kmsKeyArn: string | undefined): Finding[] {
  if (
    kmsKeyArn === undefined ||
    isUnknown(kmsKeyArn) ||
    /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/.+/.test(kmsKeyArn)
  )
    return [];
  const fact = `"${kmsKeyArn}" is not an ARN of a key; an alias does not work, because policies name keys`;
  return [finding("PB020", "kmsKeyArn", fact, 'it looks like "arn:aws:kms:eu-central-1:123456789012:key/…"')];
}

/** Settings of a bucket that is not ours to change. */
function checkForeign(settings: S3RepositorySettings): Finding[] {
  if (settings.bucket.existing === undefined || settings.bucket.existing.takeOver === true) return [];
  const { immutableDays, lockMode, undeleteDays } = settings;
  return chosen({ immutableDays, undeleteDays, lockMode }).map((name) => {
    const fact = `${name} is a setting of the bucket, and pgbackstop does not change an existing bucket`;
    const hint = "set bucket.existing.takeOver: true, or describe the bucket in bucket.existing.facts";
    return finding("PB082", name, fact, hint);
  });
}
