/** How old the newest full backup of each repository may be, from the schedules. Pure. */
import type { DatabasePlan, RepositoryPlan } from "./plan";
import { isTimeZone, longestGapDays, parseCron } from "./schedule";

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
