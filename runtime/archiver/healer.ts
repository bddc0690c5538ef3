/**
 * Copies missing WAL as soon as its repository takes WAL again: checks the records every few seconds, tries, and waits
 * longer after each attempt without success. It heals only recorded files; `heal` finds what another program skipped
 * by comparing whole archives.
 */
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import type { MissingWalStore } from "../local/missingWal";
import { copyFormerWal, copyMissingWal, type WalClaims } from "../operations/heal/heal";
import { type LocalWal, withoutFiles } from "../operations/shared/localWal";
import { type ClusterIdentity, isSameCluster } from "../operations/shared/identity";
import type { WorkLock } from "../operations/archivePush/pushQueue";
import type { Repository } from "../repository/repository";

const LOOK_MS = 2000;
const PAUSE_FIRST_MS = 5000;
const PAUSE_MS_MAX = 5 * 60_000;

export interface HealerParts {
  readonly repos: readonly Repository[];
  readonly missingWal: MissingWalStore;
  readonly lock: WorkLock;
  /** Null while writing is forbidden or the cluster is unknown. */
  present(): { readonly cluster: ClusterIdentity; readonly local: LocalWal; readonly claims: WalClaims } | null;
}

/** Runs until `signal` aborts; never throws. */
export async function healForever(parts: HealerParts, ctx: Context, signal: AbortSignal): Promise<void> {
  await Promise.all(parts.repos.map((repo) => healOne(repo, parts, ctx, signal)));
}

async function healOne(repo: Repository, parts: HealerParts, ctx: Context, signal: AbortSignal): Promise<void> {
  let pauseMs = 0;
  while (!signal.aborted) {
    await ctx.clock.sleep(Math.max(pauseMs, LOOK_MS), signal).catch(() => {});
    if (signal.aborted) return;
    const isPaid = await tryOnce(repo, parts, { ...ctx, signal });
    if (isPaid !== null) pauseMs = isPaid ? 0 : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
  }
}

/** Null if nothing is missing, or nothing may be written now. */
async function tryOnce(
  repo: Repository,
  { repos, missingWal, lock, present }: HealerParts,
  ctx: Context,
): Promise<boolean | null> {
  try {
    // Also this fails, while the server's container is gone.
    const now = present();
    if (now === null || missingWal.list(repo.key).length === 0) return null;
    const { cluster, local, claims } = now;
    lock.enter();
    try {
      if (missingWal.list(repo.key, cluster).length > 0)
        await copyMissingWal(repo, repos, cluster, { missingWal, local, claims }, ctx);
      for (const former of missingWal.clusters(repo.key)) {
        if (isSameCluster(former, cluster) || missingWal.list(repo.key, former).length === 0) continue;
        const parts = { missingWal, local: withoutFiles(local), claims };
        await copyFormerWal(repo, repos, { former, present: cluster }, parts, ctx);
      }
    } finally {
      lock.leave();
    }
    const left = missingWal.list(repo.key).length;
    ctx.log.info(left === 0 ? `${repo.name} lacks no WAL any longer` : `${repo.name} still lacks ${left} WAL file(s)`);
    return left === 0;
  } catch (error) {
    ctx.log.debug(`${repo.name}: unable to copy missing WAL yet: ${toBackupError(error).message}`);
    return false;
  }
}
