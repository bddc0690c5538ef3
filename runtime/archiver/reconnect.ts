/** Keeps one connection to a server after another, with pauses after failures, and says once what is wrong. */
import type { Context } from "../base/context";
import { type BackupError, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";

const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 10_000;
/** A server that is starting or restarting is not worth a report. */
const SILENT_MS = 15_000;
/** A connection that lasted this long was healthy: the next pause is a short one. */
const WELL_MS = 10_000;
/** How often to check whether a standby was promoted. */
export const STANDBY_MS = 5000;

/** What its reports say. */
interface ReportTexts {
  /** What does not happen, such as `WAL is not streamed`. */
  readonly trouble: string;
  /** The end of the report: what goes on until then. */
  readonly consequence: string;
}

export class Reconnect {
  readonly #texts: ReportTexts;
  readonly #ctx: Context;
  #trouble: { readonly error: BackupError; readonly sinceMs: number; isReported: boolean } | null = null;

  constructor(texts: ReportTexts, ctx: Context) {
    this.#texts = texts;
    this.#ctx = ctx;
  }

  /** Why there is no connection, also while the server may just be starting. */
  get trouble(): BackupError | null {
    return this.#trouble?.error ?? null;
  }

  /** The same; null until it was reported. */
  get error(): BackupError | null {
    return this.#trouble?.isReported === true ? this.#trouble.error : null;
  }

  /** A connection works. */
  begun(): void {
    this.#trouble = null;
  }

  /** @param connect serves one connection until it ends; true when the server is a standby */
  async run(connect: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
    const { clock } = this.#ctx;
    for (let pauseMs = 0; !signal.aborted; ) {
      const beganAtMs = clock.monotonicMs();
      const isStandby = await connect().catch((error: unknown) => {
        if (!signal.aborted) this.#report(toBackupError(error));
        return false;
      });
      const held = clock.monotonicMs() - beganAtMs >= WELL_MS;
      if (isStandby) pauseMs = STANDBY_MS;
      else pauseMs = held ? PAUSE_FIRST_MS : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  #report(error: BackupError): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#trouble;
    const isNews = known?.isReported !== true || known.error.message !== error.message;
    const sinceMs = known?.sinceMs ?? nowMs;
    const isReported = known?.isReported === true || nowMs - sinceMs >= SILENT_MS;
    const text = `${this.#texts.trouble}: ${error.message}`;
    if (isReported && isNews) this.#ctx.log.warn([text, ...hintLines(error), this.#texts.consequence].join("\n"));
    else this.#ctx.log.detail(text);
    this.#trouble = { error, sinceMs, isReported };
  }
}
