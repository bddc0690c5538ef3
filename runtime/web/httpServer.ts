/**
 * A small HTTP server for people and programs on this machine: few connections, short requests without a body, and the
 * text of an answer in one piece. The caller decides who is answered.
 */
import { createServer, type ServerResponse } from "node:http";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";

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

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 16;
const REQUEST_TIMEOUT_MS = 5000;
const HEADER_BYTES_MAX = 8 * 1024;
const PLAIN = { "content-type": "text/plain; charset=utf-8" };

/**
 * An error of `answer` is 503, and its message goes to the log alone.
 * @param hint for a port that cannot be had
 * @throws fileOpen (41) when it cannot listen there
 */
export async function serveHttp(
  { address, port }: { readonly address: string; readonly port: number },
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
  ctx: Pick<Context, "log">,
  hint: string,
): Promise<HttpServer> {
  const name = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on("request", ({ headers, method = "", url = "" }, response) => {
    const path = url.split("?")[0] ?? "";
    answer({ method, path, authorization: headers.authorization }).then(
      (answered) => send(response, method, answered),
      (error: unknown) => {
        ctx.log.warn(`unable to answer a request on '${name}': ${toBackupError(error).message}`);
        send(response, method, { status: 503, text: "no answer: the log says why\n" });
      },
    );
  });
  try {
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, address, resolve));
  } catch (error) {
    throw fail("fileOpen", `unable to listen on '${name}': ${toBackupError(error).message}`, { hint });
  }
  server.on("error", (error) => ctx.log.warn(`HTTP on '${name}': ${error.message}`));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function send(response: ServerResponse, method: string, { headers, status, text }: HttpAnswer): void {
  const bytes = Buffer.from(text, "utf8");
  response
    .writeHead(status, { ...PLAIN, ...headers, "content-length": bytes.length })
    .end(method === "HEAD" ? undefined : bytes);
}
