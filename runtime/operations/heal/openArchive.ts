/** One repository's archive of a cluster, as `heal` reads and fills it. */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, lookUpWal, putWal, type StoredWal } from "../../repository/walStore";
import type { WalContent } from "../archivePush/pushWal";
import { archiveIdsOf, checkArchive, type ClusterIdentity } from "../shared/identity";

export interface Archive {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  /** All files stored under the name. */
  find(name: string): Promise<readonly StoredWal[]>;
}

export async function openArchive(repo: Repository, cluster: ClusterIdentity): Promise<Archive> {
  const info = await loadArchiveInfo(repo);
  const [entry] = archiveIdsOf(info, cluster);
  // Throws with both identities: WAL of a cluster that the archive does not know must not be stored here.
  const archiveId = entry === undefined ? checkArchive(repo, info, cluster) : archiveIdOf(entry);
  const find = (name: string): Promise<readonly StoredWal[]> => findWal(repo, archiveId, name);
  return { repo, archiveId, pass: info.cipherPass ?? null, find };
}

/**
 * Stores a file alongside other contents, and returns its name. The answer of a storage alone is no proof: the file is
 * looked at.
 * @throws fileMissing, what the source's content throws, and the storage's errors
 */
export async function store({ archiveId, pass, repo }: Archive, source: WalContent, ctx: Context): Promise<string> {
  const { name } = source;
  const spec = isSegment(name) ? repo.compress : { type: "none" as const, level: 0 };
  const wal = { archiveId, name, sha1: source.sha1, compressType: spec.type, open: await source.packed(spec) };
  const { fileName, sizeRepoBytes } = await putWal(repo, wal, pass, () => ctx.random.bytes(8));
  if ((await lookUpWal(repo, archiveId, fileName))?.sizeRepoBytes !== sizeRepoBytes)
    throw fail(
      "fileMissing",
      `WAL file '${fileName}' was written to ${repo.name} and is now missing or of another size`,
      {
        repoIndex: repo.key,
        retryable: true,
      },
    );
  return fileName;
}
