/**
 * Copies WAL from one repository's archive into another's: what the target lacks from a segment on, each file checked against its SHA-1 and
 * packed with the target's own compression and keys.
 */
import { collect, streamOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { compressBytes } from "../../format/codec/compress";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../shared/jobs";
import { findWal, isSegment, listWal, openWal, putWal, type StoredWal } from "../../repository/walStore";

export interface WalSide {
  readonly repo: Repository;
  readonly pass: string | null;
}

export interface WalCopy {
  readonly archiveId: string;
  /** Segments before it are left; histories are always copied. */
  readonly from: string;
}

export interface WalGap {
  /** Names that the target lacks, ascending. */
  readonly missing: readonly StoredWal[];
  /** Segments that both hold with different content: somebody else's WAL. */
  readonly conflicts: readonly string[];
}

export async function findMissingWal(source: WalSide, target: WalSide, { archiveId, from }: WalCopy): Promise<WalGap> {
  const held = new Map<string, StoredWal>();
  for await (const stored of listWal(target.repo, archiveId)) held.set(stored.name, stored);
  const missing: StoredWal[] = [];
  const conflicts: string[] = [];
  for await (const stored of listWal(source.repo, archiveId)) {
    if (stored.name < from && !stored.name.endsWith(".history")) continue;
    const own = held.get(stored.name);
    if (own === undefined) missing.push(stored);
    else if (own.sha1 !== stored.sha1) conflicts.push(stored.name);
  }
  missing.sort((left, right) => (left.name < right.name ? -1 : 1));
  return { missing, conflicts: conflicts.sort() };
}

/** Returns the names of those that could not be copied, each with the reason. */
export async function copyWal(
  source: WalSide,
  target: WalSide,
  archiveId: string,
  names: readonly StoredWal[],
  pool: JobPool,
  ctx: Context,
): Promise<Map<string, string>> {
  const problems = new Map<string, string>();
  await mapParallel(names, pool.slots * SEGMENTS_PER_SLOT, async (stored) => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      const [from, to] = [source, target].map(({ repo, pass }) => ({ repoKey: repo.key, pass })) as [WalPlace, WalPlace];
      await pool.run({ kind: "syncWal", from, to, archiveId, stored });
    } catch (error) {
      problems.set(stored.name, toBackupError(error).message);
    }
  });
  return problems;
}

/** One waits for its repository while another is packed; each is held whole. */
const SEGMENTS_PER_SLOT = 2;

/** A repository's key and the passphrase of its WAL. */
interface WalPlace {
  readonly repoKey: number;
  readonly pass: string | null;
}

export interface CopyWalJob {
  readonly kind: "syncWal";
  readonly from: WalPlace;
  readonly to: WalPlace;
  readonly archiveId: string;
  readonly stored: StoredWal;
}

/** Copies one WAL file, as a job. @throws checksum and whatever either storage says */
export async function copyWalFile(job: CopyWalJob, repo: (key: number) => Repository, ctx: Context): Promise<undefined> {
  const { from, to, archiveId, stored } = job;
  const [source, target] = [
    { repo: repo(from.repoKey), pass: from.pass },
    { repo: repo(to.repoKey), pass: to.pass },
  ];
  const bytes = await collect(await openWal(source.repo, archiveId, stored, source.pass), LIMITS.wholeFileSizeBytesMax);
  const sha1 = sha1Hex(bytes);
  if (stored.sha1 !== null && sha1 !== stored.sha1) throw fail("checksum", `content has checksum ${sha1} but its name says ${stored.sha1}`);
  // archive-push may have brought it in the meantime.
  if (isSegment(stored.name) && (await findWal(target.repo, archiveId, stored.name)).length > 0) return undefined;
  const compressType = isSegment(stored.name) ? target.repo.compress.type : "none";
  const packed = compressBytes(bytes, { type: compressType, level: target.repo.compress.level });
  await putWal(target.repo, { archiveId, name: stored.name, sha1, compressType, open: () => streamOf(packed) }, target.pass, () =>
    ctx.random.bytes(8),
  );
  return undefined;
}
