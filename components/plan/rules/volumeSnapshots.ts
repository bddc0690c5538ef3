/** Volume snapshots of a cluster: their retention (only this package removes them), and recovery from one. Pure. */
import { checkRange } from "../arguments/ranges";
import { engineOf } from "../engines/engines";
import type { ClusterPlan } from "../cluster/clusterPlan";
import type { SnapshotSettings } from "../cluster/declaredCluster";
import { type Finding, finding } from "../findings/findings";
import { snapshotSchedules } from "../cluster/snapshotPlan";
import { abstaining, eachOf } from "../findings/abstain";

/** The operator writes the names of Backups, `<schedule>-<YYYYMMDDhhmmss>`, into a label of their snapshots. */
const LABEL_LENGTH_MAX = 63;
const TIME_LENGTH = "-20261120064059".length;

export function checkVolumeSnapshots(resolved: ClusterPlan): Finding[] {
  const { database, definition } = resolved;
  const snapshots = definition.snapshots ?? {};
  const takers = (): string[] => snapshotSchedules(database, definition.snapshots);
  return abstaining(
    () => checkNames(database.cluster, takers()),
    () => checkRecovery(resolved),
    () => checkValues(snapshots),
    () => checkPresence(snapshots, takers().length > 0),
  );
}

function checkRecovery({ definition, source }: ClusterPlan): Finding[] {
  const snapshot = definition.bootstrap.recovery?.snapshot;
  if (snapshot === undefined) return [];
  const path = "bootstrap.recovery.snapshot";
  const findings: Finding[] = [];
  if (source !== null && engineOf(source.database.engine).stock && source.database.repositories.length > 0) {
    const fact = "Dalibo's plugin does not run in a recovery from a snapshot: the recovery would wait forever for WAL";
    const hint = 'leave snapshot out, set engine "runtime", or leave the repositories out and stop at the snapshot';
    findings.push(finding("PB044", path, fact, hint));
  }
  if (snapshot.walStorage !== undefined && definition.walStorage === undefined) {
    const fact = "the cluster has no WAL volume to restore it to: the operator refuses it";
    findings.push(finding("PB114", `${path}.walStorage`, fact, "set walStorage"));
  }
  return findings;
}

function checkNames(cluster: string, schedules: readonly string[]): Finding[] {
  const longest = Math.max(0, ...schedules.map((name) => `${cluster}-${name}`.length)) + TIME_LENGTH;
  if (schedules.length === 0 || longest <= LABEL_LENGTH_MAX) return [];
  const fact = `with "${cluster}" the names of snapshot backups have ${longest} characters: they become labels, which allow ${LABEL_LENGTH_MAX}`;
  const hint = `set a clusterName of at most ${cluster.length - (longest - LABEL_LENGTH_MAX)} characters`;
  return [finding("PB110", "clusterName", fact, hint)];
}

function checkValues(snapshots: SnapshotSettings): Finding[] {
  return eachOf(["keepDays", "keepCount"] as const, (name) =>
    checkRange(`SnapshotArgs.${name}`, `snapshots.${name}`, snapshots[name]),
  );
}

function checkPresence({ keepCount, keepDays }: SnapshotSettings, areTaken: boolean): Finding[] {
  const isKept = keepDays === undefined && keepCount === undefined;
  if (areTaken && isKept) {
    const fact = "nothing removes snapshots: they fill the storage, or raise its bill";
    return [finding("PB120", "snapshots", fact, "set snapshots.keepDays or snapshots.keepCount")];
  }
  if (!areTaken && !isKept) {
    const fact = "no schedule takes snapshots, so retention has no effect";
    const path = `snapshots.${keepDays === undefined ? "keepCount" : "keepDays"}`;
    return [finding("PB120", path, fact, "set snapshots.cron, or leave it out")];
  }
  return [];
}
