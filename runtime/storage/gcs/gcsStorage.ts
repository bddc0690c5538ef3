/**
 * A prefix of a bucket of Google Cloud Storage as a storage. A put is atomic and durable when it returns. Requests and
 * errors: gcsHttp.ts and gcsFailure.ts; uploads: gcsUpload.ts.
 *
 * The version of an object is its generation, which each write changes and nothing else.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { fail, isError, nullOn } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import type { Bearer } from "../objectStore/accessToken";
import { KeyPrefix, type ListKeys } from "../objectStore/keyPrefix";
import { eachPage } from "../objectStore/pages";
import type { VersionPage } from "../objectStore/objectVersions";
import { BEHIND_END, getRange, holdsBytes, type RangedObject, resumedBody } from "../objectStore/rangedRead";
import { readText, type StoreAnswer, type StoreHttpOptions, type StoreRequest } from "../objectStore/storeHttp";
import { checkDirectoryPath, checkPath } from "../paths";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFact, StorageFeatures } from "../storage";
import { gcsAddressOf, type GcsLocation } from "./gcsAddress";
import { ANSWER_FIELDS, BUCKET_FIELDS, PAGE_FIELDS, VERSION_PAGE_FIELDS } from "./gcsAnswer";
import { type GcsObject, type ObjectPage, parseObject, parseObjectPage, parseVersioning } from "./gcsAnswer";
import { explanationOf, gcsError, type GcsFacts } from "./gcsFailure";
import { GcsHttp } from "./gcsHttp";
import { probeGcs } from "./gcsProbe";
import { versionPagesOf } from "./generations";
import { lostSession, type ObjectTarget, type ObjectUpload } from "./gcsUpload";
import { objectBody, putObject, putObjectForm, requireStoredObject, uploadObject } from "./gcsUpload";

export interface GcsOptions extends GcsLocation {
  readonly repoIndex: number;
  readonly bearer: Bearer;
  readonly keyType: GcsFacts["keyType"];
  /** Prefix of all names, without its leading slash. */
  readonly path: string;
  /** A multiple of 256 KiB at Google. */
  readonly partSizeBytes: number;
  readonly verifyTls: boolean;
  /** Pays for requests. */
  readonly userProject?: string;
  /** PEM text of the trusted authorities. */
  readonly ca?: string;
}

export type GcsDeps = Pick<StoreHttpOptions<GcsFacts>, "clock" | "random" | "signal" | "ioTimeoutMs">;

const DELETES_IN_FLIGHT = 8;
const PRECONDITION_FAILED = 412;
const UNMET = "conditionNotMet";
/** A generation that means: no object. */
const NONE = "0";
/** A first upload, and another one after a lost session. */
const UPLOADS_MAX = 2;

export class GcsStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  readonly #options: GcsOptions;
  readonly #deps: GcsDeps;
  readonly #http: GcsHttp;
  readonly #keys: KeyPrefix;

  constructor(options: GcsOptions, deps: GcsDeps) {
    const { bearer, bucket, ca, keyType, path, repoIndex, userProject, verifyTls } = options;
    this.#options = options;
    this.#deps = deps;
    this.#keys = new KeyPrefix({ scheme: "gs", bucket, path, title: "Google Cloud Storage" });
    this.name = this.#keys.name;
    const address = gcsAddressOf(options, repoIndex);
    this.#http = new GcsHttp({
      address,
      bearer,
      facts: { repoIndex, bucket, keyType, connection: address.connection },
      verifyTls,
      ...(userProject === undefined ? {} : { userProject }),
      ...(ca === undefined ? {} : { ca }),
      ...deps,
    });
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkPath(path);
    const object = await this.#find(path);
    if (object === null) return null;
    const { generation: version, modifiedAtMs, sizeBytes } = object;
    return { path, type: "file", sizeBytes, modifiedAtMs, version };
  }

  list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#keys.list(path, options, (query, doing) => this.#pages(query, doing));
  }

  /** With `generation` that version of the object. */
  async read(path: string, range?: ByteRange, generation?: string): Promise<ByteStream> {
    checkPath(path);
    const name = this.#keys.nameOf(path);
    if (range?.sizeBytes === 0) {
      if ((await this.stat(path)) === null)
        throw fail("fileMissing", `unable to get '${name}': the object does not exist`, { path });
      return streamOf();
    }
    const key = this.#keys.keyOf(path);
    const query = { alt: "media", ...(generation === undefined ? {} : { generation }) };
    const request = { method: "GET", key, path, query, doing: `get '${name}'` } as const;
    const object: RangedObject = { http: this.#http, path, name, request };
    const ask = (): Promise<StoreAnswer> => getRange(object, range);
    const first = await (generation === undefined ? this.#orMissing(path, request.doing, ask) : ask());
    if (first.status !== BEHIND_END) return resumedBody(object, range, first);
    first.body.resume();
    return streamOf();
  }

  /**
   * Every version below a prefix, relative to the storage's root, with paths in place of keys; with `delimiter` only
   * those without another slash.
   */
  async *versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage> {
    const whole = this.#keys.prefix === "" ? prefix : `${this.#keys.prefix}/${prefix}`;
    const below = { ...(whole === "" ? {} : { prefix: whole }), ...(delimiter === null ? {} : { delimiter }) };
    const pages = this.#pages({ ...below, versions: "true", fields: VERSION_PAGE_FIELDS }, doing);
    for await (const { folders, next, versions } of versionPagesOf(pages)) {
      yield {
        versions: versions.map((version) => ({ ...version, key: this.#keys.pathOf(version.key) })),
        folders: folders.map((folder) => this.#keys.pathOf(folder)),
        next,
      };
    }
  }

  /** Null if the key may not ask, or if the bucket keeps none now: it may have kept them before. */
  async keepsVersions(): Promise<boolean | null> {
    const request: StoreRequest = {
      method: "GET",
      isOfBucket: true,
      query: { fields: BUCKET_FIELDS },
      expected: [401, 403],
      doing: `get the versioning of bucket '${this.#options.bucket}'`,
    };
    return this.#http.exchange(request, async (answer) => {
      const text = await readText(answer);
      return answer.status < 300 && parseVersioning(text, this.#http.factsOf(request)) ? true : null;
    });
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const target = this.#target(path);
    const put = putObject(target, objectBody(bytes));
    await this.#http.exchange(put, (answer) => requireStoredObject(target, put, answer, put.body));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const target = this.#target(path);
    for (let count = 0; count < UPLOADS_MAX; count++) if (await uploadObject(target, open())) return;
    throw lostSession(target);
  }

  create(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.#putIf(path, bytes, NONE);
  }

  async replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    return version !== NONE && this.#putIf(path, bytes, version);
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    await this.#removeKey(this.#keys.keyOf(path));
  }

  async removePath(path: string): Promise<void> {
    const ask: ListKeys = (query, doing) => this.#pages(query, doing);
    await this.#keys.removeBelow(path, ask, (keys) =>
      mapParallel(keys, DELETES_IN_FLIGHT, (key) => this.#removeKey(key)),
    );
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
  }

  async link(path: string): Promise<void> {
    throw this.#keys.linkError(path);
  }

  async probe(scratch: string): Promise<StorageFact[]> {
    checkPath(scratch);
    const { repoIndex, verifyTls } = this.#options;
    const { origin } = gcsAddressOf(this.#options, repoIndex);
    const [name, prefix] = [this.#keys.nameOf(scratch), this.#keys.keyOf(scratch)];
    const { clock } = this.#deps;
    return probeGcs({ http: this.#http, storage: this, scratch, prefix, name, origin, verifyTls, repoIndex, clock });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  /** False if the object has another generation. */
  async #putIf(path: string, bytes: Uint8Array, generation: string): Promise<boolean> {
    checkPath(path);
    const target = this.#target(path);
    const content = objectBody(bytes);
    const whole = putObjectForm(target, content);
    const query = { ...whole.query, ifGenerationMatch: generation };
    const put: ObjectUpload = { ...whole, query, expected: [PRECONDITION_FAILED] };
    const { attempt, isMet } = await this.#http.exchange(put, async (answer) => {
      if (answer.status !== PRECONDITION_FAILED) {
        await requireStoredObject(target, put, answer, content);
        return { ...answer, isMet: true };
      }
      const refusal = { status: answer.status, text: await readText(answer) };
      if (explanationOf(refusal.text)?.reason !== UNMET) throw gcsError(refusal, this.#http.factsOf(put));
      return { ...answer, isMet: false };
    });
    // An earlier attempt may have written the object and lost its answer.
    return isMet || (attempt > 1 && (await holdsBytes(this, path, bytes)));
  }

  #target(path: string): ObjectTarget {
    const { partSizeBytes, repoIndex } = this.#options;
    return {
      http: this.#http,
      key: this.#keys.keyOf(path),
      path,
      name: this.#keys.nameOf(path),
      partSizeBytes,
      repoIndex,
      signal: this.#deps.signal,
      find: () => this.#find(path),
    };
  }

  async #find(path: string): Promise<GcsObject | null> {
    const key = this.#keys.keyOf(path);
    const doing = `get info of '${this.#keys.nameOf(path)}'`;
    const request: StoreRequest = { method: "GET", key, path, query: { fields: ANSWER_FIELDS }, doing };
    const ask = (): Promise<GcsObject> =>
      this.#http.exchangeText(request, (text, facts) => parseObject(text, key, facts));
    return nullOn(this.#orMissing(path, doing, ask), "fileMissing");
  }

  /** A 404 may be about the bucket, or come from something else: a listing decides. */
  async #orMissing<T>(path: string, doing: string, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!isError(error, "pathMissing")) throw error;
      const key = this.#keys.keyOf(path);
      const page = await this.#page({ prefix: key, maxResults: "1" }, doing, path);
      if (page.objects.some((object) => object.key === key)) throw error;
      throw fail("fileMissing", `unable to ${doing}: the object does not exist`, { path, cause: error });
    }
  }

  async #removeKey(key: string): Promise<void> {
    const path = this.#keys.pathOf(key);
    const doing = `remove '${this.#keys.nameOf(path)}'`;
    const send = (): Promise<StoreAnswer> =>
      this.#http.exchange({ method: "DELETE", key, path, doing }, async (answer) => {
        await readText(answer);
        return answer;
      });
    const answer = await nullOn(this.#orMissing(path, doing, send), "fileMissing");
    // Google returns 204. Any web server or proxy can return 200, so check that the object is gone.
    if (answer === null || answer.status === 204 || (await this.stat(path)) === null) return;
    const text = `unable to ${doing}: the service answered [${answer.status}] and still has it`;
    throw fail("service", text, { path, repoIndex: this.#options.repoIndex });
  }

  #page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<ObjectPage> {
    const request: StoreRequest = {
      method: "GET",
      query: { fields: PAGE_FIELDS, ...query },
      doing,
      ...(path === undefined ? {} : { path }),
    };
    return this.#http.exchangeText(request, (text, facts) => parseObjectPage(text, query["prefix"] ?? "", facts));
  }

  #pages(query: Readonly<Record<string, string>>, doing: string): AsyncIterable<ObjectPage> {
    const { repoIndex } = this.#options;
    return eachPage((next: ObjectPage["next"]) => this.#page({ ...query, ...next }, doing), { doing, repoIndex });
  }
}
