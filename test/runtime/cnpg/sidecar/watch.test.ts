import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { untilChanged } from "../../../../runtime/cnpg/sidecar/watch";
import { HeldClock, pause, type TestContext, testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

let folder: string;
let ctx: TestContext<HeldClock>;
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder, "repo1"));
  writeFileSync(join(folder, "repo1", "ACCESS_KEY_ID"), "old");
  ctx = testContext({ clock: new HeldClock() });
});

function watch(isBusy: () => boolean) {
  const state = { changed: false };
  const ending = new AbortController();
  const watching = untilChanged([folder, join(folder, "absent")], isBusy, ctx, ending.signal).then(
    () => {
      state.changed = true;
    },
    () => {},
  );
  const look = async (): Promise<boolean> => {
    await pause(20);
    await ctx.clock.advance(10_000);
    await pause(20);
    return state.changed;
  };
  return { look, end: () => (ending.abort(), watching) };
}

describe("the watch over a sidecar's configuration", () => {
  test("reports new content, once it stays", async () => {
    const { look, end } = watch(() => false);
    expect(await look()).toBe(false);
    writeFileSync(join(folder, "repo1", "ACCESS_KEY_ID"), "new");
    expect(await look()).toBe(false);
    expect(await look()).toBe(true);
    await end();
  });

  test("waits for the end of a backup, and ignores unchanged content", async () => {
    let busy = true;
    const { look, end } = watch(() => busy);
    expect(await look()).toBe(false);
    writeFileSync(join(folder, "repo1", "ENCRYPTION_PASS"), "pass");
    for (let turn = 0; turn < 3; turn++) expect(await look()).toBe(false);
    busy = false;
    expect(await look()).toBe(true);
    await end();
  });
});
