import * as fc from "../../harness/properties";
import { describe, expect, test, vi } from "vitest";
import { SegmentNumbers } from "../../../runtime/format/wal/segmentNumbers";
import { parseHistory } from "../../../runtime/format/wal/timeline";
import { nextSegment, segmentRange } from "../../../runtime/format/wal/walSegment";
import { type WindowsInput, windowsOf } from "../../../runtime/recoverability/windows";

const SIZE = 16 * 1024 * 1024;
const name = (timeline: number, number: number): string =>
  `${[timeline, 0, number].map((part) => part.toString(16).toUpperCase().padStart(8, "0")).join("")}`;
/** Each segment was stored a minute after the one before. */
const stored = (names: readonly string[]): SegmentNumbers => {
  const numbers = new SegmentNumbers();
  for (const each of names) numbers.set(each, 60 * Number.parseInt(each.slice(16), 16));
  return numbers;
};
const backup = (start: string, stop: string, stoppedAtS: number): WindowsInput["backups"][number] => {
  return { archiveStart: start, archiveStop: stop, stoppedAtS };
};
const input = (over: Partial<WindowsInput>): WindowsInput => {
  return {
    backups: [],
    storedAtS: new SegmentNumbers(),
    branches: [{ timeline: 1, ancestors: [], isLiving: true }],
    trimmed: new Set(),
    segmentSizeBytes: SIZE,
    ...over,
  };
};
const range = (timeline: number, first: number, last: number): string[] =>
  segmentRange(name(timeline, first), name(timeline, last), SIZE);

describe("what a repository can restore", () => {
  test("from the end of a backup to the last segment after it; a gap divides", () => {
    const backups = [backup(name(1, 2), name(1, 3), 200), backup(name(1, 10), name(1, 10), 620)];
    const storedAtS = stored([...range(1, 1, 5), ...range(1, 8, 12)]);
    expect(windowsOf(input({ backups, storedAtS }))).toEqual({
      windows: [
        { fromS: 200, toS: 300 },
        { fromS: 620, toS: 720 },
      ],
      gaps: [{ from: name(1, 6), to: name(1, 7), fromS: 300, toS: 480 }],
    });
  });

  test("a backup without its own WAL restores nothing, and one that needs none only its end", () => {
    const backups = [
      backup(name(1, 2), name(1, 4), 240),
      { archiveStart: null, archiveStop: null, stoppedAtS: 100 },
      backup(name(1, 7), name(1, 7), 430),
    ];
    expect(windowsOf(input({ backups, storedAtS: stored(range(1, 2, 3)) })).windows).toEqual([
      { fromS: 100, toS: 100 },
    ]);
  });

  test("a recovery follows the newest timeline through the segment of the switch", () => {
    const ancestors = parseHistory("1\t0/5000028\tno reason\n2\t0/8000000\tno reason\n");
    const branches = [{ timeline: 3, ancestors, isLiving: true }];
    const onRoute = [...range(1, 2, 4), ...range(2, 5, 7), ...range(3, 8, 9)];
    const backups = [backup(name(1, 2), name(1, 2), 130)];
    // Timeline 1 has gone on after the switch.
    const withBranch = stored([...onRoute, ...range(1, 5, 30)]);
    expect(windowsOf(input({ backups, branches, storedAtS: withBranch })).windows).toEqual([{ fromS: 130, toS: 540 }]);
    // A backup of that branch recovers along it.
    const own = [...backups, backup(name(1, 20), name(1, 21), 1270)];
    expect(windowsOf(input({ backups: own, branches, storedAtS: withBranch }))).toEqual({
      windows: [
        { fromS: 130, toS: 540 },
        { fromS: 1270, toS: 1800 },
      ],
      // The newer timelines do not continue it.
      gaps: [],
    });
    // The first segment of timeline 2 has the rest of the one in which timeline 1 ended.
    const broken = stored(onRoute.filter((each) => each !== name(2, 5)));
    expect(windowsOf(input({ backups, branches, storedAtS: broken }))).toEqual({
      windows: [{ fromS: 130, toS: 240 }],
      gaps: [{ from: name(2, 5), to: name(2, 5), fromS: 240, toS: 360 }],
    });
  });

  test("WAL that retention has trimmed is no gap", () => {
    const backups = [backup(name(1, 2), name(1, 3), 200), backup(name(1, 10), name(1, 10), 620)];
    const storedAtS = stored([...range(1, 2, 3), ...range(1, 10, 12)]);
    const { gaps, windows } = windowsOf(input({ backups, storedAtS, trimmed: new Set([name(1, 2)]) }));
    expect(gaps).toEqual([]);
    expect(windows).toEqual([
      { fromS: 200, toS: 200 },
      { fromS: 620, toS: 720 },
    ]);
  });

  test("whatever is missing, a moment is in a window exactly if a backup before it reaches it without a gap", () => {
    const count = 24;
    const anyBackup = fc.record({ start: fc.nat(count - 2), length: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(anyBackup, { maxLength: 6 }), fc.uniqueArray(fc.nat(count - 1)), (chosen, missing) => {
        const isStored = (number: number): boolean => number < count && !missing.includes(number);
        const storedAtS = stored(range(1, 0, count - 1).filter((_, index) => isStored(index)));
        const backups = chosen.map(({ length, start }) =>
          backup(name(1, start), name(1, start + length), 60 * (start + length) + 1),
        );
        const { windows } = windowsOf(input({ backups, storedAtS }));
        for (let number = 0; number < count; number++) {
          const timeS = 60 * number;
          const isReached = chosen.some(({ length, start }) => {
            const [stop, needed] = [start + length, Math.max(start + length, number)];
            const whole = Array.from({ length: needed - start + 1 }, (_, index) => start + index).every(isStored);
            return stop < number && whole;
          });
          expect(windows.some(({ fromS, toS }) => fromS <= timeS && timeS <= toS)).toBe(isReached);
        }
      }),
    );
  });

  test("two thousand backups on a hundred thousand segments take one walk", () => {
    const names = [name(1, 0)];
    while (names.length < 100_000) names.push(nextSegment(names.at(-1) ?? "", SIZE));
    const backups = Array.from({ length: 2000 }, (_, index) => {
      const start = names[index * 50] ?? "";
      return backup(start, start, index);
    });
    const counted = new Map(names.map((each, index) => [each, index]));
    const [keys, get] = [vi.spyOn(counted, "keys"), vi.spyOn(counted, "get")];
    const { windows } = windowsOf(input({ backups, storedAtS: counted }));
    expect(windows).toEqual([{ fromS: 0, toS: 99_999 }]);
    expect(keys).toHaveBeenCalledTimes(1);
    expect(get.mock.calls.length).toBeLessThanOrEqual(backups.length);
  });
});
