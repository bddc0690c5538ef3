import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { WalPreparer } from "../../../../runtime/operations/archivePush/prepareWal";
import { PushTarget } from "../../../../runtime/operations/archivePush/pushWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import {
  addWal,
  CLUSTER,
  CONTROL,
  makeWalDirectory,
  repository,
  temporaryFolder,
  walBytes,
  walName,
} from "../../repository/support";
import { readable, store } from "../archive";

let ctx: TestContext;
let storage: FaultyStorage;
let repo: Repository;
let target: PushTarget;
let walDirectory: string;

beforeEach(async () => {
  ctx = testContext();
  storage = new FaultyStorage(new MemoryStorage(), ctx.clock);
  repo = repository(1, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  target = new PushTarget(repo, ctx);
  walDirectory = makeWalDirectory(temporaryFolder(), [16, 17, 18, 32]);
});

async function push(no: number): Promise<"pushed" | "present"> {
  // Use a new preparer, because the file may have changed.
  const wal = await new WalPreparer({ walDirectory, headerCheck: true }, CLUSTER).prepare(walName(no));
  return target.push(wal, await target.open(CLUSTER));
}

const listings = (): string[] => storage.calls("list").filter((path) => path.includes("/15-1/"));

describe("the archive that segments are pushed to", () => {
  it("is listed once for a series of segments", async () => {
    for (const no of [16, 17, 18]) expect(await push(no)).toBe("pushed");
    expect(listings()).toHaveLength(1);
    expect(await push(32)).toBe("pushed");
    expect(listings()).toHaveLength(2);
    expect(await readable(repo)).toEqual([16, 17, 18, 32].map((no) => walName(no)));
  });

  it("knows the segments that it stored since the listing", async () => {
    await push(16);
    expect(await push(16)).toBe("present");
    addWal(walDirectory, walName(16), walBytes(50));
    await expect(push(16)).rejects.toMatchObject({ kind: "archiveDuplicate" });
    expect(listings()).toHaveLength(1);
  });

  it("is listed again after a short time, and sees others' segments", async () => {
    await push(16);
    await store(repo, 17);
    ctx.clock.advance(500);
    expect(await push(17)).toBe("present");
    await store(repo, [walName(18), walBytes(50)]);
    ctx.clock.advance(500);
    await expect(push(18)).rejects.toMatchObject({ kind: "archiveDuplicate" });
  });

  it("lacks a segment if its mount went away meanwhile", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({
        root: join(temporaryFolder(), "mount"),
        syncDirectories: true,
        symlinks: true,
        signal: ctx.signal,
      }),
    );
    repo = repository(2, { storage: mounted });
    await stanzaCreate([repo], CONTROL, ctx);
    target = new PushTarget(repo, ctx);
    mounted.plan("stat", { kind: "lie" }, { times: 2 });
    await expect(push(16)).rejects.toMatchObject({ kind: "pathMissing", retryable: true });
    mounted.verifyAllFaultsExercised();
    expect(await push(17)).toBe("pushed");
  });

  describe("in directories", () => {
    const segment = `archive/demo/15-1/${walName(16).slice(0, 16)}/`;
    let mounted: FaultyStorage;
    beforeEach(async () => {
      mounted = new FaultyStorage(
        new PosixStorage({
          root: join(temporaryFolder(), "mount"),
          syncDirectories: true,
          symlinks: true,
          signal: ctx.signal,
        }),
      );
      repo = repository(2, { storage: mounted });
      await stanzaCreate([repo], CONTROL, ctx);
      target = new PushTarget(repo, ctx);
    });

    it("makes existing files durable: their writer may have been killed first", async () => {
      await store(repo, 16);
      expect(await push(16)).toBe("present");
      const [file, ...directories] = mounted.calls("syncPath");
      expect(file?.startsWith(`${segment}${walName(16)}-`)).toBe(true);
      expect(directories).toEqual([segment.slice(0, -1), "archive/demo/15-1", "archive/demo"]);
    });

    it("lacks a file that cannot be made durable", async () => {
      await store(repo, 16);
      const broken = fail("pathSync", "unable to sync path", { retryable: true });
      mounted.plan("syncPath", { kind: "error", error: broken }, { path: /archive\/demo\/15-1\/[0-9A-F]{16}$/ });
      await expect(push(16)).rejects.toMatchObject({ kind: "pathSync" });
      mounted.verifyAllFaultsExercised();
      expect(await push(16)).toBe("present");
    });

    it("skips that for files that it has just stored", async () => {
      expect(await push(16)).toBe("pushed");
      expect(await push(16)).toBe("present");
      expect(mounted.calls("syncPath")).toEqual([]);
    });
  });

  it("is listed again after a failed listing, and after a reset", async () => {
    storage.plan("list", { kind: "error", error: fail("hostConnect", "unreachable", { retryable: true }) });
    await expect(push(16)).rejects.toMatchObject({ kind: "hostConnect" });
    expect(await push(16)).toBe("pushed");
    target.forget();
    expect(await push(16)).toBe("present");
    expect(listings()).toHaveLength(3);
  });
});
