import { renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import type { AcknowledgePolicy } from "../../../../runtime/config/types";
import { type PushAnswer, PushQueue, type WorkLock } from "../../../../runtime/operations/archivePush/pushQueue";
import { type PackedWal, type PackWalJob, packWal } from "../../../../runtime/operations/archivePush/walFile";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { eventually, HeldClock, type TestContext, testContext } from "../../../harness/context";
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
import { pathOf, readable, store } from "../archive";

const ALL: AcknowledgePolicy = { mode: "all", repoIndexes: [] };
const ANY: AcknowledgePolicy = { mode: "any", repoIndexes: [] };
const away = fail("hostConnect", "unreachable", { retryable: true });

let ctx: TestContext<HeldClock>;
let walDirectory: string;
let missingWal: MissingWalStore;
let storages: [FaultyStorage, FaultyStorage];
let repos: [Repository, Repository];
let queue: PushQueue;
let locked: number;
const lock: WorkLock = { enter: () => void locked++, leave: () => void locked-- };

beforeEach(async () => {
  const folder = temporaryFolder();
  ctx = testContext({ clock: new HeldClock() });
  walDirectory = makeWalDirectory(folder, [1, 2, 3, 4]);
  missingWal = openMissingWal(join(folder, "spool"), "demo");
  storages = [new FaultyStorage(new MemoryStorage(), ctx.clock), new FaultyStorage(new MemoryStorage(), ctx.clock)];
  repos = [
    repository(1, { storage: storages[0], compress: { type: "gz", level: 6 } }),
    repository(2, { storage: storages[1], compress: { type: "zst", level: 3 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
  locked = 0;
  open();
});

afterEach(async () => {
  const now = new AbortController();
  now.abort();
  await queue.close(now.signal);
});

function open(): void {
  queue = new PushQueue(
    repos,
    missingWal,
    { walDirectory, cluster: CLUSTER, headerCheck: true, processMax: 2, graceMs: 1000 },
    lock,
    ctx,
  );
}

const request = (no: number, policy = ALL): Promise<PushAnswer> =>
  ctx.clock.until(queue.request(walName(no), policy, 30_000));
const names = (...nos: readonly number[]): string[] => nos.map((no) => walName(no));

function acknowledge(no: number): void {
  renameSync(
    join(walDirectory, "archive_status", `${walName(no)}.ready`),
    join(walDirectory, "archive_status", `${walName(no)}.done`),
  );
}

describe("a push queue", () => {
  it("pushes all ready files into every repository, and then answers from memory", async () => {
    await queue.look();
    for (const repo of repos) await eventually("all stored", async () => (await readable(repo)).length === 4);
    expect(queue.status()).toEqual([
      { repoIndex: 1, waitingCount: 0, error: null },
      { repoIndex: 2, waitingCount: 0, error: null },
    ]);
    const calls = storages[0].calls("list").length;
    expect(await request(1)).toMatchObject({ accepted: true, reposBehind: [], error: null });
    expect(storages[0].calls("list").length).toBe(calls);
    expect(storages[0].calls("putStream")).toHaveLength(4);
    expect(locked).toBe(0);
  });

  it("frees what a thread has packed once every repository has it, and not before", async () => {
    const packed: PackedWal[] = [];
    const pack = async (job: PackWalJob): Promise<PackedWal> => {
      const made = await packWal(job);
      packed.push(made);
      return made;
    };
    const plain = repos.map((repo): Repository => ({ ...repo, compress: { type: "none", level: 0 } }));
    const options = { walDirectory, cluster: CLUSTER, headerCheck: true, processMax: 2, graceMs: 0, pack };
    queue = new PushQueue(plain, missingWal, options, lock, ctx);
    storages[1].plan("putStream", { kind: "delay", durationMs: 3000 }, { times: 1 });
    const heldBytes = (): number =>
      packed
        .flatMap(({ contents }) => contents ?? [])
        .flat()
        .reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(await queue.request(walName(1), ANY, 30_000)).toMatchObject({ accepted: true });
    expect(heldBytes()).toBe(walBytes(1).length);
    await ctx.clock.advance(3000);
    await eventually("the second one has it", async () => (await readable(repos[1])).length === 1);
    await eventually("its memory is free", () => heldBytes() === 0);
    expect(await readable(repos[0])).toEqual(names(1));
  });

  it("pushes ahead the allowed files, and the rest on request", async () => {
    await queue.look((name) => name !== walName(2) && name !== walName(3));
    for (const repo of repos)
      await eventually("what may go is stored", async () => (await readable(repo)).length === 2);
    expect(await readable(repos[0])).toEqual(names(1, 4));
    expect(await request(2)).toMatchObject({ accepted: true });
    expect(await readable(repos[0])).toEqual(names(1, 2, 4));
  });

  it("answers for a file that was not listed before", async () => {
    expect((await request(3)).results).toEqual([
      { repoIndex: 1, ok: true, value: "pushed" },
      { repoIndex: 2, ok: true, value: "pushed" },
    ]);
    open();
    expect((await request(3)).results).toEqual([
      { repoIndex: 1, ok: true, value: "present" },
      { repoIndex: 2, ok: true, value: "present" },
    ]);
  });

  // claim: docs/agent.md: no repository waits for another; a failing one pauses, longer each time
  it("keeps the healthy repository current while the other one is down, and tries that one on request", async () => {
    storages[1].breakDown(away);
    await queue.look();
    await eventually("repo1 is current", async () => (await readable(repos[0])).length === 4);
    const refused = await request(1);
    expect(refused).toMatchObject({ accepted: false, reposBehind: [], error: { kind: "command", exitCode: 104 } });
    expect(refused.error?.message).toContain("repo2: [HostConnectError]");
    expect(queue.status()[1]).toMatchObject({ waitingCount: 4, error: { kind: "hostConnect" } });
    expect(missingWal.repoIndexes()).toEqual([]);
    // Once repo2 is back, a request tries it at once despite its pause. The rest follows.
    storages[1].repair();
    expect(await request(1)).toMatchObject({ accepted: true });
    await ctx.clock.advance(2000);
    await eventually("repo2 is current", async () => (await readable(repos[1])).length === 4);
    expect(queue.status()[1]).toMatchObject({ waitingCount: 0, error: null });
  });

  // claim: docs/agent.md: no repository waits for…
  it("pauses longer each time, and recovers without a request", async () => {
    storages[1].breakDown(away);
    await queue.look();
    await eventually("a first failure", () => queue.status()[1]?.error !== null);
    for (let minute = 0; minute < 10; minute++) await ctx.clock.advance(60_000);
    const tries = storages[1].calls("read").length;
    await ctx.clock.advance(120_000);
    expect(storages[1].calls("read").length - tries).toBeLessThanOrEqual(12);
    storages[1].repair();
    await ctx.clock.advance(130_000);
    await eventually("repo2 is current", async () => (await readable(repos[1])).length === 4);
    expect(ctx.lines.filter(({ text }) => text.startsWith("repo2: [HostConnectError]"))).toHaveLength(1);
    expect(ctx.lines).toContainEqual({ level: "info", text: "repo2 accepts WAL again" });
  });

  // claim: docs/agent.md: missing WAL is recorded before PostgreSQL gets its answer
  it("with policy any records the missing file before the answer, without the grace period for a failing repository", async () => {
    storages[1].breakDown(away);
    expect(await request(1, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
    expect(missingWal.list(2, CLUSTER)).toEqual(names(1));
    storages[1].repair();
    expect(await request(1, ANY)).toMatchObject({ accepted: true });
    await queue.look();
    await ctx.clock.advance(3000);
    await eventually("the missing WAL is copied", () => missingWal.list(2).length === 0);
    expect(await readable(repos[1])).toContain(walName(1));
  });

  it("does not cut off a slow repository: its missing file is stored when it arrives, although PostgreSQL has removed it", async () => {
    storages[1].plan("putStream", { kind: "delay", durationMs: 20_000 }, { path: new RegExp(walName(1)) });
    expect(await request(1, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
    expect(missingWal.list(2)).toEqual(names(1));
    await eventually("its upload has begun", () => storages[1].calls("putStream").length === 1);
    acknowledge(1);
    rmSync(join(walDirectory, walName(1)));
    queue.setReady([]);
    await ctx.clock.advance(25_000);
    await eventually("the missing WAL is copied", () => missingWal.list(2).length === 0);
    expect(await readable(repos[1])).toEqual(names(1));
  });

  it("ends a request in time when a repository hangs, and the next one does not wait for it with policy any", async () => {
    storages[1].plan("read", { kind: "hang", signal: ctx.signal }, { times: 4 });
    expect(await request(1)).toMatchObject({
      accepted: false,
      error: { message: expect.stringContaining("was not stored before the 30000ms timeout") },
    });
    expect(await request(1, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
    const beganAtMs = ctx.clock.monotonicMs();
    expect(await request(2, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
    expect(ctx.clock.monotonicMs() - beganAtMs).toBeLessThan(25_000);
    ctx.abort();
  });

  describe("with other content under a segment's name in one repository (45)", () => {
    beforeEach(() => store(repos[1], [walName(1), walBytes(77)]));

    // claim: docs/agent.md: other content under a segment's name stops pushing ahead into its repository (45) and no
    //   other one
    it("pushes nothing ahead into that one for a while, everything into the others, and tells PostgreSQL 45", async () => {
      // The clock stands still: on a slow disk the pause would be over before the answer.
      const answer = await queue.request(walName(1), ALL, 30_000);
      expect(answer).toMatchObject({ accepted: false, error: { exitCode: 45, repoIndex: 2 } });
      await queue.look();
      await eventually("repo1 is current", async () => (await readable(repos[0])).length === 4);
      await ctx.clock.advance(500);
      expect(await readable(repos[1])).toEqual(names(1));
      expect(queue.status()[1]).toMatchObject({ error: { kind: "archiveDuplicate" } });
      expect([missingWal.listConflicts(2), missingWal.list(2)]).toEqual([names(1), []]);
    });

    it("keeps the conflict while the segment is acknowledged elsewhere, and delays no other", async () => {
      expect(await request(1, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
      acknowledge(1);
      expect(await request(2, ANY)).toMatchObject({ accepted: true });
      expect(await request(3)).toMatchObject({ accepted: true });
      await eventually("repo2 has the others", async () => (await readable(repos[1])).length === 3);
      await eventually("it lacks the one in conflict", () => missingWal.list(2).length === 1);
      expect([missingWal.listConflicts(2), missingWal.list(2)]).toEqual([names(1), names(1)]);
      expect(missingWal.sha1Of(2, walName(1), CLUSTER)).toBe(sha1Hex(walBytes(1)));
      expect(queue.status()[1]).toMatchObject({ error: { kind: "archiveDuplicate" } });
      expect(ctx.lines.filter(({ text }) => text.startsWith("repo2: [ArchiveDuplicateError]"))).toHaveLength(1);
    });

    it("stores the segment once the wrong file is removed", async () => {
      expect(await request(1)).toMatchObject({ accepted: false });
      await storages[1].remove(await pathOf(repos[1], 1));
      expect(await request(1)).toMatchObject({ accepted: true });
      expect(missingWal.listConflicts(2)).toEqual([]);
      expect(queue.status()[1]).toMatchObject({ error: null });
    });
  });

  it("refuses half a segment for every repository (28), and accepts the rest", async () => {
    truncateSync(join(walDirectory, walName(2)), 512 * 1024);
    await expect(request(2)).rejects.toMatchObject({ kind: "fileInvalid", exitCode: 28 });
    expect(await request(3)).toMatchObject({ accepted: true });
    for (const repo of repos) expect(await readable(repo)).toEqual(names(3));
  });

  it("refuses another cluster's segment for every repository (44), and accepts the rest", async () => {
    addWal(walDirectory, walName(2), walBytes(2, 42n));
    await expect(request(2)).rejects.toMatchObject({ kind: "archiveMismatch", exitCode: 44 });
    expect(await request(3)).toMatchObject({ accepted: true });
    for (const repo of repos) expect(await readable(repo)).toEqual(names(3));
  });

  it("does not answer for another file of the same name", async () => {
    expect(await request(1)).toMatchObject({ accepted: true });
    writeFileSync(join(walDirectory, walName(1)), walBytes(50));
    expect(await request(1)).toMatchObject({ accepted: false, error: { kind: "archiveDuplicate" } });
    await expect(request(9)).rejects.toMatchObject({ kind: "fileMissing" });
  });

  it("does not answer for another file of the same name while a repository is busy with the former one", async () => {
    storages[1].plan("putStream", { kind: "hang", signal: ctx.signal });
    expect(await request(1, ANY)).toMatchObject({ accepted: true, reposBehind: [2] });
    writeFileSync(join(walDirectory, walName(1)), walBytes(50));
    expect(await request(1, ANY)).toMatchObject({ accepted: false, error: { kind: "archiveDuplicate" } });
  });

  describe("asks a repository again before it acknowledges what it has stored", () => {
    const AGE_MS = 10_000;
    const storeAll = async (): Promise<void> => {
      await queue.look();
      for (const repo of repos) await eventually("all stored", async () => (await readable(repo)).length === 4);
    };
    /** Deletes the stanza in repo1 and creates it again. */
    const recreate = async (): Promise<void> => {
      await storages[0].removePath("archive");
      await storages[0].removePath("backup");
      await stanzaCreate(repos, CONTROL, ctx);
    };

    // claim: docs/agent.md: a segment stored earlier, before an error, or into another archive is looked up before it
    //   is acknowledged
    it("after some seconds: a repository that was recreated meanwhile gets the segment", async () => {
      await storeAll();
      await recreate();
      await ctx.clock.advance(AGE_MS + 1);
      expect(await request(1)).toMatchObject({ accepted: true, error: null });
      expect(await readable(repos[0])).toContain(walName(1));
    });

    it("and does not acknowledge when it is down", async () => {
      await storeAll();
      await ctx.clock.advance(AGE_MS + 1);
      storages[0].breakDown(away);
      expect(await request(1)).toMatchObject({ accepted: false });
      expect(await request(2, ANY)).toMatchObject({ accepted: true, reposBehind: [1] });
      storages[0].repair();
      expect(await request(1)).toMatchObject({ accepted: true });
    });

    // claim: docs/agent.md: a segment stored earlier…
    it("before the repository failed", async () => {
      await storeAll();
      storages[0].plan("putStream", { kind: "error", error: away });
      addWal(walDirectory, walName(5), walBytes(5));
      await request(5);
      await recreate();
      expect(await request(1)).toMatchObject({ accepted: true });
      expect(await readable(repos[0])).toContain(walName(1));
    });

    // claim: docs/agent.md: a segment stored earlier…
    it("under another key of its archive", async () => {
      await storeAll();
      await ctx.clock.advance(AGE_MS / 2);
      addWal(walDirectory, walName(5), walBytes(5));
      expect(await request(5)).toMatchObject({ accepted: true });
      await storages[1].removePath("archive");
      await storages[1].removePath("backup");
      await stanzaCreate(repos, CONTROL, ctx);
      await ctx.clock.advance(AGE_MS / 2 + 1000);
      // The push opens the archive, which is a new one now.
      addWal(walDirectory, walName(6), walBytes(6));
      expect(await request(6)).toMatchObject({ accepted: true });
      expect(await request(5)).toMatchObject({ accepted: true });
      expect(await readable(repos[1])).toEqual(names(5, 6));
    });

    // claim: docs/agent.md: a segment stored earlier…
    it("with one listing for neighbours, without another read or transfer", async () => {
      await storeAll();
      await ctx.clock.advance(AGE_MS + 1);
      const before = { lists: storages[0].calls("list").length, puts: storages[0].calls("putStream").length };
      const answers = await ctx.clock.until(
        Promise.all([1, 2, 3, 4].map((no) => queue.request(walName(no), ALL, 30_000))),
      );
      expect(answers.map(({ accepted }) => accepted)).toEqual([true, true, true, true]);
      expect(storages[0].calls("list").length - before.lists).toBe(1);
      expect(storages[0].calls("putStream").length).toBe(before.puts);
    });
  });

  // claim: docs/agent.md: it holds stock's archive lock while it writes
  it("keeps other writers off a file in transfer, and its workers off claimed files", async () => {
    expect(queue.claim(2, walName(1))).toBe(true);
    expect(queue.claim(2, walName(1))).toBe(false);
    await queue.look();
    await eventually("the rest is stored", async () => (await readable(repos[1])).length === 3);
    expect(await readable(repos[1])).toEqual(names(2, 3, 4));
    queue.release(2, walName(1));
    await ctx.clock.advance(1000);
    await eventually("all stored", async () => (await readable(repos[1])).length === 4);
  });

  it("fails while the lock is not available", async () => {
    const held = fail("lockAcquire", "unable to acquire lock");
    const refusing: WorkLock = {
      enter: () => {
        throw held;
      },
      leave: () => {},
    };
    queue = new PushQueue(
      repos,
      missingWal,
      { walDirectory, cluster: CLUSTER, headerCheck: true, processMax: 1, graceMs: 0 },
      refusing,
      ctx,
    );
    expect(await request(1)).toMatchObject({
      accepted: false,
      error: { message: expect.stringContaining("unable to acquire lock") },
    });
  });

  it("drains what healthy repositories lack, without waiting for one that is down", async () => {
    storages[1].breakDown(away);
    await queue.look();
    await ctx.clock.until(queue.drain(60_000));
    expect(await readable(repos[0])).toEqual(names(1, 2, 3, 4));
  });

  // claim: docs/agent.md: SIGTERM lets running transfers finish
  it("finishes transfers when it is closed, and starts nothing", async () => {
    storages[0].plan("putStream", { kind: "delay", durationMs: 3000 }, { times: 4 });
    const running = queue.request(walName(1), { mode: "named", repoIndexes: [1] }, 30_000);
    await queue.look();
    await eventually("it is on its way", () => storages[0].calls("putStream").length >= 2);
    const closed = queue.close(new AbortController().signal);
    expect(await ctx.clock.until(running)).toMatchObject({ accepted: true });
    await ctx.clock.until(closed);
    expect((await readable(repos[0])).length).toBeLessThan(4);
    await expect(queue.request(walName(4), ALL, 1000)).rejects.toMatchObject({ kind: "term" });
  });
});
