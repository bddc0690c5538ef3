/**
 * Engine `volumeSnapshot`: snapshots by the cluster's storage, alone or beside an engine that archives WAL. The
 * operator takes them and removes none: expiry.ts does. Hot by default.
 */
import { engineOf } from "../../plan/engines/engines";
import { SNAPSHOT_SCHEDULE } from "../../plan/cluster/snapshotPlan";
import { given } from "../../plan/model/given";
import { sorted } from "../kubernetes/objects";
import { type BackupRun, type EngineContext, type EngineParts, scheduleOptionsOf } from "./engine";

/** `spec.backup.volumeSnapshot` and the schedules; no plugin. */
export function renderSnapshots(context: EngineContext): EngineParts {
  const { database, definition } = context;
  const snapshots = definition.snapshots ?? {};
  const online = snapshots.online ?? true;
  const volumeSnapshot = given({
    className: snapshots.className,
    walClassName: snapshots.walClassName,
    tablespaceClassName: sorted(snapshots.tablespaceClassNames),
    online,
    snapshotOwnerReference: snapshots.ownerReference ?? "none",
  });
  return {
    plugins: [],
    backup: { target: database.backupTarget, volumeSnapshot },
    objects: [],
    runs: runsOf(context, online),
  };
}

/** The plan's own schedules if snapshots are the engine, a separate one beside another engine. */
function runsOf(context: EngineContext, online: boolean): BackupRun[] {
  const { database, definition } = context;
  const run = { method: "volumeSnapshot" as const, online };
  if (engineOf(database.engine).snapshots) {
    return database.schedules.map((schedule) => ({
      ...scheduleOptionsOf(context, schedule.name),
      ...run,
      suffix: schedule.name,
      cron: schedule.cron,
    }));
  }
  const cron = definition.snapshots?.cron;
  if (cron === undefined) return [];
  return [{ ...scheduleOptionsOf(context, SNAPSHOT_SCHEDULE), ...run, suffix: SNAPSHOT_SCHEDULE, cron }];
}
