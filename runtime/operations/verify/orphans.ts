/**
 * Finds files that nothing refers to: left by killed runs, by hand, or by a changed stanza. They are no error, but
 * nothing ever frees their space. Lists every backup's files, so the cost grows with them.
 */
import { type ArchiveInfo, archiveIdOf } from "../../format/repository/archiveInfo";
import type { BackupInfoEntry } from "../../format/repository/backupInfo";
import type { Manifest } from "../../format/repository/manifest";
import {
  archiveIdPath,
  attemptPath,
  backupPath,
  bundlePath,
  copyOf,
  dataFilePath,
  manifestPath,
} from "../../format/repository/repoPath";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { formatSize } from "../../base/units";
import { hasManifest, listLabels } from "../../repository/backupStore";
import { hasManifestCopy } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";
import { listArchiveIds } from "../../repository/walStore";

/** Paths reported one by one; beyond that only their number. */
const PATHS_MAX = 20;

export async function findOrphans(
  repo: Repository,
  archiveInfo: ArchiveInfo,
  listed: readonly BackupInfoEntry[],
): Promise<string[]> {
  const lines: string[] = [];
  const known = new Set(archiveInfo.history.map(archiveIdOf));
  for (const archiveId of await listArchiveIds(repo)) {
    if (!known.has(archiveId))
      lines.push(`${archiveIdPath(repo.stanza, archiveId)} belongs to no history id of archive.info`);
  }
  const labels = new Set(listed.map((entry) => entry.label));
  const unlisted = (await listLabels(repo)).filter((label) => !labels.has(label));
  for (const label of unlisted) {
    const unfinished = (await hasManifestCopy(repo, label)) ? "is in progress or was interrupted" : "holds no backup";
    const state = (await hasManifest(repo, label)) ? "is not in backup.info" : unfinished;
    lines.push(`${backupPath(repo.stanza, label)} ${state}`);
  }
  return lines;
}

/** Files in a backup's directory that are not in its manifest. */
export async function filesOfNobody(repo: Repository, manifest: Manifest): Promise<string[]> {
  const expected = pathsOf(repo.stanza, manifest);
  const strays: string[] = [];
  const options = { recursive: true, namesOnly: true };
  for await (const entry of repo.storage.list(backupPath(repo.stanza, manifest.label), options))
    if (entry.type === "file" && !expected.has(entry.path)) strays.push(entry.path);
  const shown = strays
    .sort()
    .slice(0, PATHS_MAX)
    .map((path) => `${path} is in no manifest`);
  const more = strays.length - shown.length;
  if (more === 0) return shown;
  const files = await mapParallel(strays, LIMITS.filesPerWorker, (path) => repo.storage.stat(path));
  const sizeBytes = files.reduce((sum, file) => sum + (file?.sizeBytes ?? 0), 0);
  return [...shown, `${more} more files of ${manifest.label} are in no manifest (${formatSize(sizeBytes)} in all)`];
}

function pathsOf(stanza: string, { label, files, options }: Manifest): ReadonlySet<string> {
  const path = manifestPath(stanza, label);
  // A process killed right after it listed the backup leaves its attempt file.
  const paths = new Set([path, copyOf(path), attemptPath(stanza, label)]);
  for (const file of files) {
    if (file.reference !== undefined && (!options.hardlink || file.bundle !== undefined)) continue;
    paths.add(
      file.bundle === undefined
        ? dataFilePath(stanza, label, file, options.compressType)
        : bundlePath(stanza, label, file.bundle.id),
    );
  }
  return paths;
}
