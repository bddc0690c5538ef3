/** How old the newest backups of each repository may be, from the schedules. Pure. */
import type { DatabasePlan } from "../model/plan";
import type { RepositoryPlan } from "../repositories/repositoryTypes";
import { isTimeZone, longestGapDays, longestGapMinutes, parseCron, type Schedule } from "./schedule";

const DAY_S = 86_400;
/** Clocks change by an hour, and a host that boots makes up for what it missed. */
const SLACK_S = 2 * 3600;

/**
 * Seconds: the longest pause between two runs of the schedule, plus its jitter and its deadline. `ever` where a first backup is taken and no
 * schedule repeats it; undefined where none is expected.
 */
export function expectFullWithin(
  plan: Pick<DatabasePlan, "schedules"> & { readonly firstBackup: boolean },
  repository: Pick<RepositoryPlan, "name">,
): number | "ever" | undefined {
  const schedule = plan.schedules.find((row) => row.type === "full" && row.repositories.includes(repository.name));
  const parsed = schedule === undefined ? null : parseCron(schedule.cron);
  const gapDays = parsed?.ok === true ? longestGapDays(parsed.cron) : null;
  if (schedule === undefined || gapDays === null || !isTimeZone(schedule.timeZone)) return plan.firstBackup ? "ever" : undefined;
  return gapDays * DAY_S + schedule.jitterSeconds + schedule.deadlineSeconds + SLACK_S;
}

/** A run may begin late and take long by so much, or by its own jitter and half an hour. */
const GRACE_S = 3600;
const DURATION_S = 1800;

/** Seconds after which what these schedules make is late; null where they make nothing. */
export function ageLimit(schedules: readonly Schedule[]): { readonly limitS: number; readonly gapMinutes: number } | null {
  const gapMinutes = longestGapMinutes(schedules);
  if (gapMinutes === null) return null;
  const jitterS = Math.max(...schedules.map(({ jitterSeconds }) => jitterSeconds));
  const clocksS = schedules.every(({ timeZone }) => timeZone === "UTC") ? 0 : GRACE_S;
  return { gapMinutes, limitS: gapMinutes * 60 + Math.max(GRACE_S, jitterS + DURATION_S) + clocksS };
}

/** Seconds that the newest backup of any kind may be old; undefined where no schedule makes one. */
export function expectBackupWithin({ schedules }: Pick<DatabasePlan, "schedules">, { name }: Pick<RepositoryPlan, "name">): number | undefined {
  return ageLimit(schedules.filter(({ repositories, timeZone }) => repositories.includes(name) && isTimeZone(timeZone)))?.limitS;
}
