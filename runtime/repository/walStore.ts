/**
 * WAL segments, partial segments, backup labels and timeline histories in a repository ("pgbackrest-format" 8).
 *
 * A segment's name contains the SHA-1 of its plain content: `<24>-<40 hex>[.ext]`; other content never replaces it.
 * History and backup-label files are stored under their own name, never compressed, and may be overwritten. All are
 * encrypted with the archive's key.
 */
import { basename } from "node:path";
import type { ByteStream } from "../base/bytes";
import { type CompressType, extensionOf, typeOfName } from "../format/codec/compress";
import { encrypt } from "../format/codec/cipher";
import { archiveIdPath, archivePath, walPath } from "../format/repository/repoPath";
import { parseArchivedName, parseWalName } from "../format/wal/walSegment";
import { requirePresent } from "./infoStore";
import { listNames, type Repository, unpack } from "./repository";

export interface StoredWal {
  /** Name without checksum and extension. */
  readonly name: string;
  readonly fileName: string;
  /** SHA-1 of the plain content; null for files without one in the name. */
  readonly sha1: string | null;
  readonly sizeRepoBytes: number;
}

/** True for names with a checksum and compressed content: segments and partial segments. */
export function isSegment(name: string): boolean {
  const parsed = parseWalName(name);
  return parsed !== null && (parsed.kind === "segment" || parsed.kind === "partial");
}

/** All files stored under this WAL file name: none, one, or (a damaged archive) several. */
export async function findWal(repo: Repository, archiveId: string, name: string): Promise<StoredWal[]> {
  const candidates = await findBeside(repo, archiveId, name, isSegment(name) ? `${name}-` : name);
  return candidates.filter((stored) => stored.name === name);
}

/** All files in this WAL file's directory with names that begin with `prefix`. */
export async function findBeside(
  repo: Repository,
  archiveId: string,
  name: string,
  prefix: string,
): Promise<StoredWal[]> {
  const files: StoredWal[] = [];
  for await (const entry of repo.storage.list(walDirectory(repo, archiveId, name), { namePrefix: prefix })) {
    const stored = storedWalOf(entry.path, entry.sizeBytes);
    if (stored !== null) files.push(stored);
  }
  return files;
}

/**
 * Every stored WAL file of an archive id, or of one of its directories (16 characters). Lists all names, so the cost
 * grows with the archive.
 */
export async function* listWal(repo: Repository, archiveId: string, directory?: string): AsyncIterable<StoredWal> {
  const root = archiveIdPath(repo.stanza, archiveId);
  for await (const entry of repo.storage.list(directory === undefined ? root : `${root}/${directory}`, {
    recursive: true,
  })) {
    const stored = storedWalOf(entry.path, entry.sizeBytes);
    if (stored !== null) yield stored;
  }
}

/** Archive ids (`15-1`) with a directory. */
export function listArchiveIds(repo: Repository): Promise<string[]> {
  return listNames(
    repo,
    archivePath(repo.stanza),
    (name, type) => type === "directory" && /^\d+(\.\d+)?-\d+$/.test(name),
  );
}

export interface WalToStore {
  readonly archiveId: string;
  readonly name: string;
  /** SHA-1 of the plain content; used for segments only. */
  readonly sha1: string;
  /** Compression of the bytes from `open`; `none` for files that are not segments. */
  readonly compressType: CompressType;
  /** The compressed content. */
  readonly open: () => ByteStream;
}

/**
 * Stores one WAL file atomically; `salt` returns 8 random bytes, used when the archive is encrypted with `pass`. On
 * return the file is in the repository, and not in an empty directory under a lost mount.
 * @throws pathMissing, retryable, when the repository went away meanwhile, and the storage's errors
 */
export async function putWal(
  repo: Repository,
  wal: WalToStore,
  pass: string | null,
  salt: () => Uint8Array,
): Promise<void> {
  const fileName = isSegment(wal.name) ? `${wal.name}-${wal.sha1}${extensionOf(wal.compressType)}` : wal.name;
  const open = pass === null ? wal.open : () => encrypt(wal.open(), pass, salt());
  await repo.storage.putStream(walPath(repo.stanza, wal.archiveId, fileName), open);
  await requirePresent(repo);
}

/**
 * Makes a listed file durable. Its writer may have been killed between the rename and the sync of the directory, and a
 * power failure would remove the name again. Does nothing on object stores.
 */
export async function makeDurable(repo: Repository, archiveId: string, fileName: string): Promise<void> {
  if (!repo.storage.features.directories) return;
  const path = walPath(repo.stanza, archiveId, fileName);
  // The directories may be as new as the file.
  const directories = [
    path.slice(0, path.lastIndexOf("/")),
    archiveIdPath(repo.stanza, archiveId),
    archivePath(repo.stanza),
  ];
  for (const each of [path, ...directories]) await repo.storage.syncPath(each);
}

/** The plain content of a stored WAL file. */
export async function openWal(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
): Promise<ByteStream> {
  const raw = await repo.storage.read(walPath(repo.stanza, archiveId, stored.fileName));
  return unpack(raw, {
    cipherPass: pass,
    compressType: stored.sha1 === null ? "none" : typeOfName(stored.fileName),
    raw: false,
  });
}

function walDirectory(repo: Repository, archiveId: string, name: string): string {
  const path = walPath(repo.stanza, archiveId, name);
  return path.slice(0, path.lastIndexOf("/"));
}

function storedWalOf(path: string, sizeRepoBytes: number): StoredWal | null {
  const fileName = basename(path);
  const archived = parseArchivedName(fileName);
  if (archived !== null) return { name: archived.name, fileName, sha1: archived.sha1, sizeRepoBytes };
  const plain = parseWalName(fileName);
  return plain !== null && (plain.kind === "history" || plain.kind === "backupLabel")
    ? { name: fileName, fileName, sha1: null, sizeRepoBytes }
    : null;
}
