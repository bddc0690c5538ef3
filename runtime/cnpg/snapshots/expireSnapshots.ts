/**
 * `cnpg-expire`: removes a cluster's volume snapshots that retention no longer keeps. CloudNativePG never removes them.
 *
 * The Backup is removed first, then its snapshots, starting with the data volume's. So no Backup lacks a volume. A
 * killed run leaves snapshots without a Backup: the next run finds them by their labels and creation times.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { Command } from "../../process/commandProcess";
import { type Collection, type KubernetesApi, openKubernetes, type ObjectRef } from "../kubernetes/kubernetesApi";
import { type ObjectGroup, groupSnapshots, readBackup, readSnapshot } from "./snapshotGroups";
import { judgeSnapshots, type SnapshotKeep } from "./snapshotRetention";
import { notifyOfJob } from "../kubernetes/jobNotice";

export interface SnapshotPolicy extends SnapshotKeep {
  readonly cluster: string;
  /** Its ScheduledBackups; backups from elsewhere are ignored. */
  readonly schedules: readonly string[];
  /** Reports the removals without making them. */
  readonly dryRun: boolean;
}

export const BACKUPS: Collection = { api: "postgresql.cnpg.io/v1", plural: "backups" };
export const SNAPSHOTS: Collection = { api: "snapshot.storage.k8s.io/v1", plural: "volumesnapshots" };

export const expireSnapshotsCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { cluster = "", keepCount, keepDays, schedules } = config.snapshots;
  const lacking = Object.entries({
    "snapshot-cluster": cluster !== "",
    "snapshot-schedule": schedules.length > 0,
    "snapshot-keep-days or snapshot-keep-count": keepDays !== undefined || keepCount !== undefined,
  }).find(([, isGiven]) => !isGiven);
  if (lacking !== undefined) throw fail("optionRequired", `cnpg-expire command requires option: ${lacking[0]}`);
  return notifyOfJob(proc, cluster, ctx, async () => {
    const api = await openKubernetes(config.kubernetes, ctx.signal);
    await expireSnapshots(api, { cluster, schedules, keepDays, keepCount, dryRun: config.dryRun }, ctx);
    return { code: 0 };
  });
};

/** Deletes objects. @throws command if one could not be removed, after the others; the API's errors of its lists */
export async function expireSnapshots(
  api: Pick<KubernetesApi, "list" | "remove">,
  policy: SnapshotPolicy,
  ctx: Context,
): Promise<void> {
  // Snapshots first: a Backup exists before its snapshots, so none of them seems to have lost its Backup.
  const snapshots = await api.list(SNAPSHOTS, `cnpg.io/cluster=${policy.cluster}`, readSnapshot);
  const backups = await api.list(BACKUPS, null, readBackup);
  // Of two clocks, the one that keeps more.
  const nowMs = Math.min(ctx.clock.nowMs(), snapshots.serverMs ?? Number.POSITIVE_INFINITY);
  const verdicts = judgeSnapshots(
    groupSnapshots(snapshots.items, backups.items, policy.cluster, policy.schedules),
    policy,
    nowMs,
  );

  let failed = 0;
  for (const { group, reason, remove } of verdicts) {
    const mark = policy.dryRun ? "[DRY-RUN] " : "";
    ctx.log.info(
      remove ? `${mark}remove ${group.name} (${partsText(group)}): ${reason}` : `${mark}keep ${group.name}: ${reason}`,
    );
    if (remove && !policy.dryRun && !(await removeGroup(api, group, ctx))) failed += 1;
  }
  const removing = verdicts.filter(({ remove }) => remove).length;
  ctx.log.info(`${verdicts.length - removing} kept, ${removing - failed} ${policy.dryRun ? "would be " : ""}removed`);
  if (failed > 0) throw fail("command", `${failed} of ${removing} could not be removed; the next run tries again`);
}

/** False if a part of it still exists; errors are logged. */
async function removeGroup(
  api: Pick<KubernetesApi, "remove">,
  { backup, name, snapshots }: ObjectGroup,
  ctx: Context,
): Promise<boolean> {
  const attempt = async (collection: Collection, object: ObjectRef): Promise<boolean> => {
    try {
      await api.remove(collection, object);
      return true;
    } catch (thrown) {
      ctx.signal.throwIfAborted();
      const error: BackupError = toBackupError(thrown);
      ctx.log.error(fail(error.kind, `${name}: ${error.message}`, { hint: error.hints, cause: thrown }));
      return false;
    }
  };
  if (backup !== null && !(await attempt(BACKUPS, backup))) return false;
  const [data, ...others] = snapshots;
  if (data !== undefined && !(await attempt(SNAPSHOTS, data))) return false;
  // Without the data volume's snapshot the others are useless.
  const gone = [];
  for (const other of others) gone.push(await attempt(SNAPSHOTS, other));
  return gone.every(Boolean);
}

function partsText({ backup, snapshots }: ObjectGroup): string {
  return [...(backup === null ? [] : ["the Backup"]), ...snapshots.map((snapshot) => snapshot.name)].join(", ");
}
