/**
 * Does to one prefix of a bucket what a thief with this key would do, then reads the prefix as it was before. Only the
 * prefix is changed: every object is below it, and what concerns the whole bucket is asked with a text that no service
 * can carry out, so that only the right to ask shows.
 */
import { collect } from "../../base/bytes";
import type { Clock } from "../../base/clock";
import { assert, isError, toBackupError } from "../../base/errors";
import type { Random } from "../../base/random";
import type { Storage, StorageFact } from "../storage";
import { parseAnswer, parseDeleteResult, secondOf } from "./answer";
import { bodyOf, headerOf, readText, type S3Answer, type S3Http, type S3Request } from "./http";
import { findText } from "./xml";

export interface AttackTarget {
  readonly http: S3Http;
  /** Key prefix without a slash at the end; nothing else lives there. */
  readonly prefix: string;
  /** `s3://bucket/prefix` for messages. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** The directory of the prefix as it was. */
  past(targetTimeMs: number): Pick<Storage, "read" | "list">;
  /** Path of a key, for {@link past}. */
  pathOf(key: string): string;
}

type Verdict = Pick<StorageFact, "verdict" | "text">;

interface Stolen {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly versionId: string;
  /** Until when the service protects this version; null without a lock. */
  readonly lockedUntilMs: number | null;
}

const FILES = ["kept", "deleted", "overwritten", "emptied", "batch", "version", "batch-version", "bypass"] as const;
type FileName = (typeof FILES)[number];
const FILE_SIZE_BYTES = 16 * 1024;
/** Times of versions have whole seconds: the second of the last write and the one after it belong to the past. */
const PAUSE_MS = 2500;
const DENIED = [401, 403];
const EXPECTED = [...DENIED, 400, 404, 405, 409, 411, 412, 501];
/** Refused while it is read: no service carries it out. */
const NO_XML = "<Attack";
const MINUTE_MS = 60_000;

/** Writes, attacks and compares; the caller removes the prefix afterwards. */
export async function attackS3(target: AttackTarget): Promise<StorageFact[]> {
  const attack = new Attack(target);
  await attack.run();
  return attack.facts;
}

class Attack {
  readonly facts: StorageFact[] = [];
  readonly #target: AttackTarget;
  readonly #files = new Map<FileName, Stolen>();
  #writtenAtMs = 0;

  constructor(target: AttackTarget) {
    assert(target.prefix.split("/").length > 1, "an attack needs a prefix of its own");
    this.#target = target;
  }

  async run(): Promise<void> {
    await this.#write();
    if ([...this.#files.values()].some(({ versionId }) => versionId === "")) {
      const text = "the bucket keeps no versions: what this key overwrites or deletes is gone for good";
      this.facts.push({ name: "versions", verdict: "fail", text });
      return;
    }
    await this.#pause();
    await this.#try("delete", () => this.#undoable("deleted", "DELETE"));
    await this.#try("overwrite", () => this.#undoable("overwritten", "PUT"));
    await this.#try("empty", () => this.#empty());
    await this.#try("batch", () => this.#batch("batch", false));
    await this.#try("delete-version", () => this.#deleteVersion("version", {}));
    await this.#try("batch-version", () => this.#batch("batch-version", true));
    await this.#try("bypass", () => this.#bypass());
    await this.#try("retention", () => this.#shorten());
    for (const [name, setting, what] of SETTINGS) await this.#try(name, () => this.#setting(setting, what));
    await this.#try("past", () => this.#compare());
  }

  async #try(name: string, work: () => Promise<Verdict>): Promise<void> {
    try {
      this.facts.push({ name, ...(await work()) });
    } catch (error) {
      if (isError(error, "term")) throw error;
      this.facts.push({ name, verdict: "fail", text: toBackupError(error).message });
    }
  }

  async #write(): Promise<void> {
    for (const file of FILES) {
      const bytes = this.#target.random.bytes(FILE_SIZE_BYTES);
      const key = `${this.#target.prefix}/${file}`;
      const put = await this.#ask({ method: "PUT", key, body: bodyOf(bytes, true) }, []);
      const id = headerOf(put, "x-amz-version-id") ?? "";
      const head = await this.#ask({ method: "HEAD", key }, EXPECTED);
      const until = Date.parse(headerOf(head, "x-amz-object-lock-retain-until-date") ?? "");
      this.#writtenAtMs = Math.max(this.#writtenAtMs, Date.parse(headerOf(put, "date") ?? "") || 0);
      const versionId = id === "null" ? "" : id;
      this.#files.set(file, { key, bytes, versionId, lockedUntilMs: Number.isNaN(until) ? null : until });
    }
  }

  /** The service's clock decides what was before. */
  get #beforeMs(): number {
    return (secondOf({ modifiedAtMs: this.#writtenAtMs }) + 1) * 1000;
  }

  async #pause(): Promise<void> {
    await this.#target.clock.sleep(PAUSE_MS, this.#target.signal);
  }

  #file(name: FileName): Stolen {
    const file = this.#files.get(name);
    assert(file !== undefined, `'${name}' was not written`);
    return file;
  }

  /** The answer without its body. */
  async #ask(
    request: Omit<S3Request, "doing" | "path">,
    expected: readonly number[],
  ): Promise<S3Answer & { readonly text: string }> {
    const { http, name, pathOf, prefix } = this.#target;
    const { key } = request;
    assert(key === undefined || key.startsWith(`${prefix}/`), `'${key}' is outside of the attacked prefix`);
    const path = key === undefined ? {} : { path: pathOf(key) };
    const doing = `attack '${key === undefined ? name : `${name}/${key.slice(prefix.length + 1)}`}'`;
    return http.exchange({ ...request, ...path, doing, expected }, async (answer) => ({
      ...answer,
      text: await readText(answer),
    }));
  }

  /** Expiry and the replacement of info files need these rights: what they do must be undone by versions. */
  async #undoable(file: FileName, method: "PUT" | "DELETE"): Promise<Verdict> {
    const { key } = this.#file(file);
    const body = method === "PUT" ? { body: bodyOf(this.#target.random.bytes(100), true) } : {};
    const { status } = await this.#ask({ method, key, ...body }, EXPECTED);
    const what = method === "PUT" ? "overwrites" : "hides";
    return status < 300
      ? { verdict: "ok", text: `the key ${what} objects, as backups need it` }
      : { verdict: "ok", text: `the service refuses it: [${status}]` };
  }

  /** An upload in parts that ends with an empty object. */
  async #empty(): Promise<Verdict> {
    const { key } = this.#file("emptied");
    const begun = await this.#ask({ method: "POST", key, query: { uploads: "" } }, EXPECTED);
    if (begun.status >= 300) return { verdict: "ok", text: `the service refuses it: [${begun.status}]` };
    const facts = this.#target.http.factsOf({ method: "POST", key, doing: "begin an upload" });
    const uploadId = findText(parseAnswer(begun.text, facts), "UploadId") ?? "";
    const part = await this.#ask(
      { method: "PUT", key, query: { partNumber: "1", uploadId }, body: bodyOf(new Uint8Array(0), true) },
      EXPECTED,
    );
    const list = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>${headerOf(part, "etag") ?? ""}</ETag></Part></CompleteMultipartUpload>`;
    const ended = await this.#ask(
      { method: "POST", key, query: { uploadId }, body: bodyOf(Buffer.from(list), true) },
      EXPECTED,
    );
    if (ended.status < 300 && !ended.text.includes("<Error>"))
      return { verdict: "ok", text: "the key overwrites objects by an empty upload, as backups may" };
    await this.#ask({ method: "DELETE", key, query: { uploadId } }, EXPECTED);
    return { verdict: "ok", text: `the service refuses an empty upload: [${ended.status}]` };
  }

  async #batch(file: FileName, withVersion: boolean): Promise<Verdict> {
    const { key, versionId } = this.#file(file);
    const version = withVersion ? `<VersionId>${versionId}</VersionId>` : "";
    const text = `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>${key}</Key>${version}</Object></Delete>`;
    const request = { method: "POST", query: { delete: "" }, body: bodyOf(Buffer.from(text), true) } as const;
    const answer = await this.#ask(request, EXPECTED);
    const facts = this.#target.http.factsOf({ ...request, doing: "remove objects" });
    const isRefused = answer.status >= 300 || parseDeleteResult(answer.text, facts).length > 0;
    if (isRefused) return { verdict: "ok", text: "the service refuses it" };
    return withVersion
      ? { verdict: "fail", text: "this key deletes versions in batches: a thief destroys every backup" }
      : { verdict: "ok", text: "the key hides objects in batches, as expiry needs it" };
  }

  async #deleteVersion(file: FileName, headers: Readonly<Record<string, string>>): Promise<Verdict> {
    const { key, versionId } = this.#file(file);
    const answer = await this.#ask({ method: "DELETE", key, query: { versionId }, headers }, EXPECTED);
    return judged(answer.status, "deletes versions: a thief destroys every backup");
  }

  /** A key that may not read locks, as a writer's at Amazon, does not see them: it is tried on any file. */
  async #bypass(): Promise<Verdict> {
    const verdict = await this.#deleteVersion("bypass", { "x-amz-bypass-governance-retention": "true" });
    return verdict.verdict === "fail" && this.#file("bypass").lockedUntilMs !== null
      ? { verdict: "fail", text: "this key ends locks: a thief destroys every backup" }
      : verdict;
  }

  async #shorten(): Promise<Verdict> {
    const { key, lockedUntilMs, versionId } = this.#file("kept");
    const until = new Date(this.#writtenAtMs + MINUTE_MS).toISOString();
    const text = `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>GOVERNANCE</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`;
    const request = {
      method: "PUT",
      key,
      query: { retention: "", versionId },
      headers: { "x-amz-bypass-governance-retention": "true" },
      body: bodyOf(Buffer.from(text), true),
    } as const;
    const { status } = await this.#ask(request, EXPECTED);
    return status < 300 && lockedUntilMs === null
      ? { verdict: "warn", text: "the key may change locks; the file showed none" }
      : judged(status, "shortens locks: a thief waits for their end");
  }

  /** A service that refuses the key does not read the text; one that does may obey another text. */
  async #setting(setting: string, what: string): Promise<Verdict> {
    const answer = await this.#ask(
      { method: "PUT", query: { [setting]: "" }, body: bodyOf(Buffer.from(NO_XML), true) },
      EXPECTED,
    );
    const { status } = answer;
    if (DENIED.includes(status)) return { verdict: "ok", text: "the key may not" };
    if ([404, 405, 501].includes(status))
      return { verdict: "skip", text: `the service has no such request: [${status}]` };
    const text = `the service reads the request instead of refusing the key ([${status}]): the key may ${what}`;
    return { verdict: status < 300 ? "fail" : "warn", text };
  }

  /** What restore would get. */
  async #compare(): Promise<Verdict> {
    const past = this.#target.past(this.#beforeMs);
    const damaged: string[] = [];
    try {
      for (const [name, { bytes, key }] of this.#files) {
        const read = past.read(this.#target.pathOf(key)).then((stream) => collect(stream, FILE_SIZE_BYTES + 1));
        const then = await read.catch((error: unknown) => {
          if (isError(error, "fileMissing", "service")) return null;
          throw error;
        });
        if (then === null || !Buffer.from(bytes).equals(then)) damaged.push(name);
      }
    } catch (error) {
      if (!isError(error, "access")) throw error;
      return {
        verdict: "warn",
        text: "this key may not read old versions, so nothing shows that they can be restored: drill with the reader's key on another host",
      };
    }
    return damaged.length === 0
      ? { verdict: "ok", text: `all ${this.#files.size} files are readable as they were before` }
      : { verdict: "fail", text: `not restored as before: ${damaged.join(", ")}` };
  }
}

/** Name of the fact, of the bucket's setting, and what its right means. */
const SETTINGS = [
  ["lifecycle", "lifecycle", "let the provider delete everything"],
  ["versioning", "versioning", "stop the bucket from keeping versions"],
  ["object-lock", "object-lock", "change the bucket's lock"],
] as const;

function judged(status: number, what: string): Verdict {
  if (status < 300) return { verdict: "fail", text: `this key ${what}` };
  return DENIED.includes(status)
    ? { verdict: "ok", text: "the service refuses it" }
    : { verdict: "ok", text: `the service refuses it: [${status}]` };
}
