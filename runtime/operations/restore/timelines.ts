/**
 * Which timeline a recovery follows, so that the selection can check that a backup lies on the way to it
 * ("pgbackrest-format" 17, step 3; pgBackRest 2.55 and newer, "command/restore/timeline"). A named one is stock's rule;
 * without a name, ../../recoverability/followedTimeline.ts decides.
 */
import { WAL_SEGMENT_SIZE_BYTES } from "../../base/limits";
import type { Context } from "../../base/context";
import { BackupError } from "../../base/errors";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { parseLsn, segmentSizeOf, timelineOf } from "../../format/wal/walSegment";
import type { History, HistoryPoint } from "../../recoverability/branches";
import { branchText, follow, isArchived, type ServerHistory } from "../../recoverability/followedTimeline";
import { factsOf } from "../../recoverability/facts";
import { loadHistory, readAncestors } from "../../recoverability/loadHistory";
import { withWrittenTimes } from "../../recoverability/writtenTimes";
import type { Repository } from "../../repository/repository";
import { type RecoveryRequest, type RestoreType, TIMELINE_TYPES } from "./recovery";
import { archiveIdOfBackup, parseTimeline, systemIdOf, type TargetTimeline } from "./select";
import type { OpenRepo } from "./sources";

export interface TimelineRequest {
  readonly type: RestoreType;
  readonly targetTimeline: string | undefined;
  /** `--set`; only branches that pass a named backup count. */
  readonly set: string | undefined;
  /** This cluster's server on this machine; null if the machine has no such server. */
  readonly server: ServerHistory | null;
}

/**
 * Timelines by archive id, or the question that only the user can answer. Absent when recovery stays on the backup's
 * timeline, or when the timeline cannot be determined (reported as a warning).
 * @throws dbMismatch (58) for an invalid timeline
 */
export async function loadTimelines(
  repos: readonly OpenRepo[],
  request: TimelineRequest,
  ctx: Context,
): Promise<ReadonlyMap<string, TargetTimeline | BackupError>> {
  const archives = new Map<string, { readonly info: BackupInfo; readonly entry: BackupInfoEntry }>();
  for (const { info } of repos)
    for (const entry of info.backups) archives.set(archiveIdOfBackup(info, entry), { info, entry });
  const timelines = new Map<string, TargetTimeline | BackupError>();
  for (const [archiveId, { entry, info }] of archives) {
    const isOwn = request.server?.systemId === systemIdOf(info, entry);
    try {
      const followed = await followedTimeline(
        repos.map(({ repo }) => repo),
        { id: archiveId, entries: entriesOf(repos, archiveId) },
        { ...request, server: isOwn ? request.server : null },
        ctx,
      );
      if (followed !== null) timelines.set(archiveId, followed);
    } catch (error) {
      // Backups of another archive may be chosen.
      if (!(error instanceof BackupError) || ctx.signal.aborted || archives.size === 1) throw error;
      timelines.set(archiveId, error);
    }
  }
  return timelines;
}

/**
 * The timeline of one archive; null as in {@link loadTimelines}.
 * @throws dbMismatch (58), also when several could be followed
 */
export async function followedTimeline(
  repos: readonly Repository[],
  { entries, id }: { readonly id: string; readonly entries: readonly BackupInfoEntry[] },
  request: TimelineRequest,
  ctx: Context,
): Promise<TargetTimeline | null> {
  const warn = (text: string): void => ctx.log.warn(text);
  const archives = factsOf(repos).map((facts) => ({ facts, archiveId: id }));
  const wanted = parseTimeline(request.targetTimeline ?? "latest");
  const staysOnOwn = request.set !== undefined && request.set !== "latest" && !TIMELINE_TYPES.includes(request.type);
  if (wanted === null || staysOnOwn) return null;
  if (wanted !== "latest") {
    const ancestors = wanted === 1 ? [] : await readAncestors(archives, wanted, warn);
    return { timeline: wanted, isNamed: true, ancestors, option: String(wanted) };
  }
  const listed = await loadHistory(archives, segmentSizeOf(entries) ?? WAL_SEGMENT_SIZE_BYTES, warn);
  const latest = Math.max(0, ...listed.stored.map((each) => (each.historyAtMs.size === 0 ? 0 : each.timeline)));
  if (request.targetTimeline !== undefined) return latest === 0 ? null : along(listed, latest, latest, false);
  const history = await withWrittenTimes(listed, archives, warn);
  const server = request.type === "standby" ? null : request.server;
  const asked = { server, point: pointOf(entries, request.set), option: "target-timeline" };
  const followed = follow(history, asked);
  if (followed === null) return null;
  const { others, timeline, why } = followed;
  if (server !== null && !isArchived(history, server))
    warn(`the server here is on timeline ${server.timeline}, and no repository has WAL of it`);
  if (history.stored.length > 1) ctx.log.info(`follow timeline ${timeline}: ${why}`);
  for (const branch of others) warn(`not followed, and living: ${branchText(branch)}`);
  return along(history, timeline, Math.max(latest, 1), true);
}

function entriesOf(repos: readonly OpenRepo[], archiveId: string): BackupInfoEntry[] {
  return repos.flatMap(({ info }) => info.backups.filter((entry) => archiveIdOfBackup(info, entry) === archiveId));
}

function along({ stored }: History, timeline: number, latest: number, isNamed: boolean): TargetTimeline {
  const ancestors = stored.find((each) => each.timeline === timeline)?.ancestors ?? null;
  // PostgreSQL finds the latest one itself, and knows no other one without a history.
  const isLatest = timeline === latest || ancestors === null;
  return { timeline, isNamed, ancestors, option: isLatest ? "latest" : String(timeline) };
}

/** The end of a named backup. */
function pointOf(entries: readonly BackupInfoEntry[], set: string | undefined): HistoryPoint | null {
  const entry = entries.find(({ label }) => label === set);
  if (entry === undefined || entry.archiveStart === null) return null;
  const end = entry.lsnStop ?? entry.lsnStart;
  return end === undefined ? null : { timeline: timelineOf(entry.archiveStart), lsn: parseLsn(end) };
}

/**
 * The value of `--target-timeline` with which another process follows the same timeline. Undefined leaves it to that
 * process, as for types that stay on the timeline of the backup: they allow no such option, and the backup is named.
 */
export function timelineOption(
  { targetTimeline, type }: Pick<TimelineRequest, "targetTimeline" | "type">,
  followed: TargetTimeline | undefined,
): string | undefined {
  if (targetTimeline !== undefined || followed === undefined) return targetTimeline;
  return TIMELINE_TYPES.includes(type) ? followed.option : undefined;
}

/** The recovery with the followed timeline in it, unless PostgreSQL follows that one by itself. */
export function recoveryAlong<T extends Omit<RecoveryRequest, "restoreCommand">>(
  recovery: T,
  followed: TargetTimeline | undefined,
): T {
  const option = timelineOption(recovery, followed);
  const isDefault = recovery.targetTimeline === undefined && option === "latest";
  return isDefault ? recovery : { ...recovery, targetTimeline: option };
}
