/**
 * WAL that a standby received and that its primary had not archived when it died.
 *
 * PostgreSQL assumes that received WAL is archived, and never archives it after a promotion ("Continuous Archiving in
 * Standby" in its manual). If the dead primary's disk is lost too, the archive has a gap that no recovery passes,
 * although a living server holds the missing segments. So when a promoted server archives the history of its new
 * timeline, it compares. What a repository lacks of the earlier timelines is recorded as missing and then copied from
 * pg_wal.
 */
import { readdir, readFile } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import { parseHistory, type TimelineAncestor } from "../../format/wal/timeline";
import { DIRECTORY_LENGTH, lsnOfSegment, parseWalName } from "../../format/wal/walSegment";
import type { MissingWalStore } from "../../local/missingWal";
import { copyMissingWal } from "./heal";
import type { LocalWal } from "../shared/localWal";
import { archiveIdsOf, type ClusterIdentity } from "../shared/identity";
import { segmentDirectories, segmentsIn } from "../shared/archivedSegments";
import { listArchive } from "../../repository/expireStore";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { isSegment } from "../../repository/walStore";

export interface InheritedParts {
  readonly repos: readonly Repository[];
  readonly missingWal: MissingWalStore;
  readonly cluster: ClusterIdentity;
  readonly walDirectory: string;
  readonly walSegmentSizeBytes: number;
}

export interface SettleParts extends InheritedParts {
  readonly local: LocalWal;
  readonly timeoutMs: number;
  /** Called before anything beyond PostgreSQL's request is written: false where another process archives. */
  mayWrite(): boolean;
}

/** PostgreSQL waits during this time. */
export const LOOK_MS = 5000;

/**
 * Records the WAL before the timeline of `historyName` that each repository lacks, as far as pg_wal has it and a backup
 * there needs it. All of it counts as missing in a silent repository until it can be checked.
 * @throws format, and errors of reading pg_wal
 */
export async function recordInherited(historyName: string, parts: InheritedParts, ctx: Context): Promise<void> {
  const { repos, missingWal, cluster, walDirectory, walSegmentSizeBytes } = parts;
  const ancestors = parseHistory(await readFile(`${walDirectory}/${historyName}`, "utf8"));
  const names = (await readdir(walDirectory))
    .filter((name) => isInherited(name, ancestors, walSegmentSizeBytes))
    .sort();
  if (names.length === 0) return;
  const looked = await perRepo(repos, (repo) => withinTime(askArchive(repo, names, cluster), LOOK_MS, ctx));
  for (const result of looked) {
    if (!result.ok)
      ctx.log.debug(`repo${result.repoIndex}: unable to compare the archive: ${toBackupError(result.error).message}`);
    const lacked = result.ok ? result.value.lacked : names;
    for (const name of lacked) missingWal.add(result.repoIndex, name, cluster);
    if (lacked.length === 0) continue;
    const doubt = result.ok ? "lacks" : "may lack";
    ctx.log.info(
      `repo${result.repoIndex} ${doubt} ${lacked.length} WAL file(s) that this server received before its promotion; this server copies them`,
    );
  }
}

/**
 * {@link recordInherited}, then immediately copies what `repos` lack, for a command without a later worker: PostgreSQL
 * keeps such WAL only until its next checkpoints. Files not copied within `timeoutMs` stay recorded for `heal`. Never
 * throws: the history itself is archived in any case.
 */
export async function settleInherited(historyName: string, parts: SettleParts, ctx: Context): Promise<void> {
  await noteInherited(historyName, parts, ctx);
  await copyInherited(historyName, parts, ctx);
}

/** {@link recordInherited} with a warning in place of an error. */
export function noteInherited(historyName: string, parts: InheritedParts, ctx: Context): Promise<void> {
  return recordInherited(historyName, parts, ctx).catch(warnOf(historyName, ctx));
}

function warnOf(historyName: string, { log }: Context): (error: unknown) => void {
  return (error) => log.warn(`WAL from before ${historyName}: ${toBackupError(error).message}`);
}

/** The second half of {@link settleInherited}. */
export async function copyInherited(historyName: string, parts: SettleParts, ctx: Context): Promise<void> {
  const { cluster, missingWal, local, repos, timeoutMs } = parts;
  const warn = warnOf(historyName, ctx);
  const reposBehind = repos.filter((repo) => missingWal.list(repo.key, cluster).length > 0);
  if (reposBehind.length === 0 || !parts.mayWrite()) return;
  // From pg_wal alone: a hanging repository must not be searched for the file.
  const paid = perRepo(reposBehind, (repo) =>
    copyMissingWal(repo, [repo], cluster, { missingWal, local, claims: null, mayLetGo: false }, ctx),
  );
  const results = await withinTime(paid, timeoutMs, ctx).catch(warn);
  for (const result of results ?? []) if (!result.ok) warn(result.error);
  for (const repo of reposBehind) {
    const names = missingWal.list(repo.key, cluster);
    if (names.length > 0)
      ctx.log.warn(
        `${repo.name} still lacks ${names.length} WAL file(s). Run pgbackstop heal before PostgreSQL removes them from pg_wal.`,
      );
  }
}

/**
 * Complete segments before the point where the next timeline began: PostgreSQL archives the segment with that point as
 * a partial one. And histories: a recovery looks for the next timeline until one has none.
 */
function isInherited(name: string, ancestors: readonly TimelineAncestor[], walSegmentSizeBytes: number): boolean {
  const parsed = parseWalName(name);
  const ancestor = ancestors.find(({ timeline }) => timeline === parsed?.timeline);
  if (ancestor === undefined) return false;
  if (parsed?.kind === "history") return true;
  return (
    parsed?.kind === "segment" && lsnOfSegment(name, walSegmentSizeBytes) + BigInt(walSegmentSizeBytes) <= ancestor.lsn
  );
}

export interface ArchiveAnswer {
  /** Those of the names that the archive has. */
  readonly held: ReadonlySet<string>;
  /** Those that the repository needs and lacks. */
  readonly lacked: readonly string[];
}

/**
 * Without a backup a repository needs no WAL; WAL before its oldest backup has expired. What it does not need it may
 * hold, or not.
 */
export async function askArchive(
  repo: Repository,
  names: readonly string[],
  cluster: ClusterIdentity,
): Promise<ArchiveAnswer> {
  const [entry] = archiveIdsOf(await loadArchiveInfo(repo), cluster);
  const held = new Set<string>();
  if (entry === undefined) return { held, lacked: [] };
  const starts = (await loadBackupInfo(repo)).backups.flatMap(({ archiveStart }) =>
    archiveStart === null ? [] : [archiveStart],
  );
  const [neededFrom] = starts.sort();
  const archiveId = archiveIdOf(entry);
  const isNeeded = (name: string): boolean => neededFrom !== undefined && name >= neededFrom;
  const segments = names.filter(isSegment);
  if (names.some((name) => !isSegment(name) && isNeeded(name)))
    for (const name of (await listArchive(repo, archiveId)).histories) held.add(name);
  const wanted = new Set(segments);
  const directories = new Set(segments.map((name) => name.slice(0, DIRECTORY_LENGTH)));
  // After a long absence most of the directories do not exist.
  for (const directory of directories.size > 1 ? await segmentDirectories(repo, archiveId) : directories)
    if (directories.has(directory))
      for (const wal of await segmentsIn(repo, archiveId, directory)) if (wanted.has(wal.name)) held.add(wal.name);
  return { held, lacked: names.filter((name) => isNeeded(name) && !held.has(name)) };
}

/** @throws archiveTimeout (82) */
export async function withinTime<T>(promise: Promise<T>, timeoutMs: number, { clock, signal }: Context): Promise<T> {
  const done = new AbortController();
  const timeout = clock.sleep(timeoutMs, AbortSignal.any([signal, done.signal])).then((): never => {
    throw fail("archiveTimeout", `no answer within ${timeoutMs}ms`);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    done.abort();
    timeout.catch(() => {});
    promise.catch(() => {});
  }
}
