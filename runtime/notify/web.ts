/**
 * Sends one notification's request. It follows no redirects: they would send the message to an unconfigured address.
 */
import { textOf } from "../base/bytes";
import { fail } from "../base/errors";
import { askWeb } from "../web/ask";
import type { WebRequest } from "./requests";

const ANSWER_BYTES_MAX = 16 * 1024;

/** @throws service (101) for any answer but 2xx, hostConnect (49) without an answer */
export async function post(
  { body, headers, url }: WebRequest,
  ca: Uint8Array | null,
  signal: AbortSignal,
): Promise<void> {
  const { username, password, href } = new URL(url);
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const { status, bytes } = await askWeb(
    {
      method: "POST",
      url: href,
      headers: {
        ...(username === "" ? {} : { authorization: `Basic ${basic}` }),
        ...headers,
        "user-agent": "pgbackstop",
      },
      body,
      ...(ca === null ? {} : { ca: [textOf(ca)] }),
      answerBytesMax: ANSWER_BYTES_MAX,
    },
    signal,
  );
  if (status >= 200 && status < 300) return;
  const text = textOf(bytes).replaceAll(/\s+/g, " ").trim().slice(0, 200);
  throw fail("service", `answer ${status}${text === "" ? "" : `: ${text}`}`, {
    retryable: status === 429 || status >= 500,
  });
}
