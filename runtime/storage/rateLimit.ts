/**
 * A token bucket whose rate changes from minute to minute: over any time at most its rates over that time pass, and
 * those of `BURST_MS` before it.
 *
 * Its state is one number, which the threads of a process share: the time at which all bytes taken so far have passed
 * at their rates. A caller moves it on, atomically, and waits until then. So callers pass in the order in which they
 * came, and none starves. An abort ends a wait immediately; its bytes stay taken.
 *
 * Time is the monotonic clock's; the wall clock only says which rate there is. So a step of the wall clock costs nobody
 * more than a piece.
 */
import type { Clock } from "../base/clock";

/** Time whose bytes pass at once after a pause. */
export const BURST_MS = 250;
/** The time of a piece is short, so that a lease's file does not wait long behind the data of many threads. */
const PIECE_MS = BURST_MS / 4;
const NS_PER_MS = 1_000_000;
const MINUTE_MS = 60_000;

type RateClock = Pick<Clock, "monotonicMs" | "nowMs" | "sleep">;

/** Bytes that may pass, and when: milliseconds from now. */
interface Grant {
  readonly bytes: number;
  readonly atMs: number;
}

/** State of a new bucket: full. */
export function newRateState(): SharedArrayBuffer {
  return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
}

export class RateLimit {
  readonly #rateAt: (wallMs: number) => number;
  readonly #state: BigInt64Array;
  readonly #clock: RateClock;

  /**
   * @param rateAt bytes a second at a time of the wall clock, the same within each minute; Infinity without a limit
   * @param clock the same one in all threads
   */
  constructor(rateAt: (wallMs: number) => number, state: SharedArrayBuffer, clock: RateClock) {
    this.#rateAt = rateAt;
    this.#state = new BigInt64Array(state);
    this.#clock = clock;
  }

  /** Waits until `sizeBytes` may pass. @throws term as soon as `signal` aborts */
  async take(sizeBytes: number, signal: AbortSignal): Promise<void> {
    for (let left = sizeBytes; left > 0; ) left -= await this.#pass(left, signal);
  }

  /** Pieces of the chunk, each when it may pass. They are views, valid as long as the chunk. */
  async *pieces(chunk: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < chunk.length; ) {
      const size = await this.#pass(chunk.length - offset, signal);
      yield chunk.subarray(offset, offset + size);
      offset += size;
    }
  }

  /** Returns how many of the bytes may pass now, after a wait. */
  async #pass(sizeBytes: number, signal: AbortSignal): Promise<number> {
    const { atMs, bytes } = this.#reserve(sizeBytes);
    if (atMs > 0) await this.#clock.sleep(atMs, signal);
    return bytes;
  }

  #reserve(sizeBytes: number): Grant {
    for (;;) {
      const wallMs = this.#clock.nowMs();
      if (this.#rateAt(wallMs) === Number.POSITIVE_INFINITY) return { bytes: sizeBytes, atMs: 0 };
      const nowNs = BigInt(Math.floor(this.#clock.monotonicMs() * NS_PER_MS));
      const taken = Atomics.load(this.#state, 0);
      const takenMs = Number(taken - nowNs) / NS_PER_MS;
      const grant = this.#grant(wallMs, Math.max(takenMs, this.#fullMs(wallMs)), sizeBytes);
      const next = nowNs + BigInt(Math.ceil(grant.atMs * NS_PER_MS));
      if (Atomics.compareExchange(this.#state, 0, taken, next) === taken) return grant;
    }
  }

  /** The state of a full bucket. It fills from the beginning of its limit: what passes before that does not count. */
  #fullMs(wallMs: number): number {
    const intoMs = intoMinute(wallMs);
    return intoMs < BURST_MS && this.#rateAt(wallMs - BURST_MS) === Number.POSITIVE_INFINITY ? -intoMs : -BURST_MS;
  }

  /** At most a piece, by the rates from `fromMs` on. Where the limit ends, all bytes pass. */
  #grant(wallMs: number, fromMs: number, sizeBytes: number): Grant {
    const intoMs = intoMinute(wallMs);
    const pieceEndMs = fromMs + PIECE_MS;
    let [atMs, bytes] = [fromMs, 0];
    for (let minute = Math.floor((intoMs + fromMs) / MINUTE_MS); ; minute++) {
      const bytesPerMs = this.#rateAt(wallMs - intoMs + minute * MINUTE_MS) / 1000;
      if (bytesPerMs === Number.POSITIVE_INFINITY) return { bytes: sizeBytes, atMs };
      const endMs = Math.min((minute + 1) * MINUTE_MS - intoMs, pieceEndMs);
      const passing = Math.max(0, endMs - atMs) * bytesPerMs;
      if (bytes + passing >= sizeBytes) return { bytes: sizeBytes, atMs: atMs + (sizeBytes - bytes) / bytesPerMs };
      bytes += passing;
      const whole = Math.max(1, Math.floor(bytes));
      if (endMs === pieceEndMs) return { bytes: whole, atMs: Math.max(atMs, endMs - (bytes - whole) / bytesPerMs) };
      atMs = endMs;
    }
  }
}

function intoMinute(wallMs: number): number {
  return wallMs - Math.floor(wallMs / MINUTE_MS) * MINUTE_MS;
}
