/**
 * Flushes a large file to disk while the next part of it is made, so that the final sync is short: who waits for it
 * computes nothing. The kernel reports a failed write only once per open file, so an error here is the file's error.
 */

/** Restores that flush every 16 MiB took more processor time. */
const FLUSH_SIZE_BYTES = 64 * 1024 * 1024;

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
