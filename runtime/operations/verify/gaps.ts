/** Missing WAL, by the names of the stored segments: which segments does a recovery need, and which are not there? */
import { countBefore } from "../../base/bytes";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { nextSegment } from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { planKept, trimmedLabels } from "../expire/archivePlan";
import { timelineOf } from "./histories";
import { type TimelinePath, pathRanges, type WalRange } from "./path";

const GAP_SEGMENTS_MAX = 1_000_000;

/** First and last name of each run of segments without one missing. `names` ascend. Pure. */
export function runsOf(names: Iterable<string>, walSegmentSizeBytes: number): WalRange[] {
  const runs: WalRange[] = [];
  let run: [string, string] | null = null;
  let next = "";
  for (const name of names) {
    if (name === run?.[1]) continue;
    if (run !== null && name === next) run[1] = name;
    else runs.push((run = [name, name]));
    next = nextSegment(name, walSegmentSizeBytes);
  }
  return runs;
}

/** The gaps of {@link findGaps}, and those on the path to the newest timeline, outside trimmed WAL. Pure. */
export function gapsOf(
  stored: readonly WalRange[],
  { alone, from, gapless }: WalNeeds,
  newest: TimelinePath | null,
  walSegmentSizeBytes: number,
): readonly WalRange[] {
  const own = new Map(
    alone.flatMap(([start, stop]) =>
      gapsBetween(start, stop, stored, walSegmentSizeBytes).map((gap) => [gap.join(), gap] as const),
    ),
  );
  // Without it the newest segments alone would count as an archive without a backup.
  if (gapless.length === 0 && alone.length > 0) return [...own.values()];
  const kept = from === null ? stored : [...storedFrom(stored, from)];
  const onPath = newest === null ? [] : pathRanges(gapless, kept, newest, walSegmentSizeBytes);
  return [...own.values(), ...findGaps(kept, [...gapless, ...onPath], walSegmentSizeBytes)];
}

/**
 * Missing runs of segments, ascending, per timeline: from the first segment that a backup there needs (or the first
 * stored one) to the newest one that is stored or that a backup needs. A later timeline begins wherever its fork was. A
 * timeline older than every backup's is useless; its remains wait for expire. Pure.
 * @param stored as {@link runsOf}
 */
export function findGaps(
  stored: readonly WalRange[],
  needed: readonly WalRange[],
  walSegmentSizeBytes: number,
): WalRange[] {
  const storedOf = byTimeline(stored);
  const neededOf = byTimeline(needed);
  const oldest = [...neededOf.keys()].reduce((least, timeline) => Math.min(least, timeline), Number.POSITIVE_INFINITY);
  return [...new Set([...storedOf.keys(), ...neededOf.keys()])]
    .filter((timeline) => needed.length === 0 || timeline >= oldest)
    .sort((left, right) => left - right)
    .flatMap((timeline) => {
      const own = storedOf.get(timeline) ?? [];
      const ranges = neededOf.get(timeline) ?? [];
      const starts = ranges.map(([start]) => start).sort();
      const ends = [...own.slice(-1), ...ranges].map(([, stop]) => stop).sort();
      const first = starts[0] ?? own[0]?.[0];
      const last = ends.at(-1);
      return first === undefined || last === undefined ? [] : gapsBetween(first, last, own, walSegmentSizeBytes);
    });
}

function byTimeline(ranges: readonly WalRange[]): ReadonlyMap<number, WalRange[]> {
  const groups = new Map<number, WalRange[]>();
  for (const range of ranges) {
    const timeline = timelineOf(range[0]);
    const group = groups.get(timeline);
    if (group === undefined) groups.set(timeline, [range]);
    else group.push(range);
  }
  return groups;
}

/** @param stored as {@link runsOf} */
function gapsBetween(
  first: string,
  last: string,
  stored: readonly WalRange[],
  walSegmentSizeBytes: number,
): WalRange[] {
  const gaps: WalRange[] = [];
  let expected = first;
  const meet = (begin: string, end: string): void => {
    if (expected < begin) gaps.push([expected, lastBefore(begin, expected, walSegmentSizeBytes)]);
    expected = nextSegment(end, walSegmentSizeBytes);
  };
  for (const [begin, end] of storedFrom(stored, first)) {
    if (begin > last) break;
    meet(begin, end < last ? end : last);
  }
  // A guard after the last one makes a gap at the end count too.
  const guard = nextSegment(last, walSegmentSizeBytes);
  meet(guard, guard);
  return gaps;
}

/** What is stored from a segment on. */
function* storedFrom(stored: readonly WalRange[], from: string): Iterable<WalRange> {
  let index = countBefore(stored.length, (at) => (stored[at] as WalRange)[1] < from);
  for (; index < stored.length; index++) {
    const [begin, end] = stored[index] as WalRange;
    yield [begin < from ? from : begin, end];
  }
}

/** The segment before `name`, counted from `from`. */
function lastBefore(name: string, from: string, walSegmentSizeBytes: number): string {
  let current = from;
  for (let count = 0; count < GAP_SEGMENTS_MAX; count++) {
    const next = nextSegment(current, walSegmentSizeBytes);
    if (next >= name) return current;
    current = next;
  }
  return current;
}

/** WAL ranges of every online backup of one history id. */
function neededRanges(entries: readonly BackupInfoEntry[], historyId: number): WalRange[] {
  return entries.flatMap((entry) =>
    entry.dbId === historyId && entry.archiveStart !== null && entry.archiveStop !== null
      ? [[entry.archiveStart, entry.archiveStop] as const]
      : [],
  );
}

/** What the backups of one history id need, by the WAL that the repository means to keep. */
export interface WalNeeds {
  /** Ranges of backups that keep all WAL after them. */
  readonly gapless: readonly WalRange[];
  /** Ranges of backups that retention keeps no more WAL for. */
  readonly alone: readonly WalRange[];
  /** Where gapless WAL begins; null if nothing is trimmed. */
  readonly from: string | null;
}

/** @param listed all backups of the repository: the rule counts them */
export function walNeeds(
  entries: readonly BackupInfoEntry[],
  historyId: number,
  { retention }: Repository,
  listed: readonly BackupInfoEntry[],
  nowMs: number,
): WalNeeds {
  const plan = planKept(listed, historyId, retention, { nowS: Math.floor(nowMs / 1000), pauses: [] });
  const trimmed = trimmedLabels(listed, historyId, retention, nowMs);
  return {
    gapless: neededRanges(
      entries.filter(({ label }) => !trimmed.has(label)),
      historyId,
    ),
    alone: neededRanges(
      entries.filter(({ label }) => trimmed.has(label)),
      historyId,
    ),
    from: plan?.gaplessFrom ?? null,
  };
}
