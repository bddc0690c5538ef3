/** Complete segments of an archive, by directory. */
import { SEGMENT_NAME } from "../../format/wal/walSegment";
import { listArchive } from "../../repository/expireStore";
import type { Repository } from "../../repository/repository";
import { listFiles, type StoredWal } from "../../repository/walStore";

/** Directories of segments, each of one timeline and 4 GiB of WAL; ascending. */
export async function segmentDirectories(repo: Repository, archiveId: string): Promise<string[]> {
  return (await listArchive(repo, archiveId)).directories;
}

/** Complete segments of one directory, ascending. */
export async function segmentsIn(repo: Repository, archiveId: string, directory: string): Promise<StoredWal[]> {
  return (await listFiles(repo, archiveId, directory)).filter(({ name }) => SEGMENT_NAME.test(name));
}
