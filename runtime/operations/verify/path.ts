/**
 * The path from each backup to the newest timeline, which recovery follows. On an earlier timeline the segments up to
 * the switch point are needed, but nothing on that timeline shows it: after a failover its newest stored segment may be
 * anywhere.
 */
import { type TimelineAncestor } from "../../format/wal/timeline";
import { parseWalName, segmentOfLsn } from "../../format/wal/walSegment";

/** First and last segment that make a backup consistent. */
export type WalRange = readonly [string, string];

/** A timeline, and how it came about. */
export interface TimelinePath {
  readonly timeline: number;
  /** The ancestors in its history file, oldest first. */
  readonly ancestors: readonly TimelineAncestor[];
}

/**
 * First and last segment on each timeline that the backups of `needed` must pass; empty for backups that are not on the
 * path. Pure.
 * @param stored runs of complete segments, ascending
 */
export function pathRanges(
  needed: readonly WalRange[],
  stored: readonly WalRange[],
  { timeline, ancestors }: TimelinePath,
  walSegmentSizeBytes: number,
): WalRange[] {
  const size = BigInt(walSegmentSizeBytes);
  // The segment with the switch point is the next timeline's first; that segment begins with the earlier timeline's
  // content.
  const lastOf = ({ timeline: own, lsn }: TimelineAncestor): string | null =>
    lsn < size ? null : segmentOfLsn(own, lsn - size, walSegmentSizeBytes);
  const [newest] = stored.find(([begin]) => parseWalName(begin)?.timeline === timeline) ?? [];
  return needed.flatMap(([start, stop]) => {
    const first = ancestors.findIndex((ancestor) => ancestor.timeline === parseWalName(start)?.timeline);
    const left = ancestors[first];
    if (left === undefined || stop > segmentOfLsn(left.timeline, left.lsn, walSegmentSizeBytes)) return [];
    const ranges = ancestors.slice(first).map((ancestor, index): readonly [string, string | null] => {
      const before = ancestors[first + index - 1];
      return [
        index === 0 || before === undefined ? start : segmentOfLsn(ancestor.timeline, before.lsn, walSegmentSizeBytes),
        lastOf(ancestor),
      ];
    });
    const end = ancestors.at(-1);
    // A promotion may be so recent that the new timeline has no segment yet.
    if (end !== undefined && newest !== undefined)
      ranges.push([segmentOfLsn(timeline, end.lsn, walSegmentSizeBytes), newest]);
    return ranges.flatMap(([from, to]): WalRange[] => (to === null || to < from ? [] : [[from, to]]));
  });
}
