/**
 * What is too old in each repository: its newest full backup, newest backup of any kind, newest WAL, and newest
 * complete logical dump. Reads the repositories only, so that it works where no server runs.
 */
import { type BackupError, fail } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { durationText } from "../../base/units";
import type { RepoSettings } from "../../config/types";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { surveyDumps } from "../dump/surveyDumps";
import { currentBackupsOf, findNewestWal, fullError, futureError, newestFullOf } from "../info/destinations";

/** Largest ages in seconds; what is absent is not compared. */
export type ExpectedAges = Pick<
  RepoSettings,
  "expectFullWithinS" | "expectBackupWithinS" | "expectDumpWithinS" | "expectWalWithinS"
>;

const HINTS = {
  backup: "Check the log of the scheduled backups.",
  WAL: "Check archive_command and its log. A database without any writes has no new WAL.",
  "complete dump": "Check the log of the scheduled dumps. dump-ls shows which dumps lack a file.",
} as const;

/** An error for each age; a repository that cannot be read has its own. */
export function findStale(
  repos: readonly Repository[],
  expected: (repoIndex: number) => ExpectedAges,
  nowS: number,
): Promise<RepoResult<readonly BackupError[]>[]> {
  return perRepo(repos, async (repo) => {
    const { expectBackupWithinS, expectDumpWithinS, expectFullWithinS, expectWalWithinS } = expected(repo.key);
    const info = await loadBackupInfo(repo);
    const { backups } = info;
    const full =
      expectFullWithinS === undefined
        ? null
        : fullError(repo.key, newestFullOf(currentBackupsOf(info)), expectFullWithinS, nowS);
    const newest = backups.reduce((latest, { stoppedAtS }) => Math.max(latest, stoppedAtS), 0);
    const wal = expectWalWithinS === undefined ? null : await findNewestWal(repo);
    const dump = expectDumpWithinS === undefined ? null : (await surveyDumps(repo)).newest;
    return [
      ...(full === null ? [] : [full]),
      // A repository without any backup lacks a full one.
      ...(newest === 0 && full !== null ? [] : tooOld(repo.key, "backup", newest, expectBackupWithinS, nowS)),
      ...tooOld(repo.key, "WAL", wal?.storedAtS ?? 0, expectWalWithinS, nowS),
      ...tooOld(repo.key, "complete dump", dump?.stoppedAtS ?? 0, expectDumpWithinS, nowS),
    ];
  });
}

/** @param atS zero if absent */
function tooOld(
  repoIndex: number,
  what: keyof typeof HINTS,
  atS: number,
  expectedS: number | undefined,
  nowS: number,
): BackupError[] {
  if (expectedS === undefined) return [];
  const future = futureError(repoIndex, what, atS, nowS);
  if (future !== null) return [future];
  if (nowS - atS <= expectedS) return [];
  const limit = `expected is at most ${durationText(expectedS)}`;
  const fact =
    atS === 0 ? `no ${what}: ${limit} old` : `the newest ${what} is ${durationText(nowS - atS)} old; ${limit}`;
  return [fail("backupSetInvalid", fact, { repoIndex, hint: HINTS[what] })];
}
