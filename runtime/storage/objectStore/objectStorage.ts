/**
 * What the storages of all object stores share. Objects are files; `/` in keys makes directories, which exist while
 * they contain something. A put is atomic and durable when it returns.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { assert, fail } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { checkDirectoryPath, checkPath, joinPath } from "../paths";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFeatures } from "../storage";
import type { AttackTarget } from "./attack";
import { KeyPrefix, type KeyPrefixOptions, type ListedPage } from "./keyPrefix";
import { eachPage } from "./pages";
import type { UploadLocation } from "./partUpload";
import type { StoreProbe } from "./probeFacts";
import { BEHIND_END, getRange, resumedBody } from "./rangedRead";
import type { StoreAnswer, StoreHttp, StoreHttpOptions } from "./storeHttp";
import type { RequestFacts } from "./transportFailure";

export interface ObjectStorageOptions {
  readonly repoIndex: number;
  /** Prefix of all keys, without its leading slash. */
  readonly path: string;
  readonly partSizeBytes: number;
  readonly verifyTls: boolean;
  /** PEM text of the trusted authorities. */
  readonly ca?: string;
  /** Only such a storage can be attacked. */
  readonly isScratch?: true;
}

export type ObjectStorageDeps = Pick<
  StoreHttpOptions<RequestFacts>,
  "clock" | "random" | "signal" | "ioTimeoutMs" | "isKeyProven"
>;

type Query = Readonly<Record<string, string>>;

const DELETES_IN_FLIGHT = 8;

export abstract class ObjectStorage<P extends ListedPage> implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  protected readonly keys: KeyPrefix;
  protected readonly common: ObjectStorageOptions;
  protected readonly deps: ObjectStorageDeps;
  protected abstract readonly http: StoreHttp<RequestFacts>;
  /** The parameters that limit a listing to one key. */
  protected abstract readonly oneKey: Query;

  constructor(bucket: Omit<KeyPrefixOptions, "path">, common: ObjectStorageOptions, deps: ObjectStorageDeps) {
    this.keys = new KeyPrefix({ ...bucket, path: common.path });
    this.name = this.keys.name;
    this.common = common;
    this.deps = deps;
  }

  abstract stat(path: string): Promise<ObjectInfo | null>;
  abstract put(path: string, bytes: Uint8Array): Promise<void>;
  abstract putStream(path: string, open: () => ByteStream): Promise<void>;

  /** One page of a listing. `path` is what it is about, for errors. */
  protected abstract page(query: Query, doing: string, path?: string): Promise<P>;
  protected abstract removeKey(key: string): Promise<void>;
  /** The parameters of a request for the content of an object, or of a version of it. */
  protected abstract readQuery(version: string | undefined): Query;

  /**
   * What `ask` says about an object; for services that do not always say whether it is missing. With `isRefusedOnce` a
   * refusal is not repeated. @throws fileMissing
   */
  protected orMissing<T>(_path: string, _doing: string, ask: (isRefusedOnce: boolean) => Promise<T>): Promise<T> {
    return ask(false);
  }

  list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.keys.list(path, options, (query, doing) => this.pages(query, doing));
  }

  /** With `version` that state of the object. */
  async read(path: string, range?: ByteRange, version?: string): Promise<ByteStream> {
    checkPath(path);
    const name = this.keys.nameOf(path);
    if (range?.sizeBytes === 0) {
      if ((await this.stat(path)) === null)
        throw fail("fileMissing", `unable to get '${name}': the object does not exist`, { path });
      return streamOf();
    }
    const query = this.readQuery(version);
    const request = { method: "GET", key: this.keys.keyOf(path), path, query, doing: `get '${name}'` } as const;
    const object = { http: this.http, path, name, request };
    const ask = (isRefusedOnce: boolean): Promise<StoreAnswer> =>
      getRange({ ...object, request: { ...request, isRefusedOnce } }, range);
    const first = await (version === undefined ? this.orMissing(path, request.doing, ask) : ask(false));
    if (first.status !== BEHIND_END) return resumedBody(object, range, first);
    first.body.resume();
    return streamOf();
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    await this.removeKey(this.keys.keyOf(path));
  }

  async removePath(path: string): Promise<void> {
    await this.keys.removeBelow(
      path,
      (query, doing) => this.pages(query, doing),
      (keys) => this.removeKeys(keys),
    );
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async link(path: string): Promise<void> {
    throw this.keys.linkError(path);
  }

  async close(): Promise<void> {
    await this.http.close();
  }

  /** A listing distinguishes a missing object from a missing bucket, a wrong key or an unrelated proxy. */
  protected async statListed(path: string, doing: string): Promise<ObjectInfo | null> {
    const key = this.keys.keyOf(path);
    const page = await this.page({ prefix: key, ...this.oneKey }, doing, path);
    const match = page.objects.find((object) => object.key === key);
    if (match === undefined) return null;
    return { path, type: "file", sizeBytes: match.sizeBytes, modifiedAtMs: match.modifiedAtMs };
  }

  protected pages(query: Query, doing: string): AsyncIterable<P> {
    const { repoIndex } = this.common;
    return eachPage((next: P["next"]) => this.page({ ...query, ...next }, doing), { doing, repoIndex });
  }

  protected async removeKeys(keys: readonly string[]): Promise<void> {
    await mapParallel(keys, DELETES_IN_FLIGHT, (key) => this.removeKey(key));
  }

  /** After an answer to a removal that anything else may give too. @throws service unless the object is gone */
  protected async requireGone(path: string, doing: string, status: number): Promise<void> {
    if ((await this.stat(path)) === null) return;
    const { repoIndex } = this.common;
    const text = `unable to ${doing}: the service answered [${status}] and still has it`;
    throw fail("service", text, { path, repoIndex });
  }

  /** Where an upload of a file goes. */
  protected locationOf(path: string): UploadLocation {
    const { partSizeBytes, repoIndex } = this.common;
    const { signal } = this.deps;
    return { key: this.keys.keyOf(path), path, name: this.keys.nameOf(path), partSizeBytes, repoIndex, signal };
  }

  /** The options of the directory `scratch` as a storage that can be attacked. */
  protected scratchOptions(scratch: string): { readonly path: string; readonly isScratch: true } {
    checkPath(scratch);
    return { path: joinPath(this.keys.prefix, scratch), isScratch: true };
  }

  /** What an attack needs of this storage. */
  protected attackTarget(past: AttackTarget["past"]): AttackTarget {
    assert(this.common.isScratch === true, `'${this.name}' is no scratch directory`);
    const { clock, signal } = this.deps;
    return { prefix: this.keys.prefix, storage: this, clock, signal, past };
  }

  /** What every probe of a store needs. */
  protected probeOf(scratch: string, origin: string): StoreProbe {
    checkPath(scratch);
    const { repoIndex, verifyTls } = this.common;
    const [name, prefix] = [this.keys.nameOf(scratch), this.keys.keyOf(scratch)];
    return { name, prefix, origin, verifyTls, repoIndex, clock: this.deps.clock };
  }
}
