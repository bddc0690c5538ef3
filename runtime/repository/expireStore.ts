/**
 * Removes backups and WAL from a repository, in an order that survives a power failure at any point.
 *
 * First comes a mark in the backup's directory. Then backup.info loses the backup, so that it never names an incomplete
 * one. Then the manifests are removed, the newest first, then the directories. A killed run leaves a marked directory,
 * which the next run removes. Without the mark another run could list the backup again just before a late removal
 * arrives.
 */
import { EMPTY_BYTES, textOf, utf8 } from "../base/bytes";
import { isError, nullOn } from "../base/errors";
import { parseAttempt, renderAttempt } from "../format/repository/attemptFile";
import {
  archiveIdPath,
  backupPath,
  backupsPath,
  copyOf,
  expiredMarkPath,
  manifestPath,
  tombstonePath,
} from "../format/repository/repoPath";
import { findAttempt } from "./attempt";
import { loadManifestFile } from "./backupStore";
import type { Lease } from "./lease";
import { listNames, readFile, type Repository } from "./repository";

const WAL_DIRECTORY = /^[0-9A-F]{16}$/;
const WAL_FILE = /^[0-9A-F]{24}/;
const HISTORY_FILE = /^[0-9A-F]{8}\.history$/;

/**
 * Keeps others from listing the backup again. A mark in a listed backup's directory means nothing: expire was killed
 * right after it. `remover` is the lease of the run that will remove the files; null if no run will.
 */
export async function markExpired(
  { storage, stanza }: Repository,
  label: string,
  remover: Pick<Lease, "token" | "term" | "domain"> | null,
): Promise<void> {
  const bytes = remover === null ? EMPTY_BYTES : utf8(renderAttempt({ ...remover, source: null }));
  await storage.put(expiredMarkPath(stanza, label), bytes);
}

/** True when another host has begun to remove the backup, or the mark is unreadable: it may be asleep, and continue. */
export async function isRemovedElsewhere(repo: Repository, label: string, lease: Lease): Promise<boolean> {
  // A look costs a sixth of a failed read, and most backups have no mark.
  if (!(await isMarkedExpired(repo, label))) return false;
  const path = expiredMarkPath(repo.stanza, label);
  const bytes = await nullOn(readFile(repo, path, null), "fileMissing");
  if (bytes === null || bytes.length === 0) return false;
  try {
    return !lease.isOver(parseAttempt(textOf(bytes), path).domain);
  } catch (error) {
    if (isError(error, "format", "jsonFormat")) return true;
    throw error;
  }
}

/** How long another host may sleep and then write into a directory that was removed in the meantime. */
export const TOMBSTONE_MS = 24 * 60 * 60 * 1000;

/** Keeps `sync` from the label for a day. The caller is about to remove what another host began under it. */
export async function leaveTombstone({ storage, stanza }: Repository, label: string): Promise<void> {
  await storage.put(tombstonePath(stanza, label), EMPTY_BYTES);
}

/** When the label's tombstone ends; null if absent. */
export async function findTombstoneEndMs({ storage, stanza }: Repository, label: string): Promise<number | null> {
  const tombstone = await storage.stat(tombstonePath(stanza, label));
  return tombstone === null ? null : tombstone.modifiedAtMs + TOMBSTONE_MS;
}

/** True when expire has decided to remove the backup. */
export async function isMarkedExpired({ storage, stanza }: Repository, label: string): Promise<boolean> {
  return (await storage.stat(expiredMarkPath(stanza, label))) !== null;
}

/** Hides a backup from directory listings; the caller has removed it from backup.info. */
export async function removeManifests(repo: Repository, label: string, lease: Pick<Lease, "keep">): Promise<void> {
  const path = manifestPath(repo.stanza, label);
  for (const own of [path, copyOf(path)]) {
    await lease.keep();
    await repo.storage.remove(own);
  }
}

export async function removeBackupPath(repo: Repository, label: string): Promise<void> {
  await repo.storage.removePath(backupPath(repo.stanza, label));
}

/**
 * The label that an unfinished backup builds on, from its manifest copy; null for a full backup. `pass` is
 * backup.info's sub-passphrase.
 */
export async function loadUnfinishedPrior(
  repo: Repository,
  label: string,
  pass: string | null,
): Promise<string | null> {
  const path = copyOf(manifestPath(repo.stanza, label));
  return (await loadManifestFile(repo, path, pass)).prior ?? null;
}

/** How long an interrupted copy of `sync` waits for the next run. */
const COPY_KEPT_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * True for a copy that `sync` on this host has begun and not finished: the next one resumes it. Its manifest copy is
 * that of a complete backup, which an attempt of `backup` never has. One whose prior is no longer `listed` is useless.
 */
export async function isUnfinishedCopy(
  repo: Repository,
  label: string,
  {
    lease,
    listed,
    nowMs,
    pass,
  }: {
    readonly lease: Pick<Lease, "isOver">;
    readonly listed: ReadonlySet<string>;
    readonly nowMs: number;
    readonly pass: string | null;
  },
): Promise<boolean> {
  const attempt = await findAttempt(repo, label, pass);
  if (attempt === null || attempt.source !== null || attempt.token === "" || !lease.isOver(attempt.domain))
    return false;
  const path = copyOf(manifestPath(repo.stanza, label));
  const saved = await repo.storage.stat(path);
  if (saved === null || saved.modifiedAtMs < nowMs - COPY_KEPT_MS) return false;
  const manifest = await nullOn(loadManifestFile(repo, path, pass), "fileMissing", "format", "checksum", "crypto");
  if (manifest === null || manifest.stoppedAtS === 0) return false;
  return manifest.prior === undefined || listed.has(manifest.prior);
}

/** True when the directory has a manifest copy: of an unfinished or resumable backup. */
export async function hasManifestCopy(repo: Repository, label: string): Promise<boolean> {
  return (await repo.storage.stat(copyOf(manifestPath(repo.stanza, label)))) !== null;
}

/** Points `latest` at another backup, if the storage has links. */
export async function linkLatest(repo: Repository, label: string): Promise<void> {
  if (repo.latestLink && repo.storage.features.symlinks)
    await repo.storage.link(`${backupsPath(repo.stanza)}/latest`, label);
}

/** Directories (16 characters) and timeline histories of an archive id, each ascending. */
export async function listArchive(
  repo: Repository,
  archiveId: string,
): Promise<{ directories: string[]; histories: string[] }> {
  const isWanted = (name: string, type: string): boolean =>
    (type === "directory" ? WAL_DIRECTORY : HISTORY_FILE).test(name);
  const names = await listNames(repo, archiveIdPath(repo.stanza, archiveId), isWanted);
  return {
    directories: names.filter((name) => WAL_DIRECTORY.test(name)),
    histories: names.filter((name) => HISTORY_FILE.test(name)),
  };
}

/** Names of segments and their companions in a directory (16 characters), ascending. */
export function listWalDirectory(repo: Repository, archiveId: string, directory: string): Promise<string[]> {
  return listNames(repo, `${archiveIdPath(repo.stanza, archiveId)}/${directory}`, (name) => WAL_FILE.test(name));
}
