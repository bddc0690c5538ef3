/**
 * WAL files without which a recovery cannot reach the streamed WAL after them: complete segments, and timeline
 * histories.
 */
import { bySession, coverOf, reachOf, type StreamChunk } from "../../format/wal/streamChunk";
import {
  DIRECTORY_LENGTH,
  formatLsn,
  lsnOfSegment,
  parseWalName,
  SEGMENT_NAME,
  segmentOfLsn,
  timelineOf,
} from "../../format/wal/walSegment";
import { listReady } from "../../postgres/archiveStatus";
import type { Repository } from "../../repository/repository";
import { listWal, type StoredWal } from "../../repository/walStore";
import type { ClusterIdentity } from "../shared/identity";
import type { KnownWal, OpenArchive } from "../shared/knownWal";
import { PACE } from "./pace";
import type { ArchivedSegment, StreamWorkerOptions } from "./streamWorkerOptions";

/** Each holds the segments of 4 GiB. */
const DIRECTORIES_MAX = 8;
const HISTORIES_MAX = 8;

/**
 * WAL that the server has finished and a repository may lack: files that wait for the archive, and its recorded missing
 * WAL. The record is read last: a file that another repository acknowledges in the meantime is recorded before it stops
 * waiting.
 */
export async function listMissingWal(
  readyDirectory: string,
  missingWal: () => readonly string[],
): Promise<readonly string[]> {
  const waiting = await listReady(readyDirectory, Number.POSITIVE_INFINITY);
  return [...waiting, ...missingWal()];
}

/** Where the first missing file begins; null if no file is, or when a missing history blocks the whole timeline. */
export function leastLsn(missing: ReadonlySet<string>, segmentSizeBytes: number): bigint | null {
  const names = [...missing];
  if (!names.every((name) => SEGMENT_NAME.test(name))) return null;
  const starts = names.map((name) => lsnOfSegment(name, segmentSizeBytes));
  return starts.reduce<bigint | null>((least, start) => (least === null || start < least ? start : least), null);
}

/** True for files before a stream that begins with the segment `first`, on any timeline. */
export function isNeeded(walName: string, first: string): boolean {
  if (parseWalName(walName)?.kind === "history") return true;
  return SEGMENT_NAME.test(walName) && walName < first;
}

/** The segment that was seen in the archive, if a recovery needs it before a stream that begins with `first`. */
export function archivedBefore(seen: ArchivedSegment | null, cluster: ClusterIdentity, first: string): string | null {
  if (seen === null || seen.cluster.systemId !== cluster.systemId || seen.cluster.version !== cluster.version)
    return null;
  // Another timeline may have left before it.
  return timelineOf(seen.name) === timelineOf(first) && seen.name < first ? seen.name : null;
}

/** Those of `names` of which one session has streamed all. */
export function completeOf(
  names: Iterable<string>,
  chunks: readonly StreamChunk[],
  segmentSizeBytes: number,
): readonly string[] {
  return [...names].filter((name) =>
    bySession(chunks.filter(({ segment }) => segment === name)).some((own) => reachOf(own) === segmentSizeBytes),
  );
}

/** A warning if an earlier session has streamed more of the timeline than the server has; else null. */
export function findFurther(
  chunks: readonly StreamChunk[],
  { flushLsn, segmentSizeBytes, timeline }: Pick<StreamWorkerOptions, "flushLsn" | "segmentSizeBytes" | "timeline">,
): string | null {
  const most = chunks
    .filter(({ segment }) => timelineOf(segment) === timeline)
    .map(({ end, segment }) => lsnOfSegment(segment, segmentSizeBytes) + BigInt(end))
    .reduce((furthest, end) => (end > furthest ? end : furthest), 0n);
  if (most <= flushLsn) return null;
  return (
    `has streamed WAL of timeline ${timeline} up to ${formatLsn(most)}, the server has it up to ${formatLsn(flushLsn)}: ` +
    "was it reset to an earlier state, or do two servers stream into one stanza?"
  );
}

/** The next chunk from `from` on: within one segment and the limit of a chunk. */
export function chunkAt(
  { segmentSizeBytes, session, timeline }: Pick<StreamWorkerOptions, "segmentSizeBytes" | "session" | "timeline">,
  from: bigint,
  goal: bigint,
): StreamChunk {
  const segment = segmentOfLsn(timeline, from, segmentSizeBytes);
  const begin = Number(from - lsnOfSegment(segment, segmentSizeBytes));
  const most = Math.min(segmentSizeBytes, begin + PACE.chunkSizeBytesMax);
  return { segment, session, begin, end: Math.min(most, begin + Number(goal - from)) };
}

/** The chunk that replaces many small ones of a segment's first `stored` bytes; null while they are few. */
export function mergedOf(own: readonly StreamChunk[], stored: number): StreamChunk | null {
  // A chunk that was merged to its limit stays; the next merged one follows it.
  const cover = coverOf(own).filter(({ end }) => end <= stored);
  const limit = PACE.mergedSizeBytesMax;
  const tail = cover.slice(cover.findLastIndex(({ begin, end }) => end - begin > limit / 2) + 1);
  const pieces = stored <= limit ? cover : tail;
  const [first] = pieces;
  if (first === undefined || pieces.length <= PACE.piecesMax) return null;
  // The merged chunk must end where a chunk ends, because the next chunk begins there.
  const last = pieces.findLast(({ end }) => end - first.begin <= limit) ?? first;
  return { ...first, end: last.end };
}

/** The archived ones of `names` by their bytes, as far as a bounded search shows, earliest first. */
export async function* archivedOf(
  repo: Repository,
  archive: OpenArchive,
  known: KnownWal,
  names: readonly string[],
): AsyncIterable<string> {
  const wanted = new Set(names);
  for (const name of names.filter((each) => !SEGMENT_NAME.test(each)).slice(0, HISTORIES_MAX))
    if (await known.holds(name, archive)) yield name;
  const directories = [
    ...new Set(names.filter((name) => SEGMENT_NAME.test(name)).map((name) => name.slice(0, DIRECTORY_LENGTH))),
  ].sort();
  for (const directory of directories.slice(0, DIRECTORIES_MAX)) {
    const files: StoredWal[] = [];
    for await (const stored of listWal(repo, archive.archiveId, directory))
      if (wanted.has(stored.name)) files.push(stored);
    for (const stored of files) {
      const isAlone = files.every(({ name }, index) => name !== stored.name || files[index] === stored);
      if (isAlone && (await known.isGood(stored, archive))) yield stored.name;
    }
  }
}
