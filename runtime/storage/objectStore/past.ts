/**
 * A bucket as it was at a time in the past, as `repo-target-time` of pgBackRest shows it: of each object the newest
 * version that is not younger, unless that is a delete marker. Only reads; every write fails.
 *
 * Times are the service's, compared in whole seconds: what was written within the target's second counts, as in stock.
 * Amazon dates an object that was uploaded in parts by the begin of its upload. Such an object may show although it was
 * complete only after the target time; nothing refers to it then, because an index is written after its data.
 */
import { compareBytes, type ByteStream, streamOf } from "../../base/bytes";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { SeenNames } from "../listedOnce";
import { checkDirectoryPath, checkPath, joinPath } from "../paths";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFeatures } from "../storage";
import { type ListedVersion, secondOf, type VersionPage } from "./objectVersions";

export interface PastOptions {
  readonly repoIndex: number;
  readonly bucket: string;
  readonly service: VersionedService;
  /** Milliseconds since 1970. */
  readonly targetTimeMs: number;
}

/** A service that may keep versions. */
export interface VersionedService {
  readonly title: string;
  readonly versioning: "none" | "optional" | "always";
  /** Why it is not known whether a bucket keeps versions; follows "shows no version of any object, and". */
  readonly unsure: string;
  /** For a key that may not read them. */
  readonly readHints: (repoIndex: number) => readonly string[];
  /** True for a version that only a bucket has which keeps them. */
  readonly isKept: (version: ListedVersion) => boolean;
}

/** A bucket that shows its versions. */
export interface VersionedBucket extends Pick<Storage, "name" | "features" | "close"> {
  read(path: string, range: ByteRange | undefined, versionId: string): Promise<ByteStream>;
  versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage>;
  keepsVersions(): Promise<boolean | null>;
}

/** The part of a listing that cannot change any more. */
export interface PastBatch {
  /** Objects that existed. */
  readonly objects: readonly ListedVersion[];
  /** Folders with an object of any time. */
  readonly folders: readonly string[];
  /** Every object whose key is smaller has been listed; null at the end. */
  readonly below: string | null;
}

/** Versions of about a thousand objects each. */
const DIRECTORIES_MAX = 128;
const FOLDERS_IN_FLIGHT = 8;

export class PastStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures;
  readonly #bucket: VersionedBucket;
  readonly #options: PastOptions;
  /** The least recently used first. The past does not change. */
  readonly #directories = new Map<string, PastDirectory>();
  #kept: Promise<boolean | null> | undefined;
  #hasShownVersions = false;

  /** @throws featureNotSupported if the provider keeps no versions */
  constructor(bucket: VersionedBucket, options: PastOptions) {
    this.name = bucket.name;
    this.features = bucket.features;
    this.#bucket = bucket;
    this.#options = options;
    const { title, versioning } = options.service;
    if (versioning === "none") throw this.#withoutVersions(`${title} keeps no versions`);
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    const version = await this.#find(path);
    return version === null ? null : infoOf(version);
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const prefix = `${path === "" ? "" : `${path}/`}${options.namePrefix ?? ""}`;
    if (options.recursive === true) {
      for await (const { objects } of this.#batches(prefix, null)) yield* objects.filter(isFile).map(infoOf);
      return;
    }
    const { folders, objects } = await this.#using(path, (directory) => directory.all());
    const shown = [...folders].filter((folder) => folder.startsWith(prefix));
    const existed = await mapParallel(shown, FOLDERS_IN_FLIGHT, (folder) => this.#hasAny(folder));
    for (const [index, folder] of shown.entries()) {
      if (existed[index] === true)
        yield { path: folder.replace(/\/$/, ""), type: "directory", sizeBytes: 0, modifiedAtMs: 0 };
    }
    for (const version of objects.values())
      if (version.key.startsWith(prefix) && isFile(version)) yield infoOf(version);
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    const version = await this.#find(path);
    if (version === null) {
      throw fail("fileMissing", `unable to get '${joinPath(this.name, path)}': the object did not exist at that time`, {
        path,
      });
    }
    return range?.sizeBytes === 0 ? streamOf() : this.#bucket.read(path, range, version.versionId);
  }

  put(path: string): Promise<void> {
    return this.#refuse("put", path);
  }

  putStream(path: string): Promise<void> {
    return this.#refuse("put", path);
  }

  remove(path: string): Promise<void> {
    return this.#refuse("remove", path);
  }

  removePath(path: string): Promise<void> {
    return this.#refuse("remove", path);
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  link(path: string): Promise<void> {
    return this.#refuse("link", path);
  }

  async close(): Promise<void> {
    await this.#bucket.close();
  }

  #find(path: string): Promise<ListedVersion | null> {
    checkPath(path);
    const slash = path.lastIndexOf("/");
    return this.#using(slash === -1 ? "" : path.slice(0, slash), (directory) => directory.find(path));
  }

  /**
   * A whole directory is listed instead of one object: a restore reads all of a backup's files, and a page has a
   * thousand of them.
   */
  async #using<T>(path: string, work: (directory: PastDirectory) => Promise<T>): Promise<T> {
    const directory =
      this.#directories.get(path) ?? new PastDirectory(this.#batches(path === "" ? "" : `${path}/`, "/"));
    this.#directories.delete(path);
    this.#directories.set(path, directory);
    const [oldest] = this.#directories.keys();
    if (this.#directories.size > DIRECTORIES_MAX && oldest !== undefined) this.#directories.delete(oldest);
    try {
      return await work(directory);
    } catch (error) {
      // The next use lists again.
      if (this.#directories.get(path) === directory) this.#directories.delete(path);
      throw error;
    }
  }

  /** Services list folders also when everything in them was written later or deleted before. */
  async #hasAny(folder: string): Promise<boolean> {
    for await (const { objects } of this.#batches(folder, null)) if (objects.length > 0) return true;
    return false;
  }

  #batches(prefix: string, delimiter: "/" | null): AsyncIterable<PastBatch> {
    return chooseVersions(this.#pages(prefix, delimiter), this.#options.targetTimeMs);
  }

  async *#pages(prefix: string, delimiter: "/" | null): AsyncIterable<VersionPage> {
    const isSure = await this.#checkVersions();
    const doing = `list versions of '${joinPath(this.name, prefix)}'`;
    const pages = this.#bucket.versionPages(prefix, delimiter, doing)[Symbol.asyncIterator]();
    for (;;) {
      const { done, value: page } = await pages.next().catch((error: unknown) => {
        throw isError(error, "access") ? this.#withoutRights(error) : error;
      });
      if (done === true) return;
      this.#hasShownVersions ||= page.versions.some(this.#options.service.isKept);
      if (!isSure && !this.#hasShownVersions && page.versions.length > 0) {
        throw this.#withoutVersions(
          `bucket '${this.#options.bucket}' shows no version of any object, and ${this.#options.service.unsure}`,
        );
      }
      yield page;
    }
  }

  /** A bucket without versions would look like one in which nothing was ever overwritten or deleted. */
  async #checkVersions(): Promise<boolean> {
    const { bucket, service } = this.#options;
    if (service.versioning === "always") return true;
    this.#kept ??= this.#bucket.keepsVersions();
    const kept = await this.#kept.catch((error: unknown) => {
      this.#kept = undefined;
      throw error;
    });
    if (kept === false) throw this.#withoutVersions(`bucket '${bucket}' keeps no versions`);
    return kept === true;
  }

  #withoutVersions(fact: string): BackupError {
    const { repoIndex } = this.#options;
    return fail("featureNotSupported", `repo${repoIndex} cannot be read as of a time: ${fact}`, {
      repoIndex,
      hint: [
        "Omit repo-target-time to read it as it is now, or use another repository with --repo.",
        "Only a bucket that kept versions before the attack or the mistake can be read as it was.",
      ],
    });
  }

  #withoutRights(error: BackupError): BackupError {
    const { repoIndex, service } = this.#options;
    return fail("access", error.message, { repoIndex, cause: error, hint: [...service.readHints(repoIndex)] });
  }

  async #refuse(doing: string, path: string): Promise<never> {
    throw fail(
      "featureNotSupported",
      `unable to ${doing} '${joinPath(this.name, path)}': the past can only be read (repo-target-time)`,
      { path, repoIndex: this.#options.repoIndex },
    );
  }
}

/** One directory, listed as far as it was needed. */
class PastDirectory {
  readonly #batches: AsyncIterator<PastBatch>;
  readonly #objects = new Map<string, ListedVersion>();
  readonly #folders = new Set<string>();
  #below: string | null = "";
  #step: Promise<void> | undefined;
  #error: BackupError | undefined;

  constructor(batches: AsyncIterable<PastBatch>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  async find(path: string): Promise<ListedVersion | null> {
    while (this.#below !== null && compareBytes(path, this.#below) >= 0) await this.#goOn();
    return this.#objects.get(path) ?? null;
  }

  async all(): Promise<{
    readonly objects: ReadonlyMap<string, ListedVersion>;
    readonly folders: ReadonlySet<string>;
  }> {
    while (this.#below !== null) await this.#goOn();
    return { objects: this.#objects, folders: this.#folders };
  }

  /** One page; callers at the same time share it. */
  #goOn(): Promise<void> {
    this.#step ??= this.#next().finally(() => {
      this.#step = undefined;
    });
    return this.#step;
  }

  async #next(): Promise<void> {
    // After an error an iterator looks complete.
    if (this.#error !== undefined) throw this.#error;
    try {
      const { done, value } = await this.#batches.next();
      if (done === true) this.#below = null;
      else {
        for (const version of value.objects) this.#objects.set(version.key, version);
        for (const folder of value.folders) this.#folders.add(folder);
        this.#below = value.below;
      }
    } catch (error) {
      this.#error = toBackupError(error);
      throw error;
    }
  }
}

/**
 * Yields the newest version of each key at the target time. The versions of one key may continue on the next page. Keys
 * must ascend from page to page, because a key counts as missing once a page shows a greater one; a page that comes
 * again changes nothing.
 * @throws service for keys in another order
 */
export async function* chooseVersions(
  pages: AsyncIterable<VersionPage>,
  targetTimeMs: number,
): AsyncIterable<PastBatch> {
  const targetS = secondOf({ modifiedAtMs: targetTimeMs });
  /** The last key of the page before, as far as it was listed; undefined if all its versions were too young. */
  let held: { readonly key: string; readonly version: ListedVersion | undefined } | null = null;
  const seen = new SeenNames();
  for await (const { versions, folders, next } of pages) {
    const chosen = new Map<string, ListedVersion>();
    if (held?.version !== undefined) chosen.set(held.key, held.version);
    let last: string = held?.key ?? "";
    for (const version of versions) {
      const isNew = seen.add(version.key);
      if (held !== null && compareBytes(version.key, held.key) < 0) {
        if (!isNew) continue;
        const text = `the service lists '${version.key}' after '${held.key}', and not in the order of the names`;
        throw fail("service", `unable to list versions: ${text}`, { path: version.key });
      }
      if (compareBytes(version.key, last) > 0) last = version.key;
      if (secondOf(version) <= targetS && !chosen.has(version.key)) chosen.set(version.key, version);
    }
    held = next === null ? null : { key: last, version: chosen.get(last) };
    if (held !== null) chosen.delete(last);
    yield {
      objects: [...chosen.values()].filter(({ isDeleted }) => !isDeleted),
      folders,
      below: next === null ? null : last,
    };
  }
}

/** Consoles create empty objects named like directories. */
function isFile({ key }: ListedVersion): boolean {
  return !key.endsWith("/");
}

function infoOf({ key, modifiedAtMs, sizeBytes }: ListedVersion): ObjectInfo {
  return { path: key, type: "file", sizeBytes, modifiedAtMs };
}
