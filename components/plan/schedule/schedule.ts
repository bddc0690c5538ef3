/**
 * Five-field cron plus a time zone: parsed, checked, asked for its next run, and turned into systemd's OnCalendar.
 *
 * Fields are minute, hour, day of month, month, day of week; each is `*`, a number, a range, a list of those, with an
 * optional step; months and days also by their English three-letter names; Sunday is 0 or 7. When both day fields are
 * restricted, cron runs on days that match either of them; a field that begins with `*` counts as unrestricted, even
 * `*` with a step (rules of cronie and Vixie cron). systemd always demands both, so such a schedule becomes two
 * OnCalendar lines.
 */
import { isTimeZone } from "../../../runtime/config/timeZone";
export const BACKUP_TYPES = ["full", "diff", "incr"] as const;
export type BackupType = (typeof BACKUP_TYPES)[number];

export interface RunTime {
  readonly name: string;
  readonly cron: string;
  readonly timeZone: string;
  /** Runs start up to this much late, always by the same amount. */
  readonly jitterSeconds: number;
  /** A longer run is stopped. */
  readonly deadlineSeconds: number;
}

export interface Schedule extends RunTime {
  readonly type: BackupType;
  readonly repoKeys: readonly number[];
  /** The same by name, as declared. */
  readonly repositories: readonly string[];
  /** Clusters: it is declared, but makes no backup. Absent otherwise. */
  readonly suspended?: boolean;
}

/** Those that make backups. */
export function runningSchedules<T extends Pick<Schedule, "suspended">>(schedules: readonly T[]): T[] {
  return schedules.filter(({ suspended }) => suspended !== true);
}

/** The argument that declares it: of the database, or of one repository ({@link ownScheduleName}). */
export function schedulePath({ name, repositories, type }: Pick<Schedule, "name" | "repositories" | "type">): string {
  return name === type ? `schedules.${name}` : `repositories.${repositories[0] ?? ""}.schedules.${type}`;
}

/** `full-repo2`: name of a repository's own schedule, in units and objects. */
export function ownScheduleName(type: BackupType, repository: string): string {
  return `${type}-${repository}`;
}

/** Allowed values, ascending; day of week 0 (Sunday) to 6. */
export interface Cron {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly daysOfMonth: readonly number[];
  readonly months: readonly number[];
  readonly daysOfWeek: readonly number[];
  /** True if a day matches when either day field matches. */
  readonly anyDayField: boolean;
}

/** A wall-clock minute of some calendar, without a zone; month 1 to 12. */
export interface CalendarMinute {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const MONTH_NAMES = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const SYSTEMD_DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const FIELDS: readonly [Field, Field, Field, Field, Field] = [
  { name: "minute", min: 0, max: 59, names: [] },
  { name: "hour", min: 0, max: 23, names: [] },
  { name: "day of month", min: 1, max: 31, names: [] },
  { name: "month", min: 1, max: 12, names: MONTH_NAMES },
  { name: "day of week", min: 0, max: 7, names: DAY_NAMES },
];
/** February 29 on a given weekday recurs after at most 40 years (around a century without a leap day). */
const SEARCH_DAYS_MAX = 41 * 366;
/** A year and a week cover every date and weekday, and both clock changes. */
const MEETING_DAYS = 373;
/** Two years cover yearly runs and weigh weekdays equally. */
const RATE_DAYS = 728;

/** The parsed schedule, or the error. Pure. */
export function parseCron(
  text: string,
): { readonly ok: true; readonly cron: Cron } | { readonly ok: false; readonly reason: string } {
  const fields = text.trim().split(/\s+/);
  if (fields.length !== 5) {
    return {
      ok: false,
      reason: `"${text}" has ${text.trim() === "" ? 0 : fields.length} fields, not the five of minute, hour, day of month, month, day of week`,
    };
  }
  const values: (readonly number[])[] = [];
  for (const [index, field] of FIELDS.entries()) {
    const parsed = parseField(fields[index] ?? "", field);
    if (typeof parsed === "string") return { ok: false, reason: `"${text}": ${parsed}` };
    values.push(parsed);
  }
  const [minutes = [], hours = [], daysOfMonth = [], months = [], days = []] = values;
  const daysOfWeek = ascending(days.map((day) => day % 7));
  const anyDayField = !(fields[2] ?? "").startsWith("*") && !(fields[4] ?? "").startsWith("*");
  const cron: Cron = { minutes, hours, daysOfMonth, months, daysOfWeek, anyDayField };
  return nextRun(cron, { year: 2000, month: 1, day: 1, hour: 0, minute: 0 }) === null
    ? { ok: false, reason: `"${text}" never runs: no such day in any year` }
    : { ok: true, cron };
}

/** For a schedule that was checked before. @throws Error for a text that {@link parseCron} refuses */
export function loadCron(schedule: Pick<RunTime, "name" | "cron">): Cron {
  const parsed = parseCron(schedule.cron);
  if (!parsed.ok) throw new Error(`schedule ${schedule.name}: ${parsed.reason}`);
  return parsed.cron;
}

/** The first matching minute at or after `from`, in the calendar's own time, or null. */
export function nextRun(cron: Cron, from: CalendarMinute): CalendarMinute | null {
  for (let dayOffset = 0; dayOffset < SEARCH_DAYS_MAX; dayOffset++) {
    const date = new Date(Date.UTC(from.year, from.month - 1, from.day + dayOffset));
    if (!runsOn(cron, date)) continue;
    const start = dayOffset === 0 ? from.hour * 60 + from.minute : 0;
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        if (hour * 60 + minute < start) continue;
        return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), hour, minute };
      }
    }
  }
  return null;
}

/**
 * A minute in which both schedules start, in the zone of the first. Null if they do not meet within
 * {@link MEETING_DAYS} days of an ordinary year, or a schedule is invalid. Zones are compared by their hours of that
 * year, daylight saving included.
 */
export function firstMeeting(
  left: Pick<Schedule, "cron" | "timeZone">,
  right: Pick<Schedule, "cron" | "timeZone">,
): CalendarMinute | null {
  const [a, b] = [parseCron(left.cron), parseCron(right.cron)];
  if (!a.ok || !b.ok) return null;
  const wanted = new Set(minutesOf(b.cron));
  const times = minutesOf(a.cron);
  const convert = left.timeZone === right.timeZone ? null : zoneConverter(left.timeZone, right.timeZone);
  for (let index = 0; index < MEETING_DAYS; index++) {
    const date = new Date(Date.UTC(2027, 0, 1) + index * 86_400_000);
    if (!runsOn(a.cron, date) || (convert === null && !runsOn(b.cron, date))) continue;
    const day = { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
    for (const time of times) {
      const minute = { ...day, hour: Math.floor(time / 60), minute: time % 60 };
      if (convert === null ? wanted.has(time) : matches(b.cron, convert(minute))) return minute;
    }
  }
  return null;
}

/** True if it runs in that minute. */
export function matches(cron: Cron, at: CalendarMinute): boolean {
  const date = new Date(Date.UTC(at.year, at.month - 1, at.day));
  return cron.hours.includes(at.hour) && cron.minutes.includes(at.minute) && runsOn(cron, date);
}

/** The same instant in another zone's local time. Invalid zones count as UTC: another rule reports them. */
function zoneConverter(from: string, to: string): (at: CalendarMinute) => CalendarMinute {
  const [fromFormat, toFormat] = [formatOf(from), formatOf(to)];
  return (at) => {
    const wall = Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute);
    const timeMs = wall - offsetMs(wall, fromFormat);
    return minuteOf(timeMs + offsetMs(timeMs, toFormat));
  };
}

/** @param wallMs wall time as if it were UTC */
export function minuteOf(wallMs: number): CalendarMinute {
  const shown = new Date(wallMs);
  return {
    year: shown.getUTCFullYear(),
    month: shown.getUTCMonth() + 1,
    day: shown.getUTCDate(),
    hour: shown.getUTCHours(),
    minute: shown.getUTCMinutes(),
  };
}

/** Offset of a zone from UTC at an instant. */
export function offsetMs(timeMs: number, format: Intl.DateTimeFormat | null): number {
  if (format === null) return 0;
  const parts = format.formatToParts(timeMs);
  const value = (type: string): number => Number(parts.find((part) => part.type === type)?.value ?? 0);
  return (
    Date.UTC(value("year"), value("month") - 1, value("day"), value("hour"), value("minute")) -
    Math.floor(timeMs / 60_000) * 60_000
  );
}

/** For {@link offsetMs}; null for UTC and invalid zones. */
export function formatOf(timeZone: string): Intl.DateTimeFormat | null {
  if (timeZone === "UTC" || !isTimeZone(timeZone)) return null;
  return new Intl.DateTimeFormat("en", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
}

/**
 * The same schedule shifted by minutes, if every run stays on its day. Null otherwise: lists and ranges may wrap, and a
 * run past midnight would change days.
 */
export function shiftCron(text: string, minutes: number): string | null {
  const parsed = parseCron(text);
  if (!parsed.ok) return null;
  const times = minutesOf(parsed.cron).map((minute) => minute + minutes);
  if (times.some((time) => time >= 1440)) return null;
  const hours = ascending(times.map((time) => Math.floor(time / 60)));
  const shifted = ascending(times.map((time) => time % 60));
  // Only if hours and minutes still multiply to the same runs.
  if (hours.length * shifted.length !== times.length) return null;
  return [shifted.join(","), hours.join(","), ...text.trim().split(/\s+/).slice(2)].join(" ");
}

/** Average over {@link RATE_DAYS} days. */
export function runsPerDay(cron: Cron): number {
  const days = rateDays().filter((date) => runsOn(cron, date)).length;
  return (days * cron.hours.length * cron.minutes.length) / RATE_DAYS;
}

function rateDays(): Date[] {
  return Array.from({ length: RATE_DAYS }, (_, day) => new Date(Date.UTC(2001, 0, 1) + day * 86_400_000));
}

/** The minutes of a day on which it runs. */
function minutesOf({ hours, minutes }: Cron): number[] {
  return hours.flatMap((hour) => minutes.map((minute) => hour * 60 + minute));
}

/** A rule that looks at years of days: every repository of a program asks, most with the same schedules. */
function cachedByText(find: (text: string) => number | null): (text: string) => number | null {
  const known = new Map<string, number | null>();
  return (text) => {
    const cached = known.get(text);
    if (cached !== undefined) return cached;
    const value = find(text);
    known.set(text, value);
    return value;
  };
}

/** Longest gap between days with a run; null for an invalid schedule, or if it hardly ever runs. */
export const longestGapDays = cachedByText((text) => {
  const parsed = parseCron(text);
  if (!parsed.ok) return null;
  return longestGap(rateDays().flatMap((date, day) => (runsOn(parsed.cron, date) ? [day] : [])));
});

/**
 * Longest time between two runs of any of these schedules; null if they hardly ever run. Schedules of different time
 * zones are judged separately, and the best one counts, because their overlap changes with daylight saving.
 */
export function longestGapMinutes(schedules: readonly Pick<Schedule, "cron" | "timeZone">[]): number | null {
  const zones = [...new Set(schedules.map(({ timeZone }) => timeZone))];
  const gaps = zones.map((zone) => {
    const ofZone = schedules.filter(({ timeZone }) => timeZone === zone);
    return longestGapOfZone(ofZone.map(({ cron }) => cron).join("\n"));
  });
  return gaps.reduce((best, gap) => (gap !== null && (best === null || gap < best) ? gap : best), null);
}

/** Longest time in minutes between two runs of any of the schedules, one a line. */
const longestGapOfZone = cachedByText((texts) => {
  const crons = texts.split("\n").flatMap((text) => {
    const parsed = parseCron(text);
    return parsed.ok ? [parsed.cron] : [];
  });
  const runs = rateDays().flatMap((date, day) => {
    const running = crons.filter((cron) => runsOn(cron, date));
    return ascending(running.flatMap(minutesOf)).map((minute) => day * 1440 + minute);
  });
  return longestGap(runs);
});

/** Null for fewer than two numbers, which ascend. */
function longestGap(numbers: readonly number[]): number | null {
  const gaps = numbers.slice(1).map((number, index) => number - (numbers[index] ?? 0));
  // Not spread into Math.max: a run every minute makes a million of them.
  return gaps.reduce<number | null>((longest, gap) => Math.max(longest ?? 0, gap), null);
}

/** The same for a text; 0 for an invalid schedule, which another rule reports. */
export function textRunsPerDay(text: string): number {
  const parsed = parseCron(text);
  return parsed.ok ? runsPerDay(parsed.cron) : 0;
}

/** How many backups running schedules make in a repository. @param types that count */
export function backupsPerDay(
  schedules: readonly Schedule[],
  key: number,
  types: readonly BackupType[] = BACKUP_TYPES,
): number {
  return runningSchedules(schedules)
    .filter(({ repoKeys, type }) => types.includes(type) && repoKeys.includes(key))
    .reduce((sum, { cron }) => sum + textRunsPerDay(cron), 0);
}

/** systemd's OnCalendar expressions with the zone: one, or two if cron means "either day field". */
export function toOnCalendar(cron: Cron, timeZone: string): string[] {
  const time = `${valuesText(cron.hours, FIELDS[1], two)}:${valuesText(cron.minutes, FIELDS[0], two)}:00`;
  const month = valuesText(cron.months, FIELDS[3], two);
  const days = daysText(cron.daysOfWeek);
  const dates = valuesText(cron.daysOfMonth, FIELDS[2], two);
  const line = (weekdays: string, monthDays: string): string =>
    `${weekdays}*-${month}-${monthDays} ${time} ${timeZone}`;
  return cron.anyDayField ? [line("", dates), line(days, "*")] : [line(days, dates)];
}

function runsOn(cron: Cron, date: Date): boolean {
  if (!cron.months.includes(date.getUTCMonth() + 1)) return false;
  const dayOfMonth = cron.daysOfMonth.includes(date.getUTCDate());
  const dayOfWeek = cron.daysOfWeek.includes(date.getUTCDay());
  return cron.anyDayField ? dayOfMonth || dayOfWeek : dayOfMonth && dayOfWeek;
}

/** The values of one field, or the error. */
function parseField(text: string, field: Field): readonly number[] | string {
  const values: number[] = [];
  for (const part of text.split(",")) {
    const match = /^(\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:\/([0-9]+))?$/i.exec(part);
    if (match === null) return `${field.name} "${text}" is not *, a number, a range, a list or a step of those`;
    const [, base, firstText, lastText, stepText] = match;
    const first = base === "*" ? field.min : valueOf(firstText ?? "", field);
    const last =
      base === "*"
        ? field.max
        : lastText !== undefined
          ? valueOf(lastText, field)
          : stepText !== undefined
            ? field.max
            : first;
    const step = stepText === undefined ? 1 : Number(stepText);
    if (first === null || last === null) return `${field.name} "${part}" is outside ${field.min} to ${field.max}`;
    if (first > last) return `${field.name} "${part}" ends before it begins`;
    if (step < 1 || step > field.max) return `${field.name} "${part}" has a step outside 1 to ${field.max}`;
    for (let value = first; value <= last; value += step) values.push(value);
  }
  return ascending(values);
}

function valueOf(text: string, field: Field): number | null {
  const named = field.names.indexOf(text.toLowerCase());
  if (named >= 0) return named + field.min;
  if (!/^[0-9]{1,2}$/.test(text)) return null;
  const value = Number(text);
  return value >= field.min && value <= field.max ? value : null;
}

/** `*`, `03`, `01..05,10`. */
function valuesText(values: readonly number[], field: Field, render: (value: number) => string): string {
  if (values.length === field.max - field.min + 1) return "*";
  return runsOf(values)
    .map(([first, last]) => (first === last ? render(first) : `${render(first)}..${render(last)}`))
    .join(",");
}

/** `Mon..Fri,Sun ` with a trailing blank, or empty for every day. systemd's week begins on Monday. */
function daysText(daysOfWeek: readonly number[]): string {
  if (daysOfWeek.length === 7) return "";
  const fromMonday = ascending(daysOfWeek.map((day) => (day + 6) % 7));
  const name = (value: number): string => SYSTEMD_DAYS[(value + 1) % 7] ?? "";
  return `${runsOf(fromMonday)
    .map(([first, last]) => (first === last ? name(first) : `${name(first)}..${name(last)}`))
    .join(",")} `;
}

function runsOf(values: readonly number[]): [first: number, last: number][] {
  const runs: [first: number, last: number][] = [];
  for (const value of values) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === value - 1) run[1] = value;
    else runs.push([value, value]);
  }
  return runs;
}

function ascending(values: readonly number[]): number[] {
  return [...new Set(values)].sort((left, right) => left - right);
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
