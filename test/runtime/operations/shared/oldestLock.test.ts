import { expect, test } from "vitest";
import { oldestLock } from "../../../../runtime/operations/shared/oldestLock";
import type { Repository } from "../../../../runtime/repository/repository";
import type { ObjectInfo } from "../../../../runtime/storage/storage";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { makeStanza } from "../../../harness/madeRepository";
import { repository } from "../../repository/support";

const NOW_MS = Date.UTC(2026, 10, 20);
const DAY_MS = 24 * 60 * 60 * 1000;
const WAL = ["000000010000000000000003", "000000010000000000000004"] as const;
const backup = (label: string, stoppedAtS: number): { label: string; stoppedAtS: number; wal: typeof WAL } => ({
  label,
  stoppedAtS,
  wal: WAL,
});

/** Locks each file until the time of its backup's directory. */
class LockingStorage extends MemoryStorage {
  readonly untilMs = new Map<string, number>();

  override async stat(path: string): Promise<ObjectInfo | null> {
    const [info, lockedUntilMs] = [await super.stat(path), this.untilMs.get(path.split("/")[2] ?? "")];
    return info === null || lockedUntilMs === undefined ? info : { ...info, lockedUntilMs };
  }
}

async function made(): Promise<{ readonly repo: Repository; readonly storage: LockingStorage }> {
  const storage = new LockingStorage();
  const repo = repository(1, { storage });
  const backups = [
    backup("20261118-030000F", Date.UTC(2026, 10, 18, 4) / 1000),
    backup("20261101-030000F", Date.UTC(2026, 10, 1, 4) / 1000),
  ];
  await makeStanza(repo, { versions: ["18"], backups, wal: { "18-1": WAL } });
  return { repo, storage };
}

test("the oldest backup counts by the lock of its first files, whatever newer ones show", async () => {
  const { repo, storage } = await made();
  storage.untilMs.set("20261118-030000F", NOW_MS + 30 * DAY_MS);
  expect(await oldestLock(repo, NOW_MS)).toMatchObject({ verdict: "fail" });
  // An hour passed between the first file and the manifest.
  storage.untilMs.set("20261101-030000F", NOW_MS + DAY_MS / 48);
  expect(await oldestLock(repo, NOW_MS)).toMatchObject({
    verdict: "fail",
    text: expect.stringContaining("20261101-030000F is not locked any more"),
  });
  storage.untilMs.set("20261101-030000F", NOW_MS + DAY_MS);
  expect(await oldestLock(repo, NOW_MS)).toEqual({
    name: "oldest-backup",
    verdict: "ok",
    text: "20261101-030000F is locked until 2026-11-20T23:00:00Z",
  });
});

test("a repository without backups has no oldest one", async () => {
  expect(await oldestLock(repository(1), NOW_MS)).toBeNull();
});
