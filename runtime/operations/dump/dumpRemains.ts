/** Removes what killed dumps have left in a repository. */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { hasDump, listDumpDirectories, removeDump } from "../../repository/dumpStore";
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";

/**
 * Called before the holder of the lease writes its own dump: every directory without a manifest is a dead process's
 * (repository/dumpStore). A failure is a warning: a key that may not remove can still dump.
 */
export async function removeRemains(repo: Repository, lease: Pick<Lease, "check">, ctx: Context): Promise<void> {
  try {
    for (const { directory, hasManifest, label } of await listDumpDirectories(repo)) {
      if (hasManifest || (await hasDump(repo, directory))) continue;
      await lease.check();
      await removeDump(repo, directory);
      ctx.log.info(`${repo.name}: removed dump ${label}, which never became complete`);
    }
  } catch (error) {
    await lease.check();
    ctx.log.warn(`${repo.name}: unable to remove incomplete dumps: ${toBackupError(error).message}`);
  }
}
