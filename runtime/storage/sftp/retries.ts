/** How often and how long a lost connection is made anew: pauses grow, with jitter, until `ioTimeoutMs` are used up (as stock's `io-timeout`). */
import type { Clock } from "../../base/clock";
import { type BackupError, fail } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Random } from "../../base/random";

/** Pauses as parts of the io-timeout: their sum is two thirds, so with jitter of a half up they still fit. */
const PAUSES = [1 / 320, 1 / 80, 1 / 20, 1 / 5, 2 / 5] as const;

export interface RetryDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  readonly ioTimeoutMs: number;
}

/** The tries of one request, or of one transfer between two bytes that got through. */
export class Retries {
  readonly #deps: RetryDeps;
  #failures = 0;
  #startedMs: number;

  constructor(deps: RetryDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonicMs();
  }

  /** Something got through: counting starts again. */
  reset(): void {
    this.#failures = 0;
    this.#startedMs = this.#deps.clock.monotonicMs();
  }

  /** Waits before the next try. @throws the error itself when it is final, or when attempts or time are used up */
  async pause(error: BackupError): Promise<void> {
    const { clock, random, signal, ioTimeoutMs } = this.#deps;
    if (signal.aborted) throw error.kind === "term" ? error : fail("term", "terminated while waiting for a connection", { cause: error });
    this.#failures++;
    const share = PAUSES[Math.min(this.#failures, PAUSES.length) - 1] ?? 0;
    const pauseMs = share * ioTimeoutMs * (0.5 + (random.bytes(1)[0] ?? 0) / 256);
    const usedMs = clock.monotonicMs() - this.#startedMs;
    if (!error.retryable || this.#failures >= LIMITS.requestAttempts || usedMs + pauseMs >= ioTimeoutMs) throw this.#final(error);
    await clock.sleep(pauseMs, signal);
  }

  #final(error: BackupError): BackupError {
    if (this.#failures === 1) return error;
    const { kind, message, hints, repoKey, path, retryable } = error;
    return fail(kind, `${message} (after ${this.#failures} attempts)`, {
      hint: hints,
      retryable,
      cause: error.cause ?? error,
      ...(repoKey === undefined ? {} : { repoKey }),
      ...(path === undefined ? {} : { path }),
    });
  }
}
