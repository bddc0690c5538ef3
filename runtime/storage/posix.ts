/**
 * A directory of a local or mounted file system as a storage.
 *
 * Atomic writes use a temporary name unique to the writer, fsync, rename and fsync of the directory. Leftovers are
 * listed as they are. Files are 0640 and directories 0750 less the umask (pgBackRest 2.60 "storage/posix"). `cifs` is
 * the same without fsync of directories and without symbolic links, because SMB mounts have neither.
 */
import {
  closeSync,
  type FileHandle,
  link,
  lstat,
  open,
  openSync,
  readdir,
  readEntries,
  readlink,
  readSync,
  rename,
  rm,
  rmdir,
  statfs,
  type Stats,
  statSync,
  symlink,
  unlink,
} from "../local/nodeFiles";
import { dirname } from "node:path";
import { type ByteStream, streamOf } from "../base/bytes";
import { type BackupError, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import { mapParallel } from "../base/parallel";
import { type Random, systemRandom } from "../base/random";
import { temporaryName } from "../base/temporaryName";
import {
  atomicCreate,
  atomicWrite,
  makeDirectories,
  NO_MORE_NAMES,
  OPEN_READ,
  syncDirectory,
  type WriteOptions,
  writeDirectly,
} from "../local/atomicWrite";
import { openFileWriter } from "../local/fileWriter";
import { isMissing, nullIfMissing, systemCodeOf, systemError } from "../local/systemError";
import { checkDirectoryPath, checkPath, joinPath } from "./paths";
import { probePosix } from "./posixProbe";
import type {
  BlockReader,
  BlockWriter,
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Space,
  Storage,
  StorageFact,
  StorageFeatures,
} from "./storage";

export interface PosixOptions {
  /** Absolute directory of the repository. */
  readonly root: string;
  /** False on SMB mounts. */
  readonly syncDirectories: boolean;
  readonly symlinks: boolean;
  /** Whether files can have several names; default false. */
  readonly hardLinks?: boolean;
  /** See {@link WriteOptions}. */
  readonly syncEveryBytes?: number;
  /** For temporary names; default the system's random source. */
  readonly random?: Random;
  readonly signal: AbortSignal;
}

/** Read size at the beginning of a file, and after a part that was shorter than asked for. */
const FIRST_CHUNK_SIZE_BYTES = 64 * 1024;
const END_CHUNK_SIZE_BYTES = 4 * 1024;
/** Entries of a directory that are examined together. */
const STAT_BATCH = 64;
const REMOVED_AT_ONCE = 8;
/** rmdir(2) names both for a directory with entries. */
const NOT_EMPTY = new Set(["EEXIST", "ENOTEMPTY"]);
/** A repository is about ten levels deep; a loop of mounts would be endless. */
const DEPTH_MAX = 128;

export class PosixStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures;
  readonly hardLink?: (path: string, existing: string) => Promise<void>;
  readonly #options: PosixOptions;
  readonly #random: Random;

  constructor(options: PosixOptions) {
    this.#options = options;
    this.#random = options.random ?? systemRandom;
    this.name = options.root;
    this.features = { directories: true, symlinks: options.symlinks };
    if (options.hardLinks === true) this.hardLink = (path, existing) => this.#hardLink(path, existing);
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkDirectoryPath(path);
    const stats = await this.#lstat(this.#full(path));
    return stats === null ? null : infoOf(path, stats);
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const { namePrefix = "", namesOnly = false, recursive = false } = options;
    yield* namesOnly ? this.#listNames(path, namePrefix, recursive, 0) : this.#list(path, namePrefix, recursive, 0);
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    checkPath(path);
    const full = this.#full(path);
    let handle: FileHandle;
    try {
      handle = await open(full, OPEN_READ);
    } catch (error) {
      throw this.#openError(path, full, error);
    }
    if (range?.sizeBytes !== 0) return this.#readHandle(handle, full, range);
    await handle.close();
    return streamOf();
  }

  async put(path: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    await this.#write(path, bytes, options);
  }

  async create(path: string, bytes: Uint8Array): Promise<boolean> {
    checkPath(path);
    this.#throwIfAborted(path);
    return atomicCreate(this.#full(path), bytes, {
      syncDirectories: this.#options.syncDirectories,
      random: this.#random,
    });
  }

  async putStream(path: string, openSource: () => ByteStream, options: PutOptions = {}): Promise<void> {
    await this.#write(path, openSource(), options);
  }

  openReader(path: string, range?: ByteRange): BlockReader {
    checkPath(path);
    const full = this.#full(path);
    let fd: number;
    try {
      fd = openSync(full, OPEN_READ);
    } catch (error) {
      throw this.#openError(path, full, error);
    }
    let position = range?.offsetBytes ?? 0;
    const end = range?.sizeBytes === undefined ? Number.POSITIVE_INFINITY : position + range.sizeBytes;
    return {
      read: (target) => {
        this.#throwIfAborted(full);
        const sizeBytes = Math.min(target.length, end - position);
        if (sizeBytes <= 0) return 0;
        try {
          const readBytes = readSync(fd, target, 0, sizeBytes, position);
          position += readBytes;
          return readBytes;
        } catch (error) {
          throw readError(full, error);
        }
      },
      close: () => closeSync(fd),
    };
  }

  async openWriter(path: string): Promise<BlockWriter> {
    checkPath(path);
    this.#throwIfAborted(path);
    const { signal, syncDirectories } = this.#options;
    return openFileWriter(this.#full(path), { signal, syncDirectories });
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    const full = this.#full(path);
    try {
      await unlink(full);
    } catch (error) {
      if (!isMissing(error)) throw systemError("fileRemove", `remove '${full}'`, full, error);
    }
  }

  async removePath(path: string): Promise<void> {
    checkPath(path);
    const full = this.#full(path);
    try {
      // A link leads to what is not ours.
      if ((await lstat(full)).isDirectory()) await removeTree(full);
      else await unlink(full);
    } catch (error) {
      if (!isMissing(error)) throw systemError("pathRemove", `remove path '${full}'`, blamedPath(error, full), error);
    }
  }

  async removeDirectory(path: string): Promise<void> {
    checkPath(path);
    const full = this.#full(path);
    try {
      await rmdir(full);
    } catch (error) {
      if (!isMissing(error) && !NOT_EMPTY.has(systemCodeOf(error) ?? ""))
        throw systemError("pathRemove", `remove path '${full}'`, full, error);
    }
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
    await makeDirectories(this.#full(path), this.#options.syncDirectories);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
    if (this.#options.syncDirectories) await syncDirectory(this.#full(path));
  }

  async link(path: string, target: string): Promise<void> {
    checkPath(path);
    const full = this.#full(path);
    if (!this.features.symlinks)
      throw fail("featureNotSupported", `unable to link '${full}': this storage has no symbolic links`, { path });
    const temporary = temporaryName(full, this.#random);
    try {
      await makeDirectories(dirname(full), this.#options.syncDirectories);
      await symlink(target, temporary);
      await rename(temporary, full);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      if (systemCodeOf(error) === undefined) throw error;
      throw systemError("fileMove", `link '${full}' to '${target}'`, full, error);
    }
    if (this.#options.syncDirectories) await syncDirectory(dirname(full));
  }

  async #hardLink(path: string, existing: string): Promise<void> {
    checkPath(path);
    checkPath(existing);
    const full = this.#full(path);
    this.#throwIfAborted(full);
    try {
      await link(this.#full(existing), full);
    } catch (error) {
      const doing = `link '${full}' to '${this.#full(existing)}'`;
      if (isMissing(error)) throw systemError("fileMissing", doing, full, error);
      if (NO_MORE_NAMES.has(systemCodeOf(error) ?? "")) throw systemError("featureNotSupported", doing, full, error);
      throw systemError("fileMove", doing, full, error);
    }
  }

  async space(): Promise<Space> {
    const { root } = this.#options;
    try {
      const { bavail, blocks, bsize } = await statfs(root);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch (error) {
      throw systemError("fileInfo", `get free space of '${root}'`, root, error);
    }
  }

  async probe(): Promise<StorageFact[]> {
    return probePosix(this.#options.root, await this.space());
  }

  async close(): Promise<void> {
    // Readers and writers close their files.
  }

  #full(path: string): string {
    return joinPath(this.#options.root, path);
  }

  async #lstat(full: string): Promise<Stats | null> {
    try {
      return await lstat(full);
    } catch (error) {
      if (this.#isAbsent(error)) return null;
      throw systemError("fileInfo", `get info for path/file '${full}'`, full, error);
    }
  }

  async #write(path: string, content: Uint8Array | ByteStream, options: PutOptions): Promise<void> {
    checkPath(path);
    const { signal, syncDirectories, syncEveryBytes } = this.#options;
    this.#throwIfAborted(path);
    const writeOptions: WriteOptions = {
      signal,
      syncDirectories,
      random: this.#random,
      ...(syncEveryBytes === undefined ? {} : { syncEveryBytes }),
    };
    await ((options.atomic ?? true) ? atomicWrite : writeDirectly)(this.#full(path), content, writeOptions);
  }

  /** Reads one chunk ahead: the disk or network mount delivers it while the consumer works. */
  async *#readHandle(handle: FileHandle, full: string, range: ByteRange | undefined): ByteStream {
    let position = range?.offsetBytes ?? 0;
    const end = range?.sizeBytes === undefined ? Number.POSITIVE_INFINITY : position + range.sizeBytes;
    // Most files are small: large buffers for each would make garbage collection most of the work.
    let sizeBytes = FIRST_CHUNK_SIZE_BYTES;
    let pending: Promise<Uint8Array | BackupError> = Promise.resolve(new Uint8Array(0));
    try {
      pending = readChunk(handle, full, position, Math.min(sizeBytes, end - position));
      for (;;) {
        const chunk = await pending;
        if (!(chunk instanceof Uint8Array)) throw chunk;
        if (chunk.length === 0) return;
        this.#throwIfAborted(full);
        position += chunk.length;
        sizeBytes = chunk.length < sizeBytes ? END_CHUNK_SIZE_BYTES : LIMITS.chunkSizeBytes;
        pending = readChunk(handle, full, position, Math.min(sizeBytes, end - position));
        yield chunk;
      }
    } finally {
      await pending;
      await handle.close();
    }
  }

  async *#list(path: string, namePrefix: string, recursive: boolean, depth: number): AsyncIterable<ObjectInfo> {
    const names = (await this.#readdir<string>(path, depth, readdir)).filter((name) => name.startsWith(namePrefix));
    for (let first = 0; first < names.length; first += STAT_BATCH) {
      this.#throwIfAborted(this.#full(path));
      const batch = names.slice(first, first + STAT_BATCH).map((name) => joinPath(path, name));
      const batchStats = await Promise.all(batch.map((child) => this.#lstat(this.#full(child))));
      for (const [index, child] of batch.entries()) {
        const stats = batchStats[index];
        // Removed since the directory was read: treated as missing.
        if (stats === null || stats === undefined) continue;
        if (stats.isSymbolicLink()) yield await this.#infoOfLink(child, stats);
        else if (!recursive) yield infoOf(child, stats);
        else if (stats.isDirectory()) yield* this.#list(child, "", true, depth + 1);
        else yield infoOf(child, stats);
      }
    }
  }

  async *#listNames(path: string, namePrefix: string, recursive: boolean, depth: number): AsyncIterable<ObjectInfo> {
    this.#throwIfAborted(this.#full(path));
    for (const { name, type } of await this.#readdir(path, depth, readEntries)) {
      if (!name.startsWith(namePrefix)) continue;
      const child = joinPath(path, name);
      if (recursive && type === "directory") yield* this.#listNames(child, "", true, depth + 1);
      else yield { path: child, type, sizeBytes: 0, modifiedAtMs: 0 };
    }
  }

  async #infoOfLink(path: string, stats: Stats): Promise<ObjectInfo> {
    const destination = await readlink(this.#full(path)).catch(() => undefined);
    return { ...infoOf(path, stats), ...(destination === undefined ? {} : { destination }) };
  }

  async #readdir<T>(path: string, depth: number, read: (full: string) => Promise<T[]>): Promise<T[]> {
    const full = this.#full(path);
    if (depth >= DEPTH_MAX)
      throw fail("pathOpen", `path '${full}' is more than ${DEPTH_MAX} directories deep`, { path });
    try {
      return await read(full);
    } catch (error) {
      if (this.#isAbsent(error)) return [];
      throw systemError("pathOpen", `list file info for path '${full}'`, full, error);
    }
  }

  #openError(path: string, full: string, error: unknown): BackupError {
    if (this.#isAbsent(error))
      return fail("fileMissing", `unable to open missing file '${full}' for read`, { path, cause: error });
    return systemError("fileOpen", `open file '${full}' for read`, full, error);
  }

  /** A file at the repository's own path is not an empty repository: it is an error, whatever it contains. */
  #isAbsent(error: unknown): boolean {
    if (systemCodeOf(error) !== "ENOTDIR") return isMissing(error);
    return statSync(this.#options.root, { throwIfNoEntry: false })?.isDirectory() === true;
  }

  #throwIfAborted(path: string): void {
    if (this.#options.signal.aborted) throw fail("term", `terminated while working on '${path}'`, { path });
  }
}

/** The listing tells what a name is: Node's `rm` looks at each one, and tries each directory, before it removes it. */
async function removeTree(directory: string): Promise<void> {
  const entries = (await nullIfMissing(readEntries(directory))) ?? [];
  const files = entries.filter(({ type }) => type !== "directory");
  await mapParallel(files, REMOVED_AT_ONCE, ({ name }) => nullIfMissing(unlink(joinPath(directory, name))));
  for (const { name, type } of entries) if (type === "directory") await removeTree(joinPath(directory, name));
  await nullIfMissing(rmdir(directory));
}

function infoOf(path: string, stats: Stats): ObjectInfo {
  const type = stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "file";
  return { path, type, sizeBytes: type === "file" ? stats.size : 0, modifiedAtMs: stats.mtimeMs };
}

/**
 * The next chunk, empty at the end. An error is a value, because a rejected promise without a listener ends the
 * process.
 */
async function readChunk(
  handle: FileHandle,
  full: string,
  position: number,
  sizeBytes: number,
): Promise<Uint8Array | BackupError> {
  if (sizeBytes <= 0) return new Uint8Array(0);
  // Not from Node's pool and not reused: consumers keep chunks.
  const buffer = Buffer.allocUnsafeSlow(sizeBytes);
  try {
    const { bytesRead } = await handle.read(buffer, 0, sizeBytes, position);
    return bytesRead === sizeBytes ? buffer : buffer.subarray(0, bytesRead);
  } catch (error) {
    return readError(full, error);
  }
}

function readError(full: string, error: unknown): BackupError {
  // What pipes and sockets answer to a read at a position.
  if (systemCodeOf(error) !== "ESPIPE") return systemError("fileRead", `read '${full}'`, full, error);
  return fail("fileRead", `unable to read '${full}', which is a pipe or a device and not a file`, { path: full });
}

function blamedPath(error: unknown, fallback: string): string {
  return error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : fallback;
}
