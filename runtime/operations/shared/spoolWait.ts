/**
 * Shared by `archive-push` and `archive-get` under `archive-async`: waits for the background process' result for a WAL
 * file, and starts that process if none runs ("pgbackrest-format" 8.3).
 */
import type { Context } from "../../base/context";
import { ERRORS, type ErrorKind, fail } from "../../base/errors";
import type { Spool, SpoolStatus } from "../../local/spool";

/** The background process, as the foreground process sees it. */
export interface BackgroundProcess {
  isRunning(): boolean;
  start(): void;
}

export interface SpoolWait<T> {
  readonly walName: string;
  /** `push` or `get`, for the timeout message. */
  readonly verb: "push" | "get";
  readonly timeoutMs: number;
  /**
   * The result, if it exists. Called before anything else; `hasStarted` says whether this call has started a process.
   */
  look?(hasStarted: boolean): Promise<T | undefined>;
  /** What an `.ok` file means. */
  accept(status: SpoolStatus): Promise<T>;
}

const POLL_MS = 100;
/** A started process that is not seen running within this time has ended: another one may be needed. */
const START_MS = 3000;

/** @throws the error that the background process recorded; archiveTimeout (82) */
export async function waitInSpool<T>(
  spool: Spool,
  wait: SpoolWait<T>,
  background: BackgroundProcess,
  ctx: Context,
): Promise<T> {
  const { walName, verb, timeoutMs } = wait;
  const deadlineMs = ctx.clock.monotonicMs() + timeoutMs;
  let startedAtMs: number | null = null;
  for (;;) {
    const result = await wait.look?.(startedAtMs !== null);
    if (result !== undefined) return result;
    const status = await spool.findStatus(walName);
    if (status?.kind === "ok") return wait.accept(status);
    // An error of an earlier run counts only if a new run has reported it again.
    if (status !== null && startedAtMs !== null) throw statusError(status.code, status.message);
    const nowMs = ctx.clock.monotonicMs();
    if ((startedAtMs === null || nowMs - startedAtMs > START_MS) && !background.isRunning()) {
      await spool.make();
      await spool.clearErrors(walName);
      background.start();
      startedAtMs = nowMs;
    }
    if (nowMs >= deadlineMs) {
      const [seconds, where] = [Math.round(timeoutMs / 1000), verb === "push" ? "to" : "from"];
      throw fail(
        "archiveTimeout",
        `unable to ${verb} WAL file '${walName}' ${where} the archive asynchronously after ${seconds} second(s)`,
        {
          retryable: true,
        },
      );
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** The error that another process recorded. */
function statusError(code: number, message: string): Error {
  const kind = (Object.keys(ERRORS) as ErrorKind[]).find((name) => ERRORS[name] === code) ?? "unhandled";
  const [text = "", ...hints] = message.split("\nHINT: ");
  return fail(kind, text, { hint: hints });
}
