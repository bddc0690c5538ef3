/**
 * backup.info as the directories show it, before any decision ("pgbackrest-format" 6.3).
 *
 * A listed backup without its manifest leaves the list with all backups that depend on it. A finished, unlisted backup
 * joins it if its cluster is in the history, its base is listed, and its files exist. So the next writer repairs
 * whatever a writer that was killed in between left.
 *
 * A listing may be incomplete, on an eventually consistent store or an unstable mount: a missing name is looked up
 * directly before it counts as gone.
 */
import type { Context } from "../base/context";
import { isError, toBackupError } from "../base/errors";
import { mapParallel } from "../base/parallel";
import { type BackupInfo, type BackupInfoEntry, backupInfoEntryOf, withEntries } from "../format/repository/backupInfo";
import { attemptPath, copyOf, manifestPath } from "../format/repository/repoPath";
import { findAttempt } from "./attempt";
import { hasManifest, listLabels, listLinks, loadManifest } from "./backupStore";
import { hasManifestCopy, isMarkedExpired } from "./expireStore";
import { loadArchiveInfo, loadBackupInfo, updateBackupInfo } from "./infoStore";
import type { Lease } from "./lease";
import type { Repository } from "./repository";
import { referencesOf, requireStored } from "./stored";

export interface Lost {
  readonly label: string;
  /** What became of the backup, for a message. */
  readonly reason: string;
}

export interface Reconstructed {
  /** The corrected list. */
  readonly info: BackupInfo;
  /** The stored list. */
  readonly loaded: BackupInfo;
  /** Complete backups that were not listed. */
  readonly adopted: readonly BackupInfoEntry[];
  /** Listed backups that are gone or lack their base, ascending. */
  readonly lost: readonly Lost[];
  /** Why the listing is not trusted: then nothing may be removed. */
  readonly doubts: readonly string[];
  /** Listed labels; true for those with a manifest. */
  readonly directories: ReadonlyMap<string, boolean>;
  /** Labels with a link in place of a directory, listed in backup.info or not. */
  readonly links: ReadonlySet<string>;
}

const QUESTIONS_AT_ONCE = 16;
export const MANIFEST_GONE = "its manifest is gone";

/**
 * Writes nothing.
 * @throws as loadBackupInfo; also when an unlisted manifest is unreadable, because its backup must not be lost
 */
export async function loadReconstructedInfo(
  repo: Repository,
  lease: Pick<Lease, "isOver">,
  ctx: Context,
): Promise<Reconstructed> {
  const loaded = await loadBackupInfo(repo);
  const labels = await listLabels(repo);
  const links = new Set(await listLinks(repo));
  const shown = new Set([...labels, ...links]);
  const listed = new Map(loaded.backups.map((entry) => [entry.label, entry]));
  const finished = new Set<string>();
  const wanted = new Set([...labels, ...loaded.backups.flatMap((entry) => [entry.label, ...basesOf(entry)])]);
  await mapParallel([...wanted], QUESTIONS_AT_ONCE, async (label) => {
    if (await hasManifest(repo, label)) finished.add(label);
  });
  const doubts: string[] = [];
  const adopted: BackupInfoEntry[] = [];
  const lost: Lost[] = [];
  const kept = new Map<string, BackupInfoEntry>();
  // Labels ascend with time: a backup comes after its base.
  for (const label of [...wanted].sort()) {
    const entry = listed.get(label);
    if (entry === undefined) {
      const added = finished.has(label)
        ? await findAddable(repo, label, { ...loaded, backups: [...kept.values()] }, lease, ctx)
        : null;
      if (typeof added === "string" && !shown.has(added) && (await hasManifest(repo, added)))
        doubts.push(hiddenText(added));
      if (added === null || typeof added === "string") continue;
      adopted.push(added);
      kept.set(label, added);
      continue;
    }
    const doubt = finished.has(label) && shown.has(label) ? null : await findDoubt(repo, label, finished.has(label));
    if (doubt !== null) doubts.push(doubt);
    const reason = finished.has(label) || doubt !== null ? missingBase(entry, kept) : MANIFEST_GONE;
    if (reason === null) kept.set(label, entry);
    else lost.push({ label, reason });
  }
  // An unreachable repository has lost nothing.
  if (lost.length > 0) await loadArchiveInfo(repo);
  return {
    info: adopted.length + lost.length === 0 ? loaded : { ...loaded, backups: [...kept.values()] },
    loaded,
    adopted,
    lost,
    doubts,
    directories: new Map(labels.map((label) => [label, finished.has(label)])),
    links,
  };
}

/**
 * Saves backup.info under a lease that was just checked. If the lease was lost in the meantime, as when this process
 * slept between check and write, the file may overwrite another process' list. Then backup.info is repaired from the
 * directories, as at the start of every run.
 * @throws lockAcquire (50)
 */
export async function saveListed(
  repo: Repository,
  lease: Lease,
  update: (info: BackupInfo) => Promise<BackupInfo>,
  ctx: Context,
  save: typeof updateBackupInfo = updateBackupInfo,
): Promise<BackupInfo> {
  const updated = await save(repo, update, ctx);
  try {
    await lease.check();
  } catch (error) {
    if (isError(error, "lockAcquire")) await mend(repo, ctx);
    throw error;
  }
  return updated;
}

async function mend(repo: Repository, ctx: Context): Promise<void> {
  try {
    const update = async (info: BackupInfo): Promise<BackupInfo> => {
      const reconstructed = await loadReconstructedInfo(repo, { isOver: () => false }, ctx);
      return reconstructed.doubts.length > 0 || reconstructed.info === reconstructed.loaded ? info : reconstructed.info;
    };
    await updateBackupInfo(repo, update, ctx);
  } catch (error) {
    ctx.log.warn(
      `${repo.name}: unable to repair backup.info; the next backup or expire tries again: ${toBackupError(error).message}`,
    );
  }
}

/** Lists adopted backups. Lost ones stay listed; expire removes them. */
export async function saveAdopted(
  repo: Repository,
  lease: Lease,
  { adopted }: Reconstructed,
  ctx: Context,
): Promise<void> {
  if (adopted.length === 0) return;
  const update = async (info: BackupInfo): Promise<BackupInfo> => {
    await lease.check();
    return withEntries(info, adopted);
  };
  await saveListed(repo, lease, update, ctx);
  for (const { label } of adopted) {
    await lease.keep();
    await repo.storage.remove(attemptPath(repo.stanza, label));
  }
}

/** Checks a listed backup whose directory or manifest the listing lacks; null when it is truly gone. */
async function findDoubt(repo: Repository, label: string, isFinished: boolean): Promise<string | null> {
  if (isFinished) return hiddenText(label);
  if (!(await hasManifestCopy(repo, label))) return null;
  const path = manifestPath(repo.stanza, label);
  return `'${path}' of a listed backup is gone, but its copy exists: copy '${copyOf(path)}' back, or remove it too`;
}

export function hiddenText(label: string): string {
  return `the listing lacks backup '${label}', whose manifest exists`;
}

function basesOf({ prior, references }: BackupInfoEntry): string[] {
  return [...(prior === undefined ? [] : [prior]), ...(references ?? [])];
}

function missingBase(entry: BackupInfoEntry, kept: ReadonlyMap<string, unknown>): string | null {
  const missing = basesOf(entry).find((label) => label !== entry.label && !kept.has(label));
  return missing === undefined ? null : `its prior backup '${missing}' is gone`;
}

/** The label of an unlisted base, or null; null with a warning for a backup that must not be listed. */
async function findAddable(
  repo: Repository,
  label: string,
  info: BackupInfo,
  lease: Pick<Lease, "isOver">,
  ctx: Context,
): Promise<BackupInfoEntry | string | null> {
  const pass = info.cipherPass ?? null;
  const refuse = (reason: string): null => {
    ctx.log.warn(`invalid backup '${label}' cannot be added to current backups: ${reason}`);
    return null;
  };
  if (await isMarkedExpired(repo, label)) return refuse("expire has decided to remove it");
  const attempt = await findAttempt(repo, label, pass);
  // Its process may only be asleep, and remove the manifest when it wakes.
  if (attempt !== null && !lease.isOver(attempt.domain)) return refuse("another host started it and did not list it");
  const manifest = await loadManifest(repo, label, pass);
  const { id, systemId, version } = manifest.pg;
  if (!info.history.some((row) => row.id === id && row.systemId === systemId && row.pgVersion === version))
    return refuse("its cluster is not in the history");
  const listed = new Set(info.backups.map((entry) => entry.label));
  const missing = [...referencesOf(manifest)].find((base) => !listed.has(base));
  if (missing !== undefined) {
    refuse(`its prior backup '${missing}' is not listed`);
    return missing;
  }
  try {
    await requireStored(repo, manifest);
  } catch (error) {
    if (!isError(error, "fileMissing", "fileInvalid")) throw error;
    return refuse(error.message);
  }
  ctx.log.warn(`backup '${label}' found in repository added to backup.info`);
  return backupInfoEntryOf(manifest);
}
