/**
 * Which WAL expires once the kept backups are known: pure, from both infos ("pgbackrest-format" 16, step 6; pgBackRest
 * 2.60 "command/expire").
 *
 * For each history id, gapless WAL begins at one backup. Older backups keep only the WAL that makes them consistent.
 * Everything is compared as text, as in stock: segments by 24 characters, directories by 16.
 *
 * Unlike stock, a newer backup on a lower timeline keeps its WAL and all that follows it: a restored copy or a standby
 * promoted by mistake may have stored one backup of a higher timeline before the server's next one.
 */
import { DIRECTORY_LENGTH, SEGMENT_LENGTH, TIMELINE_LENGTH } from "../../format/wal/walSegment";
import { countBefore } from "../../base/bytes";
import { fail } from "../../base/errors";
import { type ArchiveInfo, archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { Retention } from "../../repository/retention";
import type { BackupType } from "../../format/repository/label";
import { type Ages, pausesIn, planExpire } from "./expirePlan";

export interface KeepRange {
  readonly label: string;
  readonly start: string;
  /** Null keeps everything after it. */
  readonly stop: string | null;
}

export interface TrimArchive {
  readonly archiveId: string;
  readonly kind: "trim";
  readonly ranges: readonly KeepRange[];
  /** Where the first gapless WAL begins; null without a backup. */
  readonly gaplessFrom: string | null;
  /** Nothing from this segment on expires. */
  readonly before: string | null;
}

export type ArchiveExpiry = TrimArchive | { readonly archiveId: string; readonly kind: "remove" };

/** The newest `count` backups of a type keep all WAL, as `retention-archive` counts them. */
export interface ArchiveRule {
  readonly count: number;
  readonly type: BackupType;
  readonly before: string | null;
  /** Labels that do not count, because a calendar keeps them: they keep only their own WAL. */
  readonly extra?: ReadonlySet<string>;
  /** Labels that keep all WAL after them, whatever the count says. */
  readonly gapless?: ReadonlySet<string>;
}

/**
 * What expires per archive id with a directory; ids that lose nothing are omitted.
 * @throws format (29) when the histories differ
 */
export function planArchives(
  archiveInfo: ArchiveInfo,
  backupInfo: BackupInfo,
  kept: readonly BackupInfoEntry[],
  onDisk: ReadonlySet<string>,
  rule: ArchiveRule,
): ArchiveExpiry[] {
  const counted = kept.filter((entry) => isCounted(entry, rule)).reverse();
  // Too few backups: nothing expires, unless the user named a limit.
  if (rule.before === null && (counted.length === 0 || counted.length < rule.count)) return [];
  checkHistories(archiveInfo, backupInfo);
  return archiveInfo.history.flatMap((entry): ArchiveExpiry[] => {
    const archiveId = archiveIdOf(entry);
    if (!onDisk.has(archiveId)) return [];
    const local = counted.filter((backup) => backup.dbId === entry.id);
    const own = kept.filter((backup) => backup.dbId === entry.id);
    if (local.length > 0) return trim(archiveId, own, retentionBackup(counted, local, rule.count), rule);
    if (own.some(({ label }) => rule.extra?.has(label))) return [alone(archiveId, own, rule)];
    if (entry.id !== archiveInfo.currentId) return [{ archiveId, kind: "remove" }];
    return rule.before === null || own.length > 0
      ? []
      : [{ archiveId, kind: "trim", ranges: [], gaplessFrom: null, before: rule.before }];
  });
}

/**
 * What a repository's rule keeps of one history id once these backups are listed; null if it keeps all from the oldest
 * backup on. The next expire removes the rest, so nothing may miss it or copy it back.
 */
export function planKept(
  backups: readonly BackupInfoEntry[],
  historyId: number,
  retention: Retention | undefined,
  ages: Ages,
): TrimArchive | null {
  const rule = retention === undefined ? null : keptRule(backups, retention, ages);
  if (rule === null) return null;
  const counted = backups.filter((entry) => isCounted(entry, rule)).reverse();
  if (counted.length < rule.count) return null;
  const local = counted.filter(({ dbId }) => dbId === historyId);
  const own = backups.filter(({ dbId }) => dbId === historyId);
  if (local.length > 0) return trim("", own, retentionBackup(counted, local, rule.count), rule)[0] ?? null;
  return own.some(({ label }) => rule.extra?.has(label)) ? alone("", own, rule) : null;
}

/**
 * Null where WAL is kept from the oldest backup on: `retention-full` removes backups along with their WAL. What a
 * calendar keeps of them has only its own.
 */
function keptRule(backups: readonly BackupInfoEntry[], retention: Retention, ages: Ages): ArchiveRule | null {
  const { archive, archiveType: type, diff } = retention;
  const request = { oldest: false, refusePageErrors: false, dryRun: true };
  const plan = planExpire("", { backups }, retention, request, ages);
  const { extra } = plan;
  const count = archive ?? (type === "diff" ? diff : undefined);
  if (count !== undefined) return { count, type, before: null, extra };
  return extra.size === 0 || plan.archive === null ? null : { ...plan.archive, before: null, extra };
}

/** Backups of one history id that can be restored only to their own end, by the rule of {@link planKept}. */
export function trimmedLabels(
  backups: readonly BackupInfoEntry[],
  historyId: number,
  retention: Retention | undefined,
  nowMs: number,
): ReadonlySet<string> {
  const plan = planKept(backups, historyId, retention, { nowS: Math.floor(nowMs / 1000), pauses: [] });
  return new Set(plan?.ranges.flatMap(({ label, stop }) => (stop === null ? [] : [label])));
}

/** For runs that change something: a long pause may be a wrong clock, which must not make WAL unnecessary. */
export function carefulAges(backups: readonly BackupInfoEntry[], nowMs: number): Ages {
  const nowS = Math.floor(nowMs / 1000);
  const stopsS = backups.map(({ stoppedAtS }) => stoppedAtS);
  return { nowS, pauses: pausesIn(stopsS, nowS) };
}

/** True for a segment, history or label that the plan removes. */
export function isTrimmed(plan: TrimArchive | null, name: string): boolean {
  if (plan === null) return false;
  return name.endsWith(".history") ? isHistoryExpired(plan, name) : isFileExpired(plan, name);
}

/** True when a directory (16 characters) holds nothing to keep. */
export function isWholeDirectoryExpired(plan: TrimArchive, directory: string): boolean {
  if (plan.before !== null && directory >= plan.before.slice(0, DIRECTORY_LENGTH)) return false;
  return !isInRange(plan.ranges, directory, DIRECTORY_LENGTH);
}

/** True when the directory's files must be checked one by one. */
export function isDirectoryMixed(plan: TrimArchive, directory: string): boolean {
  const last = [plan.gaplessFrom, plan.before].map((segment) => segment?.slice(0, DIRECTORY_LENGTH) ?? "");
  return last.some((candidate) => directory <= candidate);
}

/** True when a file (segment, `.partial` or `.backup`, with any suffix after its 24 characters) expires. */
export function isFileExpired(plan: TrimArchive, fileName: string): boolean {
  const segment = fileName.slice(0, SEGMENT_LENGTH);
  if (plan.before !== null && segment >= plan.before) return false;
  return !isInRange(plan.ranges, segment, SEGMENT_LENGTH);
}

/** True for a history file of a timeline that ended before the kept WAL. */
export function isHistoryExpired(plan: TrimArchive, fileName: string): boolean {
  return plan.gaplessFrom !== null && fileName.slice(0, TIMELINE_LENGTH) < plan.gaplessFrom.slice(0, TIMELINE_LENGTH);
}

/**
 * The oldest of the newest `count` backups that belongs to the id; the id's newest if none does; its oldest while there
 * are too few.
 */
function retentionBackup(
  counted: readonly BackupInfoEntry[],
  local: readonly BackupInfoEntry[],
  count: number,
): BackupInfoEntry {
  const own = local[0]?.dbId;
  const chosen = counted.length < count ? local : counted.slice(0, count).filter(({ dbId }) => dbId === own);
  return (chosen.at(-1) ?? local[0]) as BackupInfoEntry;
}

function trim(
  archiveId: string,
  own: readonly BackupInfoEntry[],
  retained: BackupInfoEntry,
  { before, gapless }: Pick<ArchiveRule, "before" | "gapless">,
): TrimArchive[] {
  // An offline backup needs no WAL.
  if (retained.archiveStart === null) return [];
  const from = retained.archiveStart;
  const ranges = own.flatMap((backup): KeepRange[] => {
    const { label, archiveStart: start, archiveStop: stop } = backup;
    if (start === null || (label > retained.label && start >= from)) return [];
    const isGapless = label >= retained.label || gapless?.has(label) === true;
    return [{ label, start, stop: isGapless ? null : stop }];
  });
  const gaplessFrom = ranges.reduce((min, { start, stop }) => (stop === null && start < min ? start : min), from);
  return [{ archiveId, kind: "trim", ranges, gaplessFrom, before }];
}

/** Where every backup is kept by a calendar, after an upgrade of the cluster: nothing follows their own WAL. */
function alone(archiveId: string, own: readonly BackupInfoEntry[], { before, gapless }: ArchiveRule): TrimArchive {
  const ranges = own.flatMap(({ label, archiveStart: start, archiveStop: stop }): KeepRange[] =>
    start === null ? [] : [{ label, start, stop: gapless?.has(label) === true ? null : stop }],
  );
  return { archiveId, kind: "trim", ranges, gaplessFrom: null, before };
}

function isCounted({ label, type: own }: BackupInfoEntry, { extra, type }: ArchiveRule): boolean {
  if (extra?.has(label) === true) return false;
  return type === "incr" || own === "full" || own === type;
}

/** Ranges by the length of their names, joined where they overlap, ascending: an archive has millions of names. */
const joined = new WeakMap<readonly KeepRange[], Map<number, readonly JoinedRange[]>>();

interface JoinedRange {
  readonly start: string;
  stop: string | null;
}

function isInRange(ranges: readonly KeepRange[], name: string, length: number): boolean {
  const byLength = joined.get(ranges) ?? new Map<number, readonly JoinedRange[]>();
  const own = byLength.get(length) ?? joinRanges(ranges, length);
  joined.set(ranges, byLength.set(length, own));
  const last = own[countBefore(own.length, (index) => (own[index] as JoinedRange).start <= name) - 1];
  return last !== undefined && (last.stop === null || name <= last.stop);
}

function joinRanges(ranges: readonly KeepRange[], length: number): JoinedRange[] {
  const cut = ranges.map(({ start, stop }) => ({
    start: start.slice(0, length),
    stop: stop?.slice(0, length) ?? null,
  }));
  const all: JoinedRange[] = [];
  for (const range of cut.sort((left, right) => (left.start < right.start ? -1 : 1))) {
    const last = all.at(-1);
    if (last === undefined || (last.stop !== null && last.stop < range.start)) all.push(range);
    else if (last.stop !== null && (range.stop === null || range.stop > last.stop)) last.stop = range.stop;
  }
  return all;
}

function checkHistories(archiveInfo: ArchiveInfo, backupInfo: BackupInfo): void {
  for (const entry of archiveInfo.history) {
    const other = backupInfo.history.find((row) => row.id === entry.id);
    if (other !== undefined && other.systemId === entry.systemId && other.pgVersion === entry.pgVersion) continue;
    throw fail("format", "archive expiration cannot continue - archive and backup history lists do not match", {
      hint: "has a stanza-upgrade been interrupted? run it again.",
    });
  }
}
