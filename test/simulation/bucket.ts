/**
 * A bucket that several processes share, and one process's view of it, in which every call is a step of the engine.
 *
 * A put, a removal and an exclusive creation are atomic. Removing a path lists it first and then deletes in batches, as
 * object stores do, so that other processes can act in between.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { type ByteStream, collect, streamOf } from "../../runtime/base/bytes";
import { fail } from "../../runtime/base/errors";
import { LIMITS } from "../../runtime/base/limits";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFeatures } from "../../runtime/storage/storage";
import type { Fault, Life } from "./engine";

const REMOVED_AT_ONCE = 6;
/** Entries that a listing names again. */
const REPEATED = 3;

export interface StoredFile {
  readonly bytes: Uint8Array;
  readonly modifiedAtMs: number;
  /** Checksum of path and content. */
  readonly print: number;
}

interface Change {
  readonly path: string;
  readonly before: StoredFile | undefined;
  readonly atMs: number;
}

/** The files, with a version and a checksum that show changes. */
export class Bucket {
  readonly key: number;
  readonly files = new Map<string, StoredFile>();
  /** Number of changes. */
  version = 0;
  /** Path of the last change. */
  lastPath = "";
  /** Checksum of the whole content. */
  state = 0;
  /** Files that the tested program did not write so: those of a thief, and what a lying storage made of a write. */
  readonly foreign = new WeakSet<StoredFile>();
  /** Since the start of the simulation. */
  clockMs: () => number = () => 0;
  readonly #changes: Change[] = [];

  constructor(key: number) {
    this.key = key;
  }

  /** The files as they were at that time. */
  filesAt(atMs: number): ReadonlyMap<string, StoredFile> {
    const files = new Map(this.files);
    for (const { path, before, atMs: changedAtMs } of this.#changes.toReversed()) {
      if (changedAtMs <= atMs) break;
      if (before === undefined) files.delete(path);
      else files.set(path, before);
    }
    return files;
  }

  put(path: string, bytes: Uint8Array, modifiedAtMs: number): StoredFile {
    this.lastPath = path;
    this.#forget(path);
    const print = crc32(bytes, crc32(path));
    const file = { bytes: new Uint8Array(bytes), modifiedAtMs, print };
    this.files.set(path, file);
    this.state ^= print;
    this.version++;
    return file;
  }

  remove(path: string): void {
    if (!this.files.has(path)) return;
    this.lastPath = path;
    this.#forget(path);
    this.files.delete(path);
    this.version++;
  }

  /** Replaces all files. */
  replace(files: ReadonlyMap<string, StoredFile>): void {
    this.files.clear();
    this.state = 0;
    for (const [path, file] of files) {
      this.files.set(path, file);
      this.state ^= file.print;
    }
    this.version++;
  }

  #forget(path: string): void {
    const before = this.files.get(path);
    this.#changes.push({ path, before, atMs: this.clockMs() });
    this.state ^= before?.print ?? 0;
  }
}

/**
 * Conditions that writes support. `versions`: as Amazon S3. `creation`: only if the file does not exist, as a
 * directory. `none`: as an old clone of S3, where nobody can know whether a file existed before.
 */
export type Conditions = "versions" | "creation" | "none";

/** A repository's storage as a running program sees it. */
export class SimStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  /** Returns false if the file exists. */
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly replace?: (path: string, bytes: Uint8Array, version: string) => Promise<boolean>;
  readonly #bucket: Bucket;
  readonly #life: Life;
  readonly isAway: boolean;

  /** @param isAway the program cannot reach it */
  constructor(bucket: Bucket, life: Life, conditions: Conditions, isAway = false) {
    this.name = `memory${bucket.key}`;
    this.#bucket = bucket;
    this.#life = life;
    this.isAway = isAway;
    if (conditions !== "none") this.create = (path, bytes) => this.#create(path, bytes);
    if (conditions === "versions") this.replace = (path, bytes, version) => this.#replace(path, bytes, version);
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    return this.#call("stat", path, "read", (fault) => {
      const file = this.#filesFor(fault).get(path);
      return file === undefined ? null : { ...infoOf(path, file), version: String(file.print) };
    });
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    const depth = options.recursive === true ? "all of " : "";
    yield* await this.#call(
      "list",
      `${depth}${path}${options.namePrefix === undefined ? "" : `/${options.namePrefix}*`}`,
      "list",
      (fault) => this.#listNow(path, options, fault),
    );
  }

  #filesFor(fault: Fault | null): ReadonlyMap<string, StoredFile> {
    return fault?.kind === "stale" ? this.#bucket.filesAt(this.#bucket.clockMs() - fault.ms) : this.#bucket.files;
  }

  #listNow(path: string, options: ListOptions, fault: Fault | null): ObjectInfo[] {
    const listed = listOf(this.#filesFor(fault), path, options);
    switch (fault?.kind) {
      case "hide": {
        const above = path === "" ? 0 : path.length + 1;
        const childOf = (entry: ObjectInfo): string => entry.path.slice(above).split("/")[0] ?? "";
        const names = [...new Set(listed.map(childOf))].sort();
        const hidden = names[fault.pick % Math.max(1, names.length)];
        return listed.filter((entry) => childOf(entry) !== hidden);
      }
      case "short":
        return listed.slice(0, Math.floor(listed.length / 2));
      case "twice": {
        const from = fault.pick % Math.max(1, listed.length);
        return [...listed.slice(0, from + REPEATED), ...listed.slice(from)];
      }
      case "mixed": {
        const border = listed[Math.floor(listed.length / 2)]?.path ?? "";
        const old = listOf(this.#bucket.filesAt(this.#bucket.clockMs() - fault.ms), path, options);
        return [...listed.filter((entry) => entry.path < border), ...old.filter((entry) => entry.path >= border)];
      }
      default:
        return listed;
    }
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    const bytes = await this.#call("read", path, "read", (fault) => {
      const file = this.#filesFor(fault).get(path);
      if (file === undefined) throw fail("fileMissing", `unable to open missing file '${path}' for read`, { path });
      return fault?.kind === "short" ? halfOf(file.bytes) : file.bytes;
    });
    const start = range?.offsetBytes ?? 0;
    return streamOf(bytes.slice(start, range?.sizeBytes === undefined ? undefined : start + range.sizeBytes));
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    await this.#put(path, bytes, this.#life.nowMs);
  }

  /** The upload begins before its content is read. */
  async putStream(path: string, open: () => ByteStream): Promise<void> {
    const issuedAtMs = this.#life.nowMs;
    await this.#put(path, await collect(open(), LIMITS.wholeFileSizeBytesMax), issuedAtMs);
  }

  async #put(path: string, bytes: Uint8Array, issuedAtMs: number): Promise<void> {
    const copy = new Uint8Array(bytes);
    await this.#call("put", path, "write", (fault) => this.#putNow(path, copy, fault), issuedAtMs);
  }

  async remove(path: string): Promise<void> {
    await this.#call("remove", path, "write", (fault) => {
      if (fault?.kind !== "forget") this.#bucket.remove(path);
    });
  }

  async removePath(path: string): Promise<void> {
    const all = await this.#call("list", `for removal ${path}`, "list", (fault) =>
      this.#listNow(path, { recursive: true }, fault),
    );
    for (let first = 0; first < all.length; first += REMOVED_AT_ONCE) {
      const batch = all.slice(first, first + REMOVED_AT_ONCE);
      await this.#call("remove", `${batch.length} files of ${path}`, "write", (fault) => {
        if (fault?.kind === "forget") return;
        for (const entry of batch) this.#bucket.remove(entry.path);
      });
    }
  }

  async makePath(): Promise<void> {
    // A bucket has no directories.
  }

  async syncPath(): Promise<void> {
    // A bucket has no directories.
  }

  async link(path: string): Promise<void> {
    throw fail("featureNotSupported", `unable to link '${path}': this storage has no symbolic links`, { path });
  }

  async close(): Promise<void> {
    // Nothing to close.
  }

  async #create(path: string, bytes: Uint8Array): Promise<boolean> {
    const copy = new Uint8Array(bytes);
    return this.#call("create", path, "write", (fault) => {
      if (this.#bucket.files.has(path)) return false;
      this.#putNow(path, copy, fault);
      return true;
    });
  }

  async #replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    const copy = new Uint8Array(bytes);
    return this.#call("replace", path, "write", (fault) => {
      if (String(this.#bucket.files.get(path)?.print) !== version) return false;
      this.#putNow(path, copy, fault);
      return true;
    });
  }

  #putNow(path: string, bytes: Uint8Array, fault: Fault | null): void {
    if (fault?.kind === "forget") return;
    const isShort = fault?.kind === "short";
    const before = this.#bucket.files.get(path);
    const file = this.#bucket.put(path, isShort ? halfOf(bytes) : bytes, this.#life.clock.nowMs());
    if (isShort) this.#bucket.foreign.add(file);
    // Two hosts that copy one backup write the same bytes: one that wakes up may finish the files that it was writing.
    if (this.#life.verb.startsWith("sync") && before?.print === file.print) this.#bucket.lastPath = "";
  }

  #call<T>(
    verb: string,
    path: string,
    kind: "read" | "list" | "write",
    apply: (fault: Fault | null) => T,
    issuedAtMs?: number,
  ): Promise<T> {
    const apart = (fault: Fault | null): T => {
      if (this.isAway) throw fail("service", `${this.name} does not answer`, { retryable: true });
      return apply(fault);
    };
    return this.#life.call(`${verb} repo${this.#bucket.key} ${path}`, kind, apart, this.#bucket.key, issuedAtMs);
  }
}

/** In order. */
function listOf(files: ReadonlyMap<string, StoredFile>, path: string, options: ListOptions): ObjectInfo[] {
  const above = path === "" ? "" : `${path}/`;
  const prefix = `${above}${options.namePrefix ?? ""}`;
  const result = new Map<string, ObjectInfo>();
  for (const [filePath, file] of files) {
    if (!filePath.startsWith(prefix)) continue;
    const slash = filePath.indexOf("/", above.length);
    const child = slash === -1 ? filePath : filePath.slice(0, slash);
    if (options.recursive === true || slash === -1) result.set(filePath, infoOf(filePath, file));
    else result.set(child, { path: child, type: "directory", sizeBytes: 0, modifiedAtMs: 0 });
  }
  return [...result.values()].sort((left, right) => (left.path < right.path ? -1 : 1));
}

function halfOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.length >> 1);
}

function infoOf(path: string, file: StoredFile): ObjectInfo {
  return { path, type: "file", sizeBytes: file.bytes.length, modifiedAtMs: file.modifiedAtMs };
}

export function sha1Of(bytes: Uint8Array): string {
  return createHash("sha1").update(bytes).digest("hex");
}
