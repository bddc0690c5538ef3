/** Copies WAL between archives: the files that the target lacks from a segment on. */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import type { Repository } from "../../repository/repository";
import { isTrimmed, type TrimArchive } from "../expire/archivePlan";
import type { JobPool } from "../shared/jobs";
import { KnownWal } from "../shared/knownWal";
import { canBeWhole, findWal, listWal, type StoredWal } from "../../repository/walStore";
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
  /** What the target's retention keeps; null keeps all from there on. */
  readonly plan: TrimArchive | null;
}

/** Files that are read at the same time: hides an object store's latency. */
const READS_AT_ONCE = 4;

export interface WalGap {
  /** Names that the target lacks, ascending. */
  readonly missing: readonly StoredWal[];
  /** Segments with different content in both: another cluster's WAL. */
  readonly conflicts: readonly string[];
  /** Required segments that neither has, ascending. */
  readonly absent: readonly string[];
}

/** What the backups need that will be listed. */
export interface WalNeeds {
  /** A stored segment that is needed is read once: its bytes count. */
  readonly isNeeded: (name: string) => boolean;
  /** Segments without which one of them cannot become consistent. */
  readonly required: ReadonlySet<string>;
}

/** Compares names and sizes, and the bytes of what the target has and needs. */
export async function findMissingWal(
  source: WalSide,
  target: WalSide,
  { archiveId, from, plan }: WalCopy,
  { isNeeded, required }: WalNeeds,
): Promise<WalGap> {
  const known = new KnownWal(target.repo);
  const held = new Map<string, StoredWal[]>();
  for await (const stored of listWal(target.repo, archiveId))
    held.set(stored.name, [...(held.get(stored.name) ?? []), stored]);
  const missing: StoredWal[] = [];
  const conflicts: string[] = [];
  const absent: string[] = [];
  const toRead: { readonly stored: StoredWal; readonly own: StoredWal }[] = [];
  const compare = (stored: StoredWal): void => {
    const own = held.get(stored.name) ?? [];
    if (own.some(({ sha1 }) => sha1 !== stored.sha1)) conflicts.push(stored.name);
    else if (own[0] === undefined || !own.some(canBeWhole)) missing.push(stored);
    else if (isNeeded(stored.name)) toRead.push({ stored, own: own[0] });
  };
  const unseen = new Set(required);
  for await (const stored of listWal(source.repo, archiveId)) {
    unseen.delete(stored.name);
    const isFrom = stored.name >= from || stored.name.endsWith(".history");
    if (isFrom && !isTrimmed(plan, stored.name)) compare(stored);
  }
  await mapParallel([...unseen], READS_AT_ONCE, async (name) => {
    // A listing may be incomplete.
    const [stored] = await findWal(source.repo, archiveId, name);
    if (stored !== undefined) return compare(stored);
    const [own] = held.get(name) ?? (await findWal(target.repo, archiveId, name));
    if (own === undefined || !(await known.isGood(own, { archiveId, pass: target.pass }))) absent.push(name);
  });
  await mapParallel(toRead, READS_AT_ONCE, async ({ own, stored }) => {
    if (!(await known.isGood(own, { archiveId, pass: target.pass }))) missing.push(stored);
  });
  missing.sort((left, right) => (left.name < right.name ? -1 : 1));
  return { missing, conflicts: conflicts.sort(), absent: absent.sort() };
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
