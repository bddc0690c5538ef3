/** Sends a notification or metrics. It follows no redirects: they would send the message to an unconfigured address. */
import { textOf } from "../base/bytes";
import { withTimeTo } from "../base/clock";
import type { Context } from "../base/context";
import { fail } from "../base/errors";
import { retry } from "../base/retry";
import { askWeb, usualAuthoritiesAnd } from "./ask";

export interface WebRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const ANSWER_BYTES_MAX = 16 * 1024;
/** The service may ask for a longer pause. */
const POLICY = { attempts: 3, pausesMs: [1000, 2000] };
const ATTEMPT_MS = 10_000;
/** Two such pauses and three attempts fit into the 90 seconds that a notice's unit gets. */
const RETRY_AFTER_MS_MAX = 25_000;

/** Repeats what may succeed later. */
export function inAttempts<T>({ clock, signal }: Context, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return retry(POLICY, clock, signal, () =>
    withTimeTo(ATTEMPT_MS, clock, (timeout) => work(AbortSignal.any([timeout, signal]))),
  );
}

/** Resolves to the answer. @throws service (101) for any answer but 2xx, hostConnect (49) without an answer */
export async function post(
  { body, headers, url }: WebRequest,
  ca: Uint8Array | null,
  signal: AbortSignal,
): Promise<string> {
  const { username, password, href } = new URL(url);
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const {
    status,
    bytes,
    headers: answered,
  } = await askWeb(
    {
      method: "POST",
      url: href,
      headers: {
        ...(username === "" ? {} : { authorization: `Basic ${basic}` }),
        ...headers,
        "user-agent": "pgbackstop",
      },
      body,
      ...(ca === null ? {} : { ca: usualAuthoritiesAnd(textOf(ca)) }),
      answerBytesMax: ANSWER_BYTES_MAX,
    },
    signal,
  );
  if (status >= 200 && status < 300) return textOf(bytes);
  const text = textOf(bytes).replaceAll(/\s+/g, " ").trim().slice(0, 200);
  const retryAfterMs = 1000 * retryAfterS(answered["retry-after"], textOf(bytes));
  const isTooLong = retryAfterMs > RETRY_AFTER_MS_MAX;
  const pause = isTooLong ? `, and no further request for ${Math.ceil(retryAfterMs / 1000)} seconds` : "";
  throw fail("service", `answer ${status}${pause}${text === "" ? "" : `: ${text}`}`, {
    retryable: (status === 429 || status >= 500) && !isTooLong,
    retryAfterMs,
  });
}

/** From the header, else where Discord and Telegram have it in their answer. 0 if nothing says it. */
function retryAfterS(header: string | string[] | undefined, answer: string): number {
  if (typeof header === "string" && /^\d{1,6}(\.\d+)?$/.test(header)) return Number(header);
  const seconds = /"retry_after"\s*:\s*(\d{1,6}(?:\.\d+)?)/.exec(answer)?.[1];
  return seconds === undefined ? 0 : Number(seconds);
}
