/**
 * The history of one cluster, as its archive shows it: a tree of timelines. A branch is a timeline with WAL that no
 * other timeline continues. A recovery into the past, a failover that lost WAL, and a second server that archives under
 * this name (a copy that somebody has promoted and not isolated) each leave more than one. Pure.
 */
import type { TimelinePath } from "../format/wal/segmentPath";
import type { TimelineAncestor } from "../format/wal/timeline";
import { lsnOfSegment } from "../format/wal/walSegment";

/** A timeline as the repositories together show it. */
export interface StoredTimeline {
  readonly timeline: number;
  /** The timelines before it, oldest first; null when no repository can give its history file. */
  readonly ancestors: readonly TimelineAncestor[] | null;
  /** The newest segment of it in any repository; null without WAL. */
  readonly newest: string | null;
  /** When each repository stored that segment, by key. */
  readonly newestAtMs: ReadonlyMap<number, number>;
  /** When each repository stored its history file, by key. */
  readonly historyAtMs: ReadonlyMap<number, number>;
  /** Absent unless its WAL was read. */
  readonly written?: WrittenTimes;
}

/** Times of a timeline's own WAL, by the clock of its server; null if its records do not say. */
export interface WrittenTimes {
  readonly firstMs: number | null;
  readonly lastMs: number | null;
}

export interface Branch extends StoredTimeline {
  /** False for one that another branch has replaced. */
  readonly isLiving: boolean;
}

/** A position in a cluster's history. */
export interface HistoryPoint {
  readonly timeline: number;
  readonly lsn: bigint;
}

/**
 * A branch without WAL for so long, beside another one with WAL, has ended. No server that takes backups is silent for
 * a month: each backup writes WAL.
 */
export const SILENT_MS = 31 * 86_400_000;
/** A server that has archived within this time is at work. */
export const AT_WORK_MS = 86_400_000;

/** Everything that the repositories show of one cluster's timelines. */
export interface History {
  readonly stored: readonly StoredTimeline[];
  /** The ends of the tree, in the order of their timelines. At least one of them is living. */
  readonly branches: readonly Branch[];
  readonly segmentSizeBytes: number;
}

export function historyOf(stored: readonly StoredTimeline[], segmentSizeBytes: number): History {
  const ends = stored
    .filter((own) => hasBeyond(own, lastFork(own.timeline, stored), segmentSizeBytes))
    .sort((left, right) => left.timeline - right.timeline);
  const living = ends.filter((end) => !ends.some((other) => other !== end && hasReplaced(other, end, stored)));
  // Storages that date files by whole seconds may date two ends alike.
  const isLiving = (end: StoredTimeline): boolean => living.length === 0 || living.includes(end);
  const branches = ends.map((end): Branch => ({ ...end, isLiving: isLiving(end) }));
  return { stored, branches, segmentSizeBytes };
}

/** The ways to all ends of an archive's timelines; the one to a timeline without a known history begins with it. */
export function pathsIn({ branches }: Pick<History, "branches">): (TimelinePath & { readonly isLiving: boolean })[] {
  return branches.map(({ ancestors, isLiving, timeline }) => ({ timeline, ancestors: ancestors ?? [], isLiving }));
}

/**
 * The history in one archive's names alone.
 * @param newest the newest segment of each timeline; null of one without WAL
 */
export function historyOfNames(
  newest: ReadonlyMap<number, string | null>,
  ancestors: ReadonlyMap<number, readonly TimelineAncestor[]>,
  segmentSizeBytes: number,
): History {
  const times = { newestAtMs: new Map<number, number>(), historyAtMs: new Map<number, number>() };
  const stored = [...newest].map(([timeline, name]) => {
    return { ...times, timeline, newest: name, ancestors: ancestors.get(timeline) ?? null };
  });
  return historyOf(stored, segmentSizeBytes);
}

/** Where other timelines begin on this one; the highest position, or null if none does. */
function lastFork(timeline: number, stored: readonly StoredTimeline[]): bigint | null {
  const forks = stored.flatMap(({ ancestors }) => ancestors?.find((each) => each.timeline === timeline)?.lsn ?? []);
  return forks.reduce<bigint | null>((last, lsn) => (last === null || lsn > last ? lsn : last), null);
}

/** True if the timeline has WAL after this position, where another one began; null: none did. */
export function hasBeyond({ newest }: StoredTimeline, fork: bigint | null, segmentSizeBytes: number): boolean {
  if (fork === null) return true;
  return newest !== null && lsnOfSegment(newest, segmentSizeBytes) + BigInt(segmentSizeBytes) > fork;
}

/** True if `other` has stored WAL for longer than this after the last WAL of `end`. */
export function outlives(other: StoredTimeline, end: StoredTimeline, timeMs: number): boolean {
  const [endedAtMs, lastAtMs] = [firstStoredAtMs(end), firstStoredAtMs(other)];
  return endedAtMs !== null && lastAtMs !== null && lastAtMs - endedAtMs > timeMs;
}

/**
 * True if `other` went on when all WAL of `end` was there, and no sooner: by a new timeline, as after a recovery or its
 * undo, or for a month. Parts of `other` from before then must have ended when `end` began, or both were at work. WAL
 * is there when it is stored. An old primary may archive its last WAL long after a failover: a day later, the times in
 * the WAL itself count too.
 */
function hasReplaced(other: StoredTimeline, end: StoredTimeline, stored: readonly StoredTimeline[]): boolean {
  if (outlives(other, end, SILENT_MS)) return true;
  const isSilent = outlives(other, end, AT_WORK_MS);
  const isOver = (timeline: StoredTimeline, next: StoredTimeline): boolean =>
    isStoredBefore(timeline, next) || (isSilent && isWrittenBefore(timeline, next));
  const find = (timeline: number | undefined): StoredTimeline | undefined =>
    stored.find((each) => each.timeline === timeline);
  const [own, others] = [pathOf(end), pathOf(other)];
  const first = find(own.find((timeline) => !others.includes(timeline)));
  for (const timeline of others.filter((each) => !own.includes(each))) {
    const part = find(timeline);
    if (part === undefined || isOver(end, part)) return part !== undefined;
    if (first === undefined || !isOver(part, first)) return false;
  }
  return false;
}

/**
 * True if all WAL of a timeline was stored when the next one began. The first copy of a file counts, because `heal`
 * makes others later. Clocks of storages may differ, so one of them must have seen both.
 */
function isStoredBefore(timeline: StoredTimeline, next: StoredTimeline): boolean {
  const [endedAtMs, began] = [firstStoredAtMs(timeline), next.historyAtMs];
  return (
    endedAtMs !== null &&
    endedAtMs <= Math.min(...began.values()) &&
    [...lastTimes(timeline)].some(([key, atMs]) => atMs <= (began.get(key) ?? Number.NEGATIVE_INFINITY))
  );
}

function isWrittenBefore({ written }: StoredTimeline, next: StoredTimeline): boolean {
  const [lastMs, firstMs] = [written?.lastMs ?? null, next.written?.firstMs ?? null];
  return lastMs !== null && firstMs !== null && lastMs <= firstMs;
}

export function pathOf({ ancestors, timeline }: StoredTimeline): number[] {
  return [...(ancestors ?? []).map((ancestor) => ancestor.timeline), timeline];
}

/** When each repository got the newest file of a timeline. */
function lastTimes({ historyAtMs, newest, newestAtMs }: StoredTimeline): ReadonlyMap<number, number> {
  return newest === null ? historyAtMs : newestAtMs;
}

/** When the first of the repositories got the newest file of a branch; null if none says when. */
export function firstStoredAtMs(branch: StoredTimeline): number | null {
  const times = [...lastTimes(branch).values()];
  return times.length === 0 ? null : Math.min(...times);
}

/** True if recovery along a branch passes this point. */
export function passes({ ancestors, timeline }: StoredTimeline, point: HistoryPoint): boolean {
  if (timeline === point.timeline) return true;
  const ancestor = ancestors?.find((each) => each.timeline === point.timeline);
  return ancestor !== undefined && point.lsn <= ancestor.lsn;
}

/** Where a branch left the other ones: `0/5000000 of timeline 1`; null for the first timeline. */
export function forkOf({ ancestors }: StoredTimeline): TimelineAncestor | null {
  return ancestors?.at(-1) ?? null;
}
