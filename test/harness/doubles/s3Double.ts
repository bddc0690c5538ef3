/**
 * A double of an S3 service: a plain HTTP server that sends planned answers and records requests. It reproduces
 * documented behaviour that no server on this machine shows (throttling, failures inside a 200, missing tokens).
 * Everything else is tested on real servers.
 */
import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";

export interface DoubleRequest {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface DoubleAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Closes the connection without an answer, as if it were lost. */
  readonly lost?: boolean;
  /** Announces the whole body, sends this many bytes of it and closes the connection. */
  readonly cutAfterBytes?: number;
  /** Delays the answer. */
  readonly delayMs?: number;
  /** Announces the whole body, sends this many bytes of it and then nothing; -1 sends no head either. */
  readonly silentAfterBytes?: number;
  /** Sends the body byte by byte, with this pause before each one. */
  readonly trickleMs?: number;
}

export class S3Double {
  readonly requests: DoubleRequest[] = [];
  /** Called for each piece of a body that arrives. */
  receiving: ((pieceBytes: number) => void) | undefined;
  readonly #server: Server;
  #answer: (request: DoubleRequest, index: number) => DoubleAnswer = () => ({ status: 500 });

  private constructor() {
    this.#server = createServer((incoming, outgoing) => {
      const parts: Buffer[] = [];
      incoming.on("error", () => undefined);
      incoming.on("data", (part: Buffer) => {
        parts.push(part);
        this.receiving?.(part.length);
      });
      incoming.on("end", () => {
        const request = {
          method: incoming.method ?? "",
          url: incoming.url ?? "",
          headers: incoming.headers,
          body: Buffer.concat(parts),
        };
        this.requests.push(request);
        const answer = this.#answer(request, this.requests.length - 1);
        if (answer.delayMs === undefined) send(incoming, outgoing, answer);
        else setTimeout(() => send(incoming, outgoing, answer), answer.delayMs);
      });
    });
  }

  static async start(): Promise<S3Double> {
    const double = new S3Double();
    await new Promise<void>((resolve) => double.#server.listen(0, "127.0.0.1", resolve));
    return double;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Forgets past requests and answers the next ones with `answer`. */
  answering(answer: (request: DoubleRequest, index: number) => DoubleAnswer): void {
    this.requests.length = 0;
    this.receiving = undefined;
    this.#answer = answer;
  }

  /** All requests so far, such as `PUT /bucket/key`. */
  lines(): string[] {
    return this.requests.map(({ method, url }) => `${method} ${url}`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function send(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { status, headers, body = "", lost, cutAfterBytes, silentAfterBytes, trickleMs }: DoubleAnswer,
): void {
  if (silentAfterBytes === -1) return;
  if (lost === true) {
    incoming.socket.destroy();
    return;
  }
  const bytes = Buffer.from(body);
  outgoing.writeHead(status, { "content-length": String(bytes.length), ...headers });
  if (silentAfterBytes !== undefined) {
    outgoing.flushHeaders();
    outgoing.write(bytes.subarray(0, silentAfterBytes));
  } else if (trickleMs !== undefined && incoming.method !== "HEAD" && bytes.length > 0)
    trickle(outgoing, bytes, trickleMs);
  else if (cutAfterBytes === undefined) outgoing.end(incoming.method === "HEAD" ? undefined : bytes);
  else outgoing.write(bytes.subarray(0, cutAfterBytes), () => setTimeout(() => incoming.socket.destroy(), 20));
}

function trickle(outgoing: ServerResponse, bytes: Buffer, pauseMs: number): void {
  let sent = 0;
  const timer = setInterval(() => {
    outgoing.write(bytes.subarray(sent, ++sent));
    if (sent < bytes.length) return;
    clearInterval(timer);
    outgoing.end();
  }, pauseMs);
  outgoing.on("close", () => clearInterval(timer));
}

/** The answer to an upload that is stored. */
export function stored({ body }: Pick<DoubleRequest, "body">): DoubleAnswer {
  return { status: 200, headers: { etag: `"${createHash("md5").update(body).digest("hex")}"` } };
}

/** The answer to a GET of an object with this content, as far as its range reaches. */
export function content({ headers }: Pick<DoubleRequest, "headers">, object: string | Uint8Array): DoubleAnswer {
  const bytes = Buffer.from(object);
  const [, first, last = ""] = /^bytes=([0-9]+)-([0-9]*)$/.exec(headers.range ?? "") ?? [];
  if (first === undefined) return { status: 200, headers: { etag: '"e"' }, body: bytes };
  const end = last === "" ? bytes.length : Math.min(bytes.length, Number(last) + 1);
  const range = `bytes ${first}-${end - 1}/${bytes.length}`;
  return { status: 206, headers: { etag: '"e"', "content-range": range }, body: bytes.subarray(Number(first), end) };
}

/** An error body as S3 services send it. */
export function errorBody(code: string, message = "said the double"): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>1</RequestId></Error>`;
}
