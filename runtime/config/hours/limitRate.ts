/**
 * `limitRate` of a repository: one rate, or rates by the hour of the day. Pure.
 *
 * Every minute has one rate, since clocks change by whole minutes. So hours that the change to summer time skips limit
 * nothing, and hours that come twice in autumn limit twice.
 */
import type { Keys } from "../../base/declaredTypes";
import { isTimeZone, minuteOfDay } from "../timeZone";
import { parseSize } from "../values";

/** As files and arguments have it: a rate, or rates by ranges of hours such as `08:00-20:00`, and `zone`. */
export type GivenLimitRate = string | { readonly [hours: string]: string };

/** Outside of its ranges there is no limit. */
export interface LimitRate {
  readonly zone: string;
  readonly ranges: readonly RateRange[];
}

interface RateRange extends MinuteRange {
  readonly bytesPerSecond: number;
}

/** Minutes of a day. A range that ends before it begins crosses midnight. */
interface MinuteRange {
  readonly fromMinute: number;
  readonly toMinute: number;
}

/** What is wrong with a limit. The fact follows the name of the field that the keys lead to. */
interface LimitRateFault {
  readonly keys: Keys;
  readonly fact: string;
}

/** Bytes a second at a time, milliseconds since 1970: the same within each minute. Infinity without a limit. */
type RateAt = (atMs: number) => number;

/** Per second. Below it a lease's file waits too long behind data. */
const RATE_MIN_BYTES = 64 * 1024;
const MINUTE_MS = 60_000;
const DAY_MINUTES = 24 * 60;
const HOURS = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/;

/** Null for a usable one. */
export function limitRateFault(given: GivenLimitRate): LimitRateFault | null {
  if (typeof given === "string") return rateFault(given, []);
  const { zone, ...rates } = given;
  if (zone !== undefined && !isTimeZone(zone))
    return { keys: ["zone"], fact: `is '${zone}', and must be UTC or a name such as Europe/Berlin` };
  if (Object.keys(rates).length === 0)
    return { keys: [], fact: "limits no hours, and must have a range such as 08:00-20:00" };
  const limited = new Map<number, string>();
  for (const [hours, rate] of Object.entries(rates)) {
    const range = rangeOf(hours);
    if (range === null) return { keys: [hours], fact: "is no range of hours, and must be one as in 08:00-20:00" };
    const minutes = minutesIn(range);
    if (minutes.length === 0) return { keys: [hours], fact: "has no length, and must end at another time" };
    const fault = rateFault(rate, [hours]);
    if (fault !== null) return fault;
    for (const minute of minutes) {
      const other = limited.get(minute);
      if (other !== undefined) return { keys: [hours], fact: `overlaps '${other}', and must not` };
      limited.set(minute, hours);
    }
  }
  return null;
}

function rateFault(text: string, keys: Keys): LimitRateFault | null {
  const bytes = parseSize(text);
  if (bytes === null) return { keys, fact: `is '${text}', and must be bytes a second, with a unit as in 20MiB` };
  return bytes < RATE_MIN_BYTES ? { keys, fact: `is '${text}', and must be at least 64KiB` } : null;
}

/** @param given without {@link limitRateFault} */
export function limitRateOf(given: GivenLimitRate): LimitRate {
  const { zone = "UTC", ...rates } = typeof given === "string" ? { "00:00-24:00": given } : given;
  const ranges = Object.entries(rates).flatMap(([hours, rate]) => {
    const [range, bytesPerSecond] = [rangeOf(hours), parseSize(rate)];
    return range === null || bytesPerSecond === null ? [] : [{ ...range, bytesPerSecond }];
  });
  return { zone, ranges };
}

/** Bytes a second of each minute of a day. */
export function ratesOf({ ranges }: Pick<LimitRate, "ranges">): readonly number[] {
  const rates = new Array<number>(DAY_MINUTES).fill(Number.POSITIVE_INFINITY);
  for (const range of ranges) for (const minute of minutesIn(range)) rates[minute] = range.bytesPerSecond;
  return rates;
}

export function rateAtOf({ ranges, zone }: LimitRate): RateAt {
  const rates = ratesOf({ ranges });
  const [first = Number.POSITIVE_INFINITY] = rates;
  if (rates.every((rate) => rate === first)) return () => first;
  const minuteAt = minuteOfDay(zone);
  // A lookup takes microseconds, and every piece of every thread needs one.
  let known = { fromMs: Number.NaN, rate: first };
  return (atMs) => {
    const fromMs = Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
    if (known.fromMs !== fromMs) known = { fromMs, rate: rates[minuteAt(fromMs)] ?? first };
    return known.rate;
  };
}

/** Null for a text that is no range. */
function rangeOf(hours: string): MinuteRange | null {
  const match = HOURS.exec(hours);
  if (match === null) return null;
  const [, fromHour, fromMinute, toHour = 24, toMinute = 0] = match;
  return {
    fromMinute: Number(fromHour) * 60 + Number(fromMinute),
    toMinute: Number(toHour) * 60 + Number(toMinute),
  };
}

function minutesIn({ fromMinute, toMinute }: MinuteRange): readonly number[] {
  const count = (toMinute < fromMinute ? toMinute + DAY_MINUTES : toMinute) - fromMinute;
  return Array.from({ length: count }, (_, index) => (fromMinute + index) % DAY_MINUTES);
}
