/** Our own samples: each repository's content, and the host's facts. Pure. */
import type { BackupInfoEntry } from "../format/repository/backupInfo";
import type { LockState } from "../local/lockState";
import type { RunRecord } from "../local/runRecords";
import type { SlotReport } from "../local/slotState";
import { isRead } from "../operations/slot/slotReport";
import type { StreamState, SynchronousReport } from "../local/streamState";
import type { StoredWal } from "../operations/info/destinations";
import type { DrillRecord } from "../operations/drill/record";
import { segmentsBetween, type WalSurvey } from "../operations/shared/walSurvey";
import type { Sample } from "./definitions";

export interface RepoFacts {
  readonly key: number;
  /** Null when unreadable. */
  readonly backups: readonly BackupInfoEntry[] | null;
  /** Null if it does not exist or is unknown. */
  readonly newestWal: StoredWal | null;
  readonly missingWalCount: number;
  readonly conflictCount: number;
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
}

export interface HostFacts {
  readonly repos: readonly RepoHostFacts[];
  /** Null without a server's directory. */
  readonly waiting: { readonly count: number; readonly oldestAtS: number | null } | null;
  /** Null unless WAL is archived through a slot. */
  readonly slot: SlotReport | null;
  readonly locks: { readonly backup: LockState; readonly restore: LockState };
  readonly isStopped: boolean;
  readonly runs: readonly RunRecord[];
  /** Empty without streaming. */
  readonly streams: readonly StreamState[];
  /** Null unless commits shall wait for repositories. */
  readonly synchronous: SynchronousReport | null;
  /** Oldest first. */
  readonly drills: readonly DrillRecord[];
  /** Those that attack a bucket. */
  readonly attacks: readonly DrillRecord[];
  readonly configHash: string;
  readonly version: string;
  readonly nowS: number;
}

const TYPES = ["full", "diff", "incr"] as const;

/** Samples of each repository, and how far it is behind the most advanced one. */
export function repositorySamples(stanza: string, repos: readonly RepoFacts[], walSegmentSizeBytes: number): Sample[] {
  const newest = repos.reduce<StoredWal | null>(
    (best, { newestWal }) => (newestWal !== null && (best === null || newestWal.name > best.name) ? newestWal : best),
    null,
  );
  return repos.flatMap((repo): Sample[] => {
    const labels = { stanza, repo_key: String(repo.key) };
    const { backups, conflictCount, missingWalCount, newestWal } = repo;
    return [
      { name: "pgbackstop_repo_up", labels, value: backups === null ? 0 : 1 },
      { name: "pgbackstop_repo_wal_debt_files", labels, value: missingWalCount },
      { name: "pgbackstop_repo_wal_conflict_files", labels, value: conflictCount },
      ...(backups === null ? [] : backupSamples(labels, backups)),
      ...(newestWal === null || newest === null
        ? []
        : [
            { name: "pgbackstop_repo_wal_last_archived_timestamp_seconds", labels, value: newestWal.storedAtS },
            {
              name: "pgbackstop_repo_wal_lag_segments",
              labels,
              value: segmentsBetween(newestWal.name, newest.name, walSegmentSizeBytes),
            },
            {
              name: "pgbackstop_repo_wal_lag_seconds",
              labels,
              value: newestWal.name === newest.name ? 0 : Math.max(0, newest.storedAtS - newestWal.storedAtS),
            },
            ...(backups === null || backups.length === 0
              ? []
              : [{ name: "pgbackstop_recovery_window_end_timestamp_seconds", labels, value: newestWal.storedAtS }]),
          ]),
    ];
  });
}

/** Samples of the queues' present state. */
export function workerSamples(stanza: string, workers: readonly WorkerFacts[]): Sample[] {
  return workers.map(({ repoIndex, waitingCount }): Sample => {
    return {
      name: "pgbackstop_repo_wal_waiting_files",
      labels: { stanza, repo_key: String(repoIndex) },
      value: waitingCount,
    };
  });
}

/** Samples of gaps, by repository key. */
export function gapSamples(stanza: string, gaps: ReadonlyMap<number, number>): Sample[] {
  return [...gaps].map(([key, count]): Sample => {
    return { name: "pgbackstop_repo_wal_gap_segments", labels: { stanza, repo_key: String(key) }, value: count };
  });
}

function backupSamples(labels: Sample["labels"], backups: readonly BackupInfoEntry[]): Sample[] {
  const ends = backups.map(({ stoppedAtS }) => stoppedAtS);
  return [
    ...TYPES.map((type): Sample => {
      return {
        name: "pgbackstop_repo_backups",
        labels: { ...labels, backup_type: type },
        value: backups.filter((entry) => entry.type === type).length,
      };
    }),
    ...TYPES.flatMap((type, rank): Sample[] => {
      const counted = backups.filter((entry) => TYPES.indexOf(entry.type) <= rank).map(({ stoppedAtS }) => stoppedAtS);
      if (counted.length === 0) return [];
      return [
        {
          name: "pgbackstop_repo_last_backup_timestamp_seconds",
          labels: { ...labels, backup_type: type },
          value: largest(counted),
        },
      ];
    }),
    {
      name: "pgbackstop_repo_backup_bytes",
      labels,
      value: backups.reduce((sum, { repoSizeDeltaBytes }) => sum + repoSizeDeltaBytes, 0),
    },
    ...(ends.length === 0
      ? []
      : [
          {
            name: "pgbackstop_recovery_window_start_timestamp_seconds",
            labels,
            value: -largest(ends.map((end) => -end)),
          },
        ]),
  ];
}

function largest(values: readonly number[]): number {
  return values.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY);
}

/** Empty where no commit shall wait. */
export function synchronousSamples(stanza: string, report: SynchronousReport | null): Sample[] {
  if (report === null) return [];
  return [
    { name: "pgbackstop_stream_synchronous", labels: { stanza }, value: report.isWaiting ? 1 : 0 },
    { name: "pgbackstop_stream_waiting_seconds", labels: { stanza }, value: report.waitingS },
  ];
}

/** An old report shows no reader: its agent is dead. */
export function slotSamples(stanza: string, slot: SlotReport | null, nowS: number): Sample[] {
  if (slot === null) return [];
  const labels = { stanza };
  return [
    { name: "pgbackstop_slot_active", labels, value: isRead(slot, nowS) ? 1 : 0 },
    { name: "pgbackstop_slot_retained_bytes", labels, value: slot.retainedBytes },
    ...(slot.safeBytes === null ? [] : [{ name: "pgbackstop_slot_safe_bytes", labels, value: slot.safeBytes }]),
  ];
}

/** Facts that only a process on the host knows. */
export function hostSamples(stanza: string, facts: HostFacts): Sample[] {
  const { attacks, configHash, drills, isStopped, locks, nowS, repos, runs, streams, version, waiting } = facts;
  return [
    ...repos.flatMap((repo) => repoHostSamples(stanza, repo)),
    ...(waiting === null ? [] : [{ name: "pgbackstop_wal_waiting_files", labels: { stanza }, value: waiting.count }]),
    ...(waiting === null || waiting.oldestAtS === null
      ? []
      : [{ name: "pgbackstop_wal_waiting_oldest_timestamp_seconds", labels: { stanza }, value: waiting.oldestAtS }]),
    ...(["backup", "restore"] as const).map((command): Sample => {
      return { name: "pgbackstop_lock_held", labels: { stanza, command }, value: locks[command].held ? 1 : 0 };
    }),
    { name: "pgbackstop_stopped", labels: { stanza }, value: isStopped ? 1 : 0 },
    ...runs.flatMap((run) => runSamples(stanza, run)),
    ...streams.flatMap((stream) => streamSamples(stanza, stream)),
    ...synchronousSamples(stanza, facts.synchronous),
    ...slotSamples(stanza, facts.slot, nowS),
    ...drillSamples(stanza, drills),
    ...attackSamples(stanza, attacks),
    { name: "pgbackstop_collected_timestamp_seconds", labels: { stanza }, value: nowS },
    { name: "pgbackstop_config_info", labels: { stanza, hash: configHash }, value: 1 },
    { name: "pgbackstop_build_info", labels: { version }, value: 1 },
  ];
}

function repoHostSamples(stanza: string, { droppedCount, fullExpectedS, key, survey }: RepoHostFacts): Sample[] {
  const labels = { stanza, repo_key: String(key) };
  return [
    { name: "pgbackstop_repo_wal_dropped_files", labels, value: droppedCount },
    ...(survey === null
      ? []
      : [
          { name: "pgbackstop_repo_wal_bytes", labels, value: survey.sizeBytes },
          { name: "pgbackstop_repo_wal_gap_segments", labels, value: survey.gapCount },
        ]),
    ...(fullExpectedS === null
      ? []
      : [{ name: "pgbackstop_repo_full_expected_seconds", labels, value: fullExpectedS }]),
  ];
}

/** Samples of one repository, once it has streamed WAL. */
export function streamSamples(stanza: string, { atS, key, lostCount, positionBytes }: StreamState): Sample[] {
  const labels = { stanza, repo_key: String(key) };
  return [
    { name: "pgbackstop_repo_stream_timestamp_seconds", labels, value: atS },
    { name: "pgbackstop_repo_stream_lsn_bytes", labels, value: positionBytes },
    { name: "pgbackstop_repo_stream_losses", labels, value: lostCount },
  ];
}

/** For `verify` also each repository's verdict. */
function runSamples(stanza: string, run: RunRecord): Sample[] {
  const labels = { stanza, command: run.command };
  const verdicts = run.command === "verify" ? Object.entries(run.repos ?? {}) : [];
  return [
    { name: "pgbackstop_run_exit_code", labels, value: run.exitCode },
    { name: "pgbackstop_run_timestamp_seconds", labels, value: run.endedAtS },
    ...(run.succeededAtS === null
      ? []
      : [{ name: "pgbackstop_run_success_timestamp_seconds", labels, value: run.succeededAtS }]),
    ...verdicts.flatMap(([key, verdict]): Sample[] => [
      { name: "pgbackstop_verify_ok", labels: { stanza, repo_key: key }, value: verdict.ok ? 1 : 0 },
      { name: "pgbackstop_verify_timestamp_seconds", labels: { stanza, repo_key: key }, value: verdict.endedAtS },
    ]),
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
    if (last === undefined) return [];
    const phases = new Map(last.phases.map(({ elapsedMs, name }) => [name, elapsedMs]));
    return [
      { name: "pgbackstop_drill_ok", labels, value: last.ok ? 1 : 0 },
      { name: "pgbackstop_drill_timestamp_seconds", labels, value: last.endedAtS },
      ...(passed === undefined
        ? []
        : [{ name: "pgbackstop_drill_success_timestamp_seconds", labels, value: passed.endedAtS }]),
      ...(last.rtoMs === null ? [] : [{ name: "pgbackstop_drill_rto_seconds", labels, value: last.rtoMs / 1000 }]),
      ...(last.rpo === null
        ? []
        : [
            {
              name: "pgbackstop_drill_rpo_seconds",
              labels: { ...labels, method: last.rpo.method },
              value: last.rpo.seconds,
            },
          ]),
      ...[...phases].map(
        ([phase, elapsedMs]): Sample => ({
          name: "pgbackstop_drill_phase_seconds",
          labels: { ...labels, phase },
          value: elapsedMs / 1000,
        }),
      ),
    ];
  });
}
