/**
 * The samples of woblerr's pgbackrest_exporter, which reads `pgbackrest info`, made from our own report (its 0.23,
 * "backrest" package; labels and meanings are its own). Its last-backup samples have no repository: a stale second one
 * hides behind a fresh first one, hence `pgbackstop_repo_…`. The databases of a backup are omitted: they cost a
 * manifest each, and are optional there too.
 */
import { formatLocalSeconds } from "../base/clock";
import type { BackupInfoEntry } from "../format/repository/backupInfo";
import { type InfoReport, type InfoRepo, progressOf } from "../operations/info/info";
import type { Sample } from "./definitions";

export interface ExporterInput {
  readonly report: InfoReport;
  /** pgBackRest's version whose format is written, `2.60.0`. */
  readonly backrestVersion: string;
  readonly nowS: number;
}

const TYPES = ["full", "diff", "incr"] as const;
const REFERENCE_TYPES = { full: "F", diff: "D", incr: "I" } as const;

/** Pure. */
export function exporterSamples({ backrestVersion, nowS, report }: ExporterInput): Sample[] {
  const { stanza } = report;
  return [
    { name: "pgbackrest_exporter_status", labels: { stanza }, value: 1 },
    { name: "pgbackrest_version_info", labels: {}, value: versionNumber(backrestVersion) },
    ...stanzaSamples(report),
    ...report.repos.map(({ cipherType, key, status }): Sample => {
      return {
        name: "pgbackrest_repo_status",
        labels: { cipher: cipherType, repo_key: String(key), stanza },
        value: status.code,
      };
    }),
    ...report.repos.flatMap((repo) => walSamples(stanza, repo)),
    ...report.repos.flatMap((repo) => repo.backups.flatMap((entry) => backupSamples(stanza, repo, entry))),
    ...lastSamples(report, nowS),
  ];
}

/** `2.60.0` is 2060000. */
function versionNumber(text: string): number {
  const [major = 0, minor = 0, patch = 0] = text.split(".").map(Number);
  return major * 1_000_000 + minor * 1000 + patch;
}

function stanzaSamples({ locks, stanza, status }: InfoReport): Sample[] {
  const labels = { stanza };
  return [
    { name: "pgbackrest_stanza_status", labels, value: status.code },
    ...(["backup", "restore"] as const).flatMap((command): Sample[] => {
      const { sizeBytes, sizeCompleteBytes } = progressOf(locks[command]);
      return [
        { name: `pgbackrest_stanza_${command}_lock_status`, labels, value: locks[command].held ? 1 : 0 },
        { name: `pgbackrest_stanza_${command}_complete_bytes`, labels, value: sizeCompleteBytes },
        { name: `pgbackrest_stanza_${command}_total_bytes`, labels, value: sizeBytes },
      ];
    }),
  ];
}

/** Without segment names: each would make a new series. */
function walSamples(stanza: string, repo: InfoRepo): Sample[] {
  return repo.archives.map(({ historyId, max, min }): Sample => {
    const where = {
      database_id: String(historyId),
      pg_version: versionOf(repo, historyId),
      repo_key: String(repo.key),
      stanza,
    };
    return {
      name: "pgbackrest_wal_archive_status",
      labels: { ...where, wal_max: "", wal_min: "" },
      value: min === null || max === null ? 0 : 1,
    };
  });
}

function versionOf({ info }: InfoRepo, historyId: number): string {
  return info?.history.find((entry) => entry.id === historyId)?.pgVersion ?? "";
}

function backupSamples(stanza: string, repo: InfoRepo, entry: BackupInfoEntry): Sample[] {
  const labels = {
    backup_name: entry.label,
    backup_type: entry.type,
    block_incr: blockIncr(entry),
    database_id: String(entry.dbId),
    repo_key: String(repo.key),
    stanza,
  };
  const info = {
    ...labels,
    backrest_ver: entry.backrestVersion,
    lsn_start: entry.lsnStart ?? "-",
    lsn_stop: entry.lsnStop ?? "-",
    pg_version: versionOf(repo, entry.dbId),
    prior: entry.prior ?? "",
    wal_start: entry.archiveStart ?? "",
    wal_stop: entry.archiveStop ?? "",
  };
  const times = {
    ...labels,
    start_time: formatLocalSeconds(entry.startedAtS * 1000),
    stop_time: formatLocalSeconds(entry.stoppedAtS * 1000),
  };
  return [
    { name: "pgbackrest_backup_info", labels: info, value: 1 },
    ...factsOf("pgbackrest_backup_", entry).map((fact) =>
      fact.name.endsWith("_duration_seconds")
        ? { ...fact, labels: times }
        : { ...fact, labels: { ...fact.labels, ...labels } },
    ),
  ];
}

/** Facts of every backup and of the last ones, under names of the same form. */
function factsOf(prefix: string, entry: BackupInfoEntry): Sample[] {
  const hasMap = entry.repoSizeMapBytes !== undefined;
  const facts: Readonly<Record<string, number>> = {
    duration_seconds: entry.stoppedAtS - entry.startedAtS,
    size_bytes: entry.sizeBytes,
    delta_bytes: entry.sizeDeltaBytes,
    // Block maps make the set's size unknown, as in stock's JSON.
    repo_size_bytes: hasMap ? 0 : entry.repoSizeBytes,
    repo_size_map_bytes: entry.repoSizeMapBytes ?? 0,
    repo_delta_bytes: entry.repoSizeDeltaBytes,
    repo_delta_map_bytes: entry.repoSizeMapDeltaBytes ?? 0,
    error_status: entry.error === true ? 1 : 0,
    annotations: Object.keys(entry.annotations ?? {}).length,
  };
  return [
    ...Object.entries(facts).map(([name, value]): Sample => ({ name: `${prefix}${name}`, labels: {}, value })),
    ...TYPES.map((type): Sample => {
      const count = (entry.references ?? []).filter((label) => label.endsWith(REFERENCE_TYPES[type])).length;
      return { name: `${prefix}references`, labels: { ref_backup: type }, value: count };
    }),
  ];
}

function blockIncr(entry: BackupInfoEntry): string {
  return entry.repoSizeMapBytes !== undefined && entry.repoSizeMapDeltaBytes !== undefined ? "y" : "n";
}

/**
 * A full counts as diff, both count as incr; nothing without a full. Over all repositories; of equal backups the one
 * that ended first, as in the exporter.
 */
function lastSamples({ repos, stanza }: InfoReport, nowS: number): Sample[] {
  const entries = repos.flatMap((repo) => repo.backups.map((entry) => ({ entry, key: repo.key })));
  entries.sort((left, right) => left.entry.stoppedAtS - right.entry.stoppedAtS || left.key - right.key);
  if (!entries.some(({ entry }) => entry.type === "full")) return [];
  return TYPES.flatMap((type, rank) => {
    const counted = entries.filter(({ entry }) => TYPES.indexOf(entry.type) <= rank).map(({ entry }) => entry);
    const last = counted.reduce<BackupInfoEntry | null>(
      (best, entry) => (best === null || entry.stoppedAtS > best.stoppedAtS ? entry : best),
      null,
    );
    if (last === null) return [];
    const labels = { backup_type: type, block_incr: blockIncr(last), stanza };
    return [
      { name: "pgbackrest_backup_since_last_completion_seconds", labels, value: nowS - last.stoppedAtS },
      ...factsOf("pgbackrest_backup_last_", last).map(
        (fact): Sample => ({ ...fact, labels: { ...fact.labels, ...labels } }),
      ),
    ];
  });
}
