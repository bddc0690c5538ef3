/** The size of an archive's WAL segments, from a stored one. Without a backup nothing else in a repository shows it. */
import { concatBytes } from "../../base/bytes";
import { type ArchiveHistoryEntry, archiveIdOf } from "../../format/repository/archiveInfo";
import { parseWalHeader, WAL_HEADER_SIZE_BYTES } from "../../format/wal/walHeader";
import type { Repository } from "../../repository/repository";
import { openWal, type StoredWal } from "../../repository/walStore";

/** Damaged or foreign segments that are passed over. */
const TRIES_MAX = 4;

/** Null when the first segments show no size of this cluster. */
export async function archivedSegmentSize(
  repo: Repository,
  entry: ArchiveHistoryEntry,
  segments: readonly StoredWal[],
  pass: string | null,
): Promise<number | null> {
  for (const stored of segments.slice(0, TRIES_MAX)) {
    // Reading every segment reports its error later.
    const header = await readHead(repo, archiveIdOf(entry), stored, pass)
      .then(parseWalHeader)
      .catch(() => null);
    if (header !== null && header.systemId === entry.systemId) return header.segmentSizeBytes;
  }
  return null;
}

async function readHead(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  for await (const chunk of await openWal(repo, archiveId, stored, pass)) {
    head = concatBytes([head, chunk.subarray(0, WAL_HEADER_SIZE_BYTES - head.length)]);
    if (head.length >= WAL_HEADER_SIZE_BYTES) break;
  }
  return head;
}
