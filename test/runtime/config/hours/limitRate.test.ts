/** Limits of bandwidth by the hour of the day: what is refused, and which rate there is at a time. */
import { describe, expect, test } from "vitest";
import { type GivenLimitRate, limitRateFault, limitRateOf, rateAtOf } from "../../../../runtime/config/hours/limitRate";
import * as fc from "../../../harness/properties";

const NONE = Number.POSITIVE_INFINITY;
const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;

test.each<[GivenLimitRate, string]>([
  ["fast", "is 'fast', and must be bytes a second, with a unit as in 20MiB"],
  ["63KiB", "is '63KiB', and must be at least 64KiB"],
  [{}, "limits no hours, and must have a range such as 08:00-20:00"],
  [{ zone: "Europe/Berlin" }, "limits no hours, and must have a range such as 08:00-20:00"],
  [{ "08:00-20:00": "20MiB", zone: "+02:00" }, "zone is '+02:00', and must be UTC or a name such as Europe/Berlin"],
  [{ "8-20": "20MiB" }, "8-20 is no range of hours, and must be one as in 08:00-20:00"],
  [{ "08:00-24:01": "20MiB" }, "08:00-24:01 is no range of hours, and must be one as in 08:00-20:00"],
  [{ "24:00-08:00": "20MiB" }, "24:00-08:00 is no range of hours, and must be one as in 08:00-20:00"],
  [{ "08:00-08:00": "20MiB" }, "08:00-08:00 has no length, and must end at another time"],
  [{ "00:00-00:00": "20MiB" }, "00:00-00:00 has no length, and must end at another time"],
  [{ "08:00-20:00": "20MiB/s" }, "08:00-20:00 is '20MiB/s', and must be bytes a second, with a unit as in 20MiB"],
  [{ "08:00-20:00": "20MiB", "19:59-21:00": "5MiB" }, "19:59-21:00 overlaps '08:00-20:00', and must not"],
  [{ "22:00-06:00": "20MiB", "05:00-07:00": "5MiB" }, "05:00-07:00 overlaps '22:00-06:00', and must not"],
  [{ "00:00-24:00": "20MiB", "12:00-12:01": "5MiB" }, "12:00-12:01 overlaps '00:00-24:00', and must not"],
])("%j is refused", (given, text) => {
  const fault = limitRateFault(given);
  expect([...(fault?.keys ?? []), fault?.fact].join(" ")).toBe(text);
});

test.each<GivenLimitRate>([
  "64KiB",
  { "08:00-20:00": "20MiB" },
  { "08:00-20:00": "20MiB", "20:00-08:00": "50MiB", zone: "Europe/Berlin" },
  { "20:00-24:00": "1MiB", "00:00-08:00": "1MiB" },
  { "20:00-00:00": "1MiB" },
])("%j is usable", (given) => expect(limitRateFault(given)).toBeNull());

function rates(given: GivenLimitRate, ...times: string[]): number[] {
  const rateAt = rateAtOf(limitRateOf(given));
  return times.map((time) => rateAt(Date.parse(time)));
}

describe("the rate at a time", () => {
  test("of a text is always the same", () => {
    expect(rates("20MiB", "2026-01-01T00:00:00Z", "2026-07-01T12:34:56Z")).toEqual([20 * MIB, 20 * MIB]);
  });

  test("of ranges begins with their first minute and ends before their last one", () => {
    const times = ["07:59:59.999", "08:00:00.000", "19:59:59.999", "20:00:00.000"].map((time) => `2026-01-01T${time}Z`);
    expect(rates({ "08:00-20:00": "1MiB" }, ...times)).toEqual([NONE, MIB, MIB, NONE]);
  });

  test("of a range may cross midnight, and another one may begin where it ends", () => {
    const times = ["21:59", "22:00", "23:59", "00:00", "05:59", "06:00", "07:00"].map((time) => `2026-01-01T${time}Z`);
    const given = { "22:00-06:00": "1MiB", "06:00-07:00": "2MiB" };
    expect(rates(given, ...times)).toEqual([NONE, MIB, MIB, MIB, MIB, 2 * MIB, NONE]);
  });

  test("follows the clocks of the zone", () => {
    const given = { "08:00-20:00": "1MiB", zone: "America/New_York" };
    // 5 hours behind UTC in winter, 4 in summer.
    const times = ["2026-01-15T12:59Z", "2026-01-15T13:00Z", "2026-07-15T11:59Z", "2026-07-15T12:00Z"];
    expect(rates(given, ...times)).toEqual([NONE, MIB, NONE, MIB]);
  });
});

/** Times from the start of a UTC day on, by steps of a minute. */
const minutesOf = (day: string, count: number): number[] =>
  Array.from({ length: count }, (_, index) => Date.parse(`${day}T00:00Z`) + index * MINUTE_MS);

// claim: docs/hosts/repositories.md: limitRate: when clocks change, the hours of the day that they show decide
test.each([
  ["skips in spring", "Europe/Berlin", "2026-03-29", "02:00-03:00", 0],
  ["repeats in autumn", "Europe/Berlin", "2026-10-25", "02:00-03:00", 120],
  ["skips half of", "Australia/Lord_Howe", "2026-10-03", "02:00-03:00", 30],
  ["has in other days", "Europe/Berlin", "2026-03-30", "02:00-03:00", 60],
])("an hour that the zone %s (%s, %s) limits so many minutes", (_name, zone, day, hours, minutes) => {
  const rateAt = rateAtOf(limitRateOf({ [hours]: "1MiB", zone }));
  expect(minutesOf(day, 1440).filter((atMs) => rateAt(atMs) === MIB)).toHaveLength(minutes);
});

test("in any zone, at any time, the range in which its clocks are decides", () => {
  const time = fc.integer({ min: 0, max: 47 }).map((half) => {
    return `${String(Math.floor(half / 2)).padStart(2, "0")}:${half % 2 === 0 ? "00" : "30"}`;
  });
  const zone = fc.constantFrom("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia");
  const atMs = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2028, 0) });
  fc.assert(
    fc.property(time, time, zone, fc.array(atMs, { minLength: 20 }), (from, to, timeZone, times) => {
      fc.pre(from !== to);
      const rateAt = rateAtOf(limitRateOf({ [`${from}-${to}`]: "1MiB", zone: timeZone }));
      const clock = { timeZone, hour: "2-digit", minute: "2-digit" } as const;
      for (const at of times) {
        const shown = new Date(at).toLocaleTimeString("en-GB", clock);
        const isInside = from < to ? from <= shown && shown < to : from <= shown || shown < to;
        expect(rateAt(at), `${from}-${to} ${timeZone} ${shown}`).toBe(isInside ? MIB : NONE);
      }
    }),
    { numRuns: 50 },
  );
});
