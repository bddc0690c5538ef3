/**
 * A prefix of a bucket of Google Cloud Storage as a storage. Requests and errors: gcsHttp.ts and gcsFailure.ts;
 * uploads: gcsUpload.ts.
 *
 * The version of an object is its generation, which each write changes and nothing else.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { fail, isError, nullOn } from "../../base/errors";
import { given } from "../../base/given";
import type { Bearer } from "../objectStore/accessToken";
import { attackStore } from "../objectStore/attack";
import { ObjectStorage, type ObjectStorageDeps, type ObjectStorageOptions } from "../objectStore/objectStorage";
import { pathPages, type VersionPage } from "../objectStore/objectVersions";
import { PastStorage } from "../objectStore/past";
import { lostUpload, uploadAgain } from "../objectStore/partUpload";
import { holdsBytes } from "../objectStore/rangedRead";
import { readText, type StoreAnswer, type StoreRequest } from "../objectStore/storeHttp";
import { checkPath } from "../paths";
import type { Attacked, AttackedStorage, ObjectInfo, StorageFact } from "../storage";
import { gcsAddressOf, type GcsLocation } from "./gcsAddress";
import { BUCKET_FIELDS, INFO_FIELDS, PAGE_FIELDS, VERSION_PAGE_FIELDS } from "./gcsAnswer";
import { type GcsObject, type ObjectPage, parseObject, parseObjectPage, parseVersioning } from "./gcsAnswer";
import { GcsAttacks, withReturned } from "./gcsAttack";
import { explanationOf, gcsError, type GcsFacts } from "./gcsFailure";
import { GcsHttp } from "./gcsHttp";
import { probeGcs } from "./gcsProbe";
import { GCS_VERSIONS, versionPagesOf } from "./generations";
import type { ObjectTarget, ObjectUpload } from "./gcsUpload";
import { objectBody, putObject, putObjectForm, requireStoredObject, uploadObject } from "./gcsUpload";

export interface GcsOptions extends ObjectStorageOptions, GcsLocation {
  readonly bearer: Bearer;
  readonly keyType: GcsFacts["keyType"];
  /** A multiple of 256 KiB at Google. */
  readonly partSizeBytes: number;
  /** Pays for requests. */
  readonly userProject?: string;
}

const PRECONDITION_FAILED = 412;
const UNMET = "conditionNotMet";
/** A generation that means: no object. */
const NONE = "0";

export class GcsStorage extends ObjectStorage<ObjectPage> implements AttackedStorage {
  protected readonly http: GcsHttp;
  protected readonly oneKey = { maxResults: "1" };
  readonly #options: GcsOptions;

  constructor(options: GcsOptions, deps: ObjectStorageDeps) {
    const { bearer, bucket, ca, keyType, repoIndex, userProject, verifyTls } = options;
    super({ scheme: "gs", bucket, title: "Google Cloud Storage" }, options, deps);
    this.#options = options;
    const address = gcsAddressOf(options, repoIndex);
    this.http = new GcsHttp({
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
    const { generation: version, lockedUntilMs, modifiedAtMs, sizeBytes } = object;
    return { path, type: "file", sizeBytes, modifiedAtMs, version, ...given({ lockedUntilMs }) };
  }

  /**
   * Every version below a prefix, relative to the storage's root, with paths in place of keys; with `delimiter` only
   * those without another slash.
   */
  versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage> {
    const query = { ...this.keys.queryBelow(prefix, delimiter), versions: "true", fields: VERSION_PAGE_FIELDS };
    return pathPages(this.keys, versionPagesOf(this.pages(query, doing)));
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
    return this.http.exchange(request, async (answer) => {
      const text = await readText(answer);
      return answer.status < 300 && parseVersioning(text, this.http.factsOf(request)) ? true : null;
    });
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const target = this.#target(path);
    const put = putObject(target, objectBody(bytes));
    await this.http.exchange(put, (answer) => requireStoredObject(target, put, answer, put.body));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const target = this.#target(path);
    await uploadAgain(
      () => uploadObject(target, open()),
      () => lostUpload(target),
    );
  }

  create(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.#putIf(path, bytes, NONE);
  }

  async replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    return version !== NONE && this.#putIf(path, bytes, version);
  }

  async probe(scratch: string): Promise<StorageFact[]> {
    const { origin } = gcsAddressOf(this.#options, this.#options.repoIndex);
    return probeGcs({ ...this.probeOf(scratch, origin), http: this.http, storage: this, scratch });
  }

  openAttacked(scratch: string): AttackedStorage {
    return new GcsStorage({ ...this.#options, ...this.scratchOptions(scratch) }, this.deps);
  }

  async attack(): Promise<Attacked> {
    const { bucket, repoIndex } = this.#options;
    const target = this.attackTarget((targetTimeMs, returned) => {
      const options = { repoIndex, bucket, service: GCS_VERSIONS, targetTimeMs };
      return new PastStorage(withReturned(this, returned, targetTimeMs), options);
    });
    return attackStore(target, new GcsAttacks(this.http, target, this.deps.random));
  }

  /** False if the object has another generation. */
  async #putIf(path: string, bytes: Uint8Array, generation: string): Promise<boolean> {
    checkPath(path);
    const target = this.#target(path);
    const content = objectBody(bytes);
    const whole = putObjectForm(target, content);
    const query = { ...whole.query, ifGenerationMatch: generation };
    const put: ObjectUpload = { ...whole, query, expected: [PRECONDITION_FAILED] };
    const { attempt, isMet } = await this.http.exchange(put, async (answer) => {
      if (answer.status !== PRECONDITION_FAILED) {
        await requireStoredObject(target, put, answer, content);
        return { ...answer, isMet: true };
      }
      const refusal = { status: answer.status, text: await readText(answer) };
      if (explanationOf(refusal.text)?.reason !== UNMET) throw gcsError(refusal, this.http.factsOf(put));
      return { ...answer, isMet: false };
    });
    // An earlier attempt may have written the object and lost its answer.
    return isMet || (attempt > 1 && (await holdsBytes(this, path, bytes)));
  }

  #target(path: string): ObjectTarget {
    return { ...this.locationOf(path), http: this.http, find: () => this.#find(path) };
  }

  async #find(path: string): Promise<GcsObject | null> {
    const key = this.keys.keyOf(path);
    const doing = `get info of '${this.keys.nameOf(path)}'`;
    const request: StoreRequest = { method: "GET", key, path, query: { fields: INFO_FIELDS }, doing };
    const ask = (): Promise<GcsObject> =>
      this.http.exchangeText(request, (text, facts) => parseObject(text, key, facts));
    return nullOn(this.orMissing(path, doing, ask), "fileMissing");
  }

  /** A 404 may be about the bucket, or come from something else. */
  protected override async orMissing<T>(
    path: string,
    doing: string,
    ask: (isRefusedOnce: boolean) => Promise<T>,
  ): Promise<T> {
    try {
      return await ask(false);
    } catch (error) {
      if (!isError(error, "pathMissing")) throw error;
      if ((await this.statListed(path, doing)) !== null) throw error;
      throw fail("fileMissing", `unable to ${doing}: the object does not exist`, { path, cause: error });
    }
  }

  protected async removeKey(key: string): Promise<void> {
    const path = this.keys.pathOf(key);
    const doing = `remove '${this.keys.nameOf(path)}'`;
    const send = (): Promise<StoreAnswer> =>
      this.http.exchange({ method: "DELETE", key, path, doing }, async (answer) => {
        await readText(answer);
        return answer;
      });
    const answer = await nullOn(this.orMissing(path, doing, send), "fileMissing");
    // Google returns 204. Any web server or proxy can return 200.
    if (answer !== null && answer.status !== 204) await this.requireGone(path, doing, answer.status);
  }

  protected page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<ObjectPage> {
    const request: StoreRequest = { method: "GET", query: { fields: PAGE_FIELDS, ...query }, doing, path };
    return this.http.exchangeText(request, (text, facts) => parseObjectPage(text, query["prefix"] ?? "", facts));
  }

  protected readQuery(generation: string | undefined): Readonly<Record<string, string>> {
    return { alt: "media", ...(generation === undefined ? {} : { generation }) };
  }
}
