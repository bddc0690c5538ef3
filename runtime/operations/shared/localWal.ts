/** `pg_wal` of the running cluster: what the server has written decides what a repository may hold. */
import { open, readdir } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import { nullOn } from "../../base/errors";
import { WAL_HEADER_SIZE_BYTES } from "../../format/wal/walHeader";
import { parseWalName, timelineDigits } from "../../format/wal/walSegment";
import { isFinished, listDone, listReady } from "../../postgres/archiveStatus";
import { type NewestWal, positionOf, requireOwn, type WalPosition } from "./carriedWal";
import type { ClusterIdentity } from "./identity";
import { isSegment } from "../../repository/walStore";
import { type PreparedWal, type PrepareOptions, WalPreparer } from "../archivePush/prepareWal";

export interface LocalWal {
  /** `archive-header-check`: false for a server whose segments have other headers than PostgreSQL's. */
  readonly headerCheck: boolean;
  /**
   * A WAL file, or null when PostgreSQL has removed it, or has recycled it under this name and not written it yet.
   * @throws fileRead when it changed during the read
   */
  prepare(name: string): Promise<PreparedWal | null>;
  /** SHA-1 of a segment that PostgreSQL has written whole and not removed; null for any other one. */
  finishedSha1(name: string): Promise<string | null>;
  /** Names that wait for the archive. */
  listReady(): Promise<readonly string[]>;
  /** Names that PostgreSQL takes for archived and has not removed yet. */
  listDone(): Promise<readonly string[]>;
  /** How far the server has written or received WAL; null when `pg_wal` does not show it. */
  newest(): Promise<NewestWal | null>;
}

/** @param readyDirectory its `archive_status` lists the files that wait for the archive */
export function openLocalWal(
  walDirectory: string,
  cluster: ClusterIdentity,
  headerCheck: boolean,
  segmentSizeBytes?: number,
  readyDirectory = walDirectory,
): LocalWal {
  // A standby marks what it received as done in pg_wal, with any kind of archiving.
  const directories = [...new Set([readyDirectory, walDirectory])];
  const isWhole = (name: string): boolean => directories.some((directory) => isFinished(directory, name));
  const isWritten = async (name: string): Promise<boolean> =>
    !headerCheck || hasOwnHeader(`${walDirectory}/${name}`, name, cluster);
  const prepare = async (name: string, options: Pick<PrepareOptions, "holds"> = {}): Promise<PreparedWal | null> => {
    // Each call gets its own preparer: PostgreSQL may have rewritten the file since the last read.
    const facts = { walDirectory, headerCheck, segmentSizeBytes };
    const preparer = new WalPreparer({ ...facts, kindCount: 1, ...options }, cluster);
    const wal = await nullOn(preparer.prepare(name), "fileMissing");
    return wal === null || (isSegment(name) && !(await isWritten(name))) ? null : wal;
  };
  return {
    headerCheck,
    prepare: (name) => prepare(name),
    async finishedSha1(name) {
      if (!isWhole(name)) return null;
      // A segment that PostgreSQL recycles during the read is no longer this one.
      const wal = await prepare(name, { holds: false }).catch(() => null);
      return wal !== null && isWhole(name) ? wal.sha1 : null;
    },
    listReady: () => listReady(readyDirectory, Number.POSITIVE_INFINITY),
    listDone: async () => (await Promise.all(directories.map(listDone))).flat(),
    newest: () => findNewest(walDirectory, isWritten, isWhole),
  };
}

/** The same server without its files: an earlier cluster has left none. */
export function withoutFiles(local: LocalWal): LocalWal {
  const none = async (): Promise<readonly string[]> => [];
  return {
    ...local,
    prepare: async () => null,
    finishedSha1: async () => null,
    listReady: none,
    listDone: none,
    newest: async () => null,
  };
}

/** Recycled segments have future names until PostgreSQL writes them: their headers still show the previous position. */
async function findNewest(
  walDirectory: string,
  isWritten: (name: string) => Promise<boolean>,
  isWhole: (name: string) => boolean,
): Promise<NewestWal | null> {
  let newest = null as WalPosition | null;
  for (const name of (await nullIfMissing(readdir(walDirectory))) ?? []) {
    if (parseWalName(name)?.kind !== "segment" || !(await isWritten(name))) continue;
    const own = positionOf(name);
    newest = {
      timeline: Math.max(own.timeline, newest?.timeline ?? 0),
      segment: newest === null || own.segment > newest.segment ? own.segment : newest.segment,
    };
  }
  if (newest === null) return null;
  const name = `${timelineDigits(newest.timeline)}${newest.segment}`;
  return { ...newest, isFinished: isWhole(name) };
}

/** False for a file that PostgreSQL has removed in the meantime, or not written yet. */
export async function hasOwnHeader(path: string, name: string, cluster: ClusterIdentity): Promise<boolean> {
  const handle = await nullIfMissing(open(path, "r"));
  if (handle === null) return false;
  const head = Buffer.alloc(WAL_HEADER_SIZE_BYTES);
  let sizeBytes: number;
  try {
    ({ bytesRead: sizeBytes } = await handle.read(head, 0, head.length, 0));
  } finally {
    await handle.close();
  }
  try {
    requireOwn(name, head.subarray(0, sizeBytes), cluster);
    return true;
  } catch {
    return false;
  }
}
