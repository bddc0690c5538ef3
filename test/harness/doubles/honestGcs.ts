/**
 * A bucket in memory that keeps the promises of Google's JSON API that the driver needs. It reads no tokens, and counts
 * generations from 1.
 */
import { createHash } from "node:crypto";
import { compareBytes } from "../../../runtime/base/bytes";
import { COMMON_LIES, type Lie } from "./lyingS3";
import { content, type DoubleAnswer, type DoubleRequest } from "./s3Double";

const BUCKET = "backups";
const DAY_MS = 24 * 60 * 60 * 1000;
const CREATED_MS = Date.UTC(2026, 10, 20, 6, 40, 59);
const HTML = "<html><body>Sign in</body></html>";
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");

interface StoredObject {
  readonly bytes: Buffer;
  readonly generation: string;
  readonly createdMs: number;
  /** When it was replaced or deleted. */
  readonly endedMs?: number;
}

export interface HonestGcsOptions {
  /** Null refuses to say it. Old generations are kept in any case. */
  readonly versioning?: boolean | null;
  /** Entries in a page of versions. */
  readonly pageSize?: number;
  /** False ends what is replaced or deleted for good, unless soft delete keeps it. Default true. */
  readonly keepsOld?: boolean;
  /** Keeps every generation that ends for good ("Soft delete"). */
  readonly softDelete?: boolean;
  /** Rights of the key beyond those of roles/storage.objectUser. */
  readonly permissions?: readonly string[];
  readonly mayRestore?: boolean;
  /** Refuses deletions: `shown` by the retention of each object for a day, or by a hold that shows no end. */
  readonly retention?: "shown" | "hidden";
  readonly nowMs?: () => number;
}

interface Session {
  readonly key: string;
  bytes: Buffer;
  /** The answer to its last part. */
  stored?: DoubleAnswer;
}

export class HonestGcs {
  readonly objects = new Map<string, StoredObject>();
  readonly sessions = new Map<string, Session>();
  readonly #options: HonestGcsOptions;
  #ended: (readonly [key: string, object: StoredObject])[] = [];
  readonly #softDeleted: (readonly [key: string, object: StoredObject])[] = [];
  #writeCount = 0;

  constructor(options: HonestGcsOptions = {}) {
    this.#options = options;
  }

  put(key: string, bytes: Uint8Array, createdMs = this.#nowMs): StoredObject {
    this.remove(key, createdMs);
    const object = { bytes: Buffer.from(bytes), generation: String(++this.#writeCount), createdMs };
    this.objects.set(key, object);
    return object;
  }

  remove(key: string, endedMs = this.#nowMs): void {
    const object = this.objects.get(key);
    const { keepsOld = true, softDelete = false } = this.#options;
    if (object !== undefined && keepsOld) this.#ended.push([key, { ...object, endedMs }]);
    else if (object !== undefined && softDelete) this.#softDeleted.push([key, object]);
    this.objects.delete(key);
  }

  get #nowMs(): number {
    return this.#options.nowMs?.() ?? CREATED_MS;
  }

  #removeGeneration(key: string, generation: string): void {
    if (this.objects.get(key)?.generation === generation) return this.remove(key);
    const isIt = ([name, object]: readonly [string, StoredObject]): boolean =>
      name === key && object.generation === generation;
    if (this.#options.softDelete === true) this.#softDeleted.push(...this.#ended.filter(isIt));
    this.#ended = this.#ended.filter((each) => !isIt(each));
  }

  /** The restored object is a new generation. */
  #restore(key: string, generation: string | null): DoubleAnswer {
    if (this.#options.mayRestore === false) return refused(403, "forbidden");
    const kept = this.#softDeleted.find(([name, object]) => name === key && object.generation === generation);
    return kept === undefined ? noObject(key, false) : json(resource(key, this.put(key, kept[1].bytes)));
  }

  answer(request: DoubleRequest): DoubleAnswer {
    const answer = this.#answer(request);
    if (this.#options.nowMs === undefined) return answer;
    return { ...answer, headers: { date: new Date(this.#nowMs).toUTCString(), ...answer.headers } };
  }

  #answer(request: DoubleRequest): DoubleAnswer {
    const { pathname, searchParams: query } = new URL(request.url, "http://gcs");
    if (pathname.endsWith("/iam/testPermissions")) {
      const held = (this.#options.permissions ?? []).filter((each) => query.getAll("permissions").includes(each));
      return json({ kind: "storage#testIamPermissionsResponse", ...(held.length === 0 ? {} : { permissions: held }) });
    }
    if (query.get("uploadType") === "resumable") return this.#resume(request, query);
    if (query.get("uploadType") === "media") return this.#store(query.get("name") ?? "", request.body, request, query);
    if (query.get("uploadType") === "multipart") return this.#form(request, query);
    const key = decodeURIComponent(pathname.split("/")[6] ?? "");
    if (!pathname.includes("/o")) return this.#bucket();
    if (query.get("versions") === "true") return this.#versions(query);
    if (key === "") return this.#list(query.get("prefix") ?? "");
    if (pathname.endsWith("/restore") && request.method === "POST") return this.#restore(key, query.get("generation"));
    const generation = query.get("generation");
    const object = this.#find(key, generation);
    if (object === undefined) return noObject(key, query.get("alt") === "media");
    if (request.method === "DELETE") {
      if (generation !== null && this.#options.retention !== undefined) return refused(403, "retentionPolicyNotMet");
      if (generation === null) this.remove(key);
      else this.#removeGeneration(key, generation);
      return { status: 204 };
    }
    if (query.get("alt") !== "media") return json({ ...resource(key, object), ...this.#retentionOf(object) });
    const answer = content(request, object.bytes);
    return { ...answer, headers: { ...answer.headers, etag: `"${object.generation}"` } };
  }

  /** A whole object, or the end of a session. */
  #store(key: string, bytes: Buffer, { headers }: DoubleRequest, query: URLSearchParams): DoubleAnswer {
    const wanted = query.get("ifGenerationMatch");
    const generation = this.objects.get(key)?.generation ?? "0";
    if (wanted !== null && wanted !== generation) return refused(412, "conditionNotMet");
    const hash = headers["x-goog-hash"];
    if (hash !== undefined && hash !== `md5=${md5(bytes)}`)
      return refused(400, "invalid", "Provided MD5 hash doesn't match calculated MD5 hash.");
    return json(resource(key, this.put(key, bytes)));
  }

  /** The object's fields, then its content. */
  #form(request: DoubleRequest, query: URLSearchParams): DoubleAnswer {
    const boundary = /^multipart\/related; boundary=(\S+)$/.exec(request.headers["content-type"] ?? "")?.[1];
    const text = request.body.toString("latin1");
    const [before, fields, stored, after] = text.split(`--${boundary}`).map((part) => part.split("\r\n\r\n"));
    if (before?.join() !== "" || after?.join() !== "--\r\n" || fields === undefined || stored === undefined)
      return refused(400, "parseError", "Missing end boundary in multipart body.");
    const { md5Hash } = JSON.parse(fields.slice(1).join("\r\n\r\n")) as { readonly md5Hash?: string };
    const bytes = Buffer.from(stored.slice(1).join("\r\n\r\n").slice(0, -2), "latin1");
    const headers = md5Hash === undefined ? {} : { "x-goog-hash": `md5=${md5Hash}` };
    return this.#store(query.get("name") ?? "", bytes, { ...request, headers }, query);
  }

  #resume(request: DoubleRequest, query: URLSearchParams): DoubleAnswer {
    const id = query.get("upload_id");
    if (id === null) {
      const key = query.get("name") ?? "";
      const fresh = `session-${this.sessions.size}`;
      this.sessions.set(fresh, { key, bytes: Buffer.alloc(0) });
      const location = `https://elsewhere.example/upload?uploadType=resumable&upload_id=${fresh}`;
      return { status: 200, headers: { location, "x-guploader-uploadid": fresh } };
    }
    const session = this.sessions.get(id);
    if (session === undefined) return { status: 404, body: "Not Found" };
    if (request.method === "DELETE") {
      this.sessions.delete(id);
      return { status: 499 };
    }
    if (session.stored !== undefined) return session.stored;
    const [, first, last, total] =
      /^bytes (?:([0-9]+)-([0-9]+)|\*)\/([0-9]+|\*)$/.exec(request.headers["content-range"] ?? "") ?? [];
    if (total === undefined) return refused(400, "invalid");
    if (first !== undefined) {
      if (Number(first) !== session.bytes.length || Number(last) - Number(first) + 1 !== request.body.length)
        return refused(400, "invalid", "Invalid request: a gap in the upload.");
      session.bytes = Buffer.concat([session.bytes, request.body]);
    }
    if (String(session.bytes.length) === total) {
      session.stored = this.#store(session.key, session.bytes, request, query);
      return session.stored;
    }
    return resumeAt(session.bytes.length);
  }

  #find(key: string, generation: string | null): StoredObject | undefined {
    const live = this.objects.get(key);
    if (generation === null || live?.generation === generation) return live;
    return this.#ended.find(([name, object]) => name === key && object.generation === generation)?.[1];
  }

  #retentionOf({ createdMs }: StoredObject): { readonly retentionExpirationTime?: string } {
    if (this.#options.retention !== "shown") return {};
    return { retentionExpirationTime: new Date(createdMs + DAY_MS).toISOString() };
  }

  #bucket(): DoubleAnswer {
    const { versioning = true } = this.#options;
    if (versioning === null) return refused(403, "forbidden");
    return json({ kind: "storage#bucket", ...(versioning ? { versioning: { enabled: true } } : {}) });
  }

  /** By key, then by generation, the oldest first. */
  #versions(query: URLSearchParams): DoubleAnswer {
    const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter")];
    const { pageSize = 1000 } = this.#options;
    const entries: { readonly folder?: string; readonly item?: object }[] = [];
    const all = [...this.#ended, ...this.objects]
      .filter(([key]) => key.startsWith(prefix))
      .sort(
        ([key, object], [otherKey, other]) =>
          compareBytes(key, otherKey) || Number(object.generation) - Number(other.generation),
      );
    for (const [key, object] of all) {
      const slash = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      const folder = key.slice(0, slash + 1);
      if (slash === -1) entries.push({ item: resource(key, object) });
      else if (!entries.some((entry) => entry.folder === folder)) entries.push({ folder });
    }
    const from = Number(query.get("pageToken") ?? "0");
    const page = entries.slice(from, from + pageSize);
    const [items, prefixes] = [page.flatMap(({ item }) => item ?? []), page.flatMap(({ folder }) => folder ?? [])];
    const more = from + pageSize < entries.length ? { nextPageToken: String(from + pageSize) } : {};
    return json({ kind: "storage#objects", ...more, ...(items.length > 0 ? { items } : {}), prefixes });
  }

  /** Recursive, in one page. */
  #list(prefix: string): DoubleAnswer {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix));
    return listing(keys.map((key) => resource(key, this.objects.get(key))));
  }
}

export function json(value: object, status = 200): DoubleAnswer {
  return { status, headers: { "content-type": "application/json; charset=UTF-8" }, body: JSON.stringify(value) };
}

/** An object in an answer. */
export function resource(key: string, object?: Partial<StoredObject>, sizeBytes = object?.bytes?.length ?? 0): object {
  const timeCreated = new Date(object?.createdMs ?? CREATED_MS).toISOString();
  const ended = object?.endedMs === undefined ? {} : { timeDeleted: new Date(object.endedMs).toISOString() };
  const fields = { ...ended, name: key, size: String(sizeBytes), generation: object?.generation ?? "1", timeCreated };
  const digest = object?.bytes === undefined ? {} : { md5Hash: md5(object.bytes) };
  return { kind: "storage#object", bucket: BUCKET, ...fields, ...digest };
}

/** A page of a listing. */
export function listing(items: readonly object[], nextPageToken?: string): DoubleAnswer {
  return json({
    kind: "storage#objects",
    ...(nextPageToken === undefined ? {} : { nextPageToken }),
    // An empty listing has no field.
    ...(items.length === 0 ? {} : { items }),
  });
}

export function refused(status: number, reason: string, message = "said the double"): DoubleAnswer {
  return json({ error: { code: status, message, errors: [{ message, domain: "global", reason }] } }, status);
}

/** What a session has so far. */
export function resumeAt(storedBytes: number): DoubleAnswer {
  return { status: 308, headers: storedBytes === 0 ? {} : { range: `bytes=0-${storedBytes - 1}` } };
}

/** Content is refused by a line of text. */
function noObject(key: string, isContent: boolean): DoubleAnswer {
  const message = `No such object: ${BUCKET}/${key}`;
  return isContent ? { status: 404, body: message } : refused(404, "notFound", message);
}

/** The answer with other fields, if it is JSON. */
const changed =
  (change: (fields: Record<string, unknown>) => object): Lie =>
  (_verb, truth) => {
    const text = Buffer.from(truth.body ?? "").toString();
    if (!text.startsWith("{")) return truth;
    return { ...truth, body: JSON.stringify(change(JSON.parse(text) as Record<string, unknown>)) };
  };
const answered =
  (answer: DoubleAnswer, ...verbs: readonly string[]): Lie =>
  (verb) =>
    verbs.length === 0 || verbs.includes(verb) ? answer : null;

const UPLOADS = ["POST upload", "PUT part"];

/** Lies of something between the driver and the service. */
export const GCS_LIES: Readonly<Record<string, Lie>> = {
  ...COMMON_LIES,
  "200 with {}": answered(json({})),
  "200 with null": answered({ status: 200, body: "null" }),
  "404 with HTML": answered({ status: 404, body: HTML }),
  "404 without anything": answered({ status: 404 }),
  "410 without anything": answered({ status: 410 }),
  "another name": changed((fields) => ({ ...fields, name: "repo/other" })),
  "another MD5": changed((fields) => ({ ...fields, md5Hash: md5(Buffer.from("other")) })),
  "no MD5": changed(({ md5Hash: _digest, ...fields }) => fields),
  "an object of others": answered(
    json({ ...resource("d/f", { generation: "77" }, 12), md5Hash: md5(Buffer.from("other")) }),
    ...UPLOADS,
  ),
  "a short object without MD5": answered(json(resource("d/f", { generation: "77" }, 12)), ...UPLOADS),
  "a long object without MD5": answered(json(resource("d/f", { generation: "77" }, 2100)), ...UPLOADS),
  "no listing": answered(json({ kind: "storage#object" }), "GET list"),
  "a listing without a kind": answered(json({ items: [] }), "GET list"),
  "an unfinished listing": answered(listing([], "more"), "GET list"),
  "another listing": answered(listing([resource("other/f")]), "GET list"),
  "a session without id": answered({ status: 200, headers: { location: "https://e.example/" } }, "POST begin"),
  "another session": answered(
    { status: 200, headers: { location: "https://e.example/?upload_id=other" } },
    "POST begin",
  ),
  "308 without anything": answered({ status: 308 }),
  "308 with one byte": answered(resumeAt(1), "PUT part"),
  "308 with the first part": answered(resumeAt(2000), "PUT part"),
  "308 with all": answered(resumeAt(2100), "PUT part"),
  "308 with more": answered(resumeAt(9999), "PUT part"),
};

/** `GET list`: the method, and what is asked for. */
export function gcsVerbOf({ method, url }: DoubleRequest): string {
  const { pathname, searchParams: query } = new URL(url, "http://gcs");
  if (query.has("upload_id")) return `${method} part`;
  if (query.has("uploadType")) return `${method} ${query.get("uploadType") === "resumable" ? "begin" : "upload"}`;
  if (pathname.endsWith("/o")) return `${method} list`;
  return `${method} ${method === "GET" && query.get("alt") !== "media" ? "info" : "object"}`;
}
