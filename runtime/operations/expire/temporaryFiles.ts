/**
 * Removes temporary files of killed writers, and tombstones that have ended. Each write uses a temporary file of its
 * own, so no later write replaces it.
 *
 * A file without a write for a day is removed. That cannot publish half a file: if its writer still lives, its rename
 * finds no file, and it tries again. Only the newest directories of the archive and the newest backups are checked, so
 * that the cost does not grow with them; older leftovers expire with what is around them.
 */
import { basename } from "node:path";
import { findFinalName } from "../../base/temporaryName";
import {
  archiveIdPath,
  archivePath,
  backupHistoryPath,
  backupPath,
  backupsPath,
  serverFilesRoot,
  tombstonesPath,
} from "../../format/repository/repoPath";
import { listLabels } from "../../repository/backupStore";
import { listArchive, TOMBSTONE_MS } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";
import { listArchiveIds } from "../../repository/walStore";

const AGE_MS_MIN = 24 * 60 * 60 * 1000;
/** 256 segments each. */
const WAL_DIRECTORIES_MAX = 64;
const BACKUPS_MAX = 64;

/** Removed paths (with `dryRun`, paths to remove), ascending. */
export async function removeLeftovers(repo: Repository, nowMs: number, dryRun: boolean): Promise<string[]> {
  const leftovers: string[] = [];
  for await (const { path, modifiedAtMs } of repo.storage.list(tombstonesPath(repo.stanza)))
    if (nowMs - modifiedAtMs >= TOMBSTONE_MS) leftovers.push(path);
  if (repo.storage.features.directories) leftovers.push(...(await listTemporaryFiles(repo, nowMs)));
  if (!dryRun) for (const path of leftovers) await repo.storage.remove(path);
  return leftovers.sort();
}

/** Object stores have none: their objects become visible only when complete. */
async function listTemporaryFiles(repo: Repository, nowMs: number): Promise<string[]> {
  const paths: string[] = [];
  const look = async (path: string, recursive: boolean): Promise<void> => {
    for await (const entry of repo.storage.list(path, { recursive, namesOnly: true })) {
      if (entry.type === "directory" || findFinalName(basename(entry.path)) === null) continue;
      const file = await repo.storage.stat(entry.path);
      if (file !== null && nowMs - file.modifiedAtMs >= AGE_MS_MIN) paths.push(entry.path);
    }
  };
  await look(archivePath(repo.stanza), false);
  for (const archiveId of await listArchiveIds(repo)) {
    const root = archiveIdPath(repo.stanza, archiveId);
    await look(root, false);
    const { directories } = await listArchive(repo, archiveId);
    for (const directory of directories.slice(-WAL_DIRECTORIES_MAX)) await look(`${root}/${directory}`, false);
  }
  await look(backupsPath(repo.stanza), false);
  for (const label of (await listLabels(repo)).slice(-BACKUPS_MAX)) await look(backupPath(repo.stanza, label), false);
  await look(backupHistoryPath(repo.stanza), true);
  await look(serverFilesRoot(repo.stanza), true);
  return paths;
}
