/**
 * Which WAL a recovery will replay: from a backup's first segment along the timelines to the followed one, up to the
 * first missing segment. PostgreSQL takes a segment that it cannot find for the end of the archive and opens the
 * database there. Pure.
 */
import { nextSegment, parseWalName, segmentOfLsn, timelineDigits, timelineOf } from "../../format/wal/walSegment";
import type { TimelinePath } from "../verify/path";

export interface ReplayPath {
  /** The first segment that the backup needs. */
  readonly first: string;
  /** The followed timeline. */
  readonly timeline: number;
  /** The last segment before any gap; null when even the first is missing. */
  readonly last: string | null;
  readonly segmentCount: number;
  readonly sizeRepoBytes: number;
  /** The first missing segment that has later ones behind it; null without a gap. */
  readonly missing: string | null;
}

/** A bound: no one replays more than 16 TiB of WAL. */
const SEGMENTS_MAX = 1_048_576;

/** @param stored sizes in the repository by segment name */
export function replayPath(
  first: string,
  stored: ReadonlyMap<string, number>,
  followed: TimelinePath | null,
  walSegmentSizeBytes: number,
): ReplayPath {
  let [last, segmentCount, sizeRepoBytes]: [string | null, number, number] = [null, 0, 0];
  let name = first;
  for (; segmentCount < SEGMENTS_MAX; segmentCount++) {
    name = onPath(name, followed, walSegmentSizeBytes);
    const sizeBytes = stored.get(name);
    if (sizeBytes === undefined) break;
    last = name;
    sizeRepoBytes += sizeBytes;
    name = nextSegment(name, walSegmentSizeBytes);
  }
  const goal = followed?.timeline ?? timelineOf(first);
  const hasMore = [...stored.keys()].some(
    (other) => parseWalName(other)?.timeline === goal && other.slice(8) > name.slice(8),
  );
  return { first, timeline: goal, last, segmentCount, sizeRepoBytes, missing: hasMore ? name : null };
}

/** The segments of a path, in order. */
export function* replayNames(
  { first, segmentCount }: Pick<ReplayPath, "first" | "segmentCount">,
  followed: TimelinePath | null,
  walSegmentSizeBytes: number,
): Iterable<string> {
  let name = first;
  for (let index = 0; index < segmentCount; index++) {
    name = onPath(name, followed, walSegmentSizeBytes);
    yield name;
    name = nextSegment(name, walSegmentSizeBytes);
  }
}

/**
 * The segment of the same position on the timeline that recovery follows there. The segment with the switch point is
 * the new timeline's first.
 */
function onPath(name: string, followed: TimelinePath | null, walSegmentSizeBytes: number): string {
  if (followed === null) return name;
  const own = timelineOf(name);
  const first = followed.ancestors.findIndex(({ timeline }) => timeline === own);
  if (first === -1) return name;
  let timeline = own;
  for (const [index, ancestor] of followed.ancestors.entries()) {
    if (index < first) continue;
    const next = followed.ancestors[index + 1]?.timeline ?? followed.timeline;
    if (name.slice(8) >= segmentOfLsn(0, ancestor.lsn, walSegmentSizeBytes).slice(8)) timeline = next;
  }
  return `${timelineDigits(timeline)}${name.slice(8)}`;
}
