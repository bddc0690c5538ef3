/**
 * `archive-push-queue-max`: the explicit choice to lose WAL rather than fill the disk of PostgreSQL.
 *
 * Decided only for a file that could not be acknowledged otherwise, after every repository was tried. When any repository holds it, nothing
 * is lost: the others owe it, and heal copies it. When none does, it is recorded as dropped for each of them: `info` and `check` show it
 * until a backup begins behind the gap, which the agent starts by itself. (pgBackRest 2.60 "command/archive/push" drops before it tries, for all repositories alike.)
 */
import { stat } from "node:fs/promises";
import type { Context } from "../../base/context";
import type { RepoResult } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { DebtStore } from "../../local/debt";
import { listReady } from "../../postgres/archiveStatus";
import { isSegment } from "../../repository/walStore";
import type { ClusterIdentity } from "../shared/identity";

export interface DropOptions {
  readonly walDirectory: string;
  readonly walName: string;
  readonly cluster: ClusterIdentity;
  /** Undefined never drops. */
  readonly queueSizeBytesMax: number | undefined;
}

/** Of what was dropped, the files that recovery from the newest backup would need: none of them matters once a backup began behind it. */
export function openGap(dropped: readonly string[], archiveStarts: readonly (string | null)[]): string[] {
  const newest = newestStart(archiveStarts);
  return dropped.filter((name) => name >= newest);
}

/** The first segment of the backup that begins last; empty without any. */
export function newestStart(archiveStarts: readonly (string | null)[]): string {
  return archiveStarts.reduce<string>((last, start) => (start !== null && start > last ? start : last), "");
}

/** The warning when PostgreSQL may go on without the file; null when the queue is not too long. Durable when it returns. */
export async function dropWhenFull(
  results: readonly RepoResult<unknown>[],
  debt: DebtStore,
  { walDirectory, walName, cluster, queueSizeBytesMax }: DropOptions,
  ctx: Context,
): Promise<string | null> {
  if (queueSizeBytesMax === undefined) return null;
  const ready = await listReady(walDirectory, Number.POSITIVE_INFINITY);
  // A history or label file that waits among the segments says nothing about their size.
  const { size } = await stat(`${walDirectory}/${ready.find(isSegment) ?? walName}`);
  if (ready.length * size <= queueSizeBytesMax) return null;
  const lacking = results.filter((result) => !result.ok).map((result) => result.repoKey);
  const isHeld = lacking.length < results.length;
  for (const repoKey of lacking) (isHeld ? debt.add : debt.addDropped)(repoKey, walName, cluster);
  const because = `because archive queue exceeded ${formatSize(queueSizeBytesMax)}`;
  const names = lacking.map((key) => `repo${key}`).join(", ");
  const text = isHeld
    ? `acknowledged WAL file '${walName}' although ${names} lacks it ${because}\nHINT: heal copies it from the other repositories.`
    : `dropped WAL file '${walName}' ${because}\nHINT: no repository holds it: take a new backup, recovery cannot pass this gap.`;
  ctx.log.warn(text);
  return text;
}
