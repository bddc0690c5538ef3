/**
 * Writes one stored file by appending pieces: a bundle, or the blocks of one file.
 *
 * Small pieces are joined into larger writes. A directory is written at once; other storages pull a stream, with a
 * bounded number of bytes between them and the caller. After a storage error every later append fails with that error.
 * Without any append no file is made.
 */
import type { ByteStream } from "../../base/bytes";
import { fail, toBackupError } from "../../base/errors";
import type { BlockWriter, Storage } from "../../storage/storage";

const WRITE_SIZE_BYTES = 256 * 1024;
const QUEUE_WRITES_MAX = 8;

export class BundleWriter {
  readonly #storage: Storage;
  readonly #path: string;
  #buffer: Buffer = EMPTY;
  #filled = 0;
  #sizeBytes = 0;
  #out: Out | undefined;

  constructor(storage: Storage, path: string) {
    this.#storage = storage;
    this.#path = path;
  }

  /** Bytes so far: the offset of the next piece. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Copies the piece before it returns; waits while too many bytes are in flight. @throws the storage's error */
  async append(bytes: Uint8Array): Promise<void> {
    for (let position = 0; position < bytes.length; ) {
      if (this.#filled === this.#buffer.length) await this.#flush();
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
    await this.#out?.finish();
  }

  /** Gives up: the storage's stream ends with `error`. */
  async abandon(error: unknown): Promise<void> {
    await this.#out?.abandon(error);
  }

  /** Uses a new buffer for each write, because a stream may still hold the last one. */
  async #flush(): Promise<void> {
    const full = this.#buffer.subarray(0, this.#filled);
    this.#filled = 0;
    if (full.length > 0) {
      this.#out ??= await openOut(this.#storage, this.#path);
      await this.#out.write(full);
    }
    if (this.#buffer.length === 0 || this.#out instanceof StreamOut) this.#buffer = Buffer.allocUnsafeSlow(WRITE_SIZE_BYTES);
  }
}

const EMPTY = Buffer.alloc(0);

interface Out {
  write(bytes: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  abandon(error: unknown): Promise<void>;
}

async function openOut(storage: Storage, path: string): Promise<Out> {
  return storage.openWriter === undefined ? new StreamOut(storage, path) : new DirectOut(await storage.openWriter(path));
}

class DirectOut implements Out {
  readonly #writer: BlockWriter;

  constructor(writer: BlockWriter) {
    this.#writer = writer;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#writer.write(bytes);
  }

  finish(): Promise<void> {
    return this.#writer.finish();
  }

  async abandon(): Promise<void> {
    this.#writer.abandon();
  }
}

class StreamOut implements Out {
  readonly #queue: Uint8Array[] = [];
  readonly #run: Promise<void>;
  #ended = false;
  #failure: { readonly error: unknown } | null = null;
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;

  constructor(storage: Storage, path: string) {
    let opened = false;
    const openOnce = (): ByteStream => {
      if (opened) throw fail("service", `upload of '${path}' could not be started over`);
      opened = true;
      return this.#stream();
    };
    // Never rejects: the next write or the end throws the error.
    this.#run = storage.putStream(path, openOnce, { atomic: false }).catch((error: unknown) => {
      this.#failure ??= { error: toBackupError(error) };
      this.#wakeWriter?.();
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    while (this.#failure === null && this.#queue.length >= QUEUE_WRITES_MAX) {
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
    if (this.#failure !== null) throw this.#failure.error;
    this.#queue.push(bytes);
    this.#wakeReader?.();
  }

  async finish(): Promise<void> {
    this.#ended = true;
    this.#wakeReader?.();
    await this.#run;
    if (this.#failure !== null) throw this.#failure.error;
  }

  async abandon(error: unknown): Promise<void> {
    this.#failure ??= { error };
    this.#wakeReader?.();
    await this.#run;
  }

  async *#stream(): ByteStream {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        this.#wakeWriter?.();
        yield bytes;
      } else if (this.#ended) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }
}
