/**
 * The segments that a recovery to a timeline reads: of each ancestor those before the switch to the next timeline. The
 * segment of the switch is the next timeline's first, and begins with the content of the one before. Pure. (PostgreSQL
 * "access/xlogrecovery.c", XLogFileReadAnyTLI.)
 */
import type { TimelineAncestor } from "./timeline";
import {
  nextSegment,
  parseLsn,
  previousSegment,
  SEGMENT_LENGTH,
  segmentOfLsn,
  TIMELINE_LENGTH,
  timelineDigits,
  timelineOf,
} from "./walSegment";

/** A timeline, and how it came about. */
export interface TimelinePath {
  readonly timeline: number;
  /** The ancestors in its history file, oldest first. */
  readonly ancestors: readonly TimelineAncestor[];
}

/** First and last segment. */
export type WalRange = readonly [first: string, last: string];

/** A timeline's part of a path. */
interface Part {
  readonly digits: string;
  /** The position of the segment of the switch to the next timeline; null for the last part. */
  readonly before: string | null;
  readonly first: string;
  /** Null for the last part. */
  readonly last: string | null;
}

export class SegmentPath {
  readonly timeline: number;
  readonly segmentSizeBytes: number;
  readonly #ancestors: readonly TimelineAncestor[];
  readonly #parts: readonly Part[];

  constructor({ ancestors, timeline }: TimelinePath, segmentSizeBytes: number) {
    this.timeline = timeline;
    this.segmentSizeBytes = segmentSizeBytes;
    this.#ancestors = ancestors;
    const switches = ancestors.map(({ lsn }) => positionOf(segmentOfLsn(0, lsn, segmentSizeBytes)));
    this.#parts = [...ancestors.map((ancestor) => ancestor.timeline), timeline].map((own, index): Part => {
      const [digits, before] = [timelineDigits(own), switches[index] ?? null];
      const first = `${digits}${switches[index - 1] ?? BEGINNING}`;
      // Nothing is before the first segment.
      const last = before === null ? null : (previousSegment(`${digits}${before}`, segmentSizeBytes) ?? "");
      return { digits, before, first, last };
    });
  }

  /** The ancestors, oldest first, and the timeline itself. */
  get timelines(): readonly number[] {
    return [...this.#ancestors.map(({ timeline }) => timeline), this.timeline];
  }

  /** The segment of the path at the position of this one; itself if its timeline is not on the path. */
  at(name: string): string {
    if (!this.#parts.some(({ digits }) => name.startsWith(digits))) return name;
    const position = positionOf(name);
    const part = this.#parts.find(({ before }) => before === null || position < before);
    return `${part?.digits ?? ""}${position}`;
  }

  has(name: string): boolean {
    return this.#ranges(name, name).length > 0;
  }

  /** The segment that a recovery reads after this one of the path. */
  next(name: string): string {
    return this.at(nextSegment(name, this.segmentSizeBytes));
  }

  /**
   * True if a recovery along the path can begin with a backup: it must pass the backup's end before it leaves that
   * timeline. Where nobody knows its position, one that ends in the segment of the switch counts as one before it.
   */
  passes({ archiveStart, archiveStop, lsnStop }: BackupWal): boolean {
    const own = timelineOf(archiveStart);
    if (lsnStop !== undefined) return this.passesPoint(own, parseLsn(lsnStop));
    const left = this.#ancestors.find(({ timeline }) => timeline === own);
    const isBefore = left !== undefined && archiveStop <= segmentOfLsn(own, left.lsn, this.segmentSizeBytes);
    return own === this.timeline || isBefore;
  }

  passesPoint(timeline: number, lsn: bigint): boolean {
    const left = this.#ancestors.find((ancestor) => ancestor.timeline === timeline);
    return timeline === this.timeline || (left !== undefined && lsn <= left.lsn);
  }

  /** What is stored of the path, in runs without a missing segment. @param stored ascending, each of one timeline */
  runs(stored: readonly WalRange[]): WalRange[] {
    const runs: WalRange[] = [];
    for (const [first, last] of stored.flatMap((range) => this.#ranges(...range))) {
      const run = runs.at(-1);
      if (run !== undefined && this.next(run[1]) === first) runs[runs.length - 1] = [run[0], last];
      else runs.push([first, last]);
    }
    return runs;
  }

  /**
   * The segments of the path, from one to another, that are in none of these runs; each range is of one timeline.
   * @param runs as {@link runs}
   */
  missing(runs: readonly WalRange[], first: string, last: string): WalRange[] {
    const ranges: WalRange[] = [];
    let expected = first;
    for (const [begin, end] of runs) {
      if (end < expected) continue;
      if (begin > last) break;
      if (expected < begin) ranges.push(...this.#ranges(expected, this.#before(begin)));
      expected = this.next(end);
    }
    if (expected <= last) ranges.push(...this.#ranges(expected, last));
    return ranges;
  }

  #before(name: string): string {
    return this.at(previousSegment(name, this.segmentSizeBytes) ?? name);
  }

  /** The segments of the path from one name to another, by timelines: on a path, names ascend. */
  #ranges(first: string, last: string): WalRange[] {
    return this.#parts.flatMap((part): WalRange[] => {
      const begin = first > part.first ? first : part.first;
      const end = part.last === null || last < part.last ? last : part.last;
      return begin <= end && begin.startsWith(part.digits) ? [[begin, end]] : [];
    });
  }
}

const BEGINNING = "0".repeat(SEGMENT_LENGTH - TIMELINE_LENGTH);

/** What a backup says of the WAL that makes it consistent. */
export interface BackupWal {
  readonly archiveStart: string;
  readonly archiveStop: string;
  readonly lsnStop?: string | undefined;
}

/** A segment's name without its timeline. */
function positionOf(name: string): string {
  return name.slice(TIMELINE_LENGTH);
}

/** First and last name of each run of segments without one missing. `names` ascend. */
export function runsOf(names: Iterable<string>, segmentSizeBytes: number): WalRange[] {
  const runs: WalRange[] = [];
  let run: [string, string] | null = null;
  let next = "";
  for (const name of names) {
    if (name === run?.[1]) continue;
    if (run !== null && name === next) run[1] = name;
    else runs.push((run = [name, name]));
    next = nextSegment(name, segmentSizeBytes);
  }
  return runs;
}
