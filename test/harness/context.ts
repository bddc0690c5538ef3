/** A Context for tests: a clock that only moves when told or slept on, repeatable randomness, and a log that is kept. */
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

export interface TestContext extends Context {
  readonly clock: ManualClock;
  /** Every line logged so far. */
  readonly lines: LogLine[];
  /** Aborts the context's signal. */
  abort(): void;
}

/** A context that starts at 2026-11-20 06:40:59 UTC unless told otherwise. */
export function testContext(options: { readonly startedAtMs?: number; readonly seed?: number } = {}): TestContext {
  const controller = new AbortController();
  const lines: LogLine[] = [];
  return {
    clock: new ManualClock(options.startedAtMs ?? Date.UTC(2026, 10, 20, 6, 40, 59)),
    random: seededRandom(options.seed ?? 1),
    log: recordingLog(lines),
    signal: controller.signal,
    lines,
    abort: () => controller.abort(),
  };
}

/** Time stands still; `sleep` moves it by its duration at once, and `advance` by hand. */
export class ManualClock implements Clock {
  #nowMs: number;
  /** Durations slept so far. */
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
    // Others get their turn, as they would while time passes.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The same bytes for the same seed: a 32-bit xorshift, not for keys. */
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
    detail: add("detail"),
    debug: add("debug"),
    trace: add("trace"),
  };
}
