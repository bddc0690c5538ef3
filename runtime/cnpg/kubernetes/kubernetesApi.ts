/**
 * Client of the API server inside a pod, with the token and the authority of its service account, which lie in one
 * directory. Reads, creates, changes and deletes over HTTPS, nothing else.
 */
import { readFile } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { BackupError, type ErrorKind, fail, toBackupError } from "../../base/errors";
import { askWeb, type WebQuestion } from "../../web/ask";
import { type Json, type JsonObject, listAt, parseObject, textAt } from "./clusterObject";

/** `postgresql.cnpg.io/v1` and `backups`; `v1` and `events` */
export interface Collection {
  readonly api: string;
  readonly plural: string;
  /** Default: the account's namespace. */
  readonly namespace?: string;
  /** Subresource to change instead of the whole object: rights to it alone are enough. */
  readonly part?: "scale";
}

export const CLUSTERS: Collection = { api: "postgresql.cnpg.io/v1", plural: "clusters" };

export const PODS: Collection = { api: "v1", plural: "pods" };

export interface KubernetesAccess {
  readonly host: string;
  readonly port: number;
  /** Directory of `token`, `ca.crt` and `namespace`. */
  readonly accountPath: string;
}

export interface ObjectRef {
  readonly name: string;
  /** A new object of the same name has another uid. */
  readonly uid: string;
}

export interface Listed<T> {
  readonly items: readonly T[];
  /** The server's own clock; undefined if the answer has no date. */
  readonly serverMs: number | undefined;
}

/** Uses the account's namespace unless a collection names another one. */
export interface KubernetesApi {
  readonly namespace: string;
  /**
   * All objects, read one by one: pages may be large.
   * @param fields as `involvedObject.uid=…`
   * @throws access, hostConnect, service, format
   */
  list<T>(
    collection: Collection,
    selector: string | null,
    read: (object: Json) => T,
    fields?: string,
  ): Promise<Listed<T>>;
  /** Null if no object has that name. @throws access, hostConnect, service, format */
  find(collection: Collection, name: string): Promise<JsonObject | null>;
  /** The last lines of a container of a pod. @throws access, hostConnect, service */
  log(pod: string, container: string): Promise<string>;
  /** Returns the object as the server stored it. @throws access, hostConnect, service with the refusal, format */
  create(collection: Collection, object: JsonObject): Promise<JsonObject>;
  /**
   * Merges fields into the object (RFC 7386); null removes one. With `metadata.resourceVersion` it returns false if the
   * object has changed since.
   * @param manager of these fields; default: the API server's name for this program
   * @throws access, hostConnect, service with the refusal
   */
  patch(collection: Collection, name: string, fields: JsonObject, manager?: string): Promise<boolean>;
  /**
   * Removes this object and no other one of the same name. The server collects its dependents afterwards, or with
   * `Foreground` before, and keeps the object until then. A removed object is no error.
   * @throws access, hostConnect, service
   */
  remove(collection: Collection, object: ObjectRef, propagation?: "Background" | "Foreground"): Promise<void>;
}

/** A snapshot's annotation holds the whole Cluster, up to 256 KiB: a page must fit into a small pod's memory. */
const PAGE_COUNT = 50;
const TIMEOUT_MS = 30_000;
const LOG_LINES = 500;
const LOG_BYTES = 256 * 1024;

/** @throws fileOpen if the pod has no account */
export async function openKubernetes(
  { accountPath, host, port }: KubernetesAccess,
  signal: AbortSignal,
): Promise<KubernetesApi> {
  const [token, ca, namespace] = await Promise.all(
    ["token", "ca.crt", "namespace"].map((name) => readAccountFile(`${accountPath}/${name}`)),
  );
  const call = caller({ accountPath, host, port }, ca ?? "", token ?? "", signal);
  const pathOf = ({ api, plural, namespace: other = namespace ?? "" }: Collection): string =>
    `/${api.includes("/") ? "apis" : "api"}/${api}/namespaces/${encodeURIComponent(other)}/${plural}`;

  return {
    namespace: namespace ?? "",
    async list(collection, selector, read, fields) {
      const items: ReturnType<typeof read>[] = [];
      let serverMs: number | undefined;
      for (let next: string | undefined = ""; next !== undefined; ) {
        const query = new URLSearchParams({
          limit: String(PAGE_COUNT),
          ...(selector === null ? {} : { labelSelector: selector }),
          ...(fields === undefined ? {} : { fieldSelector: fields }),
          ...(next === "" ? {} : { continue: next }),
        });
        const answer = await call("GET", `${pathOf(collection)}?${query}`);
        if (answer.status !== 200) throw refusal(`list ${collection.plural}`, answer);
        const page = parseObject(answer.body, "list");
        items.push(...listAt(page, "items").map(read));
        serverMs ??= answer.dateMs;
        next = textAt(page, "metadata", "continue");
      }
      return { items, serverMs };
    },
    async find(collection, name) {
      const answer = await call("GET", `${pathOf(collection)}/${encodeURIComponent(name)}`);
      if (answer.status === 404) return null;
      if (answer.status !== 200) throw refusal(`get ${collection.plural} ${name}`, answer);
      return parseObject(answer.body, collection.plural);
    },
    async log(pod, container) {
      const query = new URLSearchParams({ container, tailLines: String(LOG_LINES), limitBytes: String(LOG_BYTES) });
      const answer = await call("GET", `${pathOf(PODS)}/${encodeURIComponent(pod)}/log?${query}`);
      if (answer.status !== 200) throw refusal(`read the log of pod ${pod}`, answer);
      return Buffer.from(answer.body).toString("utf8");
    },
    async create(collection, object) {
      const answer = await call("POST", pathOf(collection), object);
      if (answer.status !== 201)
        throw refusal(`create ${collection.plural} ${textAt(object, "metadata", "name") ?? ""}`, answer);
      return parseObject(answer.body, collection.plural);
    },
    async patch(collection, name, fields, manager) {
      const part = collection.part === undefined ? "" : `/${collection.part}`;
      const query = manager === undefined ? "" : `?fieldManager=${encodeURIComponent(manager)}`;
      const answer = await call("PATCH", `${pathOf(collection)}/${encodeURIComponent(name)}${part}${query}`, fields);
      if (answer.status === 409) return false;
      if (answer.status !== 200) throw refusal(`change ${collection.plural} ${name}`, answer);
      return true;
    },
    async remove(collection, { name, uid }, propagationPolicy = "Background") {
      const options = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid }, propagationPolicy };
      const answer = await call("DELETE", `${pathOf(collection)}/${encodeURIComponent(name)}`, options);
      if (![200, 202, 404].includes(answer.status)) throw refusal(`delete ${collection.plural} ${name}`, answer);
    },
  };
}

interface Answer {
  readonly status: number;
  readonly dateMs: number | undefined;
  readonly body: Uint8Array;
}

type Call = (method: WebQuestion["method"], path: string, body?: object) => Promise<Answer>;

function caller({ host, port }: KubernetesAccess, ca: string, token: string, signal: AbortSignal): Call {
  const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  return async (method, path, body) => {
    const type = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    const common = {
      method,
      url: `https://${authority}${path}`,
      ca: [ca],
      idleMs: TIMEOUT_MS,
      answerBytesMax: Number.POSITIVE_INFINITY,
    };
    const headers = { authorization: `Bearer ${token}`, accept: "application/json" };
    const question =
      body === undefined
        ? { ...common, headers }
        : { ...common, headers: { ...headers, "content-type": type }, body: JSON.stringify(body) };
    const answer = await askWeb(question, signal).catch((error: unknown) => {
      throw fail("hostConnect", `unable to reach the API server at ${host}:${port}: ${toBackupError(error).message}`);
    });
    const dateMs = Date.parse(String(answer.headers["date"] ?? ""));
    return { status: answer.status, dateMs: Number.isFinite(dateMs) ? dateMs : undefined, body: answer.bytes };
  };
}

export function refOf(object: JsonObject): ObjectRef {
  return { name: textAt(object, "metadata", "name") ?? "", uid: textAt(object, "metadata", "uid") ?? "" };
}

/** Ignores an error that the next attempt may not have. @throws the others */
export function unlessRetryable<T>(error: unknown, instead: T): T {
  if (error instanceof BackupError && (error.retryable || error.kind === "hostConnect")) return instead;
  throw error;
}

/**
 * Waits until a deleted object is gone, or another one has its name.
 * @param what of the object, in the error
 * @throws pathRemove if it still exists at the end
 */
export async function awaitGone(
  api: Pick<KubernetesApi, "find">,
  collection: Collection,
  { name, uid }: ObjectRef,
  limits: { readonly what: string; readonly waitMs: number; readonly pollMs: number },
  { clock, signal }: Pick<Context, "clock" | "signal">,
): Promise<void> {
  const { pollMs, waitMs, what } = limits;
  const endMs = clock.monotonicMs() + waitMs;
  for (;;) {
    const current = await api.find(collection, name).catch((error: unknown) => unlessRetryable(error, undefined));
    if (current === null || (current !== undefined && textAt(current, "metadata", "uid") !== uid)) return;
    if (clock.monotonicMs() > endMs)
      throw fail("pathRemove", `${what} '${name}' was deleted and still exists`, {
        hint: `Check kubectl describe ${what.toLowerCase()} ${name}.`,
      });
    await clock.sleep(pollMs, signal);
  }
}

/** Includes the server's message, which names the missing right. */
function refusal(what: string, { body, status }: Answer): BackupError {
  const kind: ErrorKind = status === 401 || status === 403 ? "access" : "service";
  let message = "";
  try {
    message = textAt(parseObject(body, "answer"), "message") ?? "";
  } catch {
    // Not from the API server: only the status is known.
  }
  return fail(kind, `unable to ${what}: ${status}${message === "" ? "" : ` ${message}`}`, {
    retryable: kind === "service",
  });
}

async function readAccountFile(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    const hint = "The pod needs an account: serviceAccountName, and automountServiceAccountToken: true.";
    throw fail("fileOpen", `unable to open '${path}': ${toBackupError(error).message}`, { path, hint, cause: error });
  }
}
