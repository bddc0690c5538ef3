/**
 * Decides which snapshot backups of a cluster to remove, and why. Pure: times are milliseconds since 1970.
 *
 * CloudNativePG takes one VolumeSnapshot for each volume of an instance (data, WAL, each tablespace). With their Backup
 * they form one group, which is removed as a whole or not at all.
 */

/** `whole` can be restored from; `unusable` failed, or lacks a volume; `running` is not finished. */
export type GroupState = "whole" | "unusable" | "running";

export interface SnapshotGroup {
  /** Name of the Backup, even after its removal. */
  readonly name: string;
  readonly state: GroupState;
  /** Its end; if it never ended, its beginning. */
  readonly atMs: number;
}

/** At least one of them. */
export interface SnapshotKeep {
  /** Younger groups are kept. */
  readonly keepDays: number | undefined;
  /** Number of newest whole groups to keep, whatever their age. Default 1. */
  readonly keepCount: number | undefined;
}

export interface Verdict<Group extends SnapshotGroup> {
  readonly group: Group;
  readonly remove: boolean;
  /** Follows the name and a colon in messages. */
  readonly reason: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Newest first. Nothing is removed while no group is whole: the rest of an unusable one may be all there is.
 * @param nowMs a clock that is behind keeps more, one that is ahead removes too early
 */
export function judgeSnapshots<Group extends SnapshotGroup>(
  groups: readonly Group[],
  keep: SnapshotKeep,
  nowMs: number,
): Verdict<Group>[] {
  const ordered = groups.toSorted((left, right) => right.atMs - left.atMs || (left.name < right.name ? 1 : -1));
  const wholes = ordered.filter(({ state }) => state === "whole");
  const keepCount = Math.max(1, keep.keepCount ?? 1);
  const isYoung = ({ atMs }: Group): boolean => keep.keepDays !== undefined && nowMs - atMs < keep.keepDays * DAY_MS;
  const newest = new Set(wholes.slice(0, keepCount));
  const oldestKeptMs = wholes[Math.min(keepCount, wholes.length) - 1]?.atMs ?? Number.NEGATIVE_INFINITY;
  const days = `${keep.keepDays} day${keep.keepDays === 1 ? "" : "s"}`;
  const newestText = keepCount === 1 ? "the newest" : `one of the newest ${keepCount}`;

  return ordered.map((group): Verdict<Group> => {
    const verdict = (remove: boolean, reason: string): Verdict<Group> => ({ group, remove, reason });
    if (group.state === "running") return verdict(false, "not finished");
    if (isYoung(group)) return verdict(false, `younger than ${days}`);
    const isOver = keep.keepDays === undefined ? "" : `older than ${days}, and `;
    if (group.state === "whole")
      return newest.has(group) ? verdict(false, newestText) : verdict(true, `${isOver}not ${newestText}`);
    if (wholes.length === 0) return verdict(false, "nothing can be restored from it, but it is the only one");
    // Without days, a failed group is kept until every kept whole group is newer.
    if (keep.keepDays === undefined && group.atMs >= oldestKeptMs)
      return verdict(false, "nothing can be restored from it, but it is newer than the kept ones");
    return verdict(true, `${isOver}nothing can be restored from it`);
  });
}
