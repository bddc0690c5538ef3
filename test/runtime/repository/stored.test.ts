import { describe, expect, it } from "vitest";
import { type Manifest, type ManifestFile, parseManifest } from "../../../runtime/format/repository/manifest";
import { requireStored } from "../../../runtime/repository/stored";
import { FaultyStorage } from "../../harness/network/faults";
import { MemoryStorage } from "../../harness/doubles/storages";
import { vectorText } from "../format/vectors";
import { repository } from "./support";

const GOLDEN = parseManifest(vectorText("v2.45/plain/full.manifest.gz"), "golden");
const LABEL = GOLDEN.label;

describe("a backup's stored files", () => {
  const row = (name: string, more: Partial<ManifestFile>): ManifestFile => ({
    ...(GOLDEN.files.find((file) => file.name === "pg_data/PG_VERSION") as ManifestFile),
    name,
    ...more,
  });
  const manifest: Manifest = {
    ...GOLDEN,
    bundle: true,
    options: { ...GOLDEN.options, compressType: "zst" },
    files: [
      row("pg_data/own", { sizeBytes: 9, sizeRepoBytes: 5 }),
      row("pg_data/own.pgbi", { sizeBytes: 9, sizeRepoBytes: 6 }),
      row("pg_data/blocks", {
        sizeBytes: 9,
        sizeRepoBytes: 7,
        block: { sizeBytes: 8192, checksumSizeBytes: 6, mapSizeBytes: 8 },
      }),
      row("pg_data/empty", { sizeBytes: 0, sizeRepoBytes: 0 }),
      row("pg_data/elsewhere", { sizeBytes: 9, sizeRepoBytes: 9, reference: "20261101-000000F" }),
      row("pg_data/first", { sizeBytes: 9, sizeRepoBytes: 3, bundle: { id: 1, offsetBytes: 0 } }),
      row("pg_data/second", { sizeBytes: 9, sizeRepoBytes: 4, bundle: { id: 1, offsetBytes: 3 } }),
    ],
  };
  const SIZES = { "pg_data/own.zst": 5, "pg_data/own.pgbi.zst": 6, "pg_data/blocks.pgbi": 7, "bundle/1": 7 };

  it("are compared by the names and sizes of each kind of storage", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    const pathOf = (name: string): string => `backup/demo/${LABEL}/${name}`;
    for (const [name, sizeBytes] of Object.entries(SIZES)) await storage.put(pathOf(name), new Uint8Array(sizeBytes));
    await storage.put(pathOf("pg_data/nobody.pgbi"), new Uint8Array(1));
    await requireStored(repo, manifest);
    for (const [name, sizeBytes] of Object.entries(SIZES)) {
      await storage.remove(pathOf(name));
      await expect(requireStored(repo, manifest)).rejects.toMatchObject({ kind: "fileMissing", path: pathOf(name) });
      await storage.put(pathOf(name), new Uint8Array(sizeBytes - 1));
      await expect(requireStored(repo, manifest)).rejects.toMatchObject({ kind: "fileInvalid", path: pathOf(name) });
      await storage.put(pathOf(name), new Uint8Array(sizeBytes));
    }
  });

  it("are never strays, however often a listing names them", async () => {
    const memory = new MemoryStorage();
    const pathOf = (name: string): string => `backup/demo/${LABEL}/${name}`;
    for (const [name, sizeBytes] of Object.entries({ ...SIZES, "bundle/2": 1 }))
      await memory.put(pathOf(name), new Uint8Array(sizeBytes));
    const list = memory.list.bind(memory);
    memory.list = async function* (...asked) {
      for await (const entry of list(...asked)) yield* [entry, entry];
      yield* list(...asked);
    };
    const strays = await requireStored(repository(1, { storage: memory }), manifest);
    expect(new Set(strays)).toEqual(new Set([pathOf("bundle/2")]));
  });

  it("are looked up directly when a listing lacks them", async () => {
    const memory = new MemoryStorage();
    const repo = repository(1, { storage: memory });
    for (const [name, sizeBytes] of Object.entries(SIZES))
      await memory.put(`backup/demo/${LABEL}/${name}`, new Uint8Array(sizeBytes));
    const storage = new FaultyStorage(memory).plan("list", { kind: "lie" });
    await requireStored({ ...repo, storage }, manifest);
    storage.verifyAllFaultsExercised();
  });
});
