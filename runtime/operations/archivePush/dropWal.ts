/**
 * `archive-push-queue-max`: the user's choice to lose WAL rather than fill PostgreSQL's disk.
 *
 * It applies only to a file that cannot be acknowledged, after every repository was tried. If any repository holds the
 * file, nothing is lost: the others are behind, and heal copies it. If none does, it is recorded as dropped for each of
 * them. `info` and `check` show it until a backup begins after the gap; the agent starts that backup. (pgBackRest 2.60
 * "command/archive/push" drops before it tries, for all repositories alike.)
 */
import { stat } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import type { RepoResult } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { MissingWalStore } from "../../local/missingWal";
import { listReady } from "../../postgres/archiveStatus";
import { isSegment } from "../../repository/walStore";
import { currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import { type ClusterIdentity, UNKNOWN_CLUSTER } from "../shared/identity";

export interface DropOptions {
  readonly walDirectory: string;
  /** Its `archive_status` lists the waiting files; default: the same. */
  readonly readyDirectory?: string;
  readonly walName: string;
  readonly cluster: ClusterIdentity;
  /** Undefined disables dropping. */
  readonly queueSizeBytesMax: number | undefined;
}

/**
 * The dropped files that recovery from the newest backup would need. A backup that began after all of them needs none.
 */
export function openGap(dropped: readonly string[], archiveStarts: readonly (string | null)[]): string[] {
  const newest = newestStart(archiveStarts);
  return dropped.filter((name) => name >= newest);
}

/** The open gap of the stanza's present cluster. `dropped` is that of the store. */
export function openGapIn(repoIndex: number, info: BackupInfo, dropped: MissingWalStore["listDropped"]): string[] {
  const { pgVersion: version, systemId } = currentHistory(info);
  const names = [{ version, systemId }, UNKNOWN_CLUSTER].flatMap((cluster) => dropped(repoIndex, cluster));
  return openGap(names.sort(), startsOf(info, { version, systemId }));
}

/** Where this cluster's backups begin. After pg_upgrade timelines begin at 1 again: no other cluster's close a gap. */
export function startsOf(
  { backups, history }: Pick<BackupInfo, "backups" | "history">,
  { version, systemId }: ClusterIdentity,
): (string | null)[] {
  const own = history.filter((row) => row.pgVersion === version && row.systemId === systemId);
  return backups.flatMap(({ archiveStart, dbId }) => (own.some(({ id }) => id === dbId) ? [archiveStart] : []));
}

/** The first segment of the backup that began last; empty without backups. */
export function newestStart(archiveStarts: readonly (string | null)[]): string {
  return archiveStarts.reduce<string>((last, start) => (start !== null && start > last ? start : last), "");
}

/**
 * Returns a warning if PostgreSQL may continue without the file, null if the queue is not too long. The record is
 * durable on return.
 */
export async function dropWhenFull(
  { isTried, results }: { readonly isTried: boolean; readonly results: readonly RepoResult<unknown>[] },
  missingWal: MissingWalStore,
  { walDirectory, readyDirectory = walDirectory, walName, cluster, queueSizeBytesMax }: DropOptions,
  ctx: Context,
): Promise<string | null> {
  if (queueSizeBytesMax === undefined || !isTried) return null;
  const ready = await listReady(readyDirectory, Number.POSITIVE_INFINITY);
  // The size of a waiting history or label file says nothing about segments.
  const { size } = await stat(`${walDirectory}/${ready.find(isSegment) ?? walName}`);
  if (ready.length * size <= queueSizeBytesMax) return null;
  const lacking = results.filter((result) => !result.ok).map((result) => result.repoIndex);
  const isHeld = lacking.length < results.length;
  for (const repoIndex of lacking) (isHeld ? missingWal.add : missingWal.addDropped)(repoIndex, walName, cluster);
  const because = `because archive queue exceeded ${formatSize(queueSizeBytesMax)}`;
  const names = lacking.map((key) => `repo${key}`).join(", ");
  const text = isHeld
    ? `acknowledged WAL file '${walName}' ${because}; ${names} lacks it\nHINT: pgbackstop heal copies it from the other repositories.`
    : `dropped WAL file '${walName}' ${because}\nHINT: no repository has it and recovery cannot pass the gap. Take a new backup.`;
  ctx.log.warn(text);
  return text;
}
