/**
 * The plan of `rollback`: a cluster on ZFS goes back to a snapshot of its file system. Pure.
 *
 * `zfs rollback -r` would destroy every newer snapshot and the current state. Instead the file system is renamed, and a
 * clone of the snapshot takes its place and is promoted. Nothing is destroyed. Snapshots up to that one, and their
 * replication, continue under the old name.
 */
import { timeText } from "../../base/clock";
import { fail } from "../../base/errors";
import type { HostFacts } from "../recover/hostFacts";
import type { ServerControl } from "../recover/control";
import type { Dataset, Snapshot } from "./zfs";

export interface RollbackInput {
  /** `tank/postgresql@autosnap_2026-11-21_05:00:00_hourly` */
  readonly snapshot: string;
  readonly stanza: string;
  readonly facts: HostFacts;
  readonly dataset: Dataset;
  /** The data set's snapshots, oldest first. */
  readonly snapshots: readonly Snapshot[];
  /** System-id of the cluster in the snapshot; null if absent. */
  readonly snapshotSystemId: string | null;
  readonly stamp: string;
}

export interface RollbackPlan {
  readonly dataset: string;
  readonly mountPoint: string;
  /** New name of the data set. */
  readonly kept: string;
  readonly keptMountPoint: string;
  /** Snapshot of the current state, made first. */
  readonly safety: string;
  /** `autosnap_…` */
  readonly snapshotName: string;
  /** Properties of the clone. */
  readonly properties: Readonly<Record<string, string>>;
}

/** @throws every refusal, with a remedy */
export function planRollback(input: RollbackInput): RollbackPlan {
  const { dataset, facts, snapshot, snapshots, snapshotSystemId, stamp } = input;
  const { mountPoint, name } = dataset;
  if (!snapshots.some((other) => other.name === snapshot)) {
    const newest = snapshots.slice(-NAMED_MAX).map((other) => other.name);
    throw fail("optionInvalidValue", `there is no snapshot '${snapshot}'`, {
      hint: newest.length === 0 ? `'${name}' has none.` : `the newest of '${name}' are: ${newest.join(", ")}.`,
    });
  }
  const inside = (path: string): boolean => path === mountPoint || path.startsWith(`${mountPoint}/`);
  const elsewhere = [
    facts.dataDirectory,
    ...(facts.walDirectory === null ? [] : [facts.walDirectory]),
    ...facts.tablespaces,
  ].find((path) => !inside(path));
  const mount = facts.mounts.find((path) => path !== mountPoint && path.startsWith(`${mountPoint}/`));
  if (elsewhere !== undefined || mount !== undefined) {
    const path = elsewhere ?? mount ?? "";
    throw fail(
      "featureNotSupported",
      `'${path}' is not in file system '${name}' (${mountPoint}): its snapshot is not consistent with the rest`,
      {
        hint: "Data and WAL of different times may not form a valid cluster. Recover to a time instead: pgbackstop recover --type=time --target=….",
      },
    );
  }
  const own = facts.control === null ? null : String(facts.control.systemId);
  if (snapshotSystemId === null || (own !== null && own !== snapshotSystemId)) {
    throw fail(
      "dbMismatch",
      `snapshot '${snapshot}' holds ${snapshotSystemId === null ? "no cluster" : "another cluster"} in '${facts.dataDirectory}'`,
      {
        hint: "Choose a snapshot of the time when this cluster existed.",
      },
    );
  }
  const suffix = `before-rollback-${stamp}`;
  return {
    dataset: name,
    mountPoint,
    kept: `${name}.${suffix}`,
    keptMountPoint: `${mountPoint}.${suffix}`,
    safety: `${name}@pgbackstop-${suffix}`,
    snapshotName: snapshot.slice(snapshot.indexOf("@") + 1),
    properties: dataset.properties,
  };
}

const NAMED_MAX = 5;

export function rollbackText(
  plan: RollbackPlan,
  { facts, snapshot, snapshots, stanza }: RollbackInput,
  control: ServerControl,
): string {
  const chosen = snapshots.findIndex((other) => other.name === snapshot);
  const newer = snapshots.slice(chosen + 1).map((other) => other.name);
  const takenAtS = snapshots[chosen]?.createdAtS ?? 0;
  return [
    `Rollback of stanza ${stanza} in ${facts.dataDirectory} to a snapshot of its file system`,
    "",
    `  to       ${snapshot} of ${timeText(takenAtS)}`,
    "  loses    every later transaction, unless you undo it; for a time between snapshots use pgbackstop recover --type=time",
    `  newer    ${newer.length === 0 ? "no snapshot" : `${newer.length} snapshot(s), which stay with the old data`}`,
    ...newer.slice(0, NEWER_MAX).map((name) => `             ${name}`),
    "",
    `  1. stop it: ${control.stop.join(" ")}`,
    `  2. keep its current state: zfs snapshot ${plan.safety}`,
    `  3. zfs rename ${plan.dataset} ${plan.kept}`,
    `     zfs set mountpoint=${plan.keptMountPoint} ${plan.kept}`,
    `  4. zfs clone ${plan.kept}@${plan.snapshotName} ${plan.dataset}, at ${plan.mountPoint}`,
    `     zfs promote ${plan.dataset}`,
    `  5. start it in recovery, so that it gets a new timeline: ${control.start.join(" ")}`,
    "  6. check that every repository gets its WAL",
    "",
    "  Nothing is destroyed (zfs rollback -r would destroy the newer snapshots).",
    "",
    "",
  ].join("\n");
}

const NEWER_MAX = 10;
