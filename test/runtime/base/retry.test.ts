import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { Retries, retry } from "../../../runtime/base/retry";
import { HeldClock, testContext } from "../../harness/context";

const POLICY = { attempts: 5, pausesMs: [100, 200, 300] };

describe("retry", () => {
  it("repeats with doubling pauses up to the largest, and throws the last error", async () => {
    const { clock, signal } = testContext();
    const attempts: number[] = [];
    const run = retry(POLICY, clock, signal, async (attempt) => {
      attempts.push(attempt);
      throw fail("service", `try ${attempt}`, { retryable: true });
    });
    await expect(run).rejects.toThrow("try 5");
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    expect(clock.sleeps).toEqual([100, 200, 300, 300]);
  });

  it("pauses at least as long as a service asks for", async () => {
    const { clock, signal } = testContext();
    const asked = [250, 0, 50];
    const result = await retry(POLICY, clock, signal, async (attempt) => {
      const retryAfterMs = asked[attempt - 1];
      if (retryAfterMs !== undefined) throw fail("service", "busy", { retryable: true, retryAfterMs });
      return attempt;
    });
    expect(result).toBe(4);
    expect(clock.sleeps).toEqual([250, 200, 300]);
  });

  it("returns the first result", async () => {
    const { clock, signal } = testContext();
    const result = await retry(POLICY, clock, signal, async (attempt) => {
      if (attempt < 3) throw fail("hostConnect", "not yet", { retryable: true });
      return attempt;
    });
    expect(result).toBe(3);
  });

  it("does not repeat a permanent error", async () => {
    const { clock, signal } = testContext();
    for (const error of [fail("access", "wrong key"), new Error("a bug")]) {
      await expect(retry(POLICY, clock, signal, () => Promise.reject(error))).rejects.toBe(error);
    }
    expect(clock.sleeps).toEqual([]);
  });

  it("repeats nothing after the machine was suspended, when only the wall clock has gone on", async () => {
    const { clock, signal } = testContext();
    let wallMs = 0;
    let attempts = 0;
    const run = retry(
      { ...POLICY, limitMs: 60_000 },
      { sleep: async () => {}, monotonicMs: () => clock.monotonicMs(), nowMs: () => wallMs },
      signal,
      async () => {
        attempts++;
        wallMs += 3_600_000;
        throw fail("hostConnect", "the connection is gone", { retryable: true });
      },
    );
    await expect(run).rejects.toMatchObject({ kind: "hostConnect" });
    expect(attempts).toBe(1);
  });

  it("ends its pause on an abort", async () => {
    const clock = new HeldClock();
    const context = testContext({ clock });
    const run = retry(POLICY, clock, context.signal, () =>
      Promise.reject(fail("service", "busy", { retryable: true })),
    );
    run.catch(() => {});
    await clock.advance(10);
    context.abort();
    await expect(run).rejects.toMatchObject({ kind: "term" });
  });
});

describe("a body that advances", () => {
  const busy = fail("service", "busy", { retryable: true });
  const policy = { ...POLICY, limitMs: 1000 };

  it("gives each piece the whole time, and its failures stay counted", async () => {
    const { clock, signal } = testContext();
    const retries = new Retries({ ...policy, attempts: 3 }, clock, signal);
    for (let failures = 0; failures < 2; failures++) {
      for (let pieces = 0; pieces < 5; pieces++) {
        clock.advance(700);
        retries.extend();
      }
      await retries.pause(busy);
    }
    await expect(retries.pause(busy)).rejects.toBe(busy);
    expect(clock.sleeps).toEqual([100, 200]);
  });

  it("is not repeated after a longer suspension between two pieces", async () => {
    const { clock, signal } = testContext();
    const retries = new Retries(policy, clock, signal);
    clock.advance(1000);
    for (let pieces = 0; pieces < 5; pieces++) retries.extend();
    await expect(retries.pause(busy)).rejects.toBe(busy);
    expect(clock.sleeps).toEqual([]);
  });
});

it("repeats nothing after a suspension during the pause", async () => {
  const { clock, signal } = testContext();
  const suspended = {
    monotonicMs: () => clock.monotonicMs(),
    nowMs: () => clock.nowMs(),
    sleep: async () => clock.advance(3_600_000),
  };
  const retries = new Retries({ ...POLICY, limitMs: 60_000 }, suspended, signal);
  await expect(retries.pause(fail("service", "busy", { retryable: true }))).rejects.toMatchObject({ kind: "service" });
});
