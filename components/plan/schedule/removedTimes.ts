/**
 * Times of the day that a zone's clocks skip when daylight saving begins. systemd and Kubernetes start nothing then: a
 * run at such a time waits for its next day. Pure.
 */
import { isTimeZone } from "../../../runtime/config/timeZone";
import { type Finding, finding } from "../findings/findings";
import {
  type CalendarMinute,
  type Cron,
  formatOf,
  matches,
  minuteOf,
  nextRun,
  offsetMs,
  parseCron,
  type RunTime,
} from "./schedule";

/** In wall time as if it were UTC. */
interface RemovedTime {
  readonly fromMs: number;
  readonly untilMs: number;
}

const MINUTE_MS = 60_000;
/** Clocks keep an offset for longer, also around Ramadan. */
const STEP_MS = 10 * 86_400_000;
/** Twelve years have a Sunday on each date of a week. */
const [START_MS, END_MS] = [Date.UTC(2027, 0, 1), Date.UTC(2039, 0, 1)];

/** A zone costs a thousand looks at its clocks, and most schedules share one. */
const knownZones = new Map<string, readonly RemovedTime[]>();

/**
 * The first run that the clocks skip in one of the years from 2027 to 2038, unless another run follows within the time
 * that is skipped. Null if they skip no run; other rules judge invalid schedules and zones.
 */
export function findRemovedRun({ cron, timeZone }: Pick<RunTime, "cron" | "timeZone">): CalendarMinute | null {
  const parsed = parseCron(cron);
  if (!parsed.ok || !isTimeZone(timeZone)) return null;
  for (const removed of removedTimesOf(timeZone)) {
    const run = firstIn(removed, parsed.cron);
    if (run !== null && !isMadeUpFor(run, removed, parsed.cron)) return minuteOf(run);
  }
  return null;
}

/** @param path of the argument with cron and time zone */
export function checkRemovedTime(schedule: Pick<RunTime, "cron" | "timeZone">, path: string): Finding[] {
  const run = findRemovedRun(schedule);
  if (run === null) return [];
  const two = (value: number): string => String(value).padStart(2, "0");
  const date = `${run.year}-${two(run.month)}-${two(run.day)}`;
  const fact = `clocks in ${schedule.timeZone} skip ${two(run.hour)}:${two(run.minute)}, for instance on ${date}, and the run does not start`;
  return [finding("PB018", `${path}.cron`, fact, "choose another hour, or UTC")];
}

function firstIn({ fromMs, untilMs }: RemovedTime, cron: Cron): number | null {
  for (let wallMs = fromMs; wallMs < untilMs; wallMs += MINUTE_MS) if (matches(cron, minuteOf(wallMs))) return wallMs;
  return null;
}

function isMadeUpFor(runMs: number, { fromMs, untilMs }: RemovedTime, cron: Cron): boolean {
  const next = nextRun(cron, minuteOf(untilMs));
  if (next === null) return false;
  const nextMs = Date.UTC(next.year, next.month - 1, next.day, next.hour, next.minute);
  return nextMs - runMs <= untilMs - fromMs;
}

function removedTimesOf(timeZone: string): readonly RemovedTime[] {
  const known = knownZones.get(timeZone) ?? findRemovedTimes(timeZone);
  knownZones.set(timeZone, known);
  return known;
}

function findRemovedTimes(timeZone: string): RemovedTime[] {
  const format = formatOf(timeZone);
  if (format === null) return [];
  const removed: RemovedTime[] = [];
  for (let atMs = START_MS; atMs < END_MS; atMs += STEP_MS) {
    const [before, after] = [offsetMs(atMs, format), offsetMs(atMs + STEP_MS, format)];
    if (after <= before) continue;
    let [low, high] = [atMs, atMs + STEP_MS];
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS;
      if (offsetMs(middle, format) === before) low = middle;
      else high = middle;
    }
    removed.push({ fromMs: high + before, untilMs: high + after });
  }
  return removed;
}
