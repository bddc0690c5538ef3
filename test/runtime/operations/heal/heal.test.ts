import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { sha1Hex } from "../../../../runtime/base/hash";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { type DebtStore, openDebt } from "../../../../runtime/local/debt";
import { heal, payDebts } from "../../../../runtime/operations/heal/heal";
import { readNamed } from "../../../../runtime/operations/shared/namedWal";
import { WalPreparer } from "../../../../runtime/operations/archivePush/prepareWal";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { listWal } from "../../../../runtime/repository/walStore";
import { PosixStorage } from "../../../../runtime/storage/posix";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/faults";
import { MemoryStorage } from "../../../harness/storages";
import { vectorText } from "../../format/vectors";
import { CLUSTER, CONTROL, repository, temporaryFolder, walBytes, walName } from "../../repository/support";
import { labelText, pathOf, readable, store } from "../archive";

let ctx: TestContext;
let debt: DebtStore;
let local: Map<string, Uint8Array>;
let walDirectory: string;
let ready: string[];
let storages: [FaultyStorage, FaultyStorage];
let repos: [Repository, Repository];
const [BACKUP] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;

beforeEach(async () => {
  ctx = testContext();
  debt = openDebt(join(temporaryFolder(), "spool"), "demo");
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

const run = (): ReturnType<typeof heal> =>
  heal(
    repos,
    debt,
    CLUSTER,
    {
      prepare: async (name) => {
        const bytes = local.get(name);
        if (bytes === undefined) return null;
        writeFileSync(join(walDirectory, name), bytes);
        return new WalPreparer({ walDirectory, headerCheck: true }, CLUSTER).prepare(name);
      },
      listReady: async () => ready,
    },
    ctx,
  );

/** Gives a repository a backup that needs WAL from segment `no` on. */
async function needFrom(repo: Repository, no: number): Promise<void> {
  const info = await loadBackupInfo(repo);
  if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
  await saveBackupInfo(repo, { ...info, backups: [{ ...BACKUP, archiveStart: walName(no), archiveStop: walName(no) }] }, ctx);
}

/** What is wrong with files whose names carry no checksum. */
async function verifyNames(repo: Repository): Promise<(string | null)[]> {
  const pass = (await loadArchiveInfo(repo)).cipherPass ?? null;
  const problems: (string | null)[] = [];
  for await (const stored of listWal(repo, "15-1")) if (stored.sha1 === null) problems.push((await readNamed(repo, "15-1", stored, pass)).problem);
  return problems.filter((problem) => problem !== null);
}

describe("heal", () => {
  it("pays a debt from pg_wal", async () => {
    debt.add(2, walName(1), CLUSTER);
    local.set(walName(1), walBytes(1));
    expect(await run()).toMatchObject([
      { ok: true, value: { copied: 0, settled: 0, unhealed: [] } },
      { ok: true, value: { copied: 1, settled: 0, unhealed: [] } },
    ]);
    expect(await readable(repos[1])).toEqual([walName(1)]);
    expect(await pathOf(repos[1], 1)).toMatch(/\.zst$/);
    expect(debt.repoKeys()).toEqual([]);
  });

  it("pays a debt from another repository, compressed and encrypted anew, when pg_wal has it no longer", async () => {
    await store(repos[0], 1, 2);
    for (const no of [1, 2]) debt.add(2, walName(no), CLUSTER);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 2 } });
    expect(await readable(repos[1])).toEqual([walName(1), walName(2)]);
    expect(debt.list(2)).toEqual([]);
    // And the other way round, from the encrypted one.
    await store(repos[1], 3);
    debt.add(1, walName(3), CLUSTER);
    expect((await run())[0]).toMatchObject({ ok: true, value: { copied: 1 } });
    expect(await readable(repos[0])).toEqual([walName(1), walName(2), walName(3)]);
    expect(await pathOf(repos[0], 3)).toMatch(/\.gz$/);
  });

  it("settles a debt that was paid already, without a write", async () => {
    await store(repos[1], 1);
    debt.add(2, walName(1), CLUSTER);
    const before = storages[1].writeCount;
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 1 } });
    expect(storages[1].writeCount).toBe(before);
    expect(debt.list(2)).toEqual([]);
  });

  it("copies what others have from its own oldest backup on, and no older", async () => {
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
    expect(await readable(repos[1])).toEqual([walName(2), walName(3), `${walName(3)}.00000028.backup`, "00000002.history"].sort());
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 0, unhealed: [] } });
  });

  it("replaces a damaged history or label by one that reads well, PostgreSQL's own first, and says where nobody can tell", async () => {
    const history = Buffer.from("1\t0/1\tx\n");
    const label = `${walName(1)}.00000028.backup`;
    await store(repos[0], ["00000002.history", history], [label, Buffer.from("LABEL: cut")], ["00000003.history", Buffer.from("1\t0/1\ta\n")]);
    await store(repos[1], ["00000002.history", Buffer.from("1\t0/1\tx\n\0")], [label, Buffer.from(labelText(walName(1)))]);
    await store(repos[1], ["00000003.history", Buffer.from("2\t0/1\tb\n")]);
    expect(await run()).toMatchObject([
      { ok: true, value: { copied: 1, unhealed: ["00000003.history: other repositories hold other content, and each may be right"] } },
      { ok: true, value: { copied: 1, unhealed: ["00000003.history: other repositories hold other content, and each may be right"] } },
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

  it("leaves alone what PostgreSQL has not been told is safe: archive-push may be writing it", async () => {
    await store(repos[0], 1, 2, 3);
    await needFrom(repos[1], 1);
    debt.add(2, walName(2), CLUSTER);
    ready = [walName(2), walName(3)];
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 1, settled: 0, unhealed: [] } });
    expect(await readable(repos[1])).toEqual([walName(1)]);
    expect(debt.list(2)).toEqual([walName(2)]);
    ready = [];
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 2 } });
  });

  it("fetches nothing for a repository without backups", async () => {
    await store(repos[0], 1, 2);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0 } });
  });

  it("says what nobody has any more, and keeps the debt", async () => {
    debt.add(2, walName(1), CLUSTER);
    debt.add(2, walName(2), CLUSTER);
    await store(repos[0], 2);
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { copied: 1, unhealed: [`${walName(1)}: no repository and no pg_wal holds it`] },
    });
    expect(debt.list(2)).toEqual([walName(1)]);
    expect(ctx.lines).toContainEqual({ level: "warn", text: `repo2: cannot heal ${walName(1)}: no repository and no pg_wal holds it` });
  });

  it("lets go of a debt that is nowhere any more once a newer backup does without it, when every repository has answered", async () => {
    debt.add(2, walName(1), CLUSTER);
    debt.add(2, walName(3), CLUSTER);
    await needFrom(repos[1], 1);
    expect((await run())[1]).toMatchObject({ ok: true, value: { settled: 0, unhealed: [expect.any(String), expect.any(String)] } });
    await needFrom(repos[1], 3);
    storages[0].breakDown(fail("hostConnect", "unreachable"));
    expect((await run())[1]).toMatchObject({ ok: true, value: { settled: 0, unhealed: [expect.any(String), expect.any(String)] } });
    storages[0].repair();
    const some = await heal([repos[1]], debt, CLUSTER, { prepare: async () => null, listReady: async () => [] }, ctx, false);
    expect(some[0]).toMatchObject({ ok: true, value: { settled: 0 } });
    expect((await run())[1]).toMatchObject({
      ok: true,
      value: { copied: 0, settled: 1, unhealed: [`${walName(3)}: no repository and no pg_wal holds it`] },
    });
    expect(debt.list(2)).toEqual([walName(3)]);
    const why = "no repository has it any more, and a newer backup does without it; recovery from older ones ends before it";
    expect(ctx.lines).toContainEqual({ level: "warn", text: `repo2: ${walName(1)} is owed no longer: ${why}` });
    await needFrom(repos[1], 4);
    const parts = { debt, local: null, claims: null };
    expect(await payDebts(repos[1], repos, CLUSTER, parts, ctx)).toMatchObject({ settled: 1, unhealed: [] });
    expect(debt.list(2)).toEqual([]);
  });

  it("never stores what is not the segment: a damaged copy, a foreign file in pg_wal", async () => {
    await store(repos[0], 1, 2);
    const memory = storages[0];
    await memory.put(await pathOf(repos[0], 1), Buffer.from("damaged"));
    local.set(walName(2), walBytes(77));
    for (const no of [1, 2]) debt.add(2, walName(no), CLUSTER);
    const [, answer] = await run();
    expect(answer).toMatchObject({ ok: true, value: { copied: 1, unhealed: [expect.stringMatching(new RegExp(`^${walName(1)}: repo1: `))] } });
    expect(await readable(repos[1])).toEqual([walName(2)]);
    expect(sha1Hex(walBytes(2))).toBe((await pathOf(repos[1], 2)).slice(-44, -4));
    expect(debt.list(2)).toEqual([walName(1)]);
  });

  it("keeps the debt of what could not be written, and pays the rest", async () => {
    await store(repos[0], 1, 2);
    for (const no of [1, 2]) debt.add(2, walName(no), CLUSTER);
    storages[1].plan("putStream", { kind: "error", error: fail("fileWrite", "no space left") }, { path: new RegExp(walName(1)) });
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 1, unhealed: [`${walName(1)}: repo1: no space left`] } });
    expect(debt.list(2)).toEqual([walName(1)]);
    storages[1].verifyAllFaultsExercised();
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 1, unhealed: [] } });
  });

  it("keeps the debt of what it has written when the mount of the repository went away meanwhile", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({ root: join(temporaryFolder(), "mount"), syncDirectories: true, symlinks: true, signal: ctx.signal }),
    );
    repos = [repos[0], repository(2, { storage: mounted })];
    await stanzaCreate([repos[1]], CONTROL, ctx);
    await store(repos[0], 5);
    debt.add(2, walName(5), CLUSTER);
    // archive.info and its copy, when they are asked for behind the write.
    mounted.plan("stat", { kind: "lie" }, { times: 2 });
    const results = await run();
    mounted.verifyAllFaultsExercised();
    expect(results[1]).toMatchObject({ ok: true, value: { copied: 0, unhealed: [expect.stringContaining("is gone")] } });
    expect(debt.list(2)).toEqual([walName(5)]);
  });

  it("settles no debt by a file that it finds and cannot make durable", async () => {
    const mounted = new FaultyStorage(
      new PosixStorage({ root: join(temporaryFolder(), "mount"), syncDirectories: true, symlinks: true, signal: ctx.signal }),
    );
    repos = [repos[0], repository(2, { storage: mounted })];
    await stanzaCreate([repos[1]], CONTROL, ctx);
    await store(repos[1], 5);
    debt.add(2, walName(5), CLUSTER);
    mounted.plan("syncPath", { kind: "error", error: fail("pathSync", "unable to sync path") }, { path: /15-1$/ });
    expect((await run())[1]).toMatchObject({ ok: false, error: { kind: "pathSync" } });
    expect(debt.list(2)).toEqual([walName(5)]);
    expect((await run())[1]).toMatchObject({ ok: true, value: { copied: 0, settled: 1 } });
    expect(debt.list(2)).toEqual([]);
  });

  it("comes to one whole copy of each segment when two hosts do it at once, in directories that both have mounted", async () => {
    const root = temporaryFolder();
    /** The repositories as one host has them. */
    const mount = (): [Repository, Repository] => {
      const open = (name: string) => new PosixStorage({ root: join(root, name), syncDirectories: false, symlinks: true, signal: ctx.signal });
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
      const own = openDebt(join(temporaryFolder(), "spool"), "demo");
      for (const no of numbers) own.add(2, walName(no), CLUSTER);
      const results = await heal(both, own, CLUSTER, { prepare: async () => null, listReady: async () => [] }, ctx);
      expect(own.repoKeys()).toEqual([]);
      return results.map((result) => result.ok && result.value.unhealed);
    });
    expect(await Promise.all(runs)).toEqual(hosts.map(() => [[], []]));
    expect(await readable(second)).toEqual(numbers.map((no) => walName(no)));
    expect(readdirSync(join(root, `two/archive/demo/15-1/${walName(1).slice(0, 16)}`))).toHaveLength(numbers.length);
  });

  it("leaves out a repository that is still away, with its error", async () => {
    await store(repos[0], 1);
    debt.add(2, walName(1), CLUSTER);
    storages[1].breakDown(fail("hostConnect", "unreachable"));
    expect(await run()).toMatchObject([{ ok: true }, { ok: false, error: { kind: "hostConnect" } }]);
    expect(debt.list(2)).toEqual([walName(1)]);
  });

  it("stops when it is told to, with nothing lost", async () => {
    await store(repos[0], 1);
    debt.add(2, walName(1), CLUSTER);
    ctx.abort();
    expect((await run())[1]).toMatchObject({ ok: false, error: { kind: "term" } });
    expect(debt.list(2)).toEqual([walName(1)]);
  });

  it("comes to the same end however often it is cut off", async () => {
    await store(repos[0], 1, 2, 3);
    await needFrom(repos[1], 1);
    debt.add(2, walName(2), CLUSTER);
    for (let writes = 0; writes <= 3; writes++) {
      const memory = new MemoryStorage();
      const base = repository(2, { storage: memory, pass: "second" });
      await stanzaCreate([base], CONTROL, ctx);
      await needFrom(base, 1);
      debt.add(2, walName(2), CLUSTER);
      const cut = { ...base, storage: new FaultyStorage(memory).crashAfter(writes) };
      await heal([repos[0], cut], debt, CLUSTER, { prepare: async () => null, listReady: async () => [] }, ctx);
      const held = await readable(base);
      // Several are on their way at once: at least those that were let through have arrived, and no debt is forgotten for one that has not.
      expect(held.length).toBeGreaterThanOrEqual(writes);
      expect([...held, ...debt.list(2)]).toContain(walName(2));
      await heal([repos[0], base], debt, CLUSTER, { prepare: async () => null, listReady: async () => [] }, ctx);
      expect(await readable(base)).toEqual([1, 2, 3].map((no) => walName(no)));
      expect(debt.list(2)).toEqual([]);
    }
  });
});

describe("the debt of an earlier cluster", () => {
  const later = { version: "16", systemId: 99n };

  it("is told apart from the same names of the present one, and is paid from the other repository's former archive", async () => {
    await store(repos[0], 1);
    debt.add(2, walName(1), CLUSTER);
    debt.add(2, walName(1), later);
    expect(debt.list(2)).toEqual([walName(1), walName(1)]);
    expect(debt.list(2, later)).toEqual([walName(1)]);
    // The present cluster is the repositories' own: its debt is paid, the other one is told.
    const [, answer] = await run();
    expect(answer).toMatchObject({ ok: false, error: { kind: "archiveMismatch" } });
    expect(debt.list(2)).toEqual([walName(1)]);
    expect(debt.clusters(2)).toEqual(expect.arrayContaining([later]));
    expect(await readable(repos[1])).toEqual([walName(1)]);
  });
});

describe("payDebts", () => {
  it("pays one repository's debt without listing archives, and leaves alone what another writer has", async () => {
    await store(repos[0], 1, 2, 3);
    for (const no of [1, 2, 3, 4]) debt.add(2, walName(no), CLUSTER);
    ready = [walName(3)];
    const taken = new Set([walName(2)]);
    const claims = { claim: (_: number, name: string) => !taken.has(name), release: () => {} };
    const localWal = { prepare: async () => null, listReady: async () => ready };
    const before = storages[0].calls("list").length;
    const healed = await payDebts(repos[1], repos, CLUSTER, { debt, local: localWal, claims }, ctx);
    expect(healed).toEqual({ copied: 1, settled: 0, unhealed: [`${walName(4)}: no repository and no pg_wal holds it`] });
    expect(debt.list(2)).toEqual([walName(2), walName(3), walName(4)]);
    expect(await readable(repos[1])).toEqual([walName(1)]);
    // One look-up for each name that it was asked for.
    expect(storages[0].calls("list").length - before).toBe(2);
  });

  it("says which repository could not be asked", async () => {
    debt.add(2, walName(1), CLUSTER);
    storages[0].breakDown(fail("hostConnect", "unreachable", { retryable: true }));
    const healed = await payDebts(repos[1], repos, CLUSTER, { debt, local: null, claims: null }, ctx);
    expect(healed.unhealed).toEqual([expect.stringMatching(new RegExp(`^${walName(1)}: repo1: unable to load info file`))]);
  });
});
