/**
 * The history of the server in a data directory, running or stopped: its timeline, and how far it has written.
 * pg_control alone may be a checkpoint behind, also after a promotion, so its WAL decides.
 */
import { open, readFile } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import type { PgControl } from "../../format/page/pgControl";
import { parseHistory } from "../../format/wal/timeline";
import { historyName, lsnOfSegment, timelineDigits } from "../../format/wal/walSegment";
import { nullIfMissing } from "../../local/systemError";
import { loadControlFile } from "../../postgres/controlFile";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { openLocalWal } from "../shared/localWal";

export interface ServerDirectories {
  readonly dataDirectory: string;
  /** The server's `pg_wal`. */
  readonly walDirectory: string;
}

/** No branch has more than a server whose WAL cannot be read. */
const UNKNOWN_END = 2n ** 64n - 1n;
const WAL_PAGE_BYTES = 8192;
/** Up to the page's position (PostgreSQL "src/include/access/xlog_internal.h"). */
const PAGE_HEAD_BYTES = 16;

/** Null for a directory without a readable pg_control: nothing says whose history it was. */
export async function loadServerHistory(
  { dataDirectory, walDirectory }: ServerDirectories,
  isRunning: () => Promise<boolean>,
  ctx: Context,
): Promise<ServerHistory | null> {
  const control = (await loadControlFile(dataDirectory, ctx).catch(() => null))?.control;
  if (control === undefined) return null;
  const { systemId } = control;
  const end = await walEnd(walDirectory, control).catch(() => ({ timeline: control.timeline, lsn: UNKNOWN_END }));
  const ancestors = await readFile(`${walDirectory}/${historyName(end.timeline)}`, "utf8")
    .then(parseHistory)
    .catch(() => null);
  return { ...end, systemId, ancestors, isRunning: await isRunning() };
}

/** The position after the first byte of the last page of WAL. A checkpoint without its WAL is a restored backup's. */
async function walEnd(walDirectory: string, control: PgControl): Promise<Pick<ServerHistory, "lsn" | "timeline">> {
  const { checkpointLsn, pgVersion, redoLsn, systemId, walSegmentSizeBytes } = control;
  const checkpoint = { timeline: control.timeline, lsn: (checkpointLsn > redoLsn ? checkpointLsn : redoLsn) + 1n };
  const newest = await openLocalWal(walDirectory, { version: pgVersion, systemId }, true).newest();
  if (newest === null || newest.timeline < checkpoint.timeline) return checkpoint;
  const name = `${timelineDigits(newest.timeline)}${newest.segment}`;
  const begin = lsnOfSegment(name, walSegmentSizeBytes);
  const lsn = begin + BigInt(await lastPageAt(`${walDirectory}/${name}`, begin, walSegmentSizeBytes)) + 1n;
  return { timeline: newest.timeline, lsn: lsn > checkpoint.lsn ? lsn : checkpoint.lsn };
}

/** Pages are written in order, and what a recycled segment holds after them has other positions. */
async function lastPageAt(path: string, begin: bigint, segmentSizeBytes: number): Promise<number> {
  const handle = await nullIfMissing(open(path, "r"));
  if (handle === null) return 0;
  try {
    const head = Buffer.alloc(PAGE_HEAD_BYTES);
    let [low, high] = [0, segmentSizeBytes / WAL_PAGE_BYTES];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const offset = middle * WAL_PAGE_BYTES;
      const { bytesRead } = await handle.read(head, 0, PAGE_HEAD_BYTES, offset);
      const isWritten = bytesRead === PAGE_HEAD_BYTES && head.readBigUInt64LE(8) === begin + BigInt(offset);
      if (isWritten) low = middle;
      else high = middle;
    }
    return low * WAL_PAGE_BYTES;
  } finally {
    await handle.close();
  }
}
