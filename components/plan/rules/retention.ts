/** Whether what is kept is enough for what is promised, and whether locks and versions agree with it. Pure. */
import { type Finding, finding } from "../findings/findings";
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { type Schedule, textRunsPerDay } from "../schedule/schedule";
import { isUnknown } from "../model/unknown";

const UNDELETE_DAYS_MIN = 7;

/** Findings in the order of the repositories. */
export function checkRetention(plan: DatabasePlan): Finding[] {
  return plan.repositories.flatMap((repository) => [
    ...checkWindow(repository, plan),
    ...checkSingleFull(repository),
    ...checkLocks(repository),
    ...checkVersions(repository),
  ]);
}

/**
 * Days back to which any moment can be restored at the worst time, just after the oldest set went; null without a limit or while something
 * is unknown. By days pgBackRest keeps the newest full backup that is older than them as well, so the window is whole; by count it is the
 * age of the oldest kept full when a new one has just ended.
 */
export function recoveryWindowDays(repository: RepositoryPlan, schedules: readonly Schedule[]): number | null {
  const { keepDays, keepFullCount } = repository;
  if (isUnknown(keepDays) || isUnknown(keepFullCount)) return null;
  if (keepDays !== undefined) return keepDays;
  if (keepFullCount === undefined) return null;
  const perDay = schedules
    .filter((schedule) => schedule.type === "full" && schedule.repoKeys.includes(repository.key))
    .reduce((sum, schedule) => sum + textRunsPerDay(schedule.cron), 0);
  return perDay === 0 ? null : Math.floor((keepFullCount - 1) / perDay);
}

function checkWindow(repository: RepositoryPlan, { objectives, schedules }: DatabasePlan): Finding[] {
  const { pitrDays } = objectives;
  const days = recoveryWindowDays(repository, schedules);
  if (pitrDays === undefined || days === null || days >= pitrDays) return [];
  const name = repository.keepDays === undefined ? "keepFullCount" : "keepDays";
  const value = repository.keepDays ?? repository.keepFullCount;
  const fact = `${value} ${name === "keepDays" ? "days are" : "full backups at the scheduled interval are"} a window of ${days} days at the worst moment, objectives.pitrDays promises ${pitrDays}`;
  const hint =
    name === "keepDays" ? `set keepDays: ${pitrDays}` : `set keepDays: ${pitrDays} in its place, which follows the promise whatever the schedule is`;
  return [finding("PB032", `repositories.${repository.name}.${name}`, fact, hint)];
}

function checkSingleFull({ keepFullCount, name }: RepositoryPlan): Finding[] {
  if (keepFullCount !== 1) return [];
  const fact = "one full backup is kept: each new one removes every older moment at once, a mistake that is noticed a day later cannot be undone";
  return [finding("PB033", `repositories.${name}.keepFullCount`, fact, "keep at least 2, or set keepDays")];
}

/** Locked objects cost money after pgBackRest has forgotten them, and are free game before it has when the lock is shorter. */
function checkLocks(repository: RepositoryPlan): Finding[] {
  const lockedDays = repository.s3?.facts.immutableDays;
  const { keepDays, name } = repository;
  if (lockedDays === undefined || lockedDays <= 0 || isUnknown(lockedDays) || keepDays === undefined || isUnknown(keepDays)) return [];
  const path = `repositories.${name}`;
  if (keepDays > lockedDays) {
    const fact = `backups are kept for ${keepDays} days but locked for ${lockedDays}: whoever may remove versions can remove the older ones`;
    const hint = `lock for ${keepDays} days, or accept that only the newest ${lockedDays} days are safe from a thief of keys`;
    return [finding("PB034", `${path}.keepDays`, fact, hint)];
  }
  if (keepDays < lockedDays) {
    const fact = `expired after ${keepDays} days but locked for ${lockedDays}: ${lockedDays - keepDays} days are paid for and cannot be used for a restore in the usual way`;
    return [finding("PB035", `${path}.keepDays`, fact, `keep for ${lockedDays} days`)];
  }
  return [];
}

/** On a versioned bucket the undelete window is what stands between a stolen writer key and the loss of everything. */
function checkVersions({ name, s3 }: RepositoryPlan): Finding[] {
  const { immutableDays, undeleteDays, versioning } = s3?.facts ?? {};
  if (versioning !== true || undeleteDays === undefined || isUnknown(undeleteDays) || undeleteDays >= UNDELETE_DAYS_MIN) return [];
  if (immutableDays !== undefined && immutableDays >= UNDELETE_DAYS_MIN) return [];
  const fact = `what is deleted or overwritten is gone after ${undeleteDays} days: that must be longer than it takes to notice`;
  return [finding("PB036", `repositories.${name}.at`, fact, `set undeleteDays: 14 (at least ${UNDELETE_DAYS_MIN})`)];
}
