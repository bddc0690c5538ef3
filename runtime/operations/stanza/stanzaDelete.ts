/**
 * `stanza-delete`: removes a stanza from a repository. The user must stop the stanza first.
 *
 * The infos are removed last: after an interruption the stanza is still known and can be deleted again.
 */
import type { Context } from "../../base/context";
import {
  archiveIdPath,
  archivePath,
  backupsPath,
  dumpManifestPath,
  leasePath,
  serverFilesRoot,
} from "../../format/repository/repoPath";
import { listLabels } from "../../repository/backupStore";
import { listDumpDirectories } from "../../repository/dumpStore";
import { removeBackupPath, removeManifests } from "../../repository/expireStore";
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { listArchiveIds } from "../../repository/walStore";
import { toBackupError } from "../../base/errors";

/** Removes all but the leases, which the caller holds. */
async function removeServerFiles(repo: Repository, lease: Pick<Lease, "keep">): Promise<void> {
  const { stanza, storage } = repo;
  // Manifests first: a part of a dump must never pass for one.
  for (const { directory, hasManifest } of await listDumpDirectories(repo)) {
    await lease.keep();
    if (hasManifest) await storage.remove(dumpManifestPath(stanza, directory));
  }
  for await (const { path, type } of storage.list(serverFilesRoot(stanza))) {
    if (leasePaths(stanza).includes(path)) continue;
    await lease.keep();
    await (type === "directory" ? storage.removePath(path) : storage.remove(path));
  }
}

function leasePaths(stanza: string): string[] {
  return [leasePath(stanza), leasePath(stanza, "dumps")];
}

/**
 * Ends {@link stanzaDelete} with the leases and the empty directories. Another host may create the stanza again as soon
 * as the last one is gone: its files stay.
 */
export async function removeLeases(
  { stanza, storage }: Repository,
  leases: readonly Pick<Lease, "remove">[],
): Promise<void> {
  for (const lease of leases) await lease.remove();
  for (const path of [...leasePaths(stanza), serverFilesRoot(stanza)]) await storage.removeDirectory?.(path);
}

/** True when the repository holds any file of the stanza. */
export async function hasStanza(repo: Repository): Promise<boolean> {
  return (await exists(repo, archivePath(repo.stanza))) || (await exists(repo, backupsPath(repo.stanza)));
}

/** True when the repository holds a lease or another file that only this program knows. */
export function hasServerFiles(repo: Repository): Promise<boolean> {
  return exists(repo, serverFilesRoot(repo.stanza));
}

async function exists({ storage }: Repository, path: string): Promise<boolean> {
  for await (const _entry of storage.list(path)) return true;
  return storage.features.directories && (await storage.stat(path)) !== null;
}

/**
 * @param leases of backups and of dumps: each may be lost by itself
 * @throws lockAcquire (50) when one was lost: another process may have created the stanza again
 */
export async function stanzaDelete(
  repo: Repository,
  leases: readonly Pick<Lease, "keep">[],
  ctx: Context,
): Promise<void> {
  const lease = {
    keep: async (): Promise<void> => {
      for (const each of leases) await each.keep();
    },
  };
  const labels = (await listLabels(repo)).reverse();
  // Manifests first: the rest of a backup must never pass for a complete one.
  for (const label of labels) await removeManifests(repo, label, lease);
  for (const label of labels) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    await lease.keep();
    await removeBackupPath(repo, label);
  }
  await removeServerFiles(repo, lease);
  const archiveIds = await listArchiveIds(repo);
  const paths = [...archiveIds.map((id) => archiveIdPath(repo.stanza, id)), archivePath(repo.stanza)];
  for (const path of [...paths, backupsPath(repo.stanza)]) {
    await lease.keep();
    await repo.storage.removePath(path);
  }
}
