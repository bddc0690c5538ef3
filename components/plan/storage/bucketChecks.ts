/** Checks that all vendors' buckets share: alternatives, prefixes, days, locks. Pure. */
import { checkRange } from "../arguments/ranges";
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import type { BucketProtectionArgs, EncryptionArgs } from "../../repositories/repositoryArgs";
import type { Plain } from "../model/plainArguments";
import { isUnknown } from "../model/unknown";
import { isUsablePath } from "../rules/values";

const LOCK_MODES = ["governance", "compliance"] as const;
const UNDELETE_DAYS = 14;
const UNDELETE_DAYS_MIN = 7;
/** Enough time to notice an attack; below, protection exists mostly in name. */
const DETECTION_DAYS = 14;
/** Unfinished uploads; the longest upload takes hours. */
export const CANCEL_UNFINISHED_DAYS = 2;

export type LockSettings = Plain<BucketProtectionArgs>;

/** Arguments of a repository as plain values. Of keys and passphrases remains that there are some. */
export type OpenArguments<Args extends { readonly credentials?: object }> = Plain<
  Omit<Args, keyof EncryptionArgs | "credentials">
> & {
  readonly credentials?:
    | (Plain<Omit<NonNullable<Args["credentials"]>, Keys>> & Pick<CredentialsSettings, Keys>)
    | undefined;
};
type Keys = "keys" | "existingSecret";

/** Days that overwritten or deleted versions are kept: never shorter than a week or the lock. */
export function undeleteDaysOf({ immutableDays, undeleteDays }: LockSettings): number {
  return Math.max((immutableDays ?? 0) + 1, undeleteDays ?? UNDELETE_DAYS, UNDELETE_DAYS_MIN);
}

export function chosen(alternatives: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(alternatives).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

/** Exactly one of the alternatives. @param what follows "says" */
export function checkChoice(
  path: string,
  alternatives: Readonly<Record<string, unknown>>,
  what: string,
  hint: string,
): Finding[] {
  if (chosen(alternatives).length === 1) return [];
  const names = Object.keys(alternatives);
  const list = `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
  return [finding("PB016", path, `exactly one of ${list} says ${what}`, hint)];
}

/** The kind of keys, without secrets. */
export interface CredentialsSettings {
  readonly create?: object | undefined;
  readonly keys?: object | undefined;
  readonly existingSecret?: object | undefined;
}

/** Exactly one of them; by default keys are made. */
export function checkCredentialsChoice(credentials: CredentialsSettings | undefined, hint: string): Finding[] {
  if (credentials === undefined) return [];
  const { create, keys, existingSecret } = credentials;
  return checkChoice("credentials", { create, keys, existingSecret }, "which keys are used", hint);
}

export function checkOneOf(path: string, value: string | undefined, allowed: readonly string[]): Finding[] {
  if (value === undefined || isUnknown(value) || allowed.includes(value)) return [];
  return [finding("PB014", path, `"${value}" is not one of ${allowed.join(", ")}`, "")];
}

export function checkKeyPrefix(path: string): Finding[] {
  if (isUnknown(path) || (isUsablePath(path) && path !== "/" && !path.includes(" "))) return [];
  const fact = `"${path}" is not a prefix: it must begin with a slash, end without one, have no blanks and no empty, "." or ".." parts, and not be the whole bucket`;
  return [finding("PB020", "path", fact, `set for instance "${DEFAULTS.repositoryPath}"`)];
}

export function checkStored(storedGiB: number | undefined): Finding[] {
  return checkRange("BucketContentArgs.expectedStoredGiB", "expectedStoredGiB", storedGiB);
}

/** Checks a lock's days and mode, and the time to notice an attack. @param vendor as in "neither you nor Backblaze" */
export function checkProtection(settings: LockSettings, vendor: string): Finding[] {
  return [
    ...checkRange("BucketProtectionArgs.immutableDays", "immutableDays", settings.immutableDays),
    ...checkRange("BucketProtectionArgs.undeleteDays", "undeleteDays", settings.undeleteDays),
    ...checkLock(settings, vendor),
    ...checkDetection(settings),
  ];
}

function checkLock({ acceptIrreversible, immutableDays, lockMode }: LockSettings, vendor: string): Finding[] {
  if (lockMode === undefined) return [];
  const wrong = checkOneOf("lockMode", lockMode, LOCK_MODES);
  if (wrong.length > 0) return wrong;
  if (immutableDays === undefined) {
    return [finding("PB080", "lockMode", "a mode without immutableDays locks nothing", "set immutableDays")];
  }
  if (lockMode !== "compliance" || acceptIrreversible === true) return [];
  const fact = `with mode "compliance" nobody can delete a file for ${immutableDays} days, not even ${vendor}, and you pay for it that long`;
  return [finding("PB080", "lockMode", fact, 'set acceptIrreversible: true, or use "governance"')];
}

function checkDetection(settings: LockSettings): Finding[] {
  const { immutableDays } = settings;
  const short = (path: string, days: number): Finding[] => {
    const fact = `after ${days} days the loss from an unnoticed attack is final`;
    return [finding("PB081", path, fact, `set ${DETECTION_DAYS} days or more to have time to notice it`)];
  };
  const undeleteDays = undeleteDaysOf(settings);
  if (undeleteDays < DETECTION_DAYS) return short("undeleteDays", undeleteDays);
  return immutableDays !== undefined && immutableDays > 0 && immutableDays < DETECTION_DAYS
    ? short("immutableDays", immutableDays)
    : [];
}
