// claim: docs/internals/contracts.md: what two environments have…
import { describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { loadArchiveInfo, loadBackupInfo } from "../../../../runtime/repository/infoStore";
import { testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { vectorText } from "../../format/vectors";
import { CONTROL, OTHER_CONTROL, repository } from "../../repository/support";
import { store } from "../archive";

const ctx = testContext();
const INFOS = [
  "archive/demo/archive.info",
  "archive/demo/archive.info.copy",
  "backup/demo/backup.info",
  "backup/demo/backup.info.copy",
];

async function created(pass?: string): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await stanzaCreate([repository(1, { storage, ...(pass === undefined ? {} : { pass }) })], CONTROL, ctx);
  return storage;
}

describe("stanza-create", () => {
  it("writes the four info files, as in stock", async () => {
    const storage = await created();
    expect(storage.paths()).toEqual(INFOS);
    expect(withoutHead(storage.text(INFOS[0] ?? ""))).toBe(withoutHead(vectorText("v2.45/plain/archive.info")));
    expect(await loadBackupInfo(repository(1, { storage }))).toMatchObject({
      currentId: 1,
      backups: [],
      history: [{ catalogVersion: 202209061, controlVersion: 1300 }],
    });
  });

  it("gives an encrypted repository its own two passphrases", async () => {
    const repos = [1, 2].map((key) => repository(key, { pass: `pass${key}` }));
    expect(await stanzaCreate(repos, CONTROL, ctx)).toEqual([
      { repoIndex: 1, ok: true, value: "created" },
      { repoIndex: 2, ok: true, value: "created" },
    ]);
    const passes = [];
    for (const repo of repos)
      passes.push((await loadArchiveInfo(repo)).cipherPass, (await loadBackupInfo(repo)).cipherPass);
    expect(new Set(passes).size).toBe(4);
    for (const pass of passes) expect(pass).toMatch(/^[A-Za-z0-9+/]{64}$/);
  });

  it("changes nothing when it runs again", async () => {
    const storage = new FaultyStorage(await created("secret"));
    expect(await stanzaCreate([repository(1, { storage, pass: "secret" })], CONTROL, ctx)).toEqual([
      { repoIndex: 1, ok: true, value: "valid" },
    ]);
    expect(storage.writeCount).toBe(0);
  });

  it.each(INFOS)("restores %s from its twin", async (path) => {
    const storage = await created("secret");
    const repo = repository(1, { storage, pass: "secret" });
    const pass = (await loadArchiveInfo(repo)).cipherPass;
    storage.files.delete(path);
    expect(await stanzaCreate([repo], CONTROL, ctx)).toEqual([{ repoIndex: 1, ok: true, value: "valid" }]);
    expect(storage.paths()).toEqual(INFOS);
    expect((await loadArchiveInfo(repo)).cipherPass).toBe(pass);
  });

  it.each([
    ["backup.info", "archive.info"],
    ["archive.info", "backup.info"],
  ])("refuses (55) when %s exists and %s is gone", async (there, lacking) => {
    const storage = await created();
    await storage.put("backup/demo/20261120-065325F/backup.manifest", Buffer.from("x"));
    await store(repository(1, { storage }), 1);
    for (const path of lacking === "archive.info" ? INFOS.slice(0, 2) : INFOS.slice(2)) storage.files.delete(path);
    const [answer] = await stanzaCreate([repository(1, { storage })], CONTROL, ctx);
    expect(answer).toMatchObject({
      ok: false,
      error: { kind: "fileMissing", exitCode: 55, message: `${there} exists but ${lacking} is missing on repo1` },
    });
  });

  it.each(["archive/demo/15-1/x", "backup/demo/20261120-065325F/backup.manifest", "backup/demo/notes"])(
    "refuses (40) a directory that holds %s",
    async (path) => {
      const storage = new MemoryStorage();
      await storage.put(path, Buffer.from("x"));
      const [answer] = await stanzaCreate([repository(1, { storage })], CONTROL, ctx);
      expect(answer).toMatchObject({
        ok: false,
        error: { kind: "pathNotEmpty", exitCode: 40, message: expect.stringContaining("is not empty: it holds") },
      });
      expect(storage.paths()).toEqual([path]);
    },
  );

  it("refuses (28) a stanza of another cluster", async () => {
    const storage = await created();
    const [answer] = await stanzaCreate([repository(1, { storage })], OTHER_CONTROL, ctx);
    expect(answer).toMatchObject({ ok: false, error: { kind: "fileInvalid", exitCode: 28, repoIndex: 1 } });
    expect(answer).toHaveProperty("error.message", expect.stringContaining(`system-id ${CONTROL.systemId}`));
  });

  it("refuses another passphrase (95), and overwrites nothing", async () => {
    const storage = await created("right");
    const before = storage.text(INFOS[0] ?? "");
    const [answer] = await stanzaCreate([repository(1, { storage, pass: "other" })], CONTROL, ctx);
    expect(answer).toMatchObject({ ok: false, error: { kind: "crypto" } });
    expect(storage.text(INFOS[0] ?? "")).toBe(before);
  });

  it("answers for each repository: one that is down does not stop the others", async () => {
    const away = new FaultyStorage(new MemoryStorage()).breakDown(fail("hostConnect", "unreachable"));
    expect(await stanzaCreate([repository(1, { storage: away }), repository(2)], CONTROL, ctx)).toMatchObject([
      { ok: false, error: { kind: "hostConnect" } },
      { ok: true, value: "created" },
    ]);
  });

  it("can be run again wherever it was interrupted", async () => {
    for (const pass of [undefined, "secret"]) {
      const options = pass === undefined ? {} : { pass };
      for (let writes = 0; ; writes++) {
        const memory = new MemoryStorage();
        const storage = new FaultyStorage(memory).crashAfter(writes);
        await stanzaCreate([repository(1, { storage, ...options })], CONTROL, ctx);
        const repo = repository(1, { storage: memory, ...options });
        // PostgreSQL archives meanwhile, for which archive.info is enough.
        const archives = memory.paths().length > 0;
        if (archives) await store(repo, 1);
        const kept = archives ? (await loadArchiveInfo(repo)).cipherPass : undefined;
        const [answer] = await stanzaCreate([repo], CONTROL, ctx);
        expect(answer, `cut off after ${writes} writes`).toMatchObject({ ok: true });
        expect(memory.paths().filter((path) => path.endsWith(".info") || path.endsWith(".copy"))).toEqual(INFOS);
        if (archives) expect((await loadArchiveInfo(repo)).cipherPass).toBe(kept);
        await store(repo, 2);
        expect((await loadBackupInfo(repo)).history).toHaveLength(1);
        if (!storage.crashed) break;
      }
    }
  });

  it.each([0, 2])(
    "can be run again when it was killed during the write of a file after %d others",
    async (wholeCount) => {
      const made = await created();
      const storage = new MemoryStorage({
        files: new Map([...made.files].filter(([path]) => INFOS.indexOf(path) < wholeCount)),
      });
      const left = [
        "archive/demo/archive.info.0123456789abcdef.pgbackrest.tmp",
        "backup/demo/backup.info.copy.pgbackrest.tmp",
      ];
      for (const path of left) await storage.put(path, new Uint8Array(7));
      expect(await stanzaCreate([repository(1, { storage })], CONTROL, ctx)).toMatchObject([
        { ok: true, value: "created" },
      ]);
      expect(storage.paths()).toEqual([...INFOS, ...left].sort());
    },
  );

  it("does not complete a stanza that holds WAL of a cluster that archive.info does not name", async () => {
    const storage = await created();
    for (const path of INFOS.slice(2)) storage.files.delete(path);
    await storage.put("archive/demo/14-2/x", Buffer.from("x"));
    const [answer] = await stanzaCreate([repository(1, { storage })], CONTROL, ctx);
    expect(answer).toMatchObject({ ok: false, error: { kind: "fileMissing" } });
  });

  it("does not complete another cluster's stanza-create", async () => {
    const memory = new MemoryStorage();
    await stanzaCreate([repository(1, { storage: new FaultyStorage(memory).crashAfter(2) })], OTHER_CONTROL, ctx);
    const [answer] = await stanzaCreate([repository(1, { storage: memory })], CONTROL, ctx);
    expect(answer).toMatchObject({ ok: false, error: { kind: "archiveMismatch" } });
    expect(memory.paths()).toEqual(INFOS.slice(0, 2));
  });
});

/** Drops the values that differ between versions: the writer's version, and the checksum that covers it. */
function withoutHead(text: string): string {
  return text.replace(/backrest-(version|checksum)="[^"]*"/g, "");
}
