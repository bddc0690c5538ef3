/** Chooses the backup of a restore and opens the repositories that hold it. */
import { formatLocalSeconds } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { parseLsn } from "../../format/wal/walSegment";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import type { ServerHistory } from "../../recoverability/followedTimeline";
import type { RecoveryRequest } from "./recovery";
import {
  parseTargetTime,
  type RepoBackups,
  requireCalendarDate,
  type Selected,
  selectBackup,
  type SelectRequest,
  type TargetTimeline,
} from "./select";
import { type OpenRepo, Sources } from "./sources";
import { loadTimelines } from "./timelines";

export interface ChooseOptions {
  /** `--set`; undefined or `latest` chooses. */
  readonly set: string | undefined;
  readonly recovery: RecoveryRequest;
  /** The server whose history is followed, on this machine; null if the machine has none of this cluster. */
  readonly server: ServerHistory | null;
}

export interface OpenedSources {
  readonly sources: Sources;
  /** The timeline that recovery follows; undefined when it stays on the backup's own, or is unknown. */
  readonly followed: TargetTimeline | undefined;
}

/**
 * Chooses the timeline and the backup, and reports why better candidates were refused. If no repository can give its
 * manifest, it chooses again among the other repositories.
 */
export async function openSources(
  repos: readonly Repository[],
  options: ChooseOptions,
  ctx: Context,
): Promise<OpenedSources> {
  const infos = await perRepo(repos, loadBackupInfo);
  for (const info of infos)
    if (!info.ok) ctx.log.warn(`repo${info.repoIndex}: [${info.error.name}] ${info.error.message}`);
  const readable = infos.flatMap((info, index): OpenRepo[] =>
    info.ok ? [{ repo: repos[index] as Repository, info: info.value }] : [],
  );
  let candidates = infos.map(
    (info): RepoBackups => ({
      repoIndex: info.repoIndex,
      info: info.ok ? info.value : null,
      error: info.ok ? null : info.error,
    }),
  );
  const request = await selectRequest(readable, options, ctx);
  let first: BackupError | undefined;
  for (;;) {
    const selected = selectOr(candidates, request, first);
    for (const reason of selected.refused) ctx.log.info(`skipped ${reason}`);
    warnOfTarget(selected, options, ctx);
    try {
      const sources = await Sources.open(readable, selected, ctx);
      const { manifest, repo } = sources;
      const start = manifest.options.online
        ? `, recovery will start at ${formatLocalSeconds(manifest.startedAtS * 1000)}`
        : "";
      ctx.log.info(`${repo.name}: restore backup set ${manifest.label}${start}`);
      return { sources, followed: selected.timeline };
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      first ??= toBackupError(error);
      // Each round removes one repository.
      candidates = candidates.filter((candidate) => candidate.repoIndex !== selected.repoIndex);
      ctx.log.warn(`repo${selected.repoIndex}: no repository can restore backup ${selected.entry.label}`);
    }
  }
}

async function selectRequest(
  readable: readonly OpenRepo[],
  options: ChooseOptions,
  ctx: Context,
): Promise<SelectRequest> {
  const { type, target } = options.recovery;
  if (type === "time" && target !== undefined) requireCalendarDate(target);
  const isChosen = options.set !== undefined && options.set !== "latest";
  return {
    set: options.set,
    type,
    target,
    targetTimeS: type === "time" && target !== undefined && !isChosen ? parseTargetTime(target) : null,
    timelines: await loadTimelines(readable, { ...options.recovery, set: options.set, server: options.server }, ctx),
  };
}

/** @throws `earlier` if there is one and no candidate is left */
function selectOr(
  candidates: readonly RepoBackups[],
  request: SelectRequest,
  earlier: BackupError | undefined,
): Selected {
  try {
    return selectBackup(candidates, request);
  } catch (error) {
    throw earlier ?? error;
  }
}

/**
 * A backup named by label is used as asked. The user should know beforehand that PostgreSQL cannot recover it to this
 * target.
 */
function warnOfTarget({ entry }: Selected, { recovery: { type, target }, set }: ChooseOptions, ctx: Context): void {
  if (set === undefined || set === "latest" || target === undefined) return;
  const endsBehind =
    type === "lsn"
      ? entry.lsnStop !== undefined && parseLsn(entry.lsnStop) > parseLsn(target)
      : type === "time" && entry.stoppedAtS >= (findTargetTimeS(target) ?? Number.POSITIVE_INFINITY);
  if (endsBehind)
    ctx.log.warn(`backup ${entry.label} ends after the target '${target}': PostgreSQL will refuse to recover to it`);
}

/** PostgreSQL understands more time formats than the choice of a backup needs. */
function findTargetTimeS(target: string): number | null {
  try {
    return parseTargetTime(target);
  } catch {
    return null;
  }
}
