import { expect, test } from "vitest";
import { planSegments, resumePoint, segmentsBetween } from "../../../../runtime/operations/slot/slotPlan";

const MIB = 1024 * 1024;
const at = (segments: number, more = 0): bigint => BigInt(segments * MIB + more);
const name = (timeline: number, segment: number): string =>
  `${timeline.toString(16).padStart(8, "0")}00000000${segment.toString(16).toUpperCase().padStart(8, "0")}`;
const first = { timeline: 1, flushLsn: at(9, 5), ancestors: [] };

test("an existing slot asks for everything from its position to the last finished segment", () => {
  const plan = planSegments({ isNew: false, slotLsn: at(6, 77), resumed: null }, first, MIB);
  expect(plan).toEqual({ required: [6, 7, 8].map((segment) => name(1, segment)), optional: [] });
});

test("a slot that somebody dropped and created again does not hide what it skips", () => {
  const required = (resumed: bigint): readonly string[] =>
    planSegments({ isNew: false, slotLsn: at(7, 77), resumed }, first, MIB).required;
  expect(required(at(5))).toEqual([5, 6, 7, 8].map((segment) => name(1, segment)));
  expect(required(at(8))).toEqual([7, 8].map((segment) => name(1, segment)));
});

test("a first slot begins with the segment of its position, which the server still has whole", () => {
  expect(planSegments({ isNew: true, slotLsn: at(8, 1), resumed: null }, first, MIB)).toEqual({
    required: [name(1, 8)],
    optional: [],
  });
});

test("a new slot goes on where the lost one ended, one segment earlier if it is there", () => {
  const known = { timeline: 1, lsn: at(5) };
  expect(planSegments({ isNew: true, slotLsn: at(8), resumed: resumePoint(known, first) }, first, MIB)).toEqual({
    required: [5, 6, 7, 8].map((segment) => name(1, segment)),
    optional: [name(1, 4)],
  });
});

test("a server that was reset is believed, not what was known before", () => {
  for (const known of [
    { timeline: 1, lsn: at(10) },
    { timeline: 3, lsn: at(2) },
  ])
    expect(resumePoint(known, first)).toBeNull();
});

test("a new timeline is archived from its beginning on, as far as the server has it", () => {
  const second = { timeline: 2, flushLsn: at(9), ancestors: [{ timeline: 1, lsn: at(4, 9), reason: "" }] };
  expect(planSegments({ isNew: true, slotLsn: at(7), resumed: null }, second, MIB)).toEqual({
    required: [7, 8].map((segment) => name(2, segment)),
    optional: [6, 5, 4].map((segment) => name(2, segment)),
  });
  // Known from the time before the promotion or the recovery: at most up to where the timelines part.
  const resumed = resumePoint({ timeline: 1, lsn: at(6) }, second);
  expect(planSegments({ isNew: true, slotLsn: at(7), resumed }, second, MIB).required).toEqual(
    [4, 5, 6, 7, 8].map((segment) => name(2, segment)),
  );
});

test("a segment belongs to the timeline that wrote its end", () => {
  const ancestors = [
    { timeline: 1, lsn: at(2), reason: "" },
    { timeline: 2, lsn: at(3, 1), reason: "" },
    { timeline: 4, lsn: at(3, 2), reason: "" },
  ];
  expect(segmentsBetween(at(1), at(5), { timeline: 7, ancestors }, MIB)).toEqual([
    name(1, 1),
    name(2, 2),
    name(7, 3),
    name(7, 4),
  ]);
});
