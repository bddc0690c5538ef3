/**
 * Expires streamed WAL: chunks of segments that are archived by their bytes, chunks before the first segment that a
 * kept backup needs, chunks of removed archives, and interrupted writes. A living agent removes the first kind.
 */
import { TIMELINE_LENGTH } from "../../format/wal/walSegment";
import { type BackupError, isError } from "../../base/errors";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { KnownWal } from "../shared/knownWal";
import { listStream } from "./survey";

export interface StreamExpired {
  /** With `dryRun`, paths to remove. Ascending. */
  readonly removed: readonly string[];
  /** Why the others could not be removed: a backup host may keep them for some time. */
  readonly refused: readonly BackupError[];
}

/** `kept` are the remaining backups. @throws the storage's errors, except that it may not remove */
export async function expireStream(
  repo: Repository,
  kept: readonly BackupInfoEntry[],
  dryRun: boolean,
): Promise<StreamExpired> {
  const stream = await listStream(repo);
  if (stream.size === 0) return { removed: [], refused: [] };
  const { cipherPass: pass = null, history } = await loadArchiveInfo(repo);
  const known = new KnownWal(repo);
  const expired: string[] = [];
  for (const [archiveId, files] of stream) {
    const entry = history.find((each) => archiveIdOf(each) === archiveId);
    const starts = kept.flatMap(({ archiveStart, dbId }) =>
      dbId === entry?.id && archiveStart !== null ? [archiveStart.slice(TIMELINE_LENGTH)] : [],
    );
    const first = starts.sort()[0] ?? "";
    const isArchived = new Map<string, boolean>();
    for (const { path, chunk } of files) {
      const { segment } = chunk;
      if (!isArchived.has(segment)) isArchived.set(segment, await known.holds(segment, { archiveId, pass }));
      if (entry === undefined || isArchived.get(segment) === true || segment.slice(TIMELINE_LENGTH) < first)
        expired.push(path);
    }
  }
  const removed: string[] = [];
  const refused: BackupError[] = [];
  for (const path of expired.sort()) {
    try {
      if (!dryRun) await repo.storage.remove(path);
      removed.push(path);
    } catch (error) {
      if (!isError(error, "access")) throw error;
      refused.push(error);
    }
  }
  return { removed, refused };
}
