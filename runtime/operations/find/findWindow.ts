/** Finds the segments with the commits between two times. It reads only a few segments, as in a binary search. */
import type { Context } from "../../base/context";
import { recordTimeUs } from "../../format/wal/recordTime";
import { type Checkpoint, checkpointOf, isCheckpoint } from "../../format/wal/walCheckpoint";
import { WalReader } from "../../format/wal/walReader";
import { parseRecord } from "../../format/wal/walRecord";
import type { Segment, WalArchive } from "./archive";

export interface Window {
  /** From the segment where reading must begin to know the names, to the end of the archive. */
  readonly segments: readonly Segment[];
  /** The redo point where reading begins; without one the first segment's start. */
  readonly lsn: bigint;
  /** Transactions from this number on began after that point; null if absent. */
  readonly wholeFromXid: number | null;
}

/** A checkpoint comes every few minutes or gigabytes. */
const BACK_SEGMENTS_MAX = 256;
/** Segments without commits to skip in search of a time. */
const QUIET_SEGMENTS_MAX = 64;

/** Null without any segment. */
export async function findWindow(archive: WalArchive, fromUs: bigint, ctx: Context): Promise<Window | null> {
  const { directories } = archive;
  if (directories.length === 0) return null;
  const first = await lastBefore(directories.length, fromUs, async (index) => {
    ctx.signal.throwIfAborted();
    const [segment] = await archive.list(directories[index] as string);
    return segment === undefined ? null : await timeIn(archive, segment);
  });
  // Includes the previous directory, which may hold the checkpoint.
  const segments = await archive.listAll(directories.slice(Math.max(0, first - 1)));
  if (segments.length === 0) return null;
  const start = await lastBefore(segments.length, fromUs, async (index) => {
    ctx.signal.throwIfAborted();
    return timeIn(archive, segments[index] as Segment);
  });
  return backToCheckpoint(archive, segments, start, ctx);
}

/** The first time in the archive; null if its first segments have none. */
export async function findFirstTime(archive: WalArchive, ctx: Context): Promise<bigint | null> {
  let left = QUIET_SEGMENTS_MAX;
  for (const directory of archive.directories) {
    for (const segment of await archive.list(directory)) {
      ctx.signal.throwIfAborted();
      const timeUs = await timeIn(archive, segment);
      if (timeUs !== null || --left <= 0) return timeUs;
    }
  }
  return null;
}

/**
 * Index of the last of `count` items whose time is not after `untilUs`; 0 if absent. An item without a time
 * belongs to the next one.
 */
async function lastBefore(
  count: number,
  untilUs: bigint,
  timeOf: (index: number) => Promise<bigint | null>,
): Promise<number> {
  let best = 0;
  for (let low = 0, high = count - 1; low <= high; ) {
    const middle = (low + high) >> 1;
    let probe = middle;
    let timeUs = await timeOf(probe);
    while (timeUs === null && probe < high && probe - middle < QUIET_SEGMENTS_MAX) timeUs = await timeOf(++probe);
    if (timeUs !== null && timeUs <= untilUs) {
      best = probe;
      low = probe + 1;
    } else high = middle - 1;
  }
  return best;
}

/** The first time in a segment; null when it has none or is unreadable. */
async function timeIn(archive: WalArchive, segment: Segment): Promise<bigint | null> {
  const { bytes } = await archive.read(segment);
  if (bytes === null) return null;
  for (const record of new WalReader().read(bytes)) {
    const timeUs = recordTimeUs(record, Number(archive.version));
    if (timeUs !== null) return timeUs;
  }
  return null;
}

/** Goes from `start` back to the last checkpoint before it, and to the start of its redo. */
async function backToCheckpoint(
  archive: WalArchive,
  segments: readonly Segment[],
  start: number,
  ctx: Context,
): Promise<Window> {
  const major = Number(archive.version);
  for (let index = start - 1; index >= 0 && start - index <= BACK_SEGMENTS_MAX; index--) {
    ctx.signal.throwIfAborted();
    const { bytes } = await archive.read(segments[index] as Segment);
    if (bytes === null) break;
    let last: Checkpoint | null = null;
    for (const record of new WalReader().read(bytes))
      if (isCheckpoint(record)) last = checkpointOf(parseRecord(record, major).main, major);
    if (last === null) continue;
    const { nextXid, redo } = last;
    const first = segments.findLastIndex((segment) => segment.lsn <= redo);
    const isThere = first >= 0 && redo < (segments[first]?.lsn ?? 0n) + BigInt(archive.segmentSizeBytes);
    return { segments: segments.slice(Math.max(0, first)), lsn: redo, wholeFromXid: isThere ? nextXid : null };
  }
  // Without a checkpoint, starts as early as the search went: that reveals more names.
  const from = Math.max(0, start - BACK_SEGMENTS_MAX);
  return { segments: segments.slice(from), lsn: segments[from]?.lsn ?? 0n, wholeFromXid: null };
}
