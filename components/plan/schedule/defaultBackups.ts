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
/** Before the maintenance of hosts. */
const HOUR = 3;

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
  const minute = minuteOf(name);
  const made: SchedulesSettings = findEngine(engine)?.backupTypes.includes("incr")
    ? { full: { cron: `${minute} ${HOUR} * * 0` }, incr: { cron: `${minute} ${HOUR} * * 1-6` } }
    : { full: { cron: `${minute} ${HOUR} * * *` } };
  const unkept = entries.filter(([, repository]) => !isKept(repository));
  const kept = unkept.map(([key, repository]): [string, RepositorySettings] => [
    key,
    merged(repository, fields({ keepDays: () => keepDaysOf(repository, settings) })),
  ]);
  const times = `at ${HOUR}:${String(minute).padStart(2, "0")} UTC`;
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

/** Fixed for a name, but different between names: a hundred databases do not start in one minute. */
export function minuteOf(name: string): number {
  return [...name].reduce((sum, letter) => sum * 31 + (letter.codePointAt(0) ?? 0), 0) % 60;
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
