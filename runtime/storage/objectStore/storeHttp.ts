/**
 * Requests to one bucket or container: signs, sends, reads answers and retries. What services do differently is a
 * {@link StoreDialect}.
 *
 * A request that may succeed later is repeated with growing, jittered pauses within `ioTimeoutMs` (as stock's
 * `io-timeout`), at most `LIMITS.requestAttempts` times. Each attempt has a new signature and sends its body from
 * memory again. ioLimits.ts has the limits of an attempt: for the connection, the wait for the answer's head, each
 * pause within a body in both directions, and the rate of an answer. After a silent attempt the next one has a
 * connection of another pool.
 */
import { isUtf8 } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import type { buildConnector, Pool } from "undici";
import { type ByteStream, concatBytes, isSettled, textOf } from "../../base/bytes";
import { type Clock, orAborted } from "../../base/clock";
import { type BackupError, fail, isError } from "../../base/errors";
import type { Random } from "../../base/random";
import { ioRetryPolicy, Retries, type RetryPolicy } from "../../base/retry";
import { Pace, paced, REFUSED_ATTEMPTS_MAX, silenceMs } from "../ioLimits";
import type { StoreAddress } from "./storeAddress";
import { isSilence, type RequestFacts, SlowAnswer, transportError } from "./transportFailure";

/** A request body that can be sent again. */
export interface StoreBody {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Only where signatures need it. */
  readonly sha256Hex?: string;
  readonly md5: Buffer;
  /** Whether `content-md5` is sent. */
  readonly sendsMd5: boolean;
}

export interface StoreRequest {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Key of the object; absent addresses the bucket or container. */
  readonly key?: string;
  /** Without a key: the bucket itself, where its objects have an address of their own. */
  readonly isOfBucket?: true;
  /** Without a key: the account that has the container. */
  readonly isOfAccount?: true;
  /** What the path ends with where a service names what is done to an object or a bucket there, such as `restore`. */
  readonly action?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: StoreBody;
  /** Follows "unable to" in messages. */
  readonly doing: string;
  /** Path relative to the storage, for errors. */
  readonly path?: string | undefined;
  /** Statuses of 300 and more that this request accepts. */
  readonly expected?: readonly number[];
  /** Aborts the request, like the storage's own signal. */
  readonly signal?: AbortSignal;
  /** Default: the usual number. */
  readonly attempts?: number;
  /** Silent attempts to get the same bytes before this request. */
  readonly silentAttempts?: number;
  /** The caller finds out whether a refusal is about rights: it is not repeated. */
  readonly isRefusedOnce?: boolean;
  /** The service sends spaces while it works. */
  readonly mayTrickle?: true;
  /** Called when the connection has taken a piece of the body and wants the next one. */
  onPiece?(): void;
}

export interface StoreAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Body for the recipient, who reads it to the end by {@link StoreAnswer.pieces} or destroys it. */
  readonly body: Readable;
  /** The body, with the least rate of an answer. */
  pieces(): ByteStream;
  /** From 1. From the second on, an earlier attempt may have succeeded unseen. */
  readonly attempt: number;
  /** The request's header. */
  readonly authorization: string;
}

/** A request as one attempt sends it. */
export interface SignedRequest {
  /** Encoded, with its query. */
  readonly path: string;
  /** All but `content-length`, which the client sets. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What a service answered instead of a success. */
export interface Refusal {
  readonly status: number;
  readonly headers: StoreAnswer["headers"];
  /** Empty if the body was incomplete or no text. */
  readonly text: string;
  /** The request's header. */
  readonly authorization: string;
}

export interface StoreDialect<F extends RequestFacts> {
  /** What the service promises for a success. Any other 2xx comes from something else, or promises nothing. */
  readonly successes: Readonly<Record<StoreRequest["method"], readonly number[]>>;
  /** `nowMs` is the time of signing. */
  sign(request: StoreRequest, nowMs: number): Promise<SignedRequest>;
  /** The error for an answer that is no success, or for a body under a success that has no body. */
  refusalError(refusal: Refusal, facts: F): BackupError;
}

export interface StoreHttpOptions<F extends RequestFacts> {
  readonly address: StoreAddress;
  /** A message without the request's own part. */
  readonly facts: Omit<F, "doing" | "path">;
  /** PEM text of trusted authorities; default: Node's. */
  readonly ca?: string;
  readonly verifyTls: boolean;
  readonly ioTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** True in a thread of a run whose main thread has used the key. */
  readonly isKeyProven?: boolean;
}

type ConnectionOptions = Pick<StoreHttpOptions<RequestFacts>, "address" | "ca" | "verifyTls"> & {
  readonly timeoutMs: number;
};

const CONNECTIONS_MAX = 64;
const KEEP_ALIVE_MS = 15_000;
/** Size of the pieces of a body. Each one restarts the clock, so that a slow line does not pass for a dead one. */
const SEND_SIZE_BYTES = 64 * 1024;
/** Assembling the parts of an upload takes minutes. */
const TRICKLE_SHARE = 10;
const ERROR_BODY_SIZE_BYTES_MAX = 64 * 1024;
/** A page of 1,000 keys of 1,024 bytes is about 1.5 MiB. */
const TEXT_BODY_SIZE_BYTES_MAX = 32 * 1024 * 1024;

type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: BackupError; readonly retryAfterMs: number };

export class StoreHttp<F extends RequestFacts> {
  readonly #options: StoreHttpOptions<F>;
  readonly #dialect: StoreDialect<F>;
  readonly #policy: RetryPolicy;
  /** Pools by number of silent attempts: what made one connection silent may have happened to its siblings. */
  readonly #pools: Promise<Pool>[] = [];
  /** Methods that the key has carried out: a later refusal may come from a proxy, a clock or a key store. */
  readonly #worked = new Set<StoreRequest["method"]>();

  constructor(options: StoreHttpOptions<F>, dialect: StoreDialect<F>) {
    this.#options = options;
    this.#dialect = dialect;
    this.#policy = ioRetryPolicy(options);
  }

  /** Sends until `consume` has processed a good answer; its retryable errors are retried like a failed request. */
  async exchange<T>(request: StoreRequest, consume: (answer: StoreAnswer) => Promise<T>): Promise<T> {
    const signal = request.signal ?? this.#options.signal;
    const retries = this.requestRetries(signal, request.attempts);
    const onPiece = (): void => {
      retries.extend();
      request.onPiece?.();
    };
    let silentAttempts = request.silentAttempts ?? 0;
    let refusals = 0;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt({ ...request, silentAttempts, onPiece }, consume, attempt, signal);
      if (outcome.ok) return outcome.value;
      if (signal.aborted) throw terminated(request);
      const { error, retryAfterMs } = outcome;
      if (isSilence(error)) silentAttempts++;
      const mayPass = this.#mayPass(error, request) && ++refusals < REFUSED_ATTEMPTS_MAX;
      await retries.pause(mayPass ? this.#asRetryable(error) : error, retryAfterMs);
    }
  }

  /** True for a refusal of what the key had the right to do before. */
  #mayPass(error: BackupError, { isRefusedOnce = false, method }: StoreRequest): boolean {
    const isRefused = isError(error, "access") && !error.retryable && !isRefusedOnce;
    return isRefused && (this.#options.isKeyProven === true || this.#worked.has(method));
  }

  #asRetryable({ hints: hint, kind, message, path }: BackupError): BackupError {
    return fail(kind, message, { hint, path, repoIndex: this.#options.facts.repoIndex, retryable: true });
  }

  /** What `parse` makes of the complete body of a good answer; its retryable errors are retried. */
  exchangeText<T>(request: StoreRequest, parse: (text: string, facts: F) => T): Promise<T> {
    return this.exchange(request, async (answer) => parse(await readText(answer), this.factsOf(request)));
  }

  /** A good answer, whose success has no body. */
  exchangeHead(request: StoreRequest): Promise<StoreAnswer> {
    return this.exchange(request, async (answer) => {
      await this.requireNoBody(request, answer);
      return answer;
    });
  }

  /** Refuses a success with a body: that is an error document, or the HTML of a portal. */
  async requireNoBody(request: StoreRequest, answer: StoreAnswer): Promise<void> {
    const text = textOf(await readBytes(answer.pieces(), ERROR_BODY_SIZE_BYTES_MAX));
    if (answer.status >= 300 || text.trim() === "") return;
    throw this.#dialect.refusalError({ ...answer, text }, this.factsOf(request));
  }

  /** The attempts of one request. */
  requestRetries(signal: AbortSignal, attempts = this.#policy.attempts): Retries {
    return new Retries({ ...this.#policy, attempts }, this.#options.clock, signal);
  }

  /** Pause after a failed attempt: half to one and a half of its share. */
  bodyRetries(): Retries {
    return new Retries(
      { ...this.#policy, limitMs: Number.POSITIVE_INFINITY, isCounted: false },
      this.#options.clock,
      this.#options.signal,
    );
  }

  /** Converts an HTTP client error that a caller met while reading a body. */
  errorOf(error: unknown, request: StoreRequest): BackupError {
    if (this.#options.signal.aborted) return terminated(request);
    return isError(error) ? error : transportError(error, this.factsOf(request));
  }

  factsOf(request: StoreRequest): F {
    return { ...this.#options.facts, doing: request.doing, path: request.path } as F;
  }

  async close(): Promise<void> {
    for (const pool of this.#pools) await (await pool)?.destroy();
  }

  async #attempt<T>(
    request: StoreRequest,
    consume: (answer: StoreAnswer) => Promise<T>,
    attempt: number,
    signal: AbortSignal,
  ): Promise<Outcome<T>> {
    let retryAfterMs = 0;
    try {
      const answer = await this.#send(request, attempt, signal);
      const isSuccess = this.#dialect.successes[request.method].includes(answer.status);
      if (isSuccess) this.#worked.add(request.method);
      if (isSuccess || request.expected?.includes(answer.status) === true)
        return { ok: true, value: await consume(answer) };
      retryAfterMs = retryAfterOf(answer);
      // An incomplete error body is useless: the status is known.
      const body = await readBytes(answer.pieces(), ERROR_BODY_SIZE_BYTES_MAX).catch(() => new Uint8Array(0));
      const refusal = { ...answer, text: isUtf8(body) ? textOf(body) : "" };
      return { ok: false, error: this.#dialect.refusalError(refusal, this.factsOf(request)), retryAfterMs };
    } catch (error) {
      return { ok: false, error: isError(error) ? error : transportError(error, this.factsOf(request)), retryAfterMs };
    }
  }

  async #send(request: StoreRequest, attempt: number, signal: AbortSignal): Promise<StoreAnswer> {
    const { body } = request;
    const { path, headers } = await this.#dialect.sign(request, this.#options.clock.nowMs());
    const { silentAttempts = 0 } = request;
    const timeoutMs = silenceMs(silentAttempts, this.#options.ioTimeoutMs);
    this.#pools[silentAttempts] ??= openPool({ ...this.#options, timeoutMs });
    const sent = (await this.#pools[silentAttempts]).request({
      method: request.method,
      path,
      headers: body === undefined ? headers : { ...headers, "content-length": String(body.sizeBytes) },
      signal,
      // By default the client closes the connection after every HEAD, for servers that send a body with it: no object
      // store does.
      reset: false,
      body: body === undefined ? null : bodyToSend(body, request.onPiece),
    });
    // The client observes the signal only once it is connected: a silent host must not block the caller.
    const response = await orAborted(sent, signal);
    // The reader of the body gets its error; without this listener the error of an abandoned body would end the
    // process.
    response.body.on("error", () => undefined);
    const { authorization = "" } = headers;
    const windowMs = request.mayTrickle === true ? TRICKLE_SHARE * this.#options.ioTimeoutMs : timeoutMs;
    return {
      status: response.statusCode,
      headers: response.headers,
      body: response.body,
      pieces: () => paced(response.body, new Pace(this.#options.clock, windowMs, (fact) => new SlowAnswer(fact))),
      attempt,
      authorization,
    };
  }
}

type Digests = Pick<StoreBody, "md5" | "sha256Hex">;

/** Digests of settled bodies, for other repositories that get the same bytes; by the first chunk's buffer. */
const digestsOfSettled = new WeakMap<ArrayBufferLike, { readonly chunks: readonly Uint8Array[]; digests: Digests }>();

/** Hashes a body while it is assembled. Most services answer with its MD5. */
export class BodyHash {
  readonly #sha256: Hash | null;
  readonly #md5 = createHash("md5");
  readonly #sendsMd5: boolean;
  /** Not hashed yet; null after other bytes. */
  #settled: Uint8Array[] | null = [];

  constructor(digests: { readonly sendsMd5: boolean; readonly sha256: boolean }) {
    this.#sha256 = digests.sha256 ? createHash("sha256") : null;
    this.#sendsMd5 = digests.sendsMd5;
  }

  add(chunk: Uint8Array): void {
    if (this.#settled !== null && isSettled(chunk)) return void this.#settled.push(chunk);
    this.#hashSettled();
    this.#update(chunk);
  }

  finish(chunks: readonly Uint8Array[], sizeBytes: number): StoreBody {
    return { chunks, sizeBytes, ...this.#digests(), sendsMd5: this.#sendsMd5 };
  }

  #digests(): Digests {
    const chunks = this.#settled ?? [];
    const key = chunks[0]?.buffer;
    const known = key === undefined ? undefined : digestsOfSettled.get(key);
    const hasSha256 = this.#sha256 === null || known?.digests.sha256Hex !== undefined;
    if (known !== undefined && hasSha256 && isSame(known.chunks, chunks)) return known.digests;
    this.#hashSettled();
    const md5 = this.#md5.digest();
    const digests = this.#sha256 === null ? { md5 } : { md5, sha256Hex: this.#sha256.digest("hex") };
    if (key !== undefined) digestsOfSettled.set(key, { chunks, digests });
    return digests;
  }

  #hashSettled(): void {
    for (const chunk of this.#settled ?? []) this.#update(chunk);
    this.#settled = null;
  }

  #update(chunk: Uint8Array): void {
    this.#sha256?.update(chunk);
    this.#md5.update(chunk);
  }
}

function isSame(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return (
    left.length === right.length &&
    left.every((chunk, index) => {
      const other = right[index];
      return chunk.buffer === other?.buffer && chunk.byteOffset === other.byteOffset && chunk.length === other.length;
    })
  );
}

/** A body of one piece. */
export function hashed(bytes: Uint8Array, hash: BodyHash): StoreBody {
  hash.add(bytes);
  return hash.finish([bytes], bytes.length);
}

/** The first value of a header. */
export function headerOf(answer: Pick<StoreAnswer, "headers">, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === "string" ? value : value?.[0];
}

/** The body of an answer as text. @throws service if it is too large */
export async function readText(answer: StoreAnswer): Promise<string> {
  return textOf(await readBytes(answer.pieces(), TEXT_BODY_SIZE_BYTES_MAX));
}

async function readBytes(body: ByteStream, limitBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of body) {
    sizeBytes += part.length;
    if (sizeBytes > limitBytes) throw fail("service", `an answer is larger than ${limitBytes} bytes`);
    parts.push(part);
  }
  return concatBytes(parts);
}

/** Loads the client with the first request: loading costs tens of milliseconds, and many calls use no bucket. */
async function openPool(options: ConnectionOptions): Promise<Pool> {
  const undici = await import("undici");
  return new undici.Pool(options.address.origin, {
    connections: CONNECTIONS_MAX,
    connect: connectorOf(undici.buildConnector, options),
    headersTimeout: options.timeoutMs,
    bodyTimeout: options.timeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
}

function connectorOf(build: typeof buildConnector, options: ConnectionOptions): buildConnector.connector {
  const connect = build({
    timeout: options.timeoutMs,
    rejectUnauthorized: options.verifyTls,
    minVersion: "TLSv1.2",
    ...(options.ca === undefined ? {} : { ca: options.ca }),
  });
  const { tlsName } = options.address;
  return (target, callback) => {
    // By default the client takes the name from the Host header, which names the endpoint even if the connection goes
    // elsewhere.
    const { servername: _fromHostHeader, ...rest } = target;
    connect(tlsName === undefined ? rest : { ...rest, servername: tlsName }, callback);
  };
}

function bodyToSend(body: StoreBody, onPiece: StoreRequest["onPiece"]): Buffer | Readable {
  if (body.sizeBytes <= SEND_SIZE_BYTES) {
    const bytes = concatBytes(body.chunks);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return Readable.from(pieces(body.chunks, onPiece), { objectMode: true, highWaterMark: 1 });
}

function* pieces(chunks: readonly Uint8Array[], onPiece?: () => void): Iterable<Uint8Array> {
  for (const chunk of chunks) {
    for (let offset = 0; offset < chunk.length; offset += SEND_SIZE_BYTES) {
      yield chunk.subarray(offset, offset + SEND_SIZE_BYTES);
      onPiece?.();
    }
  }
}

/** Seconds of `retry-after`; dates and malformed values are ignored. */
function retryAfterOf(answer: StoreAnswer): number {
  const text = headerOf(answer, "retry-after");
  return text !== undefined && /^[0-9]{1,6}$/.test(text) ? Number(text) * 1000 : 0;
}

function terminated(request: StoreRequest): BackupError {
  return fail("term", `terminated while trying to ${request.doing}`, { path: request.path });
}
