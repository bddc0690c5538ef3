/**
 * Servers that receive notifications: an HTTP(S) server that records requests, and an SMTP server that follows RFC
 * 5321, 3207 and 4954.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createSocketServer, type Server, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import type { CertificateFiles } from "../../../tools/parts/servers/certificates";

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** `hang` never answers. */
export type PlannedAnswer =
  | { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  | "hang";

export interface WebServer {
  readonly origin: string;
  readonly requests: RecordedRequest[];
  /** Answers to the next requests, one each; then 200. */
  readonly planned: PlannedAnswer[];
  close(): Promise<void>;
}

export async function startWebServer(certificates?: CertificateFiles): Promise<WebServer> {
  const requests: RecordedRequest[] = [];
  const planned: PlannedAnswer[] = [];
  const tls =
    certificates === undefined
      ? null
      : { cert: readFileSync(certificates.certFile), key: readFileSync(certificates.keyFile) };
  const server = tls === null ? createServer() : createSecureServer(tls);
  server.on("request", (request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      requests.push({ method: request.method ?? "", path: request.url ?? "", headers: request.headers, body });
      const answer = planned.shift() ?? { status: 200, body: "ok" };
      if (answer === "hang") return;
      response.writeHead(answer.status, answer.headers ?? {}).end(answer.body ?? "");
    });
  });
  const port = await listening(server);
  return {
    origin: `http${tls === null ? "" : "s"}://127.0.0.1:${port}`,
    requests,
    planned,
    close: () => closed(server, () => server.closeAllConnections()),
  };
}

export interface RecordedLetter {
  readonly isEncrypted: boolean;
  /** `user:password`; null without a login. */
  readonly login: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

export interface SmtpPlan {
  readonly security: "starttls" | "tls" | "none";
  readonly certificates?: CertificateFiles;
  readonly auth?: "PLAIN" | "LOGIN" | "NTLM";
  readonly password?: string;
  /** Replies that replace the usual one for a command's line that begins so, each once: `["RCPT", "450 try later"]`. */
  readonly refusals?: (readonly [command: string, reply: string])[];
  /** What a man in the middle would inject right after the reply to STARTTLS. */
  readonly behindStartTls?: string;
}

export interface SmtpServer {
  readonly port: number;
  readonly letters: RecordedLetter[];
  readonly commands: string[];
  close(): Promise<void>;
}

export async function startSmtpServer(plan: SmtpPlan): Promise<SmtpServer> {
  const letters: RecordedLetter[] = [];
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  const context =
    plan.certificates &&
    createSecureContext({
      cert: readFileSync(plan.certificates.certFile),
      key: readFileSync(plan.certificates.keyFile),
    });
  const encrypted = (socket: Socket): Socket =>
    new TLSSocket(socket, { isServer: true, ...(context === undefined ? {} : { secureContext: context }) });
  const server = createSocketServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    void new SmtpDialogue(plan, letters, commands, encrypted).serve(
      plan.security === "tls" ? encrypted(socket) : socket,
      plan.security === "tls",
    );
  });
  const port = await listening(server);
  return { port, letters, commands, close: () => closed(server, () => sockets.forEach((socket) => socket.destroy())) };
}

class SmtpDialogue {
  #login: string | null = null;
  #from = "";
  #to: string[] = [];

  readonly #plan: SmtpPlan;
  readonly #letters: RecordedLetter[];
  readonly #commands: string[];
  readonly #encrypted: (socket: Socket) => Socket;

  constructor(plan: SmtpPlan, letters: RecordedLetter[], commands: string[], encrypted: (socket: Socket) => Socket) {
    this.#plan = plan;
    this.#letters = letters;
    this.#commands = commands;
    this.#encrypted = encrypted;
  }

  async serve(socket: Socket, isEncrypted: boolean, greet = true): Promise<void> {
    const lines = linesOf(socket.on("error", () => {}));
    const send = (text: string): void => void socket.write(text.replaceAll(/\r?\n/g, "\r\n").replace(/$/, "\r\n"));
    if (greet) send("220 mail.test ESMTP");
    for (let line = await lines(); line !== null; line = await lines()) {
      this.#commands.push(line.split(" ")[0] ?? "");
      const verb = line.split(" ")[0]?.toUpperCase() ?? "";
      const at = this.#plan.refusals?.findIndex(([command]) => line?.startsWith(command)) ?? -1;
      if (at >= 0) {
        send(this.#plan.refusals?.splice(at, 1)[0]?.[1] ?? "");
        continue;
      }
      if (verb === "EHLO") send(this.#offers(isEncrypted));
      else if (verb === "STARTTLS") {
        socket.write(`220 go\r\n${this.#plan.behindStartTls ?? ""}`);
        socket.removeAllListeners("data");
        return this.serve(this.#encrypted(socket), true, false);
      } else if (verb === "AUTH") send(await this.#authenticate(line, lines, send));
      else if (verb === "MAIL") {
        this.#from = addressIn(line);
        send("250 ok");
      } else if (verb === "RCPT") {
        this.#to.push(addressIn(line));
        send("250 ok");
      } else if (verb === "DATA") {
        send("354 go on");
        this.#letters.push({
          isEncrypted,
          login: this.#login,
          from: this.#from,
          to: this.#to,
          ...(await letterIn(lines)),
        });
        send("250 queued");
      } else if (verb === "QUIT") {
        send("221 bye");
        socket.end();
      } else send("502 what?");
    }
  }

  #offers(isEncrypted: boolean): string {
    const starttls = this.#plan.security === "starttls" && !isEncrypted ? ["250-STARTTLS"] : [];
    const auth =
      this.#plan.auth === undefined || (this.#plan.security === "starttls" && !isEncrypted)
        ? []
        : [`250-AUTH ${this.#plan.auth}`];
    return ["250-mail.test", ...starttls, ...auth, "250 8BITMIME"].join("\n");
  }

  async #authenticate(
    line: string,
    lines: () => Promise<string | null>,
    send: (text: string) => void,
  ): Promise<string> {
    const decoded = (text: string | null): string => Buffer.from(text ?? "", "base64").toString("utf8");
    if (line.startsWith("AUTH PLAIN ")) {
      const [, user, password] = decoded(line.slice("AUTH PLAIN ".length)).split("\0");
      this.#login = `${user}:${password}`;
    } else {
      send("334 VXNlcm5hbWU6");
      const user = decoded(await lines());
      send("334 UGFzc3dvcmQ6");
      this.#login = `${user}:${decoded(await lines())}`;
    }
    return this.#plan.password === undefined || this.#login.endsWith(`:${this.#plan.password}`)
      ? "235 welcome"
      : "535 5.7.8 wrong password";
  }
}

function addressIn(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? "";
}

async function letterIn(lines: () => Promise<string | null>): Promise<Pick<RecordedLetter, "headers" | "text">> {
  const all: string[] = [];
  for (let line = await lines(); line !== null && line !== "."; line = await lines()) all.push(line.replace(/^\./, ""));
  const end = all.indexOf("");
  const unfolded = all.slice(0, end).join("\n").replaceAll(/\n /g, " ").split("\n");
  const headers = new Map(
    unfolded.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const),
  );
  return { headers, text: Buffer.from(all.slice(end + 1).join(""), "base64").toString("utf8") };
}

/** Makes a function that reads the next line; null at the end. */
function linesOf(socket: Socket): () => Promise<string | null> {
  let text = "";
  let ended = false;
  let wake: (() => void) | undefined;
  socket.on("data", (chunk) => {
    text += String(chunk);
    wake?.();
  });
  socket.on("close", () => {
    ended = true;
    wake?.();
  });
  return async () => {
    for (;;) {
      const end = text.indexOf("\r\n");
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        return line;
      }
      if (ended) return null;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

function closed(server: Server, end: () => void): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    end();
  });
}
