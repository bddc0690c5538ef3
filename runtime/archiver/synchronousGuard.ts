/**
 * Decides whether the server's commits wait for the repositories, by `synchronous_standby_names`.
 *
 * The setting names the receiver only after the receiver has confirmed the server's position, so that a start never
 * blocks a commit. It is removed when nothing was confirmed for `degradeMs`, when the user stops the stanza, and when
 * synchronous streaming is no longer configured. Without `degradeMs` it stays: commits wait.
 *
 * The setting is permanent (ALTER SYSTEM). A killed agent leaves it as it is: commits wait for the next agent, which
 * goes on as if it had run all the time. Writes are made by reading the value and writing its successor; both are the
 * same for every agent, so two agents write the same. Others' standbys in the value stay required.
 *
 * With `degradeMs`, a unit of the host removes the name too, some seconds after an agent would, while no receiver is
 * connected (components/render/units/degradeUnit.ts). An agent can miss that in two ways: it slept, or it began at the
 * same time. In both it goes on as after a start.
 *
 * In a cluster the operator owns the setting: a sidecar's guard only reads it.
 */
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";
import { changeNames, type NamesSession, readNames, requireNoApply } from "../operations/stream/receiverSetting";
import { isReceiverRequired, RECEIVER_NAME, withoutReceiver, withReceiver } from "../operations/stream/standbyNames";
import type { SynchronousReport } from "../local/streamState";

/** `starting` until the first confirmation, `asynchronous` after {@link SynchronousGuard} gave up waiting. */
export type SynchronousState = "starting" | "synchronous" | "asynchronous";

export interface GuardOptions {
  /** Null waits forever. */
  readonly degradeMs: number | null;
  /** True while the user has stopped the stanza: nothing can be confirmed then. */
  isStopped(): boolean;
  /** Who manages `synchronous_standby_names`, for messages; absent if the guard does. */
  readonly setBy?: string | undefined;
  /** A session of its own, which the guard closes. */
  connect(): Promise<NamesSession & { close(): Promise<void> }>;
}

const TICK_MS = 250;
/** Confirmations that are this old count as current. */
const LEVEL_MS = 2000;
/** Confirmations must have been current for this long before commits wait again. */
const RETURN_MS = 10_000;
/** How often another process's change of the setting is noticed. */
const LOOK_MS = 10_000;
/** Less than the other process waits before it degrades. */
const ASLEEP_MS = 5000;
/** For so long after a start, a missing name is the other process's degrading and not somebody's decision. */
const SETTLE_MS = 20_000;
/** Between attempts to write the setting. */
const RETRY_MS = 5000;
/** Positions whose time is kept: enough to know the age of the oldest unconfirmed one. */
const MARKS_MAX = 1000;
const MARK_MS = 50;

interface Mark {
  readonly lsn: bigint;
  readonly atMs: number;
}

export class SynchronousGuard {
  readonly #options: GuardOptions;
  readonly #ctx: Context;
  #state: SynchronousState = "starting";
  #error: BackupError | null = null;
  #errorAtMs = Number.NEGATIVE_INFINITY;
  /** Received and not confirmed, oldest first. */
  #marks: Mark[] = [];
  #isConfirming = false;
  /** The last time without a confirming connection, or with one that was level. */
  #levelAtMs: number;
  /** Since when confirmations are current. */
  #currentSinceMs: number | null = null;
  #isStandby = false;
  /** Why commits no longer wait. */
  #why = "";
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #enteredAtMs = Number.NEGATIVE_INFINITY;
  /** The last tick. */
  #awakeAtMs: number;

  constructor(options: GuardOptions, ctx: Context) {
    this.#options = options;
    this.#ctx = ctx;
    this.#levelAtMs = ctx.clock.monotonicMs();
    this.#awakeAtMs = this.#levelAtMs;
  }

  /** Whether commits wait now. */
  get state(): SynchronousState {
    return this.#state;
  }

  /** Why the setting cannot be what it should be. */
  get error(): BackupError | null {
    return this.#error;
  }

  report(): SynchronousReport {
    const isChanged = this.#options.setBy === undefined && this.#error?.kind === "featureNotSupported";
    const isWaiting = this.#state === "synchronous" && !isChanged;
    const trouble = this.#error?.message ?? (this.#state === "asynchronous" ? this.#why : null);
    const waitingS = isWaiting ? Math.floor(this.lagMs / 1000) : 0;
    return { isWaiting, waitingS, trouble: trouble?.split("\n")[0] ?? null };
  }

  get isStandby(): boolean {
    return this.#isStandby;
  }

  /** WAL was received or confirmed; a confirmed position of 0 is unknown. */
  moved(receivedLsn: bigint, confirmedLsn: bigint): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    this.#isStandby = false;
    this.#isConfirming = confirmedLsn > 0n;
    const done = this.#marks.findLastIndex(({ lsn }) => lsn <= confirmedLsn);
    if (done >= 0) this.#marks.splice(0, done + 1);
    const newest = this.#marks.at(-1);
    if (receivedLsn <= confirmedLsn) this.#levelAtMs = nowMs;
    else if (newest === undefined || (nowMs - newest.atMs >= MARK_MS && this.#marks.length < MARKS_MAX))
      this.#marks.push({ lsn: receivedLsn, atMs: nowMs });
  }

  /** The connection has ended: nothing is confirmed until the next one. */
  ended(): void {
    if (this.#isConfirming) this.#levelAtMs = this.#ctx.clock.monotonicMs() - this.lagMs;
    this.#isConfirming = false;
    this.#marks = [];
  }

  /** The server is a standby. The setting acts from its promotion on: no commit is acknowledged before it is stored. */
  standby(): void {
    this.#isStandby = true;
    this.#levelAtMs = this.#ctx.clock.monotonicMs();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#ctx.clock.sleep(TICK_MS, signal).catch(() => {});
      if (signal.aborted) return;
      this.#noticeSleep();
      await this.#tick();
    }
  }

  /** The process was suspended or starved for so long that the other one may have degraded. */
  #noticeSleep(): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const asleepMs = nowMs - this.#awakeAtMs;
    this.#awakeAtMs = nowMs;
    if (this.#options.degradeMs === null || asleepMs <= ASLEEP_MS || this.#state !== "synchronous") return;
    this.#ctx.log.detail(`the agent has slept for ${Math.floor(asleepMs / 1000)} seconds: commits may no longer wait`);
    this.#state = "starting";
  }

  async #tick(): Promise<void> {
    const nowMs = this.#ctx.clock.monotonicMs();
    const lagMs = this.lagMs;
    const isCurrent = this.#isConfirming && lagMs <= LEVEL_MS;
    this.#currentSinceMs = isCurrent ? (this.#currentSinceMs ?? nowMs) : null;
    const { degradeMs } = this.#options;
    if (this.#errorAtMs + RETRY_MS > nowMs) return;
    if (this.#options.setBy !== undefined) return this.#observe(this.#options.setBy, nowMs);
    if (this.#options.isStopped()) return this.#leave("the stanza is stopped");
    if (this.#isStandby) return this.#look(nowMs);
    if (degradeMs !== null && lagMs > degradeMs)
      return this.#leave(`no repository has confirmed WAL for ${Math.floor(lagMs / 1000)} seconds`);
    if (this.#state === "synchronous") return this.#look(nowMs);
    const sinceMs = this.#currentSinceMs;
    const holdMs = this.#state === "asynchronous" ? RETURN_MS : 0;
    if (sinceMs !== null && nowMs - sinceMs >= holdMs) await this.#enter();
  }

  /** Age of the oldest WAL that was received and not confirmed; without confirmations, time since the last one. */
  get lagMs(): number {
    const sinceMs = this.#isConfirming ? this.#marks[0]?.atMs : this.#levelAtMs;
    return sinceMs === undefined ? 0 : this.#ctx.clock.monotonicMs() - sinceMs;
  }

  async #enter(): Promise<void> {
    const wasDegraded = this.#state === "asynchronous";
    const isWritten = await this.#with(async (session) => {
      await requireNoApply(session);
      await changeNames(session, withReceiver);
    });
    if (!isWritten) return;
    this.#state = "synchronous";
    this.#enteredAtMs = this.#ctx.clock.monotonicMs();
    this.#ctx.log.info(
      `commits wait for the repositories${wasDegraded ? " again" : ""}: synchronous_standby_names requires ${RECEIVER_NAME}`,
    );
  }

  async #leave(why: string): Promise<void> {
    if (this.#state === "asynchronous") return;
    if (!(await this.#write(withoutReceiver))) return;
    this.#state = "asynchronous";
    this.#why = why;
    this.#currentSinceMs = null;
    this.#ctx.log.warn(
      `commits no longer wait for the repositories: ${why}\n` +
        "acknowledged commits can be lost with this host until the repositories answer again",
    );
  }

  /** A standby gets the setting; elsewhere another's change is reported and never undone. */
  async #look(nowMs: number): Promise<void> {
    if (nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    if (this.#isStandby) {
      await this.#write(withReceiver);
      return;
    }
    await this.#with(async (session) => {
      if (isReceiverRequired(await readNames(session))) return;
      if (this.#options.degradeMs !== null && nowMs - this.#enteredAtMs < SETTLE_MS) {
        this.#state = "starting";
        return;
      }
      throw fail("featureNotSupported", `synchronous_standby_names no longer requires ${RECEIVER_NAME}`, {
        hint: "Somebody has changed it, so commits no longer wait for the repositories. Restart the agent to require it again.",
      });
    });
  }

  /** Changes nothing. */
  async #observe(setBy: string, nowMs: number): Promise<void> {
    if (this.#isStandby || nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    await this.#with(async (session) => {
      const state = isReceiverRequired(await readNames(session)) ? "synchronous" : "asynchronous";
      if (state !== this.#state && state === "synchronous")
        this.#ctx.log.info(`commits wait for the repositories: ${setBy} requires ${RECEIVER_NAME}`);
      this.#why = `${setBy} does not require ${RECEIVER_NAME}`;
      if (state !== this.#state && state === "asynchronous")
        this.#ctx.log.warn(`commits do not wait for the repositories: ${this.#why}`);
      this.#state = state;
      if (state === "synchronous") await requireNoApply(session);
    });
  }

  #write(change: (value: string) => string): Promise<boolean> {
    return this.#with((session) => changeNames(session, change));
  }

  async #with(work: (session: NamesSession) => Promise<void>): Promise<boolean> {
    try {
      const session = await this.#options.connect();
      try {
        await work(session);
      } finally {
        await session.close();
      }
      this.#error = null;
      return true;
    } catch (thrown) {
      const error = toBackupError(thrown);
      this.#errorAtMs = this.#ctx.clock.monotonicMs();
      // A server that is down answers again when it runs; the connection that receives WAL reports it.
      if (error.kind !== "dbConnect" && this.#error?.message !== error.message)
        this.#ctx.log.warn([`synchronous streaming: ${error.message}`, ...hintLines(error)].join("\n"));
      this.#error = error;
      return false;
    }
  }
}
