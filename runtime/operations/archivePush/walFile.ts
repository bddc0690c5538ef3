/**
 * Reads files in pg_wal. PostgreSQL recycles a segment by renaming it and writing another one into the same file. So
 * content counts only if the name afterwards still leads to the same unchanged file.
 */
import { createHash } from "node:crypto";
import { type BigIntStats, type FileHandle, open, readSync, statSync } from "../../local/nodeFiles";
import { type ByteStream, freeMemory } from "../../base/bytes";
import { type BackupError, fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Codec } from "../../format/codec/codec";
import { type CompressSpec, createCompressor } from "../../format/codec/compress";
import { FrameSearches } from "../../format/codec/zstFrames";

/** Segments up to this size, PostgreSQL's default, are held in memory. */
export const HELD_SEGMENT_SIZE_BYTES_MAX = 16 * 1024 * 1024;
const HEADER_SIZE_BYTES = 512;

/**
 * Identifies the file behind the name: changes with the file and with its content. Costs one stat of a local file.
 * @throws fileMissing, fileRead
 */
export function identifyWal(path: string): string {
  return fileIdOf(lookAt(path));
}

function lookAt(path: string): BigIntStats {
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    throw readError(path, error);
  }
}

export interface PackWalJob {
  readonly kind: "packWal";
  readonly path: string;
  /** The kinds of compression; empty for a file that is too large to hold. */
  readonly specs: readonly CompressSpec[];
}

export interface PackedWal {
  readonly fileId: string;
  readonly sizeBytes: number;
  readonly sha1: string;
  /** The first bytes. */
  readonly head: Uint8Array;
  /**
   * In the order of the specs, in pieces that each have their own buffer; null for a file that is too large to hold.
   */
  readonly contents: readonly (readonly Uint8Array<ArrayBuffer>[])[] | null;
}

/** For each level: a segment contains what the last ones did. */
const searches = new Map<number, FrameSearches>();

function compressorOf(spec: CompressSpec): Codec {
  const known = searches.get(spec.level) ?? new FrameSearches(spec.level);
  searches.set(spec.level, known);
  return createCompressor(spec, false, known);
}

/** The last one of this thread. It computes for one segment at a time: the buffers of others would only take memory. */
let packing: Promise<unknown> = Promise.resolve();

/**
 * Reads, hashes and compresses a file on a thread that does nothing else. It works piece by piece through one buffer:
 * each pass over a whole 16 MiB buffer comes from memory, and allocating and freeing it costs as much again.
 * @throws fileMissing, fileRead
 */
export function packWal(job: PackWalJob): Promise<PackedWal> {
  const packed = packing.then(() => packAlone(job));
  packing = packed.catch(() => {});
  return packed;
}

async function packAlone({ path, specs }: PackWalJob): Promise<PackedWal> {
  if (lookAt(path).size > BigInt(HELD_SEGMENT_SIZE_BYTES_MAX)) return hashLarge(path);
  const hash = createHash("sha1");
  let head: Uint8Array = new Uint8Array(0);
  const outputs = specs.map((spec) => ({ codec: compressorOf(spec), pieces: [] as Uint8Array<ArrayBuffer>[] }));
  try {
    const read = await readChecked(
      path,
      async (chunk) => {
        if (head.length === 0) head = headOf(chunk);
        hash.update(chunk);
        for (const { codec, pieces } of outputs) await keep(codec.update(chunk), pieces);
      },
      { own: false, atOnce: true },
    );
    for (const { codec, pieces } of outputs) await keep(codec.finish(), pieces);
    return { ...read, sha1: hash.digest("hex"), head, contents: outputs.map(({ pieces }) => pieces) };
  } finally {
    for (const { codec } of outputs) codec.close();
  }
}

async function keep(made: ReturnType<Codec["update"]>, pieces: Uint8Array<ArrayBuffer>[]): Promise<void> {
  // Copied: the codec reuses its buffer.
  for await (const piece of made) pieces.push(new Uint8Array(piece));
}

/** The buffers that can be transferred to another thread without a copy. */
export function buffersOf({ contents }: PackedWal): ArrayBuffer[] {
  return (contents ?? []).flatMap((pieces) => pieces.map((piece) => piece.buffer));
}

/**
 * Copied: a view (such as a Buffer's slice) would keep the whole segment alive and send all of it to another thread.
 */
export function headOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.subarray(0, HEADER_SIZE_BYTES));
}

async function hashLarge(path: string): Promise<PackedWal> {
  const hash = createHash("sha1");
  let head: Uint8Array = new Uint8Array(0);
  const read = await readChecked(
    path,
    (chunk) => {
      if (head.length === 0) head = headOf(chunk);
      hash.update(chunk);
    },
    { own: false },
  );
  return { ...read, sha1: hash.digest("hex"), head, contents: null };
}

/**
 * Reads a whole file. All chunks share one buffer, or with `own` each has its own and may be kept. `atOnce` is for a
 * thread that may block: the bytes are still in its processor's cache when it uses them.
 * @throws fileRead when the name leads to another file afterwards, or the size changed
 */
export async function readChecked(
  path: string,
  visit: (chunk: Uint8Array, sizeBytes: number) => void | Promise<void>,
  { own, atOnce = false }: { readonly own: boolean; readonly atOnce?: boolean },
): Promise<{ readonly fileId: string; readonly sizeBytes: number }> {
  let handle: FileHandle | undefined;
  let buffer: Buffer = Buffer.alloc(0);
  try {
    handle = await open(path, "r");
    const before = await handle.stat({ bigint: true });
    const sizeBytes = Number(before.size);
    let position = 0;
    for (;;) {
      // One more byte detects a file that has grown.
      if (own || buffer.length === 0)
        buffer = Buffer.allocUnsafeSlow(Math.max(Math.min(LIMITS.chunkSizeBytes, sizeBytes - position), 1));
      const bytesRead = atOnce
        ? readSync(handle.fd, buffer, 0, buffer.length, position)
        : (await handle.read(buffer, 0, buffer.length, position)).bytesRead;
      if (bytesRead === 0) break;
      position += bytesRead;
      if (position > sizeBytes) throw changed(path, `is larger than the ${sizeBytes} bytes that it had`);
      await visit(buffer.subarray(0, bytesRead), sizeBytes);
    }
    if (position !== sizeBytes) throw changed(path, `changed from ${sizeBytes} to ${position} bytes`);
    const fileId = fileIdOf(before);
    if (identifyWal(path) !== fileId) throw changed(path, "was replaced or written to");
    return { fileId, sizeBytes };
  } catch (error) {
    throw readError(path, error);
  } finally {
    if (!own) freeMemory(buffer);
    await handle?.close();
  }
}

/** Streams a file that was read before. @throws fileRead, before the last chunk, when its content has changed */
export async function* readAgain(
  path: string,
  expected: { readonly sha1: string; readonly sizeBytes: number },
): ByteStream {
  const hash = createHash("sha1");
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    for (let position = 0; position < expected.sizeBytes; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(LIMITS.chunkSizeBytes, expected.sizeBytes - position));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0) throw changed(path, `changed from ${expected.sizeBytes} to ${position} bytes`);
      const chunk = buffer.subarray(0, bytesRead);
      hash.update(chunk);
      position += bytesRead;
      if (position === expected.sizeBytes && hash.copy().digest("hex") !== expected.sha1)
        throw changed(path, "has different content than");
      yield chunk;
    }
  } catch (error) {
    throw readError(path, error);
  } finally {
    await handle?.close();
  }
}

function fileIdOf(info: { readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint }): string {
  return `${info.ino}:${info.size}:${info.mtimeNs}`;
}

function changed(path: string, how: string): BackupError {
  return fail("fileRead", `'${path}' ${how} while it was read`, { path, retryable: true });
}

function readError(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === undefined) return error;
  return fail(code === "ENOENT" ? "fileMissing" : "fileRead", `unable to read WAL file '${path}': [${code}]`, {
    path,
    cause: error,
  });
}
