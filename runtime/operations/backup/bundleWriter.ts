/**
 * Writes one stored file by appending pieces: a bundle, a whole file, or the blocks of one.
 *
 * Small pieces are joined into larger writes. A directory is written in one call; other storages pull a stream, with a
 * bounded number of bytes between them and the caller. After a storage error later appends or the end fail with that
 * error. Without any append no file is made.
 */
import type { ByteStream } from "../../base/bytes";
import { fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Repository } from "../../repository/repository";
import type { Storage } from "../../storage/storage";

const WRITE_SIZE_BYTES = 256 * 1024;
/**
 * A stream keeps its pieces until they are stored. The allocator maps pieces of this size one by one and unmaps them at
 * once; among small ones their memory would stay with the process.
 */
const PIECE_SIZE_BYTES = LIMITS.chunkSizeBytes;
/** Besides what the stream's reader holds: a store keeps parts of an upload too. */
const QUEUE_SIZE_BYTES_MAX = PIECE_SIZE_BYTES;
const EMPTY = Buffer.alloc(0);

/** The repository's key is named in errors. */
type Target = Pick<Repository, "key" | "storage">;

export class BundleWriter {
  readonly #target: Target;
  readonly #path: string;
  #buffer: Buffer = EMPTY;
  #filled = 0;
  #sizeBytes = 0;
  #out: Promise<PieceWriter> | undefined;

  constructor(target: Target, path: string) {
    this.#target = target;
    this.#path = path;
  }

  /** Bytes so far: the offset of the next piece. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Copies the piece before it returns; waits while too many bytes are in flight. @throws the storage's error */
  async append(bytes: Uint8Array): Promise<void> {
    if (this.#isDirect && this.#filled === 0 && bytes.length >= WRITE_SIZE_BYTES) {
      this.#sizeBytes += bytes.length;
      return this.#write(bytes);
    }
    for (let position = 0; position < bytes.length; ) {
      if (this.#filled === this.#buffer.length) await this.#flush();
      if (this.#buffer.length === 0)
        this.#buffer = Buffer.allocUnsafeSlow(this.#isDirect ? WRITE_SIZE_BYTES : PIECE_SIZE_BYTES);
      const piece = bytes.subarray(position, position + this.#buffer.length - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      this.#sizeBytes += piece.length;
      position += piece.length;
    }
  }

  /** Resolves when everything is stored and durable. @throws the storage's error */
  async finish(): Promise<void> {
    if (this.#filled > 0) await this.#flush();
    await (await this.#out)?.finish();
  }

  /** Gives up: the storage's stream ends with `error`. */
  async abandon(error: unknown): Promise<void> {
    try {
      const out = await this.#out;
      out?.abandon(error);
      await out?.finish();
    } catch {
      // The caller has the error that counts.
    }
  }

  get #isDirect(): boolean {
    return this.#target.storage.openWriter !== undefined;
  }

  async #flush(): Promise<void> {
    const full = this.#buffer.subarray(0, this.#filled);
    this.#filled = 0;
    // The stream may still hold it.
    if (!this.#isDirect) this.#buffer = EMPTY;
    if (full.length > 0) await this.#write(full);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#out ??= openOut(this.#target, this.#path);
    const out = await this.#out;
    out.write(bytes);
    await out.drained?.();
  }
}

interface PieceWriter {
  write(bytes: Uint8Array): void;
  /** Null, or a promise to await before the next write. It never rejects. */
  drained?(): Promise<void> | null;
  finish(): Promise<void>;
  abandon(error: unknown): void;
}

async function openOut(target: Target, path: string): Promise<PieceWriter> {
  return (await target.storage.openWriter?.(path)) ?? new StreamWriter(target, path);
}

/** Stores bytes as a whole file, in one call if the storage can. */
export async function putWhole(storage: Storage, path: string, bytes: Uint8Array): Promise<void> {
  const writer = await storage.openWriter?.(path);
  if (writer === undefined) return storage.put(path, bytes, { atomic: false });
  try {
    writer.write(bytes);
  } catch (error) {
    writer.abandon();
    throw error;
  }
  await writer.finish();
}

/** Feeds the storage's own stream from a queue. */
class StreamWriter implements PieceWriter {
  readonly #run: Promise<void>;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  #left = false;
  /** Why the source ends early. */
  #failure: { readonly error: unknown } | null = null;
  #uploadError: { readonly error: unknown } | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  constructor({ key: repoIndex, storage }: Target, path: string) {
    let opened = false;
    const openOnce = (): ByteStream => {
      // The source is read once for all repositories and cannot be read again for one.
      if (opened) throw fail("service", `repo${repoIndex}: upload of '${path}' could not be restarted`, { repoIndex });
      opened = true;
      return this.#stream();
    };
    this.#run = storage.putStream(path, openOnce, { atomic: false }).finally(() => {
      this.#left = true;
      this.#queue = [];
      this.#wakeWriter?.();
    });
    this.#run.catch((error: unknown) => {
      this.#uploadError = { error };
    });
  }

  /** @throws the error that ended the upload early */
  write(bytes: Uint8Array): void {
    if (this.#uploadError !== null) throw this.#uploadError.error;
    if (this.#left) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#wakeReader?.();
  }

  drained(): Promise<void> | null {
    if (this.#left || this.#queuedBytes < QUEUE_SIZE_BYTES_MAX) return null;
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  async finish(): Promise<void> {
    this.#ended = true;
    this.#wakeReader?.();
    await this.#run;
  }

  abandon(error: unknown): void {
    this.#failure = { error };
    this.#wakeReader?.();
  }

  async *#stream(): ByteStream {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const piece = this.#queue.shift();
      if (piece !== undefined) {
        this.#queuedBytes -= piece.length;
        if (this.#queuedBytes < QUEUE_SIZE_BYTES_MAX) this.#wakeWriter?.();
        yield piece;
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
        this.#wakeReader = null;
      }
    }
  }
}
