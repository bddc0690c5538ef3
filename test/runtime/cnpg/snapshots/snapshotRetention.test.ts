/** Small cases of removal by days, by count and by both. Random groups test which ones are never removed. */
import * as fc from "../../../harness/properties";
import { describe, expect, test } from "vitest";
import {
  type GroupState,
  judgeSnapshots,
  type SnapshotGroup,
  type SnapshotKeep,
} from "../../../../runtime/cnpg/snapshots/snapshotRetention";

const DAY_MS = 86_400_000;
const NOW_MS = 1000 * DAY_MS;

function group(ageDays: number, state: GroupState = "whole"): SnapshotGroup {
  return { name: `${state}-${ageDays}`, state, atMs: NOW_MS - ageDays * DAY_MS };
}

function removed(groups: readonly SnapshotGroup[], keepDays?: number, keepCount?: number): string[] {
  return judgeSnapshots(groups, { keepDays, keepCount }, NOW_MS).flatMap(({ group: { name }, remove }) =>
    remove ? [name] : [],
  );
}

const WEEK = [0, 1, 2, 3, 4, 5, 6].map((age) => group(age));

describe("of a week of daily snapshots", () => {
  test.each([
    ["3 days", 3, undefined, ["whole-3", "whole-4", "whole-5", "whole-6"]],
    ["the newest 2", undefined, 2, ["whole-2", "whole-3", "whole-4", "whole-5", "whole-6"]],
    ["3 days, at least 5", 3, 5, ["whole-5", "whole-6"]],
    ["5 days, at least 2", 5, 2, ["whole-5", "whole-6"]],
    ["100 days", 100, undefined, []],
  ] as const)("%s are kept", (_what, keepDays, keepCount, expected) => {
    expect(removed(WEEK, keepDays, keepCount)).toEqual(expected);
  });

  test("the newest stays when all are old, however old later failures are", () => {
    expect(removed([group(40), group(50), group(30, "unusable"), group(31, "running")], 7)).toEqual([
      "unusable-30",
      "whole-50",
    ]);
  });

  test("a failed group is no reason to remove a complete one", () => {
    expect(removed([group(1, "unusable"), group(2, "unusable"), group(3), group(4), group(5)], undefined, 2)).toEqual([
      "whole-5",
    ]);
    expect(removed([group(1), group(2, "unusable"), group(3), group(4, "unusable"), group(5)], undefined, 2)).toEqual([
      "unusable-4",
      "whole-5",
    ]);
  });

  test("nothing is removed while no group is complete", () => {
    expect(removed([group(30, "unusable"), group(31, "unusable")], 7, 1)).toEqual([]);
  });

  test("each one has a reason", () => {
    const reported = judgeSnapshots(
      [group(0, "running"), group(1), group(8), group(9), group(9, "unusable")],
      { keepDays: 7, keepCount: 2 },
      NOW_MS,
    );
    expect(reported.map(({ group: { name }, reason, remove }) => `${remove ? "-" : "+"} ${name}: ${reason}`)).toEqual([
      "+ running-0: not finished",
      "+ whole-1: younger than 7 days",
      "+ whole-8: one of the newest 2",
      "- whole-9: older than 7 days, and not one of the newest 2",
      "- unusable-9: older than 7 days, and nothing can be restored from it",
    ]);
  });
});

describe("any groups", () => {
  const states = fc.constantFrom<GroupState>("whole", "whole", "whole", "unusable", "running");
  const groups = fc
    .uniqueArray(fc.tuple(fc.integer({ min: -2 * DAY_MS, max: 60 * DAY_MS }), states), {
      maxLength: 25,
      selector: ([ageMs]) => ageMs,
    })
    .map((ages) =>
      ages.map(([ageMs, state], index): SnapshotGroup => ({ name: `g${index}`, state, atMs: NOW_MS - ageMs })),
    );
  const amount = fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined });
  const keeps = fc
    .record({ keepDays: amount, keepCount: amount })
    .filter(({ keepDays, keepCount }) => keepDays !== undefined || keepCount !== undefined);

  const split = (all: readonly SnapshotGroup[], keep: SnapshotKeep): [kept: SnapshotGroup[], gone: SnapshotGroup[]] => {
    const verdicts = judgeSnapshots(all, keep, NOW_MS);
    expect(verdicts).toHaveLength(all.length);
    return [
      verdicts.filter(({ remove }) => !remove).map((verdict) => verdict.group),
      verdicts.filter(({ remove }) => remove).map((verdict) => verdict.group),
    ];
  };

  // claim: docs/kubernetes/snapshots.md: a cluster's old volume snapshots are removed, all volumes of a backup
  //   together, never the newest restorable one, even after a kill
  test("no young, running or newest group is removed, and one complete group always stays", () => {
    fc.assert(
      fc.property(groups, keeps, (all, keep) => {
        const [kept, gone] = split(all, keep);
        for (const { atMs, state } of gone) {
          expect(state).not.toBe("running");
          if (keep.keepDays !== undefined) expect(NOW_MS - atMs).toBeGreaterThanOrEqual(keep.keepDays * DAY_MS);
        }
        const wholes = all.filter(({ state }) => state === "whole").toSorted((left, right) => right.atMs - left.atMs);
        for (const newest of wholes.slice(0, Math.max(1, keep.keepCount ?? 1))) expect(kept).toContain(newest);
        if (wholes.length === 0) expect(gone).toEqual([]);
      }),
    );
  });

  test("kept complete groups are newer than removed ones, and a second run finds nothing more", () => {
    fc.assert(
      fc.property(groups, keeps, (all, keep) => {
        const [kept, gone] = split(all, keep);
        const times = (some: readonly SnapshotGroup[]): number[] =>
          some.filter(({ state }) => state === "whole").map(({ atMs }) => atMs);
        expect(Math.min(...times(kept))).toBeGreaterThan(Math.max(...times(gone)));
        expect(split(kept, keep)[1]).toEqual([]);
      }),
    );
  });

  test("a longer retention removes nothing that a shorter one keeps", () => {
    fc.assert(
      fc.property(
        groups,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 30 }),
        fc.nat(5),
        fc.nat(5),
        (all, days, count, moreDays, more) => {
          const [kept] = split(all, { keepDays: days, keepCount: count });
          const [longer] = split(all, { keepDays: days + moreDays, keepCount: count + more });
          expect(longer).toEqual(expect.arrayContaining(kept));
        },
      ),
    );
  });
});
