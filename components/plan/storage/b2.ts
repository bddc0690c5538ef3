/**
 * A repository on Backblaze B2 as plain values: defaults, what its bucket and keys shall be like, and what is wrong with the arguments. Pure.
 *
 * A bucket of B2 keeps every version: what is overwritten or deleted is hidden, and a lifecycle rule deletes it for good later. That is the
 * way back after a mistake or an attack, so it is never shorter than a week nor shorter than the lock. Nothing may hide files because of
 * their age: increments refer to files of any age. Capabilities are the least with which pgBackRest works; deleting by name only hides.
 */
import {
  CANCEL_UNFINISHED_DAYS,
  checkChoice,
  checkCredentialsChoice,
  type CredentialsSettings,
  checkKeyPrefix,
  checkProtection,
  checkStored,
  type LockSettings,
  undeleteDaysOf,
} from "./bucketChecks";
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

export interface B2Settings extends LockSettings {
  readonly bucket: {
    readonly create?: { readonly name: string } | undefined;
    readonly existing?: { readonly name: string } | undefined;
  };
  readonly path?: string | undefined;
  readonly credentials?: CredentialsSettings | undefined;
  readonly expectedStoredGiB?: number | undefined;
}

export interface B2Plan {
  readonly path: string;
  /** Undefined: no object lock. 0: the bucket has it, new files are not locked. */
  readonly immutableDays: number | undefined;
  readonly lockMode: string;
  /** Days after which what is overwritten or deleted is gone for good. */
  readonly deleteHiddenAfterDays: number;
  readonly cancelUnfinishedAfterDays: number;
}

/** Capabilities of the keys, in Backblaze's words. */
export const B2_CAPABILITIES = {
  /** Backs up and expires: it cannot delete a version, so what it removes can be brought back. */
  writer: ["listBuckets", "listFiles", "readFiles", "writeFiles"],
  /** Restores, drills, `info`, `verify`, also of a time before an attack. */
  reader: ["listBuckets", "listFiles", "readFiles"],
  /** Puts a bucket in order after an attack: deletes what hides good versions. It cannot end a lock. */
  recovery: ["listBuckets", "listFiles", "readFiles", "writeFiles", "deleteFiles", "readBucketRetentions", "readFileRetentions"],
} as const;

/** The complete plan; what is wrong with it, {@link checkB2} says. */
export function resolveB2(settings: B2Settings): B2Plan {
  return {
    path: settings.path ?? DEFAULTS.repositoryPath,
    immutableDays: settings.immutableDays,
    lockMode: settings.lockMode ?? "governance",
    deleteHiddenAfterDays: undeleteDaysOf(settings),
    cancelUnfinishedAfterDays: CANCEL_UNFINISHED_DAYS,
  };
}

/** Beginning of the names of all files of the repository: `pgbackrest/`. */
export function filePrefixOf(path: string): string {
  return `${path.replace(/^\/+/, "")}/`;
}

/** All findings, in the order of the arguments. */
export function checkB2(settings: B2Settings): Finding[] {
  const { create, existing } = settings.bucket;
  return [
    ...checkChoice("bucket", { create, existing }, "which bucket it is", 'set bucket: { create: { name: "…" } }'),
    ...checkName(settings),
    ...checkKeyPrefix(settings.path ?? DEFAULTS.repositoryPath),
    ...checkCredentialsChoice(settings.credentials, "leave credentials out to have keys made"),
    ...checkProtection(settings, "Backblaze"),
    ...checkStored(settings.expectedStoredGiB),
  ];
}

function checkName({ bucket }: B2Settings): Finding[] {
  const [choice, chosen] = bucket.create === undefined ? (["existing", bucket.existing] as const) : (["create", bucket.create] as const);
  if (chosen === undefined || isUnknown(chosen.name)) return [];
  const isName = /^[a-z0-9][a-z0-9.-]{4,61}[a-z0-9]$/.test(chosen.name) && !chosen.name.includes("..") && !chosen.name.startsWith("b2-");
  if (isName && !/^[0-9.]+$/.test(chosen.name)) return [];
  const fact = `"${chosen.name}" is no bucket name: Backblaze takes 6 to 63 lower-case letters, digits, dots and hyphens that begin otherwise than b2-`;
  return [finding("PB020", `bucket.${choice}.name`, fact, "choose a name that no other customer has")];
}
