/** The first and last segment of an archive: lists only its first and last directories. */
import { listArchive } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";
import { isSegment, listWal, type StoredWal } from "../../repository/walStore";

export async function walRange(
  repo: Repository,
  archiveId: string,
): Promise<{ min: string | null; max: string | null }> {
  const directories = await segmentDirectories(repo, archiveId);
  let min: string | null = null;
  let max: string | null = null;
  for (const directory of directories) {
    const segments = await segmentsIn(repo, archiveId, directory);
    if (segments.length === 0) continue;
    min = segments[0]?.name ?? null;
    break;
  }
  for (const directory of min === null ? [] : directories.reverse()) {
    const segments = await segmentsIn(repo, archiveId, directory);
    if (segments.length === 0) continue;
    max = segments.at(-1)?.name ?? null;
    break;
  }
  return { min, max };
}

/** Directories of segments, each of one timeline and 4 GiB of WAL; ascending. */
export async function segmentDirectories(repo: Repository, archiveId: string): Promise<string[]> {
  return (await listArchive(repo, archiveId)).directories;
}

/** Complete segments of one directory, ascending. */
export async function segmentsIn(repo: Repository, archiveId: string, directory: string): Promise<StoredWal[]> {
  const segments: StoredWal[] = [];
  for await (const stored of listWal(repo, archiveId, directory))
    if (isSegment(stored.name) && !stored.name.endsWith(".partial")) segments.push(stored);
  return segments.sort((left, right) => (left.name < right.name ? -1 : 1));
}
