/**
 * Turns a declared cluster, as plain values, into complete plans. The components and `pgbackstop render` share it.
 * Pure.
 */
import type { DeclaredCluster, RecoverySettings } from "./declaredCluster";
import {
  type ClusterPlan,
  isHibernated,
  resolveDefinition,
  type ScheduleOptions,
  scheduleOptions,
  type SourcePlan,
  staleCheckOf,
} from "./clusterPlan";
import { findEngine } from "../engines/engines";
import type { Finding } from "../findings/findings";
import { fields, givenFields, merged } from "../model/deferred";
import type { ClusterDatabasePlan } from "../model/plan";
import { resolveClusterDatabase } from "../model/resolveDatabase";
import { checkCluster } from "../rules";
import { checkClusterDefinition } from "../rules/cluster/definition";
import { withDefaultBackups } from "../schedule/defaultBackups";
import { isReplica, settleSpec, withLike } from "./specFields";
import { snapshotPlanOf } from "./snapshotPlan";

/** @param name of the component */
export function planCluster(name: string, given: DeclaredCluster): ClusterPlan {
  const { saidTwice, settings } = settleSpec(withLike(given));
  const usual = withDefaultBackups(name, settings);
  const declared = usual?.settings ?? settings;
  const { schedules = {}, snapshots } = declared;
  const backupTarget = (): string | undefined => declared.backupTarget ?? targetOf(declared.engine);
  const resolved = resolveClusterDatabase(name, merged(declared, givenFields({ backupTarget })));
  const base = isHibernated(declared.metadata ?? {}) ? suspended(resolved) : resolved;
  const volumeSnapshots = snapshotPlanOf(base.engine, snapshots);
  const recovery = declared.bootstrap?.recovery;
  const database = merged(
    base,
    usual === null ? {} : fields({ chosen: usual.chosen }),
    volumeSnapshots === null ? {} : { volumeSnapshots },
    givenFields({
      staleCheck: () => staleCheckOf(declared),
      notifies: () => (declared.notifySecret === undefined ? undefined : true),
      isReplica: () => (isReplica(declared, () => base.cluster) ? true : undefined),
      withoutBackups: () => (recovery !== undefined && isUnbacked(base) ? true : undefined),
    }),
  );
  return {
    database,
    definition: resolveDefinition(database, declared, saidTwice),
    schedules: isHibernated(declared.metadata ?? {}) ? allSuspended(database) : scheduleOptions(database, schedules),
    source: recovery === undefined ? null : resolveSource(database, recovery),
  };
}

function suspended(database: ClusterDatabasePlan): ClusterDatabasePlan {
  const schedules = database.schedules.map((schedule) => merged(schedule, { suspended: true }));
  return merged(database, { schedules });
}

function allSuspended({ schedules }: ClusterDatabasePlan): ScheduleOptions {
  return Object.fromEntries(schedules.map(({ name }) => [name, { suspend: true, immediate: false }]));
}

/** @param attached to a Cluster that others made */
export function checkClusterPlan(resolved: ClusterPlan, attached: boolean): Finding[] {
  return checkCluster(resolved.database, checkClusterDefinition(resolved, attached));
}

function resolveSource(database: ClusterDatabasePlan, recovery: RecoverySettings): SourcePlan {
  const settings = fields<DeclaredCluster>({
    namespace: () => database.namespace,
    clusterName: () => `${database.cluster}-source`,
    stanza: () => recovery.stanza,
    engine: () => recovery.engine ?? database.engine,
    repositories: () => recovery.repositories,
  });
  const source = resolveClusterDatabase(database.name, settings);
  return merged(
    fields({ database: () => source, from: () => recovery.from ?? [] }),
    givenFields({ repositoryTargetTime: () => recovery.repositoryTargetTime }),
  );
}

/** Nothing about backups is declared, so that nothing is forgotten. */
function isUnbacked({ drills, engine, repositories, schedules }: ClusterDatabasePlan): boolean {
  return (findEngine(engine)?.repositoriesMax ?? 0) > 0 && [drills, repositories, schedules].every(isEmpty);
}

function isEmpty(list: readonly unknown[]): boolean {
  return list.length === 0;
}

/** An engine that needs the primary gets it as backup target by default. */
function targetOf(engine: string | undefined): string | undefined {
  return engine !== undefined && findEngine(engine)?.fromStandby === false ? "primary" : undefined;
}
