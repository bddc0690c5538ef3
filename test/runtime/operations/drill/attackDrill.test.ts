import { describe, expect, test } from "vitest";
import { utf8 } from "../../../../runtime/base/bytes";
import { attackDrill, type AttackOptions } from "../../../../runtime/operations/drill/attackDrill";
import { drillText } from "../../../../runtime/operations/drill/drillReport";
import {
  listTurns,
  loadDrillHistory,
  loadLocalDrills,
  loadNewestAttack,
  saveDrill,
} from "../../../../runtime/operations/drill/history";
import { ATTACK } from "../../../../runtime/operations/drill/record";
import type { StorageFact } from "../../../../runtime/storage/storage";
import { TEST_TIME_MS, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository, temporaryFolder } from "../../repository/support";
import { record } from "./support";

const DAY_MS = 24 * 60 * 60 * 1000;
const OPTIONS: AttackOptions = {
  stanza: "demo",
  level: "thorough",
  maxMinutes: 5,
  repoIndex: undefined,
  repoIndexes: undefined,
  beganMs: TEST_TIME_MS,
};

/** A bucket whose attack leaves one file and has these results. */
class AttackedBucket extends MemoryStorage {
  readonly attacked: string[] = [];
  facts: StorageFact[] | Error = [{ name: "delete-version", verdict: "ok", text: "the service refuses it" }];

  async attack(scratch: string): Promise<StorageFact[]> {
    this.attacked.push(scratch);
    await this.put(`${scratch}/kept`, utf8("x"));
    if (this.facts instanceof Error) throw this.facts;
    return this.facts;
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
    left("pgbackstop/demo/attack/20261101-000000Z-00000000/kept", 9 * DAY_MS);
    left("pgbackstop/demo/attack/20261119-000000Z-00000000/kept", 7 * DAY_MS);
    const made = await attackDrill([bucket(1, storage)], OPTIONS, testContext());
    expect([made.ok, made.pick, made.repo, made.phases.map(({ name }) => name)]).toEqual([
      true,
      "attack",
      1,
      ["choose", "attack", "delete"],
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
    const made = await attackDrill([bucket(1, storage)], OPTIONS, testContext());
    expect(made.failures).toEqual([
      { where: "attack:delete-version", error: "AccessError", code: 105, message: "this key deletes versions" },
    ]);
    expect(made.checks.map(({ verdict }) => verdict)).toEqual(["failed", "warning", "skipped"]);
    expect(storage.paths()).toEqual([]);
    expect(drillText(made)).toContain("attacks repo1: FAILED");
    expect(drillText(made)).not.toContain("RTO");
    storage.facts = new Error("the network is gone");
    const broken = await attackDrill([bucket(1, storage)], OPTIONS, testContext());
    expect(broken.failures).toMatchObject([{ where: "attack", message: "the network is gone" }]);
    expect(storage.paths()).toEqual([]);
  });

  test("takes buckets in turn, and refuses a directory", async () => {
    const repos = [repository(1), bucket(2), bucket(3)];
    const seen: number[] = [];
    for (let seed = 1; seed <= 3; seed++) {
      const made = await attackDrill(repos, OPTIONS, testContext({ seed, startedAtMs: TEST_TIME_MS + seed * 60_000 }));
      await saveDrill(repos, temporaryFolder(), made, testContext());
      seen.push(made.repo);
    }
    expect(seen).toEqual([2, 3, 2]);
    const refused = await attackDrill(repos, { ...OPTIONS, repoIndex: 1 }, testContext());
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
