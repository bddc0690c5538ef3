/**
 * `find`: shows what was destroyed between two times, by which transaction, and where a recovery must end just before
 * it.
 *
 * It reads WAL from the repositories, and unarchived WAL from pg_wal, segment by segment. Memory holds one segment, the
 * effects of running transactions, and the answer. An unreadable span is reported as part of the answer: its commits
 * are unknown.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { parseLsn, timelineOf } from "../../format/wal/walSegment";
import type { Session } from "../../postgres/session";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { ActivityTracker } from "./activity";
import { listClusters, WalArchive } from "./archive";
import { KnownNames, type NamesBackup } from "./knownNames";
import { type FindOptions, type SearchResult, Search } from "./search";
import { StreamedWal } from "./streamed";
import { type BackupEnd, formatTime } from "./recoveryTargets";
import { findFirstTime, findWindow } from "./findWindow";

export interface FindDeps {
  readonly repos: readonly Repository[];
  openProduction(database?: string): Promise<Session>;
}

/**
 * Searches one cluster's WAL: the present one's, or after a `stanza-upgrade` the one's that ran at the end of the time
 * range.
 * @throws repoInvalid, fileMissing without WAL to read
 */
export async function find(deps: FindDeps, options: FindOptions, ctx: Context): Promise<SearchResult> {
  const { archive, beginUs, notes } = await openArchive(deps.repos, options, ctx);
  const window = await findWindow(archive, options.fromUs, ctx);
  if (window === null) throw fail("fileMissing", `no repository has WAL of timeline ${archive.timeline}`);
  const backups = await listBackupEnds(deps.repos, archive);
  const tracker = new ActivityTracker(Number(archive.version), window.wholeFromXid);
  const backup = backupForNames(deps.repos, backups, window.lsn);
  const names = await KnownNames.open({ ...deps, systemId: archive.systemId, backup, catalogs: tracker.catalogs }, ctx);
  const streamed = await StreamedWal.open(archive, ctx);
  const search = new Search({ archive, streamed, tracker, names, backups }, options, ctx);
  await search.run(window.segments);
  const result = search.result(window.segments[0]?.lsn ?? 0n);
  return { ...result, beginUs, notes: [...notes, ...result.notes] };
}

interface OpenedArchive {
  readonly archive: WalArchive;
  /** {@link SearchResult.beginUs} */
  readonly beginUs: bigint | null;
  readonly notes: readonly string[];
}

/** The archive of the newest cluster that has WAL from before the end of the time range. */
async function openArchive(
  repos: readonly Repository[],
  { fromUs, server, timeline, toUs, walDirectory }: FindOptions,
  ctx: Context,
): Promise<OpenedArchive> {
  const begin = (firstUs: bigint | null): Omit<OpenedArchive, "archive"> => ({
    beginUs: firstUs !== null && firstUs > fromUs ? firstUs : null,
    notes: [],
  });
  const [present, ...former] = await listClusters(repos);
  if (present === undefined || former.length === 0) {
    const archive = await WalArchive.open(repos, { timeline, walDirectory, server }, ctx);
    return { archive, ...begin(await findFirstTime(archive, ctx)) };
  }
  const clusters = [present, ...former];
  let newest: WalArchive | BackupError | null = null;
  let oldestUs: bigint | null = null;
  for (const [index, cluster] of clusters.entries()) {
    const opened: WalArchive | BackupError = await WalArchive.open(
      repos,
      { timeline, walDirectory, server, cluster },
      ctx,
    ).catch((error: unknown) => toBackupError(error));
    newest ??= opened;
    // After an upgrade there may be no WAL yet.
    if (!(opened instanceof WalArchive)) continue;
    // A previous cluster writes nothing more.
    if (index > 0) opened.isLocalThere = true;
    const firstUs = await findFirstTime(opened, ctx);
    oldestUs = firstUs ?? oldestUs;
    if (firstUs !== null && firstUs >= toUs) continue;
    const before = clusters[index + 1];
    if (before === undefined || firstUs === null || firstUs <= fromUs) return { archive: opened, ...begin(firstUs) };
    const from = `the WAL of PostgreSQL ${opened.version} begins at ${formatTime(firstUs)}`;
    const note = `${from}: --to='${formatTime(firstUs)}' searches that of PostgreSQL ${before.version}, from before stanza-upgrade`;
    return { archive: opened, beginUs: null, notes: [note] };
  }
  if (newest instanceof WalArchive) return { archive: newest, ...begin(oldestUs) };
  throw newest ?? fail("fileMissing", "no repository has WAL");
}

/** Backups of this cluster on the timeline's path. */
async function listBackupEnds(repos: readonly Repository[], archive: WalArchive): Promise<BackupEnd[]> {
  const infos = await perRepo(repos, loadBackupInfo);
  return infos.flatMap((info) =>
    !info.ok
      ? []
      : info.value.backups.flatMap(({ archiveStart, dbId, label, lsnStop }): BackupEnd[] => {
          const timeline = archiveStart === null ? null : timelineOf(archiveStart);
          const isOwn = info.value.history.some(({ id, systemId }) => id === dbId && systemId === archive.systemId);
          // On another timeline only backups that ended before the path left it.
          const isOnPath =
            timeline !== null && lsnStop !== undefined && archive.path.passesPoint(timeline, parseLsn(lsnStop));
          return isOwn && isOnPath ? [{ label, repoIndex: info.repoIndex, lsnStop }] : [];
        }),
  );
}

/** The newest backup that ended before the start of reading, else the oldest: most names do not change. */
function backupForNames(repos: readonly Repository[], ends: readonly BackupEnd[], lsn: bigint): NamesBackup | null {
  const ordered = ends.toSorted((left, right) => (stopOf(left) < stopOf(right) ? -1 : 1));
  const end = ordered.findLast((each) => stopOf(each) <= lsn) ?? ordered[0];
  const repo = repos.find(({ key }) => key === end?.repoIndex);
  return end === undefined || repo === undefined ? null : { repo, label: end.label };
}

function stopOf({ lsnStop }: BackupEnd): bigint {
  return parseLsn(lsnStop);
}
