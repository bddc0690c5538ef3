/**
 * The job that copies one WAL file, checked against its SHA-1 and its header, and packed with the target's own
 * compression and keys.
 */
import { collect, streamOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { compressBytes, type CompressSpec } from "../../format/codec/compress";
import type { Repository } from "../../repository/repository";
import type { StoredWal } from "../../repository/walStore";
import { PushTarget } from "../archivePush/pushWal";
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

/** @throws checksum, fileInvalid, archiveMismatch (44), archiveDuplicate (45) and either storage's errors */
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
  const wal = {
    name: stored.name,
    sizeBytes: bytes.length,
    sha1: sha1Hex(bytes),
    packed: async (spec: CompressSpec) => {
      const packed = compressBytes(bytes, spec);
      return () => streamOf(packed);
    },
  };
  // A server may archive into the target meanwhile, so this is a push like its own.
  await new PushTarget(target.repo, ctx).push(wal, { archiveId, pass: target.pass });
  return undefined;
}
