/**
 * A token bucket: over any time T at most `bytesPerSecond * T + burstBytes` pass.
 *
 * Its state is one number, which the threads of a process share: the time at which all bytes taken so far have passed
 * at this rate. A caller moves it on by his bytes, atomically, and waits until then. So callers pass in the order in
 * which they came, and none starves. An abort ends a wait immediately; its bytes stay taken.
 */
import type { Clock } from "../base/clock";

/** How long the bytes of a burst take at the rate. */
const BURST_MS = 250;
/** Small pieces, so that a lease's file does not wait long behind the data of many threads. */
const PIECES_IN_BURST = 4;
const NS_PER_MS = 1_000_000;

/** State of a new bucket: full. */
export function newRateState(): SharedArrayBuffer {
  return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
}

export class RateLimit {
  /** Bytes that pass at once after a pause. */
  readonly burstBytes: number;
  readonly #pieceBytes: number;
  readonly #nsPerByte: number;
  readonly #state: BigInt64Array;
  readonly #clock: Pick<Clock, "monotonicMs" | "sleep">;

  /** @param clock the same one in all threads */
  constructor(bytesPerSecond: number, state: SharedArrayBuffer, clock: Pick<Clock, "monotonicMs" | "sleep">) {
    this.burstBytes = Math.max(1, (bytesPerSecond * BURST_MS) / 1000);
    this.#pieceBytes = Math.max(1, Math.floor(this.burstBytes / PIECES_IN_BURST));
    this.#nsPerByte = (1000 * NS_PER_MS) / bytesPerSecond;
    this.#state = new BigInt64Array(state);
    this.#clock = clock;
  }

  /** Waits until `sizeBytes` may pass. @throws term as soon as `signal` aborts */
  async take(sizeBytes: number, signal: AbortSignal): Promise<void> {
    for (let left = sizeBytes; left > 0; left -= this.#pieceBytes) {
      const waitMs = this.#reserve(Math.min(left, this.#pieceBytes));
      if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
    }
  }

  /** Pieces of the chunk, each when it may pass. They are views, valid as long as the chunk. */
  async *pieces(chunk: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < chunk.length; offset += this.#pieceBytes) {
      const piece = chunk.subarray(offset, offset + this.#pieceBytes);
      await this.take(piece.length, signal);
      yield piece;
    }
  }

  /** Takes bytes of at most one piece. Returns the time until they may pass. */
  #reserve(sizeBytes: number): number {
    const costNs = BigInt(Math.ceil(sizeBytes * this.#nsPerByte));
    for (;;) {
      const nowNs = BigInt(Math.floor(this.#clock.monotonicMs() * NS_PER_MS));
      const fullNs = nowNs - BigInt(Math.floor(this.burstBytes * this.#nsPerByte));
      const taken = Atomics.load(this.#state, 0);
      const next = (taken > fullNs ? taken : fullNs) + costNs;
      if (Atomics.compareExchange(this.#state, 0, taken, next) !== taken) continue;
      return next > nowNs ? Number(next - nowNs) / NS_PER_MS : 0;
    }
  }
}
