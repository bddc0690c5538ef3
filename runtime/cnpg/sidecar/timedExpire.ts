/**
 * Retention by time, which CloudNativePG's protocol does not have. A cluster with a suspended schedule or failing
 * backups would keep backups beyond `keepDays` for ever. So the primary's sidecar runs `expire` at intervals; each
 * backup also ends with one.
 *
 * During a backup in another pod, which holds the repository's lease, `expire` ends with 50 and runs again next time.
 * That backup expires at its own end.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";

export interface TimedExpireParts {
  isStandby(): Promise<boolean>;
  /** True while a backup runs here; it expires at its end. */
  isBusy(): boolean;
  /** Runs the program's `expire`; the exit code. */
  expire(signal: AbortSignal): Promise<number>;
}

const FIRST_MS = 3600_000;
const PAUSE_MS = 6 * 3600_000;

/** Runs until `signal` aborts; never throws. Failures are logged and retried next time. */
export async function expireForever(parts: TimedExpireParts, ctx: Context, signal: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_MS; !signal.aborted; pauseMs = PAUSE_MS) {
    await ctx.clock.sleep(pauseMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      if (parts.isBusy() || (await parts.isStandby())) continue;
      const exitCode = await parts.expire(signal);
      if (exitCode !== 0 && !signal.aborted)
        ctx.log.warn(`retention by time: expire failed with exit code ${exitCode}, retrying in six hours`);
    } catch (error) {
      ctx.log.warn(`retention by time: ${toBackupError(error).message}`);
    }
  }
}
