/**
 * One bundle under way: files are appended one after the other, a storage takes them as one stream.
 *
 * The storage pulls while the caller appends, with a bounded number of pieces between them. A storage that fails makes every later append
 * fail with its error. A bundle that nothing was appended to is never made.
 */
import { type ByteStream, concatBytes } from "../../base/bytes";
import { fail, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Storage } from "../../storage/storage";

/** Small pieces are put together to writes of at least this size. */
const WRITE_BYTES = 256 * 1024;
const WAITING_BYTES_MAX = LIMITS.teeQueueChunks * LIMITS.chunkSizeBytes;

export class BundleWriter {
  readonly #storage: Storage;
  readonly #path: string;
  #pieces: Uint8Array[] = [];
  #waitingBytes = 0;
  #sizeBytes = 0;
  #ended = false;
  #error: unknown;
  #stored: Promise<void> | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(storage: Storage, path: string) {
    this.#storage = storage;
    this.#path = path;
  }

  /** Bytes so far: where the next piece goes. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Waits while too much is on its way already. @throws what the storage said */
  async append(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    this.#stored ??= this.#begin();
    while (this.#error === undefined && this.#waitingBytes >= WAITING_BYTES_MAX) {
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
    if (this.#error !== undefined) throw this.#error;
    this.#sizeBytes += bytes.length;
    this.#waitingBytes += bytes.length;
    this.#pieces.push(bytes);
    if (this.#waitingBytes >= WRITE_BYTES) this.#wakeReader?.();
  }

  /** Resolves when everything is stored. @throws what the storage said */
  async finish(): Promise<void> {
    this.#ended = true;
    this.#wakeReader?.();
    await this.#stored;
    if (this.#error !== undefined) throw this.#error;
  }

  /** Gives the bundle up: the storage's stream ends with `error`. */
  async abandon(error: unknown): Promise<void> {
    this.#error ??= error;
    this.#wakeReader?.();
    await this.#stored;
  }

  /** Never rejects: the error waits for the next append or the end. */
  async #begin(): Promise<void> {
    let opened = false;
    const openOnce = (): ByteStream => {
      if (opened) throw fail("service", `upload of '${this.#path}' could not be started over`);
      opened = true;
      return this.#read();
    };
    try {
      await this.#storage.putStream(this.#path, openOnce, { atomic: false });
    } catch (error) {
      this.#error ??= toBackupError(error);
    }
    this.#wakeWriter?.();
  }

  async *#read(): ByteStream {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#waitingBytes >= WRITE_BYTES || (this.#ended && this.#waitingBytes > 0)) {
        const pieces = this.#pieces;
        this.#pieces = [];
        this.#waitingBytes = 0;
        this.#wakeWriter?.();
        yield concatBytes(pieces);
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }
}
