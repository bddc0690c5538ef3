/**
 * What the next drill restores: pure, from the history and the repositories' content.
 *
 * Repositories take turns, and each uses every kind of pick, so that `repositories × picks` drills try each pair. A
 * failed drill counts as a turn: a broken repository must not block the others.
 *
 * - `newest`: the newest backup of the present cluster, recovered to the end of the archive, as after a disaster.
 *   Measures RTO and RPO.
 * - `oldest`: the oldest kept backup, until it is consistent.
 * - `random`: any backup, until it is consistent.
 * - `moment`: any WAL position of the present cluster after the end of a backup that keeps its WAL. A position, not a
 *   time of day: it is certain to be reached.
 */
import { type BackupError, fail } from "../../base/errors";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { formatLsn, lsnOfSegment, parseLsn } from "../../format/wal/walSegment";
import { DRILL_PICKS, type DrillPick, type DrillRecord } from "./record";

/** The part of a record that determines turns. */
export type Turn = Pick<DrillRecord, "id" | "repo" | "pick">;

export interface TurnRequest {
  readonly repoIndexes: readonly number[];
  readonly history: readonly Turn[];
  /** Set by the user. */
  readonly repoIndex?: number | undefined;
  readonly pick?: DrillPick | undefined;
}

/**
 * The next turn: the pair drilled longest ago, with never-drilled pairs first; then by key and by the order of {@link
 * DRILL_PICKS}.
 */
export function planTurn({ history, pick, repoIndex, repoIndexes }: TurnRequest): {
  readonly repo: number;
  readonly pick: DrillPick;
} {
  const repo = repoIndex ?? repoInTurn(repoIndexes, history);
  const own = history.filter((turn) => turn.repo === repo);
  return { repo, pick: pick ?? longestAgo(DRILL_PICKS, (each) => lastOf(own.filter((turn) => turn.pick === each))) };
}

/** The repository drilled longest ago. */
export function repoInTurn(repoIndexes: readonly number[], history: readonly Turn[]): number {
  return longestAgo(repoIndexes, (key) => lastOf(history.filter((turn) => turn.repo === key)));
}

/** "" if absent. */
function lastOf(turns: readonly Turn[]): string {
  return turns.reduce((last, { id }) => (id > last ? id : last), "");
}

function longestAgo<T>(values: readonly T[], lastOfValue: (value: T) => string): T {
  const [first, ...rest] = values.map((value) => ({ value, last: lastOfValue(value) }));
  if (first === undefined) throw fail("assert", "a drill needs a repository to choose from");
  return rest.reduce((best, each) => (each.last < best.last ? each : best), first).value;
}

export interface PickRequest {
  readonly repoIndex: number;
  readonly pick: DrillPick;
  readonly backups: readonly BackupInfoEntry[];
  /** History id of the present cluster; backups from before an upgrade have another one. */
  readonly currentId: number;
  /** Newest segment in the repository's current archive. */
  readonly newestWal: string | null;
  readonly walSegmentSizeBytes: number;
  /** Labels of backups that keep no WAL after them. */
  readonly trimmed?: ReadonlySet<string>;
  /** `--set` */
  readonly set?: string | undefined;
  /** Two numbers from 0 to below 1. */
  readonly random: readonly [number, number];
}

export interface Picked {
  readonly backup: BackupInfoEntry;
  /** `default` is the end of the archive. */
  readonly type: "default" | "immediate" | "lsn";
  readonly target?: string;
  /** Explains a choice that differs from the request. */
  readonly note?: string;
}

/** @throws backupSetInvalid (75) when there is nothing to restore */
export function pickBackup(request: PickRequest): Picked {
  const { backups, pick, repoIndex, set } = request;
  const byEnd = backups.toSorted(
    (left, right) => left.stoppedAtS - right.stoppedAtS || (left.label < right.label ? -1 : 1),
  );
  const [oldest] = byEnd;
  if (oldest === undefined) throw nothing(repoIndex, "backup");
  if (set !== undefined) {
    const backup = byEnd.find(({ label }) => label === set);
    if (backup === undefined)
      throw fail("backupSetInvalid", `backup ${set} is not in repo${repoIndex}`, {
        repoIndex,
        hint: "pgbackstop info lists them.",
      });
    return pick === "newest" ? toEnd(backup) : { backup, type: "immediate" };
  }
  switch (pick) {
    case "newest":
      return toEnd(newestOf(byEnd, request));
    case "oldest":
      return immediate(oldest);
    case "random":
      return immediate(drawn(byEnd, request.random[0]) ?? oldest);
    case "moment":
      return pickPosition(byEnd, newestOf(byEnd, request), request);
  }
}

/** @throws backupSetInvalid (75) when all backups are from before an upgrade: none restores the present cluster */
function newestOf(byEnd: readonly BackupInfoEntry[], { currentId, repoIndex }: PickRequest): BackupInfoEntry {
  const newest = byEnd.findLast(({ dbId }) => dbId === currentId);
  if (newest === undefined) throw nothing(repoIndex, "backup of the present cluster");
  return newest;
}

function nothing(repoIndex: number, what: string): BackupError {
  return fail("backupSetInvalid", `repo${repoIndex} has no ${what}: nothing can be restored from it`, {
    repoIndex,
    hint: `pgbackstop backup --type=full --repo=${repoIndex} takes one; pgbackstop sync copies one from another repository.`,
  });
}

/** A backup of a stopped server needs no recovery. */
function toEnd(backup: BackupInfoEntry): Picked {
  return { backup, type: "default" };
}

function immediate(backup: BackupInfoEntry): Picked {
  return backup.optionOnline ? { backup, type: "immediate" } : toEnd(backup);
}

function drawn<T>(values: readonly T[], random: number): T | undefined {
  return values[Math.min(values.length - 1, Math.floor(random * values.length))];
}

/**
 * The newest segment exists, so recovery to any position before its start ends at that position. Backups of other
 * timelines are excluded: the same position may exist on each.
 */
function pickPosition(byEnd: readonly BackupInfoEntry[], newest: BackupInfoEntry, request: PickRequest): Picked {
  const { newestWal, random, trimmed, walSegmentSizeBytes } = request;
  const ends = byEnd.flatMap((backup) => {
    const isSame =
      newestWal !== null && backup.archiveStart?.slice(0, 8) === newestWal.slice(0, 8) && backup.dbId === newest.dbId;
    return isSame && trimmed?.has(backup.label) !== true && backup.lsnStop !== undefined
      ? [{ backup, lsn: parseLsn(backup.lsnStop) }]
      : [];
  });
  const last = newestWal === null ? 0n : lsnOfSegment(newestWal, walSegmentSizeBytes);
  const usable = ends.filter(({ lsn }) => lsn < last);
  const first = usable.reduce<bigint | null>((least, { lsn }) => (least === null || lsn < least ? lsn : least), null);
  if (first === null)
    return {
      ...immediate(newest),
      note: "no WAL follows the end of a backup, so the newest backup is restored until it is consistent",
    };
  const target = first + BigInt(Math.floor(Number(last - first) * random[1]));
  const before = usable.filter(({ lsn }) => lsn <= target);
  const best = before.reduce(
    (nearest, each) => (each.lsn > nearest.lsn ? each : nearest),
    before[0] as (typeof before)[number],
  );
  return { backup: best.backup, type: "lsn", target: formatLsn(target) };
}

/** Upper bound of the bytes that a drill fetches: the stored backup, and its WAL as if uncompressed. */
export function fetchedBytes({ backup, type }: Picked, newestWal: string | null, segmentSizeBytes: number): number {
  const { archiveStart, archiveStop, repoSizeBytes } = backup;
  const segments =
    archiveStart === null
      ? 0
      : countSegments(archiveStart, type === "immediate" ? archiveStop : newestWal, segmentSizeBytes);
  return repoSizeBytes + segments * segmentSizeBytes;
}

function countSegments(first: string, last: string | null, sizeBytes: number): number {
  if (last === null) return 0;
  const count = (lsnOfSegment(last, sizeBytes) - lsnOfSegment(first, sizeBytes)) / BigInt(sizeBytes) + 1n;
  return count > 0n ? Number(count) : 0;
}
