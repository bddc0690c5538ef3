/**
 * A prefix of an S3 bucket as a storage. Objects are files; `/` in keys makes directories, which exist while they
 * contain something. A put is atomic and durable when it returns. Requests, retries and errors: http.ts and failure.ts;
 * uploads: multipart.ts.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { assert, fail, isError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { PastStorage } from "../objectStore/past";
import type { VersionPage } from "../objectStore/objectVersions";
import { KeyPrefix, type ListKeys } from "../objectStore/keyPrefix";
import { eachPage } from "../objectStore/pages";
import { BEHIND_END, getRange, holdsBytes, type RangedObject, resumedBody } from "../objectStore/rangedRead";
import { checkDirectoryPath, checkPath, joinPath } from "../paths";
import type {
  Attacked,
  AttackedStorage,
  ByteRange,
  ListOptions,
  ObjectInfo,
  StorageFact,
  StorageFeatures,
} from "../storage";
import { addressOf, type S3Location } from "./address";
import { type ListPage, parseDeleteResult, parseListPage, parseVersioning, parseVersionPage } from "./answer";
import { attackS3 } from "./attack";
import { bodyOf, headerOf, type HttpOptions, readText, S3Http, type S3Answer, type S3Request } from "./http";
import { upload } from "./multipart";
import { probeS3 } from "./probe";
import type { S3Quirks } from "./quirks";
import { type Proof, requireStored, type Upload } from "./uploadProof";
import type { Credentials, CredentialSource } from "./credentials";
import { s3Versions } from "./s3Versions";
import { Signer } from "./sign";
import { escapeXml } from "../objectStore/xml";

export interface S3Options extends S3Location, Credentials {
  readonly repoIndex: number;
  /** Replaces the keys given here. */
  readonly credentials?: CredentialSource;
  readonly region: string;
  /** Prefix of all keys, without its leading slash. */
  readonly path: string;
  readonly quirks: S3Quirks;
  readonly partSizeBytes: number;
  readonly verifyTls: boolean;
  /** PEM text of the trusted authorities. */
  readonly ca?: string;
  /** Only such a storage can be attacked. */
  readonly isScratch?: true;
}

export type S3Deps = Pick<HttpOptions, "clock" | "random" | "signal" | "ioTimeoutMs">;

const SINGLE_DELETES_IN_FLIGHT = 8;
const NOT_FOUND = 404;
const CONFLICT = 409;
const PRECONDITION_FAILED = 412;

export class S3Storage implements AttackedStorage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly replace?: (path: string, bytes: Uint8Array, version: string) => Promise<boolean>;
  readonly #options: S3Options;
  readonly #deps: S3Deps;
  readonly #http: S3Http;
  readonly #keys: KeyPrefix;

  constructor(options: S3Options, deps: S3Deps) {
    const { quirks, partSizeBytes, repoIndex, bucket } = options;
    if (partSizeBytes < quirks.partSizeBytesMin || partSizeBytes > quirks.partSizeBytesMax) {
      throw fail(
        "optionInvalidValue",
        `'${partSizeBytes}' is out of range for 'repo${repoIndex}-storage-upload-chunk-size' option`,
        {
          repoIndex,
          hint: `${quirks.title} takes parts of ${quirks.partSizeBytesMin} to ${quirks.partSizeBytesMax} bytes.`,
        },
      );
    }
    this.#options = options;
    this.#deps = deps;
    this.#keys = new KeyPrefix({ scheme: "s3", bucket, path: options.path, title: "S3" });
    this.name = this.#keys.name;
    if (quirks.conditionalWrites) {
      this.create = (path, bytes) =>
        this.#putIf(path, bytes, { "if-none-match": "*" }, [CONFLICT, PRECONDITION_FAILED]);
      // When the object is gone AWS answers 404, R2 412.
      this.replace = (path, bytes, version) =>
        this.#putIf(path, bytes, { "if-match": version }, [NOT_FOUND, CONFLICT, PRECONDITION_FAILED]);
    }
    const address = addressOf(options, repoIndex);
    this.#http = new S3Http({
      address,
      signer: new Signer(options.credentials ?? options, options.region),
      facts: {
        repoIndex,
        bucket,
        endpoint: options.endpoint,
        connection: address.connection,
        ...(quirks.keyHint === undefined ? {} : { keyHint: quirks.keyHint }),
        temporaryKeys: options.credentials !== undefined,
      },
      verifyTls: options.verifyTls,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...deps,
    });
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkPath(path);
    const key = this.#keys.keyOf(path);
    const doing = `get info of '${this.#keys.nameOf(path)}'`;
    const head = await this.#http.exchangeHead({
      method: "HEAD",
      key,
      path,
      expected: [301, 400, 401, 403, 404],
      doing,
    });
    const version = headerOf(head, "etag");
    const sizeBytes = Number(headerOf(head, "content-length"));
    const modifiedAtMs = Date.parse(headerOf(head, "last-modified") ?? "");
    if (head.status < 300 && version !== undefined && Number.isSafeInteger(sizeBytes) && !Number.isNaN(modifiedAtMs))
      return { path, type: "file", sizeBytes, modifiedAtMs, version };
    // An answer to HEAD has no body. A listing distinguishes a missing object from a missing bucket, a wrong key or an
    // unrelated proxy.
    const page = await this.#page({ prefix: key, "max-keys": "1" }, doing, path);
    const match = page.objects.find((object) => object.key === key);
    return match === undefined
      ? null
      : { path, type: "file", sizeBytes: match.sizeBytes, modifiedAtMs: match.modifiedAtMs };
  }

  list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#keys.list(path, options, (query, doing) => this.#pages(query, doing));
  }

  /** With `versionId` that version of the object. */
  async read(path: string, range?: ByteRange, versionId?: string): Promise<ByteStream> {
    checkPath(path);
    if (range?.sizeBytes === 0) {
      if ((await this.stat(path)) === null)
        throw fail("fileMissing", `unable to get '${this.#keys.nameOf(path)}': the object does not exist`, { path });
      return streamOf();
    }
    const object = this.#object(path, versionId);
    const first = await (versionId === undefined ? this.#getOrMissing(object, range) : getRange(object, range));
    if (first.status === BEHIND_END) {
      first.body.resume();
      return streamOf();
    }
    return resumedBody(object, range, first);
  }

  /**
   * Every version below a prefix, relative to the storage's root, with paths in place of keys; with `delimiter` only
   * those without another slash.
   */
  async *versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage> {
    const whole = this.#keys.prefix === "" ? prefix : `${this.#keys.prefix}/${prefix}`;
    const query = {
      versions: "",
      ...(whole === "" ? {} : { prefix: whole }),
      ...(delimiter === null ? {} : { delimiter }),
    };
    const ask = async (next: VersionPage["next"]): Promise<VersionPage> => {
      const request: S3Request = { method: "GET", query: { ...query, ...next }, doing };
      return this.#http.exchangeText(request, (text, facts) => parseVersionPage(text, whole, facts));
    };
    for await (const { versions, folders, next } of eachPage(ask, {
      doing,
      repoIndex: this.#options.repoIndex,
    })) {
      yield {
        versions: versions.map((version) => ({ ...version, key: this.#keys.pathOf(version.key) })),
        folders: folders.map((folder) => this.#keys.pathOf(folder)),
        next,
      };
    }
  }

  /** Whether the bucket keeps versions, or has kept them; null if the key may not ask. */
  async keepsVersions(): Promise<boolean | null> {
    const request: S3Request = {
      method: "GET",
      query: { versioning: "" },
      expected: [401, 403, 405, 501],
      doing: `get the versioning of bucket '${this.#options.bucket}'`,
    };
    return this.#http.exchange(request, async (answer) => {
      const text = await readText(answer);
      return answer.status >= 300 ? null : parseVersioning(text, this.#http.factsOf(request));
    });
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const put = this.#putRequest(path, bytes);
    await this.#http.exchange(put, (answer) => requireStored(this.#http, put, answer, this.#proofOf(path)));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const { quirks, partSizeBytes, repoIndex } = this.#options;
    const target = {
      ...this.#proofOf(path),
      http: this.#http,
      quirks,
      key: this.#keys.keyOf(path),
      path,
      name: this.#keys.nameOf(path),
      partSizeBytes,
      repoIndex,
      signal: this.#deps.signal,
    };
    await upload(target, open());
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    await this.#removeKey(this.#keys.keyOf(path));
  }

  async removePath(path: string): Promise<void> {
    const ask: ListKeys = (query, doing) => this.#pages(query, doing);
    await this.#keys.removeBelow(path, ask, (keys) => this.#removeKeys(keys));
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
    const { repoIndex, verifyTls, quirks } = this.#options;
    const { origin } = addressOf(this.#options, repoIndex);
    const name = this.#keys.nameOf(scratch);
    const { conditionalWrites } = quirks;
    const common = { origin, verifyTls, repoIndex, conditionalWrites, clock: this.#deps.clock };
    return probeS3({ http: this.#http, prefix: this.#keys.keyOf(scratch), name, ...common });
  }

  openAttacked(scratch: string): AttackedStorage {
    checkPath(scratch);
    return new S3Storage({ ...this.#options, path: joinPath(this.#keys.prefix, scratch), isScratch: true }, this.#deps);
  }

  async attack(): Promise<Attacked> {
    const { bucket, isScratch, quirks, repoIndex } = this.#options;
    assert(isScratch === true, `'${this.name}' is no scratch directory`);
    const { clock, random, signal } = this.#deps;
    return attackS3({
      http: this.#http,
      prefix: this.#keys.prefix,
      storage: this,
      clock,
      random,
      signal,
      past: (targetTimeMs) => new PastStorage(this, { repoIndex, bucket, service: s3Versions(quirks), targetTimeMs }),
    });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  /** False if the object does not meet the headers' condition. */
  async #putIf(
    path: string,
    bytes: Uint8Array,
    headers: Readonly<Record<string, string>>,
    refusals: readonly number[],
  ): Promise<boolean> {
    checkPath(path);
    const put: Upload = { ...this.#putRequest(path, bytes), headers, expected: refusals };
    const { status, attempt } = await this.#http.exchange(put, async (answer) => {
      if (answer.status < 300) await requireStored(this.#http, put, answer, this.#proofOf(path));
      else await readText(answer);
      // Another upload of this key is running: the outcome is still open.
      if (answer.status !== CONFLICT) return answer;
      throw fail("service", `unable to ${put.doing}: [${CONFLICT}] another upload of it is in progress`, {
        path,
        repoIndex: this.#options.repoIndex,
        retryable: true,
      });
    });
    if (status < 300) return true;
    // An earlier attempt may have written the object and lost its answer.
    return attempt > 1 && holdsBytes(this, path, bytes);
  }

  #putRequest(path: string, bytes: Uint8Array): Upload {
    const body = bodyOf(bytes, this.#options.quirks.contentMd5);
    return { method: "PUT", key: this.#keys.keyOf(path), path, body, doing: `put '${this.#keys.nameOf(path)}'` };
  }

  #proofOf(path: string): Proof {
    return { quirks: this.#options.quirks, stat: () => this.stat(path) };
  }

  #page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<ListPage> {
    const request: S3Request = {
      method: "GET",
      query: { "list-type": "2", ...query },
      doing,
      ...(path === undefined ? {} : { path }),
    };
    return this.#http.exchangeText(request, (text, facts) => parseListPage(text, query["prefix"] ?? "", facts));
  }

  #pages(query: Readonly<Record<string, string>>, doing: string): AsyncIterable<ListPage> {
    const { repoIndex } = this.#options;
    return eachPage((next: ListPage["next"]) => this.#page({ ...query, ...next }, doing), { doing, repoIndex });
  }

  #object(path: string, versionId?: string): RangedObject {
    const name = this.#keys.nameOf(path);
    const query = versionId === undefined ? {} : { query: { versionId } };
    return {
      http: this.#http,
      path,
      name,
      request: { method: "GET", key: this.#keys.keyOf(path), path, ...query, doing: `get '${name}'` },
    };
  }

  /**
   * Amazon S3 answers 403, not 404, for a missing object if the key may list only a prefix, as in our policies. A
   * listing below that prefix decides.
   */
  async #getOrMissing(object: RangedObject, range: ByteRange | undefined): Promise<S3Answer> {
    const { name, path } = object;
    try {
      return await getRange(object, range);
    } catch (error) {
      if (!isError(error, "access")) throw error;
      const key = this.#keys.keyOf(path);
      const page = await this.#page({ prefix: key, "max-keys": "1" }, `get '${name}'`, path).catch(() => null);
      if (page === null || page.objects.some((listed) => listed.key === key)) throw error;
      throw fail("fileMissing", `unable to get '${name}': the object does not exist`, { path, cause: error });
    }
  }

  async #removeKey(key: string): Promise<void> {
    const path = this.#keys.pathOf(key);
    const doing = `remove '${this.#keys.nameOf(path)}'`;
    try {
      const { status } = await this.#http.exchangeHead({ method: "DELETE", key, path, doing });
      // Amazon returns 204. Any web server or proxy can return 200, so check that the object is gone.
      if (status === 204 || (await this.stat(path)) === null) return;
      const { repoIndex } = this.#options;
      throw fail("service", `unable to ${doing}: the service answered [${status}] and still has it`, {
        path,
        repoIndex,
      });
    } catch (error) {
      // Amazon answers 204 for a missing object too; some others report it.
      if (!isError(error, "fileMissing")) throw error;
    }
  }

  async #removeKeys(keys: readonly string[]): Promise<void> {
    const refused = this.#options.quirks.batchDelete ? await this.#removeBatch(keys) : keys;
    await mapParallel(refused, SINGLE_DELETES_IN_FLIGHT, (key) => this.#removeKey(key));
  }

  /** Keys that the service does not name as removed. Each is then tried alone, which also gives it its own error. */
  async #removeBatch(keys: readonly string[]): Promise<readonly string[]> {
    const objects = keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join("");
    const order = `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${objects}</Delete>`;
    const body = bodyOf(Buffer.from(order, "utf8"), true);
    const request: S3Request = {
      method: "POST",
      query: { delete: "" },
      body,
      expected: [400, 405, 501],
      doing: `remove ${keys.length} objects of '${this.name}'`,
    };
    return this.#http.exchange(request, async (answer) => {
      const text = await readText(answer);
      if (answer.status >= 300) return keys;
      const deleted = new Set(parseDeleteResult(text, this.#http.factsOf(request)).deleted);
      return keys.filter((key) => !deleted.has(key));
    });
  }
}
