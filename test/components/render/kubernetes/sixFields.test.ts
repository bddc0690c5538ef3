/** Six fields run at the same minutes as five, by the rules of robfig/cron 1.2, which CloudNativePG 1.30 uses. */
import * as fc from "../../../harness/properties";
import { expect, test } from "vitest";
import { parseCron } from "../../../../components/plan/schedule/schedule";
import { toCronJobFields, toSixFields } from "../../../../components/render/kubernetes/sixFields";

interface Field {
  readonly values: ReadonlySet<number>;
  readonly star: boolean;
}

const BOUNDS: readonly (readonly [min: number, max: number, names: readonly string[]])[] = [
  [0, 59, []],
  [0, 59, []],
  [0, 23, []],
  [1, 31, []],
  [1, 12, ["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]],
  [0, 6, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]],
];

/**
 * The parser of robfig/cron: a star anywhere in a list counts, `N/step` runs to the end, and 7 is no weekday.
 * @throws Error where robfig/cron refuses the text
 */
function robfig(text: string): readonly Field[] {
  return text.split(" ").map((field, index) => {
    const [min, max, names] = BOUNDS[index] ?? [0, 0, []];
    const valueOf = (arg: string): number =>
      names.includes(arg.toLowerCase()) ? names.indexOf(arg.toLowerCase()) : Number(arg);
    const values = new Set<number>();
    let star = false;
    for (const part of field.split(",")) {
      const [range = "", step] = part.split("/");
      const [low = "", high] = range.split("-");
      const isStar = low === "*" || low === "?";
      star ||= isStar;
      const first = isStar ? min : valueOf(low);
      const last =
        isStar || (high === undefined && step !== undefined) ? max : high === undefined ? first : valueOf(high);
      if (first < min || last > max || first > last || !Number.isInteger(first) || !Number.isInteger(last))
        throw new Error(`${text}: ${part}`);
      for (let value = first; value <= last; value += step === undefined ? 1 : Number(step)) values.add(value);
    }
    return { values, star };
  });
}

/** True if the schedule runs on this day, by robfig/cron's rule for the two day fields. */
function runsOn(fields: readonly Field[], date: Date): boolean {
  const [, , , dayOfMonth, month, dayOfWeek] = fields;
  if (dayOfMonth === undefined || month === undefined || dayOfWeek === undefined) throw new Error("six fields");
  const [byDate, byDay] = [dayOfMonth.values.has(date.getUTCDate()), dayOfWeek.values.has(date.getUTCDay())];
  return (
    month.values.has(date.getUTCMonth() + 1) && (dayOfMonth.star || dayOfWeek.star ? byDate && byDay : byDate || byDay)
  );
}

/** A cron field of numbers, ranges, lists, steps and stars. */
function fieldOf(min: number, max: number): fc.Arbitrary<string> {
  const number = fc.integer({ min, max });
  const range = fc.tuple(number, number).map(([left, right]) => `${Math.min(left, right)}-${Math.max(left, right)}`);
  const step = fc
    .tuple(fc.oneof(fc.constant("*"), range, number.map(String)), fc.integer({ min: 1, max }))
    .map(([base, by]) => `${base}/${by}`);
  const part = fc.oneof(fc.constant("*"), number.map(String), range, step);
  return fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(","));
}

const DAYS = Array.from({ length: 400 }, (_item, day) => new Date(Date.UTC(2027, 0, 1) + day * 86_400_000));

// claim: docs/kubernetes/new-cluster.md: equal arguments give equal…
test("schedules keep their days and minutes", () => {
  const schedules = fc
    .tuple(fieldOf(0, 59), fieldOf(0, 23), fieldOf(1, 31), fieldOf(1, 12), fieldOf(0, 7))
    .map((args) => args.join(" "));
  fc.assert(
    fc.property(schedules, (text) => {
      const parsed = parseCron(text);
      fc.pre(parsed.ok);
      if (!parsed.ok) return;
      const fields = robfig(toSixFields(text));
      expect([...(fields[0]?.values ?? [])]).toEqual([0]);
      expect([...(fields[1]?.values ?? [])].sort((left, right) => left - right)).toEqual(parsed.cron.minutes);
      expect([...(fields[2]?.values ?? [])].sort((left, right) => left - right)).toEqual(parsed.cron.hours);
      const { anyDayField, daysOfMonth, daysOfWeek, months } = parsed.cron;
      const expected = DAYS.map((date) => {
        const [byDate, byDay] = [daysOfMonth.includes(date.getUTCDate()), daysOfWeek.includes(date.getUTCDay())];
        return months.includes(date.getUTCMonth() + 1) && (anyDayField ? byDate || byDay : byDate && byDay);
      });
      expect(DAYS.map((date) => runsOn(fields, date)).join()).toBe(expected.join());
    }),
    { numRuns: 300 },
  );
});

test.each([
  ["0 3 * * *", "0 0 3 * * *"],
  ["0 3 * * 0", "0 0 3 * * 0"],
  ["0 3 * * 7", "0 0 3 * * 0"],
  ["30 2 * * mon-fri", "0 30 2 * * 1-5"],
  ["0 0 1 * *", "0 0 0 1 * *"],
  ["15 */6 * jan *", "0 15 */6 * jan *"],
])("%s is %s", (five, six) => {
  expect(toSixFields(five)).toBe(six);
});

test.each([
  ["0 5 * * 7", "0 5 * * 0"],
  ["0 5 * * 1-7", "0 5 * * 0-6"],
  ["0 5 * * 5-7", "0 5 * * 0,5-6"],
  ["0 5 1 * 7", "0 5 1 * 0"],
  ["*/5 * * * *", "*/5 * * * *"],
  ["17 4 * jan-mar mon,wed", "17 4 * jan-mar mon,wed"],
  ["0 5 7,17,27 * *", "0 5 7,17,27 * *"],
])("a CronJob of %s has %s: Kubernetes knows Sunday as 0 only", (cron, expected) => {
  expect(toCronJobFields(cron)).toBe(expected);
});

test("five fields passed unchanged would run every hour", () => {
  const [seconds, minutes, hours] = robfig("0 3 * * * *").map(({ values }) => [...values]);
  expect([seconds, minutes, hours?.length]).toEqual([[0], [3], 24]);
});
