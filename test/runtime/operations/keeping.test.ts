/**
 * annotate, stanza-upgrade, stanza-delete, repo-ls, repo-get and manifest on repositories in memory.
 * test/interop/backup/keeping.test.ts compares them with stock.
 */
import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { currentHistory } from "../../../runtime/format/repository/archiveInfo";
import type { BlockMap } from "../../../runtime/format/repository/blockMap";
import { annotate } from "../../../runtime/operations/shared/annotate";
import { sharesOf } from "../../../runtime/operations/info/manifestReport";
import { listFiles, openRepoFile, repoPathOf } from "../../../runtime/operations/shared/repoFiles";
import { hasStanza, stanzaDelete } from "../../../runtime/operations/stanza/stanzaDelete";
import { NO_LEASE } from "../../../runtime/repository/lease";
import { listCurrentBackups } from "../../../runtime/operations/info/destinations";
import { isUpgraded, stanzaUpgrade } from "../../../runtime/operations/stanza/stanzaUpgrade";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../runtime/repository/infoStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { testLease } from "../../harness/leases";
import { FaultyStorage } from "../../harness/network/faults";
import { type MadeStanza, makeStanza } from "../../harness/madeRepository";
import { MemoryStorage } from "../../harness/doubles/storages";
import { all } from "../format/vectors";
import { CONTROL, OTHER_CONTROL, repository, walName } from "../repository/support";

const LABEL = "20260101-000000F";
const STANZA: MadeStanza = {
  versions: ["14"],
  backups: [{ label: LABEL, wal: [walName(1), walName(1)] }],
  wal: { "14-1": [walName(1), "00000002.history"] },
};
const ctx = testContext();

async function made(storage = new MemoryStorage()): Promise<Repository> {
  const repo = repository(1, { storage, pass: "secret" });
  await makeStanza(repo, STANZA);
  return repo;
}

describe("annotate", () => {
  it("adds, changes and removes annotations, and nothing else", async () => {
    const repo = await made();
    const [before] = (await loadBackupInfo(repo)).backups;
    expect(await annotate(repo, LABEL, { key: "", added: "yes" }, testLease(), ctx)).toBe(true);
    const [after] = (await loadBackupInfo(repo)).backups;
    expect(after).toEqual({ ...before, annotations: { added: "yes", note: before?.annotations?.["note"] } });
    await annotate(repo, LABEL, { added: "", note: "" }, testLease(), ctx);
    expect((await loadBackupInfo(repo)).backups[0]).not.toHaveProperty("annotations");
    expect(await annotate(repo, "20260102-000000F", { key: "value" }, testLease(), ctx)).toBe(false);
  });

  it("writes nothing without its lease, and keeps what others list if it loses the lease during the write", async () => {
    const lease = testLease();
    class Slow extends MemoryStorage {
      override async put(...args: Parameters<MemoryStorage["put"]>): Promise<void> {
        await super.put(...args);
        if (args[0] === "backup/demo/backup.info") lease.isLost = isAsleep;
      }
    }
    let isAsleep = false;
    const storage = new Slow();
    const second = { label: "20260102-000000F", wal: [walName(1), walName(1)] } as const;
    const repo = repository(1, { storage, pass: "secret" });
    await makeStanza(repo, { ...STANZA, backups: [...STANZA.backups, second] });
    const info = await loadBackupInfo(repo);
    // Another host lists the second backup while this one sleeps with the list that it has read.
    await saveBackupInfo(repo, { ...info, backups: info.backups.slice(0, 1) }, ctx);
    isAsleep = true;
    const lost = { kind: "lockAcquire" };
    await expect(annotate(repo, LABEL, { added: "yes" }, lease, ctx)).rejects.toMatchObject(lost);
    const listed = (await loadBackupInfo(repo)).backups;
    expect(listed.map(({ label }) => label)).toEqual([LABEL, second.label]);
    await expect(annotate(repo, LABEL, { added: "no" }, lease, ctx)).rejects.toMatchObject(lost);
    expect((await loadBackupInfo(repo)).backups).toEqual(listed);
  });
});

describe("stanza-upgrade", () => {
  it("adds a history entry to each info, once, wherever a run was interrupted", async () => {
    for (let writes = 0; ; writes++) {
      const memory = new MemoryStorage();
      await made(memory);
      const storage = new FaultyStorage(memory).crashAfter(writes);
      await stanzaUpgrade([repository(1, { storage, pass: "secret" })], CONTROL, ctx);
      const repo = repository(1, { storage: memory, pass: "secret" });
      expect(await stanzaUpgrade([repo], CONTROL, ctx)).toMatchObject([{ ok: true }]);
      for (const info of [await loadArchiveInfo(repo), await loadBackupInfo(repo)]) {
        expect(currentHistory(info)).toMatchObject({ id: 2, pgVersion: CONTROL.pgVersion, systemId: CONTROL.systemId });
        expect(info.cipherPass).toBe("sub-passphrase");
        expect(info.history).toHaveLength(2);
      }
      expect((await loadBackupInfo(repo)).backups).toHaveLength(1);
      if (!storage.crashed) break;
    }
  });

  it("gives a returning cluster a new id, and leaves contradictory infos alone", async () => {
    const repo = await made();
    await stanzaUpgrade([repo], OTHER_CONTROL, ctx);
    await stanzaUpgrade([repo], CONTROL, ctx);
    await stanzaUpgrade([repo], OTHER_CONTROL, ctx);
    expect((await loadArchiveInfo(repo)).history.map(({ id, pgVersion }) => [id, pgVersion])).toEqual([
      [1, "14"],
      [2, "18"],
      [3, "15"],
      [4, "18"],
    ]);
    const other = await made(new MemoryStorage());
    await stanzaUpgrade([other], CONTROL, ctx);
    const broken = repository(1, { storage: new MemoryStorage(), pass: "secret" });
    await makeStanza(broken, STANZA);
    for (const name of ["archive.info", "archive.info.copy"])
      await broken.storage.put(`archive/demo/${name}`, await bytesOf(other, `archive/demo/${name}`));
    expect(await stanzaUpgrade([broken], OTHER_CONTROL, ctx)).toMatchObject([
      { ok: false, error: { kind: "fileInvalid" } },
    ]);
    expect((await loadBackupInfo(broken)).history).toHaveLength(1);
  });
});

describe("stanza-upgrade from a proven cluster", () => {
  const of = (version: string, systemId: bigint) => ({ version, systemId });
  /** Repositories of the same cluster, the second by another kind of stanza. */
  const pair = async (second: MadeStanza = STANZA): Promise<[Repository, Repository]> => {
    const repos: [Repository, Repository] = [await made(new MemoryStorage()), repository(2, { pass: "secret" })];
    await makeStanza(repos[1], second);
    return repos;
  };

  it("follows it in every repository, once, also after an interruption", async () => {
    const repos = await pair();
    const { pgVersion, systemId } = currentHistory(await loadArchiveInfo(repos[0]));
    const former = of(pgVersion, systemId);
    expect(await isUpgraded(repos, CONTROL)).toBe(false);
    await stanzaUpgrade([repos[1]], CONTROL, ctx, former);
    expect(await isUpgraded(repos, CONTROL)).toBe(false);
    expect(await stanzaUpgrade(repos, CONTROL, ctx, former)).toMatchObject([{ value: "upgraded" }, { value: "valid" }]);
    expect(await isUpgraded(repos, CONTROL)).toBe(true);
    for (const repo of repos) {
      expect(await listCurrentBackups([repo])).toMatchObject([{ ok: true, value: [] }]);
      expect((await loadBackupInfo(repo)).history).toHaveLength(2);
    }
  });

  it("changes no repository if one belongs to another cluster, and continues if one is unreadable", async () => {
    const repos = await pair();
    const { pgVersion, systemId } = currentHistory(await loadArchiveInfo(repos[0]));
    await stanzaUpgrade([repos[1]], OTHER_CONTROL, ctx);
    await expect(stanzaUpgrade(repos, CONTROL, ctx, of(pgVersion, systemId))).rejects.toMatchObject({
      kind: "archiveMismatch",
      message: expect.stringContaining("do not match repo2 stanza version 18") as string,
    });
    await expect(stanzaUpgrade([repos[0]], CONTROL, ctx, of(pgVersion, systemId + 1n))).rejects.toMatchObject({
      kind: "archiveMismatch",
    });
    expect((await loadArchiveInfo(repos[0])).history).toHaveLength(1);
    const dead = new FaultyStorage(new MemoryStorage()).breakDown(fail("hostConnect", "unable to connect"));
    const others = [repos[0], repository(3, { storage: dead })];
    expect(await isUpgraded(others, CONTROL)).toBe(false);
    expect(await stanzaUpgrade(others, CONTROL, ctx, of(pgVersion, systemId))).toMatchObject([
      { value: "upgraded" },
      { ok: false, error: { kind: "hostConnect" } },
    ]);
  });
});

describe("stanza-delete", () => {
  it("removes the stanza, with the files beside it, and no other", async () => {
    const memory = new MemoryStorage();
    const repo = await made(memory);
    await repo.storage.put("pgbackstop/demo/20260101-000000F/server-files.json.gz", new Uint8Array(1));
    await makeStanza({ ...repo, stanza: "demo2" }, STANZA);
    const others = memory.paths().filter((path) => path.includes("/demo2/"));
    expect(await hasStanza(repo)).toBe(true);
    await stanzaDelete(repo, [NO_LEASE], ctx);
    expect(await hasStanza(repo)).toBe(false);
    expect(memory.paths()).toEqual(others);
  });
});

describe("repo-ls and repo-get", () => {
  it("accept only paths below the repository", () => {
    expect(repoPathOf("", "/repo")).toBe("");
    expect(repoPathOf("archive/", "/repo")).toBe("archive");
    expect(repoPathOf("/repo/archive/./demo", "/repo/")).toBe("archive/demo");
    for (const [arg, message] of [
      ["/repository", "absolute path '/repository' is not in base path '/repo'"],
      ["a//b", "path 'a//b' cannot contain //"],
      ["a/../../etc", "path 'a/../../etc' cannot contain .."],
    ] as const) {
      expect(() => repoPathOf(arg, "/repo")).toThrow(message);
    }
  });

  it("list existing files, sorted, filtered, recursively", async () => {
    const repo = await made();
    const names = async (path: string, more: object = {}): Promise<string[]> =>
      (await listFiles(repo, path, { filter: null, recurse: false, sort: "asc", ...more })).map((file) => file.name);
    expect(await names("backup/demo")).toEqual([".", LABEL, "backup.history", "backup.info", "backup.info.copy"]);
    expect(await names("backup/demo", { sort: "desc", filter: /info$/ })).toEqual(["backup.info"]);
    expect(await names("archive/demo", { recurse: true, filter: /history$/ })).toEqual(["14-1/00000002.history"]);
    expect(await names("backup/demo/backup.info")).toEqual(["."]);
  });

  // claim: README.md: `repo-ls` never mistakes an error for an empty listing
  it("fail when the storage does, at any depth: never an empty or a short listing", async () => {
    const repo = await made();
    for (const path of ["", "backup", "backup/demo", `backup/demo/${LABEL}`]) {
      const storage = new FaultyStorage(repo.storage).plan(
        "list",
        { kind: "error", error: fail("service", "[500]") },
        { path: new RegExp(`^${path}$`) },
      );
      await expect(
        listFiles({ ...repo, storage }, "", { filter: null, recurse: true, sort: "asc" }),
      ).rejects.toMatchObject({ kind: "service" });
    }
    const storage = new FaultyStorage(repo.storage).plan("stat", { kind: "error", error: fail("service", "[500]") });
    await expect(
      listFiles({ ...repo, storage }, "backup/none", { filter: null, recurse: true, sort: "asc" }),
    ).rejects.toMatchObject({
      kind: "service",
    });
  });

  it("find the key of each path", async () => {
    const repo = await made();
    const text = async (path: string, raw = false): Promise<string> =>
      (await all(await openRepoFile(repo, path, raw))).toString("latin1");
    for (const path of [
      "archive/demo/archive.info",
      "backup/demo/backup.info.copy",
      `backup/demo/${LABEL}/backup.manifest`,
    ]) {
      expect(await text(path)).toMatch(/^\[backrest\]/);
      expect(await text(path, true)).toMatch(/^Salted__/);
    }
    await expect(text("elsewhere")).rejects.toMatchObject({ kind: "optionInvalidValue" });
    await expect(text("archive/demo/none")).rejects.toMatchObject({ kind: "fileMissing" });
  });
});

it("manifest shows each backup's share of a file in blocks", () => {
  const superBlock = (reference: number, offsetBytes: number, sizeBytes: number) => ({
    reference,
    bundleId: reference,
    offsetBytes,
    sizeRepoBytes: 100,
    sizeBytes,
  });
  const [first, second, third] = [superBlock(0, 0, 16384), superBlock(0, 100, 16384), superBlock(0, 500, 8192)];
  const own = superBlock(1, 7, 8192);
  const blocks = [first, first, second, own, third].map((each) => ({ superBlock: each, index: 0 }));
  const map: BlockMap = { blockSizeBytes: 8192, checksumSizeBytes: 6, blocks, checksums: new Uint8Array(30) };
  expect(sharesOf(map, 5 * 8192 - 100)).toEqual([
    {
      reference: 0,
      bundleId: 0,
      readCount: 2,
      readBytes: 300,
      superBlockCount: 3,
      superBlockBytes: 40960,
      blockCount: 4,
      blockBytes: 4 * 8192 - 100,
    },
    {
      reference: 1,
      bundleId: 1,
      readCount: 1,
      readBytes: 100,
      superBlockCount: 1,
      superBlockBytes: 8192,
      blockCount: 1,
      blockBytes: 8192,
    },
  ]);
});

async function bytesOf(repo: Repository, path: string): Promise<Uint8Array> {
  return all(await repo.storage.read(path));
}
