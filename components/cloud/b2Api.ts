/**
 * Client of Backblaze B2's native API: signs in, calls, retries safe calls, and turns refusals into sentences with a
 * remedy.
 *
 * Calls are `POST {apiUrl}/b2api/v{version}/{operation}` with a JSON body; `Authorization` is the bare token. An
 * expired token (401 bad_auth_token, expired_auth_token) is renewed once per call. 408, 429, 5xx and a broken
 * connection are retried, up to five attempts, after 1 s doubling to 64 s and up to half as much again; the server's
 * Retry-After has priority. Calls that are not safe to repeat throw an error marked `unclear` instead. No error,
 * message or log line contains the key or a token.
 *
 * Source: Backblaze's documentation of the native API, version 4 (and 3 for keys of one bucket).
 */
import { randomInt } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";

export const B2_ENDPOINT = "https://api.backblazeb2.com";

const TRIES_MAX = 5;
const DELAY_MS_FIRST = 1_000;
const DELAY_MS_MAX = 64_000;
/** For a longer wait the update fails and reports it. */
const RETRY_AFTER_MS_MAX = 300_000;
const REQUEST_TIMEOUT_MS = 60_000;
const JITTER_STEPS = 1_000;

export type B2ApiVersion = 3 | 4;

export interface B2Credentials {
  readonly applicationKeyId: string;
  readonly applicationKey: string;
}

/** Replaceable in tests. */
export interface B2Tools {
  readonly sleep: (durationMs: number) => Promise<void>;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly nowMs: () => number;
}

export interface B2ClientOptions extends B2Credentials {
  /** Address of the sign-in. */
  readonly endpoint?: string;
  readonly tools?: Partial<B2Tools>;
}

/** The result of signing in. */
export interface B2Account {
  readonly accountId: string;
  readonly apiUrl: string;
  /** Host name for S3: `s3.eu-central-003.backblazeb2.com`. */
  readonly s3Endpoint: string;
  /** `eu-central-003` */
  readonly s3Region: string;
  readonly capabilities: readonly string[];
}

export type B2Answer = Readonly<Record<string, unknown>>;

export interface CallOptions {
  readonly version?: B2ApiVersion;
  /** False: after a failure with an unclear outcome, throw instead of retrying. */
  readonly repeatable?: boolean;
}

/** A refusal or failure of the service. The message contains no secret. */
export class B2Error extends Error {
  readonly operation: string;
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** The service's code (`bad_bucket_id`), or `network`. */
  readonly code: string;
  /** True if the call may have succeeded anyway. */
  readonly unclear: boolean;
  /** The server's requested wait; null if absent. */
  readonly retryAfterMs: number | null;

  constructor(facts: {
    operation: string;
    status: number;
    code: string;
    message: string;
    unclear?: boolean;
    retryAfterMs?: number | null;
    cause?: unknown;
  }) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "B2Error";
    this.operation = facts.operation;
    this.status = facts.status;
    this.code = facts.code;
    this.unclear = facts.unclear ?? false;
    this.retryAfterMs = facts.retryAfterMs ?? null;
  }
}

/** True for the service's refusal `code` to any call. */
export function isB2Error(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof B2Error && codes.includes(error.code);
}

interface Session extends B2Account {
  readonly token: string;
}

export class B2Client {
  readonly #credentials: B2Credentials;
  readonly #endpoint: string;
  readonly #tools: B2Tools;
  #session: Promise<Session> | null = null;
  /** Every token so far: no message may contain one. */
  readonly #secrets: string[];

  constructor({ applicationKeyId, applicationKey, endpoint = B2_ENDPOINT, tools = {} }: B2ClientOptions) {
    this.#credentials = { applicationKeyId, applicationKey };
    this.#endpoint = checkedUrl(endpoint, "b2:endpoint");
    this.#tools = {
      sleep: (durationMs) => wait(durationMs),
      random: () => randomInt(JITTER_STEPS) / JITTER_STEPS,
      nowMs: Date.now,
      ...tools,
    };
    this.#secrets = [applicationKey, basicOf(this.#credentials)];
  }

  /** The account; signs in if necessary. @throws B2Error */
  account(): Promise<B2Account> {
    return this.#signedIn();
  }

  /**
   * Calls `operation` and returns its answer.
   * @throws B2Error if it is refused, or fails five times, or (not repeatable) fails once without a clear refusal
   */
  async call(operation: string, body: object, { version = 4, repeatable = true }: CallOptions = {}): Promise<B2Answer> {
    let renewed = false;
    for (let failures = 0; ; ) {
      const signedIn = this.#signedIn();
      const session = await signedIn;
      const request = { url: `${session.apiUrl}/b2api/v${version}/${operation}`, authorization: session.token, body };
      const result = await this.#send(operation, request);
      if (!(result instanceof B2Error)) return result;
      if (result.status === 401 && ["bad_auth_token", "expired_auth_token"].includes(result.code) && !renewed) {
        renewed = true;
        // Another call may have renewed it in the meantime.
        if (this.#session === signedIn) this.#session = null;
        continue;
      }
      failures++;
      if (!isTransient(result.status) || failures >= TRIES_MAX || (!repeatable && result.unclear)) throw result;
      await this.pause(failures, result);
    }
  }

  /** Waits before attempt number `failures` + 1. @throws the error itself if the server requests too long a wait */
  async pause(failures: number, error: B2Error): Promise<void> {
    if (error.retryAfterMs !== null) {
      if (error.retryAfterMs > RETRY_AFTER_MS_MAX) throw error;
      return this.#tools.sleep(error.retryAfterMs);
    }
    const delayMs = Math.min(DELAY_MS_FIRST * 2 ** (failures - 1), DELAY_MS_MAX);
    return this.#tools.sleep(Math.round(delayMs * (1 + this.#tools.random() / 2)));
  }

  #signedIn(): Promise<Session> {
    if (this.#session === null) {
      const session = this.#signIn();
      this.#session = session;
      session.catch(() => {
        if (this.#session === session) this.#session = null;
      });
    }
    return this.#session;
  }

  async #signIn(): Promise<Session> {
    const operation = "b2_authorize_account";
    const request = {
      url: `${this.#endpoint}/b2api/v4/${operation}`,
      authorization: `Basic ${basicOf(this.#credentials)}`,
    };
    for (let failures = 1; ; failures++) {
      const result = await this.#send(operation, request);
      if (!(result instanceof B2Error)) {
        const session = sessionOf(result, this.#endpoint);
        this.#secrets.push(session.token);
        return session;
      }
      if (!isTransient(result.status) || failures >= TRIES_MAX) throw result;
      await this.pause(failures, result);
    }
  }

  async #send(
    operation: string,
    request: { url: string; authorization: string; body?: object },
  ): Promise<B2Answer | B2Error> {
    try {
      const response = await fetch(request.url, {
        method: request.body === undefined ? "GET" : "POST",
        headers: {
          Authorization: request.authorization,
          "User-Agent": "pgbackstop",
          ...(request.body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        // A redirect must not receive the token.
        redirect: "error",
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      });
      const answer = parseObject(await response.text());
      if (response.ok && answer !== null) return answer;
      return this.#refusal(operation, response, answer);
    } catch (error) {
      const message = this.#redacted(
        `${operation}: ${new URL(request.url).host} cannot be reached: ${networkReason(error)}`,
      );
      return new B2Error({ operation, status: 0, code: "network", message, unclear: true });
    }
  }

  #refusal(operation: string, response: Response, answer: B2Answer | null): B2Error {
    const { status } = response;
    const code = textOf(answer?.["code"]) || `http_${status}`;
    const reason = textOf(answer?.["message"]) || (answer === null ? "the answer is not JSON" : "no reason given");
    const requestId = response.headers.get("x-bz-request-id");
    const hint = hintOf(operation, code, status, this.#endpoint);
    const text = `${operation}: ${status} ${code}: ${reason}${requestId === null ? "" : ` (request ${requestId})`}${hint === "" ? "" : `; ${hint}`}`;
    return new B2Error({
      operation,
      // The answer is not from B2: treat it like a broken connection.
      status: response.ok ? 0 : status,
      code,
      message: this.#redacted(text),
      unclear: response.ok || (isTransient(status) && status !== 429),
      retryAfterMs: retryAfterMs(response.headers.get("retry-after"), this.#tools.nowMs()),
    });
  }

  #redacted(text: string): string {
    return this.#secrets.reduce((result, secret) => (secret === "" ? result : result.replaceAll(secret, "***")), text);
  }
}

/** The capability that each call needs, for refusal messages. */
const CAPABILITIES: Readonly<Record<string, string>> = {
  b2_create_bucket: "writeBuckets (and writeBucketRetentions for object lock)",
  b2_update_bucket: "writeBuckets (and writeBucketRetentions for object lock)",
  b2_delete_bucket: "deleteBuckets",
  b2_list_buckets: "listBuckets",
  b2_create_key: "writeKeys",
  b2_list_keys: "listKeys",
  b2_delete_key: "deleteKeys",
  b2_list_file_versions: "listFiles",
  b2_delete_file_version: "deleteFiles",
  b2_list_unfinished_large_files: "listFiles",
  b2_cancel_large_file: "writeFiles",
};

function hintOf(operation: string, code: string, status: number, endpoint: string): string {
  if (status === 401 && operation === "b2_authorize_account") {
    return `the key of b2:applicationKeyId and b2:applicationKey (or B2_APPLICATION_KEY_ID and B2_APPLICATION_KEY) is unknown to ${new URL(endpoint).host}`;
  }
  if (code === "unauthorized") {
    return `the key in use may not do this: it needs ${CAPABILITIES[operation] ?? "another capability"}, without a restriction to another bucket`;
  }
  if (/^(storage|transaction|download)_cap_exceeded$/.test(code)) {
    return "the account has reached a cap: raise it in the console under Caps & Alerts";
  }
  if (code === "too_many_buckets")
    return "the account has reached its limit of buckets (100 by default): remove one or ask Backblaze for more";
  if (code === "access_denied") return "object lock or a legal hold protects it, or the key lacks the permission";
  return "";
}

function isTransient(status: number): boolean {
  return [0, 408, 429, 500, 502, 503, 504].includes(status);
}

/** Milliseconds of a Retry-After header: seconds, or a date. Null for a missing or unreadable one. */
function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^[0-9]+$/.test(header.trim())) return Number(header) * 1_000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}

function sessionOf(answer: B2Answer, endpoint: string): Session {
  const storage = objectOf(objectOf(answer["apiInfo"])["storageApi"]);
  const s3ApiUrl = textOf(storage["s3ApiUrl"]);
  const apiUrl = checkedUrl(textOf(storage["apiUrl"]), "apiUrl of the answer");
  const token = textOf(answer["authorizationToken"]);
  const accountId = textOf(answer["accountId"]);
  if (token === "" || accountId === "")
    throw answerError("b2_authorize_account", "accountId or authorizationToken is missing");
  const isTheirs = (url: string): boolean => new URL(url).hostname.endsWith(".backblazeb2.com");
  if (isTheirs(endpoint) && !isTheirs(apiUrl))
    throw answerError("b2_authorize_account", `apiUrl points to ${new URL(apiUrl).host}`);
  const s3Endpoint = s3ApiUrl.replace(/^https?:\/\//, "").replace(/\/$/, "");
  return {
    token,
    accountId,
    apiUrl,
    s3Endpoint,
    // s3.<region>.backblazeb2.com; unknown regions are accepted.
    s3Region: s3Endpoint.split(".")[1] ?? "",
    capabilities: textsOf(objectOf(storage["allowed"])["capabilities"]),
  };
}

/** The address without its final slash. @throws Error unless it is https, or http to this machine (for tests) */
function checkedUrl(text: string, name: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isLocal = url !== null && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && isLocal))) {
    throw new Error(`${name} is "${text}": it must begin with https://`);
  }
  return text.replace(/\/+$/, "");
}

/** An answer that contradicts the documentation; the request may have succeeded. */
export function answerError(operation: string, reason: string): B2Error {
  return new B2Error({
    operation,
    status: 0,
    code: "bad_answer",
    message: `${operation}: invalid answer: ${reason}`,
    unclear: true,
  });
}

/** The value if it is an object, else an empty one. */
export function objectOf(value: unknown): B2Answer {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : {};
}

/** The value if it is a text, else an empty one. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function textsOf(value: unknown): string[] {
  return listOf(value).filter((item) => typeof item === "string");
}

/** The value if it is a list, else an empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function parseObject(text: string): B2Answer | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? objectOf(value) : null;
  } catch {
    return null;
  }
}

function basicOf({ applicationKeyId, applicationKey }: B2Credentials): string {
  return Buffer.from(`${applicationKeyId}:${applicationKey}`).toString("base64");
}

/** `ECONNREFUSED`, `The operation was aborted due to timeout`: fetch puts the reason into the cause of its error. */
function networkReason(error: unknown): string {
  if (!(error instanceof Error)) return "unknown reason";
  const { cause } = error;
  if (cause instanceof Error) return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message;
  return error.message;
}
