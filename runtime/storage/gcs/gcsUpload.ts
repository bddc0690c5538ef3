/**
 * Uploads of objects, and the proof that the service has stored them: gateways, caches and captive portals answer with
 * a success too.
 *
 * A short body is one request. A longer one is a session, whose parts follow each other ("Resumable uploads"): after a
 * failure the service says how many bytes it has. The object changes with the last part only, which brings the MD5 of
 * all bytes: the service refuses others.
 */
import { createHash, type Hash } from "node:crypto";
import { type ByteStream, utf8 } from "../../base/bytes";
import { type BackupError, fail, isError } from "../../base/errors";
import { lostUpload, type PartUpload, type UploadLocation, uploadParts } from "../objectStore/partUpload";
import { BodyHash, hashed, headerOf, readText } from "../objectStore/storeHttp";
import type { StoreAnswer, StoreBody, StoreRequest } from "../objectStore/storeHttp";
import { ANSWER_FIELDS, type GcsObject, parseObject } from "./gcsAnswer";
import type { GcsHttp } from "./gcsHttp";

export interface ObjectUpload extends StoreRequest {
  readonly key: string;
  readonly body: StoreBody;
}

export interface ObjectTarget extends UploadLocation {
  readonly http: GcsHttp;
  /** The object in the bucket. */
  find(): Promise<GcsObject | null>;
}

interface SessionPart {
  /** What is left of it; null asks only. */
  readonly body: StoreBody | null;
  /** Where the body begins and ends in the object. */
  readonly fromBytes: number;
  readonly endBytes: number;
  readonly last: boolean;
  /** With the last part that of the whole object. */
  readonly md5: Buffer;
}

/** What the service says about a session. */
type SessionState =
  | { readonly is: "stored"; readonly object: GcsObject }
  | { readonly is: "open"; readonly storedBytes: number }
  | { readonly is: "gone" };

/** Parts but the last one are multiples of it. */
const PART_UNIT_BYTES = 256 * 1024;
const RESUME = 308;
/** A session ends after a week, and sooner if the service loses it. */
const GONE = [404, 410];
const CANCELLED = 499;
/** Short, because the caller already waits for a failure or the end of the process. */
const CANCEL_TIMEOUT_MS = 5_000;

/** The largest size of parts that the service takes. */
export function wholeUnits(sizeBytes: number): number {
  return sizeBytes - (sizeBytes % PART_UNIT_BYTES);
}

/** A body of one piece. */
export function objectBody(bytes: Uint8Array): StoreBody {
  return hashed(bytes, new RunningHash(createHash("md5")));
}

/** The request that stores a whole object. */
export function putObject(
  { key, name, path }: Pick<ObjectTarget, "key" | "name" | "path">,
  body: StoreBody,
): ObjectUpload {
  return {
    method: "POST",
    key,
    path,
    query: { uploadType: "media", fields: ANSWER_FIELDS },
    headers: { "content-type": "application/octet-stream", ...md5Header(body) },
    body,
    doing: `put '${name}'`,
  };
}

/**
 * The same in a form with two parts, where the hash is one of the object's fields ("Multipart upload"). Only with this
 * form does fake-gcs-server obey conditions; Google does with either.
 */
export function putObjectForm(target: Pick<ObjectTarget, "key" | "name" | "path">, content: StoreBody): ObjectUpload {
  const md5Hash = content.md5.toString("base64");
  // Nobody can write a content that holds the hash of itself.
  const boundary = `md5-${content.md5.toString("hex")}`;
  const fields = `--${boundary}\r\ncontent-type: application/json\r\n\r\n${JSON.stringify({ md5Hash })}\r\n`;
  const head = `${fields}--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
  const form = Buffer.concat([utf8(head), ...content.chunks, utf8(`\r\n--${boundary}--\r\n`)]);
  return {
    ...putObject(target, content),
    query: { uploadType: "multipart", fields: ANSWER_FIELDS },
    headers: { "content-type": `multipart/related; boundary=${boundary}` },
    body: objectBody(form),
  };
}

/** @throws service unless the service has stored the content */
export async function requireStoredObject(
  target: ObjectTarget,
  put: ObjectUpload,
  answer: StoreAnswer,
  content: StoreBody,
): Promise<void> {
  const object = parseObject(await readText(answer), target.key, target.http.factsOf(put));
  await requireObject(target, object, content);
}

/**
 * Uploads all of `source` under the target's key, which changes atomically at the end. False if the service has lost
 * the session.
 */
export async function uploadObject(target: ObjectTarget, source: ByteStream): Promise<boolean> {
  const { http } = target;
  const total = createHash("md5");
  let session: UploadSession | null = null;
  let lost: BackupError | null = null;
  const upload: PartUpload<void> = {
    location: target,
    partCountMax: Number.POSITIVE_INFINITY,
    isInOrder: true,
    newHash: () => new RunningHash(total),
    putWhole: async (body) => {
      const put = putObject(target, body);
      await http.exchange(put, (answer) => requireStoredObject(target, put, answer, body));
    },
    begin: async () => {
      session = new UploadSession(target, await beginSession(target));
    },
    putPart: async (_number, body, stop, last) => {
      if ((await session?.put(body, last, stop)) === true) return;
      lost = lostUpload(target);
      throw lost;
    },
    complete: async () => undefined,
    abort: async () => session?.cancel(),
  };
  try {
    await uploadParts(upload, source);
    return true;
  } catch (error) {
    if (error === lost) return false;
    throw error;
  }
}

async function beginSession({ http, key, name, path, repoIndex }: ObjectTarget): Promise<string> {
  const doing = `begin upload of '${name}'`;
  const request: StoreRequest = { method: "POST", key, path, query: { uploadType: "resumable" }, doing };
  return http.exchange(request, async (answer) => {
    await readText(answer);
    const location = headerOf(answer, "location") ?? "";
    // Only the id counts: a session at another host would get the token.
    const id = URL.canParse(location) ? new URL(location).searchParams.get("upload_id") : null;
    if (id !== null && id !== "") return id;
    throw fail("service", `unable to ${doing}: the answer has no session`, { path, repoIndex, retryable: true });
  });
}

class UploadSession {
  readonly #target: ObjectTarget;
  readonly #id: string;
  /** Where the current part begins. */
  #startBytes = 0;

  constructor(target: ObjectTarget, id: string) {
    this.#target = target;
    this.#id = id;
  }

  /** Sends the next part until the service has it. False if the session is lost. */
  async put(body: StoreBody, last: boolean, signal: AbortSignal): Promise<boolean> {
    const { http } = this.#target;
    const startBytes = this.#startBytes;
    const endBytes = startBytes + body.sizeBytes;
    const retries = http.requestRetries(signal);
    let [fromBytes, mostBytes] = [startBytes, startBytes];
    for (;;) {
      let hasPaused = false;
      const part = { body: restOf(body, fromBytes - startBytes), fromBytes, endBytes, last, md5: body.md5 };
      const state = await this.#send(part, signal, () => retries.extend()).catch(async (error: unknown) => {
        if (!isError(error)) throw error;
        await retries.pause(error);
        hasPaused = true;
        // It may have any of what was sent.
        return this.#send({ ...part, body: null }, signal);
      });
      if (state.is === "gone") return last && (await this.#isStored(body, endBytes));
      if (state.is === "stored") {
        if (!last) throw this.#error(`the service has ended it at byte ${state.object.sizeBytes}`);
        await requireObject(this.#target, state.object, { md5: body.md5, sizeBytes: endBytes });
        return true;
      }
      const { storedBytes } = state;
      if (storedBytes === endBytes && !last) {
        this.#startBytes = endBytes;
        return true;
      }
      // Parts before this one are no longer in memory.
      if (storedBytes < startBytes) return false;
      if (storedBytes > endBytes) throw this.#error(`the service has ${storedBytes} bytes where ${endBytes} were put`);
      if (storedBytes > mostBytes) retries.reset();
      else if (!hasPaused) await retries.pause(this.#error(`the service has ${storedBytes} of ${endBytes} bytes`));
      fromBytes = storedBytes;
      mostBytes = Math.max(mostBytes, storedBytes);
    }
  }

  /** One attempt to cancel it; an unfinished session costs nothing. Works even after the storage's signal fired. */
  async cancel(): Promise<void> {
    const { http, key, name, path } = this.#target;
    const request: StoreRequest = {
      method: "DELETE",
      key,
      path,
      query: this.#query,
      signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS),
      attempts: 1,
      expected: [...GONE, CANCELLED],
      doing: `cancel upload of '${name}'`,
    };
    await http.exchange(request, readText).catch(() => undefined);
  }

  get #query(): Readonly<Record<string, string>> {
    return { uploadType: "resumable", upload_id: this.#id };
  }

  /** Sends what is left of a part, in one attempt; without a body it asks what the service has. */
  #send(part: SessionPart, signal: AbortSignal, onPiece?: () => void): Promise<SessionState> {
    const { http, key, name, path } = this.#target;
    const { body, endBytes, fromBytes, last, md5 } = part;
    const hasBytes = body !== null && body.sizeBytes > 0;
    const range = `bytes ${hasBytes ? `${fromBytes}-${endBytes - 1}` : "*"}/${last ? endBytes : "*"}`;
    const request: StoreRequest = {
      method: "PUT",
      key,
      path,
      query: { ...this.#query, fields: ANSWER_FIELDS },
      headers: { "content-range": range, ...(last ? md5Header({ md5 }) : {}) },
      body: body ?? objectBody(new Uint8Array(0)),
      signal,
      ...(body === null ? {} : { attempts: 1 }),
      ...(onPiece === undefined ? {} : { onPiece }),
      expected: [RESUME, ...GONE],
      doing: `put '${name}'`,
    };
    return http.exchange(request, async (answer) => {
      const text = await readText(answer);
      if (GONE.includes(answer.status)) return { is: "gone" };
      if (answer.status !== RESUME) return { is: "stored", object: parseObject(text, key, http.factsOf(request)) };
      const stored = headerOf(answer, "range");
      // Absent while it has nothing.
      const [, end] = stored === undefined ? ["", "-1"] : (/^bytes=0-([0-9]{1,15})$/.exec(stored) ?? []);
      if (end === undefined) throw this.#error("the answer has no valid range");
      return { is: "open", storedBytes: Number(end) + 1 };
    });
  }

  /** An answer may have been lost, and the session ends with its upload. */
  async #isStored(body: StoreBody, sizeBytes: number): Promise<boolean> {
    const object = await this.#target.find();
    return object?.md5 === body.md5.toString("base64") && object.sizeBytes === sizeBytes;
  }

  #error(fact: string): BackupError {
    const { name, path, repoIndex } = this.#target;
    return fail("service", `unable to put '${name}': ${fact}`, { path, repoIndex, retryable: true });
  }
}

/**
 * The service names the MD5 of what it has stored. Without it, the bucket must have this generation with its size.
 * @throws service
 */
async function requireObject(
  { find, name, path, repoIndex }: ObjectTarget,
  object: GcsObject,
  { md5, sizeBytes }: Pick<StoreBody, "md5" | "sizeBytes">,
): Promise<void> {
  if (object.md5 === md5.toString("base64") && object.sizeBytes === sizeBytes) return;
  let fact = `the service has stored other bytes, by their MD5 '${object.md5}'`;
  if (object.md5 === undefined) {
    const held = await find();
    if (held?.sizeBytes === sizeBytes && held.generation === object.generation) return;
    fact =
      held === null
        ? "the service answered with success and has no such object"
        : `the service has ${held.sizeBytes} bytes as generation ${held.generation} where ${sizeBytes} as ${object.generation} were put`;
  }
  throw fail("service", `unable to put '${name}': ${fact}`, { path, repoIndex, retryable: true });
}

/** Its MD5 is of all bytes up to the end of a body, not of one part. */
class RunningHash extends BodyHash {
  readonly #total: Hash;

  constructor(total: Hash) {
    super({ sendsMd5: false, sha256: false });
    this.#total = total;
  }

  override add(chunk: Uint8Array): void {
    this.#total.update(chunk);
  }

  override finish(chunks: readonly Uint8Array[], sizeBytes: number): StoreBody {
    return { chunks, sizeBytes, md5: this.#total.copy().digest(), sendsMd5: false };
  }
}

function md5Header({ md5 }: Pick<StoreBody, "md5">): Record<string, string> {
  return { "x-goog-hash": `md5=${md5.toString("base64")}` };
}

function restOf(body: StoreBody, skippedBytes: number): StoreBody {
  if (skippedBytes === 0) return body;
  const chunks: Uint8Array[] = [];
  let atBytes = 0;
  for (const chunk of body.chunks) {
    if (atBytes + chunk.length > skippedBytes) chunks.push(chunk.subarray(Math.max(0, skippedBytes - atBytes)));
    atBytes += chunk.length;
  }
  return { ...body, chunks, sizeBytes: body.sizeBytes - skippedBytes };
}
