/** `archive-async`: which status files in the spool count. */
import { existsSync, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { stockSpool, type Spool } from "../../../../runtime/local/spool";
import type { PushQueue } from "../../../../runtime/operations/archivePush/pushQueue";
import { pushSpool, pushThroughSpool } from "../../../../runtime/operations/archivePush/spoolPush";
import { testContext } from "../../../harness/context";
import { makeWalDirectory, temporaryFolder, walName } from "../../repository/support";

const NAME = walName(1);
const NOW_MS = Date.now();

let spool: Spool;
let walDirectory: string;
let startCount: number;
const ctx = testContext({ clock: systemClock });

beforeEach(() => {
  const folder = temporaryFolder();
  spool = stockSpool(join(folder, "spool"), "demo", "out");
  mkdirSync(spool.path, { recursive: true });
  walDirectory = makeWalDirectory(folder, [1, 2]);
  startCount = 0;
  age(join(walDirectory, NAME), 10);
});

function age(path: string, seconds: number): void {
  const at = new Date(NOW_MS - seconds * 1000);
  utimesSync(path, at, at);
}

function putOk(secondsAgo: number, text = ""): void {
  const path = join(spool.path, `${NAME}.ok`);
  writeFileSync(path, text);
  age(path, secondsAgo);
}

/** The background process writes a status as if its clock were an hour behind. */
const background = {
  isRunning: () => false,
  start: (): void => {
    startCount++;
    putOk(3600);
  },
};

const push = (): Promise<void> =>
  pushThroughSpool(spool, { walDirectory, walName: NAME, timeoutMs: 5000 }, background, ctx);

describe("archive-push through the spool", () => {
  it("believes a status that is newer than the file", async () => {
    putOk(5);
    await push();
    expect(startCount).toBe(0);
  });

  // claim: docs/agent.md: an `.ok` file counts for a minute, and for no WAL file that is newer than it
  it.each([
    ["of a former file of that name", 20],
    ["that is older than a minute", 120],
    ["of the future", -3600],
  ])("pushes again instead of believing a status %s", async (_, seconds) => {
    if (seconds > 60) age(join(walDirectory, NAME), seconds + 10);
    putOk(seconds);
    await push();
    expect(startCount).toBe(1);
  });

  it("believes an old status while a process runs, which has looked at it and may work for hours", async () => {
    putOk(120);
    age(join(walDirectory, NAME), 130);
    const running = { isRunning: () => true, start: () => void startCount++ };
    await pushThroughSpool(spool, { walDirectory, walName: NAME, timeoutMs: 300 }, running, ctx);
    putOk(140);
    const replaced = pushThroughSpool(spool, { walDirectory, walName: NAME, timeoutMs: 300 }, running, ctx);
    await expect(replaced).rejects.toMatchObject({ kind: "archiveTimeout" });
    expect(startCount).toBe(0);
  });

  it("skips what an operator has skipped", async () => {
    putOk(120, "55\nunable to open missing file");
    await push();
    expect(startCount).toBe(0);
  });

  it("the background process pushes files whose status does not count", async () => {
    putOk(120);
    writeFileSync(join(spool.path, `${walName(2)}.ok`), "");
    const asked: string[] = [];
    const queue: Pick<PushQueue, "setReady" | "request" | "drain"> = {
      setReady: () => undefined,
      request: async (name) => {
        asked.push(name);
        return { accepted: true, error: null, results: [], reposBehind: [], isTried: true };
      },
      drain: async () => undefined,
    };
    const acknowledge = { mode: "all", repoIndexes: [] } as const;
    const options = { walDirectory, acknowledge, timeoutMs: 1000, batchSizeBytes: 2 ** 30, drop: async () => null };
    await pushSpool(spool, queue as PushQueue, options, ctx);
    expect(asked).toEqual([NAME]);
    expect(existsSync(join(spool.path, `${walName(2)}.ok`))).toBe(true);
  });
});
