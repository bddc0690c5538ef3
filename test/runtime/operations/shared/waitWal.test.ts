import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { waitForWal } from "../../../../runtime/operations/shared/waitWal";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, repository, walName } from "../../repository/support";
import { store } from "../archive";

let ctx: TestContext<HeldClock>;
let storage: FaultyStorage;
let repo: Repository;

beforeEach(async () => {
  ctx = testContext({ clock: new HeldClock() });
  storage = new FaultyStorage(new MemoryStorage());
  repo = repository(2, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
});

describe("waiting for a segment", () => {
  it("ends when it arrives", async () => {
    const run = waitForWal(repo, "15-1", walName(1), 60_000, ctx);
    await ctx.clock.advance(1000);
    await store(repo, 1);
    await ctx.clock.until(run);
    await waitForWal(repo, "15-1", walName(1), 0, ctx);
  });

  it("ends with 82 and the repository's name after the timeout", async () => {
    const run = waitForWal(repo, "15-1", walName(1), 5000, ctx);
    await expect(ctx.clock.until(run)).rejects.toMatchObject({
      kind: "archiveTimeout",
      exitCode: 82,
      repoIndex: 2,
      message: `WAL segment ${walName(1)} was not archived to repo2 before the 5000ms timeout`,
    });
    expect(storage.calls("list").filter((path) => path.includes("15-1")).length).toBeLessThan(15);
  });

  it("ends when it is stopped, and with the store's own error", async () => {
    const run = waitForWal(repo, "15-1", walName(1), 60_000, ctx);
    run.catch(() => {});
    await ctx.clock.advance(500);
    ctx.abort();
    await expect(run).rejects.toMatchObject({ kind: "term" });
    storage.breakDown(fail("access", "refused"));
    await expect(waitForWal(repo, "15-1", walName(1), 60_000, testContext())).rejects.toMatchObject({ kind: "access" });
  });
});
