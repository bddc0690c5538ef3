/**
 * A repository in a bucket of Google Cloud Storage as plain values: defaults, what is created, and checks of the
 * arguments. Pure.
 */
import { type Finding, finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { isUnknown } from "../model/unknown";
import type { GcsRepositoryArgs } from "../../repositories/gcsRepositoryArgs";
import {
  CANCEL_UNFINISHED_DAYS,
  checkChoice,
  checkKeyPrefix,
  checkProtection,
  checkStored,
  type OpenArguments,
  undeleteDaysOf,
} from "./bucketChecks";

export type GcsRepositorySettings = OpenArguments<GcsRepositoryArgs>;

export interface GcsRepositoryPlan {
  /** False if others own the bucket's settings. */
  readonly managed: boolean;
  readonly undeleteDays: number;
  readonly rules: readonly GcsRule[];
}

/** As `gcp:storage/bucket:Bucket` takes it. It touches no live object: increments refer to them at any age. */
export interface GcsRule {
  readonly action: { readonly type: "Delete" | "AbortIncompleteMultipartUpload" };
  readonly condition: { readonly daysSinceNoncurrentTime: number } | { readonly age: number };
}

/** "Soft delete": the longest retention. */
const UNDELETE_DAYS_MAX = 90;
/** "About Cloud Storage buckets": names with dots may be longer. */
export const GCS_BUCKET = /^[a-z0-9](?:[a-z0-9._-]{1,61}|[a-z0-9_-]{0,62}\.[a-z0-9._-]{1,157})[a-z0-9]$/;
const MEMBER = /^(serviceAccount|principal|principalSet|group|user):[^\s]+$/;

/** The complete plan; {@link checkGcs} checks it. */
export function resolveGcs(settings: GcsRepositorySettings): GcsRepositoryPlan {
  const undeleteDays = Math.min(undeleteDaysOf(settings), UNDELETE_DAYS_MAX);
  return {
    managed: settings.bucket.create !== undefined,
    undeleteDays,
    rules: [
      // Soft delete keeps what this removes for as long again.
      { action: { type: "Delete" }, condition: { daysSinceNoncurrentTime: undeleteDays } },
      { action: { type: "AbortIncompleteMultipartUpload" }, condition: { age: CANCEL_UNFINISHED_DAYS } },
    ],
  };
}

export function checkGcs(settings: GcsRepositorySettings): Finding[] {
  const { create, existing } = settings.bucket;
  return [
    ...checkChoice(
      "bucket",
      { create, existing },
      "which bucket it is",
      'set bucket: { create: { name: "…", location: "…" } }',
    ),
    ...checkNames(settings),
    ...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath),
    ...checkCredentials(settings.credentials),
    ...checkUndelete(settings),
    ...checkStored(settings.expectedStoredGiB),
  ];
}

function checkNames({ bucket: { create, existing } }: GcsRepositorySettings): Finding[] {
  const section = create === undefined ? "existing" : "create";
  const name = (create ?? existing)?.name ?? "any";
  const location = create?.location ?? "EU";
  const wrong = (field: string, fact: string, hint: string): Finding[] => [
    finding("PB020", `bucket.${section}.${field}`, fact, hint),
  ];
  return [
    ...(isUnknown(name) || (GCS_BUCKET.test(name) && !name.startsWith("goog"))
      ? []
      : wrong(
          "name",
          `"${name}" is not the name of a bucket`,
          "use 3 to 63 lower-case letters, digits and hyphens; no other customer may have it",
        )),
    ...(isUnknown(location) || /^[A-Za-z][A-Za-z0-9-]{1,39}$/.test(location)
      ? []
      : wrong("location", `"${location}" is not a location`, 'set for instance "europe-west3"')),
  ];
}

function checkCredentials(credentials: GcsRepositorySettings["credentials"]): Finding[] {
  if (credentials === undefined) return [];
  const { create, existingSecret, identity, keys } = credentials;
  const member = identity?.member ?? "user:any";
  const hint =
    'write for instance "serviceAccount:database@PROJECT.iam.gserviceaccount.com", or leave it out and grant the roles yourself';
  return [
    ...checkChoice(
      "credentials",
      { create, identity, keys, existingSecret },
      "how databases sign in",
      "leave credentials out to have a service account with a key made",
    ),
    ...(isUnknown(member) || MEMBER.test(member)
      ? []
      : [finding("PB020", "credentials.identity.member", `"${member}" is not a member of a policy`, hint)]),
  ];
}

function checkUndelete({ bucket, undeleteDays }: GcsRepositorySettings): Finding[] {
  if (undeleteDays === undefined) return [];
  if (bucket.existing !== undefined) {
    const fact = "undeleteDays is a setting of the bucket, and pgbackstop does not change an existing one";
    return [finding("PB082", "undeleteDays", fact, "describe the bucket in bucket.existing.facts")];
  }
  return checkProtection({ undeleteDays }, "Google");
}
