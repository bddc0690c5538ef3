/**
 * Retention by time: CloudNativePG's protocol has no word for it, and a cluster whose schedule is suspended or whose backups fail would keep for ever
 * what `keepDays` lets go. The sidecar of the primary therefore runs `expire` now and then; after each backup it runs in any case.
 *
 * A backup in another pod holds the lease of the repository: `expire` ends with 50 then, and is run again at the next turn. That backup expires at its
 * own end.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";

export interface TimedExpireParts {
  isStandby(): Promise<boolean>;
  /** True while a backup runs here, which expires at its end. */
  isBusy(): boolean;
  /** Runs the program's `expire`; the exit code. */
  expire(signal: AbortSignal): Promise<number>;
}

const FIRST_MS = 3600_000;
const PAUSE_MS = 6 * 3600_000;

/** Runs until `signal` aborts; never throws. What fails is told, and tried at the next turn. */
export async function expireForever(parts: TimedExpireParts, ctx: Context, signal: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_MS; !signal.aborted; pauseMs = PAUSE_MS) {
    await ctx.clock.sleep(pauseMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      if (parts.isBusy() || (await parts.isStandby())) continue;
      const exitCode = await parts.expire(signal);
      if (exitCode !== 0 && !signal.aborted) ctx.log.warn(`retention by time: expire ended with ${exitCode}, and is run again in six hours`);
    } catch (error) {
      ctx.log.warn(`retention by time: ${toBackupError(error).message}`);
    }
  }
}
