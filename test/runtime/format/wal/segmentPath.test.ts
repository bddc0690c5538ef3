import { describe, expect, it } from "vitest";
import { runsOf, SegmentPath, type WalRange } from "../../../../runtime/format/wal/segmentPath";
import { formatLsn, segmentOfLsn, segmentRange } from "../../../../runtime/format/wal/walSegment";
import * as fc from "../../../harness/properties";

const SIZE = 1024 * 1024;
/** Around the end of a log file of 4 GiB. */
const FIRST = 4085;
const COUNT = 24;
const lsnAt = (position: number): bigint => BigInt(FIRST + position) * BigInt(SIZE);
const name = (timeline: number, position: number): string => segmentOfLsn(timeline, lsnAt(position), SIZE);
const all = (ranges: readonly WalRange[]): string[] => ranges.flatMap(([from, to]) => segmentRange(from, to, SIZE));

/** Timelines 1, 3, 5, …; each begins in the middle of the segment at its position. */
const PATHS = fc
  .array(fc.integer({ min: 1, max: COUNT - 1 }), { maxLength: 4 })
  .map((positions) => positions.toSorted((left, right) => left - right));

function pathOf(switches: readonly number[]): SegmentPath {
  const ancestors = switches.map((position, index) => {
    return { timeline: 2 * index + 1, lsn: lsnAt(position) + BigInt(SIZE / 2), reason: "" };
  });
  return new SegmentPath({ timeline: 2 * switches.length + 1, ancestors }, SIZE);
}

/** PostgreSQL's rule, by brute force: the newest timeline that had begun by the end of the segment. */
const timelineAt = (switches: readonly number[], position: number): number =>
  2 * switches.filter((each) => each <= position).length + 1;

describe("the segments of a path", () => {
  it("are of the newest timeline that has begun in them", () => {
    fc.assert(
      fc.property(PATHS, fc.nat(COUNT - 2), fc.integer({ min: 1, max: 11 }), (switches, position, timeline) => {
        const path = pathOf(switches);
        const isOnPath = timeline % 2 === 1 && timeline <= path.timeline;
        const expected = name(timelineAt(switches, position), position);
        expect(path.at(name(timeline, position))).toBe(isOnPath ? expected : name(timeline, position));
        expect(path.has(name(timeline, position))).toBe(name(timeline, position) === expected);
        expect(path.next(expected)).toBe(name(timelineAt(switches, position + 1), position + 1));
      }),
    );
  });

  it("are stored in runs, and the others are missing", () => {
    const stored = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(COUNT - 1)), {
      maxLength: 120,
      selector: String,
    });
    fc.assert(
      fc.property(PATHS, stored, fc.nat(COUNT - 1), fc.nat(COUNT - 1), (switches, pairs, one, other) => {
        const path = pathOf(switches);
        const names = pairs.map(([timeline, position]) => name(timeline, position)).sort();
        const runs = path.runs(runsOf(names, SIZE));
        const positions = Array.from({ length: COUNT }, (_, position) => position);
        const onPath = positions.map((position) => name(timelineAt(switches, position), position));
        const isStored = (position: number): boolean => names.includes(onPath[position] ?? "");
        const firsts = positions.filter((position) => isStored(position) && !isStored(position - 1));
        const lasts = positions.filter((position) => isStored(position) && !isStored(position + 1));
        expect(runs).toEqual(firsts.map((first, index) => [onPath[first], onPath[lasts[index] ?? 0]]));
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const missing = onPath.filter((_, position) => position >= from && position <= to && !isStored(position));
        expect(all(path.missing(runs, onPath[from] ?? "", onPath[to] ?? ""))).toEqual(missing);
      }),
    );
  });
});

describe("a backup", () => {
  const path = pathOf([4, 8]);
  const ending = (timeline: number, stop: number, lsn?: bigint) =>
    path.passes({
      archiveStart: name(timeline, 1),
      archiveStop: name(timeline, stop),
      lsnStop: lsn === undefined ? undefined : formatLsn(lsn),
    });

  it("is on the path if it ends before the switch to the next timeline", () => {
    expect([ending(1, 3), ending(1, 4), ending(1, 5), ending(3, 8), ending(3, 9), ending(5, 20)]).toEqual([
      true,
      true,
      false,
      true,
      false,
      true,
    ]);
    expect([ending(2, 2), ending(7, 2)]).toEqual([false, false]);
    const half = BigInt(SIZE / 2);
    expect([ending(1, 4, lsnAt(4) + half), ending(1, 4, lsnAt(4) + half + 8n)]).toEqual([true, false]);
  });
});

it("a timeline that begins in the first segment leaves nothing of the one before", () => {
  const path = new SegmentPath({ timeline: 2, ancestors: [{ timeline: 1, lsn: 40n, reason: "" }] }, SIZE);
  const [first, second] = [segmentOfLsn(1, 0n, SIZE), segmentOfLsn(2, 0n, SIZE)];
  expect([path.has(first), path.at(first), path.runs([[first, first]])]).toEqual([false, second, []]);
});
