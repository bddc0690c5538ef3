/**
 * Writes zst as consecutive frames of 1 or 2.5 MiB of content: readers get the same bytes, at little more than half the
 * work.
 *
 * In a single frame of a large file the library matches against a window that wraps around in a buffer, its slow path.
 * A frame whose content is given at once takes the fast path, without a copy. RFC 8878 allows consecutive frames, and
 * stock reads them as one file (shown by the interop tests with 2.45, 2.55 and 2.60). Repetitions across frames are
 * not found. Levels above {@link FRAMED_LEVEL_MAX} are for users who want a large window, and stay one frame. Several
 * frames end with a seek table.
 *
 * Some content (WAL, digests, packed values) has only long repetitions. A lean search for them, whose table fits into a
 * processor's first cache, takes half of the time or less, and often finds a smaller frame. What a file contains is not
 * known before, so some frames are compressed with both searches, and those that follow as the better one was. Where
 * the lean one was worse, as with text, they are long: frames of 1 MiB made text 4 per cent larger than stock's single
 * frame with its window of 2 MiB, long ones 1.6.
 */
import { promisify } from "node:util";
import { constants, createZstdCompress, zstdCompress, zstdCompressSync, type ZstdOptions } from "node:zlib";
import { type ByteStream, concatBytes, EMPTY_BYTES, freeMemory } from "../../base/bytes";
import { assert } from "../../base/errors";
import type { Codec } from "./codec";
import { HandleCodec, handlesWork } from "./zlibCodec";
import { ZstSeekTable } from "./zstSeekTable";

/** Content of one frame; a file's last one is shorter. */
export const FRAME_SIZE_BYTES = 1024 * 1024;
/** For content with short repetitions. A reader of one page unpacks all of it, and a thread holds one in memory. */
export const LONG_FRAME_SIZE_BYTES = 2.5 * FRAME_SIZE_BYTES;
export const FRAMED_LEVEL_MAX = 9;

/**
 * Upper bound of a frame with this much content (ZSTD_compressBound, rounded up): space for the whole frame avoids the
 * copy.
 */
function outputSizeBytes(contentSizeBytes: number): number {
  return contentSizeBytes + (contentSizeBytes >> 8) + 1024;
}

/** How repetitions are found; `lean` misses short ones. */
export type Search = "usual" | "lean";

/** Content of a small file is not worth a second attempt. */
const FIRST_TRIAL_FRAME = 1;
const TRIAL_EVERY_FRAMES = 32;
/** So much larger the lean frame may be, for the time that it saves. */
const LEAN_SIZE_MAX = 1 + 1 / 128;
/** A frame that packs so much worse than that of the trial says that the content has changed. */
const SURPRISE = 1.25;

/** The rest of a WAL segment that was switched early, and what a relation has not used yet. */
function isZeroFrame(content: Uint8Array): boolean {
  const isWhole = content.length === FRAME_SIZE_BYTES || content.length === LONG_FRAME_SIZE_BYTES;
  // Compares each byte with the one before: zeros to compare with would take megabytes in each thread.
  return isWhole && content[0] === 0 && Buffer.compare(content.subarray(1), content.subarray(0, -1)) === 0;
}

/** Chooses the search for each frame of a file, or of files with the same kind of content. */
export class FrameSearches {
  readonly #hasLean: boolean;
  /** Frames of zeros, made once for each size. */
  readonly #zeroFrames = new Map<number, Uint8Array>();
  #frameNo = 0;
  /** Packed bytes for a byte of the last trial, while the lean search is the better one. */
  #leanRatio: number | null = null;
  /** True after a comparison that the usual search won. */
  #isLong = false;

  /** Negative levels are leaner already, and the highest ones are for the smallest size. */
  constructor(level: number) {
    this.#hasLean = level > 0 && level <= FRAMED_LEVEL_MAX;
  }

  /** Content of the next frame. */
  get frameSizeBytes(): number {
    return this.#isLong && !this.#isTrial ? LONG_FRAME_SIZE_BYTES : FRAME_SIZE_BYTES;
  }

  get #isTrial(): boolean {
    return this.#hasLean && this.#frameNo % TRIAL_EVERY_FRAMES === FIRST_TRIAL_FRAME;
  }

  /** Yields each search for the next frame, takes the frame that it makes, and returns the better one. */
  *next(content: Uint8Array): Generator<Search, Uint8Array, Uint8Array> {
    if (isZeroFrame(content)) {
      const frame = this.#zeroFrames.get(content.length) ?? Buffer.from(yield "usual");
      this.#zeroFrames.set(content.length, frame);
      return frame;
    }
    const isTrial = this.#isTrial;
    this.#frameNo++;
    if (!isTrial && this.#leanRatio === null) return yield "usual";
    const lean = yield "lean";
    const expectedBytes = (this.#leanRatio ?? 0) * content.length;
    if (!isTrial && lean.length <= expectedBytes * SURPRISE) return lean;
    const usual = yield "usual";
    const isBetter = lean.length <= usual.length * LEAN_SIZE_MAX;
    this.#leanRatio = isBetter ? lean.length / content.length : null;
    this.#isLong = !isBetter;
    return isBetter ? lean : usual;
  }
}

/** `pack` returns each frame in memory of its search. */
export function nextFrame(
  searches: FrameSearches,
  content: Uint8Array,
  pack: (search: Search) => Uint8Array,
): Uint8Array {
  const frame = searches.next(content);
  let step = frame.next();
  while (step.done !== true) step = frame.next(pack(step.value));
  return step.value;
}

/** The same frames for content in memory. */
export function zstFrames(bytes: Uint8Array, level: number): Uint8Array {
  const frames: Uint8Array[] = [];
  const table = new ZstSeekTable();
  const searches = new FrameSearches(level);
  for (let begin = 0; begin < bytes.length || begin === 0; ) {
    const content = bytes.subarray(begin, begin + searches.frameSizeBytes);
    begin += searches.frameSizeBytes;
    const frame = nextFrame(searches, content, (search) => zstFrame(content, level, search));
    table.add(frame.length, content.length);
    frames.push(frame);
  }
  return concatBytes([...frames, table.encode()]);
}

/** Idle handles, one for each search and level. */
class KeptHandles {
  readonly #handles = new Map<string, HandleCodec>();

  /** It is no longer here while it works, so that a failed one is not reused. */
  take(search: Search, level: number, open: () => HandleCodec): HandleCodec {
    const key = `${search} ${level}`;
    const handle = this.#handles.get(key) ?? open();
    this.#handles.delete(key);
    return handle;
  }

  keep(search: Search, level: number, handle: HandleCodec): void {
    const key = `${search} ${level}`;
    if (this.#handles.has(key)) handle.close();
    else this.#handles.set(key, handle);
  }
}

/** Making a codec costs as much as compressing a page. */
const handlesOfSmallFiles = new KeptHandles();
/** Each has megabytes of memory, which would wait for a collection. */
const handlesOfFiles = new KeptHandles();

function zstFrame(content: Uint8Array, level: number, search: Search): Uint8Array {
  if (!handlesWork())
    return zstdCompressSync(content, { chunkSize: outputSizeBytes(content.length), params: zstParams(level, search) });
  const handle = handlesOfSmallFiles.take(search, level, () => openHandle(level, search, (error) => error));
  const pieces: Uint8Array[] = [];
  for (const piece of content.length === 0 ? handle.finish() : handle.update(content)) pieces.push(Buffer.from(piece));
  handlesOfSmallFiles.keep(search, level, handle);
  return concatBytes(pieces);
}

/** Ends a frame with each chunk; the next one begins automatically. */
function openHandle(level: number, search: Search, mapError: (error: unknown) => unknown): HandleCodec {
  const create = (): ReturnType<typeof createZstdCompress> => createZstdCompress({ params: zstParams(level, search) });
  const flags = { moreFlag: constants.ZSTD_e_end, endFlag: constants.ZSTD_e_end };
  // Also the lean search may get a long frame, if another file changes the search while it is gathered.
  return new HandleCodec({ create, ...flags, mapError }, outputSizeBytes(LONG_FRAME_SIZE_BYTES));
}

export function zstParams(level: number, search: Search = "usual"): Record<number, number> {
  const usual = { [constants.ZSTD_c_compressionLevel]: level };
  if (search === "usual") return usual;
  return {
    ...usual,
    [constants.ZSTD_c_strategy]: constants.ZSTD_fast,
    [constants.ZSTD_c_minMatch]: 7,
    [constants.ZSTD_c_hashLog]: 13,
  };
}

/** Memory that gathered the frames of an earlier file: V8 would let dozens of megabytes of them pile up. */
let idleInput: Buffer | null = null;

function takeInput(): Buffer {
  const input = idleInput ?? Buffer.allocUnsafeSlow(LONG_FRAME_SIZE_BYTES);
  idleInput = null;
  return input;
}

/** Collects chunks of any length into complete frames. */
export class ZstFramesCompressor implements Codec {
  readonly #level: number;
  readonly #mapError: (error: unknown) => unknown;
  readonly #handles = new Map<Search, HandleCodec>();
  readonly #searches: FrameSearches;
  /** Gathers a frame; null while chunks are whole frames. */
  #input: Buffer | null = null;
  /** Content of the frame that is being gathered. */
  #sizeBytes = 0;
  readonly #table = new ZstSeekTable();
  #filledBytes = 0;
  #isWhole = false;

  /** `mapError` converts the codec's own errors. */
  constructor(level: number, searches: FrameSearches, mapError: (error: unknown) => unknown) {
    this.#level = level;
    this.#searches = searches;
    this.#mapError = mapError;
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    for (let taken = 0; taken < chunk.length; ) {
      if (this.#filledBytes === 0) this.#sizeBytes = this.#searches.frameSizeBytes;
      const sizeBytes = this.#sizeBytes;
      const part = chunk.subarray(taken, taken + sizeBytes - this.#filledBytes);
      taken += part.length;
      if (part.length === sizeBytes) {
        yield this.#frame(part);
        continue;
      }
      this.#input ??= takeInput();
      this.#input.set(part, this.#filledBytes);
      this.#filledBytes += part.length;
      if (this.#filledBytes < sizeBytes) return;
      this.#filledBytes = 0;
      yield this.#frame(this.#input.subarray(0, sizeBytes));
    }
  }

  *finish(): Iterable<Uint8Array> {
    const rest = this.#input?.subarray(0, this.#filledBytes) ?? EMPTY_BYTES;
    if (rest.length > 0 || this.#table.isEmpty) yield this.#frame(rest);
    const table = this.#table.encode();
    if (table.length > 0) yield table;
    this.#isWhole = true;
  }

  close(): void {
    idleInput ??= this.#input;
    this.#input = null;
    for (const [search, handle] of this.#handles) {
      if (this.#isWhole) handlesOfFiles.keep(search, this.#level, handle);
      else handle.close();
    }
    this.#handles.clear();
  }

  /** In memory that the next frame uses again. */
  #frame(content: Uint8Array): Uint8Array {
    const frame = nextFrame(this.#searches, content, (search) => this.#packed(content, search));
    this.#table.add(frame.length, content.length);
    return frame;
  }

  #packed(content: Uint8Array, search: Search): Uint8Array {
    if (!handlesWork()) return zstFrame(content, this.#level, search);
    let handle = this.#handles.get(search);
    if (handle === undefined) {
      handle = handlesOfFiles.take(search, this.#level, () => openHandle(this.#level, search, this.#mapError));
      this.#handles.set(search, handle);
    }
    // A handle's memory has space for a whole frame.
    const [frame, ...more] = content.length === 0 ? handle.finish() : handle.update(content);
    assert(frame !== undefined && more.length === 0, "a zst frame in several pieces");
    return frame;
  }
}

/** A copy of a frame that fills little of the memory that was made for it; the rest would stay with each frame. */
function fitted(frame: Buffer, memoryBytes: number): Uint8Array {
  const { buffer } = frame;
  if (buffer.byteLength !== memoryBytes || frame.length > memoryBytes / 2) return frame;
  const copy = Buffer.allocUnsafeSlow(frame.length);
  frame.copy(copy);
  freeMemory(new Uint8Array(buffer));
  return copy;
}

/** The same frames of a stream, compressed in Node's thread pool: the calling thread stays free. */
export async function* zstFramesStream(source: ByteStream, level: number): ByteStream {
  let parts: Uint8Array[] = [];
  let gatheredBytes = 0;
  const table = new ZstSeekTable();
  const searches = new FrameSearches(level);
  const compressFrame = promisify<Uint8Array, ZstdOptions, Buffer>(zstdCompress);
  const frame = async (): Promise<Uint8Array> => {
    const content = concatBytes(parts);
    const isOwn = parts.length > 1;
    parts = [];
    gatheredBytes = 0;
    const sizes = { chunkSize: outputSizeBytes(content.length), pledgedSrcSize: content.length };
    const next = searches.next(content);
    let step = next.next();
    while (step.done !== true)
      step = next.next(
        fitted(await compressFrame(content, { ...sizes, params: zstParams(level, step.value) }), sizes.chunkSize),
      );
    table.add(step.value.length, content.length);
    if (isOwn) freeMemory(content);
    return step.value;
  };
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length; ) {
      const sizeBytes = searches.frameSizeBytes;
      const part = chunk.subarray(taken, taken + sizeBytes - gatheredBytes);
      taken += part.length;
      gatheredBytes += part.length;
      parts.push(part);
      if (gatheredBytes === sizeBytes) yield await frame();
    }
  }
  if (gatheredBytes > 0 || table.isEmpty) yield await frame();
  const end = table.encode();
  if (end.length > 0) yield end;
}
