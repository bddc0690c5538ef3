/**
 * `cnpg-expire`: removes the volume snapshots of a cluster that its retention no longer asks for, which CloudNativePG never does.
 *
 * The Backup goes first, then its snapshots, the one of the data before the others. So nobody restores by a Backup that lacks a volume, and
 * whoever is killed in between leaves snapshots without a Backup: the next run finds them by their labels and the time that they were taken.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { Command } from "../../commands/host";
import { type Collection, type KubernetesApi, openKubernetes } from "../kubernetes/kubernetesApi";
import { type FoundGroup, groupSnapshots, type ObjectRef, readBackup, readSnapshot } from "./snapshotGroups";
import { judgeSnapshots, type SnapshotKeep } from "./snapshotRetention";
import { tellJob } from "../kubernetes/jobNotice";

export interface SnapshotWish extends SnapshotKeep {
  readonly cluster: string;
  /** ScheduledBackups of it; what others made is not looked at. */
  readonly schedules: readonly string[];
  /** Tells what would be done, and does nothing. */
  readonly dryRun: boolean;
}

export const BACKUPS: Collection = { api: "postgresql.cnpg.io/v1", plural: "backups" };
export const SNAPSHOTS: Collection = { api: "snapshot.storage.k8s.io/v1", plural: "volumesnapshots" };

export const expireSnapshotsCommand: Command = async (host) => {
  const { config, ctx } = host;
  const { cluster = "", keepCount, keepDays, schedules } = config.snapshots;
  const lacking = Object.entries({
    "snapshot-cluster": cluster !== "",
    "snapshot-schedule": schedules.length > 0,
    "snapshot-keep-days or snapshot-keep-count": keepDays !== undefined || keepCount !== undefined,
  }).find(([, isGiven]) => !isGiven);
  if (lacking !== undefined) throw fail("optionRequired", `cnpg-expire command requires option: ${lacking[0]}`);
  return tellJob(host, cluster, ctx, async () => {
    const api = await openKubernetes(config.kubernetes, ctx.signal);
    await expireSnapshots(api, { cluster, schedules, keepDays, keepCount, dryRun: config.dryRun }, ctx);
    return { code: 0 };
  });
};

/** Deletes objects. @throws command when one could not be removed, after the others; what the API throws for its lists */
export async function expireSnapshots(api: Pick<KubernetesApi, "list" | "remove">, wish: SnapshotWish, ctx: Context): Promise<void> {
  // Snapshots first: a Backup is there before its snapshots are, so that none of these is taken for one that has lost its own.
  const snapshots = await api.list(SNAPSHOTS, `cnpg.io/cluster=${wish.cluster}`, readSnapshot);
  const backups = await api.list(BACKUPS, null, readBackup);
  // Of two clocks the one that keeps more.
  const nowMs = Math.min(ctx.clock.nowMs(), snapshots.serverMs ?? Number.POSITIVE_INFINITY);
  const verdicts = judgeSnapshots(groupSnapshots(snapshots.items, backups.items, wish.cluster, wish.schedules), wish, nowMs);

  let failed = 0;
  for (const { group, reason, remove } of verdicts) {
    const mark = wish.dryRun ? "[DRY-RUN] " : "";
    ctx.log.info(remove ? `${mark}remove ${group.name} (${partsText(group)}): ${reason}` : `${mark}keep ${group.name}: ${reason}`);
    if (remove && !wish.dryRun && !(await removeGroup(api, group, ctx))) failed += 1;
  }
  const removing = verdicts.filter(({ remove }) => remove).length;
  ctx.log.info(`${verdicts.length - removing} kept, ${removing - failed} ${wish.dryRun ? "would be " : ""}removed`);
  if (failed > 0) throw fail("command", `${failed} of ${removing} could not be removed: the next run tries again`);
}

/** False when a part of it is still there; errors are told. */
async function removeGroup(api: Pick<KubernetesApi, "remove">, { backup, name, snapshots }: FoundGroup, ctx: Context): Promise<boolean> {
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
  // Without the data the others are of no use, whichever of them stays.
  const gone = [];
  for (const other of others) gone.push(await attempt(SNAPSHOTS, other));
  return gone.every(Boolean);
}

function partsText({ backup, snapshots }: FoundGroup): string {
  return [...(backup === null ? [] : ["the Backup"]), ...snapshots.map((snapshot) => snapshot.name)].join(", ");
}
