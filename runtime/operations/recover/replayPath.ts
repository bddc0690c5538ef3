/**
 * Which WAL a recovery will replay: from a backup's first segment along the timelines to the followed one, up to the
 * first missing segment. PostgreSQL takes a segment that it cannot find for the end of the archive and opens the
 * database there. Pure.
 */
import type { SegmentPath } from "../../format/wal/segmentPath";
import { parseWalName } from "../../format/wal/walSegment";

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
export function replayPath(first: string, stored: ReadonlyMap<string, number>, followed: SegmentPath): ReplayPath {
  let [last, segmentCount, sizeRepoBytes]: [string | null, number, number] = [null, 0, 0];
  let name = followed.at(first);
  for (; segmentCount < SEGMENTS_MAX; segmentCount++) {
    const sizeBytes = stored.get(name);
    if (sizeBytes === undefined) break;
    last = name;
    sizeRepoBytes += sizeBytes;
    name = followed.next(name);
  }
  const { timeline } = followed;
  const hasMore = [...stored.keys()].some(
    (other) => parseWalName(other)?.timeline === timeline && other.slice(8) > name.slice(8),
  );
  return { first, timeline, last, segmentCount, sizeRepoBytes, missing: hasMore ? name : null };
}

/** The segments of a path, in order. */
export function* replayNames(
  { first, segmentCount }: Pick<ReplayPath, "first" | "segmentCount">,
  followed: SegmentPath,
): Iterable<string> {
  let name = followed.at(first);
  for (let index = 0; index < segmentCount; index++) {
    yield name;
    name = followed.next(name);
  }
}
