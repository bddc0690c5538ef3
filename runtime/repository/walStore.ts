/**
 * WAL segments, partial segments, backup labels and timeline histories in a repository ("pgbackrest-format" 8).
 *
 * A segment's name contains the SHA-1 of its plain content: `<24>-<40 hex>[.ext]`; other content never replaces it.
 * History and backup-label files are stored under their own name, never compressed. All are encrypted with the
 * archive's key. A listed name proves nothing about the content: {@link canBeWhole} judges the size, {@link isIntact}
 * reads.
 */
import { basename } from "node:path";
import { type ByteStream, limited } from "../base/bytes";
import { isError } from "../base/errors";
import { Measured } from "../base/hash";
import { LIMITS } from "../base/limits";
import { mapParallel } from "../base/parallel";
import { type CompressType, extensionOf, typeOfName } from "../format/codec/compress";
import { encrypt, encryptBytes } from "../format/codec/cipher";
import { archiveIdPath, archivePath, walPath } from "../format/repository/repoPath";
import { parseArchivedName, parseWalName } from "../format/wal/walSegment";
import { requirePresent } from "./infoStore";
import { listNames, type Repository, unpack } from "./repository";
import type { ObjectInfo } from "../storage/storage";

export interface StoredWal {
  /** Name without checksum and extension. */
  readonly name: string;
  readonly fileName: string;
  /** SHA-1 of the plain content; null for files without one in the name. */
  readonly sha1: string | null;
  readonly sizeRepoBytes: number;
  readonly modifiedAtMs: number;
}

/** A shorter file holds no segment, whatever its compression: PostgreSQL's first page header alone has 40 bytes. */
const SEGMENT_SIZE_REPO_BYTES_MIN = 40;

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
    const stored = storedWalOf(entry);
    if (stored !== null) files.push(stored);
  }
  return files;
}

/** False for a segment that was emptied or cut to nearly nothing. */
export function canBeWhole({ name, sizeRepoBytes }: StoredWal): boolean {
  return sizeRepoBytes >= (isSegment(name) ? SEGMENT_SIZE_REPO_BYTES_MIN : 1);
}

/** Reads a stored file: false when it is damaged or has other content. @throws errors of reading */
export async function isIntact(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
  plain: { readonly sha1: string; readonly sizeBytes: number },
): Promise<boolean> {
  const measured = new Measured();
  let sizeBytes = 0;
  try {
    for await (const chunk of await openWal(repo, archiveId, stored, pass)) {
      measured.add(chunk);
      sizeBytes += chunk.length;
      // A compressed file can be endless.
      if (sizeBytes > plain.sizeBytes) return false;
    }
  } catch (error) {
    if (!isError(error, "checksum", "crypto", "fileInvalid", "fileMissing", "format")) throw error;
    return false;
  }
  return measured.result().sha1 === plain.sha1;
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
    const stored = storedWalOf(entry);
    if (stored !== null) yield stored;
  }
}

/** Directories that {@link listWalInTurn} lists at once: hides a store's latency. */
const DIRECTORIES_AT_ONCE = 4;
const DIRECTORY_NAME = /^[0-9A-F]{16}$/;

/** What lies at the top of an archive id. */
export interface ArchiveTop {
  /** Directories of segments, each of one timeline and 4 GiB of WAL; ascending. */
  readonly directories: readonly string[];
  /** Files outside of these directories, such as timeline histories; ascending. */
  readonly files: readonly StoredWal[];
}

export async function listArchiveTop(repo: Repository, archiveId: string): Promise<ArchiveTop> {
  const files: StoredWal[] = [];
  const directories: string[] = [];
  for await (const entry of repo.storage.list(archiveIdPath(repo.stanza, archiveId))) {
    const name = basename(entry.path);
    if (entry.type === "directory" && DIRECTORY_NAME.test(name)) directories.push(name);
    const stored = storedWalOf(entry);
    if (stored !== null) files.push(stored);
  }
  return { directories: directories.sort(), files: files.sort(byFileName) };
}

/** The files of one directory, ascending. */
export async function listFiles(repo: Repository, archiveId: string, directory: string): Promise<StoredWal[]> {
  const files: StoredWal[] = [];
  for await (const stored of listWal(repo, archiveId, directory)) files.push(stored);
  return files.sort(byFileName);
}

/**
 * The files of {@link listWal} in lists of a few directories, all files of one in the same list: memory holds the names
 * of one list. Lists, and files in them, ascend by their names; timeline histories come first. Listings that are
 * `known` are not repeated; their directories are named `<archive id>/<directory>`.
 */
export async function* listWalInTurn(
  repo: Repository,
  archiveId: string,
  known: {
    readonly top: Promise<ArchiveTop>;
    readonly files: ReadonlyMap<string, Promise<readonly StoredWal[]>>;
  } = { top: listArchiveTop(repo, archiveId), files: new Map() },
): AsyncIterable<readonly StoredWal[]> {
  const { directories, files: histories } = await known.top;
  yield histories;
  for (let next = 0; next < directories.length; next += DIRECTORIES_AT_ONCE) {
    const some = directories.slice(next, next + DIRECTORIES_AT_ONCE);
    const files = await mapParallel(
      some,
      DIRECTORIES_AT_ONCE,
      (directory) => known.files.get(`${archiveId}/${directory}`) ?? listFiles(repo, archiveId, directory),
    );
    yield files.flat();
  }
}

function byFileName(left: StoredWal, right: StoredWal): number {
  return left.fileName < right.fileName ? -1 : 1;
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
 * @returns its name and the number of bytes sent
 * @throws pathMissing, retryable, when the repository went away in the meantime, and the storage's errors
 */
export async function putWal(
  repo: Repository,
  wal: WalToStore,
  pass: string | null,
  salt: () => Uint8Array,
): Promise<Pick<StoredWal, "fileName" | "sizeRepoBytes">> {
  const fileName = isSegment(wal.name) ? `${wal.name}-${wal.sha1}${extensionOf(wal.compressType)}` : wal.name;
  let sizeRepoBytes = 0;
  async function* sent(): ByteStream {
    sizeRepoBytes = 0;
    for await (const chunk of pass === null ? wal.open() : encrypt(wal.open(), pass, salt())) {
      sizeRepoBytes += chunk.length;
      yield chunk;
    }
  }
  await repo.storage.putStream(walPath(repo.stanza, wal.archiveId, fileName), sent);
  await requirePresent(repo);
  return { fileName, sizeRepoBytes };
}

/**
 * Stores a history or backup label if its name is free; false if it exists. Where the storage cannot promise that, an
 * existing file is replaced.
 * @throws as {@link putWal}
 */
export async function createNamedWal(
  repo: Repository,
  { archiveId, name }: Pick<WalToStore, "archiveId" | "name">,
  bytes: Uint8Array,
  pass: string | null,
  salt: () => Uint8Array,
): Promise<boolean> {
  const path = walPath(repo.stanza, archiveId, name);
  const stored = pass === null ? bytes : encryptBytes(bytes, pass, salt());
  if (repo.storage.create === undefined) await repo.storage.put(path, stored);
  else if (!(await repo.storage.create(path, stored))) return false;
  await requirePresent(repo);
  return true;
}

/** Removes a stored file whose content was read and found damaged. */
export async function removeDamagedWal(repo: Repository, archiveId: string, fileName: string): Promise<void> {
  await repo.storage.remove(walPath(repo.stanza, archiveId, fileName));
}

/** The size of a stored file by its name, which a listing may not show yet; null when it does not exist. */
export async function lookUpWal(repo: Repository, archiveId: string, fileName: string): Promise<StoredWal | null> {
  const entry = await repo.storage.stat(walPath(repo.stanza, archiveId, fileName));
  return entry === null ? null : storedWalOf(entry);
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

/** The plain content of a stored WAL file. @throws fileInvalid while it is read, before it exceeds its limit */
export async function openWal(
  repo: Repository,
  archiveId: string,
  stored: StoredWal,
  pass: string | null,
  segmentSizeBytes: number = LIMITS.walSegmentSizeBytesMax,
  unpacking: typeof unpack = unpack,
): Promise<ByteStream> {
  const raw = await repo.storage.read(walPath(repo.stanza, archiveId, stored.fileName));
  const isText = stored.sha1 === null;
  const compressType = isText ? "none" : typeOfName(stored.fileName);
  const plain = unpacking(raw, { cipherPass: pass, compressType, raw: false });
  return limited(plain, isText ? LIMITS.walTextSizeBytesMax : segmentSizeBytes);
}

function walDirectory(repo: Repository, archiveId: string, name: string): string {
  const path = walPath(repo.stanza, archiveId, name);
  return path.slice(0, path.lastIndexOf("/"));
}

/** Null for a directory, whatever its name. */
function storedWalOf({ modifiedAtMs, path, sizeBytes, type }: ObjectInfo): StoredWal | null {
  if (type === "directory") return null;
  const fileName = basename(path);
  const facts = { fileName, sizeRepoBytes: sizeBytes, modifiedAtMs };
  const archived = parseArchivedName(fileName);
  if (archived !== null) return { name: archived.name, sha1: archived.sha1, ...facts };
  const plain = parseWalName(fileName);
  return plain !== null && (plain.kind === "history" || plain.kind === "backupLabel")
    ? { name: fileName, sha1: null, ...facts }
    : null;
}
