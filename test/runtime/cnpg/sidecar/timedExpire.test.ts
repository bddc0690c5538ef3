import { describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { expireForever } from "../../../../runtime/cnpg/sidecar/timedExpire";
import { HeldClock, testContext } from "../../../harness/context";

const HOUR_MS = 3600_000;

describe("retention by time", () => {
  const begin = (state: { standby?: boolean; busy?: boolean; code?: number } = {}) => {
    const ctx = testContext({ clock: new HeldClock() });
    const ending = new AbortController();
    const runs: number[] = [];
    const expire = async (): Promise<number> => (runs.push(runs.length), state.code ?? 0);
    const parts = { isStandby: async () => state.standby ?? false, isBusy: () => state.busy ?? false, expire };
    const ended = expireForever(parts, ctx, ending.signal);
    return { ctx, ending, ended, runs, state };
  };

  // claim: docs/kubernetes/plugin.md: retention by time; the recovery window of each repository
  test("runs an hour after the start and every six hours on the primary, until it ends", async () => {
    const { ctx, ended, ending, runs } = begin();
    await ctx.clock.advance(HOUR_MS - 1);
    expect(runs).toHaveLength(0);
    await ctx.clock.advance(1);
    expect(runs).toHaveLength(1);
    await ctx.clock.advance(6 * HOUR_MS);
    expect(runs).toHaveLength(2);
    ending.abort(fail("term", "ends"));
    await ended;
  });

  test("leaves it to the primary, and to a backup that is running", async () => {
    const { ctx, ended, ending, runs, state } = begin({ standby: true });
    await ctx.clock.advance(HOUR_MS);
    Object.assign(state, { standby: false, busy: true });
    await ctx.clock.advance(6 * HOUR_MS);
    expect(runs).toHaveLength(0);
    state.busy = false;
    await ctx.clock.advance(6 * HOUR_MS);
    expect(runs).toHaveLength(1);
    ending.abort(fail("term", "ends"));
    await ended;
  });

  test("logs a failure and continues", async () => {
    const { ctx, ended, ending, runs } = begin({ code: 104 });
    await ctx.clock.advance(HOUR_MS);
    await ctx.clock.advance(6 * HOUR_MS);
    expect(runs).toHaveLength(2);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain(
      "retention by time: expire failed with exit code 104",
    );
    ending.abort(fail("term", "ends"));
    await ended;
  });
});
