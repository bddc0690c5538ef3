import { execFileSync, spawnSync } from "node:child_process";
import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import {
  type CalendarMinute,
  type Cron,
  loadCron,
  nextRun,
  parseCron,
  toOnCalendar,
  minuteOf,
} from "../../../../components/plan/schedule/schedule";

const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;
if (!hasSystemd)
  console.warn("\n*** systemd-analyze is not on PATH: OnCalendar lines are not checked by systemd itself ***\n");

function cronOf(text: string): Cron {
  const parsed = parseCron(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.cron;
}

function calendar(text: string, timeZone = "UTC"): string[] {
  return toOnCalendar(cronOf(text), timeZone);
}

test("fields are numbers, ranges, lists, steps and names", () => {
  expect(cronOf("*/15 0-2,22 1,15 jan-mar MON-fri")).toEqual({
    minutes: [0, 15, 30, 45],
    hours: [0, 1, 2, 22],
    daysOfMonth: [1, 15],
    months: [1, 2, 3],
    daysOfWeek: [1, 2, 3, 4, 5],
    anyDayField: true,
  });
  expect(cronOf("5/20 3 * * 7").minutes).toEqual([5, 25, 45]);
  expect(cronOf("0 0 * * 0,7").daysOfWeek).toEqual([0]);
  expect(cronOf("0 0 * * 5-7").daysOfWeek).toEqual([0, 5, 6]);
});

test.each([
  ["0 3 * *", "has 4 fields"],
  ["0 0 3 * * *", "has 6 fields"],
  ["", "has 0 fields"],
  ["60 3 * * *", 'minute "60" is outside 0 to 59'],
  ["0 24 * * *", 'hour "24" is outside 0 to 23'],
  ["0 3 0 * *", 'day of month "0" is outside 1 to 31'],
  ["0 3 * 13 *", 'month "13" is outside 1 to 12'],
  ["0 3 * * 8", 'day of week "8" is outside 0 to 7'],
  ["0 3 * * sunday", 'day of week "sunday" is outside 0 to 7'],
  ["5-2 3 * * *", 'minute "5-2" ends before it begins'],
  ["*/0 3 * * *", 'minute "*/0" has a step outside'],
  ["@daily", "has 1 fields"],
  ["0 3 ? * *", 'day of month "?" is not *'],
  ["30 2 30 2 *", "never runs"],
  ["0 0 31 4,6,9,11 *", "never runs"],
])("refuses %j: %s", (text, reason) => {
  const parsed = parseCron(text);
  expect(parsed.ok ? "accepted" : parsed.reason).toContain(reason);
});

test("a refused schedule cannot be loaded", () => {
  const schedule = {
    name: "full",
    cron: "x",
    timeZone: "UTC",
    type: "full" as const,
    repoKeys: [1],
    repositories: ["repo1"],
    jitterSeconds: 0,
    deadlineSeconds: 60,
  };
  expect(() => loadCron(schedule)).toThrow("schedule full:");
});

test("rare days are found: February 29 on a Sunday", () => {
  // cron combines two restricted day fields with "or". A field that starts with a star is "unrestricted" and combines
  // with "and", so "*/7" requires a Sunday.
  expect(nextRun(cronOf("0 0 29 2 */7"), { year: 2026, month: 1, day: 1, hour: 0, minute: 0 })).toEqual({
    year: 2032,
    month: 2,
    day: 29,
    hour: 0,
    minute: 0,
  });
});

test("cron becomes OnCalendar with the zone; two restricted day fields become two lines", () => {
  expect(calendar("30 2 * * *", "Europe/Berlin")).toEqual(["*-*-* 02:30:00 Europe/Berlin"]);
  expect(calendar("0 3 * * 1-6")).toEqual(["Mon..Sat *-*-* 03:00:00 UTC"]);
  expect(calendar("0 3 * * 0")).toEqual(["Sun *-*-* 03:00:00 UTC"]);
  expect(calendar("*/30 * 1 */6 *")).toEqual(["*-01,07-01 *:00,30:00 UTC"]);
  expect(calendar("0 3 13 * 5")).toEqual(["*-*-13 03:00:00 UTC", "Fri *-*-* 03:00:00 UTC"]);
  expect(calendar("0 3 */2 * 5")).toEqual(["Fri *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 03:00:00 UTC"]);
});

/** One field in any form, over its range or a part of it. */
function fieldText(min: number, max: number): fc.Arbitrary<string> {
  const value = fc.integer({ min, max });
  const range = fc.tuple(value, value).map(([left, right]) => `${Math.min(left, right)}-${Math.max(left, right)}`);
  const step = fc.integer({ min: 1, max });
  const part = fc.oneof(
    value.map(String),
    range,
    fc.tuple(range, step).map(([text, by]) => `${text}/${by}`),
    step.map((by) => `*/${by}`),
  );
  return fc.oneof(
    fc.constant("*"),
    fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(",")),
  );
}
const cronText = fc
  .tuple(fieldText(0, 59), fieldText(0, 23), fieldText(1, 31), fieldText(1, 12), fieldText(0, 7))
  .map((fields) => fields.join(" "));
const time = fc.date({
  min: new Date("2020-01-01T00:00:00Z"),
  max: new Date("2035-01-01T00:00:00Z"),
  noInvalidDate: true,
});

/** Implements crontab(5) on the text: compares each minute with each field. */
function bruteForce(text: string, from: Date, minutesMax: number): CalendarMinute | null {
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = text.split(" ");
  const matches = (field: string, value: number, min: number, max: number): boolean =>
    field.split(",").some((part) => {
      const [range = "", step = "1"] = part.split("/");
      const [first = min, last] = range === "*" ? [min, max] : range.split("-").map(Number);
      const end = last ?? (part.includes("/") ? max : first);
      return value >= first && value <= end && (value - first) % Number(step) === 0;
    });
  for (let offset = 0; offset < minutesMax; offset++) {
    const date = new Date(Math.floor(from.getTime() / 60_000) * 60_000 + offset * 60_000);
    const onDay = matches(day, date.getUTCDate(), 1, 31);
    const onWeekday = matches(weekday, date.getUTCDay(), 0, 7) || (date.getUTCDay() === 0 && matches(weekday, 7, 0, 7));
    const either = !day.startsWith("*") && !weekday.startsWith("*");
    if (
      matches(minute, date.getUTCMinutes(), 0, 59) &&
      matches(hour, date.getUTCHours(), 0, 23) &&
      matches(month, date.getUTCMonth() + 1, 1, 12) &&
      (either ? onDay || onWeekday : onDay && onWeekday)
    ) {
      return minuteOf(date.getTime());
    }
  }
  return null;
}

test("the next run is the first minute that matches", () => {
  fc.assert(
    fc.property(cronText, time, (text, from) => {
      const parsed = parseCron(text);
      fc.pre(parsed.ok);
      const expected = bruteForce(text, from, 60 * 24 * 8);
      const result = parsed.ok ? nextRun(parsed.cron, minuteOf(from.getTime())) : null;
      if (expected !== null) expect(result).toEqual(expected);
      else
        expect(Date.UTC(result?.year ?? 9999, (result?.month ?? 1) - 1, result?.day)).toBeGreaterThan(
          from.getTime() + 7 * 86_400_000,
        );
    }),
    { numRuns: 150 },
  );
});

test.runIf(hasSystemd)("systemd reads each line, and the first of its next runs is cron's next run", () => {
  fc.assert(
    fc.property(cronText, (text) => {
      const parsed = parseCron(text);
      fc.pre(parsed.ok);
      if (!parsed.ok) return;
      const base = "2026-11-20 09:10:30 UTC";
      const args = ["calendar", `--base-time=${base}`, ...toOnCalendar(parsed.cron, "UTC")];
      const output = execFileSync("systemd-analyze", args, { encoding: "utf8", env: { ...process.env, TZ: "UTC" } });
      const elapses = [...output.matchAll(/Next elapse: \w+ (\d+)-(\d+)-(\d+) (\d+):(\d+):00 UTC/g)].map((match) =>
        match.slice(1, 6).map(Number).join(" "),
      );
      const next = nextRun(parsed.cron, { year: 2026, month: 11, day: 20, hour: 9, minute: 11 });
      const sortable = (value: string): number => {
        const [year = 0, month = 0, day, hour, minute] = value.split(" ").map(Number);
        return Date.UTC(year, month - 1, day, hour, minute);
      };
      const earliest = elapses.toSorted((left, right) => sortable(left) - sortable(right))[0];
      expect(earliest, text).toBe(
        next === null ? undefined : [next.year, next.month, next.day, next.hour, next.minute].join(" "),
      );
    }),
    { numRuns: 40 },
  );
});
