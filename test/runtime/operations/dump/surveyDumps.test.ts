import { expect, test } from "vitest";
import { hasDumps, surveyDumps } from "../../../../runtime/operations/dump/surveyDumps";
import { removeDump } from "../../../../runtime/repository/dumpStore";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { storeDump } from "../../../harness/madeDump";
import { repository } from "../../repository/support";

const [OLD, NEW] = ["20261120-064059Z-1a2b3c4d", "20261121-064059Z-1a2b3c4d"];

/** Removes a dump when its files are looked up, as another host may. */
class RemovingStorage extends MemoryStorage {
  removes: (() => Promise<void>) | null = null;

  override async stat(path: string): ReturnType<MemoryStorage["stat"]> {
    const remove = this.removes;
    this.removes = null;
    await remove?.();
    return super.stat(path);
  }
}

test("counts no dump that is being written, or is removed while it is read", async () => {
  const storage = new RemovingStorage();
  const repo = repository(1, { storage });
  expect(hasDumps(await surveyDumps(repo))).toBe(false);
  for (const label of [OLD, NEW]) await storeDump(repo, label);
  await storage.put("pgbackstop/demo/dump/20261122-064059Z-1a2b3c4d/shop.dump", Buffer.from("not yet all"));
  expect(await surveyDumps(repo)).toMatchObject({ completeCount: 2, newest: { label: NEW }, faulty: [] });
  await storage.remove(`pgbackstop/demo/dump/${NEW}/shop.dump`);
  expect(await surveyDumps(repo)).toMatchObject({ completeCount: 1, newest: { label: OLD }, faulty: [{ label: NEW }] });
  storage.removes = () => removeDump(repo, NEW);
  expect(await surveyDumps(repo)).toMatchObject({ completeCount: 1, newest: { label: OLD }, faulty: [] });
});
