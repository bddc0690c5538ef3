/**
 * Compression of stored files: gz and zst by node:zlib, lz4 by our own codec; bz2 is read but not written.
 *
 * The raw variant (bundled files with `backup-bundle-raw`, super blocks): gz is a zlib stream, lz4 a frame without
 * content checksum, zst the same. zst is a sequence of frames (see zstFrames), and a super block's a single one. Level
 * ranges and defaults are stock's. Damaged or truncated content is `format` (29), writing bz2 `featureNotSupported`
 * (67). (pgBackRest 2.60 "common/compress"; RFC 1950, 1952, 8878.)
 */
import {
  constants,
  createDeflate,
  createGunzip,
  createGzip,
  createInflate,
  createZstdCompress,
  createZstdDecompress,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  type ZstdOptions,
  zstdCompressSync,
} from "node:zlib";
import { type ByteStream, EMPTY_BYTES, freeMemory } from "../../base/bytes";
import { fail } from "../../base/errors";
import { Bz2Decompressor, decompressBz2Bytes } from "./bz2";
import { LIMITS } from "../../base/limits";
import { type Codec, type Pieces, throughCodec } from "./codec";
import { compressLz4Bytes, decompressLz4Bytes, Lz4Compressor, Lz4Decompressor } from "./lz4";
import { throughTransform } from "./throughTransform";
import {
  HandleCodec,
  handlesWork,
  WholeCompressor,
  WholeDecompressor,
  type ZlibCodecOptions,
  zlibCodec,
} from "./zlibCodec";
import { unpackZstFrames, ZstFramewiseCodec } from "./zstFrameEnds";
import {
  FRAMED_LEVEL_MAX,
  FrameSearches,
  nextFrame,
  type Search,
  ZstFramesCompressor,
  zstFrames,
  zstFramesStream,
  zstParams,
} from "./zstFrames";

export type CompressType = "none" | "gz" | "lz4" | "zst" | "bz2";

export interface CompressSpec {
  readonly type: CompressType;
  readonly level: number;
}

const EXTENSIONS: Readonly<Record<CompressType, string>> = {
  none: "",
  gz: ".gz",
  lz4: ".lz4",
  zst: ".zst",
  bz2: ".bz2",
};
const GZ_MEM_LEVEL = 9;
// Made on demand: node:zlib is loaded at its first use.
const gzFlags = () => ({ moreFlag: constants.Z_NO_FLUSH, endFlag: constants.Z_FINISH });
const zstFlags = () => ({ moreFlag: constants.ZSTD_e_continue, endFlag: constants.ZSTD_e_end });
const UNCHANGED: Codec = { update: (chunk) => [chunk], finish: () => [], close: () => {} };

/**
 * The compressed form of `source`. If the consumer ends early, codec and source are released. gz and zst work in Node's
 * thread pool, because the calling thread is the main one and has connections to serve.
 */
export function compress(source: ByteStream, spec: CompressSpec, raw = false): ByteStream {
  const { type } = spec;
  if (type === "bz2") throw notSupported();
  if (type === "none") return source;
  if (type !== "gz" && type !== "zst") return throughCodec(source, () => createCompressor(spec, raw));
  if (type === "zst" && spec.level <= FRAMED_LEVEL_MAX) return zstFramesStream(source, spec.level);
  const { create, mapError } = compressorOptions(type, spec.level, raw, LIMITS.chunkSizeBytes);
  return throughTransform(source, create, mapError);
}

/**
 * The original content. gz works in Node's thread pool, zst in the calling thread: Node's stream may mistake the end of
 * any frame for the end of the content (see zstFrameEnds).
 * @throws format when the content is damaged or ends early.
 */
export function decompress(source: ByteStream, type: CompressType, raw = false): ByteStream {
  if (type === "none") return source;
  if (type !== "gz") return throughCodec(source, () => createDecompressor(type, raw));
  const { create, mapError } = decompressorOptions(type, raw, LIMITS.chunkSizeBytes);
  return throughTransform(source, create, mapError);
}

/**
 * {@link compress} chunk by chunk in the calling thread, for workers.
 * @param searches remembers which search for repetitions suits the content, from one file to the next
 */
export function createCompressor(
  { type, level }: CompressSpec,
  raw = false,
  searches = new FrameSearches(level),
): Codec {
  switch (type) {
    case "none":
      return UNCHANGED;
    case "zst":
      if (level <= FRAMED_LEVEL_MAX) return new ZstFramesCompressor(level, searches, codecError(type));
      return zlibCodec(compressorOptions(type, level, raw));
    case "gz":
      return zlibCodec(compressorOptions(type, level, raw));
    case "lz4":
      return new Lz4Compressor(level, !raw);
    case "bz2":
      throw notSupported();
  }
}

/** {@link decompress} chunk by chunk in the calling thread, for workers. */
export function createDecompressor(type: CompressType, raw = false): Codec {
  switch (type) {
    case "none":
      return UNCHANGED;
    case "gz":
    case "zst":
      if (handlesWork()) return new KeptDecompressor(type, raw);
      return type === "gz"
        ? zlibCodec(decompressorOptions(type, raw))
        : new ZstFramewiseCodec(decompressorOptions(type, raw));
    case "lz4":
      return new Lz4Decompressor();
    case "bz2":
      return new Bz2Decompressor();
  }
}

/** Idle decompressors per kind: making one with its buffers costs more than a small file. */
const idleDecompressors = new Map<string, HandleCodec[]>();
/** No more are in use at the same time. */
const IDLE_MAX = LIMITS.filesPerWorker;

/** A decompressor that ends one content without an error is reused for another. */
class KeptDecompressor implements Codec {
  readonly #codec: HandleCodec;
  readonly #idle: HandleCodec[];
  readonly #type: CompressType;
  #hasInput = false;
  #isWhole = false;
  #isClosed = false;

  constructor(type: "gz" | "zst", raw: boolean) {
    const key = `${type} ${raw}`;
    this.#idle = idleDecompressors.get(key) ?? [];
    idleDecompressors.set(key, this.#idle);
    this.#codec = this.#idle.pop() ?? new HandleCodec(decompressorOptions(type, raw));
    this.#type = type;
  }

  update(chunk: Uint8Array): Pieces {
    if (chunk.length > 0) this.#hasInput = true;
    return this.#codec.update(chunk);
  }

  *finish(): Iterable<Uint8Array> {
    // A reused zst codec does not report empty input.
    if (!this.#hasInput) throw fail("format", `${this.#type} content is damaged or cut short: unexpected end of file`);
    yield* this.#codec.finish();
    this.#isWhole = true;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isWhole || this.#idle.length >= IDLE_MAX) {
      this.#codec.close();
      return;
    }
    // zst starts over automatically.
    if (this.#type === "gz") this.#codec.reset();
    this.#idle.push(this.#codec);
  }
}

/** {@link compress} for a small file in memory, synchronously: cheaper than a stream up to about 1 MiB. */
export function compressBytes(bytes: Uint8Array, spec: CompressSpec, raw = false): Uint8Array {
  const { type, level } = spec;
  switch (type) {
    case "none":
      return bytes;
    case "gz": {
      const options = { level, memLevel: GZ_MEM_LEVEL };
      return raw ? deflateSync(bytes, options) : gzipSync(bytes, options);
    }
    case "zst":
      return level <= FRAMED_LEVEL_MAX
        ? zstFrames(bytes, level)
        : zstdCompressSync(bytes, { params: zstParams(level) });
    case "lz4":
      return compressLz4Bytes(bytes, level, !raw);
    case "bz2":
      throw notSupported();
  }
}

/** Idle compressors by search and level: making one with its buffer costs more than a small content. */
const idleCompressors = new Map<string, WholeCompressor[]>();

/** {@link compressBytes} for one content after another of a file; zst is a single frame in reused memory. */
export class BytesCompressor {
  readonly #spec: CompressSpec;
  readonly #raw: boolean;
  readonly #searches: FrameSearches;
  readonly #zst = new Map<Search, WholeCompressor>();
  /** What the next call frees. */
  #last: Uint8Array = EMPTY_BYTES;

  constructor(spec: CompressSpec, raw: boolean) {
    this.#spec = spec;
    this.#raw = raw;
    this.#searches = new FrameSearches(spec.level);
  }

  /** Valid until the next call; without compression the content itself. */
  compress(bytes: Uint8Array): Uint8Array {
    freeMemory(this.#last);
    this.#last = EMPTY_BYTES;
    if (this.#spec.type !== "zst" || bytes.length === 0 || !handlesWork()) {
      const packed = compressBytes(bytes, this.#spec, this.#raw);
      if (packed !== bytes) this.#last = packed;
      return packed;
    }
    return nextFrame(this.#searches, bytes, (search) => {
      const compressor = this.#zst.get(search) ?? this.#borrow(search);
      // Removed while it works, so that a failed one is not reused.
      this.#zst.delete(search);
      const packed = compressor.pack(bytes, bytes.length + (bytes.length >> 7) + 1024);
      this.#zst.set(search, compressor);
      return packed;
    });
  }

  #borrow(search: Search): WholeCompressor {
    const idle = idleCompressors.get(this.#keyOf(search))?.pop();
    if (idle !== undefined) return idle;
    return new WholeCompressor(zstOptions(this.#spec.level, search));
  }

  #keyOf(search: Search): string {
    return `${search} ${this.#spec.level}`;
  }

  /** Lends the codecs to the next; what it returned is no longer valid. */
  close(): void {
    for (const [search, compressor] of this.#zst) {
      const idle = idleCompressors.get(this.#keyOf(search)) ?? [];
      idleCompressors.set(this.#keyOf(search), idle);
      if (idle.length < IDLE_MAX) idle.push(compressor);
      else compressor.close();
    }
    this.#zst.clear();
  }
}

/** {@link decompress} for a small file in memory. @throws format also when the content is larger than `limitBytes`. */
export function decompressBytes(bytes: Uint8Array, type: CompressType, limitBytes: number, raw = false): Uint8Array {
  const options = { maxOutputLength: Math.max(limitBytes, 1) };
  try {
    switch (type) {
      case "none":
        return bytes;
      case "gz":
        return raw ? inflateSync(bytes, options) : gunzipSync(bytes, options);
      case "zst":
        return unpackZstFrames(bytes, limitBytes);
      case "lz4":
        return decompressLz4Bytes(bytes, limitBytes);
      case "bz2":
        return decompressBz2Bytes(bytes, limitBytes);
    }
  } catch (error) {
    throw codecError(type)(error);
  }
}

/** One per kind, reused for all content of this thread: making a codec costs more than unpacking a page. */
const keptDecompressors = new Map<string, WholeDecompressor>();

/**
 * {@link decompressBytes} into reused memory: returns the filled part of `target`, or content that needed no memory.
 * @throws format also when the content does not leave one byte of `target` free
 */
export function decompressInto(bytes: Uint8Array, type: CompressType, target: Uint8Array, raw = false): Uint8Array {
  // A reused decompressor accepts empty input, which is not valid content.
  if ((type !== "gz" && type !== "zst") || bytes.length === 0 || !handlesWork())
    return decompressBytes(bytes, type, target.length - 1, raw);
  const key = `${type} ${raw}`;
  const decompressor =
    keptDecompressors.get(key) ?? new WholeDecompressor(decompressorOptions(type, raw), type === "zst");
  // Removed while it works, so that a failed one is not reused.
  keptDecompressors.delete(key);
  let sizeBytes: number | null = null;
  try {
    sizeBytes = decompressor.unpack(bytes, target);
  } finally {
    if (sizeBytes === null) decompressor.close();
  }
  if (sizeBytes === null)
    throw fail("format", `${type} content is damaged or cut short: it is longer than ${target.length - 1} bytes`);
  keptDecompressors.set(key, decompressor);
  return target.subarray(0, sizeBytes);
}

/** `""`, `".gz"`, … */
export function extensionOf(type: CompressType): string {
  return EXTENSIONS[type];
}

/** Null for an extension (with its dot) of no supported compression. */
export function typeOfExtension(extension: string): CompressType | null {
  const entry = Object.entries(EXTENSIONS).find(([, text]) => text === extension);
  return entry === undefined ? null : (entry[0] as CompressType);
}

/** The compression of an archived file by the end of its name; `none` without a known extension. */
export function typeOfName(fileName: string): CompressType {
  const dot = fileName.lastIndexOf(".");
  return dot === -1 ? "none" : (typeOfExtension(fileName.slice(dot)) ?? "none");
}

export function isCompressType(text: string): text is CompressType {
  return Object.hasOwn(EXTENSIONS, text);
}

/** `chunkSize` is the length of a stream's own buffers; codecs that are driven by their handle ignore it. */
function compressorOptions(type: "gz" | "zst", level: number, raw: boolean, chunkSize?: number): ZlibCodecOptions {
  const mapError = codecError(type);
  const size = chunkSize === undefined ? {} : { chunkSize };
  if (type === "zst") return zstOptions(level, "usual", size);
  const options = { ...size, level, memLevel: GZ_MEM_LEVEL };
  return { create: () => (raw ? createDeflate(options) : createGzip(options)), ...gzFlags(), mapError };
}

function zstOptions(level: number, search: Search, size: ZstdOptions = {}): ZlibCodecOptions {
  const create = (): ReturnType<typeof createZstdCompress> =>
    createZstdCompress({ ...size, params: zstParams(level, search) });
  return { create, ...zstFlags(), mapError: codecError("zst") };
}

function decompressorOptions(type: "gz" | "zst", raw: boolean, chunkSize?: number): ZlibCodecOptions {
  const mapError = codecError(type);
  const size = chunkSize === undefined ? {} : { chunkSize };
  if (type === "zst") return { create: () => createZstdDecompress(size), ...zstFlags(), mapError };
  return { create: () => (raw ? createInflate(size) : createGunzip(size)), ...gzFlags(), mapError };
}

function codecError(type: CompressType): (error: unknown) => unknown {
  return (error) => {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const ours =
      code.startsWith("Z_") ||
      code.startsWith("ZSTD_") ||
      code.startsWith("ERR_ZSTD") ||
      code === "ERR_BUFFER_TOO_LARGE";
    return ours
      ? fail("format", `${type} content is damaged or cut short: ${(error as Error).message}`, { cause: error })
      : error;
  };
}

function notSupported(): Error {
  return fail("featureNotSupported", "bz2 is read but not written", { hint: "use zst, lz4 or gz." });
}
