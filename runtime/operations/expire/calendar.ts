/**
 * Which backups a calendar keeps: pure, from backup.info.
 *
 * Each class keeps one backup of each of its newest periods that have one. Periods are counted, not the time since: a
 * wrong clock, and a host that was off, remove nothing. Periods in the future are those of a wrong clock, then or now:
 * they are kept too, and take no place. A period's backup is the best by an order that never changes, so a backup that
 * has left would never be chosen again.
 */
import { compareBytes } from "../../base/bytes";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import type { KeepCalendar } from "../../repository/retention";

export const CALENDAR_CLASSES = ["yearly", "monthly", "weekly", "daily"] as const;
export type CalendarClass = (typeof CALENDAR_CLASSES)[number];

export interface CalendarPick {
  readonly label: string;
  readonly keptBy: CalendarClass;
  /** `2026`, `2026-03`, `2026-W09` or `2026-03-01`. */
  readonly period: string;
}

const DAY_MS = 86_400_000;
const RANKS = { full: 0, diff: 1, incr: 2 } as const;

/** Sorted by class, the longest periods first; in a class the newest period first. */
export function pickByCalendar(
  backups: readonly BackupInfoEntry[],
  calendar: KeepCalendar,
  nowS: number,
): CalendarPick[] {
  const dayOf = dayFormat(calendar.zone);
  const today = dayOf(nowS);
  const dated = backups.map((entry) => ({ entry, day: dayOf(entry.startedAtS) }));
  return CALENDAR_CLASSES.flatMap((keptBy) => {
    const best = new Map<string, BackupInfoEntry>();
    for (const { day, entry } of dated) {
      const period = PERIODS[keptBy](day);
      const other = best.get(period);
      if (other === undefined || isBetter(entry, other)) best.set(period, entry);
    }
    const count = calendar[keptBy] ?? 0;
    const sorted = [...best].sort(([left], [right]) => compareBytes(right, left));
    const future = sorted.filter(([period]) => compareBytes(period, PERIODS[keptBy](today)) > 0);
    const newest = count === 0 ? [] : sorted.slice(0, future.length + count);
    return newest.map(([period, { label }]) => ({ label, keptBy, period }));
  });
}

/** The labels, and all backups that these need to be restored. */
export function withBases(backups: readonly BackupInfoEntry[], labels: Iterable<string>): Set<string> {
  const entries = new Map(backups.map((entry) => [entry.label, entry]));
  const needed = new Set<string>();
  const waiting = [...labels];
  for (let label = waiting.pop(); label !== undefined; label = waiting.pop()) {
    if (needed.has(label)) continue;
    needed.add(label);
    waiting.push(...basesOf(entries.get(label)));
  }
  return needed;
}

/** The first backup that needs each backup to be restored. None needs one that does not come before it. */
export function firstDependants(backups: readonly BackupInfoEntry[]): ReadonlyMap<string, string> {
  const dependants = new Map<string, string>();
  // What is needed through another backup is needed by that one first.
  for (const entry of backups)
    for (const label of basesOf(entry)) if (!dependants.has(label)) dependants.set(label, entry.label);
  return dependants;
}

function basesOf(entry: BackupInfoEntry | undefined): string[] {
  const { prior, references = [] } = entry ?? {};
  return [...references, ...(prior === undefined ? [] : [prior])];
}

/**
 * A backup that needs no other one costs least to keep, so a full one is better than a differential one, and the newest
 * of a type is better. One with damaged pages counts only if its period has no other.
 */
function isBetter(left: BackupInfoEntry, right: BackupInfoEntry): boolean {
  const [leftError, rightError] = [left.error === true, right.error === true];
  if (leftError !== rightError) return rightError;
  if (left.type !== right.type) return RANKS[left.type] < RANKS[right.type];
  if (left.startedAtS !== right.startedAtS) return left.startedAtS > right.startedAtS;
  return left.label > right.label;
}

interface Day {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

const PERIODS: Readonly<Record<CalendarClass, (day: Day) => string>> = {
  yearly: ({ year }) => digits(year, 4),
  monthly: ({ month, year }) => `${digits(year, 4)}-${digits(month, 2)}`,
  weekly: weekOf,
  daily: ({ day, month, year }) => `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`,
};

/** As ISO 8601 counts: a week begins on Monday, and belongs to the year of its Thursday. */
function weekOf({ day, month, year }: Day): string {
  const atMs = Date.UTC(year, month - 1, day);
  const thursday = new Date(atMs + (3 - ((new Date(atMs).getUTCDay() + 6) % 7)) * DAY_MS);
  const weekYear = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(weekYear, 0, 1)) / (7 * DAY_MS));
  return `${digits(weekYear, 4)}-W${digits(week, 2)}`;
}

function digits(value: number, length: number): string {
  return String(value).padStart(length, "0");
}

/** The day of a time in a zone. */
function dayFormat(zone: string): (timeS: number) => Day {
  const format = new Intl.DateTimeFormat("en-u-ca-iso8601-nu-latn", {
    timeZone: zone,
    year: "numeric",
    month: "numeric",
    day: "numeric",
  });
  return (timeS) => {
    const parts = new Map(format.formatToParts(timeS * 1000).map(({ type, value }) => [type, Number(value)]));
    const part = (type: "year" | "month" | "day"): number => parts.get(type) ?? 0;
    return { year: part("year"), month: part("month"), day: part("day") };
  };
}
