/**
 * LZ4 frames: header, blocks of at most 64 KiB that may refer to the previous 64 KiB, end mark, content checksum.
 *
 * The writer makes stock's frames (FLG 0x44 with content checksum, 0x40 without; BD 0x40) with one greedy match finder:
 * levels below 1 try fewer positions, levels above 1 count as 1. The reader accepts every block size, linked or
 * independent blocks, and verifies all checksums. Dictionaries are refused. As in stock, data after the first frame is
 * ignored. Errors: format (29). (LZ4 frame format 1.6.1 and block format descriptions.)
 */
import { viewOf } from "../../base/bytes";
import { assert, type BackupError, fail } from "../../base/errors";
import type { Codec } from "./codec";
import { XxHash32, xxHash32 } from "./xxHash32";

const MAGIC = 0x184d2204;
const FLAG_VERSION = 0x40;
const FLAG_BLOCK_CHECKSUM = 0x10;
const FLAG_CONTENT_SIZE = 0x08;
const FLAG_CONTENT_CHECKSUM = 0x04;
const FLAG_RESERVED = 0x02;
const FLAG_DICTIONARY = 0x01;
const BLOCK_SIZE_CODE = 4;
const STORED_BIT = 0x80000000;

const BLOCK_SIZE_BYTES = 65_536;
const HISTORY_SIZE_BYTES = 65_536;
const DISTANCE_MAX = 65_535;
const WINDOW_SIZE_BYTES = HISTORY_SIZE_BYTES + 4 * BLOCK_SIZE_BYTES;
const MATCH_MIN = 4;
/** A block ends with at least five literals, and its last match begins at least twelve bytes before its end. */
const LAST_LITERALS = 5;
const MATCH_FIND_LIMIT = 12;
const HASH_BITS_MAX = 14;
const HASH_BITS_MIN = 8;
const NO_POSITION = -DISTANCE_MAX - 1;

/** Makes one frame of all chunks. */
export class Lz4Compressor implements Codec {
  readonly #writer: FrameWriter;
  readonly #window = new Uint8Array(WINDOW_SIZE_BYTES);
  #begun = false;
  #filled = 0;
  #done = 0;

  constructor(level: number, contentChecksum: boolean) {
    this.#writer = new FrameWriter(level, contentChecksum, HASH_BITS_MAX);
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    yield* this.#begin();
    const window = this.#window;
    for (let taken = 0; taken < chunk.length; ) {
      if (this.#filled === window.length) this.#slide();
      const piece = chunk.subarray(taken, taken + window.length - this.#filled);
      window.set(piece, this.#filled);
      this.#filled += piece.length;
      taken += piece.length;
      const begin = this.#done;
      this.#done = this.#filled - ((this.#filled - begin) % BLOCK_SIZE_BYTES);
      if (this.#done > begin) yield this.#writer.blocks(window, begin, this.#done);
    }
  }

  *finish(): Iterable<Uint8Array> {
    yield* this.#begin();
    if (this.#filled > this.#done) yield this.#writer.blocks(this.#window, this.#done, this.#filled);
    yield this.#writer.end();
  }

  close(): void {
    // Nothing to close: all its memory is JavaScript's.
  }

  *#begin(): Iterable<Uint8Array> {
    if (!this.#begun) yield this.#writer.head();
    this.#begun = true;
  }

  #slide(): void {
    const kept = this.#done - HISTORY_SIZE_BYTES;
    this.#window.copyWithin(0, kept, this.#filled);
    this.#writer.slide(kept);
    this.#filled -= kept;
    this.#done -= kept;
  }
}

/** {@link Lz4Compressor} for bytes in memory. */
export function compressLz4Bytes(bytes: Uint8Array, level: number, contentChecksum: boolean): Uint8Array {
  const hashBits = Math.min(HASH_BITS_MAX, Math.max(HASH_BITS_MIN, 32 - Math.clz32(bytes.length)));
  const writer = new FrameWriter(level, contentChecksum, hashBits);
  const parts = [writer.head()];
  if (bytes.length > 0) parts.push(writer.blocks(bytes, 0, bytes.length));
  parts.push(writer.end());
  return Buffer.concat(parts);
}

/** The content of the first frame. @throws format */
export class Lz4Decompressor implements Codec {
  readonly #reader = new FrameReader();

  update(chunk: Uint8Array): Iterable<Uint8Array> {
    return this.#reader.add(chunk);
  }

  finish(): Iterable<Uint8Array> {
    this.#reader.finish();
    return [];
  }

  close(): void {
    // Nothing to close: all its memory is JavaScript's.
  }
}

/** {@link Lz4Decompressor} for bytes in memory. @throws format also when the content is larger than `limitBytes`. */
export function decompressLz4Bytes(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const reader = new FrameReader();
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const part of reader.add(bytes)) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw damaged(`content is larger than the limit of ${limitBytes} bytes`);
    parts.push(part);
  }
  reader.finish();
  return Buffer.concat(parts);
}

/** One block without a frame, as PostgreSQL stores page images. @throws format also when its size is not `sizeBytes` */
export function decompressLz4Block(bytes: Uint8Array, sizeBytes: number): Uint8Array {
  const target = Buffer.alloc(sizeBytes);
  const filled = decodeBlock(bytes, 0, bytes.length, target, 0, sizeBytes);
  if (filled !== sizeBytes) throw damaged(`block has ${filled} bytes instead of ${sizeBytes}`);
  return target;
}

/** Makes the pieces of one frame; remembers the last positions of four-byte sequences. */
class FrameWriter {
  readonly #table: Int32Array;
  readonly #hashShift: number;
  readonly #acceleration: number;
  readonly #content: XxHash32 | null;

  constructor(level: number, contentChecksum: boolean, hashBits: number) {
    this.#table = new Int32Array(1 << hashBits).fill(NO_POSITION);
    this.#hashShift = 32 - hashBits;
    this.#acceleration = level < 0 ? 1 - level : 1;
    this.#content = contentChecksum ? new XxHash32() : null;
  }

  head(): Uint8Array {
    const head = new Uint8Array(7);
    const view = new DataView(head.buffer);
    view.setUint32(0, MAGIC, true);
    head[4] = FLAG_VERSION | (this.#content === null ? 0 : FLAG_CONTENT_CHECKSUM);
    head[5] = BLOCK_SIZE_CODE << 4;
    head[6] = (xxHash32(head.subarray(4, 6)) >>> 8) & 0xff;
    return head;
  }

  /** `source[begin, end)` as blocks; earlier bytes of `source` are the history of previous blocks. */
  blocks(source: Uint8Array, begin: number, end: number): Uint8Array {
    const count = Math.ceil((end - begin) / BLOCK_SIZE_BYTES);
    const target = Buffer.allocUnsafeSlow(end - begin + count * 4 + compressedMax(BLOCK_SIZE_BYTES) - BLOCK_SIZE_BYTES);
    const view = viewOf(source);
    this.#content?.add(source.subarray(begin, end));
    let used = 0;
    for (let blockBegin = begin; blockBegin < end; blockBegin += BLOCK_SIZE_BYTES) {
      const blockEnd = Math.min(blockBegin + BLOCK_SIZE_BYTES, end);
      const blockSize = blockEnd - blockBegin;
      const encodedSize = this.#encode(source, view, blockBegin, blockEnd, target, used + 4) - used - 4;
      if (encodedSize < blockSize) {
        target.writeUInt32LE(encodedSize, used);
        used += 4 + encodedSize;
      } else {
        target.writeUInt32LE((STORED_BIT | blockSize) >>> 0, used);
        target.set(source.subarray(blockBegin, blockEnd), used + 4);
        used += 4 + blockSize;
      }
    }
    return target.subarray(0, used);
  }

  end(): Uint8Array {
    const tail = Buffer.alloc(this.#content === null ? 4 : 8);
    if (this.#content !== null) tail.writeUInt32LE(this.#content.digest(), 4);
    return tail;
  }

  /** Call it when the source was moved by `distance` towards its start. */
  slide(distance: number): void {
    const table = this.#table;
    for (let index = 0; index < table.length; index++)
      table[index] = Math.max((table[index] as number) - distance, NO_POSITION);
  }

  /** Writes one block at `target[used]` and returns where it ends. */
  #encode(source: Uint8Array, view: DataView, begin: number, end: number, target: Uint8Array, used: number): number {
    const table = this.#table;
    const hashShift = this.#hashShift;
    const findEnd = end - MATCH_FIND_LIMIT;
    const matchEnd = end - LAST_LITERALS;
    let anchor = begin;
    let position = begin;
    let output = used;
    for (;;) {
      let attempts = this.#acceleration << 6;
      let match = NO_POSITION;
      let isMatch = false;
      while (position <= findEnd) {
        const sequence = view.getInt32(position, true);
        const slot = Math.imul(sequence, -1640531535) >>> hashShift;
        match = table[slot] as number;
        table[slot] = position;
        isMatch = position - match <= DISTANCE_MAX && view.getInt32(match, true) === sequence;
        if (isMatch) break;
        position += attempts++ >> 6;
      }
      if (!isMatch) break;
      while (position > anchor && match > 0 && source[position - 1] === source[match - 1]) {
        position--;
        match--;
      }
      let length = MATCH_MIN;
      const lengthMax = matchEnd - position;
      while (length + 4 <= lengthMax && view.getInt32(position + length, true) === view.getInt32(match + length, true))
        length += 4;
      while (length < lengthMax && source[position + length] === source[match + length]) length++;
      output = writeSequence(source, anchor, position, position - match, length - MATCH_MIN, target, output);
      position += length;
      anchor = position;
      if (position <= findEnd)
        table[Math.imul(view.getInt32(position - 2, true), -1640531535) >>> hashShift] = position - 2;
    }
    return writeSequence(source, anchor, end, 0, 0, target, output);
  }
}

/** One sequence: literals `source[anchor, position)`, then a match, or none if `distance` is 0. */
function writeSequence(
  source: Uint8Array,
  anchor: number,
  position: number,
  distance: number,
  extraLength: number,
  target: Uint8Array,
  used: number,
): number {
  const literals = position - anchor;
  let output = used;
  target[output++] = (Math.min(literals, 15) << 4) | Math.min(extraLength, 15);
  if (literals >= 15) output = writeLength(literals - 15, target, output);
  if (literals <= 32) for (let index = anchor; index < position; index++) target[output++] = source[index] as number;
  else {
    target.set(source.subarray(anchor, position), output);
    output += literals;
  }
  if (distance === 0) return output;
  target[output++] = distance & 0xff;
  target[output++] = distance >>> 8;
  return extraLength >= 15 ? writeLength(extraLength - 15, target, output) : output;
}

function writeLength(length: number, target: Uint8Array, used: number): number {
  let rest = length;
  let output = used;
  for (; rest >= 255; rest -= 255) target[output++] = 255;
  target[output++] = rest;
  return output;
}

function compressedMax(sizeBytes: number): number {
  return sizeBytes + Math.ceil(sizeBytes / 255) + 16;
}

interface FrameHead {
  readonly blockSizeMax: number;
  readonly blockChecksum: boolean;
  readonly contentSize: bigint | null;
  readonly content: XxHash32 | null;
}

/** Parses a frame from pieces of any size. Yields parts of its own buffer that it never writes again. */
class FrameReader {
  #carry: Uint8Array = new Uint8Array(0);
  #head: FrameHead | null = null;
  #ended = false;
  #sizeBytes = 0n;
  /** Output: history and bytes decoded since `#given` precede `#filled`. */
  #arena = Buffer.alloc(0);
  #filled = 0;
  #given = 0;

  *add(chunk: Uint8Array): Iterable<Uint8Array> {
    if (this.#ended) return;
    const input = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    let position = 0;
    while (!this.#ended) {
      const size = this.#pieceSize(input, position);
      if (size === null || position + size > input.length) break;
      if (this.#head === null) {
        this.#head = parseHead(input.subarray(position, position + size));
      } else {
        if (this.#filled + this.#head.blockSizeMax > this.#arena.length) {
          yield* this.#give();
          this.#renewArena(this.#head.blockSizeMax);
        }
        this.#readPiece(this.#head, input, position, position + size);
      }
      position += size;
    }
    yield* this.#give();
    this.#carry = this.#ended ? new Uint8Array(0) : new Uint8Array(input.subarray(position));
  }

  /** @throws format when the frame is incomplete. */
  finish(): void {
    if (!this.#ended) throw damaged("unexpected end of content");
  }

  /** Size of the frame's next part, null while unknown. */
  #pieceSize(input: Uint8Array, position: number): number | null {
    const available = input.length - position;
    if (this.#head === null) {
      if (available < 6) return null;
      const flags = input[position + 4] as number;
      return 7 + ((flags & FLAG_CONTENT_SIZE) === 0 ? 0 : 8) + ((flags & FLAG_DICTIONARY) === 0 ? 0 : 4);
    }
    if (available < 4) return null;
    const size = readUInt32(input, position);
    if (size === 0) return this.#head.content === null ? 4 : 8;
    const dataSize = (size & ~STORED_BIT) >>> 0;
    if (dataSize > this.#head.blockSizeMax)
      throw damaged(`block of ${dataSize} bytes is larger than ${this.#head.blockSizeMax}`);
    return 4 + dataSize + (this.#head.blockChecksum ? 4 : 0);
  }

  #readPiece(head: FrameHead, input: Uint8Array, begin: number, end: number): void {
    const size = readUInt32(input, begin);
    if (size === 0) {
      if (head.content !== null) checkSum("content", head.content.digest(), readUInt32(input, begin + 4));
      if (head.contentSize !== null && head.contentSize !== this.#sizeBytes) {
        throw damaged(`content has ${this.#sizeBytes} bytes instead of ${head.contentSize}`);
      }
      this.#ended = true;
      return;
    }
    const dataEnd = head.blockChecksum ? end - 4 : end;
    if (head.blockChecksum) checkSum("block", xxHash32(input.subarray(begin + 4, dataEnd)), readUInt32(input, dataEnd));
    const blockBegin = this.#filled;
    if ((size & STORED_BIT) !== 0) {
      this.#arena.set(input.subarray(begin + 4, dataEnd), blockBegin);
      this.#filled += dataEnd - begin - 4;
    } else {
      this.#filled = decodeBlock(input, begin + 4, dataEnd, this.#arena, blockBegin, blockBegin + head.blockSizeMax);
    }
    this.#sizeBytes += BigInt(this.#filled - blockBegin);
    head.content?.add(this.#arena.subarray(blockBegin, this.#filled));
  }

  *#give(): Iterable<Uint8Array> {
    if (this.#filled === this.#given) return;
    const part = this.#arena.subarray(this.#given, this.#filled);
    this.#given = this.#filled;
    yield part;
  }

  /** A fresh buffer that begins with the history; consumers own the parts of the old one. */
  #renewArena(blockSizeMax: number): void {
    const arena = Buffer.allocUnsafeSlow(HISTORY_SIZE_BYTES + 4 * Math.max(blockSizeMax, BLOCK_SIZE_BYTES));
    const history = this.#arena.subarray(Math.max(0, this.#filled - HISTORY_SIZE_BYTES), this.#filled);
    arena.set(history);
    this.#arena = arena;
    this.#filled = history.length;
    this.#given = history.length;
  }
}

function parseHead(head: Uint8Array): FrameHead {
  if (readUInt32(head, 0) !== MAGIC) throw damaged("no LZ4 frame");
  const flags = head[4] as number;
  const sizeCode = ((head[5] as number) >>> 4) & 0x7;
  if (
    (flags & 0xc0) !== FLAG_VERSION ||
    (flags & FLAG_RESERVED) !== 0 ||
    ((head[5] as number) & 0x8f) !== 0 ||
    sizeCode < 4
  ) {
    throw damaged(`unknown frame flags ${flags.toString(16)} ${(head[5] as number).toString(16)}`);
  }
  if ((flags & FLAG_DICTIONARY) !== 0) throw damaged("frames with a dictionary are not supported");
  const checksum = (xxHash32(head.subarray(4, head.length - 1)) >>> 8) & 0xff;
  checkSum("header", checksum, head[head.length - 1] as number);
  const view = viewOf(head);
  return {
    blockSizeMax: 1 << (8 + 2 * sizeCode),
    blockChecksum: (flags & FLAG_BLOCK_CHECKSUM) !== 0,
    contentSize: (flags & FLAG_CONTENT_SIZE) === 0 ? null : view.getBigUint64(6, true),
    content: (flags & FLAG_CONTENT_CHECKSUM) === 0 ? null : new XxHash32(),
  };
}

/**
 * Decodes `source[begin, end)` to `target[used]`, with matches back to the target's start; returns the end of the
 * content.
 */
function decodeBlock(
  source: Uint8Array,
  begin: number,
  end: number,
  target: Uint8Array,
  used: number,
  limit: number,
): number {
  let input = begin;
  let output = used;
  while (input < end) {
    const token = source[input++] as number;
    let literals = token >>> 4;
    if (literals === 15) {
      let more: number;
      do {
        if (input >= end) throw damaged("block ends within a length");
        more = source[input++] as number;
        literals += more;
      } while (more === 255);
    }
    if (input + literals > end || output + literals > limit) throw damaged("literals beyond the end of the block");
    if (literals <= 32) for (let stop = input + literals; input < stop; ) target[output++] = source[input++] as number;
    else {
      target.set(source.subarray(input, input + literals), output);
      input += literals;
      output += literals;
    }
    if (input === end) return output;
    if (input + 2 > end) throw damaged("block ends within a match");
    const distance = (source[input] as number) | ((source[input + 1] as number) << 8);
    input += 2;
    let length = (token & 15) + MATCH_MIN;
    if (length === 15 + MATCH_MIN) {
      let more: number;
      do {
        if (input >= end) throw damaged("block ends within a length");
        more = source[input++] as number;
        length += more;
      } while (more === 255);
    }
    if (distance === 0 || distance > output) throw damaged("match before the begin of the content");
    if (output + length > limit) throw damaged("match beyond the end of the block");
    if (distance >= length && length > 32) {
      target.copyWithin(output, output - distance, output - distance + length);
      output += length;
    } else {
      for (let stop = output + length; output < stop; output++) target[output] = target[output - distance] as number;
    }
  }
  throw damaged("block ends without literals");
}

function readUInt32(bytes: Uint8Array, position: number): number {
  assert(position + 4 <= bytes.length, "read beyond the end of a buffer");
  const low =
    (bytes[position] as number) | ((bytes[position + 1] as number) << 8) | ((bytes[position + 2] as number) << 16);
  return (low | ((bytes[position + 3] as number) << 24)) >>> 0;
}

function checkSum(what: string, actual: number, expected: number): void {
  if (actual !== expected)
    throw damaged(`${what} checksum is ${actual.toString(16)} instead of ${expected.toString(16)}`);
}

function damaged(text: string): BackupError {
  return fail("format", `lz4 content is damaged or cut short: ${text}`);
}
