/** Which segments a server has finished and nobody has acknowledged. Pure. */
import { type TimelineAncestor } from "../../format/wal/timeline";
import { segmentOfLsn } from "../../format/wal/walSegment";

/** All WAL before it is acknowledged. */
export interface ArchivePosition {
  readonly timeline: number;
  readonly lsn: bigint;
}

/** A server's present history. */
export interface WalHistory {
  readonly timeline: number;
  /** Everything before it is on the server's disk. */
  readonly flushLsn: bigint;
  readonly ancestors: readonly TimelineAncestor[];
}

export interface SegmentPlan {
  /** Segments that a recovery needs: those that the server no longer has are lost. */
  readonly required: readonly string[];
  /** Earlier segments, newest first: archived as far as the server has them without a gap. */
  readonly optional: readonly string[];
}

/** Earlier segments of a timeline that nobody followed so far: 1 GiB of the usual size. */
const OPTIONAL_MAX = 64;

export interface SegmentStart {
  /** True for a slot that was created at the server's last checkpoint, and from which nothing is known as archived. */
  readonly isNew: boolean;
  readonly slotLsn: bigint;
  /**
   * {@link resumePoint} of what was acknowledged; null when nothing is known. A slot that somebody has created again is
   * beyond it.
   */
  readonly resumed: bigint | null;
}

export function planSegments(
  { isNew, slotLsn, resumed }: SegmentStart,
  history: WalHistory,
  segmentSizeBytes: number,
): SegmentPlan {
  const size = BigInt(segmentSizeBytes);
  const floor = (lsn: bigint): bigint => (lsn / size) * size;
  const names = (from: bigint, to: bigint): string[] => segmentsBetween(from, to, history, segmentSizeBytes);
  const end = floor(history.flushLsn);
  const from = floor(resumed !== null && resumed < slotLsn ? resumed : slotLsn);
  if (!isNew) return { required: names(from, end), optional: [] };
  // Without a known position: all of the timeline that the server still has, because its start belongs to no other one.
  const began = history.ancestors.at(-1)?.lsn;
  // One segment more than needed shows another content in the archive: of a server that was reset to a snapshot.
  const earliest = resumed === null ? floor(began ?? from) : from - size;
  const most = from - size * BigInt(OPTIONAL_MAX);
  const first = [earliest, most, 0n].reduce((one, other) => (one > other ? one : other));
  return { required: names(from, end), optional: first < from ? names(first, from).reverse() : [] };
}

/** Null when the position is not on the server's history: it was reset, or recovered along another timeline. */
export function resumePoint(
  known: ArchivePosition | null,
  { timeline, flushLsn, ancestors }: WalHistory,
): bigint | null {
  if (known === null) return null;
  const ancestor = ancestors.find((each) => each.timeline === known.timeline);
  if (ancestor !== undefined) return known.lsn < ancestor.lsn ? known.lsn : ancestor.lsn;
  return known.timeline === timeline && known.lsn <= flushLsn ? known.lsn : null;
}

/**
 * Names of the whole segments from `from` until before `to`, both at segments' starts. A segment in which a timeline
 * ends belongs to the next one, which begins with a copy of it.
 */
export function segmentsBetween(
  from: bigint,
  to: bigint,
  { timeline, ancestors }: Pick<WalHistory, "timeline" | "ancestors">,
  segmentSizeBytes: number,
): string[] {
  const names: string[] = [];
  for (let start = from; start < to; start += BigInt(segmentSizeBytes)) {
    const last = start + BigInt(segmentSizeBytes) - 1n;
    const owner = ancestors.find(({ lsn }) => last < lsn)?.timeline ?? timeline;
    names.push(segmentOfLsn(owner, start, segmentSizeBytes));
  }
  return names;
}
