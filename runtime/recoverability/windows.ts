/**
 * Which moments a repository can recover: those from the end of a backup to the end of the unbroken WAL after it, along
 * each branch of the history. By names and times of the stored segments; `verify` reads their content. Pure.
 */
import { countBefore } from "../base/bytes";
import type { BackupInfoEntry } from "../format/repository/backupInfo";
import type { SegmentNumbers } from "../format/wal/segmentNumbers";
import { type BackupWal, runsOf, SegmentPath, type TimelinePath, type WalRange } from "../format/wal/segmentPath";
import { timelineOf } from "../format/wal/walSegment";

export interface WindowsInput {
  /** Backups of one cluster. */
  readonly backups: readonly Pick<BackupInfoEntry, "archiveStart" | "archiveStop" | "lsnStop" | "stoppedAtS">[];
  /** When each complete segment was stored. */
  readonly storedAtS: Pick<SegmentNumbers, "get" | "keys">;
  readonly branches: readonly (TimelinePath & { readonly isLiving: boolean })[];
  /** First segments of backups that keep no other WAL than their own: what follows is no gap. */
  readonly trimmed: ReadonlySet<string>;
  readonly segmentSizeBytes: number;
}

export interface RecoveryWindow {
  readonly fromS: number;
  readonly toS: number;
}

/** Missing segments, with the times of the stored ones around them. */
export interface WindowGap extends RecoveryWindow {
  readonly from: string;
  readonly to: string;
}

export interface Windows {
  readonly windows: readonly RecoveryWindow[];
  readonly gaps: readonly WindowGap[];
}

interface OnlineBackup extends BackupWal {
  readonly stoppedAtS: number;
}

export function windowsOf({ backups, branches, segmentSizeBytes, storedAtS, trimmed }: WindowsInput): Windows {
  const windows: RecoveryWindow[] = [];
  const gaps = new Map<string, WindowGap>();
  const online = backups.flatMap(({ archiveStart, archiveStop, lsnStop, stoppedAtS }): OnlineBackup[] => {
    if (archiveStart !== null && archiveStop !== null) return [{ archiveStart, archiveStop, lsnStop, stoppedAtS }];
    windows.push({ fromS: stoppedAtS, toS: stoppedAtS });
    return [];
  });
  const stored = runsOf(storedAtS.keys(), segmentSizeBytes);
  const timeOf = (name: string): number => storedAtS.get(name) ?? 0;
  const living = branches.filter(({ isLiving }) => isLiving).map((branch) => new SegmentPath(branch, segmentSizeBytes));
  const routes = living.map((path) => ({ path, own: online.filter((backup) => path.passes(backup)) }));
  // A branch that has ended, or whose history is lost, is still there for its own backups.
  const others = online.filter((backup) => !living.some((path) => path.passes(backup)));
  for (const timeline of new Set(others.map(({ archiveStart }) => timelineOf(archiveStart))))
    routes.push({
      path: new SegmentPath({ timeline, ancestors: [] }, segmentSizeBytes),
      own: others.filter(({ archiveStart }) => timelineOf(archiveStart) === timeline),
    });
  for (const { own, path } of routes) {
    const runs = path.runs(stored);
    for (const { archiveStart, archiveStop, stoppedAtS } of own) {
      // Without its own WAL it cannot become consistent.
      const run = runWith(runs, path.at(archiveStart));
      if (run !== null && path.at(archiveStop) <= run[1])
        windows.push({ fromS: stoppedAtS, toS: Math.max(stoppedAtS, timeOf(run[1])) });
    }
    const kept = own.filter(({ archiveStart }) => !trimmed.has(archiveStart));
    const [first] = kept.map(({ archiveStart }) => path.at(archiveStart)).sort();
    if (first !== undefined)
      for (const gap of gapsBetween(path, runs, first, timeOf)) gaps.set(`${gap.from} ${gap.to}`, gap);
  }
  return { windows: joined(windows), gaps: [...gaps.values()] };
}

/** From the first segment on that is meant to be followed by all WAL. */
function gapsBetween(
  path: SegmentPath,
  runs: readonly WalRange[],
  first: string,
  timeOf: (name: string) => number,
): WindowGap[] {
  return runs.flatMap(([, last], index): WindowGap[] => {
    const next = runs[index + 1]?.[0];
    if (next === undefined || last < first) return [];
    const missing = path.missing([[next, next]], path.next(last), next);
    return missing.map(([from, to]) => ({ from, to, fromS: timeOf(last), toS: timeOf(next) }));
  });
}

/** Null where the segment is missing. */
function runWith(runs: readonly WalRange[], segment: string): WalRange | null {
  const run = runs[countBefore(runs.length, (index) => (runs[index] as WalRange)[0] <= segment) - 1];
  return run !== undefined && segment <= run[1] ? run : null;
}

/** False for a backup whose own WAL is missing, and for one of an earlier cluster. */
export function isRestorable(
  { stoppedAtS }: Pick<BackupInfoEntry, "stoppedAtS">,
  windows: readonly RecoveryWindow[],
): boolean {
  return windows.some(({ fromS, toS }) => stoppedAtS >= fromS && stoppedAtS <= toS);
}

function joined(windows: readonly RecoveryWindow[]): RecoveryWindow[] {
  const all: RecoveryWindow[] = [];
  for (const window of windows.toSorted((left, right) => left.fromS - right.fromS)) {
    const last = all.at(-1);
    if (last !== undefined && window.fromS <= last.toS)
      all[all.length - 1] = { fromS: last.fromS, toS: Math.max(last.toS, window.toS) };
    else all.push(window);
  }
  return all;
}
