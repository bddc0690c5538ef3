/**
 * Which moments a repository can restore: those from the end of a backup to the end of the unbroken WAL after it. By
 * names and times of the stored segments; `verify` reads their content. Pure.
 */
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import { SegmentNumbers } from "../../format/wal/segmentNumbers";
import { nextSegment, previousSegment, segmentOfLsn, timelineOf } from "../../format/wal/walSegment";
import { runsOf } from "../verify/gaps";
import type { TimelinePath } from "../verify/path";
import type { ReportedBackup, ReportedGap, ReportedWindow } from "./reportFields";

export interface CoverageInput {
  /** Those of one cluster. */
  readonly backups: readonly Pick<BackupInfoEntry, "archiveStart" | "archiveStop" | "stoppedAtS">[];
  /** When each complete segment was stored. */
  readonly storedAtS: Pick<SegmentNumbers, "get" | "has" | "keys">;
  readonly newest: TimelinePath | null;
  /** First segments of backups that keep no other WAL than their own: what follows is no gap. */
  readonly trimmed: ReadonlySet<string>;
  readonly segmentSizeBytes: number;
}

export interface Coverage {
  readonly windows: readonly ReportedWindow[];
  readonly gaps: readonly ReportedGap[];
}

/** Segments without one missing between them. */
interface Run {
  endS: number;
  /** The segment after it, which is not stored. */
  missing: string;
  /** All WAL after it is meant to be kept. */
  isGapless: boolean;
  readonly walk: Walk;
}

interface Walk {
  /** True for the way to the newest timeline; false for a timeline by itself. */
  readonly isOnPath: boolean;
  next(segment: string): string;
}

/** False for a backup whose own WAL is missing, and for one of an earlier cluster. */
export function isRestorable(
  { stoppedAtS }: Pick<ReportedBackup, "stoppedAtS">,
  windows: readonly ReportedWindow[],
): boolean {
  return windows.some(({ fromS, toS }) => stoppedAtS >= fromS && stoppedAtS <= toS);
}

export function coverageOf(input: CoverageInput): Coverage {
  const runs = new Runs();
  const windows: ReportedWindow[] = [];
  const online = input.backups.flatMap(({ archiveStart, archiveStop, stoppedAtS }) => {
    if (archiveStart !== null && archiveStop !== null) return [{ archiveStart, archiveStop, stoppedAtS }];
    windows.push({ fromS: stoppedAtS, toS: stoppedAtS });
    return [];
  });
  const follow = followerOf(input);
  for (const { archiveStart, archiveStop, stoppedAtS } of online.toSorted(byStart)) {
    const run = runFrom(archiveStart, follow(archiveStart, archiveStop), input, runs);
    if (run === undefined) continue;
    run.isGapless ||= !input.trimmed.has(archiveStart);
    // Without its own WAL it cannot become consistent.
    if (runs.get(archiveStop) === run) windows.push({ fromS: stoppedAtS, toS: Math.max(stoppedAtS, run.endS) });
  }
  return { windows: joined(windows), gaps: gapsOf(runs.all(), input) };
}

type Backup = { readonly archiveStart: string };

function byStart(left: Backup, right: Backup): number {
  return left.archiveStart < right.archiveStart ? -1 : 1;
}

/** The run of each segment that was visited. */
class Runs {
  readonly #runs: Run[] = [];
  readonly #positions = new SegmentNumbers();

  all(): readonly Run[] {
    return [...new Set(this.#runs)];
  }

  get(segment: string): Run | undefined {
    const position = this.#positions.get(segment);
    return position === undefined ? undefined : this.#runs[position];
  }

  /** For segments that are {@link visit}ed from now on. */
  begin(run: Run): void {
    this.#runs.push(run);
  }

  visit(segment: string): void {
    this.#positions.set(segment, this.#runs.length - 1);
  }

  /** The run that was begun last goes on as `run`. */
  join(run: Run): void {
    this.#runs[this.#runs.length - 1] = run;
  }
}

/** Marks every segment of the run, so that each is visited once however many backups are in it. */
function runFrom(start: string, walk: Walk, { storedAtS }: CoverageInput, runs: Runs): Run | undefined {
  const known = runs.get(start);
  if (known !== undefined || !storedAtS.has(start)) return known;
  const run: Run = { endS: 0, missing: start, isGapless: false, walk };
  runs.begin(run);
  for (let current = start; storedAtS.has(current); current = run.missing) {
    const reached = runs.get(current);
    if (reached !== undefined) {
      runs.join(reached);
      return reached;
    }
    runs.visit(current);
    run.endS = Math.max(run.endS, storedAtS.get(current) ?? 0);
    run.missing = walk.next(current);
  }
  return run;
}

/**
 * The segment after another one, as a recovery to the newest timeline reads them: the segment in which a timeline ends
 * is read from the next one. A backup that is not on that way recovers along its own timeline.
 */
function followerOf({ newest, segmentSizeBytes }: CoverageInput): (start: string, stop: string) => Walk {
  const ancestors = newest?.ancestors ?? [];
  const forks = new Map(
    ancestors.map(({ lsn, timeline }, index) => {
      const child = ancestors[index + 1]?.timeline ?? newest?.timeline ?? timeline;
      return [
        timeline,
        { last: segmentOfLsn(timeline, lsn, segmentSizeBytes), first: segmentOfLsn(child, lsn, segmentSizeBytes) },
      ] as const;
    }),
  );
  const alone: Walk = { isOnPath: false, next: (segment) => nextSegment(segment, segmentSizeBytes) };
  const onPath: Walk = {
    isOnPath: true,
    next: (segment) => {
      const next = alone.next(segment);
      const fork = forks.get(timelineOf(segment));
      return fork !== undefined && next >= fork.last ? fork.first : next;
    },
  };
  return (start, stop) => {
    const fork = forks.get(timelineOf(start));
    return fork !== undefined && stop > fork.last ? alone : onPath;
  };
}

/** Where newer WAL is stored behind the first missing segment. A timeline that was left ends without a gap. */
function gapsOf(runs: readonly Run[], { newest, segmentSizeBytes, storedAtS }: CoverageInput): ReportedGap[] {
  const timelines = newest === null ? [] : [...newest.ancestors.map(({ timeline }) => timeline), newest.timeline];
  const firsts = runsOf(storedAtS.keys(), segmentSizeBytes).map(([first]) => first);
  return runs.flatMap(({ endS, isGapless, missing, walk }) => {
    const own = timelineOf(missing);
    const isOnPath = walk.isOnPath && timelines.includes(own);
    const after = firsts.find(
      (name) => name > missing && (timelineOf(name) === own || (isOnPath && timelines.includes(timelineOf(name)))),
    );
    if (!isGapless || after === undefined) return [];
    const before = timelineOf(after) === own ? previousSegment(after, segmentSizeBytes) : null;
    return [{ from: missing, to: before ?? missing, fromS: endS, toS: storedAtS.get(after) ?? endS }];
  });
}

function joined(windows: readonly ReportedWindow[]): ReportedWindow[] {
  const all: ReportedWindow[] = [];
  for (const window of windows.toSorted((left, right) => left.fromS - right.fromS)) {
    const last = all.at(-1);
    if (last !== undefined && window.fromS <= last.toS)
      all[all.length - 1] = { fromS: last.fromS, toS: Math.max(last.toS, window.toS) };
    else all.push(window);
  }
  return all;
}
