/** A prefix of an S3 bucket as a storage. Requests and errors: http.ts and failure.ts; uploads: multipart.ts. */
import type { ListedPage } from "../objectStore/keyPrefix";
import { type ByteStream, streamOf } from "../../base/bytes";
import { fail, isError } from "../../base/errors";
import { attackStore } from "../objectStore/attack";
import { ObjectStorage, type ObjectStorageDeps, type ObjectStorageOptions } from "../objectStore/objectStorage";
import { PastStorage } from "../objectStore/past";
import { lockOf, pathPages, type VersionPage } from "../objectStore/objectVersions";
import { eachPage } from "../objectStore/pages";
import { lostUpload, uploadAgain } from "../objectStore/partUpload";
import { holdsBytes } from "../objectStore/rangedRead";
import { checkPath } from "../paths";
import type { Attacked, AttackedStorage, ObjectInfo, StorageFact } from "../storage";
import { addressOf, type S3Location } from "./address";
import { LOCK_HEADER, parseDeleteResult, parseListPage, parseVersioning, parseVersionPage } from "./answer";
import { S3Attacks } from "./s3Attack";
import { bodyOf, headerOf, readText, S3Http, type S3Request } from "./http";
import { upload } from "./multipart";
import { probeS3 } from "./probe";
import type { S3Quirks } from "./quirks";
import { type Proof, requireStored, type Upload } from "./uploadProof";
import type { Credentials, CredentialSource } from "./credentials";
import { s3Versions } from "./s3Versions";
import { Signer } from "./sign";
import { escapeXml } from "../objectStore/xml";

export interface S3Options extends ObjectStorageOptions, S3Location, Credentials {
  /** Replaces the keys given here. */
  readonly credentials?: CredentialSource;
  readonly region: string;
  readonly quirks: S3Quirks;
}

const NOT_FOUND = 404;
const CONFLICT = 409;
const PRECONDITION_FAILED = 412;

export class S3Storage extends ObjectStorage<ListedPage> implements AttackedStorage {
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly replace?: (path: string, bytes: Uint8Array, version: string) => Promise<boolean>;
  protected readonly http: S3Http;
  protected readonly oneKey = { "max-keys": "1" };
  readonly #options: S3Options;

  constructor(options: S3Options, deps: ObjectStorageDeps) {
    const { quirks, repoIndex, bucket } = options;
    requirePartSize(options);
    super({ scheme: "s3", bucket, title: "S3" }, options, deps);
    this.#options = options;
    if (quirks.conditionalWrites) {
      this.create = (path, bytes) =>
        this.#putIf(path, bytes, { "if-none-match": "*" }, [CONFLICT, PRECONDITION_FAILED]);
      // When the object is gone AWS answers 404, R2 412.
      this.replace = (path, bytes, version) =>
        this.#putIf(path, bytes, { "if-match": version }, [NOT_FOUND, CONFLICT, PRECONDITION_FAILED]);
    }
    const address = addressOf(options, repoIndex);
    this.http = new S3Http({
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
    const key = this.keys.keyOf(path);
    const doing = `get info of '${this.keys.nameOf(path)}'`;
    const head = await this.http.exchangeHead({
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
      return { path, type: "file", sizeBytes, modifiedAtMs, version, ...lockOf(head, LOCK_HEADER) };
    // An answer to HEAD has no body.
    return this.statListed(path, doing);
  }

  /**
   * Every version below a prefix, relative to the storage's root, with paths in place of keys; with `delimiter` only
   * those without another slash.
   */
  versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage> {
    const query = { versions: "", ...this.keys.queryBelow(prefix, delimiter) };
    const ask = (next: VersionPage["next"]): Promise<VersionPage> => {
      const request: S3Request = { method: "GET", query: { ...query, ...next }, doing };
      return this.http.exchangeText(request, (text, facts) => parseVersionPage(text, query.prefix ?? "", facts));
    };
    return pathPages(this.keys, eachPage(ask, { doing, repoIndex: this.#options.repoIndex }));
  }

  /** Whether the bucket keeps versions, or has kept them; null if the key may not ask. */
  async keepsVersions(): Promise<boolean | null> {
    const request: S3Request = {
      method: "GET",
      query: { versioning: "" },
      expected: [401, 403, 405, 501],
      doing: `get the versioning of bucket '${this.#options.bucket}'`,
    };
    return this.http.exchange(request, async (answer) => {
      const text = await readText(answer);
      return answer.status >= 300 ? null : parseVersioning(text, this.http.factsOf(request));
    });
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const put = this.#putRequest(path, bytes);
    await this.http.exchange(put, (answer) => requireStored(this.http, put, answer, this.#proofOf(path)));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const { http } = this;
    const { quirks } = this.#options;
    const target = { ...this.#proofOf(path), ...this.locationOf(path), http, quirks };
    await uploadAgain(
      () => upload(target, open()),
      () => lostUpload(target),
    );
  }

  async probe(scratch: string): Promise<StorageFact[]> {
    const { http } = this;
    const { quirks, repoIndex } = this.#options;
    const { conditionalWrites } = quirks;
    const { origin } = addressOf(this.#options, repoIndex);
    return probeS3({ ...this.probeOf(scratch, origin), http, conditionalWrites });
  }

  openAttacked(scratch: string): AttackedStorage {
    return new S3Storage({ ...this.#options, ...this.scratchOptions(scratch) }, this.deps);
  }

  async attack(): Promise<Attacked> {
    const { bucket, quirks, repoIndex } = this.#options;
    const service = s3Versions(quirks);
    const target = this.attackTarget(
      (targetTimeMs) => new PastStorage(this, { repoIndex, bucket, service, targetTimeMs }),
    );
    return attackStore(target, new S3Attacks(this.http, target, this.deps.random));
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
    const { status, attempt } = await this.http.exchange(put, async (answer) => {
      if (answer.status < 300) await requireStored(this.http, put, answer, this.#proofOf(path));
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
    return { method: "PUT", key: this.keys.keyOf(path), path, body, doing: `put '${this.keys.nameOf(path)}'` };
  }

  #proofOf(path: string): Proof {
    return { quirks: this.#options.quirks, stat: () => this.stat(path) };
  }

  protected page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<ListedPage> {
    const request: S3Request = { method: "GET", query: { "list-type": "2", ...query }, doing, path };
    return this.http.exchangeText(request, (text, facts) => parseListPage(text, query["prefix"] ?? "", facts));
  }

  protected readQuery(versionId: string | undefined): Readonly<Record<string, string>> {
    return versionId === undefined ? {} : { versionId };
  }

  /**
   * Amazon S3 answers 403, not 404, for a missing object if the key may list only a prefix, as in our policies. A
   * listing below that prefix decides.
   */
  protected override async orMissing<T>(
    path: string,
    doing: string,
    ask: (isRefusedOnce: boolean) => Promise<T>,
  ): Promise<T> {
    try {
      return await ask(true);
    } catch (error) {
      if (!isError(error, "access")) throw error;
      const isMissing = (await this.statListed(path, doing).catch(() => undefined)) === null;
      if (!isMissing) return ask(false);
      throw fail("fileMissing", `unable to ${doing}: the object does not exist`, { path, cause: error });
    }
  }

  protected async removeKey(key: string): Promise<void> {
    const path = this.keys.pathOf(key);
    const doing = `remove '${this.keys.nameOf(path)}'`;
    try {
      const { status } = await this.http.exchangeHead({ method: "DELETE", key, path, doing });
      // Amazon returns 204. Any web server or proxy can return 200.
      if (status !== 204) await this.requireGone(path, doing, status);
    } catch (error) {
      // Amazon answers 204 for a missing object too; some others report it.
      if (!isError(error, "fileMissing")) throw error;
    }
  }

  protected override async removeKeys(keys: readonly string[]): Promise<void> {
    await super.removeKeys(this.#options.quirks.batchDelete ? await this.#removeBatch(keys) : keys);
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
    return this.http.exchange(request, async (answer) => {
      const text = await readText(answer);
      if (answer.status >= 300) return keys;
      const deleted = new Set(parseDeleteResult(text, this.http.factsOf(request)).deleted);
      return keys.filter((key) => !deleted.has(key));
    });
  }
}

function requirePartSize({ partSizeBytes, quirks, repoIndex }: S3Options): void {
  const { partSizeBytesMax, partSizeBytesMin, title } = quirks;
  if (partSizeBytes >= partSizeBytesMin && partSizeBytes <= partSizeBytesMax) return;
  const option = `repo${repoIndex}-storage-upload-chunk-size`;
  throw fail("optionInvalidValue", `'${partSizeBytes}' is out of range for '${option}' option`, {
    repoIndex,
    hint: `${title} takes parts of ${partSizeBytesMin} to ${partSizeBytesMax} bytes.`,
  });
}
