import { expect, test } from "vitest";
import type { BackupInfoEntry } from "../../../../runtime/format/repository/backupInfo";
import { formatLabel } from "../../../../runtime/format/repository/label";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Retention } from "../../../../runtime/repository/retention";
import { findNewestWal } from "../../../../runtime/operations/info/destinations";
import { loadSpaceLeft, spaceErrors } from "../../../../runtime/operations/info/spaceLeft";
import { overlaid } from "../../../../runtime/storage/overlaid";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository } from "../../repository/support";

const DAY_S = 86_400;
const NOW_S = Date.UTC(2026, 10, 20) / 1000;
const GIB = 1024 ** 3;
const KEEP_ALL: Retention = { fullType: "count", archiveType: "full" };

/** A full backup of 10 GiB each day at three o'clock, for so many days. */
function daily(count: number): BackupInfoEntry[] {
  return Array.from({ length: count }, (_, index): BackupInfoEntry => {
    const startedAtS = NOW_S - (count - index) * DAY_S + 3 * 3600;
    const label = formatLabel("full", startedAtS);
    return { ...entryOf({ label, wal: null }), startedAtS, stoppedAtS: startedAtS + 600, repoSizeDeltaBytes: 10 * GIB };
  });
}

const needs = (backups: BackupInfoEntry[], freeGib: number, retention: Retention, walGib = 0): string | undefined =>
  spaceErrors({ key: 1, retention }, { backups }, { freeBytes: freeGib * GIB, walBytes: walGib * GIB }, NOW_S)[0]
    ?.message;

// claim: docs/troubleshooting.md: status warns when a repository's file system lacks space for a week like the last
//   one: what it brought, less what retention will remove
test("a repository that grows needs what the last week brought", () => {
  expect(needs(daily(3), 30, KEEP_ALL)).toBeUndefined();
  expect(needs(daily(30), 69, KEEP_ALL)).toBe(
    "69GB are free, and a week like the last one (70GB of backups and 0B of WAL) needs 70GB",
  );
  expect(needs(daily(30), 70, KEEP_ALL)).toBeUndefined();
  expect(needs(daily(30), 76, KEEP_ALL, 7)).toContain("needs 77GB");
});

test("one whose retention removes as much needs one more backup, and a day of WAL", () => {
  for (const retention of [{ ...KEEP_ALL, full: 7 }, { ...KEEP_ALL, full: 7, fullType: "time" } as const]) {
    expect(needs(daily(8), 11, retention, 7)).toBeUndefined();
    expect(needs(daily(8), 10, retention, 7)).toContain("needs 11GB");
  }
});

test("one without a backup of the last week says nothing", () => {
  expect(needs([], 0, KEEP_ALL)).toBeUndefined();
});

test("WAL of a week is known from positions, and from what segments take here", async () => {
  const names = Array.from({ length: 9 }, (_, index) => `00000001000000000000000${index + 1}`);
  const inMemory = repository(1, { storage: new MemoryStorage({ nowMs: () => NOW_S * 1000 }) });
  const stoppedAtS = NOW_S - 2 * DAY_S;
  const label = formatLabel("full", stoppedAtS - 60);
  await makeStanza(inMemory, {
    versions: ["15"],
    backups: [{ label, stoppedAtS, wal: [names[0] ?? "", names[0] ?? ""] }],
    wal: { "15-1": names },
  });
  const space = async () => ({ freeBytes: 5 * GIB, totalBytes: 6 * GIB });
  const repo = { ...inMemory, storage: overlaid(inMemory.storage, { space }) };
  const loaded = await loadBackupInfo(repo);
  const backups = loaded.backups.map((entry) => ({ ...entry, lsnStart: "0/1000028" }));
  const left = await loadSpaceLeft(repo, { ...loaded, backups }, await findNewestWal(repo), NOW_S);
  expect(left?.freeBytes).toBe(5 * GIB);
  // Eight segments of 64 bytes in two days.
  expect(left?.walBytes).toBeCloseTo(((8 * 64) / 2) * 7, -1);
  expect(await loadSpaceLeft(inMemory, loaded, null, NOW_S)).toBeNull();
});
