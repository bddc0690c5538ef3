/** Schedules in CloudNativePG's own form: six fields with the seconds first. Pure. */
import { parseCron } from "../../plan/schedule/schedule";

/**
 * The same runs of a five-field cron as six fields for robfig/cron, which CloudNativePG uses. Its rule for the two day fields is that of cron:
 * either of them counts when neither begins with a star; it knows Sunday as 0 only, so that days of the week are written as numbers.
 * @throws Error for a text that is no schedule; rules find it before
 */
export function toSixFields(cron: string): string {
  const parsed = parseCron(cron);
  if (!parsed.ok) throw new Error(parsed.reason);
  const [minute = "", hour = "", dayOfMonth = "", month = "", dayOfWeek = ""] = cron.trim().split(/\s+/);
  return ["0", minute, hour, dayField(dayOfMonth, parsed.cron.daysOfMonth, 31), month, dayField(dayOfWeek, parsed.cron.daysOfWeek, 7)].join(" ");
}

/** A star counts in the whole list there, and only at the beginning here: numbers in its place, or a star that adds no day. */
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
