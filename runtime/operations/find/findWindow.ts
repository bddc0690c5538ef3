/** Which segments hold what was committed between two times: a few of them are read, as in a search in a sorted list. */
import type { Context } from "../../base/context";
import { type Checkpoint, checkpointOf, isCheckpoint } from "../../format/wal/walCheckpoint";
import { WalReader } from "../../format/wal/walReader";
import { parseRecord, RESOURCE_MANAGER } from "../../format/wal/walRecord";
import { parseTransactionEnd } from "../../format/wal/walTransaction";
import type { Segment, WalArchive } from "./archive";

export interface Window {
  /** From the one where reading has to begin so that names are known, to the end of the archive. */
  readonly segments: readonly Segment[];
  /** Where the redo point lies that reading begins at; the first segment's begin where none was found. */
  readonly lsn: bigint;
  /** Transactions from this number on began behind that point; null where none was found. */
  readonly wholeFromXid: number | null;
}

/** A checkpoint comes every few minutes or gigabytes. */
const BACK_SEGMENTS_MAX = 256;
/** Segments with nothing committed that are passed over to find a time. */
const QUIET_SEGMENTS_MAX = 64;

/** Null when no segment is there. */
export async function findWindow(archive: WalArchive, fromUs: bigint, ctx: Context): Promise<Window | null> {
  const { directories } = archive;
  if (directories.length === 0) return null;
  const first = await lastBefore(directories.length, fromUs, async (index) => {
    ctx.signal.throwIfAborted();
    const [segment] = await archive.list(directories[index] as string);
    return segment === undefined ? null : await timeIn(archive, segment);
  });
  // A directory before it, because a checkpoint may be there.
  const segments = await archive.listAll(directories.slice(Math.max(0, first - 1)));
  if (segments.length === 0) return null;
  const start = await lastBefore(segments.length, fromUs, async (index) => {
    ctx.signal.throwIfAborted();
    return timeIn(archive, segments[index] as Segment);
  });
  return backToCheckpoint(archive, segments, start, ctx);
}

/** Index of the last of `count` whose time is not after `untilUs`; 0 when there is none. What has no time goes with what follows it. */
async function lastBefore(count: number, untilUs: bigint, timeOf: (index: number) => Promise<bigint | null>): Promise<number> {
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

/** Of the first thing in a segment that carries a time; null when nothing does, or when it cannot be read. */
async function timeIn(archive: WalArchive, segment: Segment): Promise<bigint | null> {
  const { bytes } = await archive.read(segment);
  if (bytes === null) return null;
  const major = Number(archive.version);
  for (const record of new WalReader().read(bytes)) {
    if (record.resourceManager === RESOURCE_MANAGER.transaction) {
      const end = parseTransactionEnd(parseRecord(record, major).main, record.info, record.xid, major);
      if (end !== null) return end.atUs;
    } else if (isCheckpoint(record)) return checkpointOf(parseRecord(record, major).main).atUs;
  }
  return null;
}

/** From `start` back to the last checkpoint before it, and to where its redo begins. */
async function backToCheckpoint(archive: WalArchive, segments: readonly Segment[], start: number, ctx: Context): Promise<Window> {
  const major = Number(archive.version);
  for (let index = start - 1; index >= 0 && start - index <= BACK_SEGMENTS_MAX; index--) {
    ctx.signal.throwIfAborted();
    const { bytes } = await archive.read(segments[index] as Segment);
    if (bytes === null) break;
    let last: Checkpoint | null = null;
    for (const record of new WalReader().read(bytes)) if (isCheckpoint(record)) last = checkpointOf(parseRecord(record, major).main);
    if (last === null) continue;
    const { nextXid, redo } = last;
    const first = segments.findLastIndex((segment) => segment.lsn <= redo);
    const isThere = first >= 0 && redo < (segments[first]?.lsn ?? 0n) + BigInt(archive.segmentSizeBytes);
    return { segments: segments.slice(Math.max(0, first)), lsn: redo, wholeFromXid: isThere ? nextXid : null };
  }
  // Without one, from as early as was looked: more names are known than without.
  const from = Math.max(0, start - BACK_SEGMENTS_MAX);
  return { segments: segments.slice(from), lsn: segments[from]?.lsn ?? 0n, wholeFromXid: null };
}
