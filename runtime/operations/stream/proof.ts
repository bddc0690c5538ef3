/**
 * Looks up whether a repository still has what a worker counts as stored: a lifecycle rule, a thief or a restored
 * snapshot takes it away without a sign. The same listings show what the archive has under the names of streamed
 * segments.
 */
import { basename } from "node:path";
import { streamPath } from "../../format/repository/repoPath";
import { CHUNK_HEAD_SIZE_BYTES, chunkFileName, parseChunkName, type StreamChunk } from "../../format/wal/streamChunk";
import { DIRECTORY_LENGTH, SEGMENT_NAME } from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { findBeside, findWal, type StoredWal } from "../../repository/walStore";

export interface Held {
  readonly chunks: readonly StreamChunk[];
  /** The newest archived segment; null if absent. */
  readonly archived: string | null;
  /** Segments whose names the archive may have. */
  readonly segments: readonly string[];
}

/** What a worker knows. */
export interface Judge {
  /** False for a chunk that the worker has replaced or removed in the meantime. */
  isHeld(chunk: StreamChunk): boolean;
  /** True if these files of a segment's name are the server's own segment. */
  isOwn(segment: string, copies: readonly StoredWal[]): boolean;
}

export interface Lost {
  /** The first chunk that is missing, in the order of its bytes; null if none is. */
  readonly chunk: StreamChunk | null;
  /** True if the archived segment is missing. */
  readonly isArchivedLost: boolean;
  /** All chunks that the listing has. */
  readonly chunks: readonly StreamChunk[];
  /** Archived files by the names of their segments: at least those of {@link Held.segments}. */
  readonly stored: ReadonlyMap<string, readonly StoredWal[]>;
}

/** Chunks that a listing lacks and that are looked up by name before they count as lost. */
const LOOKED_UP_MAX = 16;

/** A listing of the chunks, and one of each archive directory: of up to 256 segments. */
export async function findLost(
  repo: Repository,
  archiveId: string,
  { archived, chunks, segments }: Held,
  { isHeld, isOwn }: Judge,
): Promise<Lost> {
  const directory = streamPath(repo.stanza, archiveId);
  const isWhole = (info: { readonly sizeBytes: number } | null): boolean =>
    info !== null && info.sizeBytes > CHUNK_HEAD_SIZE_BYTES;
  const listing = async (): Promise<Set<string>> => {
    const names = new Set<string>();
    for await (const info of repo.storage.list(directory)) if (isWhole(info)) names.add(basename(info.path));
    return names;
  };
  const [listed, stored] = await Promise.all([
    listing(),
    storedBeside(repo, archiveId, archived === null ? segments : [archived, ...segments]),
  ]);
  const missing = chunks
    .filter((chunk) => !listed.has(chunkFileName(chunk)) && isHeld(chunk))
    .sort((left, right) =>
      left.segment === right.segment ? left.begin - right.begin : left.segment < right.segment ? -1 : 1,
    );
  const all = [...listed].flatMap((name) => parseChunkName(name) ?? []);
  const isArchivedLost = archived !== null && !stored.has(archived);
  for (const [index, chunk] of missing.entries()) {
    const path = `${directory}/${chunkFileName(chunk)}`;
    if (index < LOOKED_UP_MAX && isWhole(await repo.storage.stat(path))) continue;
    // Archived by another process, which may then remove it.
    if (isOwn(chunk.segment, await findWal(repo, archiveId, chunk.segment))) continue;
    if (isHeld(chunk)) return { chunk, isArchivedLost, stored, chunks: all };
  }
  return { chunk: null, isArchivedLost, stored, chunks: all };
}

/** The archive's files of these segments, and some of their neighbours: one listing of each directory. */
export async function storedBeside(
  repo: Repository,
  archiveId: string,
  segments: readonly string[],
): Promise<ReadonlyMap<string, readonly StoredWal[]>> {
  const byDirectory = new Map<string, string[]>();
  for (const name of segments) {
    const directory = name.slice(0, DIRECTORY_LENGTH);
    byDirectory.set(directory, [...(byDirectory.get(directory) ?? []), name]);
  }
  const listed = await Promise.all(
    [...byDirectory.values()].map((names) => findBeside(repo, archiveId, names[0] as string, commonStart(names))),
  );
  const stored = new Map<string, StoredWal[]>();
  for (const file of listed.flat())
    if (SEGMENT_NAME.test(file.name)) stored.set(file.name, [...(stored.get(file.name) ?? []), file]);
  return stored;
}

function commonStart(names: readonly string[]): string {
  const [first = "", ...others] = names;
  let length = first.length;
  while (!others.every((name) => name.startsWith(first.slice(0, length)))) length--;
  return first.slice(0, length);
}
