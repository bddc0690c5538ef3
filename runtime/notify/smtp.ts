/**
 * An e-mail by SMTP submission: EHLO, STARTTLS or TLS from the start, AUTH PLAIN or LOGIN, one message, QUIT (RFC 5321,
 * 3207, 4954).
 *
 * nodemailer 10 would fit into the bundle (81 KiB gzipped; 22 KiB without its composer), but protects the password
 * less: it sends STARTTLS and AUTH PLAIN to servers that do not offer them, and accepts bytes injected after the reply
 * to STARTTLS. Here each of the three ends the connection, and with `starttls` nothing is sent before encryption.
 */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { textOf } from "../base/bytes";
import { type BackupError, fail, isError } from "../base/errors";
import { usualAuthoritiesAnd } from "../web/ask";
import type { EmailTarget } from "./targets";

export interface Letter {
  readonly subject: string;
  readonly text: string;
  readonly atMs: number;
  /** For the Message-ID: unique, of letters, digits and hyphens. */
  readonly id: string;
  /** This host's name, for EHLO. */
  readonly host: string;
}

interface Reply {
  readonly code: number;
  readonly lines: readonly string[];
}

const REPLY_CHARS_MAX = 64 * 1024;

interface Refusal {
  readonly address: string;
  readonly error: BackupError;
}

/**
 * One attempt to send the letter. Recipients are independent: it goes to those that the server takes, the next attempt
 * only to those that it refused for now, and nobody gets it twice.
 * @throws hostConnect (49) without a connection, service (101) for a refusal, access (105) for a wrong password; about
 * refused recipients only after the others have the letter
 */
export function letterAttempt(
  target: EmailTarget,
  letter: Letter,
  ca: Uint8Array | null,
): (signal: AbortSignal) => Promise<void> {
  let left = target.to;
  const forever: Refusal[] = [];
  return async (signal) => {
    const refusals = await sendLetter({ ...target, to: left }, messageText(target, letter), letter.host, ca, signal);
    const forNow = refusals.filter(({ error }) => error.retryable);
    forever.push(...refusals.filter(({ error }) => !error.retryable));
    left = forNow.map(({ address }) => address);
    const lacking = [...forever, ...forNow];
    if (lacking[0] === undefined) return;
    const reasons = lacking.map(({ address, error }) => `${address}: ${error.message}`).join("; ");
    throw fail(lacking[0].error.kind, `${lacking.length} of ${target.to.length} recipients lack it: ${reasons}`, {
      retryable: left.length > 0,
    });
  };
}

/** Sends to the recipients that the server takes; returns the others. */
async function sendLetter(
  target: EmailTarget,
  message: string,
  ownName: string,
  ca: Uint8Array | null,
  signal: AbortSignal,
): Promise<readonly Refusal[]> {
  const name = /^[A-Za-z0-9.-]+$/.test(ownName) ? ownName : "localhost";
  let line = new Line(await open(target, ca, signal), signal);
  try {
    await line.expect(220);
    let offers = await line.hello(name);
    if (target.security === "starttls") {
      if (!offers.some((offer) => /^STARTTLS$/i.test(offer)))
        throw fail("service", "the server does not offer STARTTLS");
      await line.ask("STARTTLS", 220);
      line = await line.encrypt(target.host, ca);
      offers = await line.hello(name);
    }
    if (target.user !== undefined) await authenticate(line, target, offers);
    await line.ask(`MAIL FROM:<${target.from}>`, 250);
    const refusals: Refusal[] = [];
    for (const address of target.to)
      await line.ask(`RCPT TO:<${address}>`, 250, 251).catch((error: unknown) => {
        if (!isError(error, "service", "access")) throw error;
        refusals.push({ address, error });
      });
    if (refusals.length < target.to.length) {
      await line.ask("DATA", 354);
      await line.ask(`${message}\r\n.`, 250);
    }
    // The server has accepted the message: an error after that does not matter.
    await line.ask("QUIT", 221).catch(() => {});
    return refusals;
  } finally {
    line.close();
  }
}

function open({ host, port, security }: EmailTarget, ca: Uint8Array | null, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = security === "tls" ? connectTls({ host, port, ...identityOf(host, ca) }) : connect({ host, port });
    const refuse = (error: Error): void =>
      reject(fail("hostConnect", signal.aborted ? "connection timed out" : error.message, { retryable: true }));
    socket.once("error", refuse);
    signal.addEventListener("abort", () => socket.destroy(new Error("connection timed out")), { once: true });
    socket.once(security === "tls" ? "secureConnect" : "connect", () => {
      socket.off("error", refuse);
      resolve(socket);
    });
  });
}

/** SNI takes no IP address (RFC 6066); the certificate is compared with `host` nevertheless. */
function identityOf(host: string, ca: Uint8Array | null): { readonly servername?: string; readonly ca?: string[] } {
  const trusted = ca === null ? {} : { ca: usualAuthoritiesAnd(textOf(ca)) };
  return { ...(isIP(host) === 0 ? { servername: host } : {}), ...trusted };
}

async function authenticate(
  line: Line,
  { password, user = "" }: EmailTarget,
  offers: readonly string[],
): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text, "utf8").toString("base64");
  const mechanisms =
    offers
      .find((offer) => /^AUTH[ =]/i.test(offer))
      ?.toUpperCase()
      .split(/[ =]/) ?? [];
  const secret = password?.reveal() ?? "";
  if (mechanisms.includes("PLAIN")) return line.ask(`AUTH PLAIN ${base64(`\0${user}\0${secret}`)}`, 235);
  if (!mechanisms.includes("LOGIN"))
    throw fail(
      "service",
      `the server offers no AUTH PLAIN or LOGIN${mechanisms.length === 0 ? "" : `, but ${mechanisms.join(" ")}`}`,
    );
  await line.ask("AUTH LOGIN", 334);
  await line.ask(base64(user), 334);
  return line.ask(base64(secret), 235);
}

/** The dialogue over one socket: a line out, a reply in. */
class Line {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  #text = "";
  #failure: BackupError | null = null;
  #wake: (() => void) | null = null;

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    const end = (why: string): void => {
      this.#failure ??= fail("hostConnect", signal.aborted ? "answer timed out" : why, { retryable: true });
      this.#wake?.();
    };
    signal.addEventListener("abort", () => end("ended"), { once: true });
    socket.setEncoding("utf8");
    socket.on("error", (error) => end(error.message));
    socket.on("close", () => end("the server closed the connection"));
    socket.on("data", (chunk) => {
      this.#text += String(chunk);
      if (this.#text.length > REPLY_CHARS_MAX) end(`a reply of more than ${REPLY_CHARS_MAX} characters`);
      this.#wake?.();
    });
  }

  async hello(name: string): Promise<readonly string[]> {
    this.#socket.write(`EHLO ${name}\r\n`);
    return (await this.expect(250)).lines.slice(1);
  }

  async ask(command: string, ...codes: readonly number[]): Promise<void> {
    this.#socket.write(`${command}\r\n`);
    await this.expect(...codes);
  }

  /** @throws service (101) for another code; 4xx may be retried */
  async expect(...codes: readonly number[]): Promise<Reply> {
    const reply = await this.#reply();
    if (codes.includes(reply.code)) return reply;
    const answer = reply.lines.join(" ").slice(0, 200);
    const kind = [530, 534, 535].includes(reply.code) ? "access" : "service";
    throw fail(kind, `the server answered ${reply.code} ${answer}`, {
      retryable: reply.code >= 400 && reply.code < 500,
    });
  }

  /** Anyone could have injected bytes after the unencrypted reply to STARTTLS. */
  async encrypt(host: string, ca: Uint8Array | null): Promise<Line> {
    if (this.#text !== "") throw fail("protocol", "the server sent more than its answer before the encryption began");
    this.#socket.removeAllListeners("data");
    const secure = connectTls({ socket: this.#socket, host, ...identityOf(host, ca) });
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void =>
        reject(fail("hostConnect", `encryption with the server failed: ${error.message}`));
      secure.once("error", refuse);
      this.#signal.addEventListener("abort", () => secure.destroy(new Error("answer timed out")), { once: true });
      secure.once("secureConnect", () => {
        secure.off("error", refuse);
        resolve();
      });
    });
    return new Line(secure, this.#signal);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** `250-first`, `250 last` */
  async #reply(): Promise<Reply> {
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\r?\n/.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match[0].length);
        const lines = match[0].split(/\r?\n/).slice(0, -1);
        return { code: Number(match[1]), lines: lines.map((line) => line.slice(4)) };
      }
      if (this.#failure !== null) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
  }
}

/** ASCII headers and base64 text, in which no line begins with a full stop. */
function messageText({ from, to }: EmailTarget, { atMs, id, subject, text }: Letter): string {
  const body = Buffer.from(text.replaceAll(/\r?\n/g, "\r\n"), "utf8").toString("base64");
  return [
    `From: <${from}>`,
    `To: ${to.map((address) => `<${address}>`).join(", ")}`,
    `Subject: ${headerText(subject)}`,
    `Date: ${new Date(atMs).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: <${id}@${from.slice(from.indexOf("@") + 1)}>`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: base64",
    "",
    ...(body.match(/.{1,76}/g) ?? []),
  ].join("\r\n");
}

/** RFC 2047 for other characters than ASCII; never contains a line end. */
function headerText(text: string): string {
  const line = text.replaceAll(/[\0-\x1f]+/g, " ");
  if (/^[\x20-\x7e]{0,200}$/.test(line)) return line;
  const chunks: string[] = [];
  // An encoded word holds 75 characters at most, and whole characters.
  let chunk = "";
  for (const character of line) {
    if (Buffer.byteLength(chunk + character) > 45) {
      chunks.push(chunk);
      chunk = "";
    }
    chunk += character;
  }
  return [...chunks, chunk].map((part) => `=?utf-8?B?${Buffer.from(part).toString("base64")}?=`).join("\r\n ");
}
