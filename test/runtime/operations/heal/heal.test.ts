import { readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { type MissingWalStore, openMissingWal } from "../../../../runtime/local/missingWal";
import { heal, copyFormerWal, copyMissingWal } from "../../../../runtime/operations/heal/heal";
import { UNKNOWN_CLUSTER } from "../../../../runtime/operations/shared/identity";
import { readNamed } from "../../../../runtime/operations/shared/namedWal";
import { type LocalWal, openLocalWal } from "../../../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { listWal } from "../../../../runtime/repository/walStore";
import { openServed, openStorage } from "../../../../runtime/storage/open";
import { PosixStorage } from "../../../../runtime/storage/posix";
import type { Storage } from "../../../../runtime/storage/storage";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { StorageProcesses } from "../../../harness/doubles/storageProcesses";
import { ForgetfulStorage, MemoryStorage } from "../../../harness/doubles/storages";
import { posixRepo } from "../../../harness/repositories";
import { vectorText } from "../../format/vectors";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { emptyWal, labelText, pathOf, readable, store } from "../archive";

let ctx: TestContext;
let missingWal: MissingWalStore;
let local: Map<string, Uint8Array>;
let walDirectory: string;
let ready: string[];
let storages: [FaultyStorage, FaultyStorage];
let repos: [Repository, Repository];
const SILENT = fail("service", "no answer");
const [BACKUP] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;

beforeEach(async () => {
  ctx = testContext();
  missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
  local = new Map();
  walDirectory = temporaryFolder();
  ready = [];
  storages = [new FaultyStorage(new MemoryStorage()), new FaultyStorage(new MemoryStorage())];
  repos = [
    repository(1, { storage: storages[0], compress: { type: "gz", level: 6 } }),
    repository(2, { storage: storages[1], compress: { type: "zst", level: 3 }, pass: "second" }),
  ];
  await stanzaCreate(repos, CONTROL, ctx);
});

const localWal = (): LocalWal =>
  emptyWal({
    prepare: async (name) => {
      const bytes = local.get(name);
      if (bytes === undefined) return null;
      writeFileSync(join(walDirectory, name), bytes);
      return openLocalWal(walDirectory, CLUSTER, true).prepare(name);
    },
    listReady: async () => ready,
    listDone: async () => [...local.keys()].filter((name) => !ready.includes(name)),
  });
const run = (sendsPending = false): ReturnType<typeof heal> =>
  heal(repos, { missingWal, cluster: CLUSTER, sendsPending, local: localWal() }, ctx);

/** Adds a backup that needs WAL from segment `no` on. */
async function needFrom(repo: Repository, no: number): Promise<void> {
  const info = await loadBackupInfo(repo);
  if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
  await saveBackupInfo(
    repo,
    { ...info, backups: [{ ...BACKUP, archiveStart: walName(no), archiveStop: walName(no) }] },
    ctx,
  );
}

it("copies no WAL that the target's retention-archive removes", async () => {
  const [first, second] = repos;
  repos = [{ ...first, retention: { archive: 1, archiveType: "full", fullType: "count" } }, second];
  const info = await loadBackupInfo(first);
  if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
  const backups = [
    { ...BACKUP, label: "20261120-000000F", archiveStart: walName(1), archiveStop: walName(2) },
    { ...BACKUP, label: "20261121-000000F", archiveStart: walName(10), archiveStop: walName(11) },
  ];
  await saveBackupInfo(first, { ...info, backups }, ctx);
  await store(first, 1, 2, 10, 11, 12);
  await store(second, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
  expect(await run()).toMatchObject([
    { ok: true, value: { copied: 0 } },
    { ok: true, value: { copied: 0 } },
  ]);
  await storages[0].remove(await pathOf(first, 2));
  await storages[0].remove(await pathOf(first, 12));
  expect(await run()).toMatchObject([{ value: { copied: 2 } }, { value: { copied: 0 } }]);
  expect(await readable(first)).toEqual([1, 2, 10, 11, 12].map((no) => walName(no)));
});

/** Other content that belongs under the same name. */
function changed(no: number): Uint8Array {
  const bytes = Buffer.from(walBytes(no));
  bytes.write("other rows", 700);
  return bytes;
}

/** The storage with another method. */
function replaced<K extends keyof Storage>(storage: Storage, name: K, method: Storage[K]): Storage {
  return new Proxy(storage, {
    get: (_, wanted: keyof Storage) => {
      const member = wanted === name ? method : storage[wanted];
      return typeof member === "function" && wanted !== name ? member.bind(storage) : member;
    },
  });
}

/** Problems of files whose names carry no checksum. */
async function verifyNames(repo: Repository): Promise<(string | null)[]> {
  const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
  const problems: (string | null)[] = [];
  for await (const stored of listWal(repo, "15-1"))
    if (stored.sha1 === null) problems.push((await readNamed(repo, "15-1", stored, pass)).problem);
  return problems.filter((problem) => problem !== null);
}

describe("heal", () => {
  // claim: docs/agent.md: missing WAL comes from pg_wal, else from another repository
  it("copies a missing segment from pg_wal", async () => {
    missingWal.add(2, walName(1), CLUSTER);
    local.set(walName(1), walBytes(1));
    expect(await run()).toMatchObject([
      { ok: true, value: { copied: 0, settled: 0, unhealed: [] } },
      { ok: true, value: { copied: 1, settled: 0, unhealed: [] } },
    ]);
    expect(await readable(repos[1])).toEqual([walName(1)]);
    expect(await pathOf(repos[1], 1)).toMatch(/\.zst$/);
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  // claim: docs/agent.md: missing WAL comes from…
  it("copies a missing segment from another repository, with its own compression and encryption, when pg_wal lacks it", async () => {
    await store(repos[0], 1, 2);
    for (const no of [1, 2]) missingWal.add(2, walName(no), CLUSTER);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 2 } });
    expect(await readable(repos[1])).toEqual([walName(1), walName(2)]);
    expect(missingWal.list(2)).toEqual([]);
    // Heal also copies in the other direction, from the encrypted repository.
    await store(repos[1], 3);
    missingWal.add(1, walName(3), CLUSTER);
    expect((await run())[0]).toMatchObject({ ok: true, value: { copied: 1 } });
    expect(await readable(repos[0])).toEqual([walName(1), walName(2), walName(3)]);
    expect(await pathOf(repos[0], 3)).toMatch(/\.gz$/);
  });

  it("takes no other content while the server has its own and cannot read it", async () => {
    const history = "00000002.history";
    await store(repos[0], 1, [history, Buffer.from("1\t0/1\tx\n")]);
    await store(repos[1], [history, Buffer.from("damaged")]);
    missingWal.add(2, walName(1), CLUSTER);
    for (const name of [walName(1), history]) symlinkSync(name, join(walDirectory, name));
    const unread = { ...localWal(), prepare: openLocalWal(walDirectory, CLUSTER, true).prepare };
    const healed = await heal(repos, { missingWal, cluster: CLUSTER, local: unread }, ctx);
    expect(healed[1]).toMatchObject({
      ok: true,
      value: { copied: 0, unhealed: expect.arrayContaining([expect.stringContaining("pg_wal")]) },
    });
    expect(missingWal.list(2, CLUSTER)).toEqual([walName(1)]);
    expect(await verifyNames(repos[1])).toHaveLength(1);
  });

  it("keeps the record of a file that the storage answered to have stored and did not", async () => {
    const storage = new ForgetfulStorage();
    repos = [repos[0], repository(2, { storage })];
    await stanzaCreate([repos[1]], CONTROL, ctx);
    storage.forgets = /archive\/.*-[0-9a-f]{40}/;
    missingWal.add(2, walName(1), CLUSTER);
    local.set(walName(1), walBytes(1));
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0 } });
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it("clears the record of a file that is already stored, without a write", async () => {
    await store(repos[1], 1);
    missingWal.add(2, walName(1), CLUSTER);
    const before = storages[1].writeCount;
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 1 } });
    expect(storages[1].writeCount).toBe(before);
    expect(missingWal.list(2)).toEqual([]);
  });

  it("copies files from other repositories since its oldest backup, and no older ones", async () => {
    await store(
      repos[0],
      1,
      2,
      3,
      ["00000002.history", Buffer.from("1\t0/1\tx\n")],
      [`${walName(3)}.00000028.backup`, Buffer.from(labelText(walName(3)))],
    );
    await needFrom(repos[1], 2);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 4 } });
    expect(await readable(repos[1])).toEqual(
      [walName(2), walName(3), `${walName(3)}.00000028.backup`, "00000002.history"].sort(),
    );
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 0, unhealed: [] } });
  });

  it("brings back an archived segment that vanished from every repository, and nothing before a backup or after the newest", async () => {
    for (const repo of repos) {
      await needFrom(repo, 3);
      await store(repo, 3, 5);
    }
    for (const no of [2, 4, 6]) local.set(walName(no), walBytes(no));
    local.set(walName(4, 2), walBytes(4));
    for (const result of await run()) expect(result).toMatchObject({ ok: true, value: { copied: 1, unhealed: [] } });
    for (const repo of repos) expect(await readable(repo)).toEqual([3, 4, 5].map((no) => walName(no)));
  });

  it("replaces a damaged history or label by a valid one, PostgreSQL's own first, and reports an undecidable one", async () => {
    const history = Buffer.from("1\t0/1\tx\n");
    const label = `${walName(1)}.00000028.backup`;
    await store(
      repos[0],
      ["00000002.history", history],
      [label, Buffer.from("LABEL: cut")],
      ["00000003.history", Buffer.from("1\t0/1\ta\n")],
    );
    await store(
      repos[1],
      ["00000002.history", Buffer.from("1\t0/1\tx\n\0")],
      [label, Buffer.from(labelText(walName(1)))],
    );
    await store(repos[1], ["00000003.history", Buffer.from("2\t0/1\tb\n")]);
    expect(await run()).toMatchObject([
      {
        ok: true,
        value: {
          copied: 1,
          unhealed: ["00000003.history: other repositories have different content, and any of them may be right"],
        },
      },
      {
        ok: true,
        value: {
          copied: 1,
          unhealed: ["00000003.history: other repositories have different content, and any of them may be right"],
        },
      },
    ]);
    local.set("00000003.history", Buffer.from("2\t0/1\tb\n"));
    expect(await run()).toMatchObject([
      { ok: true, value: { copied: 1, unhealed: [] } },
      { ok: true, value: { copied: 0, unhealed: [] } },
    ]);
    expect(await run()).toMatchObject([
      { ok: true, value: { copied: 0, unhealed: [] } },
      { ok: true, value: { copied: 0, unhealed: [] } },
    ]);
    for (const repo of repos) expect(await verifyNames(repo)).toEqual([]);
  });

  // claim: docs/agent.md: `heal` sends at once what waits for the archive, by the archive's rules; not on a standby or
  //   during a recovery
  it("sends files that wait for the archive to each repository that lacks them", async () => {
    await store(repos[0], 1, ["00000002.history", Buffer.from("1\t0/1\tx\n")]);
    ready = ["00000002.history", walName(1), walName(2), walName(3)];
    for (const no of [1, 2]) local.set(walName(no), walBytes(no));
    local.set("00000002.history", Buffer.from("1\t0/1\tx\n"));
    missingWal.add(2, walName(1), CLUSTER);
    const before = storages[0].writeCount;
    // PostgreSQL has removed the third segment since it was listed.
    expect(await run(true)).toMatchObject([
      { ok: true, value: { copied: 1, unhealed: [] } },
      { ok: true, value: { copied: 3, unhealed: [] } },
    ]);
    expect(storages[0].writeCount).toBe(before + 1);
    for (const repo of repos) expect(await readable(repo)).toEqual([walName(1), walName(2), "00000002.history"]);
    expect(await pathOf(repos[1], 2)).toMatch(/\.zst$/);
    expect(missingWal.list(2)).toEqual([]);
    expect(await run(true)).toMatchObject([
      { ok: true, value: { copied: 0, unhealed: [] } },
      { ok: true, value: { copied: 0, unhealed: [] } },
    ]);
  });

  // claim: docs/agent.md: `heal` sends at once…
  it("sends no waiting file of other content than the archive's, and another cluster's nowhere", async () => {
    await store(repos[0], 1);
    ready = [walName(1), walName(2)];
    local.set(walName(1), changed(1));
    local.set(walName(2), walBytes(2, 99n));
    const [first, second] = await run(true);
    expect(first).toMatchObject({ ok: false, error: { kind: "archiveDuplicate" } });
    expect(second).toMatchObject({
      ok: true,
      value: {
        copied: 1,
        unhealed: [expect.stringContaining(`${walName(2)}: WAL file '${walName(2)}' version 15, system-id 99`)],
      },
    });
    expect(await readable(repos[1])).toEqual([walName(1)]);
  });

  it("ignores unacknowledged files: archive-push may be writing them", async () => {
    await store(repos[0], 1, 2, 3);
    await needFrom(repos[1], 1);
    missingWal.add(2, walName(2), CLUSTER);
    ready = [walName(2), walName(3)];
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 1, settled: 0, unhealed: [] } });
    expect(await readable(repos[1])).toEqual([walName(1)]);
    expect(missingWal.list(2)).toEqual([walName(2)]);
    ready = [];
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 2 } });
  });

  it("copies nothing to a repository without backups", async () => {
    await store(repos[0], 1, 2);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0 } });
  });

  it("reports WAL that no repository holds, and keeps the record", async () => {
    missingWal.add(2, walName(1), CLUSTER);
    missingWal.add(2, walName(2), CLUSTER);
    await store(repos[0], 2);
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { copied: 1, unhealed: [`${walName(1)}: neither a repository nor pg_wal has it`] },
    });
    expect(missingWal.list(2)).toEqual([walName(1)]);
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: `repo2: unable to copy ${walName(1)}: neither a repository nor pg_wal has it`,
    });
  });

  it("clears the record of lost WAL once a newer backup does not need it, when every repository has answered", async () => {
    missingWal.add(2, walName(1), CLUSTER);
    missingWal.add(2, walName(3), CLUSTER);
    await needFrom(repos[1], 1);
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { settled: 0, unhealed: [expect.any(String), expect.any(String)] },
    });
    await needFrom(repos[1], 3);
    storages[0].breakDown(fail("hostConnect", "unreachable"));
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { settled: 0, unhealed: [expect.any(String), expect.any(String)] },
    });
    storages[0].repair();
    const some = await heal([repos[1]], { missingWal, cluster: CLUSTER, local: emptyWal(), isEvery: false }, ctx);
    expect(some[0]).toMatchObject({ ok: true, value: { settled: 0 } });
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { copied: 0, settled: 1, unhealed: [`${walName(3)}: neither a repository nor pg_wal has it`] },
    });
    expect(missingWal.list(2)).toEqual([walName(3)]);
    const why =
      "no repository has it, and a newer backup does not need it. Recovery from older backups ends before it.";
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: `repo2: stopped looking for missing ${walName(1)}: ${why}`,
    });
    await needFrom(repos[1], 4);
    const parts = { missingWal, local: null, claims: null };
    expect(await copyMissingWal(repos[1], repos, CLUSTER, parts, ctx)).toMatchObject({ settled: 1, unhealed: [] });
    expect(missingWal.list(2)).toEqual([]);
  });

  // claim: docs/agent.md: an empty directory counts as an answer only while `archive.info` is there
  it("keeps the record of a segment whose repository lost its required mount meanwhile", async () => {
    const root = temporaryFolder();
    const none = "27 1 254:0 / / rw - ext4 /dev/vda rw";
    let table = `${none}\n30 27 8:1 / ${root} rw - ext4 /dev/sda1 rw`;
    const { start, version } = new StorageProcesses((served) => openServed(served, ctx));
    const nas = openStorage(posixRepo(root, { requireMount: true }), {
      ...ctx,
      ioTimeoutMs: 1000,
      readFile: () => new Uint8Array(),
      processes: { start, version, mounts: { readTable: () => table, readLink: () => null } },
    });
    /** Between the look at archive.info and the listing. */
    const unmounting = replaced(nas, "list", (path, options) => {
      for (const name of readdirSync(root)) rmSync(join(root, name), { recursive: true });
      table = none;
      return nas.list(path, options);
    });
    const source = repository(1, { storage: unmounting });
    await stanzaCreate([repository(1, { storage: nas })], CONTROL, ctx);
    await store(source, 1);
    /** With directories too, and so slow that the table is read again after it. */
    const slow = replaced(storages[1], "stat", (path) => {
      ctx.clock.advance(6000);
      return storages[1].stat(path);
    });
    const target = { ...repos[1], storage: replaced(slow, "features", nas.features) };
    missingWal.add(2, walName(1), CLUSTER);
    await needFrom(repos[1], 3);
    const parts = { missingWal, local: null, claims: null };
    await expect(copyMissingWal(target, [source, target], CLUSTER, parts, ctx)).rejects.toMatchObject({
      kind: "pathMissing",
      message: `nothing is mounted at or above '${root}'`,
      retryable: true,
    });
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it("never stores a damaged copy, or a file that PostgreSQL recycled, as the segment", async () => {
    await store(repos[0], 1, 2);
    const memory = storages[0];
    await memory.put(await pathOf(repos[0], 1), Buffer.from("damaged"));
    local.set(walName(2), walBytes(77));
    for (const no of [1, 2]) missingWal.add(2, walName(no), CLUSTER);
    const [, answer] = await run();
    expect(answer).toMatchObject({
      ok: true,
      value: { copied: 1, unhealed: [expect.stringMatching(new RegExp(`^${walName(1)}: repo1: `))] },
    });
    expect(await readable(repos[1])).toEqual([walName(2)]);
    expect(sha1Hex(walBytes(2))).toBe((await pathOf(repos[1], 2)).slice(-44, -4));
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it("keeps the record of a file that could not be written, and copies the rest", async () => {
    await store(repos[0], 1, 2);
    for (const no of [1, 2]) missingWal.add(2, walName(no), CLUSTER);
    storages[1].plan(
      "putStream",
      { kind: "error", error: fail("fileWrite", "no space left") },
      { path: new RegExp(walName(1)) },
    );
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { copied: 1, unhealed: [`${walName(1)}: repo1: no space left`] },
    });
    expect(missingWal.list(2)).toEqual([walName(1)]);
    storages[1].verifyAllFaultsExercised();
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 1, unhealed: [] } });
  });

  it("keeps the record of a written file when the repository's mount went away meanwhile", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({
        root: join(temporaryFolder(), "mount"),
        syncDirectories: true,
        symlinks: true,
        signal: ctx.signal,
      }),
    );
    repos = [repos[0], repository(2, { storage: mounted })];
    await stanzaCreate([repos[1]], CONTROL, ctx);
    await store(repos[0], 5);
    missingWal.add(2, walName(5), CLUSTER);
    // Affects the check of archive.info and its copy after the write.
    mounted.plan("stat", { kind: "lie" }, { times: 2 });
    const results = await run();
    mounted.verifyAllFaultsExercised();
    expect(results[1]).toMatchObject({
      ok: true,
      value: { copied: 0, unhealed: [expect.stringContaining("is gone")] },
    });
    expect(missingWal.list(2)).toEqual([walName(5)]);
  });

  it("keeps the record of a stored file that it cannot make durable", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({
        root: join(temporaryFolder(), "mount"),
        syncDirectories: true,
        symlinks: true,
        signal: ctx.signal,
      }),
    );
    repos = [repos[0], repository(2, { storage: mounted })];
    await stanzaCreate([repos[1]], CONTROL, ctx);
    await store(repos[1], 5);
    missingWal.add(2, walName(5), CLUSTER);
    mounted.plan("syncPath", { kind: "error", error: fail("pathSync", "unable to sync path") }, { path: /15-1$/ });
    expect((await run())[1]).toMatchObject({ ok: false, error: { kind: "pathSync" } });
    expect(missingWal.list(2)).toEqual([walName(5)]);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 1 } });
    expect(missingWal.list(2)).toEqual([]);
  });

  // claim: docs/agent.md: `heal` and the agent's…
  it("ends with one complete copy of each segment when two hosts heal at once, in directories that both have mounted", async () => {
    const root = temporaryFolder();
    /** The repositories, as one host mounts them. */
    const mount = (): [Repository, Repository] => {
      const open = (name: string) =>
        new PosixStorage({ root: join(root, name), syncDirectories: false, symlinks: true, signal: ctx.signal });
      const [first, second] = repos;
      return [
        { ...first, storage: open("one") },
        { ...second, storage: open("two") },
      ];
    };
    const numbers = Array.from({ length: 12 }, (_, index) => index + 1);
    const hosts = [mount(), mount(), mount()];
    const [[first, second]] = hosts as [[Repository, Repository]];
    await stanzaCreate([first, second], CONTROL, ctx);
    await store(first, ...numbers);
    const runs = hosts.map(async (both) => {
      const own = openMissingWal(join(temporaryFolder(), "spool"), "demo");
      for (const no of numbers) own.add(2, walName(no), CLUSTER);
      const results = await heal(both, { missingWal: own, cluster: CLUSTER, local: emptyWal() }, ctx);
      expect(own.repoIndexes()).toEqual([]);
      return results.map((result) => result.ok && result.value.unhealed);
    });
    expect(await Promise.all(runs)).toEqual(hosts.map(() => [[], []]));
    expect(await readable(second)).toEqual(numbers.map((no) => walName(no)));
    expect(readdirSync(join(root, `two/archive/demo/15-1/${walName(1).slice(0, 16)}`))).toHaveLength(numbers.length);
  });

  it("skips a repository that is still down, with its error", async () => {
    await store(repos[0], 1);
    missingWal.add(2, walName(1), CLUSTER);
    storages[1].breakDown(fail("hostConnect", "unreachable"));
    expect(await run()).toMatchObject([{ ok: true }, { ok: false, error: { kind: "hostConnect" } }]);
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it.each([
    ["refuses the replacement of a history", "00000002.history", 1, "putStream"],
    ["does not give its copy of a segment in conflict", walName(3), 0, "read"],
  ] as const)("heals the others, and the rest, when one repository %s", async (_case, name, storage, method) => {
    const three = [...repos, repository(3)];
    await stanzaCreate(three.slice(2), CONTROL, ctx);
    const [good, bad] = name.endsWith(".history")
      ? [Buffer.from("1\t0/1\tx\n"), Buffer.from("cut")]
      : [walBytes(3), changed(3)];
    for (const [repo, bytes] of [
      [three[0], good],
      [three[1], name.endsWith(".history") ? bad : good],
      [three[2], name.endsWith(".history") ? good : bad],
    ] as const)
      await store(repo as Repository, [name, bytes]);
    await store(repos[0], 1);
    for (const key of [2, 3]) missingWal.add(key, walName(1), CLUSTER);
    storages[storage].plan(method, { kind: "error", error: SILENT }, { path: new RegExp(name) });
    const results = await heal(three, { missingWal, cluster: CLUSTER, local: localWal() }, ctx);
    storages[storage].verifyAllFaultsExercised();
    expect(results.map((result) => result.ok && result.value.copied)).toEqual([0, 1, 1]);
    expect(results[1]).toMatchObject({
      value: { unhealed: [expect.stringMatching(new RegExp(`^${name}: (.*; undecided: repo1: )?no answer$`))] },
    });
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it("stops on request, and loses nothing", async () => {
    await store(repos[0], 1);
    missingWal.add(2, walName(1), CLUSTER);
    ctx.abort();
    expect((await run())[1]).toMatchObject({ ok: false, error: { kind: "term" } });
    expect(missingWal.list(2)).toEqual([walName(1)]);
  });

  it("ends with the same result however often it is interrupted", async () => {
    await store(repos[0], 1, 2, 3);
    await needFrom(repos[1], 1);
    missingWal.add(2, walName(2), CLUSTER);
    for (let writes = 0; writes <= 3; writes++) {
      const memory = new MemoryStorage();
      const base = repository(2, { storage: memory, pass: "second" });
      await stanzaCreate([base], CONTROL, ctx);
      await needFrom(base, 1);
      missingWal.add(2, walName(2), CLUSTER);
      const cut = { ...base, storage: new FaultyStorage(memory).crashAfter(writes) };
      await heal([repos[0], cut], { missingWal, cluster: CLUSTER, local: emptyWal() }, ctx);
      const held = await readable(base);
      // Transfers run concurrently. All allowed ones arrive, and missing WAL stays recorded.
      expect(held.length).toBeGreaterThanOrEqual(writes);
      expect([...held, ...missingWal.list(2)]).toContain(walName(2));
      await heal([repos[0], base], { missingWal, cluster: CLUSTER, local: emptyWal() }, ctx);
      expect(await readable(base)).toEqual([1, 2, 3].map((no) => walName(no)));
      expect(missingWal.list(2)).toEqual([]);
    }
  });
});

describe("missing WAL of an earlier cluster", () => {
  const next = { version: "16", systemId: 99n };

  it("is kept apart from the same names of the current one, and copied from the other repository's former archive", async () => {
    await store(repos[0], 1);
    missingWal.add(2, walName(1), CLUSTER);
    missingWal.add(2, walName(1), next);
    expect(missingWal.list(2)).toEqual([walName(1), walName(1)]);
    expect(missingWal.list(2, next)).toEqual([walName(1)]);
    // The repositories belong to the current cluster and do not know the other one, so they need none of its WAL.
    const [, answer] = await run();
    expect(answer).toMatchObject({ ok: true, value: { copied: 1, settled: 1, unhealed: [] } });
    expect(missingWal.list(2)).toEqual([]);
    expect(await readable(repos[1])).toEqual([walName(1)]);
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: "repo2: stopped looking for 1 missing WAL file(s) of version 16, system-id 99: the repository does not know this cluster, so none of its backups needs them",
    });
  });

  it("stays recorded while the repository is not the present cluster's, or the record names no cluster", async () => {
    const parts = { missingWal, local: null, claims: null };
    for (const cluster of [CLUSTER, UNKNOWN_CLUSTER]) missingWal.add(2, walName(1), cluster);
    const of = { former: UNKNOWN_CLUSTER, present: CLUSTER };
    expect(await copyFormerWal(repos[1], repos, of, parts, ctx)).toMatchObject({
      settled: 0,
      unhealed: [`${walName(1)}: its record names no cluster`],
    });
    const foreign = { former: { version: "14", systemId: 7n }, present: next };
    missingWal.add(2, walName(1), foreign.former);
    await expect(copyFormerWal(repos[1], repos, foreign, parts, ctx)).rejects.toMatchObject({
      kind: "archiveMismatch",
    });
    expect(missingWal.list(2)).toHaveLength(3);
  });
});

describe("copyMissingWal", () => {
  it("copies one repository's missing WAL without listing archives, and skips another writer's files", async () => {
    await store(repos[0], 1, 2, 3);
    for (const no of [1, 2, 3, 4]) missingWal.add(2, walName(no), CLUSTER);
    ready = [walName(3)];
    const taken = new Set([walName(2)]);
    const claims = { claim: (_: number, name: string) => !taken.has(name), release: () => {} };
    const idle = emptyWal({ listReady: async () => ready });
    const before = storages[0].calls("list").length;
    const healed = await copyMissingWal(repos[1], repos, CLUSTER, { missingWal, local: idle, claims }, ctx);
    expect(healed).toEqual({
      copied: 1,
      settled: 0,
      unhealed: [`${walName(4)}: neither a repository nor pg_wal has it`],
    });
    expect(missingWal.list(2)).toEqual([walName(2), walName(3), walName(4)]);
    expect(await readable(repos[1])).toEqual([walName(1)]);
    // One lookup per requested segment.
    expect(storages[0].calls("list").length - before).toBe(2);
  });

  it("follows two repositories that changed their keys: the one that lacks the file gets it", async () => {
    const [first, second] = repos;
    await store(second, 1);
    // Until now `second` was repo1, and what is repo2 now had the file.
    missingWal.add(2, walName(1), CLUSTER, sha1Hex(walBytes(1)));
    const parts = { missingWal, local: null, claims: null };
    expect(await copyMissingWal(second, repos, CLUSTER, parts, ctx)).toMatchObject({ copied: 0, settled: 1 });
    expect([missingWal.list(1), missingWal.list(2)]).toEqual([[walName(1)], []]);
    expect(await copyMissingWal(first, repos, CLUSTER, parts, ctx)).toMatchObject({ copied: 1, unhealed: [] });
    expect(await readable(first)).toEqual([walName(1)]);
    expect(missingWal.repoIndexes()).toEqual([]);
  });

  it.each([
    ["the listing lacks the file of the one that has it", 1, "list", { kind: "lie" }, []],
    ["the one that has the file does not answer", 1, "read", { kind: "error", error: SILENT }, [1]],
    ["the one that lacks the file does not answer", 0, "list", { kind: "error", error: SILENT }, []],
  ] as const)("follows them also when %s", async (_, storage, method, fault, kept) => {
    const [, second] = repos;
    await store(second, 1);
    missingWal.add(2, walName(1), CLUSTER, sha1Hex(walBytes(1)));
    storages[storage].plan(method, fault, { path: /00000001/ });
    local.set(walName(1), walBytes(1));
    const parts = { missingWal, local: localWal(), claims: null };
    await copyMissingWal(second, repos, CLUSTER, parts, ctx);
    expect([missingWal.list(1), missingWal.list(2)]).toEqual([[walName(1)], kept.map((no) => walName(no))]);
  });

  it("names the repository that did not answer", async () => {
    missingWal.add(2, walName(1), CLUSTER);
    storages[0].breakDown(fail("hostConnect", "unreachable", { retryable: true }));
    const healed = await copyMissingWal(repos[1], repos, CLUSTER, { missingWal, local: null, claims: null }, ctx);
    expect(healed.unhealed).toEqual([
      expect.stringMatching(new RegExp(`^${walName(1)}: repo1: unable to load info file`)),
    ]);
  });
});
