/**
 * Small helpers over byte streams (`AsyncIterable<Uint8Array>` end to end), and text that loses no byte.
 *
 * PostgreSQL and file systems take any bytes for a name. A text of ours holds UTF-8 as its characters and every other
 * byte 0xNN as the lone surrogate U+DCNN, which no UTF-8 has. {@link textOf} and {@link utf8} are exact inverses.
 * ("surrogateescape": Python, PEP 383.)
 */
import { isAscii, isUtf8 } from "node:buffer";
import { fail } from "./errors";

export type ByteStream = AsyncIterable<Uint8Array>;

export const EMPTY_BYTES = new Uint8Array(0);

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/** Below this, collecting garbage is cheaper. */
const FREED_SIZE_BYTES_MIN = 64 * 1024;

/**
 * Frees the memory of bytes that nothing uses any more, if they have a buffer of their own. V8 would let 32 MiB of such
 * buffers pile up.
 */
export function freeMemory({ buffer, length }: Uint8Array): void {
  if (length < FREED_SIZE_BYTES_MIN || buffer.byteLength !== length || !(buffer instanceof ArrayBuffer)) return;
  buffer.transfer(0);
}

/** Buffers whose bytes never change again: what was computed from them stays right. */
const settled = new WeakSet<ArrayBufferLike>();

export function settle({ buffer }: Uint8Array): void {
  settled.add(buffer);
}

export function isSettled({ buffer }: Uint8Array): boolean {
  return settled.has(buffer);
}

/** The whole stream in memory. @throws fileInvalid when it is larger than `limitBytes`. */
export async function collect(source: ByteStream, limitBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of source) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw tooLarge(limitBytes);
    parts.push(part);
  }
  return concatBytes(parts);
}

/** The same bytes. A small stored file may unpack to any size. @throws fileInvalid before it exceeds `limitBytes` */
export async function* limited(source: ByteStream, limitBytes: number): ByteStream {
  let sizeBytes = 0;
  for await (const part of source) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw tooLarge(limitBytes);
    yield part;
  }
}

function tooLarge(limitBytes: number): Error {
  return fail("fileInvalid", `content is larger than the limit of ${limitBytes} bytes`);
}

export async function* streamOf(...parts: readonly Uint8Array[]): ByteStream {
  yield* parts;
}

/** Bytes that are no UTF-8, in a text of ours. */
const STRAY = /[\udc80-\udcff]+/u;
const STRAYS = /[\udc80-\udcff]+/gu;
const STRAY_BASE = 0xdc00;

/** True when the text holds a byte that is no UTF-8: nothing but {@link utf8} may then make bytes of it. */
export function hasStrayBytes(text: string): boolean {
  return STRAY.test(text);
}

export function utf8(text: string): Uint8Array {
  if (!hasStrayBytes(text)) return Buffer.from(text, "utf8");
  return Buffer.concat(piecesOf(text, (piece) => Buffer.from(piece, "utf8"), strayBytes));
}

/** The text of any bytes. */
export function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(bytes)) return buffer.toString("utf8");
  let text = "";
  let begin = 0;
  for (let at = 0; at < buffer.length; ) {
    const lead = buffer[at] as number;
    const end = at + (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);
    if (end <= buffer.length && isUtf8(buffer.subarray(at, end))) {
      at = end;
      continue;
    }
    text += buffer.toString("utf8", begin, at) + String.fromCharCode(STRAY_BASE + lead);
    begin = ++at;
  }
  return text + buffer.toString("utf8", begin);
}

/** A text for people: bytes that are no UTF-8 as `\xE9`. */
export function shownText(text: string): string {
  return text.replace(STRAYS, (strays) => strayBytes(strays).toString("hex").replace(/../g, "\\x$&"));
}

/** A text, and copies of its pieces: V8's own slices are small, but each keeps the whole text in memory. */
export interface TextPart {
  readonly text: string;
  cut(begin: number, end: number): string;
}

/** A text that stays in memory anyway. */
export function wholeText(text: string): TextPart {
  return { text, cut: (begin, end) => text.slice(begin, end) };
}

const LINE_FEED = 0x0a;
/** Small enough for the next short garbage collection to free it. */
const PART_SIZE_BYTES = 64 * 1024;

/** A stream's text in parts of complete lines. @throws fileInvalid when it is larger than `limitBytes`. */
export async function* wholeLines(source: ByteStream, limitBytes: number): AsyncIterable<TextPart> {
  let rest: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    sizeBytes += chunk.length;
    if (sizeBytes > limitBytes) throw fail("fileInvalid", `content is larger than the limit of ${limitBytes} bytes`);
    let begin = 0;
    if (rest.length > 0) {
      begin = chunk.indexOf(LINE_FEED) + 1;
      rest.push(begin === 0 ? chunk : chunk.subarray(0, begin));
      if (begin === 0) continue;
      yield textPart(concatBytes(rest));
      rest = [];
    }
    for (let end = endOfLines(chunk, begin); end > begin; end = endOfLines(chunk, begin)) {
      yield textPart(chunk.subarray(begin, end));
      begin = end;
    }
    if (begin < chunk.length) rest.push(chunk.subarray(begin));
  }
  if (rest.length > 0) yield textPart(concatBytes(rest));
}

/**
 * End of the part that begins at `begin`: after the last line that fits, or the only one; 0 without a complete line.
 */
function endOfLines(chunk: Uint8Array, begin: number): number {
  const limit = Math.min(begin + PART_SIZE_BYTES, chunk.length);
  const end = limit === 0 ? 0 : chunk.lastIndexOf(LINE_FEED, limit - 1) + 1;
  return end > begin ? end : chunk.indexOf(LINE_FEED, limit) + 1;
}

function textPart(bytes: Uint8Array): TextPart {
  const text = textOf(bytes);
  if (!isAscii(bytes)) return { text, cut: (begin, end) => textOf(utf8(text.slice(begin, end))) };
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { text, cut: (begin, end) => buffer.toString("latin1", begin, end) };
}

/** How many positions from 0 come before a bound: `isBefore` is true for the first ones and false for the rest. */
export function countBefore(length: number, isBefore: (index: number) => boolean): number {
  let low = 0;
  for (let high = length; low < high; ) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The order of C's strcmp over the texts' bytes; JavaScript's differs for surrogates. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  const end = Math.min(a.length, b.length);
  for (let index = 0; index < end; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    if (mayBeStray(left) || mayBeStray(right)) return Buffer.compare(utf8(a), utf8(b));
    const leftHigh = left >= 0xd800 && left <= 0xdfff;
    const rightHigh = right >= 0xd800 && right <= 0xdfff;
    return leftHigh === rightHigh ? left - right : leftHigh ? 1 : -1;
  }
  return a.length - b.length;
}

/** Every piece of UTF-8 and every run of stray bytes, in order. */
function piecesOf<T>(text: string, ofText: (piece: string) => T, ofStrays: (strays: string) => T): T[] {
  const pieces: T[] = [];
  let begin = 0;
  for (const { 0: strays, index } of text.matchAll(STRAYS)) {
    if (index > begin) pieces.push(ofText(text.slice(begin, index)));
    pieces.push(ofStrays(strays));
    begin = index + strays.length;
  }
  if (begin < text.length) pieces.push(ofText(text.slice(begin)));
  return pieces;
}

function strayBytes(strays: string): Buffer {
  return Buffer.from(Array.from(strays, (stray) => stray.charCodeAt(0) - STRAY_BASE));
}

/** Also for the second half of some characters: a quick answer. */
function mayBeStray(char: number): boolean {
  return char >= STRAY_BASE + 0x80 && char <= STRAY_BASE + 0xff;
}

/** The numbers in bytes. */
export function viewOf({ buffer, byteLength, byteOffset }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}
