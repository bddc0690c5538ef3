/**
 * Turns a declared cluster, as plain values, into complete plans. The components and `pgbackstop render` share it.
 * Pure.
 */
import type { ClusterDrillSettings, ClusterScheduleSettings, ClusterShapeSettings, RecoverySettings } from "./clusterSettings";
import { type ResolvedCluster, type ResolvedSource, resolveShape } from "./clusterShape";
import { findEngine } from "../engines/engines";
import type { Finding } from "../findings/findings";
import type { ClusterPlan } from "../model/plan";
import { resolveCluster } from "../model/resolveDatabase";
import { checkCluster } from "../rules";
import { checkShape } from "../rules/shape";
import type { ClusterSettings, DrillSettings, ScheduleSettings } from "../model/databaseSettings";
import { snapshotPlanOf } from "./snapshotPlan";

type FullSchedule = ScheduleSettings & ClusterScheduleSettings;

/** `clusterName` is the Cluster's name; schedules include CloudNativePG's settings. */
export interface ClusterFile extends Omit<ClusterSettings, "cluster" | "drills" | "schedules" | "snapshots">, Omit<ClusterShapeSettings, "drills"> {
  readonly clusterName?: string | undefined;
  readonly drills?: Readonly<Record<string, DrillSettings & ClusterDrillSettings>> | undefined;
  readonly schedules?: { readonly full?: FullSchedule; readonly diff?: FullSchedule; readonly incr?: FullSchedule } | undefined;
}

/** @param name of the component */
export function resolveClusterFile(name: string, file: ClusterFile): ResolvedCluster {
  const { clusterName, schedules, snapshots, ...settings } = file;
  const backupTarget = settings.backupTarget ?? targetOf(settings.engine);
  const database = resolveCluster(name, {
    ...settings,
    cluster: clusterName,
    schedules,
    ...(backupTarget === undefined ? {} : { backupTarget }),
  });
  const volumeSnapshots = snapshotPlanOf(database.engine, snapshots);
  const plan = volumeSnapshots === null ? database : { ...database, volumeSnapshots };
  const recovery = settings.bootstrap?.recovery;
  return {
    plan,
    shape: resolveShape(plan, { ...settings, snapshots }),
    schedules: schedules ?? {},
    source: recovery === undefined ? null : resolveSource(plan, recovery),
  };
}

/** @param attached to a Cluster that others made */
export function checkClusterFile(resolved: ResolvedCluster, attached: boolean): Finding[] {
  return checkCluster(resolved.plan, checkShape(resolved, attached));
}

function resolveSource(plan: ClusterPlan, { engine, from, repositories, stanza }: RecoverySettings): ResolvedSource {
  const source = resolveCluster(plan.name, {
    namespace: plan.namespace,
    cluster: `${plan.cluster}-source`,
    stanza,
    engine: engine ?? plan.engine,
    repositories,
  });
  return { plan: source, from: from ?? [] };
}

/** An engine that needs the primary gets it as backup target by default. */
function targetOf(engine: string | undefined): string | undefined {
  return engine !== undefined && findEngine(engine)?.fromStandby === false ? "primary" : undefined;
}
