/** Repeats work that may succeed later, with growing pauses and a limit. */
import { type Clock, elapsedMs, type Moment, momentOf } from "./clock";
import { type BackupError, fail, isError } from "./errors";
import { LIMITS } from "./limits";
import type { Random } from "./random";

export interface RetryPolicy {
  readonly attempts: number;
  /** After each failure; the last one counts for all that follow. */
  readonly pausesMs: readonly number[];
  /** Varies each pause from half to one and a half of it. */
  readonly random?: Random;
  /**
   * All attempts and pauses together, from the start or from {@link Retries.extend}. After a longer suspension of the
   * process or machine nothing is repeated: another process may have taken over, and the caller must look again first.
   */
  readonly limitMs?: number;
  /** The last error says how many attempts there were. */
  readonly isCounted?: boolean;
}

/** Pauses as parts of the io-timeout: their sum is two thirds, so with jitter of a half up they still fit. */
const PAUSES = [1 / 320, 1 / 80, 1 / 20, 1 / 5, 2 / 5] as const;

/** What storages do about a lost connection or a service that is busy: as long as stock's `io-timeout`. */
export function ioRetryPolicy({
  ioTimeoutMs,
  random,
}: {
  readonly ioTimeoutMs: number;
  readonly random: Random;
}): RetryPolicy {
  return {
    attempts: LIMITS.requestAttempts,
    pausesMs: PAUSES.map((share) => share * ioTimeoutMs),
    random,
    limitMs: ioTimeoutMs,
    isCounted: true,
  };
}

/** The attempts of one request, or of one transfer between two bytes that got through. */
export class Retries {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #failures = 0;
  #startedAt: Moment;

  constructor(policy: RetryPolicy, clock: Clock, signal: AbortSignal) {
    this.#policy = policy;
    this.#clock = clock;
    this.#signal = signal;
    this.#startedAt = momentOf(clock);
  }

  /** Something got through: counting starts again. */
  reset(): void {
    this.#failures = 0;
    this.#startedAt = momentOf(this.#clock);
  }

  /**
   * A piece of a body got through, so that a slow line does not use up the time. Once the time is used up it stays so:
   * the process was suspended. Failures stay counted.
   */
  extend(): void {
    if (!this.#isOver()) this.#startedAt = momentOf(this.#clock);
  }

  /**
   * Waits before the next attempt, at least `pauseMsMin`; not so long if that would use up the time.
   * @throws the error when it is not retryable, or when attempts or time are used up; term
   */
  async pause(error: BackupError, pauseMsMin = 0): Promise<void> {
    const { attempts, pausesMs, random } = this.#policy;
    if (this.#signal.aborted)
      throw error.kind === "term" ? error : fail("term", "terminated while waiting for a connection", { cause: error });
    this.#failures++;
    const wholeMs = pausesMs[Math.min(this.#failures, pausesMs.length) - 1] ?? 0;
    const jitter = random === undefined ? 1 : 0.5 + (random.bytes(1)[0] ?? 0) / 256;
    const isTooLong = this.#isOver(pauseMsMin);
    const pauseMs = Math.max(wholeMs * jitter, isTooLong ? 0 : pauseMsMin);
    const refusedMs = isTooLong ? pauseMsMin : 0;
    if (!error.retryable || this.#failures >= attempts || this.#isOver(pauseMs)) throw this.#final(error, refusedMs);
    await this.#clock.sleep(pauseMs, this.#signal);
    if (this.#isOver()) throw this.#final(error, refusedMs);
  }

  #isOver(moreMs = 0): boolean {
    const { limitMs = Number.POSITIVE_INFINITY } = this.#policy;
    return elapsedMs(this.#startedAt, momentOf(this.#clock)) + moreMs >= limitMs;
  }

  /** `refusedMs` is the pause that the service asked for and that the time does not allow. */
  #final(error: BackupError, refusedMs: number): BackupError {
    if ((this.#failures === 1 && refusedMs === 0) || this.#policy.isCounted !== true) return error;
    const { kind, message, hints, repoIndex, path, retryable } = error;
    const refused = `The service asks for a pause of ${Math.round(refusedMs / 1000)} s, more than io-timeout leaves.`;
    return fail(kind, `${message} (after ${this.#failures} attempts)`, {
      hint: refusedMs === 0 ? hints : [...hints, refused],
      retryable,
      cause: error.cause ?? error,
      ...(repoIndex === undefined ? {} : { repoIndex }),
      ...(path === undefined ? {} : { path }),
    });
  }
}

/**
 * Calls `work` until it succeeds or {@link Retries.pause} throws. A pause is at least as long as the error's service
 * asks for. Errors that are not BackupErrors are not retried.
 */
export async function retry<T>(
  policy: RetryPolicy,
  clock: Clock,
  signal: AbortSignal,
  work: (attempt: number) => Promise<T>,
): Promise<T> {
  const retries = new Retries(policy, clock, signal);
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (!isError(error)) throw error;
      await retries.pause(error, error.retryAfterMs);
    }
  }
}
