/**
 * Chooses the repository whose turn it is, and one of its backups: the first step of every drill, wherever it restores.
 */
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { formatSize } from "../../base/units";
import type { BackupInfo } from "../../format/repository/backupInfo";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { currentBackupsOf, findNewestWal } from "../info/destinations";
import { type ArchiveHistoryEntry, archiveIdOf, currentHistory } from "../../format/repository/archiveInfo";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import { archiveIdOfBackup, isOnPath, type TargetTimeline } from "../restore/select";
import { followedTimeline, timelineOption } from "../restore/timelines";
import { listTurns } from "./history";
import type { DrillJournal } from "./drillJournal";
import { trimmedLabels } from "../expire/archivePlan";
import { fetchedBytes, type Picked, pickBackup, planTurn } from "./drillPlan";
import { segmentSizeOf } from "../../format/wal/walSegment";
import type { DrillPick } from "./record";

export interface ChooseOptions {
  readonly repoIndex: number | undefined;
  /** Repositories that take turns; undefined means all. */
  readonly repoIndexes: readonly number[] | undefined;
  readonly pick: DrillPick | undefined;
  readonly set: string | undefined;
  /** The drill does not begin if it would restore or fetch more. */
  readonly maxBytes: number | undefined;
}

export interface Chosen {
  readonly repo: Repository;
  readonly info: BackupInfo;
  readonly picked: Picked;
  readonly walSegmentSizeBytes: number;
  /** The newest segment that recovery may use, of the backup's cluster; null if the archive has no WAL. */
  readonly newestWal: string | null;
  /** The value of `--target-timeline` with which a restore follows production's history; undefined leaves it to it. */
  readonly targetTimeline: string | undefined;
}

/**
 * Writes its results into the journal, even if it ends with an error.
 * @throws runtime above `maxBytes`, and errors of reading a repository
 */
export async function choose(
  repos: readonly Repository[],
  options: ChooseOptions,
  server: ServerHistory | null,
  journal: DrillJournal,
  ctx: Context,
): Promise<Chosen> {
  const { maxBytes, pick, repoIndex, repoIndexes, set } = options;
  const history = repoIndex !== undefined && pick !== undefined ? [] : await listTurns(repos, ctx);
  const turn = planTurn({ repoIndexes: repoIndexes ?? repos.map(({ key }) => key), history, repoIndex, pick });
  journal.turn = turn;
  const repo = repos.find(({ key }) => key === turn.repo);
  if (repo === undefined)
    throw fail("optionInvalidValue", `'${turn.repo}' is not allowed for 'repo' option: it is not configured`);
  ctx.log.info(`drill ${journal.id}: ${repo.name}, ${set ?? `${turn.pick} backup`}`);
  const info = await loadBackupInfo(repo);
  const [current, entries] = [currentHistory<ArchiveHistoryEntry>(info), currentBackupsOf(info)];
  const isOwn = server?.systemId === current.systemId;
  const ended = entries.map(({ stoppedAtS }) => stoppedAtS);
  // Without a backup the greatest end is -Infinity.
  journal.newestAgeS = Math.max(0, journal.beganAtMs / 1000 - Math.max(...ended));
  const [archiveId, walSegmentSizeBytes] = [archiveIdOf(current), segmentSizeOf(entries) ?? WAL_SEGMENT_SIZE_BYTES];
  const asked = { type: "default", targetTimeline: undefined, set, server: isOwn ? server : null } as const;
  const followed = await followedTimeline(repos, { id: archiveId, entries }, asked, ctx);
  const newest = await newestOnPath(repo, archiveId, followed);
  const draw = (): number => Buffer.from(ctx.random.bytes(4)).readUInt32LE() / 2 ** 32;
  const random = [draw(), draw()] as const;
  const picked = pickBackup({
    repoIndex: repo.key,
    pick: turn.pick,
    backups: info.backups.filter(
      (entry) => set !== undefined || followed === null || entry.dbId !== info.currentId || isOnPath(entry, followed),
    ),
    currentId: info.currentId,
    newestWal: newest,
    walSegmentSizeBytes,
    trimmed: trimmedLabels(info.backups, info.currentId, repo.retention, ctx.clock.nowMs()),
    set,
    random,
  });
  journal.picked = picked;
  if (picked.note !== undefined) ctx.log.info(`drill: ${picked.note}`);
  const newestWal = await newestWalOf(picked, { repo, info, newest });
  const { sizeBytes } = picked.backup;
  const fetched = fetchedBytes(picked, newestWal, walSegmentSizeBytes);
  const cost = `the drill restores ${formatSize(sizeBytes)} and fetches up to ${formatSize(fetched)}`;
  ctx.log.info(cost);
  if (maxBytes !== undefined && Math.max(fetched, sizeBytes) > maxBytes)
    throw fail("runtime", `${cost}, allowed are ${formatSize(maxBytes)}`, {
      hint: "Allow more with --max-bytes, or choose a smaller backup with --set.",
    });
  const along = picked.backup.dbId === info.currentId ? (followed ?? undefined) : undefined;
  const targetTimeline = timelineOption({ type: picked.type, targetTimeline: undefined }, along);
  return { repo, info, picked, walSegmentSizeBytes, newestWal, targetTimeline };
}

/** The newest segment of the followed timeline, or of its nearest ancestor that has one. */
async function newestOnPath(
  repo: Repository,
  archiveId: string,
  followed: TargetTimeline | null,
): Promise<string | null> {
  if (followed === null) return (await findNewestWal(repo, archiveId))?.name ?? null;
  for (const timeline of [followed.timeline, ...(followed.ancestors ?? []).map((each) => each.timeline).reverse()]) {
    const newest = await findNewestWal(repo, archiveId, timeline);
    if (newest !== null) return newest.name;
  }
  return null;
}

/** The WAL of a cluster before an upgrade is in another archive. */
async function newestWalOf(
  { backup }: Picked,
  { info, newest, repo }: { readonly repo: Repository; readonly info: BackupInfo; readonly newest: string | null },
): Promise<string | null> {
  if (backup.dbId === info.currentId) return newest;
  return (await findNewestWal(repo, archiveIdOfBackup(info, backup)))?.name ?? null;
}
