/**
 * Chooses the backup to restore: pure, with the reason for each refused one.
 *
 * Stock's rules ("pgbackrest-format" 17, steps 2 and 3): repositories are tried in key order. `--set` names the label.
 * A time target takes the newest backup that stopped before it, an LSN target the newest whose stop is not after it.
 * Any other type takes the newest backup of the first readable repository. A backup must lie on the path to the
 * timeline that recovery follows. A backup off the path is skipped, like one that stopped too late: it is of another
 * server, or of a past that was undone. With `--target-timeline=latest` the restore ends instead, as in stock.
 */
import { findTimeMs, isCalendarDate } from "../../base/clock";
import { BackupError, fail } from "../../base/errors";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { TimelineAncestor } from "../../format/wal/timeline";
import { formatLsn, parseLsn, timelineOf } from "../../format/wal/walSegment";

export interface SelectRequest {
  /** `--set`; undefined or `latest` chooses. */
  readonly set: string | undefined;
  readonly type: string;
  readonly target: string | undefined;
  /** Seconds since 1970 of a time target; null for other types. */
  readonly targetTimeS: number | null;
  /**
   * Timelines by archive id (`15-1`): the timeline that recovery will follow, or why none can be followed; absent when
   * it stays on the backup's own, or is unknown.
   */
  readonly timelines: ReadonlyMap<string, TargetTimeline | BackupError>;
}

export interface TargetTimeline {
  readonly timeline: number;
  /** False for stock's rule, the latest one. */
  readonly isNamed: boolean;
  /** Its ancestors, oldest first; null when no repository has its history file. */
  readonly ancestors: readonly TimelineAncestor[] | null;
  /** The value of `--target-timeline` that PostgreSQL needs to follow it. */
  readonly option: string;
}

export interface RepoBackups {
  readonly repoIndex: number;
  readonly info: BackupInfo | null;
  /** Why `info` is null. */
  readonly error: BackupError | null;
}

export interface Selected {
  readonly repoIndex: number;
  readonly entry: BackupInfoEntry;
  readonly systemId: bigint | undefined;
  readonly timeline: TargetTimeline | undefined;
  /** Every refused candidate, one line with the reason for each. */
  readonly refused: readonly string[];
}

/**
 * @throws backupSetInvalid (75) with one line per refused candidate; dbMismatch (58) when the timeline does not fit;
 * repoInvalid (103) when no repository could be read
 */
export function selectBackup(repos: readonly RepoBackups[], request: SelectRequest): Selected {
  const refused: string[] = [];
  for (const { repoIndex, info, error } of repos) {
    if (info === null) {
      refused.push(`repo${repoIndex}: [${error?.name ?? "unknown"}] ${error?.message ?? "not readable"}`);
      continue;
    }
    if (info.backups.length === 0) refused.push(`repo${repoIndex}: holds no backup`);
    for (const entry of [...info.backups].reverse()) {
      let reason = refusal(entry, info, request);
      if (reason === null) {
        const timeline = request.timelines.get(archiveIdOfBackup(info, entry));
        if (timeline instanceof BackupError) throw timeline;
        reason = timeline === undefined ? null : timelineRefusal(entry, timeline);
        if (reason === null) return { repoIndex, entry, systemId: systemIdOf(info, entry), timeline, refused };
        if (timeline?.isNamed === false || isNamed(request.set)) throw timelineError(repoIndex, entry, reason);
      }
      refused.push(`repo${repoIndex}: ${entry.label}: ${reason}`);
    }
  }
  if (repos.every((repo) => repo.info === null))
    throw fail("repoInvalid", ["unable to find a valid repository", ...refused].join("\n"));
  const wanted = isNamed(request.set)
    ? `backup set ${request.set} is not valid`
    : `no backup set found to restore${targetText(request)}`;
  const lines = refused.slice(0, REFUSED_LINES_MAX);
  if (lines.length < refused.length) lines.push(`and ${refused.length - lines.length} more`);
  throw fail("backupSetInvalid", [wanted, ...lines].join("\n"), {
    hint: "Run info to list the backups of every repository.",
  });
}

const REFUSED_LINES_MAX = 40;

/** `15-1`: the archive that holds the WAL of this backup's cluster. */
export function archiveIdOfBackup(info: BackupInfo, entry: BackupInfoEntry): string {
  return archiveIdOf({ id: entry.dbId, pgVersion: info.history.find((row) => row.id === entry.dbId)?.pgVersion ?? "" });
}

export function systemIdOf(info: BackupInfo, entry: BackupInfoEntry): bigint | undefined {
  return info.history.find((row) => row.id === entry.dbId)?.systemId;
}

function isNamed(set: string | undefined): set is string {
  return set !== undefined && set !== "latest";
}

function refusal(entry: BackupInfoEntry, info: BackupInfo, request: SelectRequest): string | null {
  if (isNamed(request.set)) return entry.label === request.set ? null : `is not ${request.set}`;
  if (request.targetTimeS !== null)
    return entry.stoppedAtS < request.targetTimeS ? null : "stopped at or after the target time";
  if (request.type === "lsn" && request.target !== undefined) {
    if (entry.lsnStop === undefined) return "has no LSN to compare with the target";
    return parseLsn(entry.lsnStop) <= parseLsn(request.target) ? null : `stops at ${entry.lsnStop}, after the target`;
  }
  return entry.dbId === info.currentId
    ? null
    : `belongs to history id ${entry.dbId}, the current one is ${info.currentId}`;
}

/** True if recovery to this timeline can begin with the backup. */
export function isOnPath(entry: BackupInfoEntry, target: TargetTimeline): boolean {
  return timelineRefusal(entry, target) === null;
}

/** Recovery must pass the end of the backup before it leaves the backup's timeline, or it never becomes consistent. */
function timelineRefusal(entry: BackupInfoEntry, target: TargetTimeline): string | null {
  if (entry.archiveStart === null) return null;
  const own = timelineOf(entry.archiveStart);
  if (own === target.timeline || (!target.isNamed && own > target.timeline)) return null;
  if (target.ancestors === null) return `target timeline ${hex(target.timeline)} has no history file in the archive`;
  const left = target.ancestors.find((ancestor) => ancestor.timeline === own);
  const end = entry.lsnStop ?? entry.lsnStart;
  if (left === undefined)
    return `backup timeline ${hex(own)}, lsn ${end ?? "unknown"} is not in the history of target timeline ${hex(target.timeline)}`;
  if (end === undefined || parseLsn(end) <= left.lsn) return null;
  return `target timeline ${hex(target.timeline)} forked from backup timeline ${hex(own)} at ${formatLsn(left.lsn)} which is before backup lsn of ${end}`;
}

function timelineError(repoIndex: number, entry: BackupInfoEntry, reason: string): BackupError {
  return fail("dbMismatch", `repo${repoIndex}: ${entry.label}: ${reason}`, {
    hint: [
      "was the target timeline created by accidentally promoting a standby?",
      "was the target timeline created by testing a restore without --archive-mode=off?",
      "was the backup made after the target timeline was created?",
      `--target-timeline=${timelineOf(entry.archiveStart ?? "")} follows this backup's own timeline; without --set an older backup is taken.`,
    ],
    repoIndex,
  });
}

function hex(timeline: number): string {
  return timeline.toString(16).toUpperCase();
}

function targetText(request: SelectRequest): string {
  return request.target === undefined ? "" : ` for ${request.type} target '${request.target}'`;
}

/**
 * `--target-timeline`: a number, decimal or with 0x; null for `current`; "latest".
 * @throws dbMismatch (58) as stock does
 */
export function parseTimeline(text: string): number | "latest" | null {
  if (text === "latest") return "latest";
  if (text === "current") return null;
  const timeline = /^(\d{1,10}|0[xX][0-9a-fA-F]{1,8})$/.test(text) ? Number(text) : Number.NaN;
  if (timeline >= 1 && timeline <= 0xffffffff) return timeline;
  throw fail("dbMismatch", `invalid target timeline '${text}'`, { hint: "Use its number, current or latest." });
}

/** PostgreSQL would refuse to start with such a target. @throws format (29) for a date that no calendar has */
export function requireCalendarDate(text: string): void {
  const [date] = /^\d{4}-\d{2}-\d{2}/.exec(text) ?? [];
  if (date !== undefined && !isCalendarDate(date))
    throw fail("format", `invalid date ${date} in time '${text}'`, {
      hint: "The calendar has no such day: correct the target.",
    });
}

/** Seconds since 1970. @throws format (29) */
export function parseTargetTime(text: string): number {
  requireCalendarDate(text);
  const timeMs = findTimeMs(text);
  if (timeMs === null) {
    throw fail("format", `automatic backup set selection cannot be performed with provided time '${text}'`, {
      hint: "time format must be YYYY-MM-DD HH:MM:SS with optional msec and optional timezone (+/- HH or HHMM or HH:MM), or name the backup with --set.",
    });
  }
  return timeMs / 1000;
}
