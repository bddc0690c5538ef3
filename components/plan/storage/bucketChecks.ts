/** What repositories in buckets of vendors are asked alike: choices, prefixes, days, locks. Pure. */
import { DEFAULTS } from "../model/defaults";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

const LOCK_MODES = ["governance", "compliance"] as const;
const UNDELETE_DAYS = 14;
const UNDELETE_DAYS_MIN = 7;
/** Long enough for somebody to notice an attack: below, protection is mostly a word. */
const DETECTION_DAYS = 14;
const DAYS_MAX = 3_000;
/** Uploads that nobody ended; the longest takes hours. */
export const CANCEL_UNFINISHED_DAYS = 2;

export interface LockSettings {
  readonly immutableDays?: number | undefined;
  readonly undeleteDays?: number | undefined;
  readonly lockMode?: string | undefined;
  readonly acceptIrreversible?: boolean | undefined;
}

/** Days for which versions stay that were overwritten or deleted: never shorter than a week nor than the lock. */
export function undeleteDaysOf({ immutableDays, undeleteDays }: LockSettings): number {
  return Math.max((immutableDays ?? 0) + 1, undeleteDays ?? UNDELETE_DAYS, UNDELETE_DAYS_MIN);
}

/** The names of the alternatives that were given. */
export function chosen(alternatives: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(alternatives).flatMap(([name, value]) => (value === undefined ? [] : [name]));
}

/** Exactly one of the alternatives. @param what follows "says" */
export function checkChoice(path: string, alternatives: Readonly<Record<string, unknown>>, what: string, hint: string): Finding[] {
  if (chosen(alternatives).length === 1) return [];
  const names = Object.keys(alternatives);
  const list = `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
  return [finding("PB016", path, `exactly one of ${list} says ${what}`, hint)];
}

/** Which keys sign in. Without what is secret: of keys remains that there are some. */
export interface CredentialsSettings {
  readonly create?: object | undefined;
  readonly keys?: object | undefined;
  readonly existingSecret?: object | undefined;
}

/** Exactly one of them; left out, keys are made. */
export function checkCredentialsChoice(credentials: CredentialsSettings | undefined, hint: string): Finding[] {
  if (credentials === undefined) return [];
  const { create, keys, existingSecret } = credentials;
  return checkChoice("credentials", { create, keys, existingSecret }, "which keys are used", hint);
}

/** What is wrong with the prefix of the keys. */
export function checkKeyPrefix(path: string): Finding[] {
  if (isUnknown(path) || /^(\/[A-Za-z0-9_.,:@+=~-]+)+$/.test(path)) return [];
  const fact = `"${path}" is no prefix of keys: it begins with a slash, ends without one and is not the whole bucket`;
  return [finding("PB020", "path", fact, `set for instance "${DEFAULTS.repositoryPath}"`)];
}

/** Amounts, from which costs are estimated. */
export function checkStored(storedGiB: number | undefined): Finding[] {
  if (storedGiB === undefined || isUnknown(storedGiB) || (Number.isFinite(storedGiB) && storedGiB >= 0)) return [];
  return [finding("PB014", "expectedStoredGiB", `${storedGiB} is no amount`, "")];
}

/** Days and mode of a lock, and the time that is left to notice an attack. @param vendor as in "neither you nor Backblaze" */
export function checkProtection(settings: LockSettings, vendor: string): Finding[] {
  return [
    ...checkDays("immutableDays", settings.immutableDays, 0),
    ...checkDays("undeleteDays", settings.undeleteDays, 1),
    ...checkLock(settings, vendor),
    ...checkDetection(settings),
  ];
}

function checkDays(path: string, days: number | undefined, min: number): Finding[] {
  if (days === undefined || isUnknown(days) || (Number.isInteger(days) && days >= min && days <= DAYS_MAX)) return [];
  return [finding("PB014", path, `${days} is outside ${min} to ${DAYS_MAX} whole days`, "")];
}

function checkLock({ acceptIrreversible, immutableDays, lockMode }: LockSettings, vendor: string): Finding[] {
  if (lockMode === undefined) return [];
  if (!LOCK_MODES.some((mode) => mode === lockMode)) {
    return [finding("PB014", "lockMode", `"${lockMode}" is none of ${LOCK_MODES.join(", ")}`, "")];
  }
  if (immutableDays === undefined) {
    return [finding("PB080", "lockMode", "a mode without immutableDays locks nothing", "set immutableDays")];
  }
  if (lockMode !== "compliance" || acceptIrreversible === true) return [];
  const fact = `with mode "compliance" nobody can delete a file for ${immutableDays} days, neither you nor ${vendor}, and it is paid for so long`;
  return [finding("PB080", "lockMode", fact, 'set acceptIrreversible: true, or use "governance"')];
}

function checkDetection(settings: LockSettings): Finding[] {
  const { immutableDays } = settings;
  const short = (path: string, days: number): Finding[] => {
    const fact = `after ${days} days an attack that nobody has noticed is final`;
    return [finding("PB081", path, fact, `${DETECTION_DAYS} days or more leave time to notice it`)];
  };
  const undeleteDays = undeleteDaysOf(settings);
  if (undeleteDays < DETECTION_DAYS) return short("undeleteDays", undeleteDays);
  return immutableDays !== undefined && immutableDays > 0 && immutableDays < DETECTION_DAYS ? short("immutableDays", immutableDays) : [];
}
