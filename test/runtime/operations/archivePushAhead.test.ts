import { join } from "node:path";
import { expect, it } from "vitest";
import { openMissingWal } from "../../../runtime/local/missingWal";
import { archivePush } from "../../../runtime/operations/archivePush/archivePush";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import { eventually, HeldClock, testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";
import {
  addWal,
  CLUSTER,
  CONTROL,
  makeWalDirectory,
  repository,
  temporaryFolder,
  walBytes,
  walName,
} from "../repository/support";
import { readable, store } from "./archive";

it("files in transfer ahead arrive, although the requested segment is already acknowledged", async () => {
  const folder = temporaryFolder();
  const walDirectory = makeWalDirectory(folder, [1]);
  for (const no of [2, 3]) addWal(walDirectory, walName(no), walBytes(no));
  const clock = new HeldClock();
  const ctx = testContext({ clock });
  const storage = new FaultyStorage(new MemoryStorage(), clock);
  const repo = repository(1, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  // Longer than the period in which transfers may start, and shorter than the limit of a transfer.
  storage.plan("putStream", { kind: "delay", durationMs: 2000 }, { path: new RegExp(walName(2)) });
  const options = {
    walDirectory,
    walName: walName(1),
    cluster: CLUSTER,
    headerCheck: true,
    graceMs: 5000,
    timeoutMs: 60_000,
  };
  const run = archivePush(
    [repo],
    openMissingWal(join(folder, "spool"), "demo"),
    { ...options, acknowledge: { mode: "all", repoIndexes: [] } },
    ctx,
  );
  await eventually("segment 2 is begun", async () => storage.calls("putStream").length === 2);
  const outcome = await clock.until(run);
  expect(outcome).toMatchObject({ accepted: true, aheadCount: 1 });
  expect(await readable(repo)).toEqual([walName(1), walName(2)]);
  storage.verifyAllFaultsExercised();
});

it("nothing is pushed ahead while another process archives, which is checked once and only if needed", async () => {
  const folder = temporaryFolder();
  const walDirectory = makeWalDirectory(folder, [1]);
  const ctx = testContext({ clock: new HeldClock() });
  const repos = [repository(1, { storage: new MemoryStorage() }), repository(2, { storage: new MemoryStorage() })];
  await stanzaCreate(repos, CONTROL, ctx);
  let asked = 0;
  const mayPushAhead = (): boolean => {
    asked++;
    return false;
  };
  const push = (no: number) => {
    const options = {
      walDirectory,
      walName: walName(no),
      cluster: CLUSTER,
      headerCheck: true,
      graceMs: 5000,
      timeoutMs: 60_000,
      mayPushAhead,
    };
    const missingWal = openMissingWal(join(folder, "spool"), "demo");
    return ctx.clock.until(
      archivePush(repos, missingWal, { ...options, acknowledge: { mode: "all", repoIndexes: [] } }, ctx),
    );
  };
  expect(await push(1)).toMatchObject({ accepted: true, aheadCount: 0 });
  expect(asked).toBe(0);
  for (const no of [2, 3]) addWal(walDirectory, walName(no), walBytes(no));
  expect(await push(1)).toMatchObject({ accepted: true, aheadCount: 0 });
  expect(asked).toBe(1);
  for (const repo of repos) expect(await readable(repo)).toEqual([walName(1)]);
  for (const repo of repos) await store(repo, 2, 3);
  expect(await push(1)).toMatchObject({ accepted: true, aheadCount: 0 });
  expect(asked).toBe(1);
});
