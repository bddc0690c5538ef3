/** One repository's archive of a cluster, as `heal` reads and fills it. */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { compress } from "../../format/codec/compress";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, lookUpWal, makeDurable, putWal, type StoredWal } from "../../repository/walStore";
import type { PreparedWal } from "../archivePush/prepareWal";
import { archiveIdsOf, checkArchive, type ClusterIdentity } from "../shared/identity";
import { type Copy, findDamage, openCopy } from "./decide";

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
 * Stores a file that the archive lacked when it was looked for.
 * @throws archiveDuplicate, what the source's content throws, and the storage's errors
 */
export async function storeAbsent(
  target: Archive,
  name: string,
  source: Copy | PreparedWal,
  ctx: Context,
): Promise<void> {
  const { archiveId, repo } = target;
  // Looked for again: archive-push may have stored it first.
  const [stored] = isSegment(name) ? await findWal(repo, archiveId, name) : [];
  if (stored === undefined) return requireAlone(target, name, await store(target, name, source, ctx));
  if (stored.sha1 !== source.sha1)
    throw fail("archiveDuplicate", `${repo.name} meanwhile has other content, ${stored.fileName}`);
  const damage = await findDamage([await openCopy({ ...target, stored }, null)]);
  if (damage !== null) throw damage;
  return makeDurable(repo, archiveId, stored.fileName);
}

/** Another server may have stored its content meanwhile. */
async function requireAlone({ archiveId, repo }: Archive, name: string, fileName: string): Promise<void> {
  const listed = isSegment(name) ? await findWal(repo, archiveId, name) : [];
  const other = listed.find((each) => each.fileName !== fileName);
  if (other !== undefined)
    throw fail("archiveDuplicate", `${repo.name} meanwhile has other content, ${other.fileName}`);
}

/**
 * Returns the stored file's name. The answer of a storage alone is no proof: the file is looked at.
 * @throws fileMissing, what the source's content throws, and the storage's errors
 */
export async function store(
  { archiveId, pass, repo }: Archive,
  name: string,
  source: Copy | PreparedWal,
  ctx: Context,
): Promise<string> {
  const spec = isSegment(name) ? repo.compress : { type: "none" as const, level: 0 };
  const open = "packed" in source ? await source.packed(spec) : () => compress(source.open(), spec);
  const wal = { archiveId, name, sha1: source.sha1, compressType: spec.type, open };
  const { fileName, sizeRepoBytes } = await putWal(repo, wal, pass, () => ctx.random.bytes(8));
  if ((await lookUpWal(repo, archiveId, fileName))?.sizeRepoBytes !== sizeRepoBytes)
    throw fail("fileMissing", `WAL file '${fileName}' was stored in ${repo.name} and is not there as it was sent`, {
      repoIndex: repo.key,
      retryable: true,
    });
  return fileName;
}
