// claim: README.md: a backup that another…
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { textOf } from "../../../runtime/base/bytes";
import { parseManifest, renderManifest, type Manifest } from "../../../runtime/format/repository/manifest";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import {
  findNewestHistoryLabel,
  hasManifest,
  listLabels,
  loadManifest,
  saveManifestCopy,
} from "../../../runtime/repository/backupStore";
import { dataFilePath } from "../../../runtime/format/repository/repoPath";
import { saveAttempt } from "../../../runtime/repository/attempt";
import { loadArchiveInfo, loadBackupInfo, saveBackupInfo } from "../../../runtime/repository/infoStore";
import { finishBackup } from "../../../runtime/repository/publish";
import { loadReconstructedInfo } from "../../../runtime/repository/reconstruct";
import { type Repository, readFile } from "../../../runtime/repository/repository";
import { PosixStorage } from "../../../runtime/storage/posix";
import { testContext } from "../../harness/context";
import { testLease } from "../../harness/leases";
import { type Fault, FaultyStorage } from "../../harness/network/faults";
import { ForgetfulStorage, MemoryStorage } from "../../harness/doubles/storages";
import { vectorText } from "../format/vectors";
import { readlinkSync } from "node:fs";
import { CONTROL, repository, temporaryFolder } from "./support";

const ctx = testContext();
const lease = testLease();
const GOLDEN = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
const LABEL = GOLDEN.label;
/** A manifest with few files, for tests that do not depend on their number. */
const FEW: Manifest = { ...GOLDEN, files: GOLDEN.files.filter((file) => file.reference === undefined).slice(0, 5) };
const ATTEMPT = /pgbackstop\.attempt$/;
const REFUSED: Fault = { kind: "error", error: fail("service", "refused") };
const withLabel = (label: string): Manifest => ({ ...FEW, label, references: [label] });

async function stanza(options: Parameters<typeof repository>[1] = {}): Promise<Repository> {
  const repo = repository(1, options);
  await stanzaCreate([repo], CONTROL, ctx);
  return repo;
}

/** Stores the attempt file and files with the manifest's sizes. The backup then only needs to be listed. */
async function copied(repo: Repository, manifest: Manifest, pass: string | null = null): Promise<void> {
  await saveAttempt(repo, manifest.label, { lease, source: null, pass }, ctx);
  for (const file of manifest.files) {
    const path = dataFilePath(repo.stanza, manifest.label, file, manifest.options.compressType);
    await repo.storage.put(path, new Uint8Array(file.sizeRepoBytes));
  }
}

async function finish(repo: Repository, manifest: Manifest, pass: string | null = null): Promise<void> {
  await copied(repo, manifest, pass);
  await finishBackup(repo, manifest, { lease, pass }, ctx);
}

describe("a finished backup", () => {
  it.each([/backup\.manifest$/, /backup\.manifest\.copy$/])(
    "is not listed when the storage answers that it stored %s and did not",
    async (forgets) => {
      const storage = new ForgetfulStorage();
      const repo = await stanza({ storage });
      storage.forgets = forgets;
      await expect(finish(repo, FEW)).rejects.toMatchObject({ kind: "fileMissing" });
      expect((await loadBackupInfo(repo)).backups).toEqual([]);
    },
  );

  it("is listed again by any host after a late list without it, also if its attempt file could not be removed", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    const repo = await stanza({ storage });
    const before = await loadBackupInfo(repo);
    storage.plan("remove", REFUSED, { path: ATTEMPT });
    await finish(repo, FEW);
    await saveBackupInfo(repo, before, ctx);
    const elsewhere = await loadReconstructedInfo(repo, testLease({ domain: "host2" }), ctx);
    expect(elsewhere.adopted.map((entry) => entry.label)).toEqual([LABEL]);
  });

  it("fails in a repository that neither removes nor replaces its attempt file", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    const repo = await stanza({ storage });
    await copied(repo, FEW);
    for (const call of ["remove", "put"] as const) storage.plan(call, REFUSED, { path: ATTEMPT });
    await expect(finishBackup(repo, FEW, { lease, pass: null }, ctx)).rejects.toMatchObject({ kind: "service" });
  });

  it("has no files of an earlier attempt, which a store that overwrites in one step removes last", async () => {
    const strayPath = `backup/demo/${LABEL}/pg_data/base/1/of an earlier attempt`;
    const strayOf = async (repo: Repository): Promise<string[]> => {
      await repo.storage.put(strayPath, Buffer.from("stray"));
      await finish(repo, FEW);
      return (await repo.storage.stat(strayPath)) === null ? [] : [strayPath];
    };
    expect(await strayOf(await stanza({ storage: new MemoryStorage() }))).toEqual([]);
    // On a file system the backup cleans its directory before it writes, so finishing removes nothing.
    expect(
      await strayOf(
        await stanza({
          storage: new PosixStorage({
            root: temporaryFolder(),
            syncDirectories: true,
            symlinks: true,
            signal: ctx.signal,
          }),
        }),
      ),
    ).toEqual([strayPath]);
  });

  it("is in the manifests, the history and backup.info, in this order", async () => {
    const memory = new MemoryStorage();
    const repo = await stanza({ storage: memory });
    const storage = new FaultyStorage(memory);
    await copied(repo, GOLDEN);
    await saveManifestCopy({ ...repo, storage }, GOLDEN, null, ctx);
    await finishBackup({ ...repo, storage }, GOLDEN, { lease, pass: null }, ctx);
    const backup = `backup/demo/${LABEL}`;
    expect(storage.calls("put")).toEqual([
      `${backup}/backup.manifest.copy`,
      `${backup}/backup.manifest.copy`,
      `${backup}/backup.manifest`,
      `backup/demo/backup.history/2026/${LABEL}.manifest.gz`,
      "backup/demo/backup.info",
      "backup/demo/backup.info.copy",
      "archive/demo/archive.info",
      "archive/demo/archive.info.copy",
    ]);
    expect(memory.text(`${backup}/backup.manifest`)).toBe(vectorText("v2.45/plain/full.manifest.gz"));
    const history = memory.files.get(`backup/demo/backup.history/2026/${LABEL}.manifest.gz`)?.bytes ?? new Uint8Array();
    expect(gunzipSync(history).toString()).toBe(renderManifest(GOLDEN));
    expect(await findNewestHistoryLabel(repo)).toBe(LABEL);
    expect(await loadArchiveInfo(repo)).toMatchObject({ currentId: 1 });
  });

  it.each([null, "pass"])("with very many files is written in parts, to the same text: %s", async (pass) => {
    const memory = new MemoryStorage();
    const repo = await stanza({ storage: memory, ...(pass === null ? {} : { pass }) });
    const [row] = GOLDEN.files;
    const files = Array.from({ length: 50_001 }, (_, no) => ({
      ...row,
      name: `pg_data/base/1/${no}`,
    })) as Manifest["files"];
    const manifest = { ...GOLDEN, files };
    const infoPass = (await loadBackupInfo(repo)).cipherPass ?? null;
    const storage = new FaultyStorage(memory);
    await copied(repo, manifest, infoPass);
    await saveManifestCopy({ ...repo, storage }, manifest, infoPass, ctx);
    await finishBackup({ ...repo, storage }, manifest, { lease, pass: infoPass }, ctx);
    const backup = `backup/demo/${LABEL}/backup.manifest`;
    const history = `backup/demo/backup.history/2026/${LABEL}.manifest.gz`;
    expect(storage.calls("putStream")).toEqual([`${backup}.copy`, `${backup}.copy`, backup, history]);
    const text = renderManifest(manifest);
    for (const path of [backup, `${backup}.copy`]) expect(textOf(await readFile(repo, path, infoPass))).toBe(text);
    // The same bytes as in one piece.
    expect(Buffer.compare(await readFile(repo, history, infoPass), gzipSync(text, { level: 6 }))).toBe(0);
    expect((await loadManifest(repo, LABEL, infoPass)).files).toHaveLength(files.length);
  });

  it("keeps the others in the info, ascending, and replaces its own entry", async () => {
    const repo = await stanza();
    for (const label of ["20261122-000000F", "20261120-000000F", "20261121-000000F", "20261120-000000F"])
      await finish(repo, withLabel(label));
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual([
      "20261120-000000F",
      "20261121-000000F",
      "20261122-000000F",
    ]);
  });

  it("is listed only when it is complete, wherever a crash happens", async () => {
    const base = new MemoryStorage();
    const pass = "info-pass";
    const old = await stanza({ storage: base, pass });
    const infoPass = (await loadBackupInfo(old)).cipherPass ?? "";
    await finish(old, withLabel("20261101-000000F"), infoPass);
    await copied(old, GOLDEN, infoPass);
    const listed: number[] = [];
    for (let writes = 0; ; writes++) {
      const memory = base.clone();
      const storage = new FaultyStorage(memory).crashAfter(writes);
      await (async () => {
        await saveManifestCopy(repository(1, { storage, pass }), GOLDEN, infoPass, ctx);
        await finishBackup(repository(1, { storage, pass }), GOLDEN, { lease, pass: infoPass }, ctx);
      })().catch(() => {});
      const repo = repository(1, { storage: memory, pass });
      const info = await loadBackupInfo(repo);
      await loadArchiveInfo(repo);
      for (const entry of info.backups)
        expect((await loadManifest(repo, entry.label, infoPass)).label).toBe(entry.label);
      expect(info.backups[0]?.label).toBe("20261101-000000F");
      listed.push(info.backups.length);
      if (!storage.crashed) break;
    }
    expect(listed).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
  });

  it("has a link `latest` if the storage has links", async () => {
    const root = temporaryFolder();
    const storage = new PosixStorage({ root, syncDirectories: true, symlinks: true, signal: ctx.signal });
    const repo = await stanza({ storage, latestLink: true });
    await finish(repo, withLabel("20261101-000000F"));
    await finish(repo, FEW);
    expect(readlinkSync(`${root}/backup/demo/latest`)).toBe(LABEL);
    expect(await listLabels(repo)).toEqual(["20261101-000000F", LABEL]);
  });
});

/** Calls `act` before the first put of a path that ends with `end`. */
class ActingStorage extends MemoryStorage {
  acts: { readonly end: string; readonly act: () => void | Promise<void> } | null = null;

  override async put(path: string, bytes: Uint8Array): Promise<void> {
    const { acts } = this;
    if (acts !== null && path.endsWith(acts.end)) {
      this.acts = null;
      await acts.act();
    }
    await super.put(path, bytes);
  }
}

describe("a backup that another process has harmed", () => {
  const BASE = "20261101-000000F";
  const LEAF = "20261101-000000F_20261102-000000I";
  const leaf: Manifest = { ...withLabel(LEAF), type: "incr", prior: BASE, references: [BASE, LEAF] };
  const manifests = (storage: MemoryStorage): string[] =>
    storage.paths().filter((path) => path.includes(LEAF) && path.includes("manifest"));

  it("is not listed when lease, attempt or base are lost while its manifests are written; only without a base they are removed", async () => {
    const own = testLease();
    const harms: [kind: string, harm: (storage: MemoryStorage, repo: Repository) => void | Promise<void>][] = [
      ["lockAcquire", () => void (own.isLost = true)],
      ["lockAcquire", (storage) => storage.remove(`backup/demo/${LEAF}/pgbackstop.attempt`)],
      [
        "lockAcquire",
        (_storage, repo) => saveAttempt(repo, LEAF, { lease: testLease(), source: null, pass: null }, ctx),
      ],
      ["backupSetInvalid", (storage) => storage.remove(`backup/demo/${BASE}/backup.manifest`)],
      [
        "backupSetInvalid",
        async (_storage, repo) => saveBackupInfo(repo, { ...(await loadBackupInfo(repo)), backups: [] }, ctx),
      ],
    ];
    for (const [kind, harm] of harms) {
      for (const end of ["backup.manifest.copy", "backup.manifest", ".manifest.gz"]) {
        const storage = new ActingStorage();
        const repo = await stanza({ storage });
        await finish(repo, withLabel(BASE));
        await copied(repo, leaf);
        own.isLost = false;
        await saveAttempt(repo, LEAF, { lease: own, source: null, pass: null }, ctx);
        storage.acts = { end, act: () => harm(storage, repo) };
        await expect(finishBackup(repo, leaf, { lease: own, pass: null }, ctx)).rejects.toMatchObject({ kind });
        expect(storage.acts).toBeNull();
        expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).not.toContain(LEAF);
        // After a lost lease the manifests stay: another host that syncs the same backup may have written them.
        const isUnfinished = manifests(storage).every((path) => path.endsWith("manifest.copy"));
        if (kind === "backupSetInvalid") expect(isUnfinished).toBe(true);
        else expect(manifests(storage)).not.toEqual([]);
      }
    }
  });

  it("is not listed under another one's label, nor after the stanza was upgraded", async () => {
    const repo = await stanza();
    await finish(repo, withLabel(BASE));
    await copied(repo, withLabel(BASE));
    const other = { ...withLabel(BASE), startedAtS: GOLDEN.startedAtS + 1 };
    await expect(finishBackup(repo, other, { lease, pass: null }, ctx)).rejects.toMatchObject({
      kind: "backupSetInvalid",
    });
    await copied(repo, FEW);
    const strange = { ...FEW, pg: { ...GOLDEN.pg, systemId: 1n } };
    await expect(finishBackup(repo, strange, { lease, pass: null }, ctx)).rejects.toMatchObject({
      kind: "backupMismatch",
    });
  });

  it("is not listed when the repository was put back to an older copy while the list was written", async () => {
    for (const end of ["backup.manifest", ".manifest.gz", "backup.info.copy", "backup.info"]) {
      const storage = new ActingStorage({ replaces: false });
      const repo = await stanza({ storage });
      await copied(repo, FEW);
      const path = storage.paths().find((name) => name.includes("/pg_data/")) ?? "";
      storage.acts = {
        end,
        act: async () => {
          await storage.remove(path);
          await saveManifestCopy(repo, { ...FEW, files: [] }, null, ctx);
        },
      };
      await expect(finishBackup(repo, FEW, { lease, pass: null }, ctx)).rejects.toMatchObject({ kind: "fileMissing" });
      expect(storage.acts).toBeNull();
      expect((await loadBackupInfo(repo)).backups).toEqual([]);
      expect(await hasManifest(repo, LABEL)).toBe(false);
    }
  });

  it("stays listed when an old request overwrites the copy of its manifest", async () => {
    const storage = new ActingStorage({ replaces: false });
    const repo = await stanza({ storage });
    await copied(repo, FEW);
    storage.acts = { end: "backup.info", act: () => saveManifestCopy(repo, { ...FEW, files: [] }, null, ctx) };
    await finishBackup(repo, FEW, { lease, pass: null }, ctx);
    expect(storage.acts).toBeNull();
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual([LABEL]);
  });

  it("is listed again when a process that woke has overwritten the list with its older one", async () => {
    const storage = new ActingStorage();
    const repo = await stanza({ storage });
    await finish(repo, withLabel(BASE));
    await copied(repo, leaf);
    const older = await loadBackupInfo(repo);
    storage.acts = { end: "archive.info.copy", act: () => saveBackupInfo(repo, older, ctx) };
    await finishBackup(repo, leaf, { lease, pass: null }, ctx);
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual([BASE, LEAF]);
  });

  it("keeps its manifest when the storage does not answer, so that the next run lists it", async () => {
    const memory = new MemoryStorage();
    const repo = await stanza({ storage: memory });
    await copied(repo, FEW);
    const storage = new FaultyStorage(memory);
    const error = fail("hostConnect", "no route");
    storage.plan("put", { kind: "errorAfter", error }, { path: /\.manifest\.gz$/ });
    await expect(finishBackup({ ...repo, storage }, FEW, { lease, pass: null }, ctx)).rejects.toMatchObject({
      kind: "hostConnect",
    });
    expect(await hasManifest(repo, LABEL)).toBe(true);
    const result = await loadReconstructedInfo(repo, testLease(), ctx);
    expect(result.adopted.map((entry) => entry.label)).toEqual([LABEL]);
  });
});
