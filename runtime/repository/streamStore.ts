/**
 * Chunks of incomplete WAL segments in a repository (format/wal/streamChunk). Each is written once under its own name
 * and removed when the archive has the complete segment. A crash at any point leaves too many chunks, never a wrong
 * one.
 */
import { basename } from "node:path";
import { collect, freeMemory, streamOf } from "../base/bytes";
import type { Context } from "../base/context";
import { Measured } from "../base/hash";
import { compress, decompress } from "../format/codec/compress";
import { streamPath } from "../format/repository/repoPath";
import {
  CHUNK_HEAD_SIZE_BYTES,
  checkChunk,
  chunkFileName,
  expectedHead,
  joinChunk,
  parseChunkHead,
  parseChunkName,
  segmentSizeOf,
  type StreamChunk,
} from "../format/wal/streamChunk";
import { readFile, type Repository, seal } from "./repository";

/** Location and key of the chunks. */
export interface StreamArchive {
  readonly archiveId: string;
  readonly pass: string | null;
}

/** The cluster and its segment size. */
export interface StreamOrigin {
  readonly systemId: bigint;
  readonly segmentSizeBytes: number;
}

/** Errors of {@link readChunk} about the chunk itself: another chunk may hold the same bytes. */
export const PIECE_FAULTS = ["checksum", "crypto", "fileInvalid", "fileMissing", "format"] as const;

/** Chunks of one segment, or of all; unordered. */
export async function listChunks(repo: Repository, archiveId: string, segment?: string): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = [];
  const options = segment === undefined ? {} : { namePrefix: `${segment}-` };
  for await (const { path } of repo.storage.list(streamPath(repo.stanza, archiveId), options)) {
    const chunk = parseChunkName(basename(path));
    if (chunk !== null) chunks.push(chunk);
  }
  return chunks;
}

/** Stores a chunk's WAL with the compression and encryption of the repository's WAL files. */
export async function putChunk(
  repo: Repository,
  { archiveId, pass }: StreamArchive,
  chunk: StreamChunk,
  wal: readonly Uint8Array[],
  origin: StreamOrigin,
  ctx: Pick<Context, "random">,
): Promise<void> {
  const compressType = repo.compress.type === "bz2" ? "none" : repo.compress.type;
  const measured = new Measured();
  for (const part of wal) measured.add(part);
  const pieces: Uint8Array[] = [];
  for await (const piece of compress(streamOf(...wal), { ...repo.compress, type: compressType })) pieces.push(piece);
  const head = {
    ...expectedHead(chunk, origin.segmentSizeBytes),
    systemId: origin.systemId,
    sha1: measured.result().sha1,
    compressType,
  };
  const content = joinChunk(head, ...pieces);
  // Chunks follow each other: what V8 has not collected yet would be several times their size.
  if (compressType !== "none") pieces.forEach(freeMemory);
  const stored = seal(content, pass, ctx);
  if (stored !== content) freeMemory(content);
  await repo.storage.put(pathOf(repo, archiveId, chunk), stored);
  freeMemory(stored);
}

/** A chunk's WAL. @throws fileMissing, fileInvalid, checksum, crypto */
export async function readChunk(
  repo: Repository,
  { archiveId, pass }: StreamArchive,
  chunk: StreamChunk,
  origin: StreamOrigin,
): Promise<Uint8Array> {
  return unpackChunk(await readFile(repo, pathOf(repo, archiveId, chunk), pass), chunk, origin);
}

/** {@link readChunk} of a cluster whose segment size only the chunk's header shows. */
export async function readForeignChunk(
  repo: Repository,
  { archiveId, pass }: StreamArchive,
  chunk: StreamChunk,
  systemId: bigint,
): Promise<{ readonly wal: Uint8Array; readonly origin: StreamOrigin }> {
  const content = await readFile(repo, pathOf(repo, archiveId, chunk), pass);
  const origin = { systemId, segmentSizeBytes: segmentSizeOf(chunk, parseChunkHead(content)) };
  return { origin, wal: await unpackChunk(content, chunk, origin) };
}

async function unpackChunk(content: Uint8Array, chunk: StreamChunk, origin: StreamOrigin): Promise<Uint8Array> {
  const head = parseChunkHead(content);
  const wal = await collect(
    decompress(streamOf(content.subarray(CHUNK_HEAD_SIZE_BYTES)), head.compressType),
    chunk.end - chunk.begin,
  );
  checkChunk(chunk, head, wal, origin.systemId, origin.segmentSizeBytes);
  return wal;
}

/** Position after the last byte of a chunk, according to its header. @throws fileMissing, fileInvalid, crypto */
export async function readChunkEnd(
  repo: Repository,
  { archiveId, pass }: StreamArchive,
  chunk: StreamChunk,
): Promise<bigint> {
  const head = parseChunkHead(await readFile(repo, pathOf(repo, archiveId, chunk), pass));
  return head.lsn + BigInt(head.sizeBytes);
}

export async function removeChunk(repo: Repository, archiveId: string, chunk: StreamChunk): Promise<void> {
  await repo.storage.remove(pathOf(repo, archiveId, chunk));
}

function pathOf(repo: Repository, archiveId: string, chunk: StreamChunk): string {
  return `${streamPath(repo.stanza, archiveId)}/${chunkFileName(chunk)}`;
}
