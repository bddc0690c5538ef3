/**
 * Every served metric: its name, its meaning, and its labels in order.
 *
 * `pgbackrest_…` are those of woblerr's pgbackrest_exporter 0.23, with the same names and labels, so that its
 * dashboards keep working. `pgbackstop_…` add what it lacks, above all the content of each repository. Times are
 * absolute, never ages: an age that is no longer updated looks young forever.
 */
import { assert } from "../base/errors";

export interface MetricDefinition {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples with the same labels: true is 1, false is 0; values that are missing make none. */
export function samples(
  labels: Sample["labels"],
  values: Readonly<Record<string, number | boolean | null | undefined>>,
): Sample[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value == null ? [] : [{ name, labels, value: Number(value) }],
  );
}

/** In the order of the definitions, without those that have no sample. */
export function byDefinition(
  definitions: readonly MetricDefinition[],
  all: readonly Sample[],
): (readonly [MetricDefinition, readonly Sample[]])[] {
  const byName = new Map<string, Sample[]>();
  for (const sample of all) {
    const own = byName.get(sample.name);
    if (own === undefined) byName.set(sample.name, [sample]);
    else own.push(sample);
  }
  const rows = definitions.flatMap((definition) => {
    const { labels, name } = definition;
    const own = byName.get(name) ?? [];
    byName.delete(name);
    for (const sample of own) {
      const known = Object.keys(sample.labels);
      const isWhole = known.length === labels.length && labels.every((label) => known.includes(label));
      assert(isWhole, `labels of ${name} are ${known.join(", ")}`);
    }
    return own.length === 0 ? [] : [[definition, own] as const];
  });
  assert(byName.size === 0, `metrics without a definition: ${[...byName.keys()].join(", ")}`);
  return rows;
}

const STANZA = ["stanza"];
const REPO = ["stanza", "repo_key"];
const REPO_TYPE = [...REPO, "backup_type"];
const BACKUP = ["backup_name", "backup_type", "block_incr", "database_id", "repo_key", "stanza"];
const LAST = ["backup_type", "block_incr", "stanza"];
const OF_LAST = "the last full, differential or incremental backup";

type Help = string | readonly [help: string, labels: readonly string[]];

/** Metrics by name; those with labels of their own name them. */
function metrics(common: readonly string[], rows: Readonly<Record<string, Help>>): readonly MetricDefinition[] {
  return Object.entries(rows).map(([name, row]) => {
    const [help, labels] = typeof row === "string" ? [row, common] : row;
    return { name, help, labels };
  });
}

/** Compatible with pgbackrest_exporter. */
const EXPORTER: readonly MetricDefinition[] = metrics(LAST, {
  pgbackrest_exporter_status: ["pgBackRest exporter get data status.", STANZA],
  pgbackrest_version_info: ["Information about pgBackRest version.", []],
  pgbackrest_stanza_status: ["Current stanza status.", STANZA],
  pgbackrest_stanza_backup_lock_status: ["Current stanza backup lock status.", STANZA],
  pgbackrest_stanza_backup_complete_bytes: ["Completed size for backup in progress.", STANZA],
  pgbackrest_stanza_backup_total_bytes: ["Total size for backup in progress.", STANZA],
  pgbackrest_stanza_restore_lock_status: ["Current stanza restore lock status.", STANZA],
  pgbackrest_stanza_restore_complete_bytes: ["Completed size for restore in progress.", STANZA],
  pgbackrest_stanza_restore_total_bytes: ["Total size for restore in progress.", STANZA],
  pgbackrest_repo_status: ["Current repository status.", ["cipher", "repo_key", "stanza"]],
  pgbackrest_wal_archive_status: [
    "Current WAL archive status.",
    ["database_id", "pg_version", "repo_key", "stanza", "wal_max", "wal_min"],
  ],
  pgbackrest_backup_info: [
    "Backup info.",
    [
      "backrest_ver",
      "backup_name",
      "backup_type",
      "block_incr",
      "database_id",
      "lsn_start",
      "lsn_stop",
      "pg_version",
      "prior",
      "repo_key",
      "stanza",
      "wal_start",
      "wal_stop",
    ],
  ],
  pgbackrest_backup_duration_seconds: ["Backup duration.", [...BACKUP, "start_time", "stop_time"]],
  pgbackrest_backup_size_bytes: ["Full uncompressed size of the database.", BACKUP],
  pgbackrest_backup_delta_bytes: ["Amount of data in the database to actually backup.", BACKUP],
  pgbackrest_backup_repo_size_bytes: ["Full compressed files size to restore the database from backup.", BACKUP],
  pgbackrest_backup_repo_size_map_bytes: ["Size of block incremental map.", BACKUP],
  pgbackrest_backup_repo_delta_bytes: ["Compressed files size in backup.", BACKUP],
  pgbackrest_backup_repo_delta_map_bytes: ["Size of block incremental delta map.", BACKUP],
  pgbackrest_backup_error_status: ["Backup error status.", BACKUP],
  pgbackrest_backup_annotations: ["Number of annotations in backup.", BACKUP],
  pgbackrest_backup_references: [
    "Number of references to other backups (backup reference list).",
    ["ref_backup", ...BACKUP],
  ],
  pgbackrest_backup_since_last_completion_seconds:
    "Seconds since the last completed full, differential or incremental backup.",
  pgbackrest_backup_last_duration_seconds: `Backup duration for ${OF_LAST}.`,
  pgbackrest_backup_last_size_bytes: `Full uncompressed size of the database in ${OF_LAST}.`,
  pgbackrest_backup_last_delta_bytes: `Amount of data in the database to actually backup in ${OF_LAST}.`,
  pgbackrest_backup_last_repo_size_bytes: `Full compressed files size to restore the database from ${OF_LAST}.`,
  pgbackrest_backup_last_repo_size_map_bytes: `Size of block incremental map in ${OF_LAST}.`,
  pgbackrest_backup_last_repo_delta_bytes: `Compressed files size in ${OF_LAST}.`,
  pgbackrest_backup_last_repo_delta_map_bytes: `Size of block incremental delta map in ${OF_LAST}.`,
  pgbackrest_backup_last_error_status: `Error status in ${OF_LAST}.`,
  pgbackrest_backup_last_annotations: `Number of annotations in ${OF_LAST}.`,
  pgbackrest_backup_last_references: [
    `Number of references to other backups (backup reference list) in ${OF_LAST}.`,
    ["ref_backup", ...LAST],
  ],
});

/** Metrics of one repository; CloudNativePG's plugin serves these too. */
export const REPOSITORY: readonly MetricDefinition[] = metrics(REPO, {
  pgbackstop_repo_up: "1 when the last attempt to read the repository succeeded",
  pgbackstop_repo_backups: ["Backups that can be restored from the repository", REPO_TYPE],
  pgbackstop_repo_last_backup_timestamp_seconds: [
    "End of the newest backup of this type or a larger one: a full counts as diff, both count as incr; after an upgrade only those of the new cluster count",
    REPO_TYPE,
  ],
  pgbackstop_repo_held_backups: "Backups under a hold, which no retention removes",
  pgbackstop_repo_hold_end_timestamp_seconds: "Next end of a hold; no sample if none ends by itself",
  pgbackstop_repo_backup_bytes: "Bytes that all backups take in the repository, without WAL",
  pgbackstop_recovery_window_start_timestamp_seconds:
    "End of the oldest backup that keeps the WAL after it: recovery to any point in time reaches back to it",
  pgbackstop_recovery_window_end_timestamp_seconds:
    "When the newest WAL segment that follows the backups without a gap was stored: recovery reaches up to it; no sample while segments are known to be missing",
  pgbackstop_repo_wal_last_archived_timestamp_seconds: "When the newest WAL segment was stored in the repository",
  pgbackstop_repo_wal_lag_segments: "WAL segments between the newest one here and the newest one in any repository",
  pgbackstop_repo_wal_lag_seconds:
    "Time between storing the newest WAL segment here and the newest one in any repository",
  pgbackstop_repo_wal_gap_segments:
    "WAL segments missing between the oldest backup and the newest segment: no restore can pass them",
  pgbackstop_repo_wal_waiting_files: "WAL files that are ready and not yet in the repository",
  pgbackstop_repo_wal_missing_files: "Acknowledged WAL files that the repository lacks",
  pgbackstop_repo_wal_conflict_files: "WAL files that the repository's archive has with other content than the server",
  pgbackstop_repo_stream_timestamp_seconds:
    "Everything that the server wrote before this time is in the repository, streamed or archived",
  pgbackstop_repo_stream_lsn_bytes: "Position up to which WAL was streamed into the repository",
  pgbackstop_repo_stream_losses: "How often WAL that this process had stored was gone from the repository",
});

/** Metrics of the last fire drill of each repository; the plugin serves these too. */
export const DRILLS: readonly MetricDefinition[] = metrics(REPO, {
  pgbackstop_drill_ok: "1 when the last fire drill of the repository passed",
  pgbackstop_drill_timestamp_seconds: "End of the last fire drill of the repository",
  pgbackstop_drill_success_timestamp_seconds: "End of the last fire drill of the repository that passed",
  pgbackstop_drill_rto_seconds: "From the start of the last drill to the first accepted connection",
  pgbackstop_drill_rpo_seconds: ["Loss of data that the last drill measured", [...REPO, "method"]],
  pgbackstop_attack_drill_ok: "1 when the last attack drill of the repository passed",
  pgbackstop_attack_drill_timestamp_seconds: "End of the last attack drill of the repository",
  pgbackstop_attack_drill_success_timestamp_seconds: "End of the last attack drill of the repository that passed",
  pgbackstop_drill_phase_seconds: ["Duration of a phase of the last drill", [...REPO, "phase"]],
});

/** Logical dumps, where a repository has or expects some; the plugin serves these too. */
export const DUMPS: readonly MetricDefinition[] = metrics(REPO, {
  pgbackstop_repo_dumps: "Complete logical dumps in the repository; no sample if no repository has or expects one",
  pgbackstop_repo_last_dump_timestamp_seconds: "End of the newest complete logical dump",
  pgbackstop_repo_dump_expected_seconds: "Maximum age of the newest complete logical dump in the settings file",
});

/** Whether commits wait for repositories; absent where they need not. */
export const SYNCHRONOUS: readonly MetricDefinition[] = metrics(STANZA, {
  pgbackstop_stream_synchronous: "1 while commits wait for repositories, 0 while they should and do not",
  pgbackstop_stream_waiting_seconds: "How long commits have waited for repositories now",
});

/** The replication slot that archives; absent where `archive_command` does. */
const SLOT: readonly MetricDefinition[] = metrics(STANZA, {
  pgbackstop_slot_active: "1 while the agent reads the replication slot that archives",
  pgbackstop_slot_retained_bytes: "WAL that the server keeps for the slot",
  pgbackstop_slot_safe_bytes:
    "WAL that the server may write until it drops what the slot needs; absent without max_slot_wal_keep_size",
});

/** An instant recovery of this host; absent without one. */
const INSTANT: readonly MetricDefinition[] = metrics(STANZA, {
  pgbackstop_instant_served: "1 while a process serves the files of production, 0 after it has ended",
  pgbackstop_instant_total_bytes: "Size of the backup that production runs on until everything is here",
  pgbackstop_instant_missing_bytes: "Bytes of it that are not here yet",
  pgbackstop_instant_waiting: "1 while the rest of it cannot be fetched",
});

/** Further facts of a process on the host. */
const HOST: readonly MetricDefinition[] = metrics(REPO, {
  pgbackstop_repo_wal_bytes: "Bytes that the WAL of the current cluster takes in the repository",
  pgbackstop_repo_wal_dropped_files: "Dropped WAL files, which no repository has, after the newest backup",
  pgbackstop_repo_full_expected_seconds: "Maximum age of the newest full backup in the settings file",
  pgbackstop_verify_ok: "1 when the last verify that read the repository found no errors",
  pgbackstop_verify_timestamp_seconds: "End of the last verify that read the repository, or found damage",
  pgbackstop_wal_waiting_files: ["WAL files in pg_wal that are ready for the archive", STANZA],
  pgbackstop_wal_waiting_oldest_timestamp_seconds: ["When the oldest of them was ready", STANZA],
  pgbackstop_lock_held: ["1 while a backup or a restore runs on this host", ["stanza", "command"]],
  pgbackstop_stopped: ["1 while the stop command forbids writes", STANZA],
  pgbackstop_run_exit_code: ["Exit code of the last run of a command", ["stanza", "command"]],
  pgbackstop_run_timestamp_seconds: ["End of the last run of a command", ["stanza", "command"]],
  pgbackstop_run_success_timestamp_seconds: [
    "End of the last run of a command that ended with 0",
    ["stanza", "command"],
  ],
  pgbackstop_collected_timestamp_seconds: ["When these metrics were gathered", STANZA],
  pgbackstop_config_info: ["A hash of the configuration without its secrets", ["stanza", "hash"]],
  pgbackstop_build_info: ["The version of this program", ["version"]],
});

/** What the status command reports: on a host, and in the sidecar of a primary. */
export const STATUS: readonly MetricDefinition[] = metrics(REPO, {
  pgbackstop_status_ok: ["1 while the status command has nothing to report, 0 while it exits with 104", STANZA],
  pgbackstop_troubles: [
    "What the status command reports, counted by kind; no sample of other kinds, and no repo_key for those of the host",
    [...REPO, "trouble"],
  ],
});

export const DEFINITIONS: readonly MetricDefinition[] = [
  ...EXPORTER,
  ...REPOSITORY,
  ...SYNCHRONOUS,
  ...SLOT,
  ...INSTANT,
  ...HOST,
  ...STATUS,
  ...DRILLS,
  ...DUMPS,
];
