/**
 * Temporary files of writers that were killed. Each write has a name of its own, so no later write takes its place.
 *
 * A file that nobody has written to for a day goes. Its writer cannot publish a half because of that: should it live still, its rename finds no file,
 * and it tries again. Among WAL only the newest directories are looked at, so that the cost does not grow with the archive: older leftovers go with
 * the WAL around them.
 */
import { basename } from "node:path";
import { findFinalName } from "../../base/temporaryName";
import { archiveIdPath, archivePath, backupHistoryPath, backupPath, backupsPath, serverFilesRoot } from "../../format/repository/repoPath";
import { listLabels } from "../../repository/backupStore";
import { listArchive } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";
import { listArchiveIds } from "../../repository/walStore";

const AGE_MS_MIN = 24 * 60 * 60 * 1000;
/** 256 segments each. */
const WAL_DIRECTORIES_MAX = 64;

/** Paths that went, or would go with `dryRun`, ascending. Object stores have none: nothing there is seen before it is whole. */
export async function removeLeftovers(repo: Repository, nowMs: number, dryRun: boolean): Promise<string[]> {
  if (!repo.storage.features.directories) return [];
  const found: string[] = [];
  const look = async (path: string, recursive: boolean): Promise<void> => {
    for await (const entry of repo.storage.list(path, { recursive })) {
      if (entry.type === "directory" || findFinalName(basename(entry.path)) === null) continue;
      if (nowMs - entry.modifiedAtMs >= AGE_MS_MIN) found.push(entry.path);
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
  for (const label of await listLabels(repo)) await look(backupPath(repo.stanza, label), false);
  await look(backupHistoryPath(repo.stanza), true);
  await look(serverFilesRoot(repo.stanza), true);
  if (!dryRun) for (const path of found) await repo.storage.remove(path);
  return found.sort();
}
