/** The token bucket on a clock that the test moves: how much passes in any time, and that nobody starves. */
import { describe, expect, test } from "vitest";
import type { Clock } from "../../../runtime/base/clock";
import { limitRateOf, rateAtOf } from "../../../runtime/config/hours/limitRate";
import { BURST_MS, newRateState, RateLimit } from "../../../runtime/storage/rateLimit";
import { HeldClock } from "../../harness/context";
import * as fc from "../../harness/properties";

const never = new AbortController().signal;
const NONE = Number.POSITIVE_INFINITY;
const MINUTE_MS = 60_000;
const KIB = 1024;

interface Passed {
  readonly atMs: number;
  readonly sizeBytes: number;
}

/** A caller that passes chunks, one after the other, from a time on. */
interface Caller {
  readonly startMs: number;
  readonly chunks: readonly number[];
  /** Each thread has a bucket of its own over one state. */
  readonly thread: number;
}

const START_MAX_MS = 3000;
const callerOf = (startMs: fc.Arbitrary<number>, sizeMax: number): fc.Arbitrary<Caller> =>
  fc.record({ startMs, chunks: fc.array(fc.nat(sizeMax), { maxLength: 5 }), thread: fc.nat(1) });
const caller = callerOf(fc.nat(START_MAX_MS), 2000);
const rate = fc.integer({ min: 3000, max: 20_000 });

/** @param rates bytes a second by minute; the last one stays */
async function run(rates: readonly number[], beganMs: number, callers: readonly Caller[]): Promise<Passed[]> {
  const clock = new HeldClock(beganMs);
  const state = newRateState();
  const rateAt = (atMs: number): number => rateIn(rates, atMs);
  const threads = [0, 1].map(() => new RateLimit(rateAt, state, clock));
  const passed: Passed[] = [];
  const work = callers.map(async ({ chunks, startMs, thread }) => {
    await clock.sleep(startMs, never);
    for (const size of chunks)
      for await (const piece of (threads[thread] as RateLimit).pieces(new Uint8Array(size), never))
        passed.push({ atMs: clock.monotonicMs(), sizeBytes: piece.length });
  });
  const total = bytesOf(callers.flatMap(({ chunks }) => chunks));
  // All of it at the least rate, after the last one has come.
  await clock.advance(START_MAX_MS + (total * 1000) / Math.min(...rates) + 1);
  await Promise.all(work);
  expect(bytesOf(passed.map(({ sizeBytes }) => sizeBytes))).toBe(total);
  return passed;
}

function rateIn(rates: readonly number[], atMs: number): number {
  return rates[Math.min(Math.floor(atMs / MINUTE_MS), rates.length - 1)] ?? NONE;
}

function bytesOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Bytes that the rates allow from a time to another one. */
function allowed(rates: readonly number[], fromMs: number, toMs: number): number {
  let bytes = 0;
  for (let atMs = fromMs; atMs < toMs; ) {
    const endMs = Math.min((Math.floor(atMs / MINUTE_MS) + 1) * MINUTE_MS, toMs);
    bytes += (rateIn(rates, atMs) * (endMs - atMs)) / 1000;
    atMs = endMs;
  }
  return bytes;
}

/** The most that passes in any time beyond the rates over it and a burst. Times without a limit do not count. */
function excess(rates: readonly number[], passed: readonly Passed[]): number {
  const burstBytes = (Math.max(...rates.filter((each) => each !== NONE)) * BURST_MS) / 1000;
  // Bytes beyond the rates since the last time without a limit, and the least of them before.
  let [most, beyond, least, lastMs] = [0, 0, 0, 0];
  for (const { atMs, sizeBytes } of passed) {
    beyond -= allowed(rates, lastMs, atMs);
    lastMs = atMs;
    if (beyond === -NONE || rateIn(rates, atMs) === NONE) [beyond, least] = [0, 0];
    if (rateIn(rates, atMs) === NONE) continue;
    least = Math.min(least, beyond);
    beyond += sizeBytes;
    most = Math.max(most, beyond - least - burstBytes);
  }
  return most;
}

describe("in any time T at most the rates over T and a burst pass, also in two threads", () => {
  test("at one rate, in pieces of any size", async () => {
    await fc.assert(
      fc.asyncProperty(rate, fc.array(caller, { maxLength: 4 }), async (only, callers) => {
        // Times are rounded.
        expect(excess([only], await run([only], 0, callers))).toBeLessThan(0.1);
      }),
      { numRuns: 40 },
    );
  });

  // claim: docs/hosts/repositories.md: limitRate: a rate that changes while a backup runs, also from and to none
  test("at rates that begin, change and end in the meantime", async () => {
    const rates = fc.array(fc.oneof(rate, fc.constant(NONE)), { minLength: 2, maxLength: 3 });
    const began = fc.integer({ min: MINUTE_MS - 1000, max: MINUTE_MS });
    // Around the change, and enough to meet the next one.
    const callers = fc.array(callerOf(fc.nat(1500), 20_000), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(rates, began, callers, async (some, beganMs, chosen) => {
        // A limit is the least of all rates, so that the wait for all of them is finite.
        const all = [...some, 3000];
        expect(excess(all, await run(all, beganMs, chosen))).toBeLessThan(0.1);
      }),
      { numRuns: 60 },
    );
  });
});

/** Time that bytes take from a time of the day on, in UTC. */
async function spentMs(given: Readonly<Record<string, string>>, from: string, sizeBytes: number): Promise<number> {
  const clock = new HeldClock(Date.parse(`2026-01-01T${from}Z`));
  const limit = new RateLimit(rateAtOf(limitRateOf(given)), newRateState(), clock);
  const startMs = clock.monotonicMs();
  await clock.until(limit.take(sizeBytes, never));
  return clock.monotonicMs() - startMs;
}

describe("by the hour of the day", () => {
  test("a copy that began before the end of a limit speeds up there", async () => {
    const bytes = 10_000 * KIB;
    // At 64 KiB/s all of it takes 156 s.
    expect(await spentMs({ "08:00-20:00": "64KiB" }, "19:59:50", bytes)).toBeCloseTo(10_000, -2);
    const faster = { "08:00-20:00": "64KiB", "20:00-08:00": "640KiB" };
    expect(await spentMs(faster, "19:59:50", bytes)).toBeCloseTo(10_000 + ((bytes / KIB - 640) / 640) * 1000, -3);
  });

  test("outside of every range nothing waits, and a limit begins at its minute", async () => {
    const given = { "08:00-20:00": "64KiB" };
    expect(await spentMs(given, "20:00:00", 10_000 * KIB)).toBeLessThanOrEqual(50);
    expect(await spentMs(given, "08:00:00", 640 * KIB)).toBeCloseTo(10_000, -2);
  });

  test("a lower rate that follows makes no piece long", async () => {
    const clock = new HeldClock(Date.parse("2026-01-01T11:59:59.990Z"));
    const rateAt = rateAtOf(limitRateOf({ "08:00-12:00": "1GiB", "12:00-13:00": "64KiB" }));
    const limit = new RateLimit(rateAt, newRateState(), clock);
    const end = new AbortController();
    const greedy = Promise.allSettled(Array.from({ length: 20 }, () => limit.take(2 ** 40, end.signal)));
    await clock.advance(1000);
    // A lease's file.
    const lease = limit.take(300, never);
    const startMs = clock.monotonicMs();
    await clock.until(lease);
    expect(clock.monotonicMs() - startMs).toBeLessThan((21 * BURST_MS) / 4 + 50);
    end.abort();
    await greedy;
  });
});

/** A held clock whose wall clock may be set. */
class SteppedClock implements Clock {
  readonly held = new HeldClock(0);
  wallMs = 0;
  nowMs(): number {
    return this.held.nowMs() + this.wallMs;
  }
  monotonicMs(): number {
    return this.held.monotonicMs();
  }
  sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    return this.held.sleep(durationMs, signal);
  }
}

test("a step of the wall clock, forward or back, makes nobody wait for it", async () => {
  const clock = new SteppedClock();
  const at = (time: string): number => Date.parse(`2026-01-01T${time}Z`);
  clock.wallMs = at("12:00:00");
  const limit = new RateLimit(rateAtOf(limitRateOf({ "08:00-20:00": "64KiB" })), newRateState(), clock);
  const take = async (): Promise<number> => {
    const startMs = clock.monotonicMs();
    await clock.held.until(limit.take(64 * KIB, never));
    return clock.monotonicMs() - startMs;
  };
  await take();
  clock.wallMs = at("09:00:00");
  expect(await take()).toBeCloseTo(1000, -2);
  clock.wallMs = at("21:00:00");
  expect(await take()).toBeLessThanOrEqual(50);
  clock.wallMs = at("19:00:00");
  expect(await take()).toBeLessThanOrEqual(1050);
});

test("nobody starves: one piece beside endless others passes within what they had taken before", async () => {
  const clock = new HeldClock(0);
  const limit = new RateLimit(() => 1000, newRateState(), clock);
  const end = new AbortController();
  const greedy = Array.from({ length: 20 }, async () => {
    for (;;) await limit.take(1000, end.signal);
  });
  const settled = Promise.allSettled(greedy);
  await clock.advance(5000);
  let endedMs = Number.NaN;
  void limit.take(62, never).then(() => {
    endedMs = clock.monotonicMs();
  });
  // 20 pieces of a sixteenth of a second each, and the own one.
  await clock.advance(21 * 62.5);
  expect(endedMs).toBeLessThanOrEqual(5000 + 21 * 62.5);
  end.abort();
  await settled;
});

test("a pause gives one burst, and an abort ends a wait at once", async () => {
  const clock = new HeldClock(0);
  const limit = new RateLimit(() => 1000, newRateState(), clock);
  await clock.advance(60_000);
  // A burst passes at once.
  await limit.take(BURST_MS, never);
  const end = new AbortController();
  const waiting = limit.take(1_000_000, end.signal);
  end.abort();
  await expect(waiting).rejects.toMatchObject({ kind: "term" });
});
