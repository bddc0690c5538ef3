/** Volume snapshots of a cluster: their retention (only this package removes them), and recovery from one. Pure. */
import { checkRange } from "../arguments/ranges";
import { engineOf } from "../engines/engines";
import type { ClusterPlan } from "../cluster/clusterPlan";
import type { SnapshotSettings } from "../cluster/declaredCluster";
import { type Finding, finding } from "../findings/findings";
import { valueAt } from "../model/anyValue";
import { snapshotSchedules } from "../cluster/snapshotPlan";
import { abstaining, eachOf } from "../findings/abstain";

/** The operator writes the names of Backups, `<schedule>-<YYYYMMDDhhmmss>`, into a label of their snapshots. */
const LABEL_LENGTH_MAX = 63;
const TIME_LENGTH = "-20261120064059".length;

/** @param attached to a Cluster that others made, which may have an archiver of its own */
export function checkVolumeSnapshots(resolved: ClusterPlan, attached: boolean): Finding[] {
  const { database, definition } = resolved;
  const snapshots = definition.snapshots ?? {};
  const takers = (): string[] => snapshotSchedules(database, definition.snapshots);
  return abstaining(
    () => checkNames(database.cluster, takers()),
    () => checkRecovery(resolved),
    () => (attached ? [] : checkVolumes(resolved)),
    () => checkValues(snapshots),
    () => checkPresence(snapshots, takers().length > 0),
  );
}

/**
 * The operator takes one volume after the other, and a recovery that names no archive gets no `backup_label`:
 * PostgreSQL takes the volumes for those of a crash.
 */
const MOMENTS = "each volume is of another moment, and PostgreSQL may start with damaged data";

function checkRecovery({ definition, source }: ClusterPlan): Finding[] {
  const snapshot = definition.bootstrap.recovery?.snapshot;
  if (snapshot === undefined || source === null) return [];
  const path = "bootstrap.recovery.snapshot";
  const { engine, repositories } = source.database;
  return abstaining(
    () => {
      if (!engineOf(engine).stock || repositories.length === 0) return [];
      const fact =
        "Dalibo's plugin does not run in a recovery from a snapshot: the recovery would wait forever for WAL";
      const hint =
        'leave snapshot out, set engine "runtime", or (with one volume, or a cold snapshot) leave the repositories out and stop at the snapshot';
      return [finding("PB044", path, fact, hint)];
    },
    () => {
      const isSingle = snapshot.walStorage === undefined && Object.keys(snapshot.tablespaces ?? {}).length === 0;
      if (repositories.length > 0 || isSingle) return [];
      const fact = `snapshots of several volumes without WAL; if they are hot, ${MOMENTS}`;
      return [finding("PB095", path, fact, "name the repositories with its WAL; silence this if they are cold")];
    },
    () => {
      if (snapshot.walStorage === undefined || "walStorage" in definition.spec) return [];
      const fact = "the cluster has no WAL volume to restore it to: the operator refuses it";
      return [finding("PB114", `${path}.walStorage`, fact, "set spec.walStorage")];
    },
  );
}

/** Archivers that `spec` adds keep the WAL between these moments. */
const ARCHIVERS = [["plugins"], ["backup", "barmanObjectStore"]];

function checkVolumes({ database, definition }: ClusterPlan): Finding[] {
  const { snapshots, spec } = definition;
  if (!engineOf(database.engine).snapshots || snapshots?.online === false) return [];
  const isSingle = !("walStorage" in spec) && !("tablespaces" in spec);
  if (isSingle || ARCHIVERS.some((path) => valueAt(spec, ...path) !== undefined)) return [];
  const fact = `hot snapshots of several volumes without a WAL archive: ${MOMENTS}`;
  const hint =
    'set snapshots.online: false, leave spec.walStorage and spec.tablespaces out, or use engine "runtime" with snapshots beside it';
  return [finding("PB115", "snapshots.online", fact, hint)];
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
