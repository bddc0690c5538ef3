/**
 * The contract of a storage driver: a tree of files below one root, named by `/`-separated relative paths without a
 * leading slash.
 *
 * Errors are BackupErrors: `fileMissing` (55) only if the storage truly answered that the file is missing; credentials
 * and rights `access` (105); network `hostConnect` (49); the provider's own failures `service` (101); local files by
 * their stock kinds. Transient errors are `retryable`; drivers retry such requests within bounds before they throw.
 */
import type { ByteStream } from "../base/bytes";

export interface StorageFeatures {
  /** Directories exist on their own; otherwise only files do and `makePath` does nothing. */
  readonly directories: boolean;
  readonly symlinks: boolean;
}

export interface ObjectInfo {
  /** Path relative to the storage's root. */
  readonly path: string;
  readonly type: "file" | "directory" | "link";
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
  /** A link's target, in a listing. */
  readonly destination?: string;
  /**
   * Version of the content, for {@link Storage.replace}: it changes with each write. Only from {@link Storage.stat}.
   */
  readonly version?: string;
  /**
   * End of the lock that this version shows to the key; absent without one. Only from {@link Storage.stat} of object
   * stores.
   */
  readonly lockedUntilMs?: number;
}

export interface ListOptions {
  /** False (default) lists the direct children of the path, files and directories; true lists every file below it. */
  readonly recursive?: boolean;
  /** Only names (of direct children) that start with this; object stores filter on the server. */
  readonly namePrefix?: string;
  /** True if only names and types are wanted: the rest may be missing, which saves directories a call for each file. */
  readonly namesOnly?: boolean;
}

export interface ByteRange {
  readonly offsetBytes: number;
  /** Absent reads to the end. */
  readonly sizeBytes?: number;
}

export interface PutOptions {
  /**
   * True (default): the file appears under its name only when complete and durable. False writes in place, for data
   * without references yet: durable once `syncPath` of its directory has returned. Object stores are always atomic.
   */
  readonly atomic?: boolean;
}

/** Reads a file into the caller's memory, synchronously. */
export interface BlockReader {
  /** Fills the beginning of `target` and returns the number of bytes; 0 at the end. */
  read(target: Uint8Array): number;
  close(): void;
}

/** Writes a file in place, durable like `putStream` without `atomic`. Each call copies its bytes before it returns. */
export interface BlockWriter {
  write(bytes: Uint8Array): void;
  /** Syncs the content and closes the file; on an error removes it. */
  finish(): Promise<void>;
  /** Closes and removes the file, whatever happened before. */
  abandon(): void;
}

/** An ability of a storage, or of the key in use. */
export interface StorageFact {
  /** `versions`. */
  readonly name: string;
  /** `warn` works and is dangerous, `fail` is needed and does not work, `skip` could not be tested. */
  readonly verdict: "ok" | "warn" | "fail" | "skip";
  readonly text: string;
  /** Length of the lock of new versions, if only locks keep this key from deleting them. */
  readonly lockedForMs?: number;
}

/** What a file system has. */
export interface Space {
  /** For this account. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface Storage {
  /** For messages: `/mnt/nas/pgbackrest` or `s3://bucket/prefix`. No secret. */
  readonly name: string;
  readonly features: StorageFeatures;

  /** Null if nothing has that name. Object stores answer for files only. */
  stat(path: string): Promise<ObjectInfo | null>;

  /**
   * Children or descendants in no particular order; a missing path lists nothing. A driver may name an entry twice:
   * `listedOnce` makes its listings sets.
   */
  list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo>;

  /** The content, or a part of it. A broken connection resumes at the offset reached. @throws fileMissing */
  read(path: string, range?: ByteRange): Promise<ByteStream>;

  /** Writes a small file whole, creating missing directories. Readers see the old or the new bytes. */
  put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;

  /**
   * Writes a small file whole if its name is free, creating missing directories; false if the name exists, whose file
   * stays unchanged. Exactly one of several callers gets true. `bytes` must be the caller's own (with a random token in
   * them): after a lost answer, a file with these bytes is the caller's. Absent if the storage cannot promise this.
   */
  create?(path: string, bytes: Uint8Array): Promise<boolean>;

  /**
   * Writes a small file whole if it still has the version from {@link stat}; false if it has another one or is missing,
   * and nothing changes. Even a late request never undoes another write. Absent if the storage cannot promise this; it
   * implies {@link create}.
   */
  replace?(path: string, bytes: Uint8Array, version: string): Promise<boolean>;

  /**
   * Writes a stream of unknown length in bounded memory. `open` returns the body. A driver that must start over calls
   * it again, and a source that cannot be read twice throws there. After an error the name is absent (atomic) or may
   * hold garbage (not atomic).
   */
  putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void>;

  /** {@link read} for threads that may block on a disk; only if reading is a system call. @throws fileMissing */
  openReader?(path: string, range?: ByteRange): BlockReader;

  /** {@link putStream} in place, creating missing directories, for such threads; only if writing is a system call. */
  openWriter?(path: string): Promise<BlockWriter>;

  /** Removes one file; a missing one is fine. */
  remove(path: string): Promise<void>;

  /** Removes a path with everything below it; a missing one is fine. Object stores delete in batches. */
  removePath(path: string): Promise<void>;

  /**
   * Removes a directory if it is empty, in one step: what another process creates there stays. A missing one is fine.
   * Only with `features.directories`.
   */
  removeDirectory?(path: string): Promise<void>;

  /** Creates a directory and its parents; does nothing on object stores. */
  makePath(path: string): Promise<void>;

  /**
   * Makes the names in a directory, or the content of a file, durable; does nothing if the storage has no such request.
   */
  syncPath(path: string): Promise<void>;

  /** Replaces the symbolic link `path` with one to `target`; only with `features.symlinks`. */
  link(path: string, target: string): Promise<void>;

  /**
   * Gives the file `existing` the additional name `path`, whose directory exists; only if files can have several names.
   * @throws fileMissing; featureNotSupported if the file system allows no (more) names
   */
  hardLink?(path: string, existing: string): Promise<void>;

  /** Null from a server that does not say it; absent where nothing has an end. */
  space?(): Promise<Space | null>;

  /**
   * Facts specific to this kind of storage, tested with files in the directory `scratch`, which the caller removes
   * afterwards.
   */
  probe?(scratch: string): Promise<StorageFact[]>;

  /**
   * Opens the directory `scratch`, which nothing else uses, as a storage of its own that can be attacked; the caller
   * closes it, and removes the directory afterwards. Only where old versions can survive.
   */
  openAttacked?(scratch: string): AttackedStorage;

  /** Frees connections; the storage must not be used afterwards. */
  close(): Promise<void>;
}

export interface AttackedStorage extends Storage {
  /** Does to every file what a thief with this key would do to a repository. */
  attack(): Promise<Attacked>;
}

export interface Attacked {
  readonly facts: readonly StorageFact[];
  /** The storage as it was before the attack; null if this key cannot read it, or nothing keeps it. */
  readonly past: Storage | null;
}
