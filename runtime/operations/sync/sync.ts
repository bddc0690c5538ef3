/**
 * `sync`: copies complete backups and WAL from one repository into another, whatever their encryption and compression.
 *
 * WAL is copied first, then the backups, oldest first. So whenever the run ends, each listed backup has its WAL and its
 * references. Existing files stay, so a repeated run copies the rest.
 */
import type { Context } from "../../base/context";
import { fail, isError, nullOn, toBackupError } from "../../base/errors";
import { formatSize } from "../../base/units";
import { archiveIdOf, type ArchiveInfo } from "../../format/repository/archiveInfo";
import { type BackupInfo, type BackupInfoEntry, isSameBackup, withEntries } from "../../format/repository/backupInfo";
import { segmentRange, segmentSizeOf } from "../../format/wal/walSegment";
import { backupsPath } from "../../format/repository/repoPath";
import { linkLatest } from "../../repository/expireStore";
import { loadArchiveInfo, loadBackupInfo, saveArchiveInfo, saveBackupInfo } from "../../repository/infoStore";
import type { Lease } from "../../repository/lease";
import { loadReconstructedInfo, saveAdopted } from "../../repository/reconstruct";
import { newSubPass, type Repository } from "../../repository/repository";
import { listArchiveIds } from "../../repository/walStore";
import type { JobPool } from "../shared/jobs";
import { hasStanza } from "../stanza/stanzaDelete";
import { carefulAges, planKept } from "../expire/archivePlan";
import { copyBackup, type SyncSide } from "./copyBackup";
import { copyStream, type WalRange } from "./copyStream";
import { copyWal, findMissingWal, type WalSide } from "./copyWal";
import { planSync, type SyncScope } from "./syncPlan";
import { syncServerFiles } from "./syncServerFiles";

export interface SyncOptions {
  /** Lease of the target repository. */
  readonly lease: Lease;
  readonly scope: SyncScope;
  readonly dryRun: boolean;
  /** `archive-header-check` */
  readonly headerCheck: boolean;
}

export interface SyncOutcome {
  readonly labels: readonly string[];
  readonly walCount: number;
  /** Pieces of streamed WAL. */
  readonly chunkCount: number;
  /** What could not be copied, one line each; the rest was copied. */
  readonly problems: readonly string[];
}

const NAMES_SHOWN_MAX = 8;

interface OpenSide {
  readonly repo: Repository;
  readonly archiveInfo: ArchiveInfo;
  readonly backupInfo: BackupInfo;
}

interface OpenTarget extends OpenSide {
  /** Complete backups that were not listed. */
  readonly adopted: readonly BackupInfoEntry[];
  /** Backups that are listed and have lost their manifests, one line each. */
  readonly troubles: readonly string[];
}

/**
 * The caller holds both repositories' backup locks and the lease of `to`.
 * @throws when the repositories cannot be read or do not belong together
 */
export async function sync(
  from: Repository,
  to: Repository,
  pool: JobPool,
  options: SyncOptions,
  ctx: Context,
): Promise<SyncOutcome> {
  const source = await openSide(from);
  await options.lease.check();
  const { adopted, troubles, ...target } = await openTarget(to, source, options, ctx);
  if (!options.dryRun) await finishCopies(source, target, adopted, ctx);
  const nowS = Math.floor(ctx.clock.nowMs() / 1000);
  const { entries, taken, expired } = planSync(source.backupInfo, target.backupInfo, options.scope, nowS);
  if (expired.length > 0)
    ctx.log.info(`${to.name}: not copied, because the next expire would remove them: ${expired.join(", ")}`);
  for (const label of taken)
    ctx.log.warn(`backup ${label} of ${from.name} is not copied: ${to.name} holds another backup with this label`);
  const problems = [...troubles];
  const prefix = options.dryRun ? "[DRY-RUN] " : "";
  const lacking: LackingWal[] = [];
  let walCount = 0;
  const ranges = walRanges(source, target, entries, options, ctx.clock.nowMs());
  for (const copy of ranges) {
    const sides = [
      { repo: from, pass: source.archiveInfo.cipherPass ?? null },
      { repo: to, pass: target.archiveInfo.cipherPass ?? null },
    ] as const;
    const isNeeded = (name: string): boolean =>
      entries.some((entry) => neededOf([{ archiveId: copy.archiveId, name }], entry, source.archiveInfo).length > 0);
    const required = requiredSegments(source, entries, copy.archiveId);
    const { missing, conflicts, absent } = await findMissingWal(...sides, copy, { isNeeded, required });
    problems.push(
      ...conflicts.map((name) => `WAL ${copy.archiveId}/${name} has different content in ${from.name} and ${to.name}`),
    );
    lacking.push(...[...conflicts, ...absent].map((name) => ({ archiveId: copy.archiveId, name })));
    if (missing.length === 0) continue;
    const failed = options.dryRun ? new Map<string, string>() : await copyWal(...sides, copy, missing, pool, ctx);
    problems.push(
      ...[...failed]
        .sort(([left], [right]) => (left < right ? -1 : 1))
        .map(([name, reason]) => `WAL ${copy.archiveId}/${name}: ${reason}`),
    );
    lacking.push(...[...failed.keys()].map((name) => ({ archiveId: copy.archiveId, name })));
    walCount += missing.length - failed.size;
    ctx.log.info(
      `${prefix}${to.name}: copied ${missing.length - failed.size} WAL file(s) of ${copy.archiveId} from ${from.name}, ${missing[0]?.name} to ${missing.at(-1)?.name}`,
    );
  }
  const chunkCount = await copyStreams(source, target, ranges, options.dryRun, problems, ctx);
  const whole = entries.filter((entry) => {
    const names = neededOf(lacking, entry, source.archiveInfo);
    if (names.length > 0)
      problems.push(`backup ${entry.label}: not copied, it cannot become consistent without WAL ${shortList(names)}`);
    return names.length === 0;
  });
  const labels = await copyBackups(source, { ...target, lease: options.lease }, whole, pool, options, problems, ctx);
  return { labels, walCount, chunkCount, problems };
}

/** WAL that was streamed and not archived yet, or never will be: its server is gone. */
async function copyStreams(
  source: OpenSide,
  target: OpenSide,
  ranges: readonly WalRange[],
  dryRun: boolean,
  problems: string[],
  ctx: Context,
): Promise<number> {
  const walSideOf = ({ archiveInfo, repo }: OpenSide): WalSide => ({ repo, pass: archiveInfo.cipherPass ?? null });
  let total = 0;
  for (const range of ranges) {
    const copied = await copyStream(walSideOf(source), walSideOf(target), range, dryRun, ctx);
    problems.push(...copied.problems);
    total += copied.count;
  }
  if (total > 0)
    ctx.log.info(
      `${dryRun ? "[DRY-RUN] " : ""}${target.repo.name}: copied ${total} piece(s) of streamed WAL from ${source.repo.name}`,
    );
  return total;
}

/**
 * The segments that make these backups consistent. A backup contains its WAL with `archive-copy`; without
 * `archive-check` nobody promised that the archive has it.
 */
function requiredSegments(
  { archiveInfo, backupInfo }: OpenSide,
  entries: readonly BackupInfoEntry[],
  archiveId: string,
): ReadonlySet<string> {
  const row = archiveInfo.history.find((candidate) => archiveIdOf(candidate) === archiveId);
  const ofCluster = ({ dbId }: BackupInfoEntry): boolean => dbId === row?.id;
  const sizeBytes = segmentSizeOf(backupInfo.backups.filter(ofCluster));
  const names = entries.filter(ofCluster).flatMap(({ archiveStart, archiveStop, ...entry }) => {
    if (archiveStart === null || archiveStop === null) return [];
    return entry.optionArchiveCheck && !entry.optionArchiveCopy
      ? segmentsBetween(archiveStart, archiveStop, sizeBytes)
      : [];
  });
  return new Set(names);
}

/** Only the first and the last if nothing shows the size, or the names make no range. */
function segmentsBetween(start: string, stop: string, sizeBytes: number | null): readonly string[] {
  try {
    return sizeBytes === null ? [start, stop] : segmentRange(start, stop, sizeBytes);
  } catch (error) {
    if (!isError(error, "format")) throw error;
    return [start, stop];
  }
}

function shortList(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX;
  return more > 0 ? `${names.slice(0, NAMES_SHOWN_MAX).join(", ")} and ${more} more` : names.join(", ");
}

/** WAL that the target should have by now but lacks. */
interface LackingWal {
  readonly archiveId: string;
  readonly name: string;
}

/** The part that makes the backup consistent: without it the target would list a backup that cannot be restored. */
function neededOf(
  lacking: readonly LackingWal[],
  { dbId, archiveStart, archiveStop }: BackupInfoEntry,
  { history }: ArchiveInfo,
): string[] {
  const row = history.find((candidate) => candidate.id === dbId);
  if (row === undefined || archiveStart === null || archiveStop === null) return [];
  const needed = lacking.filter(
    ({ archiveId, name }) => archiveId === archiveIdOf(row) && name >= archiveStart && name <= archiveStop,
  );
  return needed.map(({ name }) => name).sort();
}

/** The last steps of copies that were cut off after their manifests. */
async function finishCopies(
  source: OpenSide,
  target: OpenSide,
  adopted: readonly BackupInfoEntry[],
  ctx: Context,
): Promise<void> {
  const isCopy = (entry: BackupInfoEntry): boolean => source.backupInfo.backups.some((own) => isSameBackup(own, entry));
  for (const { label } of adopted.filter(isCopy))
    await syncServerFiles(source.repo, target.repo, label, [sideOf(source), sideOf(target)], ctx);
  const newest = target.backupInfo.backups.at(-1);
  if (adopted.length > 0 && newest !== undefined) await linkLatest(target.repo, newest.label);
}

function sideOf({ backupInfo, repo }: OpenSide): SyncSide {
  return { repo, infoPass: backupInfo.cipherPass ?? null };
}

async function copyBackups(
  source: OpenSide,
  target: OpenSide & { readonly lease: Lease },
  entries: readonly BackupInfoEntry[],
  pool: JobPool,
  { dryRun }: SyncOptions,
  problems: string[],
  ctx: Context,
): Promise<string[]> {
  const sides = [sideOf(source), { ...sideOf(target), lease: target.lease }] as const;
  const done: string[] = [];
  for (const entry of entries) {
    const { label } = entry;
    if (dryRun) {
      ctx.log.info(
        `[DRY-RUN] ${target.repo.name}: copied backup ${label} from ${source.repo.name} (${formatSize(entry.sizeDeltaBytes)})`,
      );
      done.push(label);
      continue;
    }
    try {
      const { sizeBytes, fileCount, resumedCount } = await copyBackup(...sides, entry, pool, ctx);
      await syncServerFiles(source.repo, target.repo, label, sides, ctx);
      const resumed = resumedCount === 0 ? "" : `, ${resumedCount} of them already there`;
      ctx.log.info(
        `${target.repo.name}: copied backup ${label} from ${source.repo.name} (${formatSize(sizeBytes)}), file total = ${fileCount}${resumed}`,
      );
      done.push(label);
    } catch (error) {
      if (ctx.signal.aborted || isError(error, "assert")) throw error;
      const { name, message, hints } = toBackupError(error);
      problems.push([`backup ${label}: [${name}] ${message}`, ...hints.map((hint) => `HINT: ${hint}`)].join("\n"));
    }
  }
  const newest = [...target.backupInfo.backups.map((entry) => entry.label), ...done].sort().at(-1);
  if (!dryRun && newest !== undefined && done.length > 0) await linkLatest(target.repo, newest);
  return done;
}

function byLabel(entries: readonly BackupInfoEntry[]): readonly BackupInfoEntry[] {
  return [...entries].sort((left, right) => (left.label < right.label ? -1 : 1));
}

async function openSide(repo: Repository): Promise<OpenSide> {
  const [archiveInfo, backupInfo] = await Promise.all([loadArchiveInfo(repo), loadBackupInfo(repo)]);
  return { repo, archiveInfo, backupInfo };
}

/**
 * Creates the stanza in an empty repository, with the source's history and its own passphrases, or completes an
 * interrupted creation.
 */
async function openTarget(
  repo: Repository,
  source: OpenSide,
  { dryRun, lease }: Pick<SyncOptions, "dryRun" | "lease">,
  ctx: Context,
): Promise<OpenTarget> {
  const begun = (await hasStanza(repo)) ? await findBegun(repo) : null;
  if (begun === null && (await hasStanza(repo))) {
    const archiveInfo = await loadArchiveInfo(repo);
    // A complete backup that is not listed: a copy would overwrite its files.
    const reconstructed = await loadReconstructedInfo(repo, lease, ctx);
    if (!dryRun) await saveAdopted(repo, lease, reconstructed, ctx);
    const { adopted, doubts, loaded, lost } = reconstructed;
    for (const line of doubts) ctx.log.warn(`${repo.name}: ${line}`);
    // A copy could overwrite files that a newer backup refers to.
    const troubles = lost.map(
      ({ label, reason }) =>
        `backup ${label} of ${repo.name}: ${reason}. Run expire with --repo=${repo.key}, then sync`,
    );
    return { repo, archiveInfo, backupInfo: withEntries(loaded, adopted), adopted, troubles };
  }
  const { cipherPass: _archivePass, ...archive } = source.archiveInfo;
  const { cipherPass: _backupPass, ...backup } = source.backupInfo;
  const pass = (): { cipherPass?: string } => (repo.cipherPass === null ? {} : { cipherPass: newSubPass(ctx) });
  const archiveInfo: ArchiveInfo = begun ?? { ...archive, ...pass() };
  const backupInfo: BackupInfo = { ...backup, ...pass(), backups: [] };
  if (!dryRun) {
    await saveArchiveInfo(repo, archiveInfo, ctx);
    await saveBackupInfo(repo, backupInfo, ctx);
    ctx.log.info(`${repo.name}: created stanza '${repo.stanza}' as in ${source.repo.name}`);
  }
  return { repo, archiveInfo, backupInfo, adopted: [], troubles: [] };
}

/** archive.info of a stanza that has at most its clusters' WAL yet; null if it has more, or is unreadable. */
async function findBegun(repo: Repository): Promise<ArchiveInfo | null> {
  for await (const _entry of repo.storage.list(backupsPath(repo.stanza))) return null;
  const info = await nullOn(loadArchiveInfo(repo), "fileMissing");
  const own = info?.history.map(archiveIdOf) ?? [];
  return (await listArchiveIds(repo)).every((archiveId) => own.includes(archiveId)) ? info : null;
}

/**
 * From the first segment that a backup of the target needs, existing or about to be copied; for one backup by its label
 * only its own range.
 */
function walRanges(
  source: OpenSide,
  target: OpenSide,
  entries: readonly BackupInfoEntry[],
  { headerCheck, scope }: Pick<SyncOptions, "headerCheck" | "scope">,
  nowMs: number,
): WalRange[] {
  for (const entry of source.archiveInfo.history) {
    const other = target.archiveInfo.history.find((row) => row.id === entry.id);
    if (other?.systemId === entry.systemId && other.pgVersion === entry.pgVersion) continue;
    throw fail(
      "fileInvalid",
      `archive history id ${entry.id} is not the same cluster in ${source.repo.name} and ${target.repo.name}`,
      {
        hint: "are both repositories of the same stanza? has a stanza-upgrade been forgotten?",
      },
    );
  }
  const needing = scope.kind === "all" ? [...target.backupInfo.backups, ...entries] : entries;
  const ages = carefulAges(byLabel(needing), nowMs);
  return source.archiveInfo.history.flatMap((row): WalRange[] => {
    const starts = needing.flatMap((entry) =>
      entry.dbId === row.id && entry.archiveStart !== null ? [entry.archiveStart] : [],
    );
    const [from] = starts.sort();
    const { pgVersion: version, systemId } = row;
    const cluster = headerCheck ? { version, systemId } : null;
    // Only a copy of everything follows the target's retention.
    const plan = scope.kind === "all" ? planKept(byLabel(needing), row.id, target.repo.retention, ages) : null;
    return from === undefined ? [] : [{ archiveId: archiveIdOf(row), from, plan, systemId, cluster }];
  });
}
