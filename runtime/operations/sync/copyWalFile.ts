/**
 * The job that copies one WAL file, checked against its SHA-1 and packed with the target's own compression and keys.
 */
import { collect, streamOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { compressBytes } from "../../format/codec/compress";
import type { Repository } from "../../repository/repository";
import { findWal, isSegment, openWal, putWal, type StoredWal } from "../../repository/walStore";

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
}

/** @throws checksum and either storage's errors */
export async function copyWalFile(
  job: CopyWalJob,
  repo: (key: number) => Repository,
  ctx: Context,
): Promise<undefined> {
  const { from, to, archiveId, stored } = job;
  const [source, target] = [
    { repo: repo(from.repoIndex), pass: from.pass },
    { repo: repo(to.repoIndex), pass: to.pass },
  ];
  const bytes = await collect(await openWal(source.repo, archiveId, stored, source.pass), LIMITS.wholeFileSizeBytesMax);
  const sha1 = sha1Hex(bytes);
  if (stored.sha1 !== null && sha1 !== stored.sha1)
    throw fail("checksum", `content has checksum ${sha1} but its name says ${stored.sha1}`);
  // archive-push may have stored it meanwhile.
  if (isSegment(stored.name) && (await findWal(target.repo, archiveId, stored.name)).length > 0) return undefined;
  const compressType = isSegment(stored.name) ? target.repo.compress.type : "none";
  const packed = compressBytes(bytes, { type: compressType, level: target.repo.compress.level });
  await putWal(
    target.repo,
    { archiveId, name: stored.name, sha1, compressType, open: () => streamOf(packed) },
    target.pass,
    () => ctx.random.bytes(8),
  );
  return undefined;
}
