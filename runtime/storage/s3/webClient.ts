/** One small question to a service near by (instance metadata, STS, an agent), with its answer as text, within a given time. */
import type { Agent } from "undici";
import { concatBytes, textOf } from "../../base/bytes";
import type { Clock } from "../../base/clock";

export interface WebQuestion {
  readonly method: "GET" | "PUT" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Trusted authorities; absent: those that Node brings. */
  readonly ca?: readonly string[];
}

export interface WebAnswer {
  readonly status: number;
  readonly text: string;
}

const ANSWER_SIZE_BYTES_MAX = 64 * 1024;

/** @throws Error when there is no whole answer within `limitMs`; redirections are answers like others. */
export async function askWeb(
  question: WebQuestion,
  limitMs: number,
  deps: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<WebAnswer> {
  const undici = await import("undici");
  const agent = new undici.Agent({
    connect: { timeout: limitMs, ...(question.ca === undefined ? {} : { ca: [...question.ca] }) },
    headersTimeout: limitMs,
    bodyTimeout: limitMs,
  });
  const ended = new AbortController();
  const late = deps.clock.sleep(limitMs, AbortSignal.any([deps.signal, ended.signal])).then(() => {
    throw new Error(`not within ${limitMs} ms`);
  });
  try {
    return await Promise.race([exchange(question, agent, undici.request), late]);
  } finally {
    ended.abort();
    late.catch(() => undefined);
    void agent.destroy();
  }
}

async function exchange(question: WebQuestion, agent: Agent, request: typeof import("undici").request): Promise<WebAnswer> {
  const { method, url, headers, body } = question;
  const response = await request(url, { method, headers: { ...headers }, dispatcher: agent, ...(body === undefined ? {} : { body }) });
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of response.body as AsyncIterable<Uint8Array>) {
    sizeBytes += part.length;
    if (sizeBytes > ANSWER_SIZE_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_SIZE_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return { status: response.statusCode, text: textOf(concatBytes(parts)) };
}
