/**
 * Expires streamed WAL: chunks of archived segments, chunks before the first segment that a kept backup needs, chunks
 * of removed archives, and interrupted writes. A living agent removes the first kind.
 */
import { archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal } from "../../repository/walStore";
import { listStream } from "./survey";

const TIMELINE_LENGTH = 8;

/** Removed paths (with `dryRun`, paths to remove), ascending. `kept` are the remaining backups. */
export async function expireStream(
  repo: Repository,
  kept: readonly BackupInfoEntry[],
  dryRun: boolean,
): Promise<string[]> {
  const stream = await listStream(repo);
  if (stream.size === 0) return [];
  const { history } = await loadArchiveInfo(repo);
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
      if (!isArchived.has(segment)) isArchived.set(segment, (await findWal(repo, archiveId, segment)).length > 0);
      if (entry === undefined || isArchived.get(segment) === true || segment.slice(TIMELINE_LENGTH) < first)
        expired.push(path);
    }
  }
  if (!dryRun) for (const path of expired) await repo.storage.remove(path);
  return expired.sort();
}
