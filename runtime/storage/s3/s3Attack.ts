/** What a thief with this key would do to a bucket of an S3 service. The engine is objectStore/attack.ts. */
import type { Random } from "../../base/random";
import {
  type Attempt,
  type AttackTarget,
  judged,
  type Looked,
  NO_XML,
  sendAttack,
  type Stolen,
  type StoreAttacks,
  undoable,
} from "../objectStore/attack";
import { lockOf } from "../objectStore/objectVersions";
import { DENIED } from "../objectStore/probeFacts";
import { escapeXml } from "../objectStore/xml";
import type { Verdict } from "../space";
import { LOCK_HEADER, parseDeleteResult, parseUploadId } from "./answer";
import { bodyOf, headerOf, type S3Answer, type S3Http, type S3Request } from "./http";

const MINUTE_MS = 60_000;

export class S3Attacks implements StoreAttacks {
  readonly withoutVersions = "the bucket keeps no versions: what this key overwrites or deletes is gone for good";
  readonly rounds: StoreAttacks["rounds"];
  readonly settings: StoreAttacks["settings"];
  readonly #http: S3Http;
  readonly #target: AttackTarget;
  readonly #random: Random;
  /** The service's time. */
  #seenAtMs = 0;

  constructor(http: S3Http, target: AttackTarget, random: Random) {
    this.#http = http;
    this.#target = target;
    this.#random = random;
    // Each file is hidden or overwritten in one way, then its good version is attacked in another.
    this.rounds = [
      [
        ["delete", (file) => this.#delete(file)],
        ["overwrite", (file) => this.#overwrite(file)],
        ["empty", (file) => this.#empty(file)],
        ["batch", (file) => this.#batch(file, false)],
      ],
      [
        ["delete-version", (file) => this.#deleteVersion(file)],
        ["batch-version", (file) => this.#batch(file, true)],
        ["bypass", (file) => this.#bypass(file)],
        ["retention", (file) => this.#shorten(file)],
      ],
    ];
    this.settings = SETTINGS.map(([name, what]) => [name, () => this.#setting(name, what)]);
  }

  async look({ key }: Pick<Stolen, "key">): Promise<Looked> {
    const answer = await this.#ask({ method: "HEAD", key });
    const id = headerOf(answer, "x-amz-version-id") ?? "";
    this.#seenAtMs = Math.max(this.#seenAtMs, Date.parse(headerOf(answer, "date") ?? "") || 0);
    return { answer, versionId: id === "null" ? "" : id, ...lockOf(answer, LOCK_HEADER) };
  }

  #ask(request: Omit<S3Request, "doing" | "path">): Promise<S3Answer & { readonly text: string }> {
    return sendAttack(this.#http, this.#target, request);
  }

  async #delete({ key }: Stolen): Promise<Verdict> {
    const { status } = await this.#ask({ method: "DELETE", key });
    return undoable(status, "hides objects");
  }

  async #overwrite({ key }: Stolen): Promise<Verdict> {
    const { status } = await this.#ask({ method: "PUT", key, body: bodyOf(this.#random.bytes(100), true) });
    return undoable(status, "overwrites objects");
  }

  /** An upload in parts that ends with an empty object. */
  async #empty({ key }: Stolen): Promise<Verdict> {
    const begun = await this.#ask({ method: "POST", key, query: { uploads: "" } });
    if (begun.status >= 300) return { verdict: "ok", text: `the service refuses it: [${begun.status}]` };
    const facts = this.#http.factsOf({ method: "POST", key, doing: "begin an upload" });
    const uploadId = parseUploadId(begun.text, facts);
    const part = await this.#ask({
      method: "PUT",
      key,
      query: { partNumber: "1", uploadId },
      body: bodyOf(new Uint8Array(0), true),
    });
    const list = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>${headerOf(part, "etag") ?? ""}</ETag></Part></CompleteMultipartUpload>`;
    const ended = await this.#ask({ method: "POST", key, query: { uploadId }, body: bodyOf(Buffer.from(list), true) });
    if (ended.status < 300 && !ended.text.includes("<Error>"))
      return { verdict: "ok", text: "the key overwrites objects by an empty upload, as backups may" };
    await this.#ask({ method: "DELETE", key, query: { uploadId } });
    return { verdict: "ok", text: `the service refuses an empty upload: [${ended.status}]` };
  }

  async #batch({ key, versionId }: Stolen, withVersion: boolean): Promise<Attempt> {
    const version = withVersion ? `<VersionId>${escapeXml(versionId)}</VersionId>` : "";
    const text = `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>${escapeXml(key)}</Key>${version}</Object></Delete>`;
    const request = { method: "POST", query: { delete: "" }, body: bodyOf(Buffer.from(text), true) } as const;
    const answer = await this.#ask(request);
    const facts = this.#http.factsOf({ ...request, doing: "remove objects" });
    const isRefused = answer.status >= 300 || parseDeleteResult(answer.text, facts).refused.length > 0;
    if (isRefused) return { verdict: "ok", text: "the service refuses it", ...(withVersion ? { isKept: true } : {}) };
    return withVersion
      ? { verdict: "fail", text: "this key deletes versions in batches: a thief destroys every backup" }
      : { verdict: "ok", text: "the key hides objects in batches, as expiry needs it" };
  }

  async destroy(
    { key, versionId }: Pick<Stolen, "key" | "versionId">,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<number> {
    return (await this.#ask({ method: "DELETE", key, query: { versionId }, headers })).status;
  }

  async #deleteVersion(file: Stolen, headers: Readonly<Record<string, string>> = {}): Promise<Attempt> {
    return judged(await this.destroy(file, headers), "deletes versions: a thief destroys every backup");
  }

  /** A key that may not read locks, as a writer's at Amazon, does not see them: it is tried on any file. */
  async #bypass(file: Stolen): Promise<Attempt> {
    const verdict = await this.#deleteVersion(file, { "x-amz-bypass-governance-retention": "true" });
    return verdict.verdict === "fail" && file.lockedUntilMs !== undefined
      ? { verdict: "fail", text: "this key ends locks: a thief destroys every backup" }
      : verdict;
  }

  async #shorten({ key, lockedUntilMs, versionId }: Stolen): Promise<Attempt> {
    const until = new Date(this.#seenAtMs + MINUTE_MS).toISOString();
    const text = `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>GOVERNANCE</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`;
    const request = {
      method: "PUT",
      key,
      query: { retention: "", versionId },
      headers: { "x-amz-bypass-governance-retention": "true" },
      body: bodyOf(Buffer.from(text), true),
    } as const;
    const { status } = await this.#ask(request);
    return status < 300 && lockedUntilMs === undefined
      ? { verdict: "warn", text: "the key may change locks; the file showed none" }
      : judged(status, "shortens locks: a thief waits for their end");
  }

  /** A service that refuses the key does not read the text; one that does may obey another text. */
  async #setting(setting: string, what: string): Promise<Verdict> {
    const answer = await this.#ask({
      method: "PUT",
      query: { [setting]: "" },
      body: bodyOf(Buffer.from(NO_XML), true),
    });
    const { status } = answer;
    if (DENIED.includes(status)) return { verdict: "ok", text: "the key may not" };
    if ([404, 405, 501].includes(status))
      return { verdict: "skip", text: `the service has no such request: [${status}]` };
    const text = `the service reads the request instead of refusing the key ([${status}]): the key may ${what}`;
    return { verdict: status < 300 ? "fail" : "warn", text };
  }
}

/** The bucket's setting, and what its right means. */
const SETTINGS = [
  ["lifecycle", "let the provider delete everything"],
  ["versioning", "stop the bucket from keeping versions"],
  ["object-lock", "change the bucket's lock"],
] as const;
