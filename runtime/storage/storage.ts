/**
 * The contract of a storage driver: a tree of files below one root, named by `/`-separated relative paths without a leading slash.
 *
 * Errors are BackupErrors: `fileMissing` (55) only when the storage truly answered that there is no such file; credentials and rights
 * `access` (105); network `hostConnect` (49); the provider's own failures `service` (101); local files by their stock kinds. Errors that
 * may pass by themselves are `retryable`; drivers retry such requests themselves within bounds before they throw.
 */
import type { ByteStream } from "../base/bytes";

export interface StorageFeatures {
  /** A put replaces the old content in one step: readers see the old or the new bytes. */
  readonly atomicReplace: boolean;
  /** Directories exist by themselves; without them only files do and `makePath` does nothing. */
  readonly directories: boolean;
  readonly symlinks: boolean;
}

export interface ObjectInfo {
  /** Path relative to the storage's root. */
  readonly path: string;
  readonly type: "file" | "directory" | "link";
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  /** Where a link leads, in a listing. */
  readonly destination?: string;
  /** Of the content, for {@link Storage.replace}: each write gives the file another one. Only of {@link Storage.stat}. */
  readonly version?: string;
}

export interface ListOptions {
  /** False (default) lists the direct children of the path, files and directories; true lists every file below it. */
  readonly recursive?: boolean;
  /** Only names (of direct children) that start with this; object stores ask the server for just these. */
  readonly namePrefix?: string;
}

export interface ByteRange {
  readonly offsetBytes: number;
  /** Absent reads to the end. */
  readonly sizeBytes?: number;
}

export interface PutOptions {
  /**
   * True (default): the file appears under its name only when complete and durable. False writes in place, for data that nothing refers
   * to yet: durable once `syncPath` of its directory has returned. Object stores are always atomic.
   */
  readonly atomic?: boolean;
}

/** A file being read into memory of the caller, each call at once. */
export interface BlockReader {
  /** Fills the begin of `target` and returns how many bytes that were; 0 at the end. */
  read(target: Uint8Array): number;
  close(): void;
}

/** A file being written in place, durable like `putStream` without `atomic`. The bytes of each call are taken before it returns. */
export interface BlockWriter {
  write(bytes: Uint8Array): void;
  /** Content synced, file closed; an error removes the file. */
  finish(): Promise<void>;
  /** Closes and removes the file, whatever happened before. */
  abandon(): void;
}

/** Something that a storage, or the key that it is used with, can do or cannot. */
export interface StorageFact {
  /** `versions`. */
  readonly name: string;
  /** `warn` works and is dangerous, `fail` is needed and does not work, `skip` could not be asked. */
  readonly verdict: "ok" | "warn" | "fail" | "skip";
  readonly text: string;
}

export interface Storage {
  /** For messages: `/mnt/nas/pgbackrest` or `s3://bucket/prefix`. No secret. */
  readonly name: string;
  readonly features: StorageFeatures;

  /** Null when there is nothing of that name. Object stores answer for files only. */
  stat(path: string): Promise<ObjectInfo | null>;

  /** Children or descendants in no particular order; a missing path lists nothing. */
  list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo>;

  /** The content, or a part of it. A connection that breaks is resumed at the offset reached. @throws fileMissing */
  read(path: string, range?: ByteRange): Promise<ByteStream>;

  /** Writes a small file whole, making missing directories. */
  put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;

  /**
   * Writes a small file whole if there is none of its name, making missing directories; false when there is one, which stays as it is. Of any number
   * of callers one gets true. `bytes` must be the caller's own (with a random token in them): a file that holds them after a lost answer is
   * the caller's. Absent where the storage cannot promise this.
   */
  create?(path: string, bytes: Uint8Array): Promise<boolean>;

  /**
   * Writes a small file whole while it still has the version that {@link stat} showed; false when it has another or is gone, and it stays as it is. However late
   * the request arrives, it undoes nobody's write. Absent where the storage cannot promise this; where it is, {@link create} is too.
   */
  replace?(path: string, bytes: Uint8Array, version: string): Promise<boolean>;

  /**
   * Writes a stream of unknown length in bounded memory. `open` gives the body; a driver that must start over calls it again, and a
   * source that cannot be read twice throws there. On an error nothing is visible under the name (atomic) or garbage may be (not atomic).
   */
  putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void>;

  /** {@link read} for threads that may wait for a disk; only where reading is a call into the kernel. @throws fileMissing */
  openReader?(path: string, range?: ByteRange): BlockReader;

  /** {@link putStream} in place, making missing directories, for such threads; only where writing is a call into the kernel. */
  openWriter?(path: string): Promise<BlockWriter>;

  /** Removes one file; a missing one is fine. */
  remove(path: string): Promise<void>;

  /** Removes a path with everything below it; a missing one is fine. Object stores delete in batches. */
  removePath(path: string): Promise<void>;

  /** Makes a directory and its parents; nothing on object stores. */
  makePath(path: string): Promise<void>;

  /** Makes the names in a directory, or the content of a file, durable; nothing where that cannot be asked for. */
  syncPath(path: string): Promise<void>;

  /** Replaces the symbolic link `path` by one to `target`; only where `features.symlinks`. */
  link(path: string, target: string): Promise<void>;

  /**
   * Gives the file `existing` the further name `path`, whose directory is there; only where files can have several.
   * @throws fileMissing; featureNotSupported when the file system allows no (more) names
   */
  hardLink?(path: string, existing: string): Promise<void>;

  /** What only this kind of storage can tell, asked by files in the directory `scratch`, which the caller removes afterwards. */
  probe?(scratch: string): Promise<StorageFact[]>;

  /** Frees connections; the storage must not be used afterwards. */
  close(): Promise<void>;
}
