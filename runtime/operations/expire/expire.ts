/**
 * `expire`: removes backups, WAL and old manifests of the history that retention no longer keeps.
 *
 * Each repository is separate; a failed one is an error in its own result. Messages are stock's, because scripts search
 * for them. `dryRun` reports the same plan and writes nothing.
 */
import { isDeepStrictEqual } from "node:util";
import { SEGMENT_LENGTH } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { formatLabel, fullLabelOf, labelDayS } from "../../format/repository/label";
import {
  archiveIdPath,
  archivePath,
  attemptPath,
  backupHistoryPath,
  backupPath,
  copyOf,
  holdPath,
  manifestHistoryPath,
  manifestPath,
  walPath,
} from "../../format/repository/repoPath";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import type { BackupInfo, BackupInfoEntry } from "../../format/repository/backupInfo";
import { findAttempt } from "../../repository/attempt";
import { hasManifest, listHistory, listLabels } from "../../repository/backupStore";
import {
  hasManifestCopy,
  isRemovedElsewhere,
  isUnfinishedCopy,
  leaveTombstone,
  linkLatest,
  listArchive,
  listWalDirectory,
  loadUnfinishedPrior,
  markExpired,
  removeBackupPath,
  removeManifests,
} from "../../repository/expireStore";
import { fenceBackupInfo, loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import type { Lease } from "../../repository/lease";
import {
  hiddenText,
  loadReconstructedInfo,
  MANIFEST_GONE,
  type Reconstructed,
  saveListed,
} from "../../repository/reconstruct";
import type { Repository } from "../../repository/repository";
import type { Retention } from "../../repository/retention";
import { listArchiveIds } from "../../repository/walStore";
import { isOpenedOf } from "../open/openLocation";
import { expireServerFiles } from "../shared/serverFiles";
import { expireStream } from "../stream/expireStream";
import {
  isDirectoryMixed,
  isFileExpired,
  isHistoryExpired,
  isWholeDirectoryExpired,
  planArchives,
  type TrimArchive,
} from "./archivePlan";
import { type Hold, holdOf, holdText, isHeldAt, type RecordedHolds, withHolds } from "./hold";
import { loadHolds } from "./holdRecord";
import { removeLeftovers } from "./temporaryFiles";
import { calendarText } from "./calendarText";
import {
  type Ages,
  type ExpirePlan,
  type ExpireRequest,
  keepOpened,
  type OpenedUse,
  pausesIn,
  planExpire,
} from "./expirePlan";

export interface Expired {
  /** Removed labels, ascending. */
  readonly labels: readonly string[];
  /** True when this repository had the requested set. */
  readonly hasSet: boolean;
  /** For people: what stays, what goes, and since when any point in time can be restored. Of a dry run by retention. */
  readonly calendar?: string;
}

const DAY_S = 86_400;

/**
 * A run that misses something removes nothing. Labels without a backup leave backup.info, and the next run sees the
 * same and continues.
 * @throws lockAcquire (50) when the lease is lost, or another process has changed backup.info
 */
export async function expireRepository(
  repo: Repository,
  retention: Retention,
  request: ExpireRequest,
  lease: Lease,
  ctx: Context,
): Promise<Expired> {
  await lease.check();
  const run: Run = {
    repo,
    request,
    ctx,
    report: reporterOf(repo, request, ctx),
    lease,
  };
  const shown = await loadReconstructedInfo(repo, lease, ctx);
  const directories = await findDirectories(repo, shown);
  if (shown.lost.length + shown.doubts.length + directories.doubts.length > 0)
    return reportMissing(run, shown, directories.doubts);
  const holds = await loadHolds(repo);
  const info = restoreHolds(run, shown.info, holds);
  const reconstructed = { ...shown, info };
  const opened = await usesOf(run, info);
  const { ages, plan: planned } = await planBySigns(run, info, retention);
  // Before: retention does not count on a backup that only stays because it is open.
  const damaged = damagedOldest(planned, request);
  const plan = keepOpened(planned, info, opened);
  if (damaged !== null && request.refusePageErrors && plan.sets.length > 0)
    throw fail("checksum", damaged, { hint: PAGE_ERROR_HINT, repoIndex: repo.key });
  for (const note of plan.notes) run.report(note.level, note.text);
  if (plan.latestLost !== null) warnLatest(run, plan.latestLost);
  for (const set of plan.sets)
    run.report("info", `expire ${set.why} backup ${set.labels.length > 1 ? "set " : ""}${set.labels.join(", ")}`);
  await takeOut(run, reconstructed, plan);
  const held = heldOf(run, directories, holds);
  const unlisted = new Map([...directories.unlisted].filter(([label]) => !held.has(label)));
  await removeDirectories(run, unlisted, plan, info.cipherPass ?? null);
  await removeHolds(run, holds, new Set([...held, ...plan.kept.map(({ label }) => label)]));
  await removeLinks(run, reconstructed.links, plan);
  await removeServerFiles(run, plan.kept);
  const recovering = new Set(opened.flatMap(({ isRecovering, label }) => (isRecovering ? [label] : [])));
  await expireArchives(run, info, plan, recovering, retention);
  await run.lease.keep();
  const counted = plan.kept.filter(({ label }) => !plan.extra.has(label) || recovering.has(label));
  const { refused, removed } = await expireStream(repo, counted, request.dryRun);
  for (const path of removed) run.report("detail", `remove streamed WAL ${path}`);
  if (refused[0] !== undefined)
    run.report("warn", `${refused.length} piece(s) of streamed WAL stay for now: ${refused[0].message}`);
  await expireHistory(run, plan.kept, retention);
  for (const path of await removeLeftovers(repo, ctx.clock.nowMs(), request.dryRun))
    run.report("info", `remove leftover of an interrupted write ${path}`);
  if (damaged !== null) ctx.log.warn(`${repo.name}: ${damaged}\nHINT: ${PAGE_ERROR_HINT}`);
  return {
    labels: plan.sets.flatMap((set) => set.labels).sort(),
    hasSet: request.set === undefined || info.backups.some(({ label }) => label === request.set),
    ...(request.dryRun && request.set === undefined
      ? { calendar: calendarText({ repoName: repo.name, info, plan, retention, ages }) }
      : {}),
  };
}

/** The list with holds that backup.info has lost: another program wrote it from an old copy, or it was rebuilt. */
function restoreHolds(run: Run, info: BackupInfo, holds: RecordedHolds): BackupInfo {
  const complete = withHolds(info, holds);
  for (const [index, entry] of complete.backups.entries())
    if (entry !== info.backups[index]) reportHeld(run, entry.label, holdOf(entry), "backup.info lacked the hold");
  return complete;
}

/** Directories of held backups that cannot be listed, and of their sets: somebody may still put them right. */
function heldOf(run: Run, { unlisted }: Directories, holds: RecordedHolds): ReadonlySet<string> {
  const nowMs = run.ctx.clock.nowMs();
  const labels = [...unlisted.keys()];
  const held = labels.filter((label) => isHeldAt(holds.get(label), nowMs));
  for (const label of held) reportHeld(run, label, holds.get(label), "backup.info lacks it, and its files stay");
  const fulls = new Set(held.map(fullLabelOf));
  return new Set(labels.filter((label) => fulls.has(fullLabelOf(label))));
}

/** Removes what `hold` and `release` recorded for backups that are gone. */
async function removeHolds(run: Run, holds: RecordedHolds, left: ReadonlySet<string>): Promise<void> {
  const { repo, request } = run;
  for (const [label, hold] of holds) {
    if (left.has(label) || request.dryRun || (await hasManifest(repo, label))) continue;
    if (isHeldAt(hold, run.ctx.clock.nowMs())) reportHeld(run, label, hold, "another program removed it");
    await run.lease.keep();
    await repo.storage.remove(holdPath(repo.stanza, label));
  }
}

function reportHeld({ report }: Run, label: string, hold: Hold | null | undefined, more: string): void {
  if (hold) report("warn", `backup ${label} is ${holdText(hold)}: ${more}`);
}

async function usesOf({ request }: Run, info: BackupInfo): Promise<readonly OpenedUse[]> {
  return ((await request.opened?.list()) ?? []).filter((use) => isOpenedOf(info, use));
}

/** Time without a sign of life does not count, so that a wrong clock removes nothing. */
async function planBySigns(
  { repo, request, ctx, report }: Run,
  info: BackupInfo,
  retention: Retention,
): Promise<{ readonly plan: ExpirePlan; readonly ages: Ages }> {
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  const ages = { nowS, pauses: [] };
  const plan = planExpire(repo.name, info, retention, request, ages);
  const isTimed = retention.fullType === "time";
  const hasEnd = info.backups.some((entry) => (holdOf(entry)?.untilS ?? null) !== null);
  // A calendar and holds keep backups whose WAL goes.
  if (plan.sets.length + plan.extra.size === 0 || !(isTimed || hasEnd)) return { plan, ages };
  const stopsS = info.backups.map((entry) => entry.stoppedAtS);
  const rests = pausesIn(stopsS, nowS);
  const withRests = (pauses: Ages["pauses"]): ExpirePlan =>
    planExpire(repo.name, info, retention, request, { nowS, pauses });
  // More signs of life only shorten the pauses: then nothing differs either.
  if (rests.length === 0 || isDeepStrictEqual(whatStays(withRests(rests)), whatStays(plan))) return { plan, ages };
  const days = new Set<number>();
  // The history has backups that retention removed since.
  for (const { labels } of await listHistory(repo)) for (const label of await labels()) days.add(labelDayS(label));
  // Backups may be rare while WAL arrives all the time.
  for await (const { modifiedAtMs, type } of repo.storage.list(archivePath(repo.stanza), { recursive: true }))
    if (type === "file") days.add(Math.floor(modifiedAtMs / 1000 / DAY_S) * DAY_S);
  const pauses = pausesIn([...stopsS, ...days], nowS);
  const careful = withRests(pauses);
  const last = pauses.at(-1);
  if (last === undefined || isDeepStrictEqual(whatStays(careful), whatStays(plan))) return { plan, ages };
  const [from, to] = [last.beginS, last.endS].map((timeS) => new Date(timeS * 1000).toISOString());
  const ends = isTimed ? " and the ends of holds do" : "the ends of holds do";
  const what = `${isTimed ? `${repo.name}-retention-full` : ""}${hasEnd ? ends : " does"}`;
  report(
    "warn",
    `no backup and no WAL from ${from} to ${to}: ${what} not count this time, because a wrong clock looks the same\n` +
      "HINT: check this host's clock. To remove a backup anyway, name it: expire --set.",
  );
  return { plan: careful, ages: { nowS, pauses } };
}

/** Backups, and what decides which WAL stays. */
function whatStays({ archive, extra, kept }: ExpirePlan): object {
  return { archive, extra, labels: kept.map(({ label }) => label) };
}

interface Run {
  readonly repo: Repository;
  readonly request: ExpireRequest;
  readonly ctx: Context;
  readonly report: (level: "detail" | "info" | "warn", text: string) => void;
  /** Checked before each removal. */
  readonly lease: Lease;
}

interface Directories {
  /** Unlisted directories by label, each with a stamp that changes while another process writes there. */
  readonly unlisted: ReadonlyMap<string, string>;
  readonly doubts: readonly string[];
}

/** Lists twice: a name that only the second listing shows was missing in the first. */
async function findDirectories(repo: Repository, { info, directories }: Reconstructed): Promise<Directories> {
  const listed = new Set(info.backups.map((entry) => entry.label));
  const unlisted = new Map<string, string>();
  const doubts: string[] = [];
  for (const label of await listLabels(repo)) {
    if (listed.has(label)) continue;
    if (directories.has(label)) unlisted.set(label, await stampOf(repo, label));
    else if (await hasManifest(repo, label)) doubts.push(hiddenText(label));
  }
  return { unlisted, doubts };
}

/** Times and sizes of the files that a running backup rewrites. */
async function stampOf({ storage, stanza }: Repository, label: string): Promise<string> {
  const files = await Promise.all(
    [copyOf(manifestPath(stanza, label)), attemptPath(stanza, label)].map((path) => storage.stat(path)),
  );
  return files.map((file) => (file === null ? "-" : `${file.modifiedAtMs}:${file.sizeBytes}`)).join();
}

async function reportMissing(run: Run, reconstructed: Reconstructed, more: readonly string[]): Promise<Expired> {
  const { request, ctx } = run;
  for (const line of [...reconstructed.doubts, ...more]) run.report("warn", line);
  for (const { label, reason } of [...reconstructed.lost].reverse())
    ctx.log.warn(`backup '${label}' ${lostText(reason)}`);
  run.report("warn", "nothing is removed in this run; the next expire tries again");
  if (!request.dryRun && reconstructed.doubts.length + more.length === 0) {
    await saveUnchanged(run, reconstructed, reconstructed.info.backups);
  }
  return { labels: [], hasSet: true };
}

/** The first text is stock's own. */
function lostText(reason: string): string {
  return reason === MANIFEST_GONE ? "missing manifest removed from backup.info" : `removed from backup.info: ${reason}`;
}

/** Stock knows no lease and may have written in the meantime. @throws lockAcquire (50) */
async function saveUnchanged(
  { repo, lease, ctx }: Run,
  { loaded, info }: Reconstructed,
  backups: BackupInfo["backups"],
): Promise<void> {
  const labelsOf = (list: BackupInfo): string => list.backups.map((entry) => entry.label).join();
  const update = async (now: BackupInfo): Promise<BackupInfo> => {
    if (labelsOf(now) !== labelsOf(loaded)) {
      throw fail("lockAcquire", `${repo.name}: another process changed backup.info during expire`, {
        hint: "Nothing was removed. Run expire again when the other process has ended.",
        repoIndex: repo.key,
      });
    }
    await lease.check();
    return { ...info, backups };
  };
  await saveListed(repo, lease, update, ctx, fenceBackupInfo);
  // Manifests are removed next: the answer of a storage alone is no proof that it stored the list.
  if (labelsOf(await loadBackupInfo(repo)) === labelsOf({ ...info, backups })) return;
  throw fail("lockAcquire", `${repo.name}: backup.info was written, but reading it back returned different content`, {
    hint: "Nothing was removed. Run expire again.",
    repoIndex: repo.key,
  });
}

const PAGE_ERROR_HINT = "use info --set command to get details about errors in the backup.";

/**
 * The backup that a restore would need most must be good before others expire. A set chosen by hand is the user's own
 * decision.
 */
function damagedOldest(plan: ExpirePlan, request: ExpireRequest): string | null {
  const oldest = plan.kept.find(({ label }) => !plan.extra.has(label));
  if (oldest?.error !== true || request.set !== undefined) return null;
  return `oldest retained backup ${oldest.label} contains invalid page checksum(s)`;
}

function reporterOf(repo: Repository, request: ExpireRequest, ctx: Context): Run["report"] {
  const prefix = request.dryRun ? "[DRY-RUN] " : "";
  return (level, text) => ctx.log[level](`${prefix}${repo.name}: ${text}`);
}

function warnLatest({ repo, ctx, request }: Run, label: string): void {
  const name = `${repo.name}-retention-archive`;
  ctx.log.warn(
    `${request.dryRun ? "[DRY-RUN] " : ""}${repo.name}: expiring latest backup ${label} - the ability to perform point-in-time-recovery (PITR) may be affected\n` +
      `HINT: non-default settings for '${name}'/'${name}-type' (even in prior expires) can cause gaps in the WAL.`,
  );
}

/** Writes backup.info first: at every moment it names only complete backups. */
async function takeOut(run: Run, reconstructed: Reconstructed, plan: ExpirePlan): Promise<void> {
  const { repo, request, lease } = run;
  if (request.dryRun || (plan.sets.length === 0 && reconstructed.info === reconstructed.loaded)) return;
  const labels = plan.sets.flatMap((set) => set.labels);
  // A link is removed itself: nothing is written or removed where it leads.
  const own = labels.filter((label) => !reconstructed.links.has(label));
  const decide = async (): Promise<void> => {
    const use = (await usesOf(run, reconstructed.info)).find(({ label }) => labels.includes(label));
    if (use !== undefined)
      throw fail("lockAcquire", `backup ${use.label} was opened at '${use.at}' while ${repo.name} was read`, {
        hint: "Nothing was removed. Run expire again.",
        repoIndex: repo.key,
      });
    await mapParallel(own, LIMITS.filesPerWorker, async (label) => {
      const isElsewhere = await isRemovedElsewhere(repo, label, lease);
      await lease.keep();
      if (isElsewhere) await leaveTombstone(repo, label);
      await lease.keep();
      await markExpired(repo, label, lease);
    });
    await saveUnchanged(run, reconstructed, plan.kept);
  };
  // An `open` that is recorded later chooses from the new list.
  await (request.opened === undefined ? decide() : request.opened.alone(decide));
  for (const { label } of reconstructed.adopted) {
    await lease.keep();
    await repo.storage.remove(attemptPath(repo.stanza, label));
  }
  for (const label of own.sort().reverse()) await removeManifests(repo, label, lease);
  const newest = plan.kept.at(-1);
  if (plan.latestLost !== null && newest !== undefined) await linkLatest(repo, newest.label);
}

/** Removes unlisted directories, newest first, except those of running backups. */
async function removeDirectories(
  run: Run,
  unlisted: Directories["unlisted"],
  plan: ExpirePlan,
  pass: string | null,
): Promise<void> {
  const { repo, request, ctx } = run;
  const nowMs = ctx.clock.nowMs();
  const current = new Set(plan.kept.map((entry) => entry.label));
  const expired = new Set(plan.sets.flatMap((set) => set.labels));
  const labels = (await listLabels(repo)).reverse();
  const unfinished = await findUnfinished(run, labels[0], current, pass);
  for (const label of labels) {
    const stamp = unlisted.get(label);
    if (current.has(label) || label === unfinished || (stamp === undefined && !expired.has(label))) continue;
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    await run.lease.keep();
    if (stamp !== undefined && stamp !== (await stampOf(repo, label))) {
      run.report("info", `keep backup ${label}, which is in progress`);
      continue;
    }
    if (stamp !== undefined && (await isUnfinishedCopy(repo, label, { ...run, listed: current, nowMs, pass }))) {
      run.report("info", `keep backup ${label}, which the next sync completes`);
      continue;
    }
    run.report("info", `remove expired backup ${label}`);
    if (request.dryRun) continue;
    // Its process may be asleep just before it lists the backup.
    if (stamp !== undefined && (await hasManifest(repo, label))) await fenceBackupInfo(repo, (info) => info, ctx);
    if (stamp !== undefined && (await isOpenElsewhere(run, label, pass))) await leaveTombstone(repo, label);
    // A killed run may have left them: without manifests a half-removed directory never passes for a backup. Those of
    // backups that were listed are gone.
    if (!expired.has(label)) await removeManifests(repo, label, run.lease);
    await run.lease.keep();
    await removeBackupPath(repo, label);
  }
}

/** Removes links in place of directories that no listed backup has. */
async function removeLinks(
  { repo, request, lease, report }: Run,
  links: ReadonlySet<string>,
  plan: ExpirePlan,
): Promise<void> {
  const current = new Set(plan.kept.map((entry) => entry.label));
  for (const label of [...links].sort().reverse()) {
    if (current.has(label)) continue;
    report("info", `remove link ${label}, and nothing where it leads`);
    if (request.dryRun) continue;
    await lease.keep();
    await repo.storage.remove(backupPath(repo.stanza, label));
  }
}

/** True when another host has begun to write or to remove the backup: it may be asleep, and continue. */
async function isOpenElsewhere({ repo, lease }: Run, label: string, pass: string | null): Promise<boolean> {
  const attempt = await findAttempt(repo, label, pass);
  return (attempt !== null && !lease.isOver(attempt.domain)) || isRemovedElsewhere(repo, label, lease);
}

/** Removes server files of expired backups, including those that stock expired: stock does not know these files. */
async function removeServerFiles(run: Run, kept: readonly BackupInfoEntry[]): Promise<void> {
  const labels = kept.map((entry) => entry.label);
  for (const label of await expireServerFiles(run.repo, labels, run.request.dryRun))
    run.report("detail", `remove configuration files of backup ${label}`);
}

/**
 * The newest directory may be a backup that runs elsewhere or will be resumed. One that builds on a backup removed by
 * hand is useless.
 */
async function findUnfinished(
  { repo, request }: Run,
  newest: string | undefined,
  current: ReadonlySet<string>,
  pass: string | null,
): Promise<string | null> {
  if (newest === undefined || current.has(newest) || !(await hasManifestCopy(repo, newest))) return null;
  if (request.set === undefined || fullLabelOf(newest) !== fullLabelOf(request.set)) return newest;
  const prior = await loadUnfinishedPrior(repo, newest, pass);
  return prior !== null && current.has(prior) ? newest : null;
}

async function expireArchives(
  run: Run,
  info: BackupInfo,
  plan: ExpirePlan,
  recovering: ReadonlySet<string>,
  retention: Retention,
): Promise<void> {
  const { repo, request } = run;
  if (plan.archive === null) {
    if (retention.fullType === "time") {
      run.report("info", "time-based archive retention not met - archive logs will not be expired");
    } else {
      const prefix = request.dryRun ? "[DRY-RUN] " : "";
      run.ctx.log.info(
        `${prefix}option '${repo.name}-retention-archive' is not set - archive logs will not be expired`,
      );
    }
    return;
  }
  const archiveInfo = await loadArchiveInfo(repo);
  const onDisk = new Set(await listArchiveIds(repo));
  const { extra } = plan;
  const rule = { ...plan.archive, before: request.archiveExpireBefore ?? null, gapless: recovering, extra };
  for (const archive of planArchives(archiveInfo, info, plan.kept, onDisk, rule)) {
    if (archive.kind === "trim") {
      await trimArchive(run, archive);
      continue;
    }
    run.report("info", `remove archive path ${archivePath(repo.stanza)}/${archive.archiveId}`);
    await run.lease.keep();
    if (!request.dryRun) await repo.storage.removePath(archiveIdPath(repo.stanza, archive.archiveId));
  }
}

async function trimArchive(run: Run, plan: TrimArchive): Promise<void> {
  const { repo, request, ctx } = run;
  for (const { label, start, stop } of plan.ranges) {
    const range = `start = ${start}${stop === null ? "" : `, stop = ${stop}`}`;
    run.report("detail", `${plan.archiveId} archive retention on backup ${label}, ${range}`);
  }
  const removed = new RemovedRange((first, last) =>
    run.report("info", `${plan.archiveId} remove archive, start = ${first}, stop = ${last}`),
  );
  const { directories, histories } = await listArchive(repo, plan.archiveId);
  for (const directory of directories) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    await run.lease.keep();
    if (isWholeDirectoryExpired(plan, directory)) {
      run.report("detail", `${plan.archiveId} remove archive path ${directory}`);
      if (!request.dryRun) await repo.storage.removePath(`${archiveIdPath(repo.stanza, plan.archiveId)}/${directory}`);
      removed.add(directory);
    } else if (isDirectoryMixed(plan, directory)) {
      await trimDirectory(run, plan, directory, removed);
    }
  }
  if (removed.isEmpty) run.report("info", `${plan.archiveId} no archive to remove`);
  removed.end();
  for (const name of histories.filter((history) => isHistoryExpired(plan, history))) {
    run.report("info", `${plan.archiveId} remove history file ${name}`);
    if (!request.dryRun) await repo.storage.remove(walPath(repo.stanza, plan.archiveId, name));
  }
}

async function trimDirectory(
  { repo, request }: Run,
  plan: TrimArchive,
  directory: string,
  removed: RemovedRange,
): Promise<void> {
  const expired: string[] = [];
  for (const name of await listWalDirectory(repo, plan.archiveId, directory)) {
    if (isFileExpired(plan, name)) {
      expired.push(name);
      removed.add(name.slice(0, SEGMENT_LENGTH));
    } else {
      removed.end();
    }
  }
  if (request.dryRun) return;
  await mapParallel(expired, LIMITS.filesPerWorker, (name) =>
    repo.storage.remove(walPath(repo.stanza, plan.archiveId, name)),
  );
}

/** A run of adjacent removed names, reported as one. */
class RemovedRange {
  readonly #report: (first: string, last: string) => void;
  #first: string | null = null;
  #last = "";
  isEmpty = true;

  constructor(report: (first: string, last: string) => void) {
    this.#report = report;
  }

  add(name: string): void {
    this.isEmpty = false;
    this.#first ??= name;
    this.#last = name;
  }

  end(): void {
    if (this.#first !== null) this.#report(this.#first, this.#last);
    this.#first = null;
  }
}

/**
 * Removes manifests of expired backups from the history; a year entirely before the limit is removed in one piece, as
 * in stock.
 */
async function expireHistory(run: Run, kept: readonly BackupInfoEntry[], { historyDays }: Retention): Promise<void> {
  const { repo, request, ctx } = run;
  if (historyDays === undefined) return;
  const byDays = formatLabel("full", Math.floor(ctx.clock.nowMs() / 1000) - historyDays * DAY_S);
  // The history shows that time has passed since a backup that is held until some day.
  const held = kept.find((entry) => (holdOf(entry)?.untilS ?? null) !== null);
  const oldest = held !== undefined && held.label < byDays ? held.label : byDays;
  const current = new Set(kept.map((entry) => entry.label));
  for (const { year, labels } of await listHistory(repo)) {
    if (year < oldest.slice(0, 4)) {
      run.report("info", `remove expired backup history path ${year}`);
      if (!request.dryRun) await repo.storage.removePath(`${backupHistoryPath(repo.stanza)}/${year}`);
      continue;
    }
    for (const label of (await labels()).reverse()) {
      if (current.has(label) || label >= oldest) continue;
      run.report("info", `remove expired backup history manifest ${label}.manifest.gz`);
      if (!request.dryRun) await repo.storage.remove(manifestHistoryPath(repo.stanza, label));
    }
  }
}
