/**
 * Missing timeline histories. Recovery to the newest timeline reads the history of each timeline after the backup's. It
 * stops at the first one that is missing, and never reads the WAL of later timelines.
 */
import type { BackupWal, WalRange } from "../../format/wal/segmentPath";
import { parseWalName, timelineDigits } from "../../format/wal/walSegment";
import { listArchive } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";

const HISTORY = ".history";

/**
 * `[first, last]` of each run of missing histories. A promotion during the first listing may have stored the history
 * after its directory was listed, so a missing one is looked for again.
 * @param names of stored WAL files and histories
 */
export async function findMissingHistories(
  repo: Repository,
  archiveId: string,
  names: Iterable<string>,
  needed: readonly Pick<BackupWal, "archiveStart">[],
): Promise<readonly WalRange[]> {
  const timelines = timelinesOf(names);
  if (missingHistories(timelines, needed).length === 0) return [];
  const { histories } = await listArchive(repo, archiveId);
  return missingHistories(
    { newest: timelines.newest, withHistory: new Set([...timelines.withHistory, ...histories.map(timelineOf)]) },
    needed,
  );
}

export interface StoredTimelines {
  /** The newest one with a history or a WAL file. */
  readonly newest: number;
  readonly withHistory: ReadonlySet<number>;
}

export function timelinesOf(names: Iterable<string>): StoredTimelines {
  const withHistory = new Set<number>();
  let newest = 0;
  for (const name of names) {
    const timeline = timelineOf(name);
    newest = Math.max(newest, timeline);
    if (name.endsWith(HISTORY)) withHistory.add(timeline);
  }
  return { newest, withHistory };
}

/** Those above the oldest timeline of a backup, up to the newest one. Without a backup none is needed. Pure. */
export function missingHistories(
  { newest, withHistory }: StoredTimelines,
  needed: readonly Pick<BackupWal, "archiveStart">[],
): WalRange[] {
  if (needed.length === 0) return [];
  const missing: WalRange[] = [];
  let expected = Math.min(...needed.map(({ archiveStart }) => timelineOf(archiveStart))) + 1;
  const above = [...withHistory].filter((timeline) => timeline >= expected).sort((left, right) => left - right);
  // The guard after the newest timeline also counts a run at the end.
  for (const timeline of [...above, newest + 1]) {
    if (expected < timeline) missing.push([nameOf(expected), nameOf(timeline - 1)]);
    expected = timeline + 1;
  }
  return missing;
}

export function countHistories(ranges: readonly WalRange[]): number {
  return ranges.reduce((sum, [first, last]) => sum + timelineOf(last) - timelineOf(first) + 1, 0);
}

/** How many of these histories the repository has. */
export async function countHeldHistories(
  repo: Repository,
  archiveId: string,
  ranges: readonly WalRange[],
): Promise<number> {
  const { histories } = await listArchive(repo, archiveId);
  return histories.filter((name) => ranges.some(([first, last]) => name >= first && name <= last)).length;
}

export function historyProblem(archiveId: string, [first, last]: WalRange): string {
  const missing = first === last ? `${first} is missing` : `${first} to ${last} are missing`;
  return `${archiveId}: ${missing}: a restore ends on an earlier timeline`;
}

/** 0 for a name that is no WAL file's. */
export function timelineOf(name: string): number {
  return parseWalName(name)?.timeline ?? 0;
}

function nameOf(timeline: number): string {
  return `${timelineDigits(timeline)}${HISTORY}`;
}
