/**
 * One question to a web service and its answer: key sources, notifications, the API server of Kubernetes. Buckets have
 * their own client.
 */
import { rootCertificates } from "node:tls";
import type { Agent } from "undici";
import { concatBytes } from "../base/bytes";
import { untilAborted } from "../base/clock";
import { fail } from "../base/errors";

export interface WebQuestion {
  readonly method: "GET" | "PUT" | "POST" | "PATCH" | "DELETE";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Trusted authorities; absent: those of Node. */
  readonly ca?: readonly string[];
  /** How long the connection may be silent; absent: until the signal aborts. */
  readonly idleMs?: number;
  readonly answerBytesMax?: number;
}

export interface WebAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Uint8Array;
}

const ANSWER_BYTES_MAX = 64 * 1024;

/** Node's authorities and another one: a list alone would replace Node's. @param ca certificates as PEM */
export function usualAuthoritiesAnd(ca: string): string[] {
  return [...rootCertificates, ca];
}

/** Redirects are answers like others. @throws hostConnect (retryable) without a whole answer */
export async function askWeb(question: WebQuestion, signal: AbortSignal): Promise<WebAnswer> {
  const undici = await import("undici");
  const { ca, idleMs = 0 } = question;
  const connect = { timeout: idleMs, ...(ca === undefined ? {} : { ca: [...ca] }) };
  const agent = new undici.Agent({ connect, headersTimeout: idleMs, bodyTimeout: idleMs });
  const ended = new AbortController();
  // The client looks at a signal only once it is connected.
  const aborted = untilAborted(AbortSignal.any([signal, ended.signal])).then((): never => {
    throw signal.reason;
  });
  try {
    return await Promise.race([exchange(question, agent), aborted]);
  } catch (error) {
    throw fail("hostConnect", error instanceof Error ? error.message : String(error), {
      cause: error,
      retryable: true,
    });
  } finally {
    ended.abort();
    aborted.catch(() => undefined);
    void agent.destroy();
  }
}

async function exchange(question: WebQuestion, agent: Agent): Promise<WebAnswer> {
  const { method, url, headers, body, answerBytesMax = ANSWER_BYTES_MAX } = question;
  const { origin, pathname, search } = new URL(url);
  const response = await agent.request({
    origin,
    path: `${pathname}${search}`,
    method,
    headers: { ...headers },
    ...(body === undefined ? {} : { body }),
  });
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    sizeBytes += part.length;
    if (sizeBytes > answerBytesMax) throw new Error(`the answer is larger than ${answerBytesMax} bytes`);
    parts.push(part);
  }
  return { status: response.statusCode, headers: response.headers, bytes: concatBytes(parts) };
}
