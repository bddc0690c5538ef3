/**
 * Backups and VolumeSnapshots as CloudNativePG 1.30 writes them (its `pkg/reconciler/backup/volumesnapshot`), for tests
 * of code that reads them.
 */
import type { KubernetesObject } from "./kubectl";

export interface TakenSnapshot {
  readonly schedule: string;
  readonly cluster?: string;
  /** The end of the backup in RFC 3339. */
  readonly at: string;
  readonly phase?: string;
  readonly method?: string;
  /** Volumes other than the data: `wal`, `tbs-hot`. */
  readonly volumes?: readonly string[];
  readonly owner?: "none" | "cluster" | "backup";
  /** The uid of a Backup that owns its snapshots; generated if no server gives one. */
  readonly uid?: string;
  readonly namespace?: string;
}

export interface TakenObjects {
  readonly backup: KubernetesObject;
  readonly snapshots: readonly KubernetesObject[];
}

/** The name has the form `orders-full-20261120030000`. */
export function backupName(schedule: string, at: string): string {
  return `${schedule}-${at.replaceAll(/[-:TZ]/g, "")}`;
}

/** The objects of one run of a schedule. */
export function takenSnapshot(taken: TakenSnapshot): TakenObjects {
  const {
    at,
    cluster = "orders",
    method = "volumeSnapshot",
    namespace = "default",
    owner = "none",
    phase = "completed",
    schedule,
    volumes = [],
  } = taken;
  const name = backupName(schedule, at);
  const uid = taken.uid ?? `uid-of-${name}`;
  const elements = [
    { name, type: "PG_DATA" },
    ...volumes.map((volume) => ({ name: `${name}-${volume}`, type: volume === "wal" ? "PG_WAL" : "PG_TABLESPACE" })),
  ];
  const backup = {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: "Backup",
    metadata: {
      name,
      namespace,
      uid,
      creationTimestamp: at,
      labels: { "cnpg.io/cluster": cluster, "cnpg.io/immediateBackup": "false", "cnpg.io/scheduled-backup": schedule },
    },
    spec: { cluster: { name: cluster }, method },
    status: {
      phase,
      method,
      reconciliationTerminatedAt: at,
      ...(phase === "completed" ? { startedAt: at, stoppedAt: at, snapshotBackupStatus: { elements } } : {}),
    },
  };
  const snapshots = elements.map((element) => ({
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: "VolumeSnapshot",
    metadata: {
      name: element.name,
      namespace,
      uid: `uid-of-snapshot-${element.name}`,
      creationTimestamp: at,
      labels: { "cnpg.io/cluster": cluster, "cnpg.io/backupName": name },
      annotations: {
        "cnpg.io/pvcRole": element.type,
        "cnpg.io/instanceName": `${cluster}-1`,
        ...(phase === "completed" ? { "cnpg.io/backupStartTime": at, "cnpg.io/backupEndTime": at } : {}),
      },
      ...(owner === "none" ? {} : { ownerReferences: [ownerOf(owner, cluster, name, uid)] }),
    },
    spec: {
      source: { persistentVolumeClaimName: `${cluster}-1${element.name.slice(name.length)}` },
      volumeSnapshotClassName: "csi",
    },
  }));
  return { backup, snapshots };
}

function ownerOf(owner: "cluster" | "backup", cluster: string, name: string, uid: string): object {
  const isBackup = owner === "backup";
  return {
    apiVersion: "postgresql.cnpg.io/v1",
    kind: isBackup ? "Backup" : "Cluster",
    name: isBackup ? name : cluster,
    uid: isBackup ? uid : `uid-of-${cluster}`,
    controller: true,
  };
}
