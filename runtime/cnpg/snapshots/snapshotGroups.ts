/**
 * Backups and VolumeSnapshots of CloudNativePG as groups: which belong together, and whether a restore can use them.
 * Pure.
 *
 * CloudNativePG 1.30 writes: a Backup has the label `cnpg.io/scheduled-backup` with its schedule's name, and is called
 * `<schedule>-<YYYYMMDDhhmmss>`. Its snapshots have the labels `cnpg.io/cluster` and `cnpg.io/backupName` and the
 * annotation `cnpg.io/pvcRole`. `cnpg.io/backupEndTime` is added when all of them are ready. `snapshotOwnerReference`
 * decides their owner.
 */
import { fail } from "../../base/errors";
import { at, type Json, listAt, textAt } from "../kubernetes/clusterObject";
import type { ObjectRef } from "../kubernetes/kubernetesApi";
import type { GroupState, SnapshotGroup } from "./snapshotRetention";

/** The fields of a Backup that count here. */
export interface BackupFacts extends ObjectRef {
  readonly method: string | undefined;
  readonly cluster: string | undefined;
  readonly schedule: string | undefined;
  readonly phase: string | undefined;
  readonly atMs: number;
  /** Names of its snapshots, once all exist. */
  readonly elements: readonly string[];
}

/** The fields of a VolumeSnapshot that count here. */
export interface SnapshotFacts extends ObjectRef {
  readonly backupName: string | undefined;
  readonly isData: boolean;
  /** True if it is already being deleted. */
  readonly isGoing: boolean;
  readonly isComplete: boolean;
  readonly ownerUids: readonly string[];
  readonly atMs: number;
}

export interface ObjectGroup extends SnapshotGroup {
  /** Null if only its snapshots are left. */
  readonly backup: ObjectRef | null;
  /**
   * In order of removal, the data volume first: without it nothing passes for a backup. Excludes those that the server
   * collects.
   */
  readonly snapshots: readonly ObjectRef[];
}

const FAILED_PHASES = ["failed", "invalid backup definition"];

/** @throws format for an object without a name, a uid or a time */
export function readBackup(object: Json): BackupFacts {
  return {
    ...refOf(object),
    method: textAt(object, "spec", "method"),
    cluster: textAt(object, "spec", "cluster", "name"),
    schedule: textAt(object, "metadata", "labels", "cnpg.io/scheduled-backup"),
    phase: textAt(object, "status", "phase"),
    atMs: timeOf(
      object,
      textAt(object, "status", "stoppedAt") ?? textAt(object, "status", "reconciliationTerminatedAt"),
    ),
    elements: listAt(object, "status", "snapshotBackupStatus", "elements").flatMap(
      (element) => textAt(element, "name") ?? [],
    ),
  };
}

/** @throws format for an object without a name, a uid or a time */
export function readSnapshot(object: Json): SnapshotFacts {
  const ended = textAt(object, "metadata", "annotations", "cnpg.io/backupEndTime");
  return {
    ...refOf(object),
    backupName: textAt(object, "metadata", "labels", "cnpg.io/backupName"),
    isData: textAt(object, "metadata", "annotations", "cnpg.io/pvcRole") === "PG_DATA",
    isGoing: at(object, "metadata", "deletionTimestamp") !== undefined,
    isComplete: ended !== undefined,
    ownerUids: listAt(object, "metadata", "ownerReferences").flatMap((owner) => textAt(owner, "uid") ?? []),
    atMs: timeOf(object, ended),
  };
}

/**
 * Groups of the named schedules of one cluster; other backups are omitted.
 * @param snapshots of that cluster, listed before `backups`: one without a Backup in that list has lost it
 * @param backups all of the namespace
 */
export function groupSnapshots(
  snapshots: readonly SnapshotFacts[],
  backups: readonly BackupFacts[],
  cluster: string,
  schedules: readonly string[],
): ObjectGroup[] {
  const isOurs = (backup: BackupFacts): boolean =>
    backup.method === "volumeSnapshot" && backup.cluster === cluster && schedules.includes(backup.schedule ?? "");
  const known = new Set(backups.map(({ name }) => name));
  const orphans = [...new Set(snapshots.flatMap(({ backupName }) => backupName ?? []))].filter(
    (name) =>
      !known.has(name) &&
      schedules.some((schedule) => name.startsWith(`${schedule}-`) && /^\d{14}$/.test(name.slice(schedule.length + 1))),
  );
  const ofBackup = (name: string): SnapshotFacts[] => snapshots.filter(({ backupName }) => backupName === name);
  return [
    ...backups.filter(isOurs).map((backup) => groupOf(backup, ofBackup(backup.name))),
    ...orphans.map((name) => orphanOf(name, ofBackup(name))),
  ];
}

function groupOf(backup: BackupFacts, all: readonly SnapshotFacts[]): ObjectGroup {
  const there = all.filter(({ isGoing }) => !isGoing);
  const names = new Set(there.map(({ name }) => name));
  const isWhole = there.some(({ isData }) => isData) && backup.elements.every((name) => names.has(name));
  const { atMs, name, phase = "" } = backup;
  const state: GroupState =
    phase === "completed" ? (isWhole ? "whole" : "unusable") : FAILED_PHASES.includes(phase) ? "unusable" : "running";
  // The server collects the snapshots that it owns.
  const others = there.filter(({ ownerUids }) => !ownerUids.includes(backup.uid));
  return { name, state, atMs, backup: { name, uid: backup.uid }, snapshots: dataFirst(others) };
}

/** The schedule was recreated, which deleted its Backups, or a removal was interrupted. */
function orphanOf(name: string, all: readonly SnapshotFacts[]): ObjectGroup {
  const there = all.filter(({ isGoing }) => !isGoing);
  const isWhole = there.some(({ isData }) => isData) && there.every(({ isComplete }) => isComplete);
  return {
    name,
    state: isWhole ? "whole" : "unusable",
    atMs: Math.max(...all.map(({ atMs }) => atMs)),
    backup: null,
    snapshots: dataFirst(there),
  };
}

function dataFirst(snapshots: readonly SnapshotFacts[]): ObjectRef[] {
  const rank = ({ isData }: SnapshotFacts): number => (isData ? 0 : 1);
  return snapshots
    .toSorted((left, right) => rank(left) - rank(right) || (left.name < right.name ? -1 : 1))
    .map(({ name, uid }) => ({ name, uid }));
}

function refOf(object: Json): ObjectRef {
  const name = textAt(object, "metadata", "name");
  const uid = textAt(object, "metadata", "uid");
  if (name === undefined || uid === undefined)
    throw fail("format", "the API server sent an object without a name or a uid");
  return { name, uid };
}

/** Time of the data if the operator states it, else of the object. */
function timeOf(object: Json, stated: string | undefined): number {
  const text = stated ?? textAt(object, "metadata", "creationTimestamp") ?? "none";
  const atMs = Date.parse(text);
  if (Number.isFinite(atMs)) return atMs;
  throw fail("format", `${textAt(object, "metadata", "name")} has a time that cannot be read: ${text}`);
}
