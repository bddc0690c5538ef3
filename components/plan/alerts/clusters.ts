/**
 * Alerts of clusters that need metrics of others: CloudNativePG's on WAL that piles up while the primary's sidecar is
 * dead, which the standbys' sidecars cannot see, and kube-state-metrics' on Jobs. Without those metrics nothing fires.
 * Pure.
 */
import { dumpPodName } from "../../../runtime/cnpg/names";
import { expiryName } from "../cluster/snapshotPlan";
import { drillName } from "../schedule/declaredDrills";
import type { Topology } from "../topology/topology";
import type { AlertRule, Writer } from "./rule";

/** Ten segments: fifty minutes of a quiet database at CloudNativePG's archive_timeout, minutes of a busy one. */
const READY_MAX = 10;

export function clusterRules(writer: Writer, { drills, dumps }: Topology): AlertRule[] {
  const { cluster = "", namespace = "" } = writer.database;
  const of = `namespace=${JSON.stringify(namespace)}`;
  // Of a long name the end is a hash.
  const jobs = [
    expiryName(cluster),
    ...drills.map(({ name }) => drillName(cluster, name)),
    ...(dumps === undefined ? [] : [dumpPodName(cluster)]),
  ];
  return [
    writer.critical(
      "PgbackstopWalNotArchived",
      "15m",
      `max without (pod, instance, endpoint, container, job) (cnpg_collector_pg_wal_archive_status{value="ready",${of},pod=~"${cluster}-[0-9]+"}) > ${READY_MAX}`,
      "{{ $value }} WAL files wait in pg_wal",
      "The sidecar of the primary is dead or hangs, or no repository that must hold WAL accepts it. Newer WAL is only in this cluster.",
    ),
    writer.warning(
      "PgbackstopJobFailed",
      "0m",
      `max by (namespace, job_name) (kube_job_failed{condition="true",${of},job_name=~"(${jobs.join("|")})(-.*)?"}) == 1`,
      "the job {{ $labels.job_name }} failed",
      `kubectl -n ${namespace} logs job/{{ $labels.job_name }} says why. The alert fires until you remove the job.`,
    ),
  ];
}
