import { describe, expect, it } from "vitest";
import { utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import type { ArchiveInfo } from "../../../runtime/format/repository/archiveInfo";
import { parseBackupInfo } from "../../../runtime/format/repository/backupInfo";
import {
  fenceBackupInfo,
  loadArchiveInfo,
  loadBackupInfo,
  saveArchiveInfo,
  saveBackupInfo,
  updateArchiveInfo,
  updateBackupInfo,
} from "../../../runtime/repository/infoStore";
import type { Repository } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/network/faults";
import { ForgetfulStorage, MemoryStorage } from "../../harness/doubles/storages";
import { PASS, vectorBytes, vectorText } from "../format/vectors";
import { repository } from "./support";

const MAIN = "archive/demo/archive.info";
const COPY = "archive/demo/archive.info.copy";
const INFO: ArchiveInfo = {
  backrestVersion: "2.60.0",
  currentId: 1,
  history: [{ id: 1, systemId: 7710143016304328199n, pgVersion: "15" }],
  other: [],
};
const ctx = testContext();

async function stored(pass?: string): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await saveArchiveInfo(repository(1, { storage, ...(pass === undefined ? {} : { pass }) }), INFO, ctx);
  return storage;
}

function flip(storage: MemoryStorage, path: string): void {
  const bytes = Uint8Array.from(storage.files.get(path)?.bytes ?? []);
  const position = Buffer.from(bytes).indexOf("db-version");
  const target = position === -1 ? 40 : position + 13;
  bytes[target] = (bytes[target] ?? 0) ^ 0x03;
  storage.files.set(path, { bytes, modifiedAtMs: 0 });
}

describe("info files", () => {
  it("are written twice, alike, main first", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    await saveArchiveInfo(repository(1, { storage }), INFO, ctx);
    expect(storage.calls("put")).toEqual([MAIN, COPY]);
    const memory = await stored();
    expect(memory.text(MAIN)).toBe(memory.text(COPY));
  });

  const BACKUP_INFO = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden");
  const UPGRADED = { ...INFO, currentId: 2, history: [...INFO.history, { id: 2, systemId: 1n, pgVersion: "16" }] };
  const WRITERS: readonly [string, (repo: Repository) => Promise<unknown>][] = [
    ["saveArchiveInfo", (repo) => saveArchiveInfo(repo, UPGRADED, ctx)],
    ["saveBackupInfo", (repo) => saveBackupInfo(repo, { ...BACKUP_INFO, backups: [] }, ctx)],
    ["updateArchiveInfo", (repo) => updateArchiveInfo(repo, () => UPGRADED, ctx)],
    ["updateBackupInfo", (repo) => updateBackupInfo(repo, (info) => ({ ...info, backups: [] }), ctx)],
    ["fenceBackupInfo", (repo) => fenceBackupInfo(repo, (info) => ({ ...info, backups: [] }), ctx)],
  ];
  const forgetful = async (replaces: boolean, pass?: string) => {
    const storage = new ForgetfulStorage({ createsExclusively: replaces, replaces });
    const repo = repository(1, { storage, ...(pass === undefined ? {} : { pass }) });
    await saveArchiveInfo(repo, INFO, ctx);
    await saveBackupInfo(repo, BACKUP_INFO, ctx);
    return { storage, repo };
  };

  describe.each(WRITERS)("that %s writes", (_name, write) => {
    it.each([/\.info$/, /\.info\.copy$/, /\.info(\.copy)?$/])(
      "are an error where the storage answers that it has stored %s and has not",
      async (forgets) => {
        for (const replaces of [true, false]) {
          for (const pass of [undefined, "secret"]) {
            const { repo, storage } = await forgetful(replaces, pass);
            storage.forgets = forgets;
            await expect(write(repo)).rejects.toMatchObject({ kind: "fileMissing", exitCode: 55, repoIndex: 1 });
          }
        }
      },
    );
  });

  it.each(WRITERS.slice(2))("that %s changes are written again when they were not stored", async (_name, write) => {
    for (const forgets of [/\.info$/, /\.info\.copy$/, /\.info(\.copy)?$/]) {
      const { repo, storage } = await forgetful(true);
      const before = new Set(storage.paths().map((path) => storage.text(path)));
      let forgotten = 0;
      storage.forgets = { test: (path: string) => forgets.test(path) && forgotten++ < 2 } as RegExp;
      await write(repo);
      expect(forgotten).toBeGreaterThan(1);
      const after = storage.paths().map((path) => storage.text(path));
      expect(after.filter((text) => !before.has(text))).toHaveLength(2);
    }
  });

  it("are read each time: a good list of a moment ago hides no other one and no damage", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    await storage.put("backup/demo/backup.info", vectorBytes("v2.45/plain/backup.info"));
    const info = await loadBackupInfo(repo);
    expect(await loadBackupInfo(repo)).toBe(info);
    await saveBackupInfo(repo, { ...info, backups: info.backups.slice(0, 2) }, ctx);
    expect((await loadBackupInfo(repo)).backups).toHaveLength(2);
    for (const path of ["backup/demo/backup.info", "backup/demo/backup.info.copy"]) flip(storage, path);
    await expect(loadBackupInfo(repo)).rejects.toMatchObject({ kind: "checksum" });
  });

  it("written by stock are read, plain and encrypted", async () => {
    const storage = new MemoryStorage();
    await storage.put(MAIN, vectorBytes("v2.45/plain/archive.info"));
    await storage.put("backup/demo/backup.info", vectorBytes("v2.45/plain/backup.info"));
    const plain = repository(1, { storage });
    expect((await loadArchiveInfo(plain)).history[0]?.systemId).toBe(7710143016304328199n);
    const info = await loadBackupInfo(plain);
    expect(info.backups.map((backup) => backup.type)).toEqual(["full", "diff", "incr"]);
    const copy = new MemoryStorage();
    await saveBackupInfo(repository(1, { storage: copy }), { ...info, backrestVersion: "2.45" }, ctx);
    expect(copy.text("backup/demo/backup.info")).toBe(vectorText("v2.45/plain/backup.info"));

    await storage.put(MAIN, vectorBytes("v2.45/encrypted/archive.info"));
    expect((await loadArchiveInfo(repository(2, { storage, pass: PASS.repo2 }))).cipherPass).toHaveLength(64);
  });

  it.each([
    ["is missing", (storage: MemoryStorage) => void storage.files.delete(MAIN)],
    ["has a wrong byte", (storage: MemoryStorage) => flip(storage, MAIN)],
    [
      "is truncated",
      (storage: MemoryStorage) =>
        void storage.files.set(MAIN, { bytes: Buffer.from("[backrest]\nback"), modifiedAtMs: 0 }),
    ],
    ["is empty", (storage: MemoryStorage) => void storage.files.set(MAIN, { bytes: Buffer.alloc(0), modifiedAtMs: 0 })],
  ])("are read from the copy when the main file %s", async (_what, damage) => {
    for (const pass of [undefined, "secret"]) {
      const storage = await stored(pass);
      damage(storage);
      expect(await loadArchiveInfo(repository(1, { storage, ...(pass === undefined ? {} : { pass }) }))).toMatchObject({
        currentId: 1,
        history: INFO.history,
      });
    }
  });

  it("are read from the copy when the main file cannot be read", async () => {
    const storage = new FaultyStorage(await stored()).plan(
      "read",
      { kind: "error", error: fail("fileRead", "bad sector") },
      { path: /archive\.info$/ },
    );
    expect((await loadArchiveInfo(repository(1, { storage }))).currentId).toBe(1);
    storage.verifyAllFaultsExercised();
  });

  it("are not asked for twice where nothing answers", async () => {
    const silence = fail("hostConnect", "no answer", { retryable: true });
    const storage = new FaultyStorage(await stored()).plan(
      "read",
      { kind: "error", error: silence },
      { path: /archive\.info$/ },
    );
    await expect(loadArchiveInfo(repository(1, { storage }))).rejects.toMatchObject({
      kind: "hostConnect",
      retryable: true,
      message: `unable to load info file '${MAIN}':\nHostConnectError: no answer`,
    });
  });

  describe("of which neither is readable", () => {
    const HINT_PASSPHRASE =
      "Is this the right passphrase for this repository and stanza? Is the repository encrypted at all?";
    const HINT_DAMAGED = "The file and its copy are damaged. Use another repository, or restore a good copy of either.";

    it("are missing (55) when there is none, with a hint", async () => {
      const error = await loadArchiveInfo(repository(2)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ kind: "fileMissing", exitCode: 55, repoIndex: 2, path: MAIN });
      expect(error).toHaveProperty("hints", expect.arrayContaining(["has a stanza-create been performed?"]));
      expect((error as Error).message.split("\n")).toEqual([
        `unable to load info file '${MAIN}' or '${COPY}':`,
        `FileMissingError: unable to open missing file 'memory2/${MAIN}' for read`,
        `FileMissingError: unable to open missing file 'memory2/${COPY}' for read`,
      ]);
    });

    it("have the kind of the damage when the other is missing", async () => {
      for (const missing of [MAIN, COPY]) {
        const storage = await stored();
        flip(storage, missing === MAIN ? COPY : MAIN);
        storage.files.delete(missing);
        await expect(loadArchiveInfo(repository(1, { storage }))).rejects.toMatchObject({
          kind: "checksum",
          exitCode: 26,
        });
      }
    });

    it("have the common kind of two equal damages, and 41 for two different ones", async () => {
      const storage = await stored();
      flip(storage, MAIN);
      flip(storage, COPY);
      await expect(loadArchiveInfo(repository(1, { storage }))).rejects.toMatchObject({
        kind: "checksum",
        hints: [HINT_DAMAGED],
      });
      const faulty = new FaultyStorage(storage).plan(
        "read",
        { kind: "error", error: fail("access", "refused", { hint: "check the key." }) },
        { path: /copy$/ },
      );
      const error = await loadArchiveInfo(repository(1, { storage: faulty })).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ kind: "fileOpen", exitCode: 41 });
      expect((error as Error).message).toContain("AccessError: refused");
      expect(error).toHaveProperty("hints", ["check the key."]);
    });

    it("suggest a wrong passphrase when it does not fit", async () => {
      for (const [pass, result] of [
        ["right", "planted-wrong"],
        [undefined, "planted-needless"],
      ] as const) {
        const storage = await stored(pass);
        const error = await loadArchiveInfo(repository(1, { storage, pass: result })).catch(
          (thrown: unknown) => thrown,
        );
        expect(error).toMatchObject({ kind: "crypto", exitCode: 95, hints: [HINT_PASSPHRASE] });
        expect(JSON.stringify([error, (error as Error).message])).not.toContain(result);
      }
    });

    it("report the passphrase even if the padding is valid by chance, once in 256", async () => {
      const storage = await stored("right");
      for (let round = 0; round < 1500; round++) {
        const error = await loadArchiveInfo(repository(1, { storage, pass: `wrong-${round}` })).catch(
          (thrown: unknown) => thrown,
        );
        expect([round, (error as { kind?: string }).kind]).toEqual([round, "crypto"]);
      }
    });

    it("are retryable when the store was only down", async () => {
      const storage = new FaultyStorage(new MemoryStorage()).breakDown(
        fail("hostConnect", "unreachable", { retryable: true }),
      );
      await expect(loadBackupInfo(repository(1, { storage }))).rejects.toMatchObject({
        kind: "hostConnect",
        retryable: true,
      });
    });
  });

  describe("are changed", () => {
    const withId = (info: ArchiveInfo, id: number): ArchiveInfo => ({
      ...info,
      currentId: id,
      history: [...info.history, { id, systemId: BigInt(id), pgVersion: "16" }],
    });

    it("again on top of another process's write, if the storage has versions", async () => {
      for (const pass of [undefined, "secret"]) {
        const storage = await stored(pass);
        const repo = repository(1, { storage, ...(pass === undefined ? {} : { pass }) });
        let rounds = 0;
        const updated = await updateArchiveInfo(
          repo,
          async (info) => {
            if (++rounds === 1) await saveArchiveInfo(repo, withId(info, 2), ctx);
            return withId(info, info.currentId + 1);
          },
          ctx,
        );
        expect(updated.history.map(({ id }) => id)).toEqual([1, 2, 3]);
        expect((await loadArchiveInfo(repo)).history.map(({ id }) => id)).toEqual([1, 2, 3]);
      }
    });

    it("never by a write that arrives after another process's, however late", async () => {
      const storage = await stored();
      const repo = repository(1, { storage });
      const replace = storage.replace;
      const overdue = Object.assign(storage, {
        replace: async (path: string, bytes: Uint8Array, version: string) => {
          if ((await loadArchiveInfo(repo)).currentId === 1) await saveArchiveInfo(repo, withId(INFO, 2), ctx);
          return (await replace?.(path, bytes, version)) ?? false;
        },
      });
      await updateArchiveInfo(
        repository(1, { storage: overdue }),
        (info) => (info.currentId === 2 ? info : withId(info, 9)),
        ctx,
      );
      expect((await loadArchiveInfo(repo)).currentId).toBe(2);
    });

    it("by expire to new bytes, so that an earlier list has no earlier version", async () => {
      const storage = new MemoryStorage();
      const repo = repository(1, { storage });
      const path = "backup/demo/backup.info";
      await storage.put(path, vectorBytes("v2.45/plain/backup.info"));
      const before = (await storage.stat(path))?.version ?? "";
      const info = await fenceBackupInfo(repo, (result) => result, ctx);
      expect(await loadBackupInfo(repo)).toEqual(info);
      expect(await storage.replace?.(path, utf8("of a process that slept"), before)).toBe(false);
      const directory = new MemoryStorage({ replaces: false });
      await directory.put(path, vectorBytes("v2.45/plain/backup.info"));
      await fenceBackupInfo(repository(1, { storage: directory }), (result) => result, ctx);
      expect(directory.text(path)).toBe(vectorText("v2.45/plain/backup.info"));
    });

    it("not at all when the same object is returned", async () => {
      const storage = new FaultyStorage(await stored());
      await updateArchiveInfo(repository(1, { storage }), (info) => info, ctx);
      expect(storage.calls("put")).toEqual([]);
    });

    it("by creating the file when only its copy exists", async () => {
      const storage = await stored();
      await storage.remove(MAIN);
      await updateArchiveInfo(repository(1, { storage }), (info) => withId(info, 2), ctx);
      expect(storage.text(MAIN)).toBe(storage.text(COPY));
    });

    it("only a limited number of times while others keep changing them", async () => {
      const repo = repository(1, { storage: await stored() });
      const work = updateArchiveInfo(
        repo,
        async (info) => {
          await saveArchiveInfo(repo, withId(info, info.currentId + 1), ctx);
          return withId(info, info.currentId + 1);
        },
        ctx,
      );
      await expect(work).rejects.toMatchObject({ kind: "lockAcquire", retryable: true });
    });
  });

  it("stay readable whichever write of a save is the last one before a crash", async () => {
    const next: ArchiveInfo = {
      ...INFO,
      currentId: 2,
      history: [...INFO.history, { id: 2, systemId: 1n, pgVersion: "16" }],
    };
    for (const pass of [undefined, "secret"]) {
      const seen: number[] = [];
      for (let writes = 0; ; writes++) {
        const memory = (await stored(pass)).clone();
        const storage = new FaultyStorage(memory).crashAfter(writes);
        const options = pass === undefined ? {} : { pass };
        await saveArchiveInfo(repository(1, { storage, ...options }), next, ctx).catch(() => {});
        seen.push((await loadArchiveInfo(repository(1, { storage: memory, ...options }))).currentId);
        if (!storage.crashed) break;
      }
      expect(seen).toEqual([1, 2, 2]);
    }
  });
});
