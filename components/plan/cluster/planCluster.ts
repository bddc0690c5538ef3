/**
 * Turns a declared cluster, as plain values, into complete plans. The components and `pgbackstop render` share it.
 * Pure.
 */
import type { ClusterDrillSettings, ClusterScheduleSettings, DeclaredClusterDefinition, RecoverySettings } from "./declaredCluster";
import { type ClusterPlan, type SourcePlan, resolveDefinition } from "./clusterPlan";
import { findEngine } from "../engines/engines";
import type { Finding } from "../findings/findings";
import type { ClusterDatabasePlan } from "../model/plan";
import { resolveClusterDatabase } from "../model/resolveDatabase";
import { checkCluster } from "../rules";
import { checkClusterDefinition } from "../rules/clusterDefinition";
import type { DeclaredClusterDatabase, DrillSettings, ScheduleSettings } from "../model/databaseSettings";
import { snapshotPlanOf } from "./snapshotPlan";

type FullSchedule = ScheduleSettings & ClusterScheduleSettings;

/** `clusterName` is the Cluster's name; schedules include CloudNativePG's settings. */
export interface DeclaredCluster
  extends Omit<DeclaredClusterDatabase, "cluster" | "drills" | "schedules" | "snapshots">,
    Omit<DeclaredClusterDefinition, "drills"> {
  readonly clusterName?: string | undefined;
  readonly drills?: Readonly<Record<string, DrillSettings & ClusterDrillSettings>> | undefined;
  readonly schedules?: { readonly full?: FullSchedule; readonly diff?: FullSchedule; readonly incr?: FullSchedule } | undefined;
}

/** @param name of the component */
export function planCluster(name: string, file: DeclaredCluster): ClusterPlan {
  const { clusterName, schedules, snapshots, ...settings } = file;
  const backupTarget = settings.backupTarget ?? targetOf(settings.engine);
  const base = resolveClusterDatabase(name, {
    ...settings,
    cluster: clusterName,
    schedules,
    ...(backupTarget === undefined ? {} : { backupTarget }),
  });
  const volumeSnapshots = snapshotPlanOf(base.engine, snapshots);
  const database = volumeSnapshots === null ? base : { ...base, volumeSnapshots };
  const recovery = settings.bootstrap?.recovery;
  return {
    database,
    definition: resolveDefinition(database, { ...settings, snapshots }),
    schedules: schedules ?? {},
    source: recovery === undefined ? null : resolveSource(database, recovery),
  };
}

/** @param attached to a Cluster that others made */
export function checkClusterPlan(resolved: ClusterPlan, attached: boolean): Finding[] {
  return checkCluster(resolved.database, checkClusterDefinition(resolved, attached));
}

function resolveSource(database: ClusterDatabasePlan, { engine, from, repositories, stanza }: RecoverySettings): SourcePlan {
  const source = resolveClusterDatabase(database.name, {
    namespace: database.namespace,
    cluster: `${database.cluster}-source`,
    stanza,
    engine: engine ?? database.engine,
    repositories,
  });
  return { database: source, from: from ?? [] };
}

/** An engine that needs the primary gets it as backup target by default. */
function targetOf(engine: string | undefined): string | undefined {
  return engine !== undefined && findEngine(engine)?.fromStandby === false ? "primary" : undefined;
}
