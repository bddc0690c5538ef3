/**
 * The way from each backup to the newest timeline, which is the one that a recovery follows. Where a timeline was left, the segments up to that
 * point are needed although nothing on the timeline itself tells so: after a failover its newest stored one may be any.
 */
import { type TimelineAncestor } from "../../format/wal/timeline";
import { parseWalName, segmentOfLsn } from "../../format/wal/walSegment";

/** First and last segment that a backup needs to become consistent. */
export type WalRange = readonly [string, string];

export interface NewestTimeline {
  readonly timeline: number;
  /** What its history says, oldest first. */
  readonly ancestors: readonly TimelineAncestor[];
}

/**
 * First and last segment on each timeline that the backups of `needed` must pass; none for backups that do not lie on the way. Pure.
 * @param names of the whole segments that are stored
 */
export function pathRanges(
  needed: readonly WalRange[],
  names: readonly string[],
  { timeline, ancestors }: NewestTimeline,
  walSegmentSizeBytes: number,
): WalRange[] {
  const size = BigInt(walSegmentSizeBytes);
  // The segment of the point itself is the first one of the next timeline, which begins with what the timeline before had in it.
  const lastOf = ({ timeline: own, lsn }: TimelineAncestor): string | null =>
    lsn < size ? null : segmentOfLsn(own, lsn - size, walSegmentSizeBytes);
  const newest = names.filter((name) => parseWalName(name)?.timeline === timeline).sort()[0];
  return needed.flatMap(([start, stop]) => {
    const place = ancestors.findIndex((ancestor) => ancestor.timeline === parseWalName(start)?.timeline);
    const left = ancestors[place];
    if (left === undefined || stop > segmentOfLsn(left.timeline, left.lsn, walSegmentSizeBytes)) return [];
    const ranges = ancestors.slice(place).map((ancestor, index): readonly [string, string | null] => {
      const before = ancestors[place + index - 1];
      return [index === 0 || before === undefined ? start : segmentOfLsn(ancestor.timeline, before.lsn, walSegmentSizeBytes), lastOf(ancestor)];
    });
    const end = ancestors.at(-1);
    // A promotion may be so young that nothing of the new timeline is there yet.
    if (end !== undefined && newest !== undefined) ranges.push([segmentOfLsn(timeline, end.lsn, walSegmentSizeBytes), newest]);
    return ranges.flatMap(([from, to]): WalRange[] => (to === null || to < from ? [] : [[from, to]]));
  });
}
