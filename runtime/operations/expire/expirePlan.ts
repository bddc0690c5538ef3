/**
 * Which backups expire: pure, from backup.info and the time.
 *
 * The rules are stock's ("pgbackrest-format" 16; pgBackRest 2.60 "command/expire"): fulls by count or age, diffs by
 * count with the fulls included, one set by hand. Dependent backups expire with their base. A calendar and holds only
 * keep backups that these rules would remove. WAL expires by the backups that remain: see `archivePlan.ts`.
 */
import { compareBytes } from "../../base/bytes";
import { fail } from "../../base/errors";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import type { BackupType } from "../../format/repository/label";
import { parseWalName } from "../../format/wal/walSegment";
import type { Retention } from "../../repository/retention";
import { requireLabel } from "../shared/requireLabel";
import { pickByCalendar, withBases } from "./calendar";
import { holdOf, holdText } from "./hold";

export interface ExpireRequest {
  /** Set by hand: only this backup and its dependants, regardless of retention. */
  readonly set?: string;
  /** The oldest full backup, unless it is the only one, regardless of the retention of fulls. */
  readonly oldest: boolean;
  /** Only WAL before this segment may expire; some then does even with fewer backups than retention asks for. */
  readonly archiveExpireBefore?: string;
  /** True refuses to expire while the oldest remaining backup has pages with a wrong checksum. */
  readonly refusePageErrors: boolean;
  readonly dryRun: boolean;
  /** Undefined where nothing can be opened. */
  readonly opened?: OpenedUses;
}

export interface OpenedUses {
  /** Backups of this repository that are open on this machine and still read from it. */
  list(): Promise<readonly OpenedUse[]>;
  /** Runs `work` while no `open` of this machine chooses a backup. */
  alone(work: () => Promise<void>): Promise<void>;
}

export interface OpenedUse {
  readonly label: string;
  readonly systemId: string | null;
  readonly at: string;
  /** It may need any WAL after the backup. */
  readonly isRecovering: boolean;
  /** Why it only counts as open. */
  readonly doubt?: string;
}

export interface ExpiredSet {
  readonly why: "adhoc" | "diff" | "full" | "time-based";
  /** The backup and its dependants, ascending. */
  readonly labels: readonly string[];
}

export interface ExpirePlan {
  readonly sets: readonly ExpiredSet[];
  /** Ascending by label. */
  readonly kept: readonly BackupInfoEntry[];
  /** Those of them that stock's rules would remove: they count for no WAL but their own. */
  readonly extra: ReadonlySet<string>;
  /** How many backups of which type keep gapless WAL; null keeps all. */
  readonly archive: { readonly count: number; readonly type: BackupType } | null;
  /** The newest backup, if it is expired by hand. */
  readonly latestLost: string | null;
  /** Notes to log beforehand. */
  readonly notes: readonly { readonly level: "detail" | "info" | "warn"; readonly text: string }[];
}

/** What the age of a backup is measured by. */
export interface Ages {
  readonly nowS: number;
  /** Time that does not count: see {@link pausesIn}. */
  readonly pauses: readonly Pause[];
}

export interface Pause {
  readonly beginS: number;
  readonly endS: number;
}

const DAY_S = 86_400;
const NONE: ReadonlySet<string> = new Set();
/** Longer than the time between two monthly backups. */
const PAUSE_S_MIN = 45 * DAY_S;

/**
 * Long times without a sign of life in the repository, up to now. The host was off, or its clock was wrong: a clock
 * that is a year ahead would make every backup old. Signs are what was recorded, not what is left: retention removes
 * the backups between a held one and the newest.
 */
export function pausesIn(signsS: readonly number[], nowS: number): Pause[] {
  const sorted = [...signsS.filter((signS) => signS < nowS), nowS].sort((left, right) => left - right);
  return sorted.flatMap((endS, index) => {
    const beginS = sorted[index - 1] ?? endS;
    return endS - beginS > PAUSE_S_MIN ? [{ beginS, endS }] : [];
  });
}

/** Checks a user's request. @throws optionInvalid, optionInvalidValue */
export function checkRequest({ set, oldest, archiveExpireBefore }: ExpireRequest): void {
  if (set !== undefined && oldest) throw fail("optionInvalid", "--oldest and --set cannot be used together");
  if (set !== undefined) requireLabel(set);
  if (archiveExpireBefore !== undefined && parseWalName(archiveExpireBefore)?.kind !== "segment") {
    throw fail(
      "optionInvalidValue",
      `'${archiveExpireBefore}' is not a valid WAL segment name for option '--archive-expire-before'`,
    );
  }
}

/** @throws backupSetInvalid (75) for the last full backup of the current cluster, and for one that is held */
export function planExpire(
  repoName: string,
  info: Pick<BackupInfo, "backups">,
  retention: Retention,
  request: ExpireRequest,
  ages: Ages,
): ExpirePlan {
  const held = info.backups.filter((entry) => isHeld(entry, ages));
  if (request.set !== undefined) {
    refuseHeld(info, request.set, held);
    return planSet(info, retention, request.set);
  }
  const rule = request.oldest ? oldestRule(info, retention, repoName) : { retention, eligible: true, notes: [] };
  const [first] = fullsOf(info.backups);
  if (request.oldest && rule.eligible && first !== undefined) refuseHeld(info, first.label, held);
  const kept = [...info.backups];
  const ruled = rule.eligible ? [...expireFulls(kept, rule.retention, ages)] : [];
  const byAge = windowBegin(kept, rule.retention, ages) === undefined ? undefined : fullsOf(kept).length;
  ruled.push(...expireDiffs(kept, rule.retention));
  const wanted = [...calendarLabels(info, retention, request, ages), ...held.map(({ label }) => label)];
  const saved = withBases(info.backups, wanted);
  const sets = withoutLabels(ruled, saved);
  const gone = new Set(sets.flatMap(({ labels }) => labels));
  const counted = new Set(kept.map(({ label }) => label));
  const left = info.backups.filter(({ label }) => !gone.has(label));
  // By hand, stock counts all that remain.
  const extra = request.oldest ? [] : left.flatMap(({ label }) => (counted.has(label) ? [] : [label]));
  const archive = archiveRuleOf(rule.retention, byAge);
  return { sets, kept: left, extra: new Set(extra), archive, latestLost: null, notes: rule.notes };
}

/** A hold does not end in a time that does not count: a wrong clock must not end it. */
function isHeld(entry: BackupInfoEntry, { nowS, pauses }: Ages): boolean {
  const hold = holdOf(entry);
  return hold !== null && (hold.untilS === null || nowS - pausedSince(entry.stoppedAtS, pauses) <= hold.untilS);
}

function pausedSince(sinceS: number, pauses: Ages["pauses"]): number {
  return pauses.reduce((sumS, { beginS, endS }) => sumS + (beginS < sinceS ? 0 : endS - beginS), 0);
}

/** @throws backupSetInvalid (75) if the backup, or one that needs it, is held */
function refuseHeld({ backups }: Pick<BackupInfo, "backups">, label: string, held: readonly BackupInfoEntry[]): void {
  const lost = new Set(dependantsOf(backups, label));
  const entry = held.find((each) => lost.has(each.label));
  const hold = entry === undefined ? null : holdOf(entry);
  if (entry === undefined || hold === null) return;
  const what = entry.label === label ? "" : `, and needs ${label}`;
  throw fail("backupSetInvalid", `backup ${entry.label} is ${holdText(hold)}${what}`, {
    hint: `to let it go, run release --set=${entry.label}.`,
  });
}

/** What the calendar keeps; the oldest full backup that a user removes by hand is not. */
function calendarLabels(
  info: Pick<BackupInfo, "backups">,
  { keep }: Retention,
  { oldest }: ExpireRequest,
  { nowS }: Ages,
): readonly string[] {
  if (keep === undefined) return [];
  const [first] = fullsOf(info.backups);
  const removed = new Set(oldest && first !== undefined ? dependantsOf(info.backups, first.label) : []);
  const backups = info.backups.filter(({ label }) => !removed.has(label));
  return pickByCalendar(backups, keep, nowS).map(({ label }) => label);
}

/** What is left of each set, so that nothing that stays loses its base. */
function withoutLabels(sets: readonly ExpiredSet[], saved: ReadonlySet<string>): ExpiredSet[] {
  return sets.flatMap(({ labels, why }) => {
    const left = labels.filter((label) => !saved.has(label));
    return left.length === 0 ? [] : [{ why, labels: left }];
  });
}

/** The plan without the sets that hold an opened backup: its unread pages would become errors. */
export function keepOpened(plan: ExpirePlan, info: BackupInfo, opened: readonly OpenedUse[]): ExpirePlan {
  const notes: ExpirePlan["notes"][number][] = [];
  const sets = plan.sets.filter(({ labels }) => {
    const use = opened.find(({ label }) => labels.includes(label));
    if (use === undefined) return true;
    const { at, doubt, label } = use;
    const others = labels.length > 1 ? `, and all of ${labels.join(", ")} with it` : "";
    notes.push({
      level: "warn",
      text:
        doubt === undefined
          ? `backup ${label} stays, because it is open at '${at}'${others}\nHINT: close it, or let it fetch everything (--fetch-all).`
          : `backup ${label} stays, because it counts as open at '${at}'${others}: ${doubt}\nHINT: ${closeHint(at)}`,
    });
    return false;
  });
  if (notes.length === 0) return plan;
  const gone = new Set(sets.flatMap(({ labels }) => labels));
  return {
    ...plan,
    sets,
    kept: info.backups.filter(({ label }) => !gone.has(label)),
    latestLost: sets.length === 0 ? null : plan.latestLost,
    notes: [...plan.notes, ...notes],
  };
}

export function closeHint(at: string): string {
  return `If it is gone for good, end it: pgbackstop close --at=${at}`;
}

/** A set by hand. A missing one changes nothing; the caller reports it if no repository has it. */
function planSet(info: Pick<BackupInfo, "backups">, retention: Retention, label: string): ExpirePlan {
  const kept = [...info.backups];
  const archive = archiveRuleOf(retention, undefined);
  if (!kept.some((entry) => entry.label === label))
    return { sets: [], kept, extra: NONE, archive, latestLost: null, notes: [] };
  const [newest, before] = fullsOf(kept).reverse();
  if (newest?.label === label && before?.dbId !== newest.dbId) {
    throw fail(
      "backupSetInvalid",
      `full backup ${label} cannot be expired until another full backup has been created on this repo`,
    );
  }
  const latest = kept.at(-1)?.label ?? "";
  const sets = takeOut(
    kept,
    kept.filter((entry) => entry.label === label),
    "adhoc",
  );
  const latestLost = kept.some((entry) => entry.label === latest) ? null : latest;
  return { sets, kept, extra: NONE, archive, latestLost, notes: [] };
}

/** For this run: all fulls but the oldest. */
function oldestRule(
  info: Pick<BackupInfo, "backups">,
  retention: Retention,
  repoName: string,
): { retention: Retention; eligible: boolean; notes: ExpirePlan["notes"] } {
  const fullCount = fullsOf(info.backups).length;
  const notes: ExpirePlan["notes"][number][] = [];
  if (fullCount < 2) {
    notes.push({ level: "warn", text: "expire oldest requested but no eligible full backup to expire" });
    return { retention, eligible: false, notes };
  }
  if (retention.fullType === "time") {
    notes.push({
      level: "info",
      text: "expire oldest overrides configured time-based retention with count-based retention for this execution",
    });
  }
  const full = fullCount - 1;
  const set = (name: string, value: string | number): string => `${repoName}-retention-${name}=${value}`;
  const settings = `${set("full-type", "count")}, ${set("full", full)}, ${set("archive-type", "full")}, and ${set("archive", full)}`;
  notes.push({ level: "detail", text: `expire oldest enforcing ${settings} for this execution` });
  return {
    retention: { ...retention, full, fullType: "count", archive: full, archiveType: "full" },
    eligible: true,
    notes,
  };
}

function expireFulls(kept: BackupInfoEntry[], retention: Retention, ages: Ages): readonly ExpiredSet[] {
  const { full, fullType } = retention;
  if (full === undefined) return [];
  const fulls = fullsOf(kept);
  if (fullType === "count") {
    return takeOut(kept, fulls.slice(0, Math.max(0, fulls.length - full)), "full");
  }
  const begin = windowBegin(kept, retention, ages);
  if (begin === undefined) return [];
  return takeOut(
    kept,
    fulls.filter((entry) => entry.label < begin.label),
    "time-based",
  );
}

/**
 * The newest full backup that is older than the window of days. It stays, because the start of the window is restored
 * from it.
 */
function windowBegin(
  backups: readonly BackupInfoEntry[],
  { full, fullType }: Retention,
  { nowS, pauses }: Ages,
): BackupInfoEntry | undefined {
  if (full === undefined || fullType !== "time") return undefined;
  return fullsOf(backups).findLast(
    ({ stoppedAtS }) => nowS - stoppedAtS - pausedSince(stoppedAtS, pauses) > full * DAY_S,
  );
}

/** Fulls count, but only diffs expire. */
function expireDiffs(kept: BackupInfoEntry[], { diff }: Retention): readonly ExpiredSet[] {
  if (diff === undefined) return [];
  const counted = kept.filter((entry) => entry.type !== "incr");
  const old = counted.slice(0, Math.max(0, counted.length - diff));
  return takeOut(
    kept,
    old.filter((entry) => entry.type === "diff"),
    "diff",
  );
}

/** `keptByAge`: number of fulls left, if they reach back to the start of the window. */
function archiveRuleOf(retention: Retention, keptByAge: number | undefined): ExpirePlan["archive"] {
  const { archive, archiveType, full, fullType, diff } = retention;
  const byType = { full: fullType === "count" ? full : keptByAge, diff, incr: undefined };
  const count = archive ?? byType[archiveType];
  return count === undefined ? null : { count, type: archiveType };
}

/** Removes backups and their dependants from the list: a set for each that needs no other one of them. */
function takeOut(
  kept: BackupInfoEntry[],
  removed: readonly BackupInfoEntry[],
  why: ExpiredSet["why"],
): readonly ExpiredSet[] {
  const sets = new Map(removed.map(({ label }) => [label, [label]]));
  const left: BackupInfoEntry[] = [];
  // Labels ascend with time, so dependants come after their base.
  for (const entry of kept) {
    const set = entry.prior === undefined ? undefined : sets.get(entry.prior);
    if (set !== undefined) {
      set.push(entry.label);
      sets.set(entry.label, set);
    } else if (!sets.has(entry.label)) left.push(entry);
  }
  kept.length = 0;
  for (const entry of left) kept.push(entry);
  const own = new Set(removed.flatMap(({ label }) => [sets.get(label) ?? [label]]));
  return [...own].map((labels) => ({ why, labels: labels.sort(compareBytes) }));
}

/** A backup and its direct and indirect dependants, ascending. */
export function dependantsOf(backups: readonly BackupInfoEntry[], label: string): string[] {
  const labels = new Set([label]);
  // Labels ascend with time, so dependants come after their base.
  for (const entry of backups) if (entry.prior !== undefined && labels.has(entry.prior)) labels.add(entry.label);
  return [...labels].sort(compareBytes);
}

function fullsOf(backups: readonly BackupInfoEntry[]): BackupInfoEntry[] {
  return backups.filter((entry) => entry.type === "full");
}
