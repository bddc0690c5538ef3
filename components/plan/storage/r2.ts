/** A repository in a Cloudflare R2 bucket as plain values: addresses, the desired bucket and keys, and checks. Pure. */
import {
  CANCEL_UNFINISHED_DAYS,
  checkChoice,
  checkCredentialsChoice,
  checkKeyPrefix,
  checkOneOf,
  checkStored,
  type CredentialsSettings,
} from "./bucketChecks";
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

/** Why R2's locks cannot protect a repository. */
export const R2_LOCK_REASON =
  "R2's bucket lock also forbids overwriting: backup.info cannot be updated, a repeated archive_command fails forever, and the database's disk fills";

export const R2_JURISDICTIONS = ["default", "eu", "fedramp", "us"] as const;
export const R2_LOCATIONS = ["apac", "eeur", "enam", "weur", "wnam", "oc"] as const;
const DAY_SECONDS = 86_400;

/**
 * Cloudflare's names of permission groups for a token of one bucket; their identifiers are looked up, because they have
 * changed.
 */
export const R2_PERMISSION_GROUPS = {
  writer: "Workers R2 Storage Bucket Item Write",
  reader: "Workers R2 Storage Bucket Item Read",
} as const;

export interface R2Settings {
  readonly accountId: string;
  readonly jurisdiction?: string | undefined;
  readonly bucket: {
    readonly create?: { readonly name: string; readonly location?: string | undefined } | undefined;
    readonly existing?: { readonly name: string; readonly takeOver?: boolean | undefined } | undefined;
  };
  readonly path?: string | undefined;
  readonly credentials?: CredentialsSettings | undefined;
  readonly immutableDays?: number | undefined;
  readonly expectedStoredGiB?: number | undefined;
}

/** As `cloudflare.R2BucketLifecycle` takes it. */
export interface R2LifecycleRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly conditions: { readonly prefix: string };
  readonly abortMultipartUploadsTransition: { readonly condition: { readonly type: "Age"; readonly maxAge: number } };
}

/** Rules that replace all rules of a bucket: ours, and the one that every new bucket has. None deletes live objects. */
export function r2Rules(): readonly R2LifecycleRule[] {
  const abortAfter = (id: string, days: number): R2LifecycleRule => ({
    id,
    enabled: true,
    conditions: { prefix: "" },
    abortMultipartUploadsTransition: { condition: { type: "Age", maxAge: days * DAY_SECONDS } },
  });
  return [
    abortAfter("Default Multipart Abort Rule", 7),
    abortAfter("pgbackstop-unfinished-uploads", CANCEL_UNFINISHED_DAYS),
  ];
}

/** Host name of an account's S3 interface. A jurisdiction's buckets are visible on its own host only. */
export function r2EndpointOf(accountId: string, jurisdiction: string): string {
  return `${accountId}.${jurisdiction === "default" ? "" : `${jurisdiction}.`}r2.cloudflarestorage.com`;
}

/** The token's bucket, as token policies write it; JSON text. */
export function r2TokenResources(accountId: string, jurisdiction: string, bucket: string): string {
  return JSON.stringify({ [`com.cloudflare.edge.r2.bucket.${accountId}_${jurisdiction}_${bucket}`]: "*" });
}

export function checkR2(settings: R2Settings): Finding[] {
  const { accountId, bucket, credentials, immutableDays, jurisdiction } = settings;
  const findings: Finding[] = [];
  if (!isUnknown(accountId) && !/^[0-9a-f]{32}$/.test(accountId)) {
    const fact = `"${accountId}" is not an account: it must have 32 hexadecimal digits`;
    findings.push(finding("PB020", "accountId", fact, "copy it from the address of Cloudflare's dashboard"));
  }
  findings.push(...checkOneOf("jurisdiction", jurisdiction, R2_JURISDICTIONS));
  findings.push(
    ...checkChoice(
      "bucket",
      { create: bucket.create, existing: bucket.existing },
      "which bucket it is",
      'set bucket: { create: { name: "…" } }',
    ),
  );
  findings.push(...checkName(settings), ...checkOneOf("bucket.create.location", bucket.create?.location, R2_LOCATIONS));
  findings.push(...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath));
  findings.push(...checkCredentialsChoice(credentials, "leave credentials out to have a token made"));
  if (immutableDays !== undefined && immutableDays !== 0) {
    const fact = `immutableDays is not possible on Cloudflare R2: ${R2_LOCK_REASON}`;
    const hint = "use B2 or S3 for the immutable copy and this one as second repository";
    findings.push(finding("PB059", "immutableDays", fact, hint));
  }
  return [...findings, ...checkStored(settings.expectedStoredGiB)];
}

function checkName({ accountId, bucket, jurisdiction }: R2Settings): Finding[] {
  const { create, existing } = bucket;
  const [choice, taken] = create === undefined ? (["existing", existing] as const) : (["create", create] as const);
  if (taken === undefined) return [];
  if (existing?.takeOver === true && [taken.name, accountId, jurisdiction].some(isUnknown)) {
    const fact = "taking over a bucket needs its name, account and jurisdiction, which are not known yet";
    return [finding("PB082", `bucket.${choice}`, fact, "write them as plain text")];
  }
  if (isUnknown(taken.name) || /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(taken.name)) return [];
  const fact = `"${taken.name}" is not a bucket name: Cloudflare allows 3 to 63 lower-case letters, digits and hyphens`;
  return [finding("PB020", `bucket.${choice}.name`, fact, "choose a name that the account does not have yet")];
}
