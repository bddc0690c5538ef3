import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { textOf } from "../../../runtime/base/bytes";
import { parseManifest, renderManifest, type Manifest } from "../../../runtime/format/manifest";
import { stanzaCreate } from "../../../runtime/operations/stanzaCreate";
import {
  findNewestHistoryLabel,
  finishBackup,
  hasManifest,
  listLabels,
  loadHistoryManifest,
  loadManifest,
  removeUnfinished,
  saveManifestCopy,
} from "../../../runtime/repository/backupStore";
import { loadArchiveInfo, loadBackupInfo } from "../../../runtime/repository/infoStore";
import { type Repository, readFile } from "../../../runtime/repository/repository";
import { PosixStorage } from "../../../runtime/storage/posix";
import { testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/faults";
import { MemoryStorage } from "../../harness/storages";
import { vectorText } from "../format/vectors";
import { readlinkSync } from "node:fs";
import { CONTROL, repository, temporaryFolder } from "./support";

const ctx = testContext();
const GOLDEN = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
const LABEL = GOLDEN.label;
const withLabel = (label: string): Manifest => ({ ...GOLDEN, label, references: [label] });

async function stanza(options: Parameters<typeof repository>[1] = {}): Promise<Repository> {
  const repo = repository(1, options);
  await stanzaCreate([repo], CONTROL, ctx);
  return repo;
}

describe("a finished backup", () => {
  it("is in the manifests, the history and backup.info, in this order", async () => {
    const memory = new MemoryStorage();
    const repo = await stanza({ storage: memory });
    const storage = new FaultyStorage(memory);
    await saveManifestCopy({ ...repo, storage }, GOLDEN, null, ctx);
    await finishBackup({ ...repo, storage }, GOLDEN, null, ctx);
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
    expect(renderManifest(await loadHistoryManifest(repo, LABEL, null))).toBe(renderManifest(GOLDEN));
    expect(await loadArchiveInfo(repo)).toMatchObject({ currentId: 1 });
  });

  it.each([null, "pass"])("of very many files is written part by part, to the same text: %s", async (pass) => {
    const memory = new MemoryStorage();
    const repo = await stanza({ storage: memory, ...(pass === null ? {} : { pass }) });
    const [row] = GOLDEN.files;
    const files = Array.from({ length: 50_001 }, (_, no) => ({ ...row, name: `pg_data/base/1/${no}` })) as Manifest["files"];
    const manifest = { ...GOLDEN, files };
    const infoPass = (await loadBackupInfo(repo)).cipherPass ?? null;
    const storage = new FaultyStorage(memory);
    await saveManifestCopy({ ...repo, storage }, manifest, infoPass, ctx);
    await finishBackup({ ...repo, storage }, manifest, infoPass, ctx);
    const backup = `backup/demo/${LABEL}/backup.manifest`;
    expect(storage.calls("putStream")).toEqual([`${backup}.copy`, `${backup}.copy`, backup]);
    const text = renderManifest(manifest);
    for (const path of [backup, `${backup}.copy`]) expect(textOf(await readFile(repo, path, infoPass))).toBe(text);
    expect(gunzipSync(await readFile(repo, `backup/demo/backup.history/2026/${LABEL}.manifest.gz`, infoPass)).toString()).toBe(text);
    expect((await loadManifest(repo, LABEL, infoPass)).files).toHaveLength(files.length);
  });

  it("keeps the others in the info, ascending, and replaces its own entry", async () => {
    const repo = await stanza();
    for (const label of ["20261122-000000F", "20261120-000000F", "20261121-000000F", "20261120-000000F"])
      await finishBackup(repo, withLabel(label), null, ctx);
    expect((await loadBackupInfo(repo)).backups.map((entry) => entry.label)).toEqual(["20261120-000000F", "20261121-000000F", "20261122-000000F"]);
  });

  it("is only ever listed when it is whole, wherever a crash comes", async () => {
    const base = new MemoryStorage();
    const pass = "info-pass";
    const old = await stanza({ storage: base, pass });
    const infoPass = (await loadBackupInfo(old)).cipherPass ?? "";
    await finishBackup(old, withLabel("20261101-000000F"), infoPass, ctx);
    const listed: number[] = [];
    for (let writes = 0; ; writes++) {
      const memory = base.clone();
      const storage = new FaultyStorage(memory).crashAfter(writes);
      await (async () => {
        await saveManifestCopy(repository(1, { storage, pass }), GOLDEN, infoPass, ctx);
        await finishBackup(repository(1, { storage, pass }), GOLDEN, infoPass, ctx);
      })().catch(() => {});
      const repo = repository(1, { storage: memory, pass });
      const info = await loadBackupInfo(repo);
      await loadArchiveInfo(repo);
      for (const entry of info.backups) expect((await loadManifest(repo, entry.label, infoPass)).label).toBe(entry.label);
      expect(info.backups[0]?.label).toBe("20261101-000000F");
      listed.push(info.backups.length);
      if (!storage.crashed) break;
    }
    expect(listed).toEqual([1, 1, 1, 1, 1, 2, 2, 2, 2]);
  });

  it("has a link `latest` where the storage has links", async () => {
    const root = temporaryFolder();
    const storage = new PosixStorage({ root, syncDirectories: true, symlinks: true, signal: ctx.signal });
    const repo = await stanza({ storage, latestLink: true });
    await finishBackup(repo, withLabel("20261101-000000F"), null, ctx);
    await finishBackup(repo, GOLDEN, null, ctx);
    expect(readlinkSync(`${root}/backup/demo/latest`)).toBe(LABEL);
    expect(await listLabels(repo)).toEqual(["20261101-000000F", LABEL]);
  });
});

describe("a manifest", () => {
  it("comes from its copy when the main file is damaged", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await finishBackup(repo, GOLDEN, null, ctx);
    await storage.put(`backup/demo/${LABEL}/backup.manifest`, Buffer.from("[backrest]\n"));
    expect((await loadManifest(repo, LABEL, null)).files.length).toBe(GOLDEN.files.length);
    await storage.put(`backup/demo/${LABEL}/backup.manifest.copy`, Buffer.from("nothing"));
    await expect(loadManifest(repo, LABEL, null)).rejects.toMatchObject({ path: undefined });
  });

  it("of a backup under way is no backup, although its copy could be read", async () => {
    const repo = await stanza();
    await saveManifestCopy(repo, GOLDEN, null, ctx);
    await expect(loadManifest(repo, LABEL, null)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(await hasManifest(repo, LABEL)).toBe(false);
    expect(await listLabels(repo)).toEqual([LABEL]);
  });

  it("must carry the label of its directory", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await storage.put("backup/demo/20261101-000000F/backup.manifest", Buffer.from(renderManifest(GOLDEN)));
    await expect(loadManifest(repo, "20261101-000000F", null)).rejects.toMatchObject({
      kind: "format",
      message: `requested backup '20261101-000000F' and manifest label '${LABEL}' do not match`,
      repoKey: 1,
    });
  });
});

describe("what was left unfinished", () => {
  it("can be removed, a finished backup cannot", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await finishBackup(repo, GOLDEN, null, ctx);
    await saveManifestCopy(repo, withLabel("20261130-000000F"), null, ctx);
    await storage.put("backup/demo/20261130-000000F/pg_data/base/1/1", Buffer.from("x"));
    await removeUnfinished(repo, "20261130-000000F");
    expect(await listLabels(repo)).toEqual([LABEL]);
    await expect(removeUnfinished(repo, LABEL)).rejects.toMatchObject({ kind: "assert" });
    expect(await hasManifest(repo, LABEL)).toBe(true);
  });

  it("does not hide the newest label of the history", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    expect(await findNewestHistoryLabel(repo)).toBeNull();
    for (const path of ["2025/20251231-000000F", "2026/20260101-000000F", "2026/20260301-000000F_20260302-000000I"])
      await storage.put(`backup/demo/backup.history/${path}.manifest.gz`, Buffer.from("x"));
    await storage.put("backup/demo/backup.history/2026/zzz.manifest.gz", Buffer.from("x"));
    expect(await findNewestHistoryLabel(repo)).toBe("20260301-000000F_20260302-000000I");
  });
});
