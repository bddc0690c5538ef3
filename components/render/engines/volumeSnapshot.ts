/**
 * Engine `volumeSnapshot`: snapshots by the cluster's storage, alone or beside an engine that archives WAL. The
 * operator takes them and removes none: expiry.ts does. Hot by default.
 */
import { engineOf } from "../../plan/engines/engines";
import { SNAPSHOT_SCHEDULE } from "../../plan/cluster/snapshotPlan";
import { given } from "../../plan/model/given";
import { sorted } from "../kubernetes/objects";
import { type BackupRun, type EngineContext, type EngineParts, scheduleShapeOf } from "./engine";

/** `spec.backup.volumeSnapshot` and the schedules; no plugin. */
export function renderSnapshots(context: EngineContext): EngineParts {
  const { plan, shape } = context;
  const snapshots = shape.snapshots ?? {};
  const online = snapshots.online ?? true;
  const volumeSnapshot = given({
    className: snapshots.className,
    walClassName: snapshots.walClassName,
    tablespaceClassName: sorted(snapshots.tablespaceClassNames),
    online,
    snapshotOwnerReference: snapshots.ownerReference ?? "none",
  });
  return { plugins: [], backup: { target: plan.backupTarget, volumeSnapshot }, objects: [], runs: runsOf(context, online) };
}

/** The plan's own schedules if snapshots are the engine, a separate one beside another engine. */
function runsOf(context: EngineContext, online: boolean): BackupRun[] {
  const { plan, shape } = context;
  const run = { method: "volumeSnapshot" as const, online };
  if (engineOf(plan.engine).snapshots) {
    return plan.schedules.map((schedule) => ({ ...scheduleShapeOf(context, schedule.name), ...run, suffix: schedule.name, cron: schedule.cron }));
  }
  const cron = shape.snapshots?.cron;
  if (cron === undefined) return [];
  return [{ ...scheduleShapeOf(context, SNAPSHOT_SCHEDULE), ...run, suffix: SNAPSHOT_SCHEDULE, cron }];
}
