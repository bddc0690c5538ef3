import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { collect, textOf, utf8 } from "../../../../runtime/base/bytes";
import { drillsPath } from "../../../../runtime/format/repository/repoPath";
import {
  listTurns,
  loadDrillHistory,
  loadLocalDrills,
  localDrillsPath,
  saveDrill,
} from "../../../../runtime/operations/drill/history";
import { openRepoFile } from "../../../../runtime/operations/shared/repoFiles";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder } from "../../repository/support";
import { record } from "./support";

const ID = (no: number): string => `20261121-${String(100000 + no)}Z-00000000`;

describe("the history of drills", () => {
  test("is in every repository and on this machine, encrypted if the repository is", async () => {
    const [plain, secret] = [repository(1), repository(2, { pass: "secret" })];
    const spool = temporaryFolder();
    const made = record(ID(1));
    await saveDrill([plain, secret], spool, made, testContext());
    for (const repo of [plain, secret]) expect(await loadDrillHistory([repo], testContext())).toEqual([made]);
    expect(await loadLocalDrills(spool, "demo")).toEqual([made]);
    const stored = await collect(
      await secret.storage.read(`${drillsPath("demo")}/${ID(1)}-repo1-newest.json`),
      1 << 20,
    );
    expect(textOf(stored)).not.toContain("newest");
    // repo-get reads it the same way.
    const shown = await collect(
      await openRepoFile(secret, `${drillsPath("demo")}/${ID(1)}-repo1-newest.json`, false),
      1 << 20,
    );
    expect(JSON.parse(textOf(shown))).toEqual(made);
    expect(await loadDrillHistory([repository(2, { pass: "other", storage: secret.storage })], testContext())).toEqual(
      [],
    );
  });

  test("is merged, each drill once and in order", async () => {
    const repos = [repository(1), repository(2)];
    const spool = temporaryFolder();
    await saveDrill(repos, spool, record(ID(2)), testContext());
    await saveDrill(repos.slice(1), spool, record(ID(1)), testContext());
    await saveDrill(repos.slice(0, 1), spool, record(ID(3)), testContext());
    expect((await loadDrillHistory(repos, testContext())).map(({ id }) => id)).toEqual([ID(1), ID(2), ID(3)]);
    const turns = await listTurns(repos, testContext());
    expect(new Map(turns.map((turn) => [turn.id, turn])).get(ID(1))).toEqual({ id: ID(1), repo: 1, pick: "newest" });
    expect(turns).toHaveLength(3);
  });

  test("an unreadable or read-only repository is reported, and the others have it", async () => {
    const log: string[] = [];
    const ctx = testContext();
    const reported = { ...ctx, log: { ...ctx.log, warn: (text: string) => void log.push(text) } };
    class Closed extends MemoryStorage {
      override async put(): Promise<void> {
        throw new Error("the key may only read");
      }
    }
    const repos = [repository(1), repository(2, { storage: new Closed({ name: "closed" }) })];
    const spool = temporaryFolder();
    await saveDrill(repos, spool, record(ID(1)), reported);
    expect(log).toEqual([expect.stringContaining("repo2: the drill could not be recorded")]);
    expect(await loadDrillHistory(repos, ctx)).toHaveLength(1);
  });

  test("keeps 104 in each location, and leaves other files alone", async () => {
    const repo = repository(1);
    const spool = temporaryFolder();
    mkdirSync(localDrillsPath(spool, "demo"), { recursive: true });
    writeFileSync(join(localDrillsPath(spool, "demo"), "notes.json"), "mine");
    await repo.storage.put(`${drillsPath("demo")}/notes.json`, utf8("mine"));
    for (let no = 1; no <= 106; no++) await saveDrill([repo], spool, record(ID(no)), testContext());
    const ids = (await loadDrillHistory([repo], testContext())).map(({ id }) => id);
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([104, ID(3), ID(106)]);
    expect((await loadLocalDrills(spool, "demo")).length).toBe(104);
    expect(readdirSync(localDrillsPath(spool, "demo"))).toContain("notes.json");
    expect(await repo.storage.stat(`${drillsPath("demo")}/notes.json`)).not.toBeNull();
  });

  test("an invalid record is skipped", async () => {
    const spool = temporaryFolder();
    mkdirSync(localDrillsPath(spool, "demo"), { recursive: true });
    for (const [no, text] of ["{", "[]", "{}", '{"version":1}'].entries())
      writeFileSync(join(localDrillsPath(spool, "demo"), `${ID(no)}-repo1-newest.json`), text);
    expect(await loadLocalDrills(spool, "demo")).toEqual([]);
    expect(await loadLocalDrills(temporaryFolder(), "demo")).toEqual([]);
  });
});
