/**
 * Every served metric: its name, its meaning, and its labels in order.
 *
 * `pgbackrest_…` are those of woblerr's pgbackrest_exporter 0.23, with the same names and labels, so that its
 * dashboards keep working. `pgbackstop_…` add what it lacks, above all the content of each repository. Times are
 * absolute, never ages: an age that is no longer updated looks young forever.
 */
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

const STANZA = ["stanza"];
const REPO = ["stanza", "repo_key"];
const REPO_TYPE = [...REPO, "backup_type"];
const BACKUP = ["backup_name", "backup_type", "block_incr", "database_id", "repo_key", "stanza"];
const LAST = ["backup_type", "block_incr", "stanza"];
const OF_LAST = "the last full, differential or incremental backup";

/** Compatible with pgbackrest_exporter. */
const EXPORTER: readonly MetricDefinition[] = [
  { name: "pgbackrest_exporter_status", help: "pgBackRest exporter get data status.", labels: STANZA },
  { name: "pgbackrest_version_info", help: "Information about pgBackRest version.", labels: [] },
  { name: "pgbackrest_stanza_status", help: "Current stanza status.", labels: STANZA },
  { name: "pgbackrest_stanza_backup_lock_status", help: "Current stanza backup lock status.", labels: STANZA },
  { name: "pgbackrest_stanza_backup_complete_bytes", help: "Completed size for backup in progress.", labels: STANZA },
  { name: "pgbackrest_stanza_backup_total_bytes", help: "Total size for backup in progress.", labels: STANZA },
  { name: "pgbackrest_stanza_restore_lock_status", help: "Current stanza restore lock status.", labels: STANZA },
  { name: "pgbackrest_stanza_restore_complete_bytes", help: "Completed size for restore in progress.", labels: STANZA },
  { name: "pgbackrest_stanza_restore_total_bytes", help: "Total size for restore in progress.", labels: STANZA },
  { name: "pgbackrest_repo_status", help: "Current repository status.", labels: ["cipher", "repo_key", "stanza"] },
  {
    name: "pgbackrest_wal_archive_status",
    help: "Current WAL archive status.",
    labels: ["database_id", "pg_version", "repo_key", "stanza", "wal_max", "wal_min"],
  },
  {
    name: "pgbackrest_backup_info",
    help: "Backup info.",
    labels: [
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
  },
  {
    name: "pgbackrest_backup_duration_seconds",
    help: "Backup duration.",
    labels: [...BACKUP, "start_time", "stop_time"],
  },
  { name: "pgbackrest_backup_size_bytes", help: "Full uncompressed size of the database.", labels: BACKUP },
  { name: "pgbackrest_backup_delta_bytes", help: "Amount of data in the database to actually backup.", labels: BACKUP },
  {
    name: "pgbackrest_backup_repo_size_bytes",
    help: "Full compressed files size to restore the database from backup.",
    labels: BACKUP,
  },
  { name: "pgbackrest_backup_repo_size_map_bytes", help: "Size of block incremental map.", labels: BACKUP },
  { name: "pgbackrest_backup_repo_delta_bytes", help: "Compressed files size in backup.", labels: BACKUP },
  { name: "pgbackrest_backup_repo_delta_map_bytes", help: "Size of block incremental delta map.", labels: BACKUP },
  { name: "pgbackrest_backup_error_status", help: "Backup error status.", labels: BACKUP },
  { name: "pgbackrest_backup_annotations", help: "Number of annotations in backup.", labels: BACKUP },
  {
    name: "pgbackrest_backup_references",
    help: "Number of references to other backups (backup reference list).",
    labels: ["ref_backup", ...BACKUP],
  },
  {
    name: "pgbackrest_backup_since_last_completion_seconds",
    help: "Seconds since the last completed full, differential or incremental backup.",
    labels: LAST,
  },
  { name: "pgbackrest_backup_last_duration_seconds", help: `Backup duration for ${OF_LAST}.`, labels: LAST },
  {
    name: "pgbackrest_backup_last_size_bytes",
    help: `Full uncompressed size of the database in ${OF_LAST}.`,
    labels: LAST,
  },
  {
    name: "pgbackrest_backup_last_delta_bytes",
    help: `Amount of data in the database to actually backup in ${OF_LAST}.`,
    labels: LAST,
  },
  {
    name: "pgbackrest_backup_last_repo_size_bytes",
    help: `Full compressed files size to restore the database from ${OF_LAST}.`,
    labels: LAST,
  },
  {
    name: "pgbackrest_backup_last_repo_size_map_bytes",
    help: `Size of block incremental map in ${OF_LAST}.`,
    labels: LAST,
  },
  { name: "pgbackrest_backup_last_repo_delta_bytes", help: `Compressed files size in ${OF_LAST}.`, labels: LAST },
  {
    name: "pgbackrest_backup_last_repo_delta_map_bytes",
    help: `Size of block incremental delta map in ${OF_LAST}.`,
    labels: LAST,
  },
  { name: "pgbackrest_backup_last_error_status", help: `Error status in ${OF_LAST}.`, labels: LAST },
  { name: "pgbackrest_backup_last_annotations", help: `Number of annotations in ${OF_LAST}.`, labels: LAST },
  {
    name: "pgbackrest_backup_last_references",
    help: `Number of references to other backups (backup reference list) in ${OF_LAST}.`,
    labels: ["ref_backup", ...LAST],
  },
];

/** Metrics of one repository; CloudNativePG's plugin serves these too. */
export const REPOSITORY: readonly MetricDefinition[] = [
  { name: "pgbackstop_repo_up", help: "1 when the last attempt to read the repository succeeded", labels: REPO },
  {
    name: "pgbackstop_repo_backups",
    help: "Backups that can be restored from the repository",
    labels: REPO_TYPE,
  },
  {
    name: "pgbackstop_repo_last_backup_timestamp_seconds",
    help: "End of the newest backup of this type or a larger one: a full counts as diff, both count as incr",
    labels: REPO_TYPE,
  },
  {
    name: "pgbackstop_repo_backup_bytes",
    help: "Bytes that all backups take in the repository, without WAL",
    labels: REPO,
  },
  {
    name: "pgbackstop_recovery_window_start_timestamp_seconds",
    help: "End of the oldest backup: recovery reaches back to it",
    labels: REPO,
  },
  {
    name: "pgbackstop_recovery_window_end_timestamp_seconds",
    help: "When the newest WAL segment that follows the backups without a gap was stored: recovery reaches up to it",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_last_archived_timestamp_seconds",
    help: "When the newest WAL segment was stored in the repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_lag_segments",
    help: "WAL segments between the newest one here and the newest one in any repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_lag_seconds",
    help: "Time between storing the newest WAL segment here and the newest one in any repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_gap_segments",
    help: "WAL segments missing between the oldest backup and the newest segment: no restore can pass them",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_waiting_files",
    help: "WAL files that are ready and not yet in the repository",
    labels: REPO,
  },
  { name: "pgbackstop_repo_wal_debt_files", help: "Acknowledged WAL files that the repository lacks", labels: REPO },
  {
    name: "pgbackstop_repo_wal_conflict_files",
    help: "WAL files that the repository's archive has with other content than the server",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_stream_timestamp_seconds",
    help: "Everything that the server wrote before this time is in the repository, streamed or archived",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_stream_lsn_bytes",
    help: "Position up to which WAL was streamed into the repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_stream_losses",
    help: "How often WAL that this process had stored was gone from the repository",
    labels: REPO,
  },
];

/** Metrics of the last fire drill of each repository; the plugin serves these too. */
export const DRILLS: readonly MetricDefinition[] = [
  { name: "pgbackstop_drill_ok", help: "1 when the last fire drill of the repository passed", labels: REPO },
  { name: "pgbackstop_drill_timestamp_seconds", help: "End of the last fire drill of the repository", labels: REPO },
  {
    name: "pgbackstop_drill_success_timestamp_seconds",
    help: "End of the last fire drill of the repository that passed",
    labels: REPO,
  },
  {
    name: "pgbackstop_drill_rto_seconds",
    help: "From the start of the last drill to the first accepted connection",
    labels: REPO,
  },
  {
    name: "pgbackstop_drill_rpo_seconds",
    help: "Loss of data that the last drill measured",
    labels: [...REPO, "method"],
  },
  { name: "pgbackstop_attack_drill_ok", help: "1 when the last attack drill of the repository passed", labels: REPO },
  {
    name: "pgbackstop_attack_drill_timestamp_seconds",
    help: "End of the last attack drill of the repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_attack_drill_success_timestamp_seconds",
    help: "End of the last attack drill of the repository that passed",
    labels: REPO,
  },
  { name: "pgbackstop_drill_phase_seconds", help: "Duration of a phase of the last drill", labels: [...REPO, "phase"] },
];

/** Whether commits wait for repositories; absent where they need not. */
export const SYNCHRONOUS: readonly MetricDefinition[] = [
  {
    name: "pgbackstop_stream_synchronous",
    help: "1 while commits wait for repositories, 0 while they should and do not",
    labels: STANZA,
  },
  {
    name: "pgbackstop_stream_waiting_seconds",
    help: "How long commits have waited for repositories now",
    labels: STANZA,
  },
];

/** The replication slot that archives; absent where `archive_command` does. */
const SLOT: readonly MetricDefinition[] = [
  {
    name: "pgbackstop_slot_active",
    help: "1 while the agent reads the replication slot that archives",
    labels: STANZA,
  },
  { name: "pgbackstop_slot_retained_bytes", help: "WAL that the server keeps for the slot", labels: STANZA },
  {
    name: "pgbackstop_slot_safe_bytes",
    help: "WAL that the server may write until it drops what the slot needs; absent without max_slot_wal_keep_size",
    labels: STANZA,
  },
];

/** Further facts of a process on the host. */
const HOST: readonly MetricDefinition[] = [
  {
    name: "pgbackstop_repo_wal_bytes",
    help: "Bytes that the WAL of the current cluster takes in the repository",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_wal_dropped_files",
    help: "Dropped WAL files, which no repository has, after the newest backup",
    labels: REPO,
  },
  {
    name: "pgbackstop_repo_full_expected_seconds",
    help: "Maximum age of the newest full backup in the settings file",
    labels: REPO,
  },
  { name: "pgbackstop_verify_ok", help: "1 when the last verify found no errors in the repository", labels: REPO },
  { name: "pgbackstop_verify_timestamp_seconds", help: "End of the last verify of the repository", labels: REPO },
  { name: "pgbackstop_wal_waiting_files", help: "WAL files in pg_wal that are ready for the archive", labels: STANZA },
  {
    name: "pgbackstop_wal_waiting_oldest_timestamp_seconds",
    help: "When the oldest of them was ready",
    labels: STANZA,
  },
  {
    name: "pgbackstop_lock_held",
    help: "1 while a backup or a restore runs on this host",
    labels: ["stanza", "command"],
  },
  { name: "pgbackstop_stopped", help: "1 while the stop command forbids writes", labels: STANZA },
  { name: "pgbackstop_run_exit_code", help: "Exit code of the last run of a command", labels: ["stanza", "command"] },
  { name: "pgbackstop_run_timestamp_seconds", help: "End of the last run of a command", labels: ["stanza", "command"] },
  {
    name: "pgbackstop_run_success_timestamp_seconds",
    help: "End of the last run of a command that ended with 0",
    labels: ["stanza", "command"],
  },
  { name: "pgbackstop_collected_timestamp_seconds", help: "When these metrics were gathered", labels: STANZA },
  {
    name: "pgbackstop_config_info",
    help: "A hash of the configuration without its secrets",
    labels: ["stanza", "hash"],
  },
  { name: "pgbackstop_build_info", help: "The version of this program", labels: ["version"] },
];

export const DEFINITIONS: readonly MetricDefinition[] = [
  ...EXPORTER,
  ...REPOSITORY,
  ...SYNCHRONOUS,
  ...SLOT,
  ...HOST,
  ...DRILLS,
];
