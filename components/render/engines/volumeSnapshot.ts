/**
 * Engine `volumeSnapshot`: snapshots by the cluster's storage, alone or alongside an engine that archives WAL. The
 * operator takes them and removes none: expiry.ts does. Hot by default.
 */
import { engineOf } from "../../plan/engines/engines";
import { SNAPSHOT_SCHEDULE } from "../../plan/cluster/snapshotPlan";
import { fields, givenFields, isGiven, merged, readers } from "../../plan/model/deferred";
import { sorted } from "../kubernetes/objects";
import { type BackupRun, type EngineContext, type EngineParts, scheduleOptionsOf } from "./engine";

/** `spec.backup.volumeSnapshot` and the schedules; no plugin. */
export function renderSnapshots(context: EngineContext): EngineParts {
  const { database, definition } = context;
  const snapshots = definition.snapshots ?? {};
  const online = (): boolean => snapshots.online ?? true;
  const volumeSnapshot = givenFields({
    ...readers(snapshots, "className", "walClassName"),
    tablespaceClassName: () => sorted(snapshots.tablespaceClassNames),
    online,
    snapshotOwnerReference: () => snapshots.ownerReference ?? "none",
  });
  const runOf = (suffix: string, cron: () => string): BackupRun =>
    merged(scheduleOptionsOf(context, suffix), { suffix, method: "volumeSnapshot" as const }, fields({ cron, online }));
  // The plan's own schedules if snapshots are the engine, a separate one alongside another engine.
  const runs = engineOf(database.engine).snapshots
    ? database.schedules.map((schedule) => runOf(schedule.name, () => schedule.cron))
    : isGiven(() => snapshots.cron)
      ? [runOf(SNAPSHOT_SCHEDULE, () => snapshots.cron ?? "")]
      : [];
  return {
    plugins: [],
    backup: merged(fields({ target: () => database.backupTarget }), { volumeSnapshot }),
    objects: [],
    runs,
  };
}
