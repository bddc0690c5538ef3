import { describe, expect, test } from "vitest";
import { expiredDumps, type KnownDump } from "../../../../runtime/operations/dump/keepDumps";
import * as fc from "../../../harness/properties";

const DAY_MS = 24 * 60 * 60 * 1000;
const label = (day: number): string => {
  const time = new Date(Date.UTC(2026, 0, 1) + day * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "");
  return `${time}-020000Z-1a2b3c4d`;
};
const dumps = (...days: number[]): KnownDump[] => days.map((day) => ({ label: label(day), state: "complete" }));
const gone = (known: readonly KnownDump[], own: number, keep: object): number[] =>
  expiredDumps(known, label(own), keep).map((text) =>
    Math.round(
      (Date.parse(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6, 8)}`) - Date.UTC(2026, 0, 1)) / DAY_MS,
    ),
  );

// claim: docs/dumps.md: keepDumps keeps days, a count, or what either keeps
describe("the retention of dumps", () => {
  test("keeps all without a rule", () => {
    expect(gone(dumps(1, 2, 300), 300, {})).toEqual([]);
  });

  test("keeps a number of complete ones, and those of days before the newest", () => {
    expect(gone(dumps(1, 2, 3, 4, 5), 5, { count: 2 })).toEqual([1, 2, 3]);
    expect(gone(dumps(1, 2, 3, 4, 5), 5, { days: 2 })).toEqual([1, 2]);
    expect(gone(dumps(1, 2, 3, 4, 5), 5, { days: 2, count: 4 })).toEqual([1]);
    expect(gone(dumps(1, 2, 3, 4, 5), 5, { days: 3, count: 1 })).toEqual([1]);
  });

  test("counts no incomplete dump, and keeps none that only takes space", () => {
    const known: KnownDump[] = [
      ...dumps(1, 2, 5),
      { label: label(3), state: "incomplete" },
      { label: label(0), state: "incomplete" },
    ];
    expect(gone(known, 5, { count: 2 })).toEqual([0, 1]);
    expect(gone(known, 5, { count: 1 })).toEqual([0, 1, 2, 3]);
  });

  test("keeps what cannot be read, its own dump that the listing lacks, and those of a clock that is ahead", () => {
    expect(gone([{ label: label(0), state: "unknown" }, ...dumps(1, 5)], 5, { count: 1 })).toEqual([1]);
    expect(gone(dumps(1, 4), 5, { count: 1 })).toEqual([1]);
    expect(gone(dumps(1, 5, 400), 5, { count: 1 })).toEqual([1]);
  });

  test.each(["unknown", "incomplete"] as const)(
    "counts its own dump for nothing when it is %s by now: an older complete one stays",
    (state) => {
      const known: KnownDump[] = [...dumps(1, 2), { label: label(5), state }];
      for (const keep of [{ count: 1 }, { days: 1 }]) expect(gone(known, 5, keep)).toEqual([1]);
    },
  );

  test("never removes its own dump or the newest complete one, and more is never kept by less", () => {
    const known = fc
      .uniqueArray(
        fc.tuple(fc.nat(400), fc.constantFrom("complete" as const, "incomplete" as const, "unknown" as const)),
        {
          selector: ([day]) => day,
          minLength: 1,
          maxLength: 20,
        },
      )
      .map((rows) => rows.map(([day, state]) => ({ label: label(day), state })));
    const keeps = fc.record({
      days: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
      count: fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(known, fc.nat(400), keeps, (rows, ownDay, { count, days }) => {
        const own = label(ownDay);
        const keep = { ...(count === undefined ? {} : { count }), ...(days === undefined ? {} : { days }) };
        const removed = new Set(expiredDumps(rows, own, keep));
        const newest = rows
          .filter(({ state }) => state === "complete")
          .map((row) => row.label)
          .sort()
          .at(-1);
        expect(removed.has(own)).toBe(false);
        expect(removed.has(newest ?? "")).toBe(false);
        const more = expiredDumps(rows, own, { ...keep, ...(count === undefined ? {} : { count: count + 1 }) });
        expect(more.every((each) => removed.has(each))).toBe(true);
      }),
    );
  });
});
