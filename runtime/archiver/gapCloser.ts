/**
 * Closes gaps that `archive-push-queue-max` made, which end every recovery that begins before them. When a repository
 * takes WAL again, the agent takes a backup that begins after the gap. An incremental one is enough, because recovery
 * needs WAL only from its start.
 *
 * The agent does this and not the timer: until then later transactions cannot be recovered, and the next scheduled
 * backup may be a day away. The backup runs this program as a separate process, with its lock, its log lines in the
 * agent's log and its own check that WAL arrives. A failed one is repeated after a minute, then less often.
 */
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import type { MissingWalStore } from "../local/missingWal";
import { newestStart, openGap, startsOf } from "../operations/archivePush/dropWal";
import type { ClusterIdentity } from "../operations/shared/identity";
import type { WorkerStatus } from "../operations/archivePush/pushQueue";
import { loadBackupInfo } from "../repository/infoStore";
import type { Repository } from "../repository/repository";

const LOOK_MS = 2000;
const PAUSE_FIRST_MS = 60_000;
const PAUSE_MS_MAX = 60 * 60_000;

export interface GapCloserParts {
  readonly repos: readonly Repository[];
  readonly missingWal: MissingWalStore;
  /** Null while writing is forbidden or the cluster is unknown. */
  present(): { readonly cluster: ClusterIdentity; readonly status: readonly WorkerStatus[] } | null;
  /** Takes a backup into these repositories; returns the exit code. */
  backup(repoIndexes: readonly number[], signal: AbortSignal): Promise<number>;
}

/** Runs until `signal` aborts; never throws. */
export async function closeGapsForever(parts: GapCloserParts, ctx: Context, signal: AbortSignal): Promise<void> {
  // Start of the cluster's newest backup in each repository, as last checked: gaps before it are closed.
  const starts = new Map<string, string>();
  let pauseMs = 0;
  while (!signal.aborted) {
    await ctx.clock.sleep(Math.max(pauseMs, LOOK_MS), signal).catch(() => {});
    if (signal.aborted) return;
    try {
      const keys = await openRepoIndexes(parts, starts);
      if (keys.length === 0) continue;
      ctx.log.warn(
        `taking a backup into ${keys.map((key) => `repo${key}`).join(", ")}: WAL was dropped, and recovery cannot pass the gap`,
      );
      const exitCode = await parts.backup(keys, signal);
      const isClosed = exitCode === 0 && !(await openRepoIndexes(parts, starts)).some((key) => keys.includes(key));
      pauseMs = isClosed ? 0 : nextPauseMs(pauseMs);
      if (isClosed || signal.aborted) continue;
      // A standby's begins at its last restartpoint, which may still be before the gap.
      const why = exitCode === 0 ? "began before its end" : `failed with exit code ${exitCode}`;
      ctx.log.warn(`the backup that closes the WAL gap ${why}: retrying`);
    } catch (error) {
      pauseMs = nextPauseMs(pauseMs);
      ctx.log.warn(`unable to close a WAL gap yet: ${toBackupError(error).message}`);
    }
  }
}

function nextPauseMs(pauseMs: number): number {
  return Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
}

/** Repositories that take WAL and have no backup after the dropped WAL. */
async function openRepoIndexes(
  { repos, missingWal, present }: GapCloserParts,
  starts: Map<string, string>,
): Promise<number[]> {
  const keys: number[] = [];
  for (const repo of repos) {
    const now = present();
    if (now === null) return [];
    if (now.status.find((worker) => worker.repoIndex === repo.key)?.error !== null) continue;
    const dropped = missingWal.listDropped(repo.key, now.cluster);
    const key = `${repo.key} ${now.cluster.version} ${now.cluster.systemId}`;
    if (openGap(dropped, [starts.get(key) ?? null]).length === 0) continue;
    const archiveStarts = startsOf(await loadBackupInfo(repo), now.cluster);
    starts.set(key, newestStart(archiveStarts));
    if (openGap(dropped, archiveStarts).length > 0) keys.push(repo.key);
  }
  return keys;
}
