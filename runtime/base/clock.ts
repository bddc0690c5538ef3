/**
 * Time as a parameter, so that tests can provide their own. The only file of the runtime that reads the clock or sets a
 * timer.
 */
import { fail } from "./errors";

export interface Clock {
  /** Wall clock, milliseconds since 1970-01-01 UTC. */
  nowMs(): number;
  /** A clock that never goes back, milliseconds since this thread began; in the main thread that is the process. */
  monotonicMs(): number;
  /** Resolves after `durationMs`; rejects with `term` (63) as soon as `signal` aborts. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (durationMs, signal) =>
    new Promise((resolve, reject) => {
      const abort = (): void => {
        clearTimeout(timer);
        reject(fail("term", "terminated while waiting"));
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", abort);
        resolve();
      }, durationMs);
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
    }),
};

/** The same for all threads of a process: its monotonic clock began with the machine. */
export const sharedClock: Clock = {
  nowMs: systemClock.nowMs,
  monotonicMs: () => Number(process.hrtime.bigint()) / 1_000_000,
  sleep: systemClock.sleep,
};

/** A moment of both clocks. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export function momentOf(clock: Pick<Clock, "monotonicMs" | "nowMs">): Moment {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs() };
}

/** Time by the clock that moved more: the monotonic one stands still while the machine is suspended. */
export function elapsedMs(from: Moment, to: Moment): number {
  return Math.max(to.monotonicMs - from.monotonicMs, Math.abs(to.wallMs - from.wallMs));
}

/** Resolves when `signal` aborts; never rejects. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The result of `work`, or the abort's reason as soon as `signal` aborts; `work` goes on. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined);
    throw signal.reason;
  }
  let abort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Runs work that ends without help, and signals it when `durationMs` are over. */
export async function withTimeTo<T>(
  durationMs: number,
  clock: Clock,
  work: (enough: AbortSignal) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const enough = new AbortController();
  clock.sleep(durationMs, done.signal).then(
    () => enough.abort(new Error(`not within ${durationMs} ms`)),
    () => {},
  );
  try {
    return await work(enough.signal);
  } finally {
    done.abort();
  }
}

/** `2026-11-20 06:40:59.123` in this process' local time zone, as in stock's log lines. */
export function formatLocalTime(timeMs: number): string {
  const date = new Date(timeMs);
  return `${formatLocalSeconds(timeMs)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** `2026-11-20 06:40:59` in this process' local time zone. */
export function formatLocalSeconds(timeMs: number): string {
  const date = new Date(timeMs);
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `2026-11-20T06:40:59Z`. */
export function timeText(timeS: number): string {
  return new Date(timeS * 1000).toISOString().replace(".000Z", "Z");
}

/** False for `2026-11-31`, which Date.parse takes for the next day. */
export function isCalendarDate(date: string): boolean {
  const dayMs = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(date);
}

/**
 * Milliseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.fff][±HH[[:]MM]]`; without a zone, local time, as in stock and
 * PostgreSQL. Null for any other text.
 */
export function findTimeMs(text: string): number | null {
  const match = TIME.exec(text);
  if (match === null) return null;
  const [, date = "", time, fraction, zone, sign, hours, minutes] = match;
  if (!isCalendarDate(date)) return null;
  const offset = zone === undefined ? "" : sign === undefined ? "Z" : `${sign}${hours}:${minutes ?? "00"}`;
  const timeMs = Date.parse(`${date}T${time}${fraction ?? ""}${offset}`);
  return Number.isNaN(timeMs) ? null : timeMs;
}

/**
 * The same time with this process' offset from UTC, so that a program with another zone reads the time of {@link
 * findTimeMs}. A text with a zone, or that findTimeMs does not read, stays as it is.
 */
export function withOffset(text: string): string {
  const timeMs = findTimeMs(text);
  if (timeMs === null || TIME.exec(text)?.[4] !== undefined) return text;
  const offsetMs = (findTimeMs(`${text}Z`) ?? timeMs) - timeMs;
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${text.trimEnd()}${offsetMs < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

const TIME = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(\.\d+)?\s*(([+-])(\d{2})(?::?(\d{2}))?|Z|UTC)?$/;
