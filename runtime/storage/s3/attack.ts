/**
 * Attacks every file of one prefix of a bucket as a thief with this key would, then reads the prefix as it was before.
 * Only the prefix changes: every object is below it, and bucket-wide calls send an invalid body, so only authorisation
 * is tested.
 */
import type { Clock } from "../../base/clock";
import { assert, isError } from "../../base/errors";
import { type Measure, measure } from "../../base/hash";
import type { Random } from "../../base/random";
import { joinPath } from "../paths";
import { asked, type Verdict } from "../space";
import type { Attacked, Storage, StorageFact } from "../storage";
import { secondOf } from "../objectStore/objectVersions";
import { DENIED } from "../objectStore/probeFacts";
import { parseDeleteResult, parseUploadId } from "./answer";
import { bodyOf, headerOf, readText, type S3Answer, type S3Http, type S3Request } from "./http";
import { escapeXml } from "../objectStore/xml";

export interface AttackTarget {
  readonly http: S3Http;
  /** Key prefix without a slash at the end; nothing else lives there. */
  readonly prefix: string;
  /** The prefix as it is now. */
  readonly storage: Pick<Storage, "list" | "name" | "read">;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** The prefix as it was. */
  past(targetTimeMs: number): Storage;
}

interface Stolen {
  /** Below the prefix. */
  readonly path: string;
  readonly key: string;
  readonly content: Measure;
  readonly versionId: string;
  /** Until when the service protects this version; null without a lock. */
  readonly lockedUntilMs: number | null;
}

/** Times of versions have whole seconds: the second of the last look and the one after it belong to the past. */
const PAUSE_MS = 2500;
const EXPECTED = [...DENIED, 400, 404, 405, 409, 411, 412, 501];
/** Refused while it is read: no service carries it out. */
const NO_XML = "<Attack";
const MINUTE_MS = 60_000;
/** The worst first. */
const VERDICTS: readonly Verdict["verdict"][] = ["fail", "warn", "ok", "skip"];

/** Attacks and compares; the caller removes the prefix afterwards. */
export async function attackS3(target: AttackTarget): Promise<Attacked> {
  return new Attack(target).run();
}

class Attack {
  readonly #facts: StorageFact[] = [];
  readonly #target: AttackTarget;
  #files: readonly Stolen[] = [];
  #seenAtMs = 0;

  constructor(target: AttackTarget) {
    assert(target.prefix.split("/").length > 1, "an attack needs a prefix of its own");
    this.#target = target;
  }

  async run(): Promise<Attacked> {
    await this.#look();
    if (this.#files.some(({ versionId }) => versionId === "")) {
      const text = "the bucket keeps no versions: what this key overwrites or deletes is gone for good";
      return { facts: [{ name: "versions", verdict: "fail", text }], past: null };
    }
    await this.#target.clock.sleep(PAUSE_MS, this.#target.signal);
    // Each file is hidden or overwritten in one way, then its good version is attacked in another.
    await this.#onFiles([
      ["delete", (file) => this.#undoable(file, "DELETE")],
      ["overwrite", (file) => this.#undoable(file, "PUT")],
      ["empty", (file) => this.#empty(file)],
      ["batch", (file) => this.#batch(file, false)],
    ]);
    await this.#onFiles([
      ["delete-version", (file) => this.#deleteVersion(file, {})],
      ["batch-version", (file) => this.#batch(file, true)],
      ["bypass", (file) => this.#bypass(file)],
      ["retention", (file) => this.#shorten(file)],
    ]);
    for (const [name, setting, what] of SETTINGS) await this.#try(name, () => this.#setting(setting, what));
    return { past: await this.#compare(), facts: this.#facts };
  }

  /** Gives the files in turn to these attacks; the worst result of each counts. */
  async #onFiles(attacks: readonly (readonly [string, (file: Stolen) => Promise<Verdict>])[]): Promise<void> {
    for (const [index, [name, attack]] of attacks.entries()) {
      await this.#try(name, async () => {
        const results: Verdict[] = [];
        for (const [position, file] of this.#files.entries())
          if (position % attacks.length === index) results.push(await attack(file));
        const worst = VERDICTS.flatMap((verdict) => results.filter((result) => result.verdict === verdict))[0];
        assert(worst !== undefined, "an attack needs more files");
        return worst;
      });
    }
  }

  async #try(name: string, work: () => Promise<Verdict>): Promise<void> {
    this.#facts.push(await asked(name, work));
  }

  async #look(): Promise<void> {
    const { prefix, storage } = this.#target;
    const files: Stolen[] = [];
    for await (const { modifiedAtMs, path } of storage.list("", { recursive: true })) {
      const key = joinPath(prefix, path);
      const head = await this.#ask({ method: "HEAD", key }, EXPECTED);
      const id = headerOf(head, "x-amz-version-id") ?? "";
      const until = Date.parse(headerOf(head, "x-amz-object-lock-retain-until-date") ?? "");
      // The service's clock decides what was before.
      this.#seenAtMs = Math.max(this.#seenAtMs, modifiedAtMs, Date.parse(headerOf(head, "date") ?? "") || 0);
      files.push({
        path,
        key,
        content: await measure(await storage.read(path)),
        versionId: id === "null" ? "" : id,
        lockedUntilMs: Number.isNaN(until) ? null : until,
      });
    }
    this.#files = files.sort((left, right) => (left.path < right.path ? -1 : 1));
  }

  get #beforeMs(): number {
    return (secondOf({ modifiedAtMs: this.#seenAtMs }) + 1) * 1000;
  }

  /** The answer without its body. */
  async #ask(
    request: Omit<S3Request, "doing" | "path">,
    expected: readonly number[],
  ): Promise<S3Answer & { readonly text: string }> {
    const { http, prefix, storage } = this.#target;
    const { key } = request;
    assert(key === undefined || key.startsWith(`${prefix}/`), `'${key}' is outside of the attacked prefix`);
    const path = key === undefined ? {} : { path: key.slice(prefix.length + 1) };
    const doing = `attack '${joinPath(storage.name, path.path ?? "")}'`;
    return http.exchange({ ...request, ...path, doing, expected }, async (answer) => ({
      ...answer,
      text: await readText(answer),
    }));
  }

  /** Expiry and the replacement of info files need these rights: what they do must be undone by versions. */
  async #undoable({ key }: Stolen, method: "PUT" | "DELETE"): Promise<Verdict> {
    const body = method === "PUT" ? { body: bodyOf(this.#target.random.bytes(100), true) } : {};
    const { status } = await this.#ask({ method, key, ...body }, EXPECTED);
    const what = method === "PUT" ? "overwrites" : "hides";
    return status < 300
      ? { verdict: "ok", text: `the key ${what} objects, as backups need it` }
      : { verdict: "ok", text: `the service refuses it: [${status}]` };
  }

  /** An upload in parts that ends with an empty object. */
  async #empty({ key }: Stolen): Promise<Verdict> {
    const begun = await this.#ask({ method: "POST", key, query: { uploads: "" } }, EXPECTED);
    if (begun.status >= 300) return { verdict: "ok", text: `the service refuses it: [${begun.status}]` };
    const facts = this.#target.http.factsOf({ method: "POST", key, doing: "begin an upload" });
    const uploadId = parseUploadId(begun.text, facts);
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

  async #batch({ key, versionId }: Stolen, withVersion: boolean): Promise<Verdict> {
    const version = withVersion ? `<VersionId>${escapeXml(versionId)}</VersionId>` : "";
    const text = `<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>${escapeXml(key)}</Key>${version}</Object></Delete>`;
    const request = { method: "POST", query: { delete: "" }, body: bodyOf(Buffer.from(text), true) } as const;
    const answer = await this.#ask(request, EXPECTED);
    const facts = this.#target.http.factsOf({ ...request, doing: "remove objects" });
    const isRefused = answer.status >= 300 || parseDeleteResult(answer.text, facts).refused.length > 0;
    if (isRefused) return { verdict: "ok", text: "the service refuses it" };
    return withVersion
      ? { verdict: "fail", text: "this key deletes versions in batches: a thief destroys every backup" }
      : { verdict: "ok", text: "the key hides objects in batches, as expiry needs it" };
  }

  async #deleteVersion({ key, versionId }: Stolen, headers: Readonly<Record<string, string>>): Promise<Verdict> {
    const answer = await this.#ask({ method: "DELETE", key, query: { versionId }, headers }, EXPECTED);
    return judged(answer.status, "deletes versions: a thief destroys every backup");
  }

  /** A key that may not read locks, as a writer's at Amazon, does not see them: it is tried on any file. */
  async #bypass(file: Stolen): Promise<Verdict> {
    const verdict = await this.#deleteVersion(file, { "x-amz-bypass-governance-retention": "true" });
    return verdict.verdict === "fail" && file.lockedUntilMs !== null
      ? { verdict: "fail", text: "this key ends locks: a thief destroys every backup" }
      : verdict;
  }

  async #shorten({ key, lockedUntilMs, versionId }: Stolen): Promise<Verdict> {
    const until = new Date(this.#seenAtMs + MINUTE_MS).toISOString();
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

  /** What a restore would get; null if this key gets nothing. */
  async #compare(): Promise<Storage | null> {
    const past = this.#target.past(this.#beforeMs);
    let isReadable = true;
    await this.#try("past", async () => {
      const damaged = await this.#damagedIn(past).catch((error: unknown) => {
        if (!isError(error, "access")) throw error;
        isReadable = false;
        return [];
      });
      if (!isReadable) return { verdict: "warn", text: UNREADABLE };
      if (damaged.length === 0)
        return { verdict: "ok", text: `all ${this.#files.length} files are readable as they were before` };
      const names = `${damaged.slice(0, NAMES_MAX).join(", ")}${damaged.length > NAMES_MAX ? ", …" : ""}`;
      return { verdict: "fail", text: `${damaged.length} files are not as they were before: ${names}` };
    });
    return isReadable ? past : null;
  }

  async #damagedIn(past: Storage): Promise<string[]> {
    const damaged: string[] = [];
    for (const { content, path } of this.#files) {
      const then = await past
        .read(path)
        .then(measure)
        .catch((error: unknown) => {
          if (isError(error, "fileMissing", "service")) return null;
          throw error;
        });
      if (then?.sha1 !== content.sha1) damaged.push(path);
    }
    return damaged;
  }
}

const UNREADABLE =
  "this key may not read old versions, so nothing shows that they can be restored: drill with the reader's key on another host";
const NAMES_MAX = 3;

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
