/**
 * zst as frames of 1 MiB of content each, one after the other: the same bytes out for any reader, at little more than half the work.
 *
 * A single frame of a large file makes the library match against a window that wraps around in a buffer, its slow path; a frame whose content
 * is given at once takes the fast one, without a copy. RFC 8878 lets frames follow each other, and stock reads them as one file (shown by
 * the interop tests with 2.45, 2.55 and 2.60). Repetitions more than 1 MiB apart are not found: on mixed data no size was lost at level 3, whose
 * window is 2 MiB. Levels above {@link FRAMED_LEVEL_MAX} are for those who pay for a large window, and stay one frame.
 */
import { promisify } from "node:util";
import { constants, createZstdCompress, zstdCompress, zstdCompressSync, type ZstdOptions } from "node:zlib";
import { type ByteStream, concatBytes } from "../../base/bytes";
import type { Codec } from "./codec";
import { HandleCodec, handlesWork } from "./zlibCodec";

/** Content of one frame; the last one of a file is shorter. */
export const FRAME_SIZE_BYTES = 1024 * 1024;
export const FRAMED_LEVEL_MAX = 9;

/** No frame of so much content is longer than this (ZSTD_compressBound, rounded up): room for all of it at once is what spares the copy. */
function outputSizeBytes(contentSizeBytes: number): number {
  return contentSizeBytes + (contentSizeBytes >> 8) + 1024;
}

/** Content in memory: the same frames. */
export function zstFrames(bytes: Uint8Array, level: number): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let begin = 0; begin < bytes.length || begin === 0; begin += FRAME_SIZE_BYTES) {
    frames.push(zstFrame(bytes.subarray(begin, begin + FRAME_SIZE_BYTES), level));
  }
  return concatBytes(frames);
}

/** One per level, used again for each small file: to make a codec costs as much as to compress a page. */
const keptHandles = new Map<number, HandleCodec>();

function zstFrame(content: Uint8Array, level: number): Uint8Array {
  if (!handlesWork()) return zstdCompressSync(content, { chunkSize: outputSizeBytes(content.length), params: paramsOf(level) });
  const kept = keptHandles.get(level);
  // Not kept while it works, so that one that fails is not used again.
  keptHandles.delete(level);
  const handle = kept ?? openHandle(level, (error) => error);
  const pieces: Uint8Array[] = [];
  for (const piece of content.length === 0 ? handle.finish() : handle.update(content)) pieces.push(Buffer.from(piece));
  keptHandles.set(level, handle);
  return concatBytes(pieces);
}

/** Ends a frame with each chunk: the next one begins by itself. */
function openHandle(level: number, mapError: (error: unknown) => unknown): HandleCodec {
  const create = (): ReturnType<typeof createZstdCompress> => createZstdCompress({ params: paramsOf(level) });
  const flags = { moreFlag: constants.ZSTD_e_end, endFlag: constants.ZSTD_e_end };
  return new HandleCodec({ create, ...flags, mapError }, outputSizeBytes(FRAME_SIZE_BYTES));
}

function paramsOf(level: number): Record<number, number> {
  return { [constants.ZSTD_c_compressionLevel]: level };
}

/** Gathers chunks of any length to whole frames. */
export class ZstFramesCompressor implements Codec {
  readonly #level: number;
  readonly #handle: HandleCodec | null;
  readonly #input = Buffer.allocUnsafeSlow(FRAME_SIZE_BYTES);
  #filledBytes = 0;
  #frameCount = 0;

  /** `mapError` turns the codec's own errors into ours. */
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
    if (this.#filledBytes > 0 || this.#frameCount === 0) yield* this.#frame(this.#input.subarray(0, this.#filledBytes));
  }

  close(): void {
    this.#handle?.close();
  }

  #frame(content: Uint8Array): Iterable<Uint8Array> {
    this.#frameCount++;
    if (this.#handle === null) return [zstFrames(content, this.#level)];
    return content.length === 0 ? this.#handle.finish() : this.#handle.update(content);
  }
}

/** The same frames of a stream, compressed in Node's thread pool: the calling thread stays free. */
export async function* zstFramesStream(source: ByteStream, level: number): ByteStream {
  let parts: Uint8Array[] = [];
  let gatheredBytes = 0;
  let frameCount = 0;
  const compressFrame = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress);
  const frame = (): Promise<Uint8Array> => {
    const content = concatBytes(parts);
    parts = [];
    gatheredBytes = 0;
    frameCount++;
    const sizes = { chunkSize: outputSizeBytes(content.length), pledgedSrcSize: content.length };
    return compressFrame(content, { ...sizes, params: paramsOf(level) });
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
  if (gatheredBytes > 0 || frameCount === 0) yield await frame();
}
