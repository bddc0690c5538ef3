/** Missing WAL, by the names of the stored segments: which segments does a recovery need, and which are not there? */
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { type BackupWal, SegmentPath, type TimelinePath, type WalRange } from "../../format/wal/segmentPath";
import { timelineOf } from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { planKept, trimmedLabels } from "../expire/archivePlan";

/**
 * Missing segments, ascending; each range is of one timeline. On each path they are counted from the first backup that
 * the path passes, to the newest segment that is stored or that such a backup needs; outside trimmed WAL. A path that
 * is older than every backup is useless, and its remains wait for expire. Pure.
 * @param stored runs of complete segments, as `runsOf`
 * @param paths to all ends of the archive's timelines
 */
export function gapsOf(
  stored: readonly WalRange[],
  { alone, gapless }: Pick<WalNeeds, "alone" | "gapless">,
  paths: readonly TimelinePath[],
  segmentSizeBytes: number,
): readonly WalRange[] {
  const pathAlone = (timeline: number): SegmentPath => new SegmentPath({ timeline, ancestors: [] }, segmentSizeBytes);
  const gaps = alone.flatMap(({ archiveStart, archiveStop }) => {
    const path = pathAlone(timelineOf(archiveStart));
    return path.missing(path.runs(stored), archiveStart, archiveStop);
  });
  // Without it the newest segments alone would count as an archive without a backup.
  if (gapless.length === 0 && alone.length > 0) return joined(gaps);
  const known = paths.map((path) => new SegmentPath(path, segmentSizeBytes));
  // The history of a later timeline may be lost.
  const lost = gapless.filter((backup) => !known.some((path) => path.passes(backup)));
  const others = [...new Set(lost.map(({ archiveStart }) => timelineOf(archiveStart)))].map(pathAlone);
  const oldest = gapless.length === 0 ? 0 : Math.min(...gapless.map(({ archiveStart }) => timelineOf(archiveStart)));
  for (const path of [...known, ...others]) {
    const runs = path.runs(stored);
    const own = gapless.filter((backup) => path.passes(backup));
    const first = least(own.map(({ archiveStart }) => path.at(archiveStart))) ?? runs[0]?.[0];
    const last = greatest([...runs.slice(-1).map(([, end]) => end), ...own.map((each) => path.at(each.archiveStop))]);
    if (first === undefined || last === undefined || (own.length === 0 && path.timeline < oldest)) continue;
    gaps.push(...path.missing(runs, first, last));
  }
  return joined(gaps);
}

/** Paths share the timelines before they part. */
function joined(ranges: readonly WalRange[]): WalRange[] {
  const all: [string, string][] = [];
  for (const [first, last] of ranges.toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const before = all.at(-1);
    if (before === undefined || first > before[1]) all.push([first, last]);
    else if (last > before[1]) before[1] = last;
  }
  return all;
}

function least(names: readonly string[]): string | undefined {
  return names.toSorted()[0];
}

function greatest(names: readonly string[]): string | undefined {
  return names.toSorted().at(-1);
}

/** What every online backup of one history id needs. */
function neededBy(entries: readonly BackupInfoEntry[], historyId: number): BackupWal[] {
  return entries.flatMap(({ archiveStart, archiveStop, dbId, lsnStop }) =>
    dbId === historyId && archiveStart !== null && archiveStop !== null ? [{ archiveStart, archiveStop, lsnStop }] : [],
  );
}

/** What the backups of one history id need, by the WAL that the repository means to keep. */
export interface WalNeeds {
  /** Backups that keep all WAL after them. */
  readonly gapless: readonly BackupWal[];
  /** Backups that retention keeps no more WAL for. */
  readonly alone: readonly BackupWal[];
  /** Where gapless WAL begins; null if nothing is trimmed. */
  readonly from: string | null;
}

/** @param listed all backups of the repository: the rule counts them */
export function walNeeds(
  entries: readonly BackupInfoEntry[],
  historyId: number,
  { retention }: Repository,
  listed: readonly BackupInfoEntry[],
  nowMs: number,
): WalNeeds {
  const plan = planKept(listed, historyId, retention, { nowS: Math.floor(nowMs / 1000), pauses: [] });
  const trimmed = trimmedLabels(listed, historyId, retention, nowMs);
  return {
    gapless: neededBy(
      entries.filter(({ label }) => !trimmed.has(label)),
      historyId,
    ),
    alone: neededBy(
      entries.filter(({ label }) => trimmed.has(label)),
      historyId,
    ),
    from: plan?.gaplessFrom ?? null,
  };
}
