import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { followChanges } from "../../../../runtime/cnpg/sidecar/watch";
import { eventually, HeldClock, type TestContext, testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

let folder: string;
/** Counts its sleeps: files take real time between them. */
class LookClock extends HeldClock {
  sleepCount = 0;

  override sleep(durationMs: number, signal: AbortSignal): Promise<void> {
    this.sleepCount++;
    return super.sleep(durationMs, signal);
  }
}

let ctx: TestContext<LookClock>;
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder, "repo1"));
  writeFileSync(join(folder, "repo1", "ACCESS_KEY_ID"), "old");
  ctx = testContext({ clock: new LookClock() });
});

/** Resolves when it sleeps until its first look. */
async function watch() {
  const state = { count: 0 };
  const ending = new AbortController();
  const counted = async (): Promise<void> => void state.count++;
  const watching = followChanges([folder, join(folder, "absent")], counted, ctx, ending.signal).catch(() => {});
  const look = async (): Promise<number> => {
    const turn = ctx.clock.sleepCount;
    await ctx.clock.advance(10_000);
    await eventually("the next look", () => ctx.clock.sleepCount > turn);
    return state.count;
  };
  await eventually("the first look", () => ctx.clock.sleepCount === 1);
  return { look, end: () => (ending.abort(), watching) };
}

describe("the watch over a sidecar's configuration", () => {
  // claim: docs/kubernetes/plugin.md: a changed Secret is read at once, also during a backup
  test("reports each new content once, after it has stayed", async () => {
    const { look, end } = await watch();
    expect(await look()).toBe(0);
    writeFileSync(join(folder, "repo1", "ACCESS_KEY_ID"), "new");
    expect(await look()).toBe(0);
    expect(await look()).toBe(1);
    expect(await look()).toBe(1);
    writeFileSync(join(folder, "repo1", "ACCESS_KEY_ID"), "newer");
    expect([await look(), await look(), await look()]).toEqual([1, 2, 2]);
    await end();
  });
});
