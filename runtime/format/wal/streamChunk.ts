/**
 * Chunks of incomplete WAL segments, as an agent streams them: `pgbackstop/<stanza>/stream/<archive id>/<name>`.
 *
 * ```
 * name     <segment>-<session, 12 hex>-<begin, 8 hex>-<end, 8 hex>     offsets within the segment, `end` not included
 * content  "PGBSWAL1", system id (8), timeline (4), position of `begin` (8), size (4), SHA-1 of the WAL (20),
 *          compression (1), then the WAL
 * ```
 * Numbers are big-endian; the whole content is encrypted like WAL files. A session is one connection to the server.
 * Only chunks of one session are joined, because they come from one unbroken stream. Errors: fileInvalid (28), checksum
 * (26). Pure.
 */
import { concatBytes } from "../../base/bytes";
import { assert, fail } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import type { CompressType } from "../codec/compress";
import { lsnOfSegment, parseWalName } from "./walSegment";

export interface StreamChunk {
  readonly segment: string;
  /** Later sessions sort after earlier ones. */
  readonly session: string;
  readonly begin: number;
  readonly end: number;
}

export interface ChunkHead {
  readonly systemId: bigint;
  readonly timeline: number;
  readonly lsn: bigint;
  readonly sizeBytes: number;
  readonly sha1: string;
  readonly compressType: CompressType;
}

const MAGIC = "PGBSWAL1";
const SHA1_SIZE_BYTES = 20;
export const CHUNK_HEAD_SIZE_BYTES = MAGIC.length + 8 + 4 + 8 + 4 + SHA1_SIZE_BYTES + 1;
const TYPES: readonly CompressType[] = ["none", "gz", "lz4", "zst"];
const NAME = /^([0-9A-F]{24})-([0-9a-f]{12})-([0-9a-f]{8})-([0-9a-f]{8})$/;
const SESSION_DIGITS = 12;
const MIB = 1024 * 1024;

export function chunkFileName({ begin, end, segment, session }: StreamChunk): string {
  const offset = (value: number): string => value.toString(16).padStart(8, "0");
  const name = `${segment}-${session}-${offset(begin)}-${offset(end)}`;
  assert(parseChunkName(name) !== null, `'${name}' is not the name of a WAL chunk`);
  return name;
}

/** Null for any other name, such as that of an interrupted write. */
export function parseChunkName(fileName: string): StreamChunk | null {
  const match = NAME.exec(fileName);
  if (match === null) return null;
  const [, segment = "", session = "", beginHex = "", endHex = ""] = match;
  const [begin, end] = [Number.parseInt(beginHex, 16), Number.parseInt(endHex, 16)];
  return begin < end && parseWalName(segment)?.kind === "segment" ? { segment, session, begin, end } : null;
}

/** The name of a session that begins at this time. */
export function sessionName(nowMs: number): string {
  return Math.floor(nowMs).toString(16).padStart(SESSION_DIGITS, "0").slice(-SESSION_DIGITS);
}

export function renderChunkHead(head: ChunkHead): Uint8Array {
  const bytes = Buffer.alloc(CHUNK_HEAD_SIZE_BYTES);
  bytes.write(MAGIC, "latin1");
  let at = bytes.writeBigUInt64BE(head.systemId, MAGIC.length);
  at = bytes.writeUInt32BE(head.timeline, at);
  at = bytes.writeBigUInt64BE(head.lsn, at);
  at = bytes.writeUInt32BE(head.sizeBytes, at);
  bytes.write(head.sha1, at, "hex");
  bytes.writeUInt8(TYPES.indexOf(head.compressType), at + SHA1_SIZE_BYTES);
  return bytes;
}

/** @throws fileInvalid */
export function parseChunkHead(content: Uint8Array): ChunkHead {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const compressType =
    bytes.length < CHUNK_HEAD_SIZE_BYTES ? undefined : TYPES[bytes[CHUNK_HEAD_SIZE_BYTES - 1] ?? TYPES.length];
  if (compressType === undefined || bytes.toString("latin1", 0, MAGIC.length) !== MAGIC)
    throw fail("fileInvalid", "this is not a chunk of streamed WAL");
  const at = MAGIC.length;
  return {
    systemId: bytes.readBigUInt64BE(at),
    timeline: bytes.readUInt32BE(at + 8),
    lsn: bytes.readBigUInt64BE(at + 12),
    sizeBytes: bytes.readUInt32BE(at + 20),
    sha1: bytes.toString("hex", at + 24, at + 24 + SHA1_SIZE_BYTES),
    compressType,
  };
}

/** The header that a chunk of this name must have. */
export function expectedHead(
  chunk: StreamChunk,
  segmentSizeBytes: number,
): Pick<ChunkHead, "timeline" | "lsn" | "sizeBytes"> {
  return {
    timeline: parseWalName(chunk.segment)?.timeline ?? 0,
    lsn: lsnOfSegment(chunk.segment, segmentSizeBytes) + BigInt(chunk.begin),
    sizeBytes: chunk.end - chunk.begin,
  };
}

/** The smallest size of PostgreSQL's segments with which a chunk's header matches its name. @throws fileInvalid */
export function segmentSizeOf(chunk: StreamChunk, { lsn }: Pick<ChunkHead, "lsn">): number {
  const numberOfSegment = Number.parseInt(chunk.segment.slice(-8), 16);
  for (let sizeBytes = MIB; sizeBytes <= 1024 * MIB; sizeBytes *= 2) {
    const isPossible = chunk.end <= sizeBytes && numberOfSegment < 2 ** 32 / sizeBytes;
    if (isPossible && expectedHead(chunk, sizeBytes).lsn === lsn) return sizeBytes;
  }
  throw fail("fileInvalid", `the WAL chunk '${chunkFileName(chunk)}' does not match its name`);
}

/** @throws fileInvalid, checksum when the chunk does not match its name, or belongs to another cluster */
export function checkChunk(
  chunk: StreamChunk,
  head: ChunkHead,
  wal: Uint8Array,
  systemId: bigint,
  segmentSizeBytes: number,
): void {
  const expected = expectedHead(chunk, segmentSizeBytes);
  const isSame =
    head.timeline === expected.timeline && head.lsn === expected.lsn && head.sizeBytes === expected.sizeBytes;
  if (!isSame || head.systemId !== systemId || wal.length !== head.sizeBytes)
    throw fail(
      "fileInvalid",
      `the WAL chunk '${chunkFileName(chunk)}' does not match its name, or belongs to another cluster`,
    );
  if (sha1Hex(wal) !== head.sha1) throw fail("checksum", `the WAL chunk '${chunkFileName(chunk)}' is damaged`);
}

/**
 * The chunks of one session and segment that together reach furthest from the first byte without a gap, in order. A
 * later chunk that begins at 0 replaces the earlier ones, so the longest one wins.
 */
export function coverOf(chunks: readonly StreamChunk[]): StreamChunk[] {
  const cover: StreamChunk[] = [];
  for (let reached = 0; ; ) {
    const next = chunks.reduce<StreamChunk | null>(
      (best, chunk) => (chunk.begin === reached && (best === null || chunk.end > best.end) ? chunk : best),
      null,
    );
    if (next === null) return cover;
    cover.push(next);
    reached = next.end;
  }
}

/** How far they reach from the first byte: the end of {@link coverOf}, 0 without any. */
export function reachOf(chunks: readonly StreamChunk[]): number {
  return coverOf(chunks).at(-1)?.end ?? 0;
}

/** Sorts sources of one session and segment each: newer sessions first, within a session the furthest reach first. */
export function newestFirst(left: readonly StreamChunk[], right: readonly StreamChunk[]): number {
  const [leftSession, rightSession] = [left[0]?.session ?? "", right[0]?.session ?? ""];
  if (leftSession !== rightSession) return leftSession < rightSession ? 1 : -1;
  return reachOf(right) - reachOf(left);
}

/** A segment's sessions with their chunks, the latest session first. */
export function bySession(chunks: readonly StreamChunk[]): StreamChunk[][] {
  const sessions = new Map<string, StreamChunk[]>();
  for (const chunk of chunks) sessions.set(chunk.session, [...(sessions.get(chunk.session) ?? []), chunk]);
  return [...sessions.entries()].sort(([left], [right]) => (left < right ? 1 : -1)).map(([, own]) => own);
}

/** A chunk's content: its header and the stored WAL. */
export function joinChunk(head: ChunkHead, ...stored: readonly Uint8Array[]): Uint8Array {
  return concatBytes([renderChunkHead(head), ...stored]);
}
