/**
 * Makes a copied backup visible ("pgbackrest-format" 15, step 12), after these checks.
 *
 * A backup is listed only while this process holds the lease and the attempt file has its token. The repository must
 * hold every file and bundle of the manifest, and everything that the backup builds on must be listed and exist. The
 * manifest is written first: from then on others may adopt the backup. Then references, lease and attempt are checked
 * again, and backup.info follows immediately. Whenever the power fails, the repository lists only complete backups. A
 * last look shows whether the repository was put back to an older copy in the meantime.
 */
import type { Context } from "../base/context";
import { type BackupError, isError, toBackupError } from "../base/errors";
import type { ArchiveInfo } from "../format/repository/archiveInfo";
import { mapParallel } from "../base/parallel";
import { type BackupInfo, backupInfoEntryOf, withEntries } from "../format/repository/backupInfo";
import type { Manifest } from "../format/repository/manifest";
import {
  attemptPath,
  backupsPath,
  copyOf,
  expiredMarkPath,
  manifestHistoryPath,
  manifestPath,
} from "../format/repository/repoPath";
import { endAttempt, requireAttempt } from "./attempt";
import { hasManifest, saveManifest } from "./backupStore";
import { loadBackupInfo, updateArchiveInfo } from "./infoStore";
import type { Lease } from "./lease";
import { saveListed } from "./reconstruct";
import type { Storage } from "../storage/storage";
import type { Repository } from "./repository";
import { requireManifests, requireReferences, requireStored } from "./stored";

export interface Publication {
  readonly lease: Lease;
  /** backup.info's sub-passphrase. */
  readonly pass: string | null;
}

/**
 * Lists a backup whose attempt file was written under `lease`. archive.info is rewritten so that its age does not
 * trigger bucket rules.
 * @throws lockAcquire (50), fileMissing (55), fileInvalid (28), backupSetInvalid (75), backupMismatch (51): then it is
 * not listed; or the storage's error
 */
export async function finishBackup(
  repo: Repository,
  manifest: Manifest,
  { lease, pass }: Publication,
  ctx: Context,
): Promise<BackupInfo> {
  const { label } = manifest;
  await requireAttempt(repo, label, lease, pass);
  let strays: readonly string[] = [];
  // The manifest's copy is written first. While it is there, nobody has put the repository back to an older copy.
  const check = async (): Promise<void> => {
    strays = await requireStored(repo, manifest);
    if (overwritesInOneStep(repo)) await removeStrays(repo, label, strays, lease);
    await requireReferences(repo, manifest, await loadBackupInfo(repo));
  };
  const saveHistory = await saveManifest(repo, manifest, { lease, pass, check }, ctx);
  await lease.keep();
  await saveHistory();
  // It kept others from the manifest that another host left here.
  const mark = expiredMarkPath(repo.stanza, label);
  if (strays.includes(mark)) await repo.storage.remove(mark);
  const update = async (info: BackupInfo): Promise<BackupInfo> => {
    await requireStill(repo, manifest, info, { lease, pass }, ctx);
    return withEntries(info, [backupInfoEntryOf(manifest)]);
  };
  const updated = await saveListed(repo, lease, update, ctx);
  await requireListedStill(repo, manifest, lease, ctx);
  if (repo.latestLink && repo.storage.features.symlinks)
    await repo.storage.link(`${backupsPath(repo.stanza)}/latest`, label);
  // For buckets whose rules remove old objects. A process that slept must not put back an older one.
  const renew = async (info: ArchiveInfo): Promise<ArchiveInfo> => {
    await lease.check();
    return { ...info };
  };
  if (!repo.storage.features.directories) await updateArchiveInfo(repo, renew, ctx);
  await endAttempt(repo, label, { lease, pass }, ctx);
  await keepListed(repo, manifest, lease, ctx);
  return updated;
}

/** A process that slept may have overwritten our list with its older one before it noticed that it lost the lease. */
async function keepListed(repo: Repository, manifest: Manifest, lease: Lease, ctx: Context): Promise<void> {
  const info = await loadBackupInfo(repo);
  if (info.backups.some((entry) => entry.label === manifest.label) || !(await hasManifest(repo, manifest.label)))
    return;
  const update = async (now: BackupInfo): Promise<BackupInfo> => {
    await lease.check();
    return withEntries(now, [backupInfoEntryOf(manifest)]);
  };
  await saveListed(repo, lease, update, ctx);
}

/**
 * True when a put replaces a file in one step. Files of an earlier attempt are then overwritten, or removed before the
 * backup is listed. They are not removed first: a removal that the storage repeats late would hit the new file.
 */
export function overwritesInOneStep({ storage }: Repository): boolean {
  return !storage.features.directories;
}

/** @throws lockAcquire (50) */
async function removeStrays(
  { storage, stanza }: Repository,
  label: string,
  strays: readonly string[],
  lease: Lease,
): Promise<void> {
  const own = new Set([
    attemptPath(stanza, label),
    manifestPath(stanza, label),
    copyOf(manifestPath(stanza, label)),
    expiredMarkPath(stanza, label),
  ]);
  await removeInSteps(
    storage,
    strays.filter((path) => !own.has(path)),
    lease,
  );
}

/**
 * Removes files under the lease, which it checks before each step: another host may write the same names.
 * @throws lockAcquire (50)
 */
export async function removeInSteps(storage: Storage, paths: readonly string[], lease: Lease): Promise<void> {
  for (let start = 0; start < paths.length; start += REMOVED_AT_ONCE) {
    await lease.check();
    await mapParallel(paths.slice(start, start + REMOVED_AT_ONCE), REMOVED_AT_ONCE, (path) => storage.remove(path));
  }
}

/** Files removed between two checks of the lease. */
const REMOVED_AT_ONCE = 16;

/**
 * The second check, with the manifest in place and the current backup.info. If the base is gone, the manifests are
 * removed again, under a lease that was just checked. After a lost lease nothing is removed: two hosts that sync one
 * backup write one directory, and its manifest may already be the other's. No other host lists the manifest of a lost
 * attempt; the next run on this host adopts the backup if it is complete.
 */
async function requireStill(
  repo: Repository,
  manifest: Manifest,
  info: BackupInfo,
  { lease, pass }: Publication,
  ctx: Context,
): Promise<void> {
  try {
    await requireReferences(repo, manifest, info);
    await requireManifests(repo, manifest.label);
    await requireAttempt(repo, manifest.label, lease, pass);
  } catch (error) {
    if (isError(error, "backupSetInvalid", "backupMismatch", "fileMissing")) {
      await lease.check();
      await removeManifests(repo, manifest.label, ctx);
    }
    throw error;
  }
}

/**
 * The third check, with the backup in backup.info: somebody may have put the repository back to an older copy while
 * the list was written. A backup that lacks files then leaves the list. A manifest's copy that an old request has
 * overwritten takes no backup away.
 * @throws fileMissing (55), fileInvalid (28), lockAcquire (50)
 */
async function requireListedStill(repo: Repository, manifest: Manifest, lease: Lease, ctx: Context): Promise<void> {
  const { label } = manifest;
  try {
    await requireManifests(repo, label);
  } catch (error) {
    if (!isError(error, "fileMissing")) throw error;
    const harm = await findHarm(repo, manifest, error);
    if (harm === null) return;
    const unlist = async (info: BackupInfo): Promise<BackupInfo> => {
      await lease.check();
      return { ...info, backups: info.backups.filter((entry) => entry.label !== label) };
    };
    await saveListed(repo, lease, unlist, ctx);
    await removeManifests(repo, label, ctx);
    throw harm;
  }
}

/** Null when manifest and files are there; `doubt` when the manifest is gone. */
async function findHarm(repo: Repository, manifest: Manifest, doubt: BackupError): Promise<BackupError | null> {
  try {
    await requireStored(repo, manifest);
    return (await hasManifest(repo, manifest.label)) ? null : doubt;
  } catch (error) {
    if (isError(error, "fileMissing", "fileInvalid")) return error;
    throw error;
  }
}

async function removeManifests({ name, stanza, storage }: Repository, label: string, ctx: Context): Promise<void> {
  const path = manifestPath(stanza, label);
  for (const own of [path, copyOf(path), manifestHistoryPath(stanza, label)]) {
    await storage
      .remove(own)
      .catch((failure: unknown) =>
        ctx.log.warn(`${name}: unable to remove '${own}': ${toBackupError(failure).message}`),
      );
  }
}
