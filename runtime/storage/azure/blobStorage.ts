/**
 * A prefix of a container of Azure Blob Storage as a storage. Requests and errors: azureHttp.ts and azureFailure.ts;
 * uploads: blobUpload.ts.
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import { fail, nullOn } from "../../base/errors";
import { attackStore } from "../objectStore/attack";
import { ObjectStorage, type ObjectStorageDeps, type ObjectStorageOptions } from "../objectStore/objectStorage";
import { lockOf, pathPages, type VersionPage } from "../objectStore/objectVersions";
import { PastStorage } from "../objectStore/past";
import { uploadAgain } from "../objectStore/partUpload";
import { holdsBytes } from "../objectStore/rangedRead";
import { headerOf, readText, type StoreRequest } from "../objectStore/storeHttp";
import { checkPath } from "../paths";
import type { Attacked, AttackedStorage, ObjectInfo, StorageFact } from "../storage";
import { azureAddressOf, type AzureLocation } from "./azureAddress";
import { type BlobPage, parseBlobPage, POLICY_HEADER } from "./azureAnswer";
import { azureError, type AzureFacts, codeOfRefusal } from "./azureFailure";
import { AzureHttp } from "./azureHttp";
import type { AzureAuthority } from "./azureKey";
import { BlobAttacks } from "./blobAttack";
import { probeBlobs } from "./blobProbe";
import { blobBody, type BlobTarget, type BlobUpload, putBlob, requireStoredBlob, uploadBlob } from "./blobUpload";
import { AZURE_VERSIONS, blobVersionPages } from "./blobVersions";

export interface BlobOptions extends ObjectStorageOptions, AzureLocation {
  readonly authority: AzureAuthority;
  readonly keyType: AzureFacts["keyType"];
}

const NOT_FOUND = 404;
const CONFLICT = 409;
const PRECONDITION_FAILED = 412;
/** Answers to a write whose condition the blob does not meet ("Specify conditional headers"). */
const UNMET = new Set(["BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "BlobNotFound"]);

export class BlobStorage extends ObjectStorage<BlobPage> implements AttackedStorage {
  protected readonly http: AzureHttp;
  protected readonly oneKey = { maxresults: "1" };
  readonly #options: BlobOptions;

  constructor(options: BlobOptions, deps: ObjectStorageDeps) {
    const { authority, ca, container, keyType, repoIndex, verifyTls } = options;
    super({ scheme: "azure", bucket: container, title: "Azure" }, options, deps);
    this.#options = options;
    const address = azureAddressOf(options, repoIndex);
    this.http = new AzureHttp({
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
    const key = this.keys.keyOf(path);
    const doing = `get info of '${this.keys.nameOf(path)}'`;
    const head = await this.http.exchangeHead({ method: "HEAD", key, path, expected: [NOT_FOUND], doing });
    const version = headerOf(head, "etag");
    const size = headerOf(head, "content-length") ?? "";
    const modifiedAtMs = Date.parse(headerOf(head, "last-modified") ?? "");
    if (head.status < 300 && version !== undefined && /^[0-9]{1,15}$/.test(size) && !Number.isNaN(modifiedAtMs))
      return { path, type: "file", sizeBytes: Number(size), modifiedAtMs, version, ...lockOf(head, POLICY_HEADER) };
    if (head.status === NOT_FOUND && codeOfRefusal({ ...head, text: "" }) === "BlobNotFound") return null;
    // Something else has answered, or the container is missing.
    return this.statListed(path, doing);
  }

  /**
   * Every version below a prefix, relative to the storage's root, with paths in place of keys; with `delimiter` only
   * those without another slash.
   */
  versionPages(prefix: string, delimiter: "/" | null, doing: string): AsyncIterable<VersionPage> {
    const query = { ...this.keys.queryBelow(prefix, delimiter), include: "versions" };
    return pathPages(this.keys, blobVersionPages(this.pages(query, doing)));
  }

  /** Null: only the account's management says it. */
  async keepsVersions(): Promise<null> {
    return null;
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    checkPath(path);
    if (bytes.length > this.#options.partSizeBytes) return this.putStream(path, () => streamOf(bytes));
    const target = this.#target(path);
    const put = putBlob(target, blobBody(bytes));
    await this.http.exchange(put, (answer) => requireStoredBlob(target, put, answer));
  }

  async putStream(path: string, open: () => ByteStream): Promise<void> {
    checkPath(path);
    const target = this.#target(path);
    const text = `unable to put '${target.name}': uploads of others discard its blocks`;
    await uploadAgain(
      () => uploadBlob(target, open()),
      () => fail("service", text, { path, repoIndex: this.#options.repoIndex, retryable: true }),
    );
  }

  create(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.#putIf(path, bytes, { "if-none-match": "*" });
  }

  replace(path: string, bytes: Uint8Array, version: string): Promise<boolean> {
    return this.#putIf(path, bytes, { "if-match": version });
  }

  async probe(scratch: string): Promise<StorageFact[]> {
    const { origin } = azureAddressOf(this.#options, this.#options.repoIndex);
    return probeBlobs({ ...this.probeOf(scratch, origin), http: this.http, storage: this, scratch });
  }

  openAttacked(scratch: string): AttackedStorage {
    return new BlobStorage({ ...this.#options, ...this.scratchOptions(scratch) }, this.deps);
  }

  async attack(): Promise<Attacked> {
    const { container: bucket, repoIndex } = this.#options;
    const target = this.attackTarget(
      (targetTimeMs) => new PastStorage(this, { repoIndex, bucket, service: AZURE_VERSIONS, targetTimeMs }),
    );
    return attackStore(target, new BlobAttacks(this.http, target, this.deps.random));
  }

  /** False if the blob does not meet the headers' condition. */
  async #putIf(path: string, bytes: Uint8Array, headers: Readonly<Record<string, string>>): Promise<boolean> {
    checkPath(path);
    const target = this.#target(path);
    const whole = putBlob(target, blobBody(bytes));
    const expected = [NOT_FOUND, CONFLICT, PRECONDITION_FAILED];
    const put: BlobUpload = { ...whole, headers: { ...whole.headers, ...headers }, expected };
    const { attempt, isMet } = await this.http.exchange(put, async (answer) => {
      if (answer.status < 300) {
        await requireStoredBlob(target, put, answer);
        return { ...answer, isMet: true };
      }
      const refusal = { ...answer, text: await readText(answer) };
      if (!UNMET.has(codeOfRefusal(refusal))) throw azureError(refusal, this.http.factsOf(put));
      return { ...answer, isMet: false };
    });
    // An earlier attempt may have written the blob and lost its answer.
    return isMet || (attempt > 1 && (await holdsBytes(this, path, bytes)));
  }

  #target(path: string): BlobTarget {
    return { ...this.locationOf(path), http: this.http, random: this.deps.random, stat: () => this.stat(path) };
  }

  protected async removeKey(key: string): Promise<void> {
    const path = this.keys.pathOf(key);
    const doing = `remove '${this.keys.nameOf(path)}'`;
    const answer = await nullOn(this.http.exchangeHead({ method: "DELETE", key, path, doing }), "fileMissing");
    // The service numbers its answers. Anything else may say 202 too.
    if (answer !== null && headerOf(answer, "x-ms-request-id") === undefined)
      await this.requireGone(path, doing, answer.status);
  }

  protected page(query: Readonly<Record<string, string>>, doing: string, path?: string): Promise<BlobPage> {
    const request: StoreRequest = {
      method: "GET",
      query: { restype: "container", comp: "list", ...query },
      doing,
      path,
    };
    return this.http.exchangeText(request, (text, facts) => parseBlobPage(text, query["prefix"] ?? "", facts));
  }

  protected readQuery(versionid = ""): Readonly<Record<string, string>> {
    return versionid === "" ? {} : { versionid };
  }
}
