/**
 * A small HTTP server for people and programs on this machine: few connections, short requests without a body, and the
 * text of an answer in one piece. The caller decides who is answered.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";

export interface HttpRequest {
  readonly method: string;
  /** Without a query. */
  readonly path: string;
  readonly authorization: string | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** Plain text unless they say otherwise. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly text: string;
}

const CONNECTIONS_MAX = 16;
const REQUEST_TIMEOUT_MS = 5000;
/** For a client that does not read its answer: it has one of the few connections. */
const ANSWER_TIMEOUT_MS = 30_000;
const HEADER_BYTES_MAX = 8 * 1024;
const PLAIN = { "content-type": "text/plain; charset=utf-8" };

/** How long an address that cannot be had is left alone. */
const RETRY_MS = 60_000;

export interface ServedPage {
  /** For the log. */
  readonly what: string;
  /** What may be wrong with the address. */
  readonly hint: string;
  /** How long a client may leave its answer unread. @default 30 s */
  readonly answerTimeoutMs?: number;
}

/**
 * Serves until `signal` aborts. Never throws: what the process is there for needs no page. An address that cannot be
 * had is tried again each minute, with one warning: its other user may end, or the network may come up.
 *
 * An error of `answer` is 503, and its message goes to the log alone.
 */
export async function serveHttp(
  { address, port }: { readonly address: string; readonly port: number },
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
  { what, hint, answerTimeoutMs = ANSWER_TIMEOUT_MS }: ServedPage,
  ctx: Pick<Context, "clock" | "log">,
  signal: AbortSignal,
): Promise<void> {
  const host = address.includes(":") ? `[${address}]` : address;
  for (let tries = 1; !signal.aborted; tries++) {
    const server = makeServer(answer, { name: `${host}:${port}`, answerTimeoutMs }, ctx);
    try {
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, address, resolve));
    } catch (error) {
      const reason = toBackupError(error).message;
      if (tries === 1)
        ctx.log.warn(
          `unable to serve ${what} on ${host}:${port}, it is tried again each minute: ${reason}\nHINT: ${hint}`,
        );
      await ctx.clock.sleep(RETRY_MS, signal).catch(() => {});
      continue;
    }
    const bound = server.address();
    server.on("error", (error) => ctx.log.warn(`HTTP on '${host}:${port}': ${error.message}`));
    ctx.log.info(`${what} is served on ${host}:${typeof bound === "object" && bound !== null ? bound.port : port}`);
    await untilAborted(signal);
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  }
}

function makeServer(
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
  { answerTimeoutMs, name }: Required<Pick<ServedPage, "answerTimeoutMs">> & { readonly name: string },
  ctx: Pick<Context, "log">,
): Server {
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on("request", ({ headers, method = "", url = "" }, response) => {
    const path = url.split("?")[0] ?? "";
    const send = (answered: HttpAnswer): void => {
      response.setTimeout(answerTimeoutMs, () => response.destroy());
      write(response, method, answered);
    };
    answer({ method, path, authorization: headers.authorization }).then(send, (error: unknown) => {
      ctx.log.warn(`unable to answer a request on '${name}': ${toBackupError(error).message}`);
      send({ status: 503, text: "no answer: the log says why\n" });
    });
  });
  return server;
}

function write(response: ServerResponse, method: string, { headers, status, text }: HttpAnswer): void {
  const bytes = Buffer.from(text, "utf8");
  response
    .writeHead(status, { ...PLAIN, ...headers, "content-length": bytes.length })
    .end(method === "HEAD" ? undefined : bytes);
}
