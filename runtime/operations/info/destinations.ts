/**
 * What each repository can restore: its newest full backup and its newest WAL segment, read from the repository. This
 * proves that a repository is usable: a bucket that gets WAL but never a full backup looks busy and cannot restore
 * anything.
 */
import { timeText } from "../../base/clock";
import { type BackupError, fail, nullOn } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { durationText } from "../../base/units";
import { type ArchiveHistoryEntry, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { JsonValue } from "../../format/repository/json";
import { type NewestWal, RepoFacts } from "../../recoverability/facts";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";

/** Maximum age of a repository's newest full backup, in seconds; `ever` only requires one to exist. */
export type FullExpectation = number | "ever";

export interface StoredFull {
  readonly label: string;
  readonly stoppedAtS: number;
}

export interface Destination {
  /** The stanza's present cluster; null without the stanza. */
  readonly cluster: { readonly pgVersion: string; readonly systemId: bigint } | null;
  readonly newestFull: StoredFull | null;
  readonly newestWal: NewestWal | null;
}

/** Every repository has its own result. One without the stanza is empty. */
export function listDestinations(repos: readonly Repository[]): Promise<RepoResult<Destination>[]> {
  return perRepo(repos, async (repo) => {
    const facts = new RepoFacts(repo);
    const backupInfo = await nullOn(facts.backupInfo(), "fileMissing");
    const archiveInfo = await nullOn(facts.archiveInfo(), "fileMissing");
    const info = archiveInfo ?? backupInfo;
    return {
      cluster: info === null ? null : currentHistory<ArchiveHistoryEntry>(info),
      newestFull: backupInfo === null ? null : newestFullOf(currentBackupsOf(backupInfo)),
      newestWal: await facts.newestWal(),
    };
  });
}

/** Every repository's backups; one without the stanza is an error in its own result. */
export function listBackups(repos: readonly Repository[]): Promise<RepoResult<readonly BackupInfoEntry[]>[]> {
  return perRepo(repos, async (repo) => (await loadBackupInfo(repo)).backups);
}

/** Those of the stanza's present cluster: after an upgrade, none of the previous cluster's can be continued. */
export function currentBackupsOf({ backups, currentId }: Pick<BackupInfo, "backups" | "currentId">): BackupInfoEntry[] {
  return backups.filter(({ dbId }) => dbId === currentId);
}

/** Like {@link listBackups}, of the present cluster alone. */
export function listCurrentBackups(repos: readonly Repository[]): Promise<RepoResult<readonly BackupInfoEntry[]>[]> {
  return perRepo(repos, async (repo) => currentBackupsOf(await loadBackupInfo(repo)));
}

/** The newest full backup by end time: a label shows only the start. */
export function newestFullOf(backups: readonly BackupInfoEntry[]): StoredFull | null {
  const fulls = backups.filter((entry) => entry.type === "full");
  const newest = fulls.reduce<BackupInfoEntry | null>(
    (best, entry) => (best === null || entry.stoppedAtS > best.stoppedAtS ? entry : best),
    null,
  );
  return newest === null ? null : { label: newest.label, stoppedAtS: newest.stoppedAtS };
}

/** Null when the newest full backup is as recent as expected. */
export function fullError(
  repoIndex: number,
  newest: StoredFull | null,
  expected: FullExpectation,
  nowS: number,
): BackupError | null {
  const hint = `pgbackstop backup --type=full --repo=${repoIndex} takes one; pgbackstop sync copies one from another repository.`;
  if (newest === null)
    return fail("backupSetInvalid", "no full backup: nothing can be restored from this repository", {
      repoIndex,
      hint,
    });
  if (expected === "ever") return null;
  const future = futureError(repoIndex, `full backup '${newest.label}'`, newest.stoppedAtS, nowS);
  if (future !== null) return future;
  const ageS = Math.max(0, nowS - newest.stoppedAtS);
  if (ageS <= expected) return null;
  const fact = `the newest full backup '${newest.label}' is ${durationText(ageS)} old; expected is one every ${durationText(expected)}`;
  return fail("backupSetInvalid", fact, { repoIndex, hint: [hint, "Check the log of the scheduled backups."] });
}

/** A clock may be ahead by this much. */
export const AHEAD_S_MAX = 3600;

/** What is of the future is recent for as long as the clock was ahead: its age says nothing. */
export function futureError(repoIndex: number, what: string, atS: number, nowS: number): BackupError | null {
  if (atS - nowS <= AHEAD_S_MAX) return null;
  const fact = `the newest ${what} is of the future (${timeText(atS)}): its age says nothing`;
  const hint = "Check the clock of this host, of the host that takes the backups, and of the repository.";
  return fail("backupSetInvalid", fact, { repoIndex, hint });
}

/**
 * `repo1: newest full backup 20251217-034103F of 2025-12-17T03:45:10Z, newest WAL 0000…000A of 2025-12-17T03:50:00Z`.
 */
export function destinationLine(result: RepoResult<Destination>): string {
  const repo = `repo${result.repoIndex}`;
  if (!result.ok) return `${repo}: cannot be read: [${result.error.name}] ${result.error.message}`;
  const { newestFull, newestWal } = result.value;
  const wal = newestWal === null ? "no WAL" : `newest WAL ${newestWal.name} of ${timeText(newestWal.storedAtS)}`;
  return `${repo}: ${fullText(newestFull)}, ${wal}`;
}

/** `newest full backup 20251217-034103F of 2025-12-17T03:45:10Z` */
export function fullText(newest: StoredFull | null): string {
  return newest === null ? "no full backup" : `newest full backup ${newest.label} of ${timeText(newest.stoppedAtS)}`;
}

/** Output of `info --detail-level=destinations --output=json` for a stanza. */
export function destinationsJson(stanza: string, results: readonly RepoResult<Destination>[]): JsonValue {
  return {
    name: stanza,
    repo: results.map((result): JsonValue => {
      if (!result.ok) return { error: `[${result.error.name}] ${result.error.message}`, key: result.repoIndex };
      const { cluster, newestFull, newestWal } = result.value;
      return {
        db: cluster === null ? null : { "system-id": String(cluster.systemId), version: cluster.pgVersion },
        full: newestFull === null ? null : { label: newestFull.label, stop: newestFull.stoppedAtS },
        key: result.repoIndex,
        wal: newestWal === null ? null : { name: newestWal.name, stored: newestWal.storedAtS },
      };
    }),
  };
}

/** {@link RepoFacts.newestWal} for a command that asks for nothing else. */
export function findNewestWal(repo: Repository, ofArchive?: string, timeline?: number): Promise<NewestWal | null> {
  return new RepoFacts(repo).newestWal(ofArchive, timeline);
}
