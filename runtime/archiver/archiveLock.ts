/**
 * Holds stock's archive lock during the agent's work, and our own during its healing: taken with the first file, kept
 * while there are more, released after a second of rest.
 *
 * The archive lock keeps a background process of `archive-async` (stock's or ours) from writing the same files while a
 * host moves from one to the other, and lets `stanza-create` run in between.
 */
import type { Context } from "../base/context";
import type { LockFile } from "../local/lockFile";
import type { WorkLock } from "../operations/archivePush/pushQueue";

const REST_MS = 1000;

export class ArchiveLock implements WorkLock {
  readonly #acquire: () => readonly LockFile[];
  readonly #ctx: Context;
  #held: readonly LockFile[] = [];
  #users = 0;
  /** Increases with each use, so that a rest can detect one. */
  #uses = 0;

  constructor(acquire: () => readonly LockFile[], ctx: Context) {
    this.#acquire = acquire;
    this.#ctx = ctx;
  }

  /** @throws lockAcquire (50) while another process archives */
  enter(): void {
    if (this.#held.length === 0) this.#held = this.#acquire();
    this.#users++;
    this.#uses++;
  }

  leave(): void {
    this.#users--;
    if (this.#users === 0) void this.#rest(this.#uses);
  }

  release(): void {
    for (const lock of this.#held) lock.release();
    this.#held = [];
  }

  async #rest(uses: number): Promise<void> {
    await this.#ctx.clock.sleep(REST_MS, this.#ctx.signal).catch(() => {});
    if (this.#users === 0 && this.#uses === uses) this.release();
  }
}
