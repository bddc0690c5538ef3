/**
 * Prometheus rules from a topology. Thresholds follow from the declared schedules and objectives, for each repository
 * separately. Each rule on a number has a twin for the missing number, because an alert on a series that has vanished
 * never fires. Pure data; render/monitoring/prometheusRule.ts writes it.
 *
 * The pods of a cluster report the same facts: the best value counts. Hosts report separately, even two with the same
 * stanza name.
 */
import { engineOf } from "./engines/engines";
import { ageLimit, WAL_WAIT_S } from "./schedule/expectFull";
import { withoutHidden } from "./alerts/hidden";
import { clusterRules } from "./alerts/clusters";
import { drillRules, objectiveRules } from "./alerts/drills";
import { dumpRules } from "./alerts/dumps";
import { troubleRules } from "./alerts/statusRules";
import { slotRules, streamRules } from "./alerts/streams";
import { type AlertGroup, type AlertOptions, type AlertRule, durationText, Writer } from "./alerts/rule";
import { runningSchedules } from "./schedule/schedule";
import type { RepositoryNode, Topology } from "./topology/topology";
import { isUnknown } from "./model/unknown";

const TYPES = ["full", "diff", "incr"] as const;
const OVER_ESTIMATE = 1.5;

/** Null if no metrics of ours exist: a cluster with another engine, or a topology that is not known yet. */
export function alertGroupOf(declared: Topology, options: AlertOptions = {}): AlertGroup | null {
  const { topology } = withoutHidden(declared);
  const [database] = topology.databases;
  if (database === undefined || [database.name, database.stanza, database.namespace].some(isUnknown)) return null;
  if (database.kind === "cnpg" && !engineOf(database.engine).own) return null;
  const writer = new Writer(database, options);
  return {
    name: `pgbackstop-${database.name}`,
    rules: [
      ...(database.kind === "host" ? hostRules(writer, topology) : clusterRules(writer, declared)),
      ...troubleRules(writer),
      ...topology.repositories.flatMap((repository) =>
        repositoryRules(writer.about({ repo_key: String(repository.key) }), topology, repository),
      ),
      ...streamRules(writer, topology),
      ...(database.archive === undefined ? [] : slotRules(writer)),
      ...drillRules(writer, topology),
      ...objectiveRules(writer, topology),
    ],
  };
}

/**
 * Groups of the same name get numbers: a PrometheusRule refuses duplicates.
 * @param optionsOf by the name of a database
 */
export function alertGroupsOf(
  topologies: readonly Topology[],
  optionsOf: (database: string) => AlertOptions,
): AlertGroup[] {
  const taken = new Set<string>();
  return topologies.flatMap((topology) => {
    const group = alertGroupOf(topology, optionsOf(topology.databases[0]?.name ?? ""));
    if (group === null) return [];
    let { name } = group;
    for (let number = 2; taken.has(name); number += 1) name = `${group.name}-${number}`;
    taken.add(name);
    return [{ ...group, name }];
  });
}

function hostRules(writer: Writer, { objectives }: Topology): AlertRule[] {
  const waitS = Math.max(objectives.worstCaseRpoSeconds ?? 0, objectives.rpoSeconds ?? 0, WAL_WAIT_S);
  const collected = "pgbackstop_collected_timestamp_seconds";
  // The host of a FireDrill exports the rest for the same stanza, but it has neither a server nor a slot.
  const ofServer = writer.database.archive === undefined ? "pgbackstop_wal_waiting_files" : "pgbackstop_slot_active";
  return [
    writer.critical(
      "PgbackstopMetricsStale",
      "5m",
      `time() - ${writer.series(collected)} > 900`,
      "its metrics are old",
      "The timer of pgbackstop metrics, or the agent, has stopped: all other figures are old.",
    ),
    writer.critical(
      "PgbackstopMetricsMissing",
      "15m",
      `absent(${writer.raw(ofServer)})`,
      "its metrics are gone",
      "Neither the agent nor the textfile collector serves metrics of this stanza: the host, the agent or the exporter is down.",
    ),
    writer.critical(
      "PgbackstopWalNotArchived",
      "5m",
      `time() - ${writer.series("pgbackstop_wal_waiting_oldest_timestamp_seconds")} > ${waitS}`,
      `WAL waits for longer than ${durationText(waitS)}`,
      "archive_command fails or hangs, the agent is dead, or no repository that must hold WAL accepts it. Newer WAL is only on this host.",
    ),
    writer.warning(
      "PgbackstopStopped",
      "1h",
      `${writer.series("pgbackstop_stopped")} == 1`,
      "pgbackstop is stopped",
      "Somebody ran pgbackstop stop: nobody writes backups or WAL until pgbackstop start.",
    ),
    writer.warning(
      "PgbackstopRunFailed",
      "10m",
      `${writer.series("pgbackstop_run_exit_code")} != 0`,
      "the last run of {{ $labels.command }} failed with {{ $value }}",
      "journalctl of its unit says why; pgbackstop status shows what it means for each repository.",
    ),
  ];
}

function repositoryRules(writer: Writer, topology: Topology, repository: RepositoryNode): AlertRule[] {
  const repo = `repo${repository.key}`;
  const isHost = writer.database.kind === "host";
  const lagS = Math.max(topology.objectives.rpoSeconds ?? 0, WAL_WAIT_S);
  const up = "pgbackstop_repo_up";
  return [
    writer.critical(
      "PgbackstopRepositoryUnreadable",
      "15m",
      `${writer.series(up, "min")} == 0`,
      `${repo} cannot be read`,
      `${repository.name}: unreachable, damaged, or the key is wrong. pgbackstop status --stanza=${writer.database.stanza} shows the error.`,
    ),
    writer.critical(
      "PgbackstopRepositoryMissing",
      "30m",
      `absent(${writer.raw(up)})`,
      `there are no metrics of ${repo}`,
      `${repository.name} is declared, but has no metrics: the configuration in use lacks it, or the metrics are gone.`,
    ),
    ...TYPES.flatMap((type) => ageRules(writer, topology, repository, type)),
    ...dumpRules(writer, topology, repo),
    writer.critical(
      "PgbackstopRepositoryBehind",
      "10m",
      `${writer.series("pgbackstop_repo_wal_lag_seconds")} > ${lagS}`,
      `${repo} is behind the other repositories`,
      `Its newest WAL is more than ${durationText(lagS)} older than that of another repository. A restore from it alone would lose that much.`,
    ),
    writer.warning(
      "PgbackstopWalMissing",
      "30m",
      `${writer.series("pgbackstop_repo_wal_missing_files")} > 0`,
      `{{ $value }} WAL file(s) are known to be missing in ${repo}`,
      "They are acknowledged, because another repository holds them. They are copied as soon as this one accepts them.",
    ),
    writer.critical(
      "PgbackstopWalConflict",
      "5m",
      `${writer.series("pgbackstop_repo_wal_conflict_files")} > 0`,
      `{{ $value }} WAL file(s) in ${repo} have other content than the server's`,
      "Another server archives to this stanza, or did. No restore from this repository can pass them. pgbackstop status names the first.",
    ),
    writer.critical(
      "PgbackstopWalGap",
      "15m",
      `${writer.series("pgbackstop_repo_wal_gap_segments")} > 0`,
      `{{ $value }} WAL segment(s) are missing in ${repo}`,
      "No restore can pass the gap. pgbackstop heal copies them if another repository has them; if not, take a new backup at once.",
    ),
    ...(isHost ? hostRepositoryRules(writer, repository) : waitingRules(writer, repo)),
    ...sizeRules(writer, topology, repository),
  ];
}

/** None of our metrics looks into pg_wal of a cluster; the alert uses each repository's queue instead. */
function waitingRules(writer: Writer, repo: string): AlertRule[] {
  return [
    writer.critical(
      "PgbackstopWalNotArchived",
      "15m",
      `${writer.series("pgbackstop_repo_wal_waiting_files")} > 2`,
      `{{ $value }} WAL files wait for ${repo}`,
      "The repository accepts WAL more slowly than the server writes it, or not at all.",
    ),
  ];
}

function hostRepositoryRules(writer: Writer, { key }: RepositoryNode): AlertRule[] {
  const repo = `repo${key}`;
  return [
    writer.critical(
      "PgbackstopWalDropped",
      "0m",
      `${writer.series("pgbackstop_repo_wal_dropped_files")} > 0`,
      `{{ $value }} WAL file(s) were dropped`,
      "archive-push-queue-max was reached, or the replication slot lost WAL: nothing between them and the next backup can be restored.",
    ),
    writer.critical(
      "PgbackstopPageErrors",
      "0m",
      `max by (stanza, repo_key, instance) (${writer.raw("pgbackrest_backup_error_status")}) > 0`,
      `a backup in ${repo} has pages with wrong checksums`,
      "The data directory itself is damaged: check the disk before older backups expire.",
    ),
    writer.critical(
      "PgbackstopVerifyFailed",
      "0m",
      `${writer.series("pgbackstop_verify_ok")} == 0`,
      `verify found errors in ${repo}`,
      `pgbackstop verify --repo=${key} names them; sync and heal copy intact files from other repositories.`,
    ),
  ];
}

/** Null if no running schedule makes backups of this type: nothing can be late. */
export function backupAgeLimit(
  topology: Topology,
  repoIndex: number,
  type: (typeof TYPES)[number],
): { readonly limitS: number; readonly gapMinutes: number } | null {
  const counted = runningSchedules(topology.schedules).filter(
    (schedule) => schedule.repoKeys.includes(repoIndex) && TYPES.indexOf(schedule.type) <= TYPES.indexOf(type),
  );
  if (!counted.some((schedule) => schedule.type === type)) return null;
  return ageLimit(counted);
}

function ageRules(
  writer: Writer,
  topology: Topology,
  { key }: RepositoryNode,
  type: (typeof TYPES)[number],
): AlertRule[] {
  const limit = backupAgeLimit(topology, key, type);
  if (limit === null) return [];
  const { gapMinutes, limitS } = limit;
  const own = writer.about({ repo_key: String(key), backup_type: type });
  const metric = "pgbackstop_repo_last_backup_timestamp_seconds";
  const severity = type === "full" ? "critical" : "warning";
  return [
    own.rule(
      severity,
      "PgbackstopBackupTooOld",
      "10m",
      `time() - ${own.series(metric)} > ${limitS}`,
      `the newest ${type} backup in repo${key} is older than ${durationText(limitS)}`,
      `Its schedules never leave more than ${durationText(gapMinutes * 60)} between two: a run failed, was skipped or hangs.`,
    ),
    own.rule(
      severity,
      "PgbackstopBackupMissing",
      "30m",
      `absent(${own.raw(metric)})`,
      `there is no ${type} backup in repo${key}`,
      "It is missing, or the repository is unreadable: you can restore nothing from it.",
    ),
  ];
}

function sizeRules(writer: Writer, { objectives }: Topology, { cost, key }: RepositoryNode): AlertRule[] {
  const { maxRepositoryGB } = objectives;
  const declared = maxRepositoryGB === undefined ? undefined : maxRepositoryGB * 1e9;
  const estimated =
    cost === undefined || !Number.isFinite(cost.storedGb) ? undefined : Math.round(cost.storedGb * OVER_ESTIMATE * 1e9);
  const bytesMax = writer.options.repositoryBytesMax ?? declared ?? estimated;
  if (bytesMax === undefined) return [];
  const wal = writer.database.kind === "host" ? ` + ${writer.series("pgbackstop_repo_wal_bytes")}` : "";
  return [
    writer.rule(
      "info",
      "PgbackstopRepositoryLarge",
      "1h",
      `${writer.series("pgbackstop_repo_backup_bytes")}${wal} > ${bytesMax}`,
      `repo${key} takes {{ $value | humanize }}B`,
      "This is more than expected: expire may not run, or the database has grown.",
    ),
  ];
}
