import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { KnownWal } from "../../../../runtime/operations/shared/knownWal";
import { type AwaitedArchive, waitForWal } from "../../../../runtime/operations/shared/waitWal";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, repository, walBytes, walName } from "../../repository/support";
import { pathOf, store } from "../archive";

let ctx: TestContext<HeldClock>;
let memory: MemoryStorage;
let storage: FaultyStorage;
let repo: Repository;
let archive: AwaitedArchive;

beforeEach(async () => {
  ctx = testContext({ clock: new HeldClock() });
  memory = new MemoryStorage();
  storage = new FaultyStorage(memory);
  repo = repository(2, { storage });
  await stanzaCreate([repo], CONTROL, ctx);
  archive = { repo, archiveId: "15-1", pass: null };
});

describe("waiting for a segment", () => {
  it("ends when it arrives", async () => {
    const run = waitForWal(archive, walName(1), { timeoutMs: 60_000 }, ctx);
    await ctx.clock.advance(1000);
    await store(repo, 1);
    await ctx.clock.until(run);
    await waitForWal(archive, walName(1), { timeoutMs: 0 }, ctx);
  });

  it("ends with 82 and the repository's name after the timeout", async () => {
    const run = waitForWal(archive, walName(1), { timeoutMs: 5000 }, ctx);
    await expect(ctx.clock.until(run)).rejects.toMatchObject({
      kind: "archiveTimeout",
      exitCode: 82,
      repoIndex: 2,
      message: `WAL segment ${walName(1)} was not archived to repo2 before the 5000ms timeout`,
    });
    expect(storage.calls("list").filter((path) => path.includes("15-1")).length).toBeLessThan(15);
  });

  it("ends when it is stopped, and with the store's own error", async () => {
    const run = waitForWal(archive, walName(1), { timeoutMs: 60_000 }, ctx);
    run.catch(() => {});
    await ctx.clock.advance(500);
    ctx.abort();
    await expect(run).rejects.toMatchObject({ kind: "term" });
    storage.breakDown(fail("access", "refused"));
    await expect(waitForWal(archive, walName(1), { timeoutMs: 60_000 }, testContext())).rejects.toMatchObject({
      kind: "access",
    });
  });
});

describe("a segment whose name alone is right", () => {
  const reads = (): string[] => storage.calls("read").filter((path) => path.includes("15-1"));
  const wait = (timeoutMs: number, known?: KnownWal): Promise<unknown> =>
    waitForWal(known === undefined ? archive : { ...archive, known }, walName(1), { timeoutMs }, ctx);

  async function spoil(): Promise<void> {
    const path = await pathOf(repo, 1);
    const sizeBytes = memory.files.get(path)?.bytes.length ?? 0;
    memory.files.set(path, { bytes: Buffer.alloc(sizeBytes, 7), modifiedAtMs: 1 });
  }

  it("is waited for until a push has replaced it, and is read once", async () => {
    await store(repo, 1);
    await spoil();
    const run = wait(60_000);
    run.catch(() => {});
    await ctx.clock.advance(5000);
    expect(reads()).toHaveLength(1);
    await store(repo, 1);
    await ctx.clock.until(run);
    expect(reads()).toHaveLength(2);
  });

  it("ends with 82 and says that it is damaged", async () => {
    await store(repo, 1);
    await spoil();
    await expect(ctx.clock.until(wait(5000))).rejects.toMatchObject({
      kind: "archiveTimeout",
      message: expect.stringMatching(/ timeout: the stored file \w{24}-\w{40} is damaged$/),
    });
    expect(reads()).toHaveLength(1);
  });

  it("ends with 45 beside another file of its name", async () => {
    await store(repo, 1, [walName(1), walBytes(2)]);
    await expect(ctx.clock.until(wait(5000))).rejects.toMatchObject({ kind: "archiveDuplicate", repoIndex: 2 });
  });

  it("ends with 45 if the server itself has written other content, and counts where the server has none", async () => {
    await store(repo, [walName(1), walBytes(2)]);
    const waitBeside = (own: Uint8Array | null): Promise<unknown> => {
      const ownSha1 = async (): Promise<string | null> => (own === null ? null : sha1Hex(own));
      return waitForWal(archive, walName(1), { timeoutMs: 5000, ownSha1 }, ctx);
    };
    await expect(ctx.clock.until(waitBeside(walBytes(1)))).rejects.toMatchObject({
      kind: "archiveDuplicate",
      repoIndex: 2,
      message: expect.stringContaining(`the archive's ${walName(1)} differs from this server's`),
    });
    await waitBeside(walBytes(2));
    await waitBeside(null);
  });

  it("is not read if this host has stored it", async () => {
    await store(repo, 1);
    const seen = new Map<string, string>();
    await wait(0, new KnownWal(repo, seen));
    expect(reads()).toHaveLength(1);
    await wait(0, new KnownWal(repo, new Map(seen)));
    expect(reads()).toHaveLength(1);
  });
});
