/**
 * Writes a file in place with synchronous calls: in a worker thread a trip through Node's thread pool costs more than
 * the call. Only the sync to disk uses the pool, so that a thread syncs several files at once, and a part of a large
 * one while it makes the next part.
 *
 * Modes, missing directories and errors are those of `atomicWrite`.
 */
import { closeSync, fdatasync, fstatSync, fsync, openSync, unlinkSync, writeFully } from "./nodeFiles";
import { fail, isError } from "../base/errors";
import { createNew, FILE_MODE, requireSize, type WriteOptions } from "./atomicWrite";
import { systemError } from "./systemError";

export async function openFileWriter(path: string, options: Omit<WriteOptions, "mode">): Promise<FileWriter> {
  const fd = await createNew(path, () => openSync(path, "wx", FILE_MODE), options.syncDirectories);
  return new FileWriter(path, fd, options.signal);
}

export class FileWriter {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  readonly #early: EarlyFlush;
  #fd: number | undefined;
  #writtenBytes = 0;

  constructor(path: string, fd: number, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#fd = fd;
    this.#signal = signal;
    this.#early = new EarlyFlush(() => synced(fdatasync, fd));
  }

  /** The caller may change the bytes when it returns. */
  write(bytes: Uint8Array): void {
    const path = this.#path;
    if (this.#signal?.aborted === true) throw fail("term", `terminated while writing '${path}'`, { path });
    try {
      writeFully(this.#open(), bytes, null, path);
      this.#writtenBytes += bytes.length;
      this.#early.written(bytes.length);
    } catch (error) {
      throw isError(error) ? error : systemError("fileWrite", `write '${path}'`, path, error);
    }
  }

  /** Syncs and closes the file; its name is not durable yet. An error removes the file. */
  async finish(): Promise<void> {
    const path = this.#path;
    const fd = this.#open();
    try {
      await this.#early.end();
      await synced(fsync, fd);
      requireSize(path, fstatSync(fd).size, this.#writtenBytes);
    } catch (error) {
      this.abandon();
      if (isError(error)) throw error;
      throw systemError("fileSync", `sync file '${path}'`, path, error);
    }
    this.#fd = undefined;
    try {
      closeSync(fd);
    } catch (error) {
      removeQuietly(path);
      throw systemError("fileClose", `close file '${path}' after write`, path, error);
    }
  }

  /** Closes and removes the file; does nothing when it is closed. */
  abandon(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    const close = (): void => closeQuietly(fd);
    // A flush that still runs must not find another file behind the descriptor.
    if (this.#early.isRunning) this.#early.end().then(close, close);
    else close();
    removeQuietly(this.#path);
  }

  #open(): number {
    if (this.#fd === undefined) throw fail("assert", `'${this.#path}' is written after its end`);
    return this.#fd;
  }
}

function synced(sync: typeof fsync, fd: number): Promise<void> {
  return new Promise((resolve, reject) => sync(fd, (error) => (error === null ? resolve() : reject(error))));
}

/** The file is removed, so an error does not matter. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // See above.
  }
}

/** A file that stays is refused or overwritten later: nothing refers to it. */
function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // See above.
  }
}

/** Restores that flush every 16 MiB took more processor time. */
const FLUSH_SIZE_BYTES = 64 * 1024 * 1024;

/**
 * Flushes a large file to disk while the next part of it is made, so that the final sync is short: who waits for it
 * computes nothing. The kernel reports a failed write only once per open file, so an error here is the file's error.
 */
export class EarlyFlush {
  readonly #flush: () => Promise<void>;
  #waitingBytes = 0;
  #running: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;

  /** `flush` leaves the calling thread free. */
  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  written(sizeBytes: number): void {
    this.#waitingBytes += sizeBytes;
    if (this.#waitingBytes < FLUSH_SIZE_BYTES || this.#running !== null) return;
    this.#waitingBytes = 0;
    this.#running = this.#flush()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running = null;
      });
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** The file must stay open until then. @throws the error of a flush */
  async end(): Promise<void> {
    await this.#running;
    if (this.#failure !== null) throw this.#failure.error;
  }
}
