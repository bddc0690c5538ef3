/** Our own samples: each repository's content, and the host's facts. Pure. */
import type { BackupInfoEntry } from "../format/repository/backupInfo";
import type { LockState } from "../local/lockState";
import type { RunRecord } from "../local/runRecords";
import type { SlotReport } from "../local/slotState";
import { isRead } from "../operations/slot/slotReport";
import type { StreamState, SynchronousReport } from "../local/streamState";
import type { NewestWal } from "../recoverability/facts";
import type { CountedTrouble } from "../recoverability/troubles";
import type { DrillRecord } from "../operations/drill/record";
import { type DumpSurvey, hasDumps } from "../operations/dump/surveyDumps";
import { holdOf } from "../operations/expire/hold";
import type { OpenedBackup } from "../operations/open/openLocation";
import { segmentsBetween, type WalSurvey } from "../operations/shared/walSurvey";
import { type Sample, samples } from "./definitions";

export interface RepoState {
  readonly key: number;
  /** Null when unreadable. */
  readonly backups: readonly BackupInfoEntry[] | null;
  /** Those of the present cluster: after an upgrade, none of the previous cluster's can be continued. */
  readonly current: readonly BackupInfoEntry[];
  /** Null if it does not exist or is unknown. */
  readonly newestWal: NewestWal | null;
  readonly missingWalCount: number;
  readonly conflictCount: number;
  /** Labels of backups that keep no WAL after them. */
  readonly trimmed?: ReadonlySet<string>;
  /** Missing WAL segments and histories; absent if nobody counted them. */
  readonly gapCount?: number;
}

/** The state of one repository's queue, from the process that serves WAL. */
export interface WorkerFacts {
  readonly repoIndex: number;
  readonly waitingCount: number;
}

export interface RepoHostFacts {
  readonly key: number;
  /** Null when it was skipped, or failed. */
  readonly survey: WalSurvey | null;
  readonly droppedCount: number;
  readonly fullExpectedS: number | null;
  /** Logical dumps; null when unreadable. */
  readonly dumps: DumpSurvey | null;
  readonly dumpExpectedS: number | null;
}

export interface HostFacts {
  readonly repos: readonly RepoHostFacts[];
  /** Null without a server's directory. */
  readonly waiting: { readonly count: number; readonly oldestAtS: number | null } | null;
  /** Null unless WAL is archived through a slot. */
  readonly slot: SlotReport | null;
  readonly locks: { readonly backup: LockState; readonly restore: LockState };
  readonly isStopped: boolean;
  /** What `status` reports; null when that is not known. */
  readonly troubles: readonly CountedTrouble[] | null;
  readonly runs: readonly RunRecord[];
  /** Empty without streaming. */
  readonly streams: readonly StreamState[];
  /** Null unless commits shall wait for repositories. */
  readonly synchronous: SynchronousReport | null;
  /** Oldest first. */
  readonly drills: readonly DrillRecord[];
  /** Those that attack a bucket. */
  readonly attacks: readonly DrillRecord[];
  /** Backups that are open on this host. */
  readonly opened: readonly OpenedBackup[];
  readonly configHash: string;
  readonly version: string;
  readonly nowS: number;
}

const TYPES = ["full", "diff", "incr"] as const;

/** Samples of each repository, and how far it is behind the most advanced one. */
export function repositorySamples(stanza: string, repos: readonly RepoState[], walSegmentSizeBytes: number): Sample[] {
  const newest = repos.reduce<NewestWal | null>(
    (best, { newestWal }) => (newestWal !== null && (best === null || newestWal.name > best.name) ? newestWal : best),
    null,
  );
  return repos.flatMap((repo): Sample[] => {
    const labels = { stanza, repo_key: String(repo.key) };
    const { backups, conflictCount, current, gapCount = 0, missingWalCount, newestWal } = repo;
    const wal = newestWal !== null &&
      newest !== null && {
        pgbackstop_repo_wal_last_archived_timestamp_seconds: newestWal.storedAtS,
        pgbackstop_repo_wal_lag_segments: segmentsBetween(newestWal.name, newest.name, walSegmentSizeBytes),
        pgbackstop_repo_wal_lag_seconds:
          newestWal.name === newest.name ? 0 : Math.max(0, newest.storedAtS - newestWal.storedAtS),
        pgbackstop_recovery_window_end_timestamp_seconds:
          current.length === 0 || gapCount > 0 ? null : newestWal.storedAtS,
      };
    return [
      ...samples(labels, {
        pgbackstop_repo_up: backups !== null,
        pgbackstop_repo_wal_missing_files: missingWalCount,
        pgbackstop_repo_wal_conflict_files: conflictCount,
      }),
      ...(backups === null ? [] : backupSamples(labels, backups, repo)),
      ...samples(labels, wal || {}),
    ];
  });
}

/** Samples of the queues' present state. */
export function workerSamples(stanza: string, workers: readonly WorkerFacts[]): Sample[] {
  return workers.flatMap(({ repoIndex, waitingCount }) =>
    samples({ stanza, repo_key: String(repoIndex) }, { pgbackstop_repo_wal_waiting_files: waitingCount }),
  );
}

/** Samples of gaps, by repository key. */
export function gapSamples(stanza: string, gaps: ReadonlyMap<number, number>): Sample[] {
  return [...gaps].flatMap(([key, count]) =>
    samples({ stanza, repo_key: String(key) }, { pgbackstop_repo_wal_gap_segments: count }),
  );
}

function backupSamples(
  labels: Sample["labels"],
  backups: readonly BackupInfoEntry[],
  { current, trimmed }: Pick<RepoState, "current" | "trimmed">,
): Sample[] {
  const holds = backups.flatMap((entry) => holdOf(entry) ?? []);
  const holdEnds = holds.flatMap(({ untilS }) => untilS ?? []);
  const ends = current.flatMap(({ label, stoppedAtS }) => (trimmed?.has(label) === true ? [] : [stoppedAtS]));
  return [
    ...TYPES.flatMap((type) => {
      const count = backups.filter((entry) => entry.type === type).length;
      return samples({ ...labels, backup_type: type }, { pgbackstop_repo_backups: count });
    }),
    ...TYPES.flatMap((type, rank): Sample[] => {
      const counted = current.filter((entry) => TYPES.indexOf(entry.type) <= rank).map(({ stoppedAtS }) => stoppedAtS);
      const newest = counted.length === 0 ? null : largest(counted);
      return samples({ ...labels, backup_type: type }, { pgbackstop_repo_last_backup_timestamp_seconds: newest });
    }),
    ...samples(labels, {
      pgbackstop_repo_held_backups: holds.length,
      pgbackstop_repo_hold_end_timestamp_seconds: holdEnds.length === 0 ? null : smallest(holdEnds),
      pgbackstop_repo_backup_bytes: backups.reduce((sum, { repoSizeDeltaBytes }) => sum + repoSizeDeltaBytes, 0),
      pgbackstop_recovery_window_start_timestamp_seconds: ends.length === 0 ? null : smallest(ends),
    }),
  ];
}

function largest(values: readonly number[]): number {
  return values.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY);
}

function smallest(values: readonly number[]): number {
  return -largest(values.map((value) => -value));
}

/** Empty where no commit shall wait. */
export function synchronousSamples(stanza: string, report: SynchronousReport | null): Sample[] {
  if (report === null) return [];
  const { isWaiting, waitingS } = report;
  return samples({ stanza }, { pgbackstop_stream_synchronous: isWaiting, pgbackstop_stream_waiting_seconds: waitingS });
}

/** An old report shows no reader: its agent is dead. */
export function slotSamples(stanza: string, slot: SlotReport | null, nowS: number): Sample[] {
  if (slot === null) return [];
  return samples(
    { stanza },
    {
      pgbackstop_slot_active: isRead(slot, nowS),
      pgbackstop_slot_retained_bytes: slot.retainedBytes,
      pgbackstop_slot_safe_bytes: slot.safeBytes,
    },
  );
}

/** Progress of an instant recovery, while production's files are fetched. */
export function instantSamples(stanza: string, opened: readonly OpenedBackup[]): Sample[] {
  return opened.flatMap(({ isProduction, isServed, progress }) =>
    isProduction
      ? samples(
          { stanza },
          {
            pgbackstop_instant_served: isServed,
            pgbackstop_instant_total_bytes: progress?.totalBytes,
            pgbackstop_instant_missing_bytes: progress?.missingBytes,
            pgbackstop_instant_waiting: progress === null ? null : !progress.isWhole && progress.trouble !== null,
          },
        )
      : [],
  );
}

/** Facts that only a process on the host knows. */
export function hostSamples(stanza: string, facts: HostFacts): Sample[] {
  const { attacks, configHash, drills, isStopped, locks, nowS, repos, runs, streams, troubles, version, waiting } =
    facts;
  const own = { stanza };
  return [
    ...repos.flatMap((repo) => repoHostSamples(stanza, repo)),
    ...dumpSamples(stanza, repos),
    ...samples(own, {
      pgbackstop_wal_waiting_files: waiting?.count,
      pgbackstop_wal_waiting_oldest_timestamp_seconds: waiting?.oldestAtS,
    }),
    ...(["backup", "restore"] as const).flatMap((command) =>
      samples({ stanza, command }, { pgbackstop_lock_held: locks[command].held }),
    ),
    ...samples(own, { pgbackstop_stopped: isStopped }),
    ...(troubles === null ? [] : troubleSamples(stanza, troubles)),
    ...runs.flatMap((run) => runSamples(stanza, run)),
    ...streams.flatMap((stream) => streamSamples(stanza, stream)),
    ...synchronousSamples(stanza, facts.synchronous),
    ...slotSamples(stanza, facts.slot, nowS),
    ...instantSamples(stanza, facts.opened),
    ...drillSamples(stanza, drills),
    ...attackSamples(stanza, attacks),
    ...samples(own, { pgbackstop_collected_timestamp_seconds: nowS }),
    ...samples({ stanza, hash: configHash }, { pgbackstop_config_info: 1 }),
    ...samples({ version }, { pgbackstop_build_info: 1 }),
  ];
}

export function troubleSamples(stanza: string, troubles: readonly CountedTrouble[]): Sample[] {
  const counts = new Map<string, { readonly labels: Sample["labels"]; count: number }>();
  for (const { code, repoIndex } of troubles) {
    const labels = { stanza, repo_key: repoIndex === null ? "" : String(repoIndex), trouble: code };
    const key = `${labels.repo_key} ${code}`;
    counts.set(key, { labels, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [
    ...samples({ stanza }, { pgbackstop_status_ok: troubles.length === 0 }),
    ...[...counts.values()].flatMap(({ count, labels }) => samples(labels, { pgbackstop_troubles: count })),
  ];
}

function repoHostSamples(stanza: string, { droppedCount, fullExpectedS, key, survey }: RepoHostFacts): Sample[] {
  const values = {
    pgbackstop_repo_wal_dropped_files: droppedCount,
    pgbackstop_repo_wal_bytes: survey?.sizeBytes,
    pgbackstop_repo_wal_gap_segments: survey?.gapCount,
    pgbackstop_repo_full_expected_seconds: fullExpectedS,
  };
  return samples({ stanza, repo_key: String(key) }, values);
}

/** Empty where no repository has or expects a dump; else one that lacks them all shows 0. */
export function dumpSamples(
  stanza: string,
  repos: readonly Pick<RepoHostFacts, "key" | "dumps" | "dumpExpectedS">[],
): Sample[] {
  if (!repos.some(({ dumpExpectedS, dumps }) => dumpExpectedS !== null || (dumps !== null && hasDumps(dumps))))
    return [];
  return repos.flatMap(({ dumpExpectedS, dumps, key }) =>
    samples(
      { stanza, repo_key: String(key) },
      {
        pgbackstop_repo_dumps: dumps?.completeCount,
        pgbackstop_repo_last_dump_timestamp_seconds: dumps?.newest?.stoppedAtS,
        pgbackstop_repo_dump_expected_seconds: dumpExpectedS,
      },
    ),
  );
}

/** Samples of one repository, once it has streamed WAL. */
export function streamSamples(stanza: string, { atS, key, lostCount, positionBytes }: StreamState): Sample[] {
  const values = {
    pgbackstop_repo_stream_timestamp_seconds: atS,
    pgbackstop_repo_stream_lsn_bytes: positionBytes,
    pgbackstop_repo_stream_losses: lostCount,
  };
  return samples({ stanza, repo_key: String(key) }, values);
}

/** For `verify` also each repository's verdict. */
function runSamples(stanza: string, run: RunRecord): Sample[] {
  const { command, endedAtS, exitCode, succeededAtS } = run;
  const values = {
    pgbackstop_run_exit_code: exitCode,
    pgbackstop_run_timestamp_seconds: endedAtS,
    pgbackstop_run_success_timestamp_seconds: succeededAtS,
  };
  const verdicts = command === "verify" ? Object.entries(run.repos ?? {}) : [];
  return [
    ...samples({ stanza, command }, values),
    ...verdicts.flatMap(([key, { endedAtS: atS, ok }]) =>
      samples({ stanza, repo_key: key }, { pgbackstop_verify_ok: ok, pgbackstop_verify_timestamp_seconds: atS }),
    ),
  ];
}

/** The same of the drills that attack a bucket. */
export function attackSamples(stanza: string, attacks: readonly DrillRecord[]): Sample[] {
  return drillSamples(stanza, attacks).flatMap((sample) => {
    const name = sample.name.replace("pgbackstop_drill_", "pgbackstop_attack_drill_");
    return /_(ok|timestamp_seconds)$/.test(name) ? [{ ...sample, name }] : [];
  });
}

/** Each repository's last drill, and its last successful one. */
export function drillSamples(stanza: string, drills: readonly DrillRecord[]): Sample[] {
  const keys = [...new Set(drills.map(({ repo }) => repo))].sort((left, right) => left - right);
  return keys.flatMap((key): Sample[] => {
    const labels = { stanza, repo_key: String(key) };
    const own = drills.filter(({ repo }) => repo === key);
    const last = own.at(-1);
    const passed = own.findLast(({ ok }) => ok);
    // One that opened its backup measured none.
    const rtoMs = own.findLast(({ opened }) => opened === undefined)?.rtoMs ?? null;
    if (last === undefined) return [];
    const phases = new Map(last.phases.map(({ elapsedMs, name }) => [name, elapsedMs]));
    return [
      ...samples(labels, {
        pgbackstop_drill_ok: last.ok,
        pgbackstop_drill_timestamp_seconds: last.endedAtS,
        pgbackstop_drill_success_timestamp_seconds: passed?.endedAtS,
        pgbackstop_drill_rto_seconds: rtoMs === null ? null : rtoMs / 1000,
      }),
      ...samples({ ...labels, method: last.rpo?.method ?? "" }, { pgbackstop_drill_rpo_seconds: last.rpo?.seconds }),
      ...[...phases].flatMap(([phase, elapsedMs]) =>
        samples({ ...labels, phase }, { pgbackstop_drill_phase_seconds: elapsedMs / 1000 }),
      ),
    ];
  });
}
