import { describe, expect, it } from "vitest";
import type { ByteStream } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { parseManifest, renderManifest, type Manifest } from "../../../runtime/format/repository/manifest";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import {
  findNewestHistoryLabel,
  hasManifest,
  listLabels,
  loadManifest,
  loadManifestFile,
  removeUnfinished,
  saveManifestCopy,
} from "../../../runtime/repository/backupStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { putBackup } from "../../harness/madeRepository";
import { MemoryStorage } from "../../harness/doubles/storages";
import { vectorText } from "../format/vectors";
import { CONTROL, repository } from "./support";

const ctx = testContext();
const GOLDEN = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
const LABEL = GOLDEN.label;
const withLabel = (label: string): Manifest => ({ ...GOLDEN, label, references: [label] });

async function stanza(options: Parameters<typeof repository>[1] = {}): Promise<Repository> {
  const repo = repository(1, options);
  await stanzaCreate([repo], CONTROL, ctx);
  return repo;
}

describe("a manifest", () => {
  it("comes from its copy when the main file is damaged", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await putBackup(repo, GOLDEN, null);
    await storage.put(`backup/demo/${LABEL}/backup.manifest`, Buffer.from("[backrest]\n"));
    expect((await loadManifest(repo, LABEL, null)).files.length).toBe(GOLDEN.files.length);
    await storage.put(`backup/demo/${LABEL}/backup.manifest.copy`, Buffer.from("nothing"));
    await expect(loadManifest(repo, LABEL, null)).rejects.toMatchObject({ path: undefined });
  });

  it("of an unfinished backup is no backup, although its copy is readable", async () => {
    const repo = await stanza();
    await saveManifestCopy(repo, GOLDEN, null, ctx);
    await expect(loadManifest(repo, LABEL, null)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(await hasManifest(repo, LABEL)).toBe(false);
    expect(await listLabels(repo)).toEqual([LABEL]);
  });

  it("may be larger than a gibibyte, as those with millions of files are", async () => {
    const part = Buffer.alloc(16 * 1024 * 1024, "x");
    class Large extends MemoryStorage {
      override async read(): Promise<ByteStream> {
        return (async function* parts(): ByteStream {
          for (let count = 0; count <= 64; count++) yield part;
          throw fail("hostConnect", "the rest does not arrive");
        })();
      }
    }
    const repo = repository(1, { storage: new Large() });
    await expect(loadManifestFile(repo, "backup.manifest", null)).rejects.toMatchObject({ kind: "hostConnect" });
  });

  it("must carry the label of its directory", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await storage.put("backup/demo/20261101-000000F/backup.manifest", Buffer.from(renderManifest(GOLDEN)));
    await expect(loadManifest(repo, "20261101-000000F", null)).rejects.toMatchObject({
      kind: "format",
      message: `requested backup '20261101-000000F' and manifest label '${LABEL}' do not match`,
      repoIndex: 1,
    });
  });
});

describe("an unfinished backup", () => {
  it("can be removed, a finished one cannot", async () => {
    const storage = new MemoryStorage();
    const repo = await stanza({ storage });
    await putBackup(repo, GOLDEN, null);
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
