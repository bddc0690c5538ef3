/** Small helpers over byte streams: `AsyncIterable<Uint8Array>` end to end. */
import { isAscii } from "node:buffer";
import { fail } from "./errors";

export type ByteStream = AsyncIterable<Uint8Array>;

export const EMPTY_BYTES = new Uint8Array(0);

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
}

/** The whole stream in memory. @throws fileInvalid when it is larger than `limitBytes`. */
export async function collect(source: ByteStream, limitBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of source) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw fail("fileInvalid", `content is larger than the limit of ${limitBytes} bytes`);
    parts.push(part);
  }
  return concatBytes(parts);
}

export async function* streamOf(...parts: readonly Uint8Array[]): ByteStream {
  yield* parts;
}

/** The same bytes; `visit` receives each chunk. */
export async function* tap(source: ByteStream, visit: (chunk: Uint8Array) => void): ByteStream {
  for await (const chunk of source) {
    visit(chunk);
    yield chunk;
  }
}

export function utf8(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
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

/** The order of C's strcmp over UTF-8, that of code points; JavaScript's differs for surrogates. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  const end = Math.min(a.length, b.length);
  for (let index = 0; index < end; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    const leftHigh = left >= 0xd800 && left <= 0xdfff;
    const rightHigh = right >= 0xd800 && right <= 0xdfff;
    return leftHigh === rightHigh ? left - right : leftHigh ? 1 : -1;
  }
  return a.length - b.length;
}
