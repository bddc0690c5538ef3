/**
 * A storage in memory that follows every rule of the contract, for tests that are not about file systems or servers.
 */
import { createHash } from "node:crypto";
import { type ByteStream, collect } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { LIMITS } from "../../../runtime/base/limits";
import { checkDirectoryPath, checkPath, joinPath } from "../../../runtime/storage/paths";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFeatures } from "../../../runtime/storage/storage";

export interface MemoryFile {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
}

export interface MemoryOptions {
  readonly name?: string;
  readonly nowMs?: () => number;
  readonly files?: ReadonlyMap<string, MemoryFile>;
  /** False: like an object store without conditional writes. */
  readonly createsExclusively?: boolean;
  /** False: like a file system, which creates exclusively and has no versions. */
  readonly replaces?: boolean;
}

/** Behaves like an object store: only files exist, and a put is atomic. */
export class MemoryStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  /** By path. Tests may read and change it. */
  readonly files: Map<string, MemoryFile>;
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly replace?: (path: string, bytes: Uint8Array, version: string) => Promise<boolean>;
  readonly #nowMs: () => number;

  constructor(options: MemoryOptions = {}) {
    this.name = options.name ?? "memory";
    this.#nowMs = options.nowMs ?? (() => Date.UTC(2026, 10, 20, 6, 40, 59));
    this.files = new Map(options.files);
    if (options.createsExclusively === false) return;
    this.create = (path, bytes) => this.#create(path, bytes);
    if (options.replaces !== false) this.replace = (path, bytes, version) => this.#replace(path, bytes, version);
  }

  /** An independent copy, for example of the state after a crash. */
  clone(name = this.name): MemoryStorage {
    const [createsExclusively, replaces] = [this.create !== undefined, this.replace !== undefined];
    return new MemoryStorage({ name, nowMs: this.#nowMs, files: this.files, createsExclusively, replaces });
  }

  /** Content as text. @throws fileMissing */
  text(path: string): string {
    return Buffer.from(this.#file(path).bytes).toString("utf8");
  }

  /** Sorted paths of all files. */
  paths(): string[] {
    return [...this.files.keys()].sort();
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkPath(path);
    const file = this.files.get(path);
    if (file === undefined) return null;
    return this.replace === undefined ? infoOf(path, file) : { ...infoOf(path, file), version: versionOf(file) };
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const above = path === "" ? "" : `${path}/`;
    const prefix = `${above}${options.namePrefix ?? ""}`;
    const seen = new Set<string>();
    // A listing does not include files written while it runs.
    const snapshot = [...this.files];
    for (const [filePath, file] of snapshot) {
      if (!filePath.startsWith(prefix)) continue;
      const slash = filePath.indexOf("/", above.length);
      if (options.recursive === true || slash === -1) yield infoOf(filePath, file);
      else {
        const directory = filePath.slice(0, slash);
        if (!seen.has(directory)) yield { path: directory, type: "directory", sizeBytes: 0, modifiedAtMs: 0 };
        seen.add(directory);
      }
    }
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    checkPath(path);
    const { bytes } = this.#file(path);
    const start = range?.offsetBytes ?? 0;
    return chunks(bytes.subarray(start, range?.sizeBytes === undefined ? undefined : start + range.sizeBytes));
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    this.files.set(path, { bytes: Uint8Array.from(bytes), modifiedAtMs: this.#nowMs() });
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    await this.put(path, await collect(open(), LIMITS.wholeFileSizeBytesMax));
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    this.files.delete(path);
  }

  async removePath(path: string): Promise<void> {
    checkPath(path);
    for (const filePath of this.files.keys()) if (filePath.startsWith(`${path}/`)) this.files.delete(filePath);
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async link(path: string): Promise<void> {
    throw fail(
      "featureNotSupported",
      `unable to link '${joinPath(this.name, path)}': this storage has no symbolic links`,
      { path },
    );
  }

  async close(): Promise<void> {
    // There is nothing to release.
  }

  async #create(path: string, bytes: Uint8Array): Promise<boolean> {
    checkPath(path);
    if (this.files.has(path)) return false;
    await this.put(path, bytes);
    return true;
  }

  async #replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    checkPath(path);
    const file = this.files.get(path);
    if (file === undefined || versionOf(file) !== version) return false;
    await this.put(path, bytes);
    return true;
  }

  #file(path: string): MemoryFile {
    const file = this.files.get(path);
    if (file === undefined)
      throw fail("fileMissing", `unable to open missing file '${joinPath(this.name, path)}' for read`, { path });
    return file;
  }
}

/** The ETag that Amazon S3 computes. */
function versionOf({ bytes }: MemoryFile): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

function infoOf(path: string, file: MemoryFile): ObjectInfo {
  return { path, type: "file", sizeBytes: file.bytes.length, modifiedAtMs: file.modifiedAtMs };
}

async function* chunks(bytes: Uint8Array): ByteStream {
  for (let offset = 0; offset < bytes.length; offset += LIMITS.chunkSizeBytes)
    yield bytes.slice(offset, offset + LIMITS.chunkSizeBytes);
}

/** Answers that it has stored files whose paths match, and does not store them. */
export class ForgetfulStorage extends MemoryStorage {
  /** Null stores everything. */
  forgets: RegExp | null = null;

  override async put(path: string, bytes: Uint8Array): Promise<void> {
    if (this.forgets?.test(path) !== true) await super.put(path, bytes);
  }
}
