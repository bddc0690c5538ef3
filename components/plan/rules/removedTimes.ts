/** Runs at times of the day that the clocks of their zone skip. Pure. */
import { type Finding, finding } from "../findings/findings";
import { findRemovedRun } from "../schedule/removedTimes";
import type { RunTime } from "../schedule/schedule";

/** @param path of the argument with cron and time zone */
export function checkRemovedTime(schedule: Pick<RunTime, "cron" | "timeZone">, path: string): Finding[] {
  const run = findRemovedRun(schedule);
  if (run === null) return [];
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${run.year}-${two(run.month)}-${two(run.day)}`;
  const fact = `clocks in ${schedule.timeZone} skip ${two(run.hour)}:${two(run.minute)}, for instance on ${date}, so that run is left out`;
  return [finding("PB018", `${path}.cron`, fact, "choose another hour, or UTC")];
}
