/**
 * Limits for a repository's answers, all derived from `io-timeout` (T). The drivers for object stores and SFTP share
 * them; a storage process has the last two.
 *
 * | limit | value | reason |
 * | --- | --- | --- |
 * | silence in the first and second attempt | T/4 | one connection that never answers must leave time for others |
 * | silence in later attempts | T | a slow disk may need it, and stock asks for "some progress" within T |
 * | silence while a file is synced over SFTP | T/2, then T | a slow disk is silent for long, but so is a dead line |
 * | attempts after refusals (403) | 4, if the key did such requests before | a proxy or a key store recovers |
 * | start of a new attempt | within T | a delayed write must not undo another process's (concurrency.md) |
 * | least rate of an answer | 1 KiB/s over the attempt's limit for silence | a trickle never ends by silence |
 *
 * So a request to a repository that never answers, or trickles, fails after T/4, T/4 and T.
 */
import type { Clock } from "../base/clock";

const FIRST_SHARE = 1 / 4;
const FIRST_SYNC_SHARE = 1 / 2;
/** Attempts with the short limit. */
const SHORT_ATTEMPTS = 2;
/** Silent or slow attempts before the error is final. */
export const SILENT_ATTEMPTS_MAX = SHORT_ATTEMPTS + 1;
/** Attempts of a request that a key is refused and had the right to make before. */
export const REFUSED_ATTEMPTS_MAX = 4;
/** A thin line that 32 transfers share still gives each one this rate. */
export const LEAST_BYTES_PER_SECOND = 1024;
/** What a listed name counts for: listings have no bytes. */
export const NAME_SIZE_BYTES = 1024;

/** Longest silence of an attempt after so many silent ones. */
export function silenceMs(silentAttempts: number, ioTimeoutMs: number): number {
  return silentAttempts < SHORT_ATTEMPTS ? Math.ceil(ioTimeoutMs * FIRST_SHARE) : ioTimeoutMs;
}

/** {@link silenceMs} while the server syncs a file. */
export function syncSilenceMs(silentAttempts: number, ioTimeoutMs: number): number {
  return silentAttempts === 0 ? Math.ceil(ioTimeoutMs * FIRST_SYNC_SHARE) : ioTimeoutMs;
}

/**
 * Watches the rate of an answer at each piece, without a timer: a limit for silence ends an answer without pieces. The
 * time between {@link arrived} and {@link await} is the consumer's and does not count.
 */
export class Pace {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #windowMs: number;
  readonly #tooSlow: (fact: string) => Error;
  #waitedMs = 0;
  #sizeBytes = 0;
  #sinceMs: number;

  /** `tooSlow` makes the error. */
  constructor(clock: Pick<Clock, "monotonicMs">, windowMs: number, tooSlow: (fact: string) => Error) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#tooSlow = tooSlow;
    this.#sinceMs = clock.monotonicMs();
  }

  /** The consumer wants the next piece. */
  await(): void {
    this.#sinceMs = this.#clock.monotonicMs();
  }

  /** @throws what `tooSlow` makes */
  arrived(sizeBytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    // This process may have stood still.
    this.#waitedMs += Math.min(nowMs - this.#sinceMs, this.#windowMs);
    this.#sinceMs = nowMs;
    this.#sizeBytes += sizeBytes;
    if (this.#waitedMs < this.#windowMs) return;
    const [sent, seconds] = [this.#sizeBytes, this.#waitedMs / 1000];
    this.#waitedMs = 0;
    this.#sizeBytes = 0;
    if (sent < LEAST_BYTES_PER_SECOND * seconds)
      throw this.#tooSlow(`it sent ${sent} bytes in ${Math.round(seconds)} s, the least is 1 KiB a second`);
  }
}

/** The pieces of `source`, watched by `pace`. */
export async function* paced(source: AsyncIterable<Uint8Array>, pace: Pace): AsyncIterable<Uint8Array> {
  pace.await();
  for await (const piece of source) {
    pace.arrived(piece.length);
    yield piece;
    pace.await();
  }
}
