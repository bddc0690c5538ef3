/**
 * Loads the timeline that recovery will follow and its ancestors, so that the selection can check that a backup lies on
 * the path to it ("pgbackrest-format" 17, step 3; pgBackRest 2.55 and newer, "command/restore/timeline").
 */
import { collect, textOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { LIMITS } from "../../base/limits";
import { toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { parseHistory, type TimelineAncestor } from "../../format/wal/timeline";
import { listArchive } from "../../repository/expireStore";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { findWal, openWal } from "../../repository/walStore";
import { historyName } from "../../format/wal/walSegment";
import { type RestoreType, TIMELINE_TYPES } from "./recovery";
import { archiveIdOfBackup, parseTimeline, type TargetTimeline } from "./select";
import type { OpenRepo } from "./sources";

/**
 * Timelines by archive id. Empty when recovery stays on the backup's timeline, or when the timeline cannot be
 * determined (reported as a warning). PostgreSQL 12 and newer follow the latest timeline by default.
 * @throws dbMismatch (58) for an invalid timeline
 */
export async function loadTimelines(
  repos: readonly OpenRepo[],
  request: { readonly type: RestoreType; readonly targetTimeline: string | undefined },
  ctx: Context,
): Promise<ReadonlyMap<string, TargetTimeline>> {
  const timelines = new Map<string, TargetTimeline>();
  const wanted = parseTimeline(request.targetTimeline ?? "latest");
  if (wanted === null || !TIMELINE_TYPES.includes(request.type)) return timelines;
  const archiveIds = new Set(repos.flatMap(({ info }) => info.backups.map((entry) => archiveIdOfBackup(info, entry))));
  for (const archiveId of archiveIds) {
    const timeline = wanted === "latest" ? await findLatest(repos, archiveId, ctx) : wanted;
    // The first timeline has no history file; without any history file it is the only one.
    if (timeline === null || timeline === 1) {
      if (wanted === 1) timelines.set(archiveId, { timeline: 1, isNamed: true, ancestors: [] });
      continue;
    }
    timelines.set(archiveId, {
      timeline,
      isNamed: wanted !== "latest",
      ancestors: await loadAncestors(repos, archiveId, timeline, ctx),
    });
  }
  return timelines;
}

/** The highest timeline with a history file in any repository; null if absent. */
async function findLatest(repos: readonly OpenRepo[], archiveId: string, ctx: Context): Promise<number | null> {
  const results = await perRepo(
    repos.map(({ repo }) => repo),
    async (repo) =>
      Math.max(0, ...(await listArchive(repo, archiveId)).histories.map((name) => Number.parseInt(name, 16))),
  );
  for (const result of results)
    if (!result.ok)
      ctx.log.warn(
        `repo${result.repoIndex}: unable to check timelines: [${result.error.name}] ${result.error.message}`,
      );
  const highest = Math.max(0, ...results.map((result) => (result.ok ? result.value : 0)));
  return highest === 0 ? null : highest;
}

/** From the first repository that can read the history file; null if absent. */
async function loadAncestors(
  repos: readonly OpenRepo[],
  archiveId: string,
  timeline: number,
  ctx: Context,
): Promise<readonly TimelineAncestor[] | null> {
  const name = historyName(timeline);
  for (const { repo } of repos) {
    try {
      const text = await readHistory(repo, archiveId, name, async () =>
        repo.cipherPass === null ? null : ((await loadArchiveInfo(repo)).cipherPass ?? null),
      );
      if (text !== null) return parseHistory(text);
    } catch (error) {
      const { name: kind, message } = toBackupError(error);
      ctx.log.warn(`${repo.name}: unable to read ${name}: [${kind}] ${message}`);
    }
  }
  return null;
}

/**
 * The text of a stored history file; null when the repository has none. `findPass` returns the archive's sub-passphrase
 * if there is one.
 */
export async function readHistory(
  repo: Repository,
  archiveId: string,
  name: string,
  findPass: () => Promise<string | null>,
): Promise<string | null> {
  const [stored] = await findWal(repo, archiveId, name);
  if (stored === undefined) return null;
  return textOf(await collect(await openWal(repo, archiveId, stored, await findPass()), LIMITS.walTextSizeBytesMax));
}
