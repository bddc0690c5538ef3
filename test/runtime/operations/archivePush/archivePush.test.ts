// claim: README.md: acknowledgement by all, any or named repositories
import { rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { collect } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { openSeenWal } from "../../../../runtime/local/seenWal";
import {
  archivePush,
  type ArchivePushOptions,
  type ArchivePushOutcome,
} from "../../../../runtime/operations/archivePush/archivePush";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadArchiveInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { findWal, openWal } from "../../../../runtime/repository/walStore";
import { eventually, HeldClock, pause, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import {
  addWal,
  CLUSTER,
  CONTROL,
  makeWalDirectory,
  OTHER_CONTROL,
  repository,
  temporaryFolder,
  walBytes,
  walName,
} from "../../repository/support";
import { pathOf, store } from "../archive";

let folder: string;
let walDirectory: string;
let missingWal: MissingWalStore;
let ctx: TestContext<HeldClock>;
let first: FaultyStorage;
let second: FaultyStorage;
let repos: Repository[];

beforeEach(async () => {
  folder = temporaryFolder();
  walDirectory = makeWalDirectory(folder, [1]);
  missingWal = openMissingWal(join(folder, "spool"), "demo");
  ctx = testContext({ clock: new HeldClock() });
  first = new FaultyStorage(new MemoryStorage({ name: "memory1" }));
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [
    repository(1, { storage: first, compress: { type: "zst", level: 3 } }),
    repository(2, { storage: second, compress: { type: "gz", level: 6 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

function push(no: number, more: Partial<ArchivePushOptions> = {}): Promise<ArchivePushOutcome> {
  const options: ArchivePushOptions = {
    walDirectory,
    walName: walName(no),
    cluster: CLUSTER,
    headerCheck: true,
    acknowledge: { mode: "all", repoIndexes: [] },
    graceMs: 5000,
    timeoutMs: 60_000,
    ...more,
  };
  return archivePush(repos, missingWal, options, ctx);
}

/** Numbers of the segments that a repository holds with the right content. */
async function held(repo: Repository, nos: readonly number[]): Promise<number[]> {
  const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
  const result: number[] = [];
  for (const no of nos) {
    for (const stored of await findWal(repo, "15-1", walName(no))) {
      const bytes = await collect(await openWal(repo, "15-1", stored, pass), 1 << 24);
      if (sha1Hex(bytes) === sha1Hex(walBytes(no))) result.push(no);
    }
  }
  return result;
}

const away = fail("hostConnect", "unreachable", { retryable: true });
const WRITES = /15-1/;

describe("archive-push", () => {
  it("does not read what an earlier call pushed ahead", async () => {
    const seen = openSeenWal(join(folder, "spool"), "demo");
    addWal(walDirectory, walName(2), walBytes(2));
    expect((await push(1, { seen })).aheadCount).toBe(2);
    const reads = (): string[] => first.calls("read").filter((path) => WRITES.test(path));
    expect((await push(2, { seen })).results.map((result) => result.ok && result.value)).toEqual([
      "present",
      "present",
    ]);
    expect(reads()).toEqual([]);
    await push(2);
    expect(reads()).toHaveLength(1);
  });

  it("stores the segment in every repository, with each one's compression and encryption", async () => {
    const outcome = await push(1);
    expect(outcome).toMatchObject({ accepted: true, reposBehind: [], error: null, aheadCount: 0 });
    expect(outcome.results.map((result) => result.ok && result.value)).toEqual(["pushed", "pushed"]);
    for (const repo of repos) expect(await held(repo, [1])).toEqual([1]);
    const name = `${walName(1)}-${sha1Hex(walBytes(1))}`;
    expect(first.calls("putStream")).toEqual([`archive/demo/15-1/0000000100000000/${name}.zst`]);
    expect(second.calls("putStream")).toEqual([`archive/demo/15-1/0000000100000000/${name}.gz`]);
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("detects a stored segment, and writes nothing", async () => {
    await push(1);
    const outcome = await push(1);
    expect(outcome.results.map((result) => result.ok && result.value)).toEqual(["present", "present"]);
    expect(first.calls("putStream")).toHaveLength(1);
  });

  it("pushes the other ready files, each repository at its own pace", async () => {
    for (const no of [2, 3, 4]) addWal(walDirectory, walName(no), walBytes(no));
    const outcome = await push(1);
    expect(outcome.aheadCount).toBe(6);
    for (const repo of repos) expect(await held(repo, [1, 2, 3, 4])).toEqual([1, 2, 3, 4]);
    expect((await push(2)).results.map((result) => result.ok && result.value)).toEqual(["present", "present"]);
  });

  it("neither reads nor looks up separately the files that it already pushed ahead", async () => {
    for (let no = 2; no <= 20; no++) addWal(walDirectory, walName(no), walBytes(no));
    expect((await push(1)).aheadCount).toBe(38);
    const listed = first.calls("list").length;
    for (let no = 2; no <= 20; no++) rmSync(join(walDirectory, walName(no)));
    expect(await push(1)).toMatchObject({ accepted: true, aheadCount: 0 });
    expect(first.calls("list").length - listed).toBe(2);
    expect(ctx.lines.filter((line) => /unable to push \w+ ahead/.test(line.text))).toEqual([]);
  });

  // claim: docs/agent.md: `archive-push` pushes ahead; both programs understand stock's spool
  it("acknowledges what is stored, also if nothing can be looked up ahead", async () => {
    const status = join(walDirectory, "archive_status");
    rmSync(status, { recursive: true, force: true });
    symlinkSync(status, status);
    expect((await push(1)).accepted).toBe(true);
    expect(ctx.lines.map(({ text }) => text)).toContainEqual(expect.stringContaining("unable to look ahead: "));
  });

  it("looks ahead for a limited number of segments", async () => {
    for (let no = 2; no <= 80; no++) addWal(walDirectory, walName(no), walBytes(no));
    repos = [repository(1, { storage: first })];
    expect((await push(1)).aheadCount).toBe(64);
  });

  it("stores histories and backup labels under their names, uncompressed", async () => {
    for (const [name, content] of [
      ["00000002.history", "1\t0/3000000\tfirst\n"],
      [`${walName(1)}.00000028.backup`, "START WAL LOCATION: 0/1000028\n"],
    ] as const) {
      writeFileSync(join(walDirectory, name), content);
      expect((await push(1, { walName: name })).accepted).toBe(true);
      for (const repo of repos) {
        const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
        const [stored] = await findWal(repo, "15-1", name);
        if (stored === undefined) throw new Error(`${name} was not found`);
        expect(Buffer.from(await collect(await openWal(repo, "15-1", stored, pass), 1000)).toString()).toBe(content);
      }
    }
  });
});

describe("archive-push with a repository that fails", () => {
  it("and policy all: 104 that names it; the other one holds the segment and the next ones", async () => {
    for (const no of [2, 3]) addWal(walDirectory, walName(no), walBytes(no));
    second.breakDown(away);
    const outcome = await push(1);
    expect(outcome).toMatchObject({ accepted: false, reposBehind: [], error: { kind: "command", exitCode: 104 } });
    expect(outcome.error?.message.split("\n")[0]).toBe("archive-push command encountered error(s):");
    expect(outcome.error?.message).toContain("repo2: [HostConnectError] unable to load info file");
    expect(await held(repos[0] as Repository, [1, 2, 3])).toEqual([1, 2, 3]);
    expect(missingWal.repoIndexes()).toEqual([]);

    second.repair();
    expect((await push(1)).accepted).toBe(true);
    expect(await held(repos[1] as Repository, [1, 2, 3])).toEqual([1, 2, 3]);
  });

  it("and policy any: acknowledges at once, records the missing file and clears the record when it is pushed again", async () => {
    second.breakDown(away);
    const any = { acknowledge: { mode: "any", repoIndexes: [] } } as const;
    expect(await push(1, any)).toMatchObject({ accepted: true, reposBehind: [2], error: null });
    expect(missingWal.list(2)).toEqual([walName(1)]);
    expect(openMissingWal(join(folder, "spool"), "demo").list(2)).toEqual([walName(1)]);
    second.repair();
    expect(await push(1, any)).toMatchObject({ accepted: true, reposBehind: [] });
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("and policy named: only the named one counts", async () => {
    second.breakDown(away);
    expect(await push(1, { acknowledge: { mode: "named", repoIndexes: [2] } })).toMatchObject({
      accepted: false,
      error: { kind: "command" },
    });
    expect(await push(1, { acknowledge: { mode: "named", repoIndexes: [1] } })).toMatchObject({
      accepted: true,
      reposBehind: [2],
    });
  });

  it("while all fail: 103 with a line for each", async () => {
    first.breakDown(away);
    second.breakDown(fail("access", "wrong key"));
    const outcome = await push(1, { acknowledge: { mode: "any", repoIndexes: [] } });
    expect(outcome).toMatchObject({ accepted: false, error: { kind: "repoInvalid", exitCode: 103 } });
    expect(outcome.error?.message).toMatch(/^repo1: \[HostConnectError\][\s\S]*^repo2: \[AccessError\]/m);
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("in the middle of its write: leaves no partial file, and the next call stores it", async () => {
    second.plan(
      "putStream",
      { kind: "break", sizeBytes: 1000, error: fail("fileWrite", "no space left") },
      { path: WRITES },
    );
    const outcome = await push(1);
    expect(outcome.error?.message).toContain("repo2: [FileWriteError] no space left");
    expect(await held(repos[1] as Repository, [1])).toEqual([]);
    expect((await push(1)).results.map((result) => result.ok && result.value)).toEqual(["present", "pushed"]);
    second.verifyAllFaultsExercised();
  });

  it("after its write: the next call detects the segment", async () => {
    second.plan("putStream", { kind: "errorAfter", error: away }, { path: WRITES });
    expect((await push(1)).accepted).toBe(false);
    expect((await push(1)).results.map((result) => result.ok && result.value)).toEqual(["present", "present"]);
  });

  it("does not acknowledge when the missing file cannot be recorded", async () => {
    second.breakDown(away);
    writeFileSync(join(folder, "file"), "in the way");
    missingWal = openMissingWal(join(folder, "file"), "demo");
    await expect(push(1, { acknowledge: { mode: "any", repoIndexes: [] } })).rejects.toMatchObject({
      kind: expect.stringMatching(/^(fileWrite|pathOpen)$/),
    });
  });

  it("is named once, by the answer: this process does not retry", async () => {
    second.breakDown(away);
    await push(1);
    expect(ctx.lines.filter(({ level }) => level === "warn")).toEqual([]);
  });

  it("with an unreadable file ahead: ends as soon as the other one has what can be read", async () => {
    second.breakDown(away);
    for (const no of [2, 3]) addWal(walDirectory, walName(no), walBytes(no));
    rmSync(join(walDirectory, walName(2)));
    expect(await push(1)).toMatchObject({ accepted: false, aheadCount: 1 });
    expect(await held(repos[0] as Repository, [1, 3])).toEqual([1, 3]);
  });

  it("ahead of a request: its worker stops looking ahead, and the call succeeds", async () => {
    for (const no of [2, 3]) addWal(walDirectory, walName(no), walBytes(no));
    second.plan("putStream", { kind: "error", error: away }, { path: new RegExp(walName(2)) });
    expect(await push(1)).toMatchObject({ accepted: true, aheadCount: 2 });
    expect(await held(repos[0] as Repository, [1, 2, 3])).toEqual([1, 2, 3]);
    expect(await held(repos[1] as Repository, [1, 2, 3])).toEqual([1]);
  });
});

describe("archive-push with a repository that hangs", () => {
  const forever = new AbortController().signal;

  it("and policy any: acknowledges after the grace period, and records the missing file", async () => {
    second.plan("putStream", { kind: "hang", signal: forever }, { path: WRITES });
    const run = push(1, { acknowledge: { mode: "any", repoIndexes: [] } });
    let ended = false;
    void run.finally(() => {
      ended = true;
    });
    await eventually("repo1 holds the segment", async () => (await held(repos[0] as Repository, [1])).length === 1);
    await ctx.clock.advance(4900);
    await pause(10);
    expect(ended).toBe(false);
    expect(missingWal.list(2)).toEqual([]);
    const outcome = await ctx.clock.until(run);
    // Far below the time limit of the call.
    expect(ctx.clock.monotonicMs() - Date.UTC(2026, 10, 20, 6, 40, 59)).toBeLessThan(20_000);
    expect(outcome).toMatchObject({ accepted: true, reposBehind: [2] });
    expect(outcome.results[1]).toMatchObject({
      ok: false,
      error: { kind: "archiveTimeout", message: "not finished when the segment was acknowledged" },
    });
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it("and is already behind: waits only briefly", async () => {
    missingWal.add(2, walName(0), CLUSTER);
    second.plan("read", { kind: "hang", signal: forever }, { path: /archive\.info/ });
    const run = push(1, { acknowledge: { mode: "any", repoIndexes: [] } });
    await eventually("repo1 holds the segment", async () => (await held(repos[0] as Repository, [1])).length === 1);
    const beganMs = ctx.clock.monotonicMs();
    await ctx.clock.until(run);
    expect(ctx.clock.monotonicMs() - beganMs).toBeLessThan(4000);
    expect(missingWal.list(2)).toEqual([walName(0), walName(1)]);
  });

  it("after it has answered, and is already behind: waits as long as for any other one", async () => {
    missingWal.add(2, walName(0), CLUSTER);
    second.plan("putStream", { kind: "hang", signal: forever }, { path: WRITES });
    const run = push(1, { acknowledge: { mode: "any", repoIndexes: [] } });
    await eventually("the transfer is begun", async () => second.calls("putStream").length === 1);
    await eventually("repo1 holds the segment", async () => (await held(repos[0] as Repository, [1])).length === 1);
    await ctx.clock.advance(4900);
    await pause(10);
    expect(missingWal.list(2)).toEqual([walName(0)]);
    expect(await ctx.clock.until(run)).toMatchObject({ accepted: true, reposBehind: [2] });
  });

  it("and policy all: 104 that names it after the timeout; meanwhile the other one keeps up", async () => {
    second.plan("read", { kind: "hang", signal: forever }, { path: /archive\.info/ });
    const run = push(1, { timeoutMs: 10_000 });
    run.catch(() => {});
    await eventually("repo1 holds the segment", async () => (await held(repos[0] as Repository, [1])).length === 1);
    for (const no of [2, 3]) {
      addWal(walDirectory, walName(no), walBytes(no));
      await ctx.clock.advance(300);
      await eventually(`repo1 holds segment ${no}`, async () => {
        await ctx.clock.advance(200);
        return (await held(repos[0] as Repository, [no])).length === 1;
      });
    }
    const outcome = await ctx.clock.until(run);
    expect(outcome).toMatchObject({
      accepted: false,
      reposBehind: [],
      aheadCount: 2,
      error: { kind: "command", exitCode: 104 },
    });
    expect(outcome.error?.message).toContain(
      `repo2: [ArchiveTimeoutError] ${walName(1)} was not stored before the 10000ms timeout`,
    );
    expect(outcome.error?.hints).toContain("If the repository is only slow, raise archive-timeout.");
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("ends when it is stopped", async () => {
    second.plan("read", { kind: "hang", signal: forever }, { path: /archive\.info/ });
    const run = push(1);
    run.catch(() => {});
    await eventually("repo1 holds the segment", async () => (await held(repos[0] as Repository, [1])).length === 1);
    ctx.abort();
    await expect(run).rejects.toMatchObject({ kind: "term" });
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("leaves no unhandled rejection when it fails after the call is over", async () => {
    const overdue = new AbortController();
    second.plan("putStream", { kind: "hang", signal: overdue.signal }, { path: WRITES });
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    await ctx.clock.until(push(1, { acknowledge: { mode: "any", repoIndexes: [] } }));
    overdue.abort();
    await pause(20);
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });
});

describe("a conflict in one repository", () => {
  const ANY = { acknowledge: { mode: "any", repoIndexes: [] } } as const;
  const done = (no: number): void => rmSync(join(walDirectory, "archive_status", `${walName(no)}.ready`));
  beforeEach(async () => {
    await store(repos[1] as Repository, [walName(1), walBytes(77)]);
    addWal(walDirectory, walName(2), walBytes(2));
  });

  it("stops no other one with policy any or named, and is recorded with the right bytes until it is resolved", async () => {
    for (const acknowledge of [ANY.acknowledge, { mode: "named", repoIndexes: [1] } as const]) {
      expect(await push(1, { acknowledge })).toMatchObject({ accepted: true, reposBehind: [2], error: null });
      expect(missingWal.listConflicts(2, CLUSTER)).toEqual([walName(1)]);
      expect(missingWal.list(2, CLUSTER)).toEqual([walName(1)]);
      expect(missingWal.sha1Of(2, walName(1), CLUSTER)).toBe(sha1Hex(walBytes(1)));
    }
    // The next segments reach both.
    done(1);
    expect(await push(2, ANY)).toMatchObject({ accepted: true, reposBehind: [] });
    expect(await held(repos[0] as Repository, [1, 2])).toEqual([1, 2]);
    expect(await held(repos[1] as Repository, [1, 2])).toEqual([2]);
    expect(missingWal.listConflicts(2)).toEqual([walName(1)]);
    await second.remove(await pathOf(repos[1] as Repository, 1));
    expect(await push(1, ANY)).toMatchObject({ accepted: true, reposBehind: [] });
    expect([missingWal.listConflicts(2), missingWal.list(2)]).toEqual([[], []]);
    expect(await held(repos[1] as Repository, [1, 2])).toEqual([1, 2]);
  });

  it("with policy all or its own name: PostgreSQL is told 45, and the others have the segment", async () => {
    for (const acknowledge of [
      { mode: "all", repoIndexes: [] },
      { mode: "named", repoIndexes: [2] },
    ] as const) {
      const outcome = await push(1, { acknowledge });
      expect(outcome).toMatchObject({ accepted: false, error: { exitCode: 45, repoIndex: 2 } });
    }
    expect(await held(repos[0] as Repository, [1])).toEqual([1]);
    expect([missingWal.listConflicts(2), missingWal.list(2)]).toEqual([[walName(1)], []]);
  });

  it("is forgotten once PostgreSQL no longer archives a file that nobody acknowledged", async () => {
    await push(1);
    expect(missingWal.listConflicts(2)).toEqual([walName(1)]);
    done(1);
    await push(2);
    expect(missingWal.listConflicts(2)).toEqual([]);
  });
});

describe("archive-push refuses", () => {
  it("a segment of another cluster (44) before anything is written", async () => {
    addWal(walDirectory, walName(5), walBytes(5, 42n));
    await expect(push(5)).rejects.toMatchObject({
      kind: "archiveMismatch",
      exitCode: 44,
      message: expect.stringContaining("system-id 42"),
    });
    expect([...first.calls("putStream"), ...second.calls("putStream")]).toEqual([]);
  });

  it("a repository of another cluster (44), as that repository's own error", async () => {
    const other = new MemoryStorage();
    await stanzaCreate([repository(2, { storage: other })], OTHER_CONTROL, ctx);
    repos = [repos[0] as Repository, repository(2, { storage: other })];
    const outcome = await push(1);
    expect(outcome.error).toMatchObject({ kind: "command" });
    expect(outcome.error?.message).toContain("repo2: [ArchiveMismatchError] PostgreSQL version 15");
    expect(await held(repos[0] as Repository, [1])).toEqual([1]);
  });

  it("other content under the same name (45), and never replaces it", async () => {
    await push(1);
    const before = second.calls("putStream").length;
    addWal(walDirectory, walName(1), walBytes(99));
    const outcome = await push(1, { acknowledge: { mode: "any", repoIndexes: [] } });
    expect(outcome).toMatchObject({ accepted: false, reposBehind: [] });
    expect(outcome.error).toMatchObject({
      kind: "archiveDuplicate",
      exitCode: 45,
      message: "WAL file '000000010000000000000001' already exists in the repo1 archive with a different checksum",
    });
    for (const { key } of repos) expect(missingWal.listConflicts(key, CLUSTER)).toEqual([walName(1)]);
    for (const repo of repos) expect(await held(repo, [1])).toEqual([1]);
    expect(second.calls("putStream")).toHaveLength(before);
  });

  it("two copies of one segment (45)", async () => {
    const directory = "archive/demo/15-1/0000000100000000";
    await first.put(`${directory}/${walName(1)}-${sha1Hex("a")}`, Buffer.from("a"));
    await first.put(`${directory}/${walName(1)}-${sha1Hex("b")}.gz`, Buffer.from("b"));
    expect((await push(1)).error).toMatchObject({
      kind: "archiveDuplicate",
      repoIndex: 1,
      message: expect.stringContaining(sha1Hex("b")),
    });
  });

  it("half a segment (28) before anything is written", async () => {
    truncateSync(join(walDirectory, walName(1)), 512 * 1024);
    await expect(push(1)).rejects.toMatchObject({ kind: "fileInvalid", exitCode: 28 });
    for (const storage of [first, second]) expect(storage.calls("putStream")).toEqual([]);
  });

  it("a missing file, without blaming a repository", async () => {
    rmSync(join(walDirectory, walName(1)));
    await expect(push(1)).rejects.toMatchObject({ kind: "fileMissing", path: join(walDirectory, walName(1)) });
  });

  it("nothing without a pg_control: the segment's own header counts", async () => {
    expect((await push(1, { cluster: null })).accepted).toBe(true);
    addWal(walDirectory, walName(5), walBytes(5, 42n));
    const outcome = await push(5, { cluster: null });
    expect(outcome.error).toMatchObject({
      kind: "repoInvalid",
      message: expect.stringContaining("system-id 42 do not match repo1 stanza"),
    });
  });
});
