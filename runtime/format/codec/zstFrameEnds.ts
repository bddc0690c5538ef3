/**
 * Finds the ends of the frames in zst content from frame and block headers, without unpacking (RFC 8878, 3.1).
 *
 * Node's decompressor silently ends at the end of a frame if output is free and more frames are in its input (seen with
 * 24.21: one segment in a hundred, depending on the chunks). So no reader made of Node's streams, or of its one-shot
 * functions, gets more than one frame.
 */
import { zstdDecompressSync } from "node:zlib";
import { concatBytes } from "../../base/bytes";
import type { Codec, Pieces } from "./codec";
import { StreamCodec, type ZlibCodecOptions } from "./zlibCodec";

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;
const MAGIC_SIZE_BYTES = 4;
const SKIPPABLE_HEAD_SIZE_BYTES = 8;
const BLOCK_HEAD_SIZE_BYTES = 3;
const BLOCK_TYPE_RLE = 1;
const CHECKSUM_SIZE_BYTES = 4;
const DICTIONARY_ID_SIZES_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_SIZES_BYTES = [0, 2, 4, 8];

/** Follows content in chunks. Invalid content has no end: its decompressor refuses it. */
export class ZstFrameEnds {
  /** The partial header of a frame or block. */
  #head: number[] = [];
  #state: "frame" | "block" | "strange" = "frame";
  #hasChecksum = false;
  /** Bytes to skip, and whether the frame ends after them. */
  #skipBytes = 0;
  #endsAfterSkip = false;

  /** Where the frame ends in `chunk`, whose bytes before `begin` are consumed; null: not in this chunk. */
  next(chunk: Uint8Array, begin: number): number | null {
    let at = begin;
    while (this.#state !== "strange") {
      if (this.#skipBytes > 0 || this.#endsAfterSkip) {
        const skipped = Math.min(this.#skipBytes, chunk.length - at);
        this.#skipBytes -= skipped;
        at += skipped;
        if (this.#skipBytes > 0) return null;
        if (this.#endsAfterSkip) {
          this.#endsAfterSkip = false;
          this.#state = "frame";
          return at;
        }
      }
      const byte = chunk[at];
      if (byte === undefined) return null;
      at++;
      this.#head.push(byte);
      if (this.#state === "frame") this.#readFrameHead();
      else this.#readBlockHead();
    }
    return null;
  }

  #readFrameHead(): void {
    const head = this.#head;
    if (head.length < MAGIC_SIZE_BYTES) return;
    const magic = littleEndian(head, 0, MAGIC_SIZE_BYTES);
    if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC) {
      if (head.length < SKIPPABLE_HEAD_SIZE_BYTES) return;
      this.#skip(littleEndian(head, MAGIC_SIZE_BYTES, MAGIC_SIZE_BYTES), true);
      return;
    }
    if (magic !== MAGIC) {
      this.#state = "strange";
      return;
    }
    const descriptor = head[MAGIC_SIZE_BYTES];
    if (descriptor === undefined) return;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    const contentSizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_SIZES_BYTES[sizeFlag] ?? 0);
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    this.#state = "block";
    this.#skip(
      (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_SIZES_BYTES[descriptor & 0x03] ?? 0) + contentSizeBytes,
      false,
    );
  }

  #readBlockHead(): void {
    if (this.#head.length < BLOCK_HEAD_SIZE_BYTES) return;
    const value = littleEndian(this.#head, 0, BLOCK_HEAD_SIZE_BYTES);
    const isLast = (value & 1) !== 0;
    const sizeBytes = ((value >> 1) & 0x03) === BLOCK_TYPE_RLE ? 1 : value >> 3;
    this.#skip(sizeBytes + (isLast && this.#hasChecksum ? CHECKSUM_SIZE_BYTES : 0), isLast);
  }

  #skip(sizeBytes: number, endsFrame: boolean): void {
    this.#head = [];
    this.#skipBytes = sizeBytes;
    this.#endsAfterSkip = endsFrame;
  }
}

function littleEndian(bytes: readonly number[], begin: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + (bytes[begin + index] ?? 0);
  return value;
}

/** A decompressor with Node's public stream, a new one for each frame. */
export class ZstFramewiseCodec implements Codec {
  readonly #options: ZlibCodecOptions;
  readonly #ends = new ZstFrameEnds();
  #frame: StreamCodec | undefined;
  #frameCount = 0;

  /** `options` are those of a decompressor. */
  constructor(options: ZlibCodecOptions) {
    this.#options = options;
  }

  async *update(chunk: Uint8Array): AsyncIterable<Uint8Array> {
    for (let begin = 0; begin < chunk.length; ) {
      const end = this.#ends.next(chunk, begin);
      yield* this.#open().update(chunk.subarray(begin, end ?? chunk.length));
      if (end === null) return;
      yield* this.#end();
      begin = end;
    }
  }

  finish(): Pieces {
    if (this.#frame === undefined && this.#frameCount > 0) return [];
    this.#open();
    return this.#end();
  }

  close(): void {
    this.#frame?.close();
  }

  #open(): StreamCodec {
    if (this.#frame === undefined) this.#frameCount++;
    this.#frame ??= new StreamCodec(this.#options);
    return this.#frame;
  }

  async *#end(): AsyncIterable<Uint8Array> {
    const frame = this.#open();
    yield* frame.finish();
    frame.close();
    this.#frame = undefined;
  }
}

/**
 * The content of all frames in `bytes`.
 * @throws Node's error when they are damaged or unpack to more than `limitBytes`
 */
export function unpackZstFrames(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const ends = new ZstFrameEnds();
  const contents: Uint8Array[] = [];
  let leftBytes = limitBytes;
  for (let begin = 0; begin < bytes.length || begin === 0; ) {
    const end = ends.next(bytes, begin) ?? bytes.length;
    const content = zstdDecompressSync(bytes.subarray(begin, end), { maxOutputLength: Math.max(leftBytes, 1) });
    contents.push(content);
    leftBytes -= content.length;
    if (leftBytes < 0)
      throw Object.assign(new RangeError(`content of more than ${limitBytes} bytes`), { code: "ERR_BUFFER_TOO_LARGE" });
    if (end === 0) break;
    begin = end;
  }
  return contents.length === 1 ? (contents[0] as Uint8Array) : concatBytes(contents);
}
