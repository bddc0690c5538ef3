/** Schedules as Kubernetes reads them: CloudNativePG's six fields, seconds first, and a CronJob's five. Pure. */
import { parseCron } from "../../plan/schedule/schedule";

/**
 * A five-field cron as six fields with the same runs, for robfig/cron, which CloudNativePG uses. Its rule for the two
 * day fields is cron's: either counts if neither begins with a star. It knows Sunday only as 0, so days of the week are
 * written as numbers.
 * @throws Error for an invalid schedule; rules find it before
 */
export function toSixFields(cron: string): string {
  const parsed = parseCron(cron);
  if (!parsed.ok) throw new Error(parsed.reason);
  const [minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = ""] = cron.trim().split(/\s+/);
  return [
    "0",
    minute,
    hour,
    dayField(dayOfMonth, parsed.cron.daysOfMonth, 31),
    month,
    dayField(dayOfWeek, parsed.cron.daysOfWeek, 7),
  ].join(" ");
}

/**
 * The same for a CronJob, whose robfig/cron 3 refuses Sunday as 7. It takes `*` with a step for no star: if both day
 * fields are restricted, such a schedule runs on days of either one, so more often than cron's.
 * @throws Error for an invalid schedule; rules find it before
 */
export function toCronJobFields(cron: string): string {
  const parsed = parseCron(cron);
  if (!parsed.ok) throw new Error(parsed.reason);
  const [minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = ""] = cron.trim().split(/\s+/);
  const days = dayOfWeek.includes("7") ? dayField(dayOfWeek, parsed.cron.daysOfWeek, 7) : dayOfWeek;
  return [minute, hour, dayOfMonth, month, days].join(" ");
}

/**
 * robfig/cron treats a star anywhere in a list as a star, cron only at the beginning: writes numbers, or a star that
 * adds no day.
 */
function dayField(text: string, days: readonly number[], count: number): string {
  if (!text.startsWith("*")) return runsText(days);
  return text.split(",").every((part) => part.startsWith("*")) ? text : `*/${count},${runsText(days)}`;
}

/** `1-5`, `0,6` */
function runsText(days: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const day of days) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === day - 1) run[1] = day;
    else runs.push([day, day]);
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}
