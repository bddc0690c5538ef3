import { describe, expect, test } from "vitest";
import { utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import {
  findLostParts,
  listDumpDirectories,
  loadDumpManifest,
  publishDump,
  removeDump,
} from "../../../runtime/repository/dumpStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { testLease } from "../../harness/leases";
import { FaultyStorage } from "../../harness/network/faults";
import { DUMP_LABEL, madeDump } from "../../harness/madeDump";
import { repository } from "./support";

const LABEL = DUMP_LABEL;
const DIRECTORY = `pgbackstop/demo/dump/${LABEL}`;
const CONTENT = { sizeBytes: 3, sha256: "0".repeat(64), partSizesBytes: [3] };
const MANIFEST = madeDump({
  databases: [{ name: "shop", encoding: "UTF8", ...CONTENT, partSizesBytes: [2, 1] }],
  globals: CONTENT,
  cipherPass: "of the dump",
});
const ctx = testContext();

async function withParts(repo: Repository): Promise<Repository> {
  for (const [name, text] of [
    ["globals.sql", "abc"],
    ["shop.dump", "ab"],
    ["shop.dump.2", "c"],
  ])
    await repo.storage.put(`${DIRECTORY}/${name}`, utf8(text ?? ""));
  return repo;
}

describe("a dump in a repository", () => {
  test("exists once its manifest is written, which the repository's passphrase encrypts", async () => {
    const storage = new MemoryStorage();
    const repo = await withParts(repository(1, { storage, pass: "of the repository" }));
    expect(await listDumpDirectories(repo)).toMatchObject([{ label: LABEL, hasManifest: false }]);
    await publishDump(repo, MANIFEST, testLease(), ctx);
    expect(await listDumpDirectories(repo)).toEqual([
      {
        directory: LABEL,
        label: LABEL,
        hasManifest: true,
        files: new Map(Object.entries({ "globals.sql": 3, "shop.dump": 2, "shop.dump.2": 1 })),
      },
    ]);
    expect(await loadDumpManifest(repo, LABEL)).toEqual(MANIFEST);
    expect(storage.text(`${DIRECTORY}/dump.manifest`)).toMatch(/^Salted__/);
    expect(storage.text(`${DIRECTORY}/dump.manifest`)).not.toContain("of the dump");
    await expect(loadDumpManifest({ ...repo, cipherPass: "another" }, LABEL)).rejects.toThrow();
  });

  test.each<[string, (repo: Repository) => Promise<void>]>([
    ["is missing", (repo) => repo.storage.remove(`${DIRECTORY}/shop.dump.2`)],
    ["has another size", (repo) => repo.storage.put(`${DIRECTORY}/shop.dump`, utf8("abc"))],
  ])("is not published when a file %s", async (_what, damage) => {
    const repo = await withParts(repository(1));
    await damage(repo);
    await expect(publishDump(repo, MANIFEST, testLease(), ctx)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(await listDumpDirectories(repo)).toMatchObject([{ hasManifest: false }]);
  });

  test("is not published when the lease is lost before the manifest, and withdrawn when it is lost after it", async () => {
    for (const checks of [0, 1]) {
      const repo = await withParts(repository(1));
      let count = 0;
      const check = async (): Promise<void> => {
        if (count++ >= checks) throw fail("lockAcquire", "lost");
      };
      await expect(publishDump(repo, MANIFEST, { check }, ctx)).rejects.toMatchObject({ kind: "lockAcquire" });
      expect(await listDumpDirectories(repo), `${checks} checks`).toMatchObject([{ hasManifest: false }]);
    }
  });

  test("is withdrawn when another process removed its files while this one slept", async () => {
    const repo = await withParts(repository(1));
    let count = 0;
    const check = async (): Promise<void> => {
      if (++count === 2) await repo.storage.remove(`${DIRECTORY}/globals.sql`);
    };
    await expect(publishDump(repo, MANIFEST, { check }, ctx)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(await listDumpDirectories(repo)).toMatchObject([{ hasManifest: false }]);
  });

  test("is not published by a storage that says so and stores nothing", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    const repo = await withParts(repository(1, { storage }));
    storage.plan("put", { kind: "lie" });
    await expect(publishDump(repo, MANIFEST, testLease(), ctx)).rejects.toMatchObject({ kind: "fileMissing" });
  });

  test.each([{}, { pass: "of the repository" }])(
    "is withdrawn when a storage stores half of its manifest, with %o",
    async (keys) => {
      const storage = new MemoryStorage();
      const repo = await withParts(repository(1, { storage, ...keys }));
      const put = storage.put.bind(storage);
      storage.put = (path, bytes) => put(path, bytes.subarray(0, bytes.length >> 1));
      await expect(publishDump(repo, MANIFEST, testLease(), ctx)).rejects.toMatchObject({ kind: "fileMissing" });
      expect(await listDumpDirectories(repo)).toMatchObject([{ hasManifest: false }]);
    },
  );

  test("lacks the files that neither the listing nor a look by name shows", async () => {
    const repo = await withParts(repository(1));
    const [directory] = await listDumpDirectories(repo);
    expect(await findLostParts(repo, LABEL, MANIFEST, directory?.files)).toEqual([]);
    expect(await findLostParts(repo, LABEL, MANIFEST), "a listing that shows nothing").toEqual([]);
    await repo.storage.remove(`${DIRECTORY}/shop.dump`);
    expect(await findLostParts(repo, LABEL, MANIFEST)).toEqual(["shop.dump"]);
  });

  test("loses its manifest first, so that a removal that is killed leaves no part of a dump", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await publishDump(await withParts(repo), MANIFEST, testLease(), ctx);
    // A directory loses its files in any order.
    storage.removePath = async () => {
      await storage.remove(`${DIRECTORY}/globals.sql`);
      throw fail("term", "killed");
    };
    await expect(removeDump(repo, LABEL)).rejects.toMatchObject({ kind: "term" });
    expect(storage.paths()).toEqual([`${DIRECTORY}/shop.dump`, `${DIRECTORY}/shop.dump.2`]);
  });

  test("of another label under this name is refused, and other directories do not count", async () => {
    const repo = await withParts(repository(1));
    await publishDump(repo, MANIFEST, testLease(), ctx);
    const other = "20261121-064059Z-1a2b3c4d";
    const text = Buffer.from((repo.storage as MemoryStorage).text(`${DIRECTORY}/dump.manifest`));
    await repo.storage.put(`pgbackstop/demo/dump/${other}/dump.manifest`, text);
    await expect(loadDumpManifest(repo, other)).rejects.toMatchObject({ kind: "format" });
    await repo.storage.put("pgbackstop/demo/dump/notes/dump.manifest", text);
    expect((await listDumpDirectories(repo)).map(({ label }) => label)).toEqual([LABEL, other]);
  });
});
