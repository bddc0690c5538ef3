/** Copies WAL between archives: the files that the target lacks from a segment on. */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../shared/jobs";
import { KnownWal } from "../shared/knownWal";
import { listWal, type StoredWal, canBeWhole } from "../../repository/walStore";
import { type ClusterIdentity } from "../shared/identity";
import type { WalRepository } from "./copyWalFile";

export interface WalSide {
  readonly repo: Repository;
  readonly pass: string | null;
}

export interface WalCopy {
  readonly archiveId: string;
  /** Cluster of the archive; null without `archive-header-check`. */
  readonly cluster: ClusterIdentity | null;
  /** Earlier segments are skipped; histories are always copied. */
  readonly from: string;
}

/** Files that are read at the same time: hides an object store's latency. */
const READS_AT_ONCE = 4;

export interface WalGap {
  /** Names that the target lacks, ascending. */
  readonly missing: readonly StoredWal[];
  /** Segments with different content in both: another cluster's WAL. */
  readonly conflicts: readonly string[];
}

/**
 * Compares names and sizes. A segment that `isNeeded`, for a backup that will be listed, is read once: its bytes count.
 */
export async function findMissingWal(
  source: WalSide,
  target: WalSide,
  { archiveId, from }: WalCopy,
  isNeeded: (name: string) => boolean,
): Promise<WalGap> {
  const known = new KnownWal(target.repo);
  const held = new Map<string, StoredWal[]>();
  for await (const stored of listWal(target.repo, archiveId))
    held.set(stored.name, [...(held.get(stored.name) ?? []), stored]);
  const missing: StoredWal[] = [];
  const conflicts: string[] = [];
  const toRead: { readonly stored: StoredWal; readonly own: StoredWal }[] = [];
  for await (const stored of listWal(source.repo, archiveId)) {
    if (stored.name < from && !stored.name.endsWith(".history")) continue;
    const own = held.get(stored.name) ?? [];
    if (own.some(({ sha1 }) => sha1 !== stored.sha1)) conflicts.push(stored.name);
    else if (own[0] === undefined || !own.some(canBeWhole)) missing.push(stored);
    else if (isNeeded(stored.name)) toRead.push({ stored, own: own[0] });
  }
  await mapParallel(toRead, READS_AT_ONCE, async ({ own, stored }) => {
    if (!(await known.isGood(own, { archiveId, pass: target.pass }))) missing.push(stored);
  });
  missing.sort((left, right) => (left.name < right.name ? -1 : 1));
  return { missing, conflicts: conflicts.sort() };
}

/** Returns the names that could not be copied, each with the reason. */
export async function copyWal(
  source: WalSide,
  target: WalSide,
  { archiveId, cluster }: Pick<WalCopy, "archiveId" | "cluster">,
  names: readonly StoredWal[],
  pool: JobPool,
  ctx: Context,
): Promise<Map<string, string>> {
  const problems = new Map<string, string>();
  await mapParallel(names, pool.slots * SEGMENTS_PER_SLOT, async (stored) => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    try {
      const [from, to] = [source, target].map(({ repo, pass }) => ({ repoIndex: repo.key, pass })) as [
        WalRepository,
        WalRepository,
      ];
      await pool.run({ kind: "syncWal", from, to, archiveId, stored, cluster });
    } catch (error) {
      problems.set(stored.name, toBackupError(error).message);
    }
  });
  return problems;
}

/** One waits for its repository while another is packed; both are held whole. */
const SEGMENTS_PER_SLOT = 2;
