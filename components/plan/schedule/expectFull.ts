/** Maximum age of each repository's newest backups, from the schedules. Pure. */
import { isTimeZone } from "../../../runtime/config/timeZone";
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { longestGapDays, longestGapMinutes, type RunTime, runningSchedules } from "./schedule";

const DAY_S = 86_400;
/** For an hour of daylight saving, and a host that catches up after boot. */
const SLACK_S = 2 * 3600;

/**
 * The longest interval between two runs, plus jitter and deadline, in seconds. `ever` if only a first backup is taken;
 * undefined if none is expected.
 */
export function expectFullWithin(
  plan: Pick<DatabasePlan, "schedules"> & { readonly firstBackup: boolean },
  repository: Pick<RepositoryPlan, "name">,
): number | "ever" | undefined {
  const schedule = runningSchedules(plan.schedules).find(
    (row) => row.type === "full" && row.repositories.includes(repository.name),
  );
  const gapDays = schedule === undefined ? null : longestGapDays(schedule.cron);
  if (schedule === undefined || gapDays === null || !isTimeZone(schedule.timeZone))
    return plan.firstBackup ? "ever" : undefined;
  return gapDays * DAY_S + schedule.jitterSeconds + schedule.deadlineSeconds + SLACK_S;
}

/** Allowed delay and duration of a run, unless its jitter and half an hour are more. */
const GRACE_S = 3600;
const DURATION_S = 1800;

/** A shorter delay of WAL is no alarm, whatever the objective. */
export const WAL_WAIT_S = 900;

/** Age at which these schedules' backups are late; null if they make none. */
export function ageLimit(
  schedules: readonly Pick<RunTime, "cron" | "timeZone" | "jitterSeconds">[],
): { readonly limitS: number; readonly gapMinutes: number } | null {
  const gapMinutes = longestGapMinutes(schedules);
  if (gapMinutes === null) return null;
  const jitterS = Math.max(...schedules.map(({ jitterSeconds }) => jitterSeconds));
  const clocksS = schedules.every(({ timeZone }) => timeZone === "UTC") ? 0 : GRACE_S;
  return { gapMinutes, limitS: gapMinutes * 60 + Math.max(GRACE_S, jitterS + DURATION_S) + clocksS };
}

/** Largest age of the newest WAL that is not reported; undefined without an objective. */
export function expectWalWithin({ rpoSeconds }: DatabasePlan["objectives"]): number | undefined {
  return rpoSeconds === undefined ? undefined : Math.max(rpoSeconds, WAL_WAIT_S);
}

/** Maximum age of the newest backup of any type; undefined if no schedule makes one. */
export function expectBackupWithin(
  { schedules }: Pick<DatabasePlan, "schedules">,
  { name }: Pick<RepositoryPlan, "name">,
): number | undefined {
  const own = runningSchedules(schedules).filter(
    ({ repositories, timeZone }) => repositories.includes(name) && isTimeZone(timeZone),
  );
  return ageLimit(own)?.limitS;
}
