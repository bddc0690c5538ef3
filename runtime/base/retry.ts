/** Repeats work that may succeed later, with growing pauses and a limit. */
import type { Clock } from "./clock";
import { isError } from "./errors";

export interface RetryPolicy {
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
}

/**
 * Calls `work` until it succeeds, throws an error that is not `retryable`, or `policy.attempts` are used up; the last
 * error is thrown. Pauses double from `firstDelayMs` to `delayMsMax`. An abort ends the wait with `term`.
 */
export async function retry<T>(policy: RetryPolicy, clock: Clock, signal: AbortSignal, work: (attempt: number) => Promise<T>): Promise<T> {
  let delayMs = policy.firstDelayMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= policy.attempts || !isError(error) || !error.retryable) throw error;
      await clock.sleep(delayMs, signal);
      delayMs = Math.min(delayMs * 2, policy.delayMsMax);
    }
  }
}
