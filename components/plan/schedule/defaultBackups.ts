/**
 * Schedules and retention of a program that leaves both out: the preview states them (PB143). A program that sets
 * `schedules`, even to `{}`, keeps what it has: a retention that appears by itself would remove old backups. Pure.
 */
import { findEngine } from "../engines/engines";
import { DEFAULTS } from "../model/defaults";
import type { DatabaseSettings, RepositorySettings, SchedulesSettings } from "../model/databaseSettings";
import { fields, merged, readOr } from "../model/deferred";
import { storeOf } from "../repositories/repositoryTypes";

/** Retention of repositories without object lock. */
const KEEP_DAYS = 30;
/** Default backups begin in the hours from 1:00 to 4:59. */
const NIGHT = { fromHour: 1, minutes: 4 * 60 };

type Settings = DatabaseSettings & { readonly restoreOnly?: boolean | undefined };

/** @returns the settings with what was omitted, and one line about it; null if nothing was */
export function withDefaultBackups<T extends Settings>(
  name: string,
  settings: T,
): { readonly settings: T; chosen(): string } | null {
  const { engine = DEFAULTS.engine, repositories, restoreOnly, schedules, silence } = settings;
  const entries = Object.entries(repositories);
  const isWanted = silence?.["PB012"] !== undefined;
  if (schedules !== undefined || restoreOnly === true || isWanted || entries.length === 0) return null;
  const { hour, minute } = nightTime(name);
  const made: SchedulesSettings = findEngine(engine)?.backupTypes.includes("incr")
    ? { full: { cron: `${minute} ${hour} * * 0` }, incr: { cron: `${minute} ${hour} * * 1-6` } }
    : { full: { cron: `${minute} ${hour} * * *` } };
  const unkept = entries.filter(([, repository]) => !isKept(repository));
  const kept = unkept.map(([key, repository]): [string, RepositorySettings] => [
    key,
    merged(repository, fields({ keepDays: () => keepDaysOf(repository, settings) })),
  ]);
  const times = `at ${hour}:${String(minute).padStart(2, "0")} UTC`;
  const backups =
    made.incr === undefined
      ? `a full backup each day ${times}`
      : `a full backup on Sundays and an incremental one on other days ${times}`;
  return {
    settings: merged(settings, { schedules: made, repositories: { ...repositories, ...Object.fromEntries(kept) } }),
    chosen: () => {
      const days = kept.map(([key, { keepDays }]) => `${key} ${keepDays} days`);
      return days.length === 0 ? backups : `${backups}; kept: ${days.join(", ")}`;
    },
  };
}

/**
 * A time of the night in UTC that is fixed for a name, and spread over names, also if they differ in one digit: a
 * hundred databases do not start in one minute. FNV-1a in 32 bits.
 */
export function nightTime(name: string): { readonly hour: number; readonly minute: number } {
  const hash = [...name].reduce((sum, letter) => Math.imul(sum ^ (letter.codePointAt(0) ?? 0), 0x01000193), 0x811c9dc5);
  const minutes = ((hash ^ (hash >>> 16)) >>> 0) % NIGHT.minutes;
  return { hour: NIGHT.fromHour + Math.floor(minutes / 60), minute: minutes % 60 };
}

function isKept(repository: RepositorySettings): boolean {
  return readOr(() => repository.keepDays !== undefined || repository.keepFullCount !== undefined, true);
}

/**
 * As long as the bucket locks them, else at least as long as the objective asks. PB034 says that a full backup then
 * outlives its lock: fewer days would remove backups that existing programs have.
 */
function keepDaysOf({ at }: RepositorySettings, { objectives }: Settings): number {
  const locked = storeOf(at)?.facts?.immutableDays;
  if (locked !== undefined && locked > 0) return locked;
  return Math.max(KEEP_DAYS, objectives?.pitrDays ?? KEEP_DAYS);
}
