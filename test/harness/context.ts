/** A Context for tests: a manual clock, repeatable randomness, and a recorded log. */
import type { Clock } from "../../runtime/base/clock";
import type { Context } from "../../runtime/base/context";
import { type BackupError, fail } from "../../runtime/base/errors";
import type { Log } from "../../runtime/base/log";
import type { Random } from "../../runtime/base/random";

export interface LogLine {
  readonly level: keyof Log;
  readonly text: string;
  readonly error?: BackupError;
}

export interface TestContext<C extends Clock = ManualClock> extends Context {
  readonly clock: C;
  /** All log lines so far. */
  readonly lines: LogLine[];
  abort(): void;
}

/** 2026-11-20 06:40:59 UTC. */
export const TEST_TIME_MS = Date.UTC(2026, 10, 20, 6, 40, 59);

/** A context that starts at 2026-11-20 06:40:59 UTC by default. */
export function testContext(options?: { readonly startedAtMs?: number; readonly seed?: number }): TestContext;
export function testContext<C extends Clock>(options: { readonly clock: C; readonly seed?: number }): TestContext<C>;
export function testContext(
  options: { readonly startedAtMs?: number; readonly seed?: number; readonly clock?: Clock } = {},
): TestContext<Clock> {
  const controller = new AbortController();
  const lines: LogLine[] = [];
  return {
    clock: options.clock ?? new ManualClock(options.startedAtMs ?? TEST_TIME_MS),
    random: seededRandom(options.seed ?? 1),
    log: recordingLog(lines),
    signal: controller.signal,
    lines,
    abort: () => controller.abort(),
  };
}

/** A clock that stands still. `sleep` advances it at once by its duration; `advance` moves it by hand. */
export class ManualClock implements Clock {
  #nowMs: number;
  /** Durations of all sleeps so far. */
  readonly sleeps: number[] = [];

  constructor(startedAtMs: number) {
    this.#nowMs = startedAtMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  advance(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  async sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw fail("term", "terminated while waiting");
    this.sleeps.push(durationMs);
    this.#nowMs += durationMs;
    // Other tasks get a turn, as they would while time passes.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * A clock that stands still until {@link HeldClock.advance}. Sleepers wait for it, so nothing happens early. For races
 * and deadlines.
 */
export class HeldClock implements Clock {
  #nowMs: number;
  #sleepers: { readonly dueMs: number; readonly wake: () => void }[] = [];

  constructor(startedAtMs = TEST_TIME_MS) {
    this.#nowMs = startedAtMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        signal.removeEventListener("abort", abort);
      };
      const abort = (): void => {
        forget();
        reject(fail("term", "terminated while waiting"));
      };
      const wake = (): void => {
        forget();
        resolve();
      };
      const sleeper = { dueMs: this.#nowMs + durationMs, wake };
      this.#sleepers.push(sleeper);
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    });
  }

  /** Advances time and wakes each sleeper when it is due. Tasks get turns in between to work and to sleep again. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      const [next] = [...this.#sleepers].sort((left, right) => left.dueMs - right.dueMs);
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.wake();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }

  /** Advances time in small steps until `work` ends. @throws Error after `limitMs` of this clock's time */
  async until<T>(work: Promise<T>, limitMs = 600_000): Promise<T> {
    let ended = false;
    const done = work.finally(() => {
      ended = true;
    });
    done.catch(() => {});
    for (let spentMs = 0; !ended; spentMs += 50) {
      if (spentMs > limitMs) throw new Error(`not ended after ${limitMs} ms`);
      await this.advance(50);
      await pause(1);
    }
    return done;
  }
}

const DISK_MS_MAX = 2000;

/** Gives promises a few turns of the event loop, and disk accesses the time that they need on a busy machine. */
export async function settle(): Promise<void> {
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  const isBusy = (): boolean => process.getActiveResourcesInfo().some((name) => name.startsWith("FSReq"));
  await turns();
  // A read of a pipe may never end.
  for (const untilMs = performance.now() + DISK_MS_MAX; isBusy() && performance.now() < untilMs; await turns());
}

/** Sleeps in real time, for tests that wait for a disk. */
export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}

/** Waits in real time until `condition` holds. @throws Error naming `what` after a minute */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 12_000; turn++) {
    if (await condition()) return;
    await pause(5);
  }
  throw new Error(`never happened: ${what}`);
}

/** A 32-bit xorshift: the same seed gives the same bytes. Not for keys. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state & 0xff;
  };
  return { bytes: (sizeBytes) => Uint8Array.from({ length: sizeBytes }, next) };
}

function recordingLog(lines: LogLine[]): Log {
  const add =
    (level: keyof Log) =>
    (text: string): void =>
      void lines.push({ level, text });
  return {
    error: (error) => void lines.push({ level: "error", text: error.message, error }),
    warn: add("warn"),
    info: add("info"),
    detail: (text) => add("detail")(typeof text === "string" ? text : text()),
    debug: add("debug"),
    trace: add("trace"),
  };
}
