/**
 * The job that copies one WAL file, checked against its SHA-1 and its header, and packed with the target's own
 * compression and keys.
 */
import { collect, streamOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { compressBytes } from "../../format/codec/compress";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, putWal, type StoredWal, canBeWhole, removeDamagedWal } from "../../repository/walStore";
import { carriedContent } from "../shared/carriedWal";
import { type ClusterIdentity } from "../shared/identity";

/** A repository's key and the passphrase of its WAL. */
export interface WalRepository {
  readonly repoIndex: number;
  readonly pass: string | null;
}

export interface CopyWalJob {
  readonly kind: "syncWal";
  readonly from: WalRepository;
  readonly to: WalRepository;
  readonly archiveId: string;
  readonly stored: StoredWal;
  /** Whose headers segments must have; null without `archive-header-check`. */
  readonly cluster: ClusterIdentity | null;
}

/** @throws checksum, fileInvalid, archiveMismatch (44) and either storage's errors */
export async function copyWalFile(
  job: CopyWalJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<undefined> {
  const { from, to, archiveId, cluster, stored } = job;
  const [source, target] = [
    { repo: repo(from.repoIndex), pass: from.pass },
    { repo: repo(to.repoIndex), pass: to.pass },
  ];
  const bytes = await collect(carriedContent({ ...source, archiveId, stored }, cluster), LIMITS.wholeFileSizeBytesMax);
  const sha1 = sha1Hex(bytes);
  // archive-push may have stored it meanwhile.
  const existing = isSegment(stored.name) ? await findWal(target.repo, archiveId, stored.name) : [];
  if (existing.some((own) => canBeWhole(own) || own.sha1 !== sha1)) return undefined;
  const compressType = isSegment(stored.name) ? target.repo.compress.type : "none";
  const packed = compressBytes(bytes, { type: compressType, level: target.repo.compress.level });
  const { fileName } = await putWal(
    target.repo,
    { archiveId, name: stored.name, sha1, compressType, open: () => streamOf(packed) },
    target.pass,
    () => ctx.random.bytes(8),
  );
  for (const cut of existing)
    if (cut.fileName !== fileName) await removeDamagedWal(target.repo, archiveId, cut.fileName);
  return undefined;
}
