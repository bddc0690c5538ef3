/** One request of a notification. Redirects are not followed: they would carry the message to an address that nobody has named. */
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { fail } from "../base/errors";
import type { WebRequest } from "./requests";

const ANSWER_BYTES_MAX = 16 * 1024;

/** @throws service (101) for any answer but 2xx, hostConnect (49) when there is none */
export function post({ body, headers, url }: WebRequest, ca: Uint8Array | null, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body, "utf8");
    const isTls = new URL(url).protocol === "https:";
    const options = {
      method: "POST",
      headers: { ...headers, "content-length": bytes.length, "user-agent": "pgbackstop" },
      signal,
      agent: false,
    } as const;
    const refuse = (error: unknown): void => {
      const late = signal.aborted ? "no answer in time" : error instanceof Error ? error.message : String(error);
      reject(fail("hostConnect", late, { cause: error, retryable: true }));
    };
    const authority = ca === null ? {} : { ca: Buffer.from(ca) };
    const sent = isTls ? requestTls(url, { ...options, ...authority }) : requestPlain(url, options);
    sent.on("error", refuse).on("response", (response) => {
      let text = "";
      let sizeBytes = 0;
      response.on("error", refuse).on("data", (chunk: Buffer) => {
        sizeBytes += chunk.length;
        // What is said beyond is of no use; the answer is known by its status.
        if (sizeBytes <= ANSWER_BYTES_MAX) text += chunk.toString("utf8");
        else sent.destroy(new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`));
      });
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) return resolve();
        const retryable = status === 429 || status >= 500;
        const said = text.replaceAll(/\s+/g, " ").trim().slice(0, 200);
        reject(fail("service", `answer ${status}${said === "" ? "" : `: ${said}`}`, { retryable }));
      });
    });
    sent.end(bytes);
  });
}
