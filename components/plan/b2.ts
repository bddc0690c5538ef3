/**
 * A repository on Backblaze B2 as plain values: defaults, what its bucket and keys shall be like, and what is wrong with the arguments. Pure.
 *
 * A bucket of B2 keeps every version: what is overwritten or deleted is hidden, and a lifecycle rule deletes it for good later. That is the
 * way back after a mistake or an attack, so it is never shorter than a week nor shorter than the lock. Nothing may hide files because of
 * their age: increments refer to files of any age. Capabilities are the least with which pgBackRest works; deleting by name only hides.
 */
import { DEFAULTS } from "./defaults";
import { type Finding, finding } from "./findings";
import { isUnknown } from "./unknown";

export const LOCK_MODES = ["governance", "compliance"] as const;
const UNDELETE_DAYS = 14;
const UNDELETE_DAYS_MIN = 7;
/** Long enough for somebody to notice an attack: below, protection is mostly a word. */
const DETECTION_DAYS = 14;
const DAYS_MAX = 3_000;
const CANCEL_UNFINISHED_DAYS = 2;

export interface B2Settings {
  readonly bucket: {
    readonly create?: { readonly name: string } | undefined;
    readonly existing?: { readonly name: string } | undefined;
  };
  readonly path?: string | undefined;
  readonly credentials?: { readonly create?: object | undefined; readonly keys?: object | undefined } | undefined;
  readonly immutableDays?: number | undefined;
  readonly undeleteDays?: number | undefined;
  readonly lockMode?: string | undefined;
  readonly acceptIrreversible?: boolean | undefined;
}

export interface B2Plan {
  /** Argument that chose the bucket; null when none or both did. */
  readonly bucketChoice: "create" | "existing" | null;
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
  const { create, existing } = settings.bucket;
  const { immutableDays } = settings;
  const choices = [...(create === undefined ? [] : (["create"] as const)), ...(existing === undefined ? [] : (["existing"] as const))];
  return {
    bucketChoice: choices.length === 1 ? (choices[0] ?? null) : null,
    path: settings.path ?? DEFAULTS.repositoryPath,
    immutableDays,
    lockMode: settings.lockMode ?? "governance",
    deleteHiddenAfterDays: Math.max((immutableDays ?? 0) + 1, settings.undeleteDays ?? UNDELETE_DAYS, UNDELETE_DAYS_MIN),
    cancelUnfinishedAfterDays: CANCEL_UNFINISHED_DAYS,
  };
}

/** Beginning of the names of all files of the repository: `pgbackrest/`. */
export function filePrefixOf(path: string): string {
  return `${path.replace(/^\/+/, "")}/`;
}

/** All findings, in the order of the arguments. */
export function checkB2(settings: B2Settings): Finding[] {
  const plan = resolveB2(settings);
  return [
    ...(plan.bucketChoice === null
      ? [finding("PB016", "bucket", "exactly one of create and existing says which bucket it is", 'set bucket: { create: { name: "…" } }')]
      : []),
    ...checkName(settings),
    ...checkB2Path(plan.path),
    ...checkCredentials(settings),
    ...checkDays("immutableDays", settings.immutableDays, 0),
    ...checkDays("undeleteDays", settings.undeleteDays, 1),
    ...checkLock(settings, plan),
    ...checkProtection(settings, plan),
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

/** What is wrong with the prefix of the keys. */
export function checkB2Path(path: string): Finding[] {
  if (isUnknown(path) || /^(\/[A-Za-z0-9_.,:@+=~-]+)+$/.test(path)) return [];
  const fact = `"${path}" is no prefix of keys: it begins with a slash, ends without one and is not the whole bucket`;
  return [finding("PB020", "path", fact, `set for instance "${DEFAULTS.repositoryPath}"`)];
}

function checkCredentials({ credentials }: B2Settings): Finding[] {
  if (credentials === undefined || (credentials.create === undefined) !== (credentials.keys === undefined)) return [];
  return [finding("PB016", "credentials", "exactly one of create and keys says which keys are used", "leave credentials out to have keys made")];
}

function checkDays(path: string, days: number | undefined, min: number): Finding[] {
  if (days === undefined || isUnknown(days) || (Number.isInteger(days) && days >= min && days <= DAYS_MAX)) return [];
  return [finding("PB014", path, `${days} is outside ${min} to ${DAYS_MAX} whole days`, "")];
}

function checkLock({ acceptIrreversible, lockMode }: B2Settings, plan: B2Plan): Finding[] {
  if (lockMode === undefined) return [];
  if (!LOCK_MODES.some((mode) => mode === lockMode)) {
    return [finding("PB014", "lockMode", `"${lockMode}" is none of ${LOCK_MODES.join(", ")}`, "")];
  }
  if (plan.immutableDays === undefined) {
    return [finding("PB080", "lockMode", "a mode without immutableDays locks nothing", "set immutableDays")];
  }
  if (lockMode !== "compliance" || acceptIrreversible === true) return [];
  const fact = `with mode "compliance" nobody can delete a file for ${plan.immutableDays} days, neither you nor Backblaze, and it is paid for so long`;
  return [finding("PB080", "lockMode", fact, 'set acceptIrreversible: true, or use "governance"')];
}

function checkProtection({ immutableDays }: B2Settings, plan: B2Plan): Finding[] {
  const short = (path: string, days: number): Finding[] => [
    finding("PB081", path, `after ${days} days an attack that nobody has noticed is final`, `${DETECTION_DAYS} days or more leave time to notice it`),
  ];
  if (plan.deleteHiddenAfterDays < DETECTION_DAYS) return short("undeleteDays", plan.deleteHiddenAfterDays);
  return immutableDays !== undefined && immutableDays > 0 && immutableDays < DETECTION_DAYS ? short("immutableDays", immutableDays) : [];
}
