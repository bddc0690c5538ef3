/**
 * A prefix of a container of Azure Blob Storage as a storage. Blobs are files; `/` in names makes directories, which
 * exist while they contain something. A put is atomic and durable when it returns. Requests and errors: azureHttp.ts
 * and azureFailure.ts; uploads: blobUpload.ts.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { fail, nullOn } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { KeyPrefix, type ListKeys } from "../objectStore/keyPrefix";
import { eachPage } from "../objectStore/pages";
import { BEHIND_END, getRange, holdsBytes, type RangedObject, resumedBody } from "../objectStore/rangedRead";
import { headerOf, readText, type StoreHttpOptions, type StoreRequest } from "../objectStore/storeHttp";
import { checkDirectoryPath, checkPath } from "../paths";
import type { ByteRange, ListOptions, ObjectInfo, Storage, StorageFact, StorageFeatures } from "../storage";
import { azureAddressOf, type AzureLocation } from "./azureAddress";
import { type BlobPage, parseBlobPage } from "./azureAnswer";
import { azureError, type AzureFacts, codeOfRefusal } from "./azureFailure";
import { AzureHttp } from "./azureHttp";
import type { AzureAuthority } from "./azureKey";
import { probeBlobs } from "./blobProbe";
import { blobBody, type BlobTarget, type BlobUpload, putBlob, requireStoredBlob, uploadBlob } from "./blobUpload";

export interface BlobOptions extends AzureLocation {
  readonly repoIndex: number;
  readonly authority: AzureAuthority;
  readonly keyType: AzureFacts["keyType"];
  /** Prefix of all names, without its leading slash. */
  readonly path: string;
  readonly partSizeBytes: number;
  readonly verifyTls: boolean;
  /** PEM text of the trusted authorities. */
  readonly ca?: string;
}

export type BlobDeps = Pick<StoreHttpOptions<AzureFacts>, "clock" | "random" | "signal" | "ioTimeoutMs">;

const DELETES_IN_FLIGHT = 8;
const NOT_FOUND = 404;
const CONFLICT = 409;
const PRECONDITION_FAILED = 412;
/** Answers to a write whose condition the blob does not meet ("Specify conditional headers"). */
const UNMET = new Set(["BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "BlobNotFound"]);
/** A first upload, and another one after one of another writer. */
const UPLOADS_MAX = 2;

export class BlobStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures = { directories: false, symlinks: false };
  readonly #options: BlobOptions;
  readonly #deps: BlobDeps;
  readonly #http: AzureHttp;
  readonly #keys: KeyPrefix;

  constructor(options: BlobOptions, deps: BlobDeps) {
    const { authority, ca, container, keyType, repoIndex, verifyTls } = options;
    this.#options = options;
    this.#deps = deps;
    this.#keys = new KeyPrefix({ scheme: "azure", bucket: container, path: options.path, title: "Azure" });
    this.name = this.#keys.name;
    const address = azureAddressOf(options, repoIndex);
    this.#http = new AzureHttp({
      address,
      authority,
      facts: { repoIndex, container, keyType, connection: address.connection },
      verifyTls,
      ...(ca === undefined ? {} : { ca }),
      ...deps,
    });
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkPath(path);
    const key = this.#keys.keyOf(path);
    const doing = `get info of '${this.#keys.nameOf(path)}'`;
    const head = await this.#http.exchangeHead({ method: "HEAD", key, path, expected: [NOT_FOUND], doing });
    const version = headerOf(head, "etag");
    const size = headerOf(head, "content-length") ?? "";
    const modifiedAtMs = Date.parse(headerOf(head, "last-modified") ?? "");
    if (head.status < 300 && version !== undefined && /^[0-9]{1,15}$/.test(size) && !Number.isNaN(modifiedAtMs))
      return { path, type: "file", sizeBytes: Number(size), modifiedAtMs, version };
    if (head.status === NOT_FOUND && codeOfRefusal({ ...head, text: "" }) === "BlobNotFound") return null;
    // Something else has answered, or the container is missing: a listing decides.
    const page = await this.#page({ prefix: key, maxresults: "1" }, doing, path);
    const match = page.objects.find((blob) => blob.key === key);
    return match === undefined
      ? null
      : { path, type: "file", sizeBytes: match.sizeBytes, modifiedAtMs: match.modifiedAtMs };
  }

  list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    return this.#keys.list(path, options, (query, doing) => this.#pages(query, doing));
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    checkPath(path);
    const name = this.#keys.nameOf(path);
    if (range?.sizeBytes === 0) {
      if ((await this.stat(path)) === null)
        throw fail("fileMissing", `unable to get '${name}': the object does not exist`, { path });
      return streamOf();
    }
    const request = { method: "GET", key: this.#keys.keyOf(path), path, doing: `get '${name}'` } as const;
    const object: RangedObject = { http: this.#http, path, name, request };
    const first = await getRange(object, range);
    if (first.status !== BEHIND_END) return resumedBody(object, range, first);
    first.body.resume();
    return streamOf();
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const target = this.#target(path);
    const put = putBlob(target, blobBody(bytes));
    await this.#http.exchange(put, (answer) => requireStoredBlob(target, put, answer));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const target = this.#target(path);
    for (let count = 0; count < UPLOADS_MAX; count++) if (await uploadBlob(target, open())) return;
    const text = `unable to put '${target.name}': uploads of others discard its blocks`;
    throw fail("service", text, { path, repoIndex: this.#options.repoIndex, retryable: true });
  }

  create(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.#putIf(path, bytes, { "if-none-match": "*" });
  }

  replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    return this.#putIf(path, bytes, { "if-match": version });
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
    const { origin } = azureAddressOf(this.#options, repoIndex);
    const [name, prefix] = [this.#keys.nameOf(scratch), this.#keys.keyOf(scratch)];
    const { clock } = this.#deps;
    return probeBlobs({ http: this.#http, storage: this, scratch, prefix, name, origin, verifyTls, repoIndex, clock });
  }

  async close(): Promise<void> {
    await this.#http.close();
  }

  /** False if the blob does not meet the headers' condition. */
  async #putIf(path: string, bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<boolean> {
    checkPath(path);
    const target = this.#target(path);
    const whole = putBlob(target, blobBody(bytes));
    const expected = [NOT_FOUND, CONFLICT, PRECONDITION_FAILED];
    const put: BlobUpload = { ...whole, headers: { ...whole.headers, ...headers }, expected };
    const { attempt, isMet } = await this.#http.exchange(put, async (answer) => {
      if (answer.status < 300) {
        await requireStoredBlob(target, put, answer);
        return { ...answer, isMet: true };
      }
      const refusal = { ...answer, text: await readText(answer) };
      if (!UNMET.has(codeOfRefusal(refusal))) throw azureError(refusal, this.#http.factsOf(put));
      return { ...answer, isMet: false };
    });
    // An earlier attempt may have written the blob and lost its answer.
    return isMet || (attempt > 1 && (await holdsBytes(this, path, bytes)));
  }

  #target(path: string): BlobTarget {
    const { partSizeBytes, repoIndex } = this.#options;
    const { random, signal } = this.#deps;
    return {
      http: this.#http,
      random,
      signal,
      key: this.#keys.keyOf(path),
      path,
      name: this.#keys.nameOf(path),
      partSizeBytes,
      repoIndex,
      stat: () => this.stat(path),
    };
  }

  async #removeKey(key: string): Promise<void> {
    const path = this.#keys.pathOf(key);
    const doing = `remove '${this.#keys.nameOf(path)}'`;
    const answer = await nullOn(this.#http.exchangeHead({ method: "DELETE", key, path, doing }), "fileMissing");
    // The service numbers its answers. Anything else may say 202 too, so check that the blob is gone.
    if (answer === null || headerOf(answer, "x-ms-request-id") !== undefined) return;
    if ((await this.stat(path)) === null) return;
    const text = `unable to ${doing}: the service answered [${answer.status}] and still has it`;
    throw fail("service", text, { path, repoIndex: this.#options.repoIndex });
  }

  #page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<BlobPage> {
    const request: StoreRequest = {
      method: "GET",
      query: { restype: "container", comp: "list", ...query },
      doing,
      ...(path === undefined ? {} : { path }),
    };
    return this.#http.exchangeText(request, (text, facts) => parseBlobPage(text, query["prefix"] ?? "", facts));
  }

  #pages(query: Readonly<Record<string, string>>, doing: string): AsyncIterable<BlobPage> {
    const { repoIndex } = this.#options;
    return eachPage((next: BlobPage["next"]) => this.#page({ ...query, ...next }, doing), { doing, repoIndex });
  }
}
