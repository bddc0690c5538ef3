// claim: docs/drills-attack.md: an attack drill writes…
import { readdirSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { utf8 } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import type { AttackOptions } from "../../../../runtime/operations/drill/attackDrill";
import { drillText } from "../../../../runtime/operations/drill/drillReport";
import {
  listTurns,
  loadDrillHistory,
  loadLocalDrills,
  loadNewestAttack,
  saveDrill,
} from "../../../../runtime/operations/drill/history";
import { ATTACK, type DrillRecord } from "../../../../runtime/operations/drill/record";
import type { Repository } from "../../../../runtime/repository/repository";
import type { Attacked, AttackedStorage, StorageFact } from "../../../../runtime/storage/storage";
import { NIGHTLY } from "../../../../tools/parts/nightly";
import { TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import { type MemoryFile, MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder } from "../../repository/support";
import { makeAttack as makeDrill, patient, record } from "./support";

const DAY_MS = 24 * 60 * 60 * 1000;
let path: string;
beforeEach(() => {
  path = temporaryFolder();
});

const makeAttack = (
  repos: readonly Repository[],
  ctx: TestContext = patient(1),
  more: Partial<AttackOptions> = {},
): Promise<DrillRecord> => makeDrill(repos, ctx, { path, ...more });

/** The files of a bucket below one directory. */
class FilesBelow extends Map<string, MemoryFile> {
  readonly #all: Map<string, MemoryFile>;
  readonly #prefix: string;

  constructor(all: Map<string, MemoryFile>, directory: string) {
    super();
    this.#all = all;
    this.#prefix = `${directory}/`;
  }

  override get(name: string): MemoryFile | undefined {
    return this.#all.get(this.#prefix + name);
  }

  override has(name: string): boolean {
    return this.#all.has(this.#prefix + name);
  }

  override set(name: string, file: MemoryFile): this {
    this.#all.set(this.#prefix + name, file);
    return this;
  }

  override delete(name: string): boolean {
    return this.#all.delete(this.#prefix + name);
  }

  override *[Symbol.iterator](): MapIterator<[string, MemoryFile]> {
    for (const [name, file] of this.#all)
      if (name.startsWith(this.#prefix)) yield [name.slice(this.#prefix.length), file];
  }
}

/** A bucket whose attack removes everything, has these results, and shows the past with these changes. */
class AttackedBucket extends MemoryStorage {
  readonly attacked: string[] = [];
  facts: StorageFact[] | Error = [{ name: "delete-version", verdict: "ok", text: "the service refuses it" }];
  /** Paths of the scratch stanza at the attack. */
  written: string[] = [];
  changePast: (past: MemoryStorage) => void = () => {};
  hasPast = true;
  /** Called before each write. */
  onWrite: (count: number) => void = () => {};
  #writes = 0;

  openAttacked(scratch: string): AttackedStorage {
    this.attacked.push(scratch);
    return new ScratchOfBucket(this, scratch);
  }

  override async put(name: string, bytes: Uint8Array): Promise<void> {
    this.onWrite(++this.#writes);
    await super.put(name, bytes);
  }

  attack(own: MemoryStorage): Attacked {
    if (this.facts instanceof Error) throw this.facts;
    const past = own.clone("past");
    this.written = past.paths();
    for (const [index, name] of this.written.entries()) if (index % 2 === 0) own.files.delete(name);
    this.changePast(past);
    return { facts: this.facts, past: this.hasPast ? past : null };
  }
}

class ScratchOfBucket extends MemoryStorage implements AttackedStorage {
  override readonly files: Map<string, MemoryFile>;
  readonly #bucket: AttackedBucket;
  readonly #scratch: string;

  constructor(bucket: AttackedBucket, scratch: string) {
    super({ name: `${bucket.name}/${scratch}` });
    this.files = new FilesBelow(bucket.files, scratch);
    this.#bucket = bucket;
    this.#scratch = scratch;
  }

  override put(name: string, bytes: Uint8Array): Promise<void> {
    return this.#bucket.put(`${this.#scratch}/${name}`, bytes);
  }

  async attack(): Promise<Attacked> {
    return this.#bucket.attack(this);
  }
}

const bucket = (key: number, storage = new AttackedBucket()) => repository(key, { storage });

describe("an attack drill", () => {
  test("removes its own directory and one that no run can still use, and nothing else", async () => {
    const storage = new AttackedBucket();
    const left = (name: string, ageMs: number): void => {
      storage.files.set(name, { bytes: utf8("x"), modifiedAtMs: TEST_TIME_MS - ageMs });
    };
    left("backup/demo/backup.info", 99 * DAY_MS);
    left("pgbackstop/demo/drills/20260101-000000Z-00000000-repo1-newest.json", 99 * DAY_MS);
    left("pgbackstop/demo/attack/20261101-000000Z-00000000/backup/demo/backup.info", 9 * DAY_MS);
    left("pgbackstop/demo/attack/20261119-000000Z-00000000/kept", 7 * DAY_MS);
    const made = await makeAttack([bucket(1, storage)]);
    expect([made.ok, made.pick, made.repo, made.phases.map(({ name }) => name)]).toEqual([
      true,
      "attack",
      1,
      ["choose", "write", "attack", "restore", "delete"],
    ]);
    expect(storage.attacked).toEqual([`pgbackstop/demo/attack/${made.id}`]);
    expect(storage.paths()).toEqual([
      "backup/demo/backup.info",
      "pgbackstop/demo/attack/20261119-000000Z-00000000/kept",
      "pgbackstop/demo/drills/20260101-000000Z-00000000-repo1-newest.json",
    ]);
  });

  test("fails if the thief succeeds, and still cleans up", async () => {
    const storage = new AttackedBucket();
    storage.facts = [
      { name: "delete-version", verdict: "fail", text: "this key deletes versions" },
      { name: "lifecycle", verdict: "warn", text: "the key may" },
      { name: "bypass", verdict: "skip", text: "nothing is locked" },
    ];
    const made = await makeAttack([bucket(1, storage)]);
    expect(made.failures).toEqual([
      { where: "attack:delete-version", error: "AccessError", code: 105, message: "this key deletes versions" },
    ]);
    expect(made.checks.map(({ verdict }) => verdict)).toEqual(["failed", "warning", "skipped", "ok"]);
    expect(storage.paths()).toEqual([]);
    expect(drillText(made)).toContain("attacks repo1: FAILED");
    expect(drillText(made)).not.toContain("RTO");
    storage.facts = new Error("the network is gone");
    const broken = await makeAttack([bucket(1, storage)]);
    expect(broken.failures).toMatchObject([{ where: "attack", message: "the network is gone" }]);
    expect(storage.paths()).toEqual([]);
  });

  test("attacks a whole stanza, and restores it as it was", async () => {
    for (const more of [
      {},
      {
        pass: "real",
        compress: { type: "zst", level: 3 } as const,
        bundle: { sizeBytes: 1024 * 1024, limitBytes: 65536 },
      },
    ]) {
      const storage = new AttackedBucket();
      const made = await makeAttack([repository(1, { ...more, storage })]);
      expect([made.failures, made.restoredBytes > 300 * 1024]).toEqual([[], true]);
      expect(made.checks.at(-1)).toMatchObject({
        name: "attack:restore",
        text: "the stanza of before was restored: 6 files and 3 WAL segments are as they were",
      });
      const kinds = [
        /^archive\/demo\/archive\.info$/,
        /^backup\/demo\/backup\.info$/,
        /\/0{7}1\w{16}-/,
        /F\/backup\.manifest$/,
      ];
      for (const kind of kinds) expect(storage.written.filter((name) => kind.test(name))).not.toEqual([]);
      expect([storage.paths(), readdirSync(path)]).toEqual([[], []]);
    }
  });

  test("fails if any part of the stanza does not come back as it was", async () => {
    const changes: Record<string, (past: MemoryStorage) => void> = {
      index: (past) => {
        for (const copy of ["", ".copy"]) past.files.delete(`backup/demo/backup.info${copy}`);
      },
      wal: (past) => void past.files.delete(past.paths().find((name) => /\/0{7}1\w{16}-/.test(name)) ?? ""),
      data: (past) => {
        const name = past.paths().find((each) => each.includes("pg_data/base/1/1259")) ?? "";
        past.files.set(name, { bytes: utf8("ha"), modifiedAtMs: TEST_TIME_MS });
      },
    };
    for (const change of Object.values(changes)) {
      const storage = new AttackedBucket();
      storage.changePast = change;
      const made = await makeAttack([bucket(1, storage)]);
      expect(made.failures).toMatchObject([{ where: "attack:restore", code: 105 }]);
      expect([storage.paths(), readdirSync(path)]).toEqual([[], []]);
    }
    const unreadable = new AttackedBucket();
    unreadable.hasPast = false;
    expect((await makeAttack([bucket(1, unreadable)])).checks.map(({ name }) => name)).toEqual([
      "attack:delete-version",
    ]);
  });

  // By day at every third one.
  test("killed at any write, leaves the stanza alone and its leftovers to a later run", async () => {
    const real = new Map([["backup/demo/backup.info", { bytes: utf8("real"), modifiedAtMs: TEST_TIME_MS }]]);
    for (let killedAt = 1; ; killedAt += NIGHTLY ? 1 : 3) {
      const storage = new AttackedBucket({ files: real });
      const ctx = patient(killedAt);
      const dead = (): never => {
        throw fail("term", "killed");
      };
      storage.onWrite = (count) => void (count >= killedAt && dead());
      storage.removePath = dead;
      const killed = await makeAttack([bucket(1, storage)], ctx);
      if (killed.failures.every(({ where }) => where === "delete")) break;
      expect(storage.paths().filter((name) => !name.startsWith(`pgbackstop/demo/attack/${killed.id}/`))).toEqual([
        "backup/demo/backup.info",
      ]);
      const next = new AttackedBucket({ files: storage.files, nowMs: () => TEST_TIME_MS + 9 * DAY_MS });
      expect((await makeAttack([bucket(1, next)], patient(99))).failures).toEqual([]);
      expect(next.files).toEqual(real);
      expect(killedAt).toBeLessThan(60);
    }
  });

  test("two at the same time restore each its own stanza", async () => {
    const storage = new AttackedBucket();
    const made = await Promise.all([1, 2].map((seed) => makeAttack([bucket(1, storage)], patient(seed))));
    expect(made.map(({ failures }) => failures)).toEqual([[], []]);
    expect([new Set(storage.attacked).size, storage.paths()]).toEqual([2, []]);
  });

  test("takes buckets in turn, and refuses a directory", async () => {
    const repos = [repository(1), bucket(2), bucket(3)];
    const seen: number[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const made = await makeAttack(repos, patient(seed, TEST_TIME_MS + seed * 60_000));
      await saveDrill(repos, temporaryFolder(), made, testContext());
      seen.push(made.repo);
    }
    expect(seen).toEqual([2, 3, 2]);
    const refused = await makeAttack(repos, patient(1), { repoIndex: 1 });
    expect(refused.failures).toMatchObject([{ where: "choose", code: 67 }]);
  });

  test("is no restore: its records count neither as drills nor as turns", async () => {
    const [repo, spool] = [repository(1), temporaryFolder()];
    const attack = record("20261121-100001Z-00000000", { pick: ATTACK });
    const drill = record("20261121-100000Z-00000000");
    for (const made of [drill, attack]) await saveDrill([repo], spool, made, testContext());
    expect(await loadDrillHistory([repo], testContext())).toEqual([drill]);
    expect((await listTurns([repo], testContext())).map(({ pick }) => pick)).toEqual(["newest"]);
    expect(await loadLocalDrills(spool, "demo")).toEqual([drill]);
    expect(await loadLocalDrills(spool, "demo", [ATTACK])).toEqual([attack]);
    expect(await loadNewestAttack(repo)).toEqual(attack);
  });
});
