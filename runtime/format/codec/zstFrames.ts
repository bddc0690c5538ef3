/**
 * Writes zst as consecutive frames of 1 MiB of content: readers get the same bytes, at little more than half the work.
 *
 * In a single frame of a large file the library matches against a window that wraps around in a buffer, its slow path.
 * A frame whose content is given at once takes the fast path, without a copy. RFC 8878 allows consecutive frames, and
 * stock reads them as one file (shown by the interop tests with 2.45, 2.55 and 2.60). Repetitions more than 1 MiB apart
 * are not found: on mixed data no size was lost at level 3, whose window is 2 MiB. Levels above {@link
 * FRAMED_LEVEL_MAX} are for users who want a large window, and stay one frame. Several frames end with a seek table.
 */
import { promisify } from "node:util";
import { constants, createZstdCompress, zstdCompress, zstdCompressSync, type ZstdOptions } from "node:zlib";
import { type ByteStream, concatBytes } from "../../base/bytes";
import type { Codec } from "./codec";
import { HandleCodec, handlesWork } from "./zlibCodec";
import { ZstSeekTable } from "./zstSeekTable";

/** Content of one frame; a file's last one is shorter. */
export const FRAME_SIZE_BYTES = 1024 * 1024;
export const FRAMED_LEVEL_MAX = 9;

/**
 * Upper bound of a frame with this much content (ZSTD_compressBound, rounded up): space for the whole frame avoids the
 * copy.
 */
function outputSizeBytes(contentSizeBytes: number): number {
  return contentSizeBytes + (contentSizeBytes >> 8) + 1024;
}

/** The same frames for content in memory. */
export function zstFrames(bytes: Uint8Array, level: number): Uint8Array {
  const frames: Uint8Array[] = [];
  const table = new ZstSeekTable();
  for (let begin = 0; begin < bytes.length || begin === 0; begin += FRAME_SIZE_BYTES) {
    const content = bytes.subarray(begin, begin + FRAME_SIZE_BYTES);
    const frame = zstFrame(content, level);
    table.add(frame.length, content.length);
    frames.push(frame);
  }
  return concatBytes([...frames, table.encode()]);
}

/** One per level, reused for each small file: making a codec costs as much as compressing a page. */
const keptHandles = new Map<number, HandleCodec>();

function zstFrame(content: Uint8Array, level: number): Uint8Array {
  if (!handlesWork())
    return zstdCompressSync(content, { chunkSize: outputSizeBytes(content.length), params: zstParams(level) });
  const kept = keptHandles.get(level);
  // Removed while it works, so that a failed one is not reused.
  keptHandles.delete(level);
  const handle = kept ?? openHandle(level, (error) => error);
  const pieces: Uint8Array[] = [];
  for (const piece of content.length === 0 ? handle.finish() : handle.update(content)) pieces.push(Buffer.from(piece));
  keptHandles.set(level, handle);
  return concatBytes(pieces);
}

/** Ends a frame with each chunk; the next one begins automatically. */
function openHandle(level: number, mapError: (error: unknown) => unknown): HandleCodec {
  const create = (): ReturnType<typeof createZstdCompress> => createZstdCompress({ params: zstParams(level) });
  const flags = { moreFlag: constants.ZSTD_e_end, endFlag: constants.ZSTD_e_end };
  return new HandleCodec({ create, ...flags, mapError }, outputSizeBytes(FRAME_SIZE_BYTES));
}

export function zstParams(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level };
}

/** Collects chunks of any length into complete frames. */
export class ZstFramesCompressor implements Codec {
  readonly #level: number;
  readonly #handle: HandleCodec | null;
  readonly #input = Buffer.allocUnsafeSlow(FRAME_SIZE_BYTES);
  readonly #table = new ZstSeekTable();
  #filledBytes = 0;

  /** `mapError` converts the codec's own errors. */
  constructor(level: number, mapError: (error: unknown) => unknown) {
    this.#level = level;
    this.#handle = handlesWork() ? openHandle(level, mapError) : null;
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + FRAME_SIZE_BYTES - this.#filledBytes);
      taken += part.length;
      if (part.length === FRAME_SIZE_BYTES) {
        yield* this.#frame(part);
        continue;
      }
      this.#input.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      if (this.#filledBytes < FRAME_SIZE_BYTES) return;
      this.#filledBytes = 0;
      yield* this.#frame(this.#input);
    }
  }

  *finish(): Iterable<Uint8Array> {
    if (this.#filledBytes > 0 || this.#table.isEmpty) yield* this.#frame(this.#input.subarray(0, this.#filledBytes));
    const table = this.#table.encode();
    if (table.length > 0) yield table;
  }

  close(): void {
    this.#handle?.close();
  }

  *#frame(content: Uint8Array): Iterable<Uint8Array> {
    let sizeBytes = 0;
    for (const piece of this.#pieces(content)) {
      sizeBytes += piece.length;
      yield piece;
    }
    this.#table.add(sizeBytes, content.length);
  }

  #pieces(content: Uint8Array): Iterable<Uint8Array> {
    if (this.#handle === null) return [zstFrame(content, this.#level)];
    return content.length === 0 ? this.#handle.finish() : this.#handle.update(content);
  }
}

/** The same frames of a stream, compressed in Node's thread pool: the calling thread stays free. */
export async function* zstFramesStream(source: ByteStream, level: number): ByteStream {
  let parts: Uint8Array[] = [];
  let gatheredBytes = 0;
  const table = new ZstSeekTable();
  const compressFrame = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress);
  const frame = async (): Promise<Uint8Array> => {
    const content = concatBytes(parts);
    parts = [];
    gatheredBytes = 0;
    const sizes = { chunkSize: outputSizeBytes(content.length), pledgedSrcSize: content.length };
    const packed = await compressFrame(content, { ...sizes, params: zstParams(level) });
    table.add(packed.length, content.length);
    return packed;
  };
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + FRAME_SIZE_BYTES - gatheredBytes);
      taken += part.length;
      gatheredBytes += part.length;
      parts.push(part);
      if (gatheredBytes === FRAME_SIZE_BYTES) yield await frame();
    }
  }
  if (gatheredBytes > 0 || table.isEmpty) yield await frame();
  const end = table.encode();
  if (end.length > 0) yield end;
}
