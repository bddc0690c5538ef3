/**
 * Reads bzip2, which stock writes with `compress-type=bz2`. Writing it is not supported: zst is better in every way.
 *
 * One block (up to 900 kB before its outer run lengths) is decoded as soon as all its bits are there; its content comes
 * in pieces. The checksums of every block and of the stream are verified. As in stock, data after the first stream is
 * ignored. "Randomised" blocks, which no bzip2 since 1998 makes, are refused. No package fits: seek-bzip needs APIs
 * that Node calls deprecated; unbzip2-stream was abandoned in 2020 and takes the end of its input for damage; wasm-bz2
 * has 1 MB and wants whole files in memory. Errors: format (29). (The format as bzip2 1.0.8 reads it; "bzip2 format
 * specification" of J. Tsai.)
 */
import { concatBytes } from "../../base/bytes";
import { type BackupError, fail } from "../../base/errors";

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const HEAD_SIZE_BYTES = 4;
const LEVEL_SIZE_BYTES = 100_000;
const CODE_BITS_MAX = 20;
const SELECTORS_MAX = 32_768;
/** Codes per selector. */
const GROUP_SIZE = 50;
/** Codes up to this length need one lookup. */
const FAST_BITS = 10;
const PIECE_SIZE_BYTES = 256 * 1024;
/** Up to this length moving bytes one by one is faster. */
const COPY_MIN = 24;
const EMPTY = new Uint8Array(0);

/** Takes the chunks of one stream; good for one pass. */
export class Bz2Decompressor {
  #bits = new BitReader(EMPTY);
  /** Chunks that wait until a block is complete. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #decoder: BlockDecoder | undefined;
  #streamCrc = 0;
  #ended = false;

  /** @throws format */
  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    if (this.#ended) return;
    // Copied: the caller may reuse its chunk.
    this.#waiting.push(Buffer.from(chunk));
    this.#waitingBytes += chunk.length;
    yield* this.#decode(false);
  }

  /** @throws format when the stream is incomplete */
  *finish(): Iterable<Uint8Array> {
    yield* this.#decode(true);
    if (!this.#ended) throw damaged("it ends early");
  }

  close(): void {
    this.#ended = true;
    this.#bits = new BitReader(EMPTY);
    this.#waiting = [];
    this.#decoder = undefined;
  }

  *#decode(isLast: boolean): Iterable<Uint8Array> {
    while (!this.#ended) {
      if (!this.#gather(this.#decoder?.storedSizeBytesMax ?? HEAD_SIZE_BYTES, isLast)) return;
      this.#decoder ??= new BlockDecoder(readLevel(this.#bits));
      if (!this.#gather(this.#decoder.storedSizeBytesMax, isLast)) return;
      const magic = this.#bits.read(24) * 2 ** 24 + this.#bits.read(24);
      const crc = this.#bits.read32();
      if (magic === END_MAGIC) {
        if (crc !== this.#streamCrc) throw damaged("checksum of the stream does not match");
        this.#bits.requireReal();
        this.#ended = true;
        return;
      }
      if (magic !== BLOCK_MAGIC) throw damaged("no block begins where one should");
      yield* this.#decoder.decode(this.#bits, crc);
      this.#streamCrc = (((this.#streamCrc << 1) | (this.#streamCrc >>> 31)) ^ crc) >>> 0;
    }
  }

  /** True when this many bytes can be read, or fewer at the end of the input. */
  #gather(sizeBytes: number, isLast: boolean): boolean {
    if (
      this.#bits.leftBytes < sizeBytes &&
      this.#waitingBytes > 0 &&
      (isLast || this.#bits.leftBytes + this.#waitingBytes >= sizeBytes)
    ) {
      this.#bits = this.#bits.with(this.#waiting);
      this.#waiting = [];
      this.#waitingBytes = 0;
    }
    return this.#bits.leftBytes >= sizeBytes || (isLast && this.#bits.leftBytes > 0);
  }
}

/** Content in memory. @throws format also when it is larger than `limitBytes` */
export function decompressBz2Bytes(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const decompressor = new Bz2Decompressor();
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for (const pieces of [decompressor.update(bytes), decompressor.finish()]) {
    for (const piece of pieces) {
      sizeBytes += piece.length;
      if (sizeBytes > limitBytes) throw damaged(`content is larger than the limit of ${limitBytes} bytes`);
      parts.push(piece);
    }
  }
  return Buffer.concat(parts);
}

function readLevel(bits: BitReader): number {
  const head = bits.read(24);
  const level = bits.read(8) - 0x30;
  bits.requireReal();
  if (head !== 0x425a68 || level < 1 || level > 9) throw damaged("its head is missing");
  return level;
}

/**
 * Reads bits from the most significant one of each byte. After the end of the last chunk it returns zeros, which {@link
 * requireReal} detects.
 */
class BitReader {
  readonly #bytes: Uint8Array;
  #position = 0;
  #held = 0;
  #heldBits = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Untouched complete bytes. */
  get leftBytes(): number {
    return Math.max(this.#bytes.length - this.#position, 0);
  }

  /** The unread bits, followed by `more`. */
  with(more: readonly Uint8Array[]): BitReader {
    const next = new BitReader(
      concatBytes([this.#bytes.subarray(Math.min(this.#position, this.#bytes.length)), ...more]),
    );
    next.#held = this.#held;
    next.#heldBits = this.#heldBits;
    return next;
  }

  /** At most 24 bits. */
  read(count: number): number {
    const value = this.peek(count);
    this.#heldBits -= count;
    return value;
  }

  read32(): number {
    return this.read(16) * 65_536 + this.read(16);
  }

  peek(count: number): number {
    while (this.#heldBits < count) {
      const byte = this.#position < this.#bytes.length ? (this.#bytes[this.#position] as number) : 0;
      this.#position++;
      this.#held = (this.#held << 8) | byte;
      this.#heldBits += 8;
    }
    return (this.#held >>> (this.#heldBits - count)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#heldBits -= count;
  }

  /** @throws format when missing bits were read */
  requireReal(): void {
    if (this.#position - Math.floor(this.#heldBits / 8) > this.#bytes.length) throw damaged("it ends early");
  }
}

interface CodeTable {
  readonly lengthMin: number;
  readonly lengthMax: number;
  /** Codes by the next {@link FAST_BITS} bits: symbol × 32 + length; 0 for longer codes. */
  readonly fast: Uint16Array;
  /** The largest code of each length, left-aligned in {@link CODE_BITS_MAX} bits. */
  readonly limits: Int32Array;
  /** For each length: the number to subtract from a code for its index into `symbols`. */
  readonly bases: Int32Array;
  readonly symbols: Uint16Array;
}

class BlockDecoder {
  /** No block is larger: every code has at most 20 bits, and the tables are small. */
  readonly storedSizeBytesMax: number;
  readonly #sizeBytes: number;
  /** Bytes in the low 8 bits, links of the transform above them. */
  readonly #links: Uint32Array;
  readonly #selectors = new Uint8Array(SELECTORS_MAX);

  constructor(level: number) {
    this.#sizeBytes = level * LEVEL_SIZE_BYTES;
    this.#links = new Uint32Array(this.#sizeBytes);
    this.storedSizeBytesMax = Math.ceil((this.#sizeBytes * CODE_BITS_MAX) / 8) + 64 * 1024;
  }

  /** The content of a block after its header. @throws format */
  *decode(bits: BitReader, crc: number): Iterable<Uint8Array> {
    if (bits.read(1) === 1) throw damaged("a block is randomised, which is not supported");
    const origin = bits.read(24);
    const values = readValues(bits);
    const groupCount = bits.read(3);
    if (groupCount < 2 || groupCount > 6) throw damaged("a block has a wrong number of codes");
    const selectorCount = this.#readSelectors(bits, groupCount);
    const tables = Array.from({ length: groupCount }, () => readTable(bits, values.length + 2));
    bits.requireReal();
    const counts = new Uint32Array(256);
    const sizeBytes = this.#readSymbols(bits, values, tables, selectorCount, counts);
    bits.requireReal();
    if (origin >= sizeBytes) throw damaged("a block begins outside of itself");
    this.#link(sizeBytes, counts);
    yield* unfold(this.#links, origin, sizeBytes, crc);
  }

  #readSelectors(bits: BitReader, groupCount: number): number {
    const count = bits.read(15);
    if (count === 0) throw damaged("a block has no selectors");
    const order = Uint8Array.from({ length: groupCount }, (_, group) => group);
    for (let index = 0; index < count; index++) {
      let position = 0;
      while (bits.read(1) === 1) if (++position >= groupCount) throw damaged("a selector is out of range");
      this.#selectors[index] = moveToFront(order, position);
    }
    return count;
  }

  /** Undoes Huffman codes, run lengths and move-to-front; returns the number of bytes. */
  #readSymbols(
    bits: BitReader,
    values: Uint8Array,
    tables: readonly CodeTable[],
    selectorCount: number,
    counts: Uint32Array,
  ): number {
    const links = this.#links;
    const order = Uint8Array.from(values);
    const endSymbol = values.length + 1;
    let filled = 0;
    let runLength = 0;
    let runWeight = 1;
    for (let selector = 0; selector < selectorCount; selector++) {
      const table = tables[this.#selectors[selector] as number] as CodeTable;
      for (let left = GROUP_SIZE; left > 0; left--) {
        const symbol = readSymbol(bits, table);
        if (symbol <= 1) {
          runLength += runWeight << symbol;
          runWeight *= 2;
          if (runLength > this.#sizeBytes) throw damaged("a block is too long");
          continue;
        }
        if (runLength > 0) {
          const value = order[0] as number;
          if (filled + runLength > this.#sizeBytes) throw damaged("a block is too long");
          links.fill(value, filled, filled + runLength);
          counts[value] = (counts[value] as number) + runLength;
          filled += runLength;
          runLength = 0;
          runWeight = 1;
        }
        if (symbol === endSymbol) return filled;
        if (filled >= this.#sizeBytes) throw damaged("a block is too long");
        const value = moveToFront(order, symbol - 1);
        counts[value] = (counts[value] as number) + 1;
        links[filled++] = value;
      }
    }
    throw damaged("a block has no end");
  }

  /** Gives each byte the position of the next one: the inverse of the Burrows-Wheeler transform. */
  #link(sizeBytes: number, counts: Uint32Array): void {
    const links = this.#links;
    const next = new Uint32Array(256);
    for (let value = 1; value < 256; value++) next[value] = (next[value - 1] as number) + (counts[value - 1] as number);
    for (let position = 0; position < sizeBytes; position++) {
      const value = (links[position] as number) & 0xff;
      const target = next[value] as number;
      next[value] = target + 1;
      links[target] = (links[target] as number) | (position << 8);
    }
  }
}

/**
 * Follows the links and expands the outer runs: four equal bytes, then a repeat count.
 * @throws format when the checksum differs
 */
function* unfold(links: Uint32Array, origin: number, sizeBytes: number, expectedCrc: number): Iterable<Uint8Array> {
  let crc = 0xffffffff;
  let piece = new Uint8Array(Math.min(PIECE_SIZE_BYTES, sizeBytes + 255));
  let filled = 0;
  let link = links[origin] as number;
  let before = -1;
  let equal = 0;
  for (let left = sizeBytes; left > 0; left--) {
    link = links[link >>> 8] as number;
    const value = link & 0xff;
    let count = 1;
    let written = value;
    if (equal === 4) {
      count = value;
      written = before;
      equal = 0;
      before = -1;
    } else {
      equal = value === before ? equal + 1 : 1;
      before = value;
    }
    if (filled + count > piece.length) {
      yield piece.subarray(0, filled);
      piece = new Uint8Array(PIECE_SIZE_BYTES);
      filled = 0;
    }
    for (let copy = 0; copy < count; copy++) {
      crc = (crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ written] as number);
      piece[filled++] = written;
    }
  }
  if (~crc >>> 0 !== expectedCrc) throw damaged("checksum of a block does not match");
  if (filled > 0) yield piece.subarray(0, filled);
}

/** The byte values that a block uses, ascending. */
function readValues(bits: BitReader): Uint8Array {
  const values: number[] = [];
  const ranges = bits.read(16);
  for (let range = 0; range < 16; range++) {
    if ((ranges & (0x8000 >> range)) === 0) continue;
    const used = bits.read(16);
    for (let low = 0; low < 16; low++) if ((used & (0x8000 >> low)) !== 0) values.push(range * 16 + low);
  }
  if (values.length === 0) throw damaged("a block uses no byte");
  return Uint8Array.from(values);
}

function readTable(bits: BitReader, symbolCount: number): CodeTable {
  const lengths = new Uint8Array(symbolCount);
  let length = bits.read(5);
  for (let symbol = 0; symbol < symbolCount; symbol++) {
    for (;;) {
      if (length < 1 || length > CODE_BITS_MAX) throw damaged("a code has a wrong length");
      if (bits.read(1) === 0) break;
      length += bits.read(1) === 0 ? 1 : -1;
    }
    lengths[symbol] = length;
  }
  return tableOf(lengths);
}

/** Codes ascend with length, and with the symbol within one length. */
function tableOf(lengths: Uint8Array): CodeTable {
  const lengthMin = lengths.reduce((min, length) => Math.min(min, length));
  const lengthMax = lengths.reduce((max, length) => Math.max(max, length));
  const fast = new Uint16Array(1 << FAST_BITS);
  const limits = new Int32Array(CODE_BITS_MAX + 1).fill(-1);
  const bases = new Int32Array(CODE_BITS_MAX + 1);
  const symbols = new Uint16Array(lengths.length);
  let code = 0;
  let index = 0;
  for (let length = lengthMin; length <= lengthMax; length++) {
    bases[length] = code - index;
    for (const [symbol, own] of lengths.entries()) {
      if (own !== length) continue;
      symbols[index++] = symbol;
      if (length <= FAST_BITS) {
        const begin = code << (FAST_BITS - length);
        // Too many short codes: those outside the range are unreachable.
        fast.fill(symbol * 32 + length, begin, Math.min(fast.length, (code + 1) << (FAST_BITS - length)));
      }
      code++;
    }
    limits[length] = code * 2 ** (CODE_BITS_MAX - length) - 1;
    code *= 2;
  }
  return { lengthMin, lengthMax, fast, limits, bases, symbols };
}

function readSymbol(bits: BitReader, table: CodeTable): number {
  const ahead = bits.peek(CODE_BITS_MAX);
  const entry = table.fast[ahead >>> (CODE_BITS_MAX - FAST_BITS)] as number;
  if (entry !== 0) {
    bits.skip(entry & 31);
    return entry >>> 5;
  }
  for (let length = table.lengthMin; length <= table.lengthMax; length++) {
    if (ahead > (table.limits[length] as number)) continue;
    const symbol = table.symbols[(ahead >>> (CODE_BITS_MAX - length)) - (table.bases[length] as number)];
    if (symbol === undefined) break;
    bits.skip(length);
    return symbol;
  }
  throw damaged("a code is not defined");
}

/** Returns the value at `position` and moves it to the front. */
function moveToFront(order: Uint8Array, position: number): number {
  const value = order[position] as number;
  if (position > COPY_MIN) order.copyWithin(1, 0, position);
  else for (let index = position; index > 0; index--) order[index] = order[index - 1] as number;
  order[0] = value;
  return value;
}

/** CRC-32 with the most significant bit first. */
const CRC_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x80000000) === 0 ? crc << 1 : (crc << 1) ^ 0x04c11db7;
  return crc;
});

function damaged(reason: string): BackupError {
  return fail("format", `bz2 content is damaged or cut short: ${reason}`);
}
