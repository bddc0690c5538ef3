/** Volume snapshots of a cluster: the schedules that take them, and their retention. Pure. */
import { engineOf } from "../engines/engines";
import { fields, isGiven } from "../model/deferred";
import type { SnapshotSettings } from "./declaredCluster";

export interface SnapshotPlan {
  readonly online: boolean;
  /** With another engine only; engine `volumeSnapshot` uses the schedules. */
  readonly cron: string | undefined;
  readonly keepDays: number | undefined;
  readonly keepCount: number | undefined;
  /** Whose deletion removes them: `cluster` or `backup`; undefined for nobody's. */
  readonly ownerReference: string | undefined;
}

/** Suffix of the cluster's name, for the snapshots' schedule alongside another engine. */
export const SNAPSHOT_SCHEDULE = "snapshot";

interface Snapshooter {
  readonly engine: string;
  readonly schedules: readonly { readonly name: string }[];
}

export function snapshotPlanOf(engine: string, settings: SnapshotSettings | undefined): SnapshotPlan | null {
  if (settings === undefined && !engineOf(engine).snapshots) return null;
  return fields({
    online: () => settings?.online ?? true,
    cron: () => settings?.cron,
    keepDays: () => settings?.keepDays,
    keepCount: () => settings?.keepCount,
    ownerReference: () => (settings?.ownerReference === "none" ? undefined : settings?.ownerReference),
  });
}

/** The ScheduledBackups that take snapshots, by what follows the cluster's name in theirs. */
export function snapshotSchedules(
  { engine, schedules }: Snapshooter,
  settings: SnapshotSettings | undefined,
): string[] {
  if (engineOf(engine).snapshots) return schedules.map(({ name }) => name);
  return isGiven(() => settings?.cron) ? [SNAPSHOT_SCHEDULE] : [];
}

/** True if something removes them. */
export function expiresSnapshots(plan: Snapshooter, settings: SnapshotSettings | undefined): boolean {
  const hasRetention = settings?.keepDays !== undefined || settings?.keepCount !== undefined;
  return hasRetention && snapshotSchedules(plan, settings).length > 0;
}

/**
 * Name of the CronJob that removes them, its account and its Role: a CronJob allows 52 characters, and names of
 * clusters with snapshots leave space for it.
 */
export function expiryName(cluster: string): string {
  return `${cluster}-expire`;
}
