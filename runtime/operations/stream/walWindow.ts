/**
 * The newest received WAL, in memory, for repositories that ship it at their own pace. What no repository needs any
 * more is dropped. It is bounded: the server is never held up, so when it is full, the oldest WAL is dropped, and a
 * slow repository continues with a later segment.
 */
import { freeMemory } from "../../base/bytes";
import { assert, fail } from "../../base/errors";

const BLOCK_SIZE_BYTES = 1024 * 1024;
/** Two segments of the default size. */
export const WINDOW_SIZE_BYTES_MAX = 32 * BLOCK_SIZE_BYTES;

export class WalWindow {
  readonly #blocks = new Map<bigint, Buffer>();
  /** Blocks in use, from the first to the last. */
  readonly #holds = new Set<readonly [bigint, bigint]>();
  /** A dropped block, for the next one. */
  #spare: Buffer | null = null;
  readonly #users: (() => bigint)[] = [];
  readonly #waiters = new Set<() => void>();
  #begin: bigint;
  #end: bigint;
  readonly #closing = new AbortController();

  /** Empty, before the byte at `start`. */
  constructor(start: bigint) {
    this.#begin = start;
    this.#end = start;
  }

  /** Position of the oldest byte held. */
  get begin(): bigint {
    return this.#begin;
  }

  /** Position after the newest byte. */
  get end(): bigint {
    return this.#end;
  }

  /** Nothing more will come. */
  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborts when nothing more will come. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Copies the bytes. @throws format when they do not follow the received bytes */
  append(lsn: bigint, wal: Uint8Array): void {
    if (lsn !== this.#end) throw fail("format", `the server sent WAL of position ${lsn} instead of ${this.#end}`);
    const blockSize = BigInt(BLOCK_SIZE_BYTES);
    for (let taken = 0; taken < wal.length; ) {
      const blockNo = this.#end / blockSize;
      const offset = Number(this.#end % blockSize);
      const part = wal.subarray(taken, taken + BLOCK_SIZE_BYTES - offset);
      let block = this.#blocks.get(blockNo);
      if (block === undefined) {
        this.release();
        this.#dropBefore(blockNo - BigInt(WINDOW_SIZE_BYTES_MAX / BLOCK_SIZE_BYTES) + 1n);
        block = this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_SIZE_BYTES);
        this.#spare = null;
        this.#blocks.set(blockNo, block);
      }
      block.set(part, offset);
      this.#end += BigInt(part.length);
      taken += part.length;
    }
    this.notify();
  }

  /** Gives `use` the bytes from `from` until before `to`, which stay valid until it ends. */
  async hold<T>(from: bigint, to: bigint, use: (wal: readonly Uint8Array[]) => Promise<T>): Promise<T> {
    const blockSize = BigInt(BLOCK_SIZE_BYTES);
    const held = [from / blockSize, to / blockSize] as const;
    const wal = this.slice(from, to);
    this.#holds.add(held);
    try {
      return await use(wal);
    } finally {
      this.#holds.delete(held);
    }
  }

  /** The same bytes, valid until more WAL is appended. */
  slice(from: bigint, to: bigint): Uint8Array[] {
    assert(from >= this.#begin && from <= to && to <= this.#end, `WAL from ${from} to ${to} is not in the window`);
    const blockSize = BigInt(BLOCK_SIZE_BYTES);
    const parts: Uint8Array[] = [];
    for (let at = from; at < to; ) {
      const offset = Number(at % blockSize);
      const size = Math.min(BLOCK_SIZE_BYTES - offset, Number(to - at));
      const block = this.#blocks.get(at / blockSize);
      assert(block !== undefined, "a block of the window is missing");
      parts.push(block.subarray(offset, offset + size));
      at += BigInt(size);
    }
    return parts;
  }

  /** @param needed the first byte that this user may still read, at any time */
  keepFor(needed: () => bigint): void {
    this.#users.push(needed);
  }

  /** Drops what no user needs; without users nothing. */
  release(): void {
    const [first, ...others] = this.#users.map((needed) => needed());
    if (first === undefined) return;
    const least = others.reduce((low, each) => (each < low ? each : low), first);
    this.#dropBefore(least / BigInt(BLOCK_SIZE_BYTES));
  }

  close(): void {
    this.#closing.abort();
    this.notify();
  }

  /** Resolves every waiting {@link changed}. */
  notify(): void {
    for (const wake of this.#waiters) wake();
  }

  /** Resolves at the next change, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#waiters.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }

  #dropBefore(oldest: bigint): void {
    for (const [blockNo, block] of this.#blocks) {
      if (blockNo >= oldest) continue;
      this.#blocks.delete(blockNo);
      if ([...this.#holds].some(([first, last]) => first <= blockNo && blockNo <= last)) continue;
      // Left to V8, several times the window would pile up.
      if (this.#spare === null) this.#spare = block;
      else freeMemory(block);
    }
    const begin = oldest * BigInt(BLOCK_SIZE_BYTES);
    if (this.#begin < begin) this.#begin = begin;
  }
}
