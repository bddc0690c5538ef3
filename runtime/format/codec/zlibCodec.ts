/**
 * Node's gz and zst codecs without their streams, driven synchronously in the calling thread.
 *
 * Libuv's thread pool and a new buffer for every chunk cost a third of a restore's processor time. Node has no public
 * way to feed a codec synchronously in pieces, so this drives the handle below the stream (`_handle.writeSync`, as
 * `minizlib` and Node's own `gzipSync` do). One trial per thread checks that it works; if not, the public stream does
 * the same work.
 */
import type { Transform } from "node:stream";
import { constants, createGzip, gunzipSync } from "node:zlib";
import { assert } from "../../base/errors";
import type { Codec, Pieces } from "./codec";

export interface ZlibCodecOptions {
  readonly create: () => Transform;
  /** The handle's flag for a chunk, and that for the end of the content. */
  readonly moreFlag: number;
  readonly endFlag: number;
  /** Converts the codec's own errors. */
  readonly mapError: (error: unknown) => unknown;
}

/** Pieces are at most this long. */
const PIECE_SIZE_BYTES = 128 * 1024;
const NOTHING = new Uint8Array(0);

/** Arguments of the handle: flag; input, offset, length; output, offset, length. */
type WriteSync = (
  flag: number,
  input: Uint8Array,
  inputOffset: number,
  inputLength: number,
  output: Uint8Array,
  outputOffset: number,
  outputLength: number,
) => void;

interface Handle {
  readonly writeSync: WriteSync;
  readonly reset: () => void;
}

export function zlibCodec(options: ZlibCodecOptions): Codec {
  return handlesWork() ? new HandleCodec(options) : new StreamCodec(options);
}

let tried: boolean | undefined;

/**
 * True when codecs can be driven by their handle; tested with one small file, because another Node version may call it
 * differently.
 */
export function handlesWork(): boolean {
  if (tried !== undefined) return tried;
  const sample = Buffer.from("pgbackstop ".repeat(30_000), "latin1");
  const parts: Uint8Array[] = [];
  try {
    const codec = new HandleCodec({
      create: () => createGzip(),
      moreFlag: constants.Z_NO_FLUSH,
      endFlag: constants.Z_FINISH,
      mapError: (error) => error,
    });
    for (let begin = 0; begin < sample.length; begin += 100_000) {
      for (const piece of codec.update(sample.subarray(begin, begin + 100_000))) parts.push(new Uint8Array(piece));
    }
    for (const piece of codec.finish()) parts.push(new Uint8Array(piece));
    codec.close();
    tried = gunzipSync(Buffer.concat(parts)).equals(sample);
  } catch {
    tried = false;
  }
  return tried;
}

/** Shared by both ways to drive a handle. */
class OpenHandle {
  readonly #mapError: ZlibCodecOptions["mapError"];
  readonly #stream: Transform;
  readonly #handle: Handle;
  /** Set by the handle: free output, remaining input. */
  readonly #state: Uint32Array;
  #error: Error | undefined;

  constructor({ create, mapError }: ZlibCodecOptions) {
    this.#mapError = mapError;
    this.#stream = create();
    const handle: unknown = Reflect.get(this.#stream, "_handle");
    const state: unknown = Reflect.get(this.#stream, "_writeState");
    if (!isHandle(handle) || !(state instanceof Uint32Array) || state.length < 2)
      throw new Error("this version of Node.js has no codec handle");
    const onError = (message: string, errno: number, code: string): void => {
      this.#error = Object.assign(new Error(message), { errno, code });
    };
    Reflect.set(handle, "onerror", onError);
    this.#handle = handle;
    this.#state = state;
  }

  /** Free output from `outputOffset` on, and remaining input of the last `inputLeft` bytes. */
  write(
    flag: number,
    input: Uint8Array,
    inputLeft: number,
    output: Uint8Array,
    outputOffset: number,
  ): { readonly freeBytes: number; readonly left: number } {
    this.#handle.writeSync(
      flag,
      input,
      input.length - inputLeft,
      inputLeft,
      output,
      outputOffset,
      output.length - outputOffset,
    );
    if (this.#error !== undefined) throw this.#mapError(this.#error);
    return { freeBytes: this.#state[0] as number, left: this.#state[1] as number };
  }

  reset(): void {
    this.#handle.reset();
  }

  close(): void {
    this.#stream.destroy();
  }
}

/**
 * Always writes into the same buffer, which may be shorter than the output: memory does not depend on the unpacked
 * size.
 */
export class HandleCodec implements Codec {
  readonly #options: ZlibCodecOptions;
  readonly #handle: OpenHandle;
  readonly #output: Buffer;

  constructor(options: ZlibCodecOptions, pieceSizeBytes: number = PIECE_SIZE_BYTES) {
    this.#options = options;
    this.#output = Buffer.allocUnsafeSlow(pieceSizeBytes);
    this.#handle = new OpenHandle(options);
  }

  *update(chunk: Uint8Array): Iterable<Uint8Array> {
    if (chunk.length > 0) yield* this.#run(chunk, this.#options.moreFlag);
  }

  finish(): Iterable<Uint8Array> {
    return this.#run(NOTHING, this.#options.endFlag);
  }

  /** Prepares for another content after a complete one. */
  reset(): void {
    this.#handle.reset();
  }

  close(): void {
    this.#handle.close();
  }

  /** Ends when the handle leaves output free and takes no more input: another frame may follow the one that ended. */
  *#run(input: Uint8Array, flag: number): Iterable<Uint8Array> {
    const size = this.#output.length;
    let left = input.length;
    for (;;) {
      const { freeBytes, left: leftNow } = this.#handle.write(flag, input, left, this.#output, 0);
      const isStuck = leftNow === left;
      left = leftNow;
      if (freeBytes < size) yield this.#output.subarray(0, size - freeBytes);
      if (freeBytes > 0 && (left === 0 || isStuck)) return;
    }
  }
}

/**
 * Unpacks one complete content after another into the caller's memory, without a new codec or buffer for each. Only
 * where {@link handlesWork}. Not reusable after an error.
 */
export class WholeDecompressor {
  readonly #handle: OpenHandle;
  readonly #endFlag: number;
  readonly #startsOver: boolean;

  /** `startsOver`: the codec starts over automatically, and a reset would create it again. */
  constructor(options: ZlibCodecOptions, startsOver: boolean) {
    this.#handle = new OpenHandle(options);
    this.#endFlag = options.endFlag;
    this.#startsOver = startsOver;
  }

  /**
   * Bytes of content; null when they do not leave at least one byte of `target` free: only then does the codec report
   * the end.
   * @throws when the content is damaged or incomplete
   */
  unpack(content: Uint8Array, target: Uint8Array): number | null {
    let filledBytes = 0;
    for (let left = content.length; ; ) {
      const { freeBytes, left: leftNow } = this.#handle.write(this.#endFlag, content, left, target, filledBytes);
      const isStuck = leftNow === left;
      left = leftNow;
      filledBytes = target.length - freeBytes;
      if (freeBytes === 0) return null;
      if (left > 0 && !isStuck) continue;
      if (!this.#startsOver) this.#handle.reset();
      return filledBytes;
    }
  }

  close(): void {
    this.#handle.close();
  }
}

/**
 * Packs one complete content after another, without a new codec or buffer for each. Only where {@link handlesWork}, and
 * for codecs that start over after the end. Not reusable after an error.
 */
export class WholeCompressor {
  readonly #handle: OpenHandle;
  readonly #endFlag: number;
  #output = Buffer.allocUnsafeSlow(0);

  constructor(options: ZlibCodecOptions) {
    this.#handle = new OpenHandle(options);
    this.#endFlag = options.endFlag;
  }

  /** Valid until the next call. `boundBytes`: more than the packed content can take. */
  pack(content: Uint8Array, boundBytes: number): Uint8Array {
    if (this.#output.length < boundBytes) this.#output = Buffer.allocUnsafeSlow(boundBytes);
    const { freeBytes, left } = this.#handle.write(this.#endFlag, content, content.length, this.#output, 0);
    assert(left === 0 && freeBytes > 0, `${content.length} bytes do not fit into ${boundBytes} when they are packed`);
    return this.#output.subarray(0, this.#output.length - freeBytes);
  }

  close(): void {
    this.#handle.close();
  }
}

function isHandle(handle: unknown): handle is Handle {
  return (
    typeof handle === "object" &&
    handle !== null &&
    "writeSync" in handle &&
    typeof handle.writeSync === "function" &&
    "reset" in handle &&
    typeof handle.reset === "function"
  );
}

/** The same with the public stream, one chunk after the other. */
export class StreamCodec implements Codec {
  readonly #options: ZlibCodecOptions;
  readonly #stream: Transform;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(options: ZlibCodecOptions) {
    this.#options = options;
    this.#stream = options.create();
    this.#stream.on("readable", () => this.#wake?.());
    this.#stream.once("end", () => this.#wake?.());
    this.#stream.once("error", (error) => {
      this.#error = error;
      this.#wake?.();
    });
  }

  update(chunk: Uint8Array): Pieces {
    // Copied: the stream may read the chunk after the caller has reused its buffer.
    return this.#run((done) => this.#stream.write(Buffer.from(chunk), done));
  }

  finish(): Pieces {
    return this.#run((done) => {
      this.#stream.once("end", done);
      this.#stream.end();
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  async *#run(start: (done: () => void) => void): AsyncIterable<Uint8Array> {
    let isDone = false;
    start(() => {
      isDone = true;
      this.#wake?.();
    });
    for (;;) {
      const piece: unknown = this.#stream.read();
      if (piece instanceof Uint8Array) yield piece;
      else if (this.#error !== undefined) throw this.#options.mapError(this.#error);
      else if (isDone) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
