/**
 * Looks up whether a repository still has what a worker counts as stored: a lifecycle rule, a thief or a restored
 * snapshot takes it away without a sign.
 */
import { basename } from "node:path";
import { streamPath } from "../../format/repository/repoPath";
import { CHUNK_HEAD_SIZE_BYTES, chunkFileName, type StreamChunk } from "../../format/wal/streamChunk";
import type { Repository } from "../../repository/repository";
import { findWal } from "../../repository/walStore";

export interface Held {
  readonly chunks: readonly StreamChunk[];
  /** The newest archived segment; null if absent. */
  readonly archived: string | null;
}

export interface Lost {
  /** The first chunk that is missing, in the order of its bytes; null if none is. */
  readonly chunk: StreamChunk | null;
  /** True if the archived segment is missing. */
  readonly isArchivedLost: boolean;
}

/** Chunks that a listing lacks and that are looked up by name before they count as lost. */
const LOOKED_UP_MAX = 16;

/** Two listings; `isHeld` is false for a chunk that the worker has replaced or removed in the meantime. */
export async function findLost(
  repo: Repository,
  archiveId: string,
  { archived, chunks }: Held,
  isHeld: (chunk: StreamChunk) => boolean,
): Promise<Lost> {
  const directory = streamPath(repo.stanza, archiveId);
  const isWhole = (info: { readonly sizeBytes: number } | null): boolean =>
    info !== null && info.sizeBytes > CHUNK_HEAD_SIZE_BYTES;
  const listing = async (): Promise<Set<string>> => {
    const names = new Set<string>();
    if (chunks.length === 0) return names;
    for await (const info of repo.storage.list(directory)) if (isWhole(info)) names.add(basename(info.path));
    return names;
  };
  const [listed, stored] = await Promise.all([
    listing(),
    archived === null ? null : findWal(repo, archiveId, archived),
  ]);
  const missing = chunks
    .filter((chunk) => !listed.has(chunkFileName(chunk)) && isHeld(chunk))
    .sort((left, right) =>
      left.segment === right.segment ? left.begin - right.begin : left.segment < right.segment ? -1 : 1,
    );
  const isArchivedLost = stored?.length === 0;
  for (const [index, chunk] of missing.entries()) {
    const path = `${directory}/${chunkFileName(chunk)}`;
    if (index < LOOKED_UP_MAX && isWhole(await repo.storage.stat(path))) continue;
    // Archived by another process, which may then remove it.
    if ((await findWal(repo, archiveId, chunk.segment)).length > 0) continue;
    if (isHeld(chunk)) return { chunk, isArchivedLost };
  }
  return { chunk: null, isArchivedLost };
}
