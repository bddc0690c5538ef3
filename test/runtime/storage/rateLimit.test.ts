/** The token bucket on a clock that the test moves: how much passes in any time, and that nobody starves. */
import { expect, test } from "vitest";
import { newRateState, RateLimit } from "../../../runtime/storage/rateLimit";
import { HeldClock } from "../../harness/context";
import { fc } from "../../harness/properties";

const never = new AbortController().signal;

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

const caller: fc.Arbitrary<Caller> = fc.record({
  startMs: fc.nat(3000),
  chunks: fc.array(fc.nat(2000), { maxLength: 5 }),
  thread: fc.nat(1),
});

async function run(
  bytesPerSecond: number,
  callers: readonly Caller[],
): Promise<{ passed: Passed[]; burstBytes: number }> {
  const clock = new HeldClock(0);
  const state = newRateState();
  const threads = [0, 1].map(() => new RateLimit(bytesPerSecond, state, clock));
  const passed: Passed[] = [];
  const work = callers.map(async ({ chunks, startMs, thread }) => {
    await clock.sleep(startMs, never);
    for (const size of chunks)
      for await (const piece of (threads[thread] as RateLimit).pieces(new Uint8Array(size), never))
        passed.push({ atMs: clock.monotonicMs(), sizeBytes: piece.length });
  });
  const total = callers.flatMap(({ chunks }) => chunks).reduce((sum, size) => sum + size, 0);
  // All of it at the rate, after the last one has come.
  await clock.advance(3000 + (total * 1000) / bytesPerSecond + 1);
  await Promise.all(work);
  return { passed, burstBytes: threads[0]?.burstBytes ?? 0 };
}

test("in any time T at most rate * T + burst pass, in pieces of any size, also in two threads", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 3000, max: 20_000 }),
      fc.array(caller, { maxLength: 4 }),
      async (rate, callers) => {
        const { burstBytes, passed } = await run(rate, callers);
        const asked = callers.flatMap(({ chunks }) => chunks).reduce((sum, size) => sum + size, 0);
        expect(passed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(asked);
        const excess = passed.flatMap(({ atMs: fromMs }, first) => {
          let sum = 0;
          return passed.slice(first).map(({ atMs, sizeBytes }) => {
            sum += sizeBytes;
            return sum - (rate * (atMs - fromMs)) / 1000 - burstBytes;
          });
        });
        // Times are rounded.
        expect(Math.max(0, ...excess)).toBeLessThan(0.1);
      },
    ),
    { numRuns: 40 },
  );
});

test("nobody starves: one piece beside endless others passes within what they had taken before", async () => {
  const clock = new HeldClock(0);
  const limit = new RateLimit(1000, newRateState(), clock);
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
  const limit = new RateLimit(1000, newRateState(), clock);
  await clock.advance(60_000);
  await limit.take(limit.burstBytes, never);
  const end = new AbortController();
  const waiting = limit.take(1_000_000, end.signal);
  end.abort();
  await expect(waiting).rejects.toMatchObject({ kind: "term" });
});
