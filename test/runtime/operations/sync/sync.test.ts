// claim: docs/security.md: a bucket with versions…
import { describe, expect, it } from "vitest";
import type { Context } from "../../../../runtime/base/context";
import { sha1Hex } from "../../../../runtime/base/hash";
import { fail } from "../../../../runtime/base/errors";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { sync as syncWith, type SyncOptions, type SyncOutcome } from "../../../../runtime/operations/sync/sync";
import { verify } from "../../../../runtime/operations/verify/verify";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import type { StreamChunk } from "../../../../runtime/format/wal/streamChunk";
import { copyOf, manifestPath, tombstonePath } from "../../../../runtime/format/repository/repoPath";
import { loadManifestFile } from "../../../../runtime/repository/backupStore";
import { leaveTombstone } from "../../../../runtime/repository/expireStore";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import { listChunks, putChunk, readChunk } from "../../../../runtime/repository/streamStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { FaultyStorage } from "../../../harness/network/faults";
import { KEEP_ALL, MADE_WAL_SIZE_BYTES, type MadeStanza, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, walBytes, walName } from "../../repository/support";
import { readable, store } from "../archive";

const ALL: SyncOptions = {
  scope: { kind: "all", retention: KEEP_ALL },
  dryRun: false,
  headerCheck: false,
  lease: testLease(),
};
const PLAIN = { archiveId: "15-1", pass: null };
const SHA1 = `-${"0".repeat(40)}`;
const FULL = "20260101-000000F";
const DIFF = "20260101-000000F_20260102-000000D";
const STANZA: MadeStanza = {
  versions: ["15"],
  backups: [
    { label: FULL, wal: [walName(3), walName(3)] },
    { label: DIFF, wal: [walName(4), walName(4)] },
  ],
  wal: { "15-1": [...[1, 2, 3, 4, 5].map((no) => walName(no)), "00000002.history"] },
};

function sync(from: Repository, to: Repository, options: SyncOptions, ctx: Context): Promise<SyncOutcome> {
  const repos = new Map([from, to].map((repo) => [repo.key, repo]));
  return syncWith(from, to, inlinePool(repos, ctx, 2), options, ctx);
}

async function source(): Promise<Repository> {
  const repo = repository(1);
  await makeStanza(repo, STANZA);
  return repo;
}

const target = (storage = new MemoryStorage()): Repository =>
  repository(2, { storage, pass: "second", compress: { type: "gz", level: 6 } });

async function problemsOf(repo: Repository): Promise<readonly string[]> {
  const verdict = await verify(
    repo,
    inlinePool(new Map([[repo.key, repo]]), testContext(), 2),
    MADE_WAL_SIZE_BYTES,
    testContext(),
  );
  // The test's segments are empty, so their size is invalid.
  return verdict.problems.filter((line) => !line.startsWith("invalid size 'archive/"));
}

it("copies everything that is missing, from the oldest backup's WAL on, and only once", async () => {
  const [from, to] = [await source(), target()];
  expect(await sync(from, to, ALL, testContext())).toEqual({
    labels: [FULL, DIFF],
    walCount: 4,
    chunkCount: 0,
    problems: [],
  });
  expect((await loadBackupInfo(to)).backups.map(({ label, prior }) => [label, prior])).toEqual([
    [FULL, undefined],
    [DIFF, FULL],
  ]);
  expect(await problemsOf(to)).toEqual([]);
  expect(await sync(from, to, ALL, testContext())).toEqual({ labels: [], walCount: 0, chunkCount: 0, problems: [] });
});

it("copies streamed WAL that no archive has, with the target's key, and only once", async () => {
  const [from, to] = [await source(), target()];
  const { history } = await loadArchiveInfo(from);
  const origin = { systemId: history[0]?.systemId ?? 0n, segmentSizeBytes: MADE_WAL_SIZE_BYTES };
  const put = async (no: number, [begin, end]: readonly [number, number], fill: number): Promise<StreamChunk> => {
    const chunk = { segment: walName(no), session: "00000000000a", begin, end };
    await putChunk(from, PLAIN, chunk, [Buffer.alloc(end - begin, fill)], origin, testContext());
    return chunk;
  };
  // Before the first backup, archived, and two pieces of the segment that its server never ended.
  await put(2, [0, 10], 2);
  await put(5, [0, 10], 5);
  const wanted = [await put(6, [0, 100], 6), await put(6, [100, 150], 7)];
  const dryRun = await sync(from, to, { ...ALL, dryRun: true }, testContext());
  expect([dryRun.chunkCount, await listChunks(to, "15-1")]).toEqual([2, []]);
  expect(await sync(from, to, ALL, testContext())).toMatchObject({ chunkCount: 2, problems: [] });
  expect((await listChunks(to, "15-1")).sort((left, right) => left.begin - right.begin)).toEqual(wanted);
  const pass = (await loadArchiveInfo(to)).cipherPass ?? null;
  expect(pass).not.toBeNull();
  const wal = await Promise.all(wanted.map((chunk) => readChunk(to, { archiveId: "15-1", pass }, chunk, origin)));
  expect(Buffer.concat(wal)).toEqual(Buffer.concat([Buffer.alloc(100, 6), Buffer.alloc(50, 7)]));
  expect(await sync(from, to, ALL, testContext())).toMatchObject({ chunkCount: 0, problems: [] });
});

it("copies no segment or streamed start of one whose header is not the cluster's at that position", async () => {
  const [from, to] = [repository(1), target()];
  await makeStanza(from, { ...STANZA, wal: {} });
  const [row] = (await loadArchiveInfo(from)).history;
  const systemId = row?.systemId ?? 0n;
  await store(
    from,
    [walName(3), walBytes(3, systemId)],
    [walName(4), walBytes(5, systemId)],
    [walName(5), walBytes(5)],
  );
  for (const [session, wal] of [
    ["00000000000a", walBytes(6, systemId)],
    ["00000000000b", walBytes(7, systemId)],
  ] as const)
    await putChunk(
      from,
      PLAIN,
      { segment: walName(6), session, begin: 0, end: 1000 },
      [wal.subarray(0, 1000)],
      { systemId, segmentSizeBytes: MADE_WAL_SIZE_BYTES },
      testContext(),
    );
  const { chunkCount, problems, walCount } = await sync(from, to, { ...ALL, headerCheck: true }, testContext());
  expect([walCount, chunkCount]).toEqual([1, 1]);
  expect(problems).toEqual([
    expect.stringContaining(
      `WAL 15-1/${walName(4)}: the content of ${walName(4)} is of timeline 1 and position 0/500000`,
    ),
    expect.stringContaining(`WAL 15-1/${walName(5)}: WAL file '${walName(5)}' version 15, system-id`),
    expect.stringContaining("position 0/700000"),
    expect.stringContaining(`not copied, it cannot become consistent without WAL ${walName(4)}`),
  ]);
});

it("reports a damaged piece of streamed WAL, and copies the others", async () => {
  const [from, to] = [await source(), target()];
  const origin = { systemId: 1n, segmentSizeBytes: MADE_WAL_SIZE_BYTES };
  const foreign = { segment: walName(6), session: "00000000000a", begin: 0, end: 10 };
  await putChunk(from, PLAIN, foreign, [Buffer.alloc(10)], origin, testContext());
  const { history } = await loadArchiveInfo(from);
  const own = { ...origin, systemId: history[0]?.systemId ?? 0n };
  await putChunk(from, PLAIN, { ...foreign, session: "00000000000b" }, [Buffer.alloc(10)], own, testContext());
  const { chunkCount, problems } = await sync(from, to, ALL, testContext());
  expect([chunkCount, problems]).toEqual([1, [expect.stringContaining("belongs to another cluster")]]);
});

it("copies one backup with its dependencies", async () => {
  const [from, to] = [await source(), target()];
  expect((await sync(from, to, { ...ALL, scope: { kind: "set", label: FULL } }, testContext())).labels).toEqual([FULL]);
  expect((await sync(from, to, { ...ALL, scope: { kind: "latest" } }, testContext())).labels).toEqual([DIFF]);
  const unknown = sync(from, to, { ...ALL, scope: { kind: "set", label: "20270101-000000F" } }, testContext());
  await expect(unknown).rejects.toMatchObject({ kind: "backupSetInvalid" });
});

// claim: README.md: `sync` copies no backup that the next `expire` of the target would remove, except by its label
it("copies everything that the target's retention keeps, and other backups only by their label", async () => {
  const [from, to] = [repository(1), target()];
  const newest = "20260201-000000F";
  await makeStanza(from, { ...STANZA, backups: [...STANZA.backups, { label: newest, wal: [walName(5), walName(5)] }] });
  const scope = { kind: "all", retention: { ...KEEP_ALL, full: 1 } } as const;
  const ctx = testContext();
  expect(await sync(from, to, { ...ALL, scope }, ctx)).toMatchObject({ labels: [newest], walCount: 2, problems: [] });
  expect(ctx.lines).toContainEqual({
    level: "info",
    text: `repo2: not copied, because the next expire would remove them: ${FULL}, ${DIFF}`,
  });
  expect((await sync(from, to, { ...ALL, scope: { kind: "set", label: FULL } }, ctx)).labels).toEqual([FULL]);
  expect(await sync(from, to, { ...ALL, scope }, ctx)).toMatchObject({ labels: [], problems: [] });
});

it("copies nothing for a day where another host's files were removed: that host may wake and write there", async () => {
  const [from, to] = [await source(), target()];
  await leaveTombstone(to, FULL);
  const endMs = ((await to.storage.stat(tombstonePath(to.stanza, FULL)))?.modifiedAtMs ?? 0) + 24 * 60 * 60 * 1000;
  const copyAt = (nowMs: number): Promise<SyncOutcome> =>
    sync(from, to, { ...ALL, scope: { kind: "set", label: FULL } }, testContext({ startedAtMs: nowMs }));
  const { labels, problems } = await copyAt(endMs - 1);
  expect(labels).toEqual([]);
  expect(problems).toEqual([
    `backup ${FULL}: [LockAcquireError] what another host began with this label was removed from repo2\n` +
      `HINT: That host may be asleep and write there again: sync can copy the backup after ${new Date(endMs).toISOString()}.`,
  ]);
  expect((await copyAt(endMs)).labels).toEqual([FULL]);
});

it("keeps the target's own backup of the same label, and copies those that build on the other one", async () => {
  const [from, to] = [repository(1), repository(2)];
  const incr = `${FULL}_20260103-000000I`;
  await makeStanza(from, { ...STANZA, backups: [...STANZA.backups, { label: incr, prior: DIFF, wal: null }] });
  await makeStanza(to, STANZA);
  const own = await loadBackupInfo(to);
  const backups = own.backups.map((entry) => (entry.label === DIFF ? { ...entry, lsnStart: "0/5000028" } : entry));
  await saveBackupInfo(to, { ...own, backups }, testContext());
  const ctx = testContext();
  expect(await sync(from, to, ALL, ctx)).toMatchObject({ labels: [incr], problems: [] });
  expect(ctx.lines).toContainEqual({
    level: "warn",
    text: `backup ${DIFF} of repo1 is not copied: repo2 holds another backup with this label`,
  });
  expect(await problemsOf(to)).toEqual([]);
  const named = sync(from, to, { ...ALL, scope: { kind: "set", label: DIFF } }, ctx);
  await expect(named).rejects.toMatchObject({ kind: "fileInvalid" });
});

it("keeps the passphrase of a copy that another host began: that host may wake and write a file once more", async () => {
  const [from, memory] = [await source(), new MemoryStorage()];
  const storage = new FaultyStorage(memory).plan(
    "putStream",
    { kind: "error", error: fail("access", "permission denied") },
    { path: /PG_VERSION/ },
  );
  const by = (domain: string): SyncOptions => ({ ...ALL, lease: testLease({ domain }) });
  expect((await sync(from, { ...target(), storage }, by("host1"), testContext())).labels).toEqual([]);
  const to = target(memory);
  const { cipherPass: infoPass = null } = await loadBackupInfo(to);
  const path = manifestPath(to.stanza, FULL);
  const begun = await loadManifestFile(to, copyOf(path), infoPass);
  expect(begun.cipherPass).toMatch(/./);
  expect((await sync(from, to, by("host2"), testContext({ seed: 2 }))).problems).toEqual([]);
  expect((await loadManifestFile(to, path, infoPass)).cipherPass).toBe(begun.cipherPass);
});

// claim: README.md: an interrupted `sync` leaves only complete backups
it("leaves after a crash anywhere only complete backups with their WAL, and the next run finishes", async () => {
  const from = await source();
  let crashes = 0;
  for (let writes = 0; ; writes++) {
    const memory = new MemoryStorage();
    const storage = new FaultyStorage(memory).crashAfter(writes);
    await sync(from, { ...target(), storage }, ALL, testContext()).catch(() => undefined);
    if (!storage.crashed) break;
    crashes++;
    const left = target(memory);
    if (memory.paths().some((path) => path.startsWith("backup/demo/backup.info")))
      expect(await problemsOf(left)).toEqual([]);
    expect((await sync(from, left, ALL, testContext())).problems).toEqual([]);
    expect((await loadBackupInfo(left)).backups).toHaveLength(2);
    expect(await problemsOf(left)).toEqual([]);
  }
  expect(crashes).toBeGreaterThan(15);
});

it("does not copy damaged bytes, nor backups that build on them", async () => {
  const [from, to] = [await source(), target()];
  await from.storage.put(`backup/demo/${FULL}/pg_data/PG_VERSION`, Buffer.from("16\n"));
  const { labels, problems } = await sync(from, to, ALL, testContext());
  expect(labels).toEqual([]);
  expect(problems).toEqual([
    expect.stringContaining(`backup ${FULL}: [ChecksumError] 'pg_data/PG_VERSION' of repo1 has checksum`),
    `backup ${DIFF}: [BackupSetInvalidError] repo2 lacks ${FULL}, the prior backup of ${DIFF}`,
  ]);
  expect((await loadBackupInfo(to)).backups).toEqual([]);
});

it("does not mix clusters, nor WAL of the same name with other content", async () => {
  const [from, to] = [await source(), target()];
  await makeStanza(to, { versions: ["14"], backups: [], wal: {} });
  await expect(sync(from, to, ALL, testContext())).rejects.toMatchObject({ kind: "fileInvalid" });
  const other = repository(3);
  await makeStanza(other, { ...STANZA, backups: [], wal: {} });
  await other.storage.put(
    `archive/demo/15-1/${walName(4).slice(0, 16)}/${walName(4)}-${"0".repeat(40)}`,
    new Uint8Array(0),
  );
  const { problems } = await sync(from, other, ALL, testContext());
  expect(problems).toEqual([
    `WAL 15-1/${walName(4)} has different content in repo1 and repo3`,
    `backup ${DIFF}: not copied, it cannot become consistent without WAL ${walName(4)}`,
  ]);
});

it.each([
  ["before", true],
  ["after", false],
])("counts no segment as copied if a server archives other content just %s the write", async (_when, isBefore) => {
  const other = walName(4);
  class Shared extends MemoryStorage {
    override async putStream(...asked: Parameters<MemoryStorage["putStream"]>): Promise<void> {
      const archive = async (): Promise<void> => {
        if (asked[0].includes(`${other}-`)) await super.put(asked[0].replace(/-[0-9a-f]{40}/, SHA1), Buffer.alloc(100));
      };
      if (isBefore) await archive();
      await super.putStream(...asked);
      if (!isBefore) await archive();
    }
  }
  const [from, to] = [await source(), target(new Shared())];
  const { labels, problems, walCount } = await sync(from, to, ALL, testContext());
  expect(problems[0]).toMatch(new RegExp(`^WAL 15-1/${other}: duplicates found in archive for WAL segment ${other}: `));
  expect({ labels, walCount }).toEqual({ labels: [FULL], walCount: 3 });
  const again = await sync(from, to, ALL, testContext());
  expect(again.problems[0]).toBe(`WAL 15-1/${other} has different content in repo1 and repo2`);
});

it("replaces damaged WAL that a copied backup needs, and reads no other", async () => {
  const [from, memory] = [await source(), new MemoryStorage()];
  const storage = new FaultyStorage(memory);
  const to = repository(3, { storage });
  await makeStanza(to, { ...STANZA, backups: [] });
  const pathTo = (no: number): string =>
    `archive/demo/15-1/${walName(no).slice(0, 16)}/${walName(no)}-${sha1Hex(Buffer.alloc(64))}`;
  for (const no of [3, 5]) await memory.put(pathTo(no), Buffer.alloc(64, 1));
  const before = storage.calls("read").length;
  expect(await sync(from, to, ALL, testContext())).toMatchObject({ labels: [FULL, DIFF], walCount: 1, problems: [] });
  const read = storage.calls("read").slice(before);
  expect(read.filter((path) => path.includes("/15-1/")).sort()).toEqual([3, 3, 4].map(pathTo));
  expect(await readable(to)).toEqual([1, 2, 3, 4].map((no) => walName(no)).concat("00000002.history"));
});

it("copies no history that does not fit its name", async () => {
  const from = repository(1);
  await makeStanza(from, { ...STANZA, wal: { "15-1": [...(STANZA.wal["15-1"] ?? []), "00000002.history"] } });
  await from.storage.put("archive/demo/15-1/00000002.history", Buffer.from("4\t0/5000000\tno target\n"));
  const { problems } = await sync(from, target(), ALL, testContext());
  expect(problems).toEqual(["WAL 15-1/00000002.history: it names timeline 4 as an ancestor of 2"]);
});

it("lists no backup whose WAL did not arrive", async () => {
  const [from, memory] = [await source(), new MemoryStorage()];
  const storage = new FaultyStorage(memory).plan(
    "putStream",
    { kind: "error", error: fail("access", "permission denied") },
    { path: /0003-/ },
  );
  const { labels, problems } = await sync(from, { ...target(), storage }, ALL, testContext());
  expect(labels).toEqual([]);
  expect(problems).toEqual([
    `WAL 15-1/${walName(3)}: permission denied`,
    `backup ${FULL}: not copied, it cannot become consistent without WAL ${walName(3)}`,
    `backup ${DIFF}: [BackupSetInvalidError] repo2 lacks ${FULL}, the prior backup of ${DIFF}`,
  ]);
  expect((await sync(from, target(memory), ALL, testContext())).labels).toEqual([FULL, DIFF]);
});

// claim: docs/internals/concurrency.md: `sync` lists no backup whose WAL neither repository has
describe("a backup whose WAL the source has lost", () => {
  const MIB_16 = 0x100_0000;
  const LONG: MadeStanza = {
    ...STANZA,
    backups: [{ label: FULL, wal: [walName(3), walName(5)] }],
    wal: { "15-1": [3, 4, 5, 6].map((no) => walName(no)) },
  };
  const pathTo = (no: number): string =>
    `archive/demo/15-1/${walName(no).slice(0, 16)}/${walName(no)}-${sha1Hex(Buffer.alloc(64))}`;

  async function long(entry: Partial<BackupInfoEntry> = {}): Promise<[Repository, MemoryStorage]> {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await makeStanza(repo, LONG);
    const info = await loadBackupInfo(repo);
    const own = { lsnStart: formatLsn(3n * BigInt(MIB_16) + 0x28n), optionArchiveCheck: true, ...entry };
    await saveBackupInfo(repo, { ...info, backups: info.backups.map((row) => ({ ...row, ...own })) }, testContext());
    return [repo, storage];
  }

  it.each([3, 4, 5])("is not copied without segment %i of 3 to 5, also in a dry run", async (no) => {
    const [from, storage] = await long();
    await storage.remove(pathTo(no));
    const problems = [`backup ${FULL}: not copied, it cannot become consistent without WAL ${walName(no)}`];
    for (const dryRun of [true, false])
      expect(await sync(from, target(), { ...ALL, dryRun }, testContext())).toMatchObject({ labels: [], problems });
  });

  it("is copied when the target has the segment, whole", async () => {
    const [from, storage] = await long();
    await storage.remove(pathTo(4));
    const memory = new MemoryStorage();
    const to = repository(3, { storage: memory });
    await makeStanza(to, { ...LONG, backups: [] });
    const [held = new Uint8Array()] = [memory.files.get(pathTo(4))?.bytes];
    await memory.put(pathTo(4), Buffer.alloc(64, 1));
    expect((await sync(from, to, ALL, testContext())).labels).toEqual([]);
    await memory.put(pathTo(4), held);
    expect(await sync(from, to, ALL, testContext())).toMatchObject({ labels: [FULL], problems: [] });
  });

  it("is copied when only a listing did not show the segment", async () => {
    const [from, storage] = await long();
    const hiding = new FaultyStorage(storage);
    const list = hiding.list.bind(hiding);
    hiding.list = async function* (path, options) {
      for await (const entry of list(path, options))
        if (options?.recursive !== true || entry.path !== pathTo(4)) yield entry;
    };
    const outcome = await sync({ ...from, storage: hiding }, target(), ALL, testContext());
    expect(outcome).toMatchObject({ labels: [FULL], walCount: 4, problems: [] });
  });

  it.each<Partial<BackupInfoEntry>>([{ optionArchiveCheck: false }, { optionArchiveCopy: true }])(
    "is copied with %o",
    async (options) => {
      const [from, storage] = await long(options);
      await storage.remove(pathTo(4));
      expect(await sync(from, target(), ALL, testContext())).toMatchObject({ labels: [FULL], problems: [] });
    },
  );
});

it("lists no backup whose directory was removed during the copy", async () => {
  const [from, memory] = [await source(), new MemoryStorage()];
  const to = target(memory);
  const ctx = testContext();
  const pool = inlinePool(new Map([from, to].map((repo) => [repo.key, repo])), ctx, 2);
  const watched: typeof pool = {
    ...pool,
    run: async (job) => {
      const result = await pool.run(job);
      if (job.kind === "syncFiles") await memory.removePath(`backup/demo/${FULL}`);
      return result;
    },
  };
  const { labels, problems } = await syncWith(from, to, watched, ALL, ctx);
  expect(labels).toEqual([]);
  expect(problems[0]).toContain(`backup ${FULL}: [LockAcquireError]`);
  expect((await loadBackupInfo(to)).backups).toEqual([]);
  expect(await problemsOf(to)).toEqual([]);
});
