/** test/interop/backup/expire.test.ts compares plans with stock's, where timelines ascend. */
// claim: docs/internals/versus-pgbackrest.md: a newer backup on a lower timeline keeps its WAL
import { describe, expect, it } from "vitest";
import type { BackupInfo, BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import type { ArchiveInfo } from "../../../../runtime/format/repository/archiveInfo";
import {
  type ArchiveRule,
  isDirectoryMixed,
  isFileExpired,
  isHistoryExpired,
  isWholeDirectoryExpired,
  planArchives,
  type TrimArchive,
} from "../../../../runtime/operations/expire/archivePlan";
import { entryOf } from "../../../harness/madeRepository";
import * as fc from "../../../harness/properties";

const HEADER = { backrestVersion: "2.60.0", currentId: 1, other: [] };
const HISTORY = { id: 1, pgVersion: "15", systemId: 7_710_141_224_171_239_387n, catalogVersion: 1, controlVersion: 1 };
const DIRECTORY_LENGTH = 16;

/** With eight segments in each directory. */
function segment(timeline: number, no: number): string {
  const digits = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
  return `${digits(timeline)}${digits(Math.floor(no / 8))}${digits(no % 8)}`;
}

interface Made {
  readonly timeline: number;
  readonly from: number;
  readonly to: number;
  readonly isFull: boolean;
}

function entriesOf(backups: readonly Made[]): BackupInfoEntry[] {
  let full = "";
  return backups.map(({ timeline, from, to, isFull }, index) => {
    const time = `2026${String(1 + Math.floor(index / 28)).padStart(2, "0")}${String(1 + (index % 28)).padStart(2, "0")}-000000`;
    if (isFull || full === "") full = `${time}F`;
    const label = full.startsWith(time) ? full : `${full}_${time}I`;
    return entryOf({ label, wal: [segment(timeline, from), segment(timeline, to)] });
  });
}

function planOf(kept: readonly BackupInfoEntry[], rule: Partial<ArchiveRule> = {}): TrimArchive | null {
  const archiveInfo: ArchiveInfo = { ...HEADER, history: [HISTORY] };
  const backupInfo: BackupInfo = { ...HEADER, history: [HISTORY], backups: kept };
  const own = { count: 1, type: "full", before: null, ...rule } as const;
  const [plan] = planArchives(archiveInfo, backupInfo, kept, new Set(["15-1"]), own);
  return plan?.kind === "trim" ? plan : null;
}

/** As expire decides. */
function isExpired(plan: TrimArchive, name: string): boolean {
  const directory = name.slice(0, DIRECTORY_LENGTH);
  if (isWholeDirectoryExpired(plan, directory)) return true;
  return isDirectoryMixed(plan, directory) && isFileExpired(plan, name);
}

describe("a newer backup on a lower timeline", () => {
  // A promoted copy stored one backup on timeline 2, while the server went on with timeline 1.
  const kept = entriesOf([
    { timeline: 1, from: 2, to: 3, isFull: true },
    { timeline: 2, from: 9, to: 9, isFull: true },
    { timeline: 1, from: 20, to: 21, isFull: false },
    { timeline: 1, from: 30, to: 31, isFull: false },
  ]);
  const plan = planOf(kept) as TrimArchive;

  it("keeps its WAL and all that follows it, and the history files of both timelines", () => {
    expect(plan.ranges).toEqual([
      { label: kept[0]?.label, start: segment(1, 2), stop: segment(1, 3) },
      { label: kept[1]?.label, start: segment(2, 9), stop: null },
      { label: kept[2]?.label, start: segment(1, 20), stop: null },
      { label: kept[3]?.label, start: segment(1, 30), stop: null },
    ]);
    expect(plan.gaplessFrom).toBe(segment(1, 20));
    const expired = Array.from({ length: 40 }, (_, no) => no).filter((no) => isExpired(plan, segment(1, no)));
    expect(expired).toEqual([0, 1, ...Array.from({ length: 16 }, (_, index) => index + 4)]);
    expect(isHistoryExpired(plan, "00000001.history")).toBe(false);
    expect(isHistoryExpired(plan, "00000002.history")).toBe(false);
  });

  it("changes nothing where timelines ascend", () => {
    const ascending = entriesOf([
      { timeline: 1, from: 2, to: 3, isFull: true },
      { timeline: 2, from: 9, to: 9, isFull: true },
      { timeline: 2, from: 20, to: 21, isFull: false },
    ]);
    expect(planOf(ascending)).toMatchObject({ gaplessFrom: segment(2, 9), ranges: [{}, { stop: null }] });
  });
});

it("keeps what each backup needs, on any timelines", () => {
  const backup = fc.record({
    timeline: fc.integer({ min: 1, max: 3 }),
    from: fc.integer({ min: 0, max: 30 }),
    length: fc.integer({ min: 0, max: 3 }),
    isFull: fc.boolean(),
  });
  const rule = fc.record({
    count: fc.integer({ min: 1, max: 4 }),
    type: fc.constantFrom<ArchiveRule["type"]>("full", "incr"),
    before: fc.constantFrom(null, segment(1, 12), segment(2, 12)),
  });
  fc.assert(
    fc.property(fc.array(backup, { minLength: 1, maxLength: 10 }), rule, (made, { count, type, before }) => {
      const kept = entriesOf(made.map((one) => ({ ...one, to: one.from + one.length })));
      const plan = planOf(kept, { count, type, before });
      if (plan === null) return;
      const counted = kept.filter((entry) => type === "incr" || entry.type === "full");
      const retained = counted.at(-count) ?? counted[0];
      for (const [index, { label }] of kept.entries()) {
        const { timeline, from, length } = made[index] as (typeof made)[number];
        const isGapless = label >= (retained?.label ?? "");
        for (let no = from; no <= (isGapless ? 40 : from + length); no++)
          expect(isExpired(plan, segment(timeline, no)), `${label} needs ${segment(timeline, no)}`).toBe(false);
        if (isGapless) expect(isHistoryExpired(plan, `0000000${timeline}.history`)).toBe(false);
      }
    }),
  );
});

it("keeps what lies in any of the ranges, however they overlap", () => {
  const range = fc.record({
    timeline: fc.integer({ min: 1, max: 2 }),
    from: fc.integer({ min: 0, max: 30 }),
    length: fc.option(fc.integer({ min: 0, max: 9 })),
  });
  fc.assert(
    fc.property(fc.array(range, { maxLength: 8 }), (made) => {
      const ranges = made.map(({ from, length, timeline }) => ({
        label: "",
        start: segment(timeline, from),
        stop: length === null ? null : segment(timeline, from + length),
      }));
      const plan: TrimArchive = { archiveId: "15-1", kind: "trim", ranges, gaplessFrom: null, before: null };
      for (const timeline of [1, 2, 3]) {
        for (let no = 0; no <= 40; no++) {
          const name = segment(timeline, no);
          const isKept = (own: string, length: number): boolean =>
            ranges.some(
              ({ start, stop }) => own >= start.slice(0, length) && (stop === null || own <= stop.slice(0, length)),
            );
          expect(isFileExpired(plan, name)).toBe(!isKept(name, name.length));
          const directory = name.slice(0, DIRECTORY_LENGTH);
          expect(isWholeDirectoryExpired(plan, directory)).toBe(!isKept(directory, DIRECTORY_LENGTH));
        }
      }
    }),
  );
});
