/**
 * A real S3 server behind a proxy with faults: it refuses connections, answers 500 or 503, and tears, loses or delays
 * answers.
 *
 * The proxy is a plain HTTP server. It forwards requests unchanged, signatures included. The storage waits a twentieth
 * of the real time between attempts, so that an outage is short.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import { type Clock, systemClock } from "../../runtime/base/clock";
import { systemRandom } from "../../runtime/base/random";
import { Secret } from "../../runtime/base/secret";
import { S3Storage } from "../../runtime/storage/s3/client";
import { findQuirks } from "../../runtime/storage/s3/quirks";
import type { Storage } from "../../runtime/storage/storage";
import { freePort, S3Server } from "../../tools/parts/servers/s3Server";
import { errorBody } from "../harness/doubles/s3Double";

/** `refused`: the port is closed. `torn`: half an answer. `lost`: the server acts, but nobody gets the answer. */
export type Outage = "refused" | "500" | "503" | "torn" | "lost" | "late";

const DELAY_MS = 60;
const HASTE = 20;
const IO_TIMEOUT_MS = 10_000;
const hastyClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  monotonicMs: () => systemClock.monotonicMs(),
  sleep: (durationMs, signal) => systemClock.sleep(durationMs / HASTE, signal),
};

export class S3Bucket {
  readonly server: S3Server;
  /** Number of requests that met an outage, by its kind. */
  readonly met = new Map<Outage, number>();
  readonly #agent: Agent;
  readonly #door: Server;
  readonly #port: number;
  #outage: Outage | null = null;
  #left = 0;

  private constructor(server: S3Server, port: number) {
    this.server = server;
    this.#port = port;
    this.#agent = new Agent({ keepAlive: true, ca: readFileSync(server.caFile), maxSockets: 64 });
    this.#door = createServer((incoming, outgoing) => {
      const parts: Buffer[] = [];
      incoming.on("error", () => undefined);
      incoming.on("data", (part: Buffer) => parts.push(part));
      incoming.on("end", () => this.#answer(incoming, Buffer.concat(parts), outgoing));
    });
  }

  static async create(kind: "versitygw" | "s3rver"): Promise<S3Bucket> {
    const location = new S3Bucket(await S3Server.create({ kind }), await freePort());
    await location.#listen();
    return location;
  }

  /** A repository's path in the bucket: `bare` bypasses the proxy, `faced` goes through it. */
  storages(path: string, signal: AbortSignal): { readonly bare: Storage; readonly faced: Storage } {
    const { server } = this;
    const quirks = findQuirks("generic", "");
    if (quirks === null) throw new Error("no quirks of a generic service");
    const options = {
      repoIndex: 2,
      path,
      quirks,
      bucket: server.bucket,
      region: server.region,
      key: new Secret(server.accessKey),
      keySecret: new Secret(server.secretKey),
      uriStyle: "path",
      verifyTls: true,
      partSizeBytes: 5 * 1024 * 1024,
    } as const;
    const deps = { clock: hastyClock, random: systemRandom, signal, ioTimeoutMs: IO_TIMEOUT_MS };
    const ca = readFileSync(server.caFile, "utf8");
    return {
      bare: new S3Storage({ ...options, endpoint: server.host, storagePort: server.port, ca }, deps),
      faced: new S3Storage({ ...options, endpoint: `http://127.0.0.1:${this.#port}`, storagePort: 443 }, deps),
    };
  }

  /** Affects the next `times` requests; `refused` lasts until {@link calm}. */
  async begin(outage: Outage, times: number): Promise<void> {
    await this.calm();
    this.#outage = outage;
    this.#left = times;
    if (outage !== "refused") return;
    this.#count(outage);
    this.#door.closeAllConnections();
    await new Promise<void>((resolve) => this.#door.close(() => resolve()));
  }

  async calm(): Promise<void> {
    this.#outage = null;
    if (!this.#door.listening) await this.#listen();
  }

  async remove(): Promise<void> {
    this.#door.closeAllConnections();
    await new Promise<void>((resolve) => this.#door.close(() => resolve()));
    this.#agent.destroy();
    await this.server.remove();
  }

  /** Always uses the same port. */
  #listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#door.once("error", reject);
      this.#door.listen(this.#port, "127.0.0.1", () => {
        this.#door.off("error", reject);
        resolve();
      });
    });
  }

  #count(outage: Outage): void {
    this.met.set(outage, (this.met.get(outage) ?? 0) + 1);
  }

  #next(): Outage | null {
    if (this.#outage === null || this.#left === 0) return null;
    this.#left--;
    this.#count(this.#outage);
    return this.#outage;
  }

  #answer(incoming: IncomingMessage, body: Buffer, outgoing: ServerResponse): void {
    const outage = this.#next();
    if (outage === "500" || outage === "503") {
      const text = errorBody(outage === "500" ? "InternalError" : "SlowDown");
      outgoing.writeHead(Number(outage), { "content-length": String(Buffer.byteLength(text)) });
      outgoing.end(incoming.method === "HEAD" ? undefined : text);
    } else if (outage === "late") setTimeout(() => this.#forward(incoming, body, outgoing, outage), DELAY_MS);
    else this.#forward(incoming, body, outgoing, outage);
  }

  #forward(incoming: IncomingMessage, body: Buffer, outgoing: ServerResponse, outage: Outage | null): void {
    const { method, url, headers } = incoming;
    const { host, port } = this.server;
    const real = request({ agent: this.#agent, host, port, method, path: url, headers, setHost: false }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () => {
        const bytes = Buffer.concat(parts);
        if (outage === "lost") return void incoming.socket.destroy();
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        if (outage !== "torn" || bytes.length === 0) outgoing.end(bytes);
        else outgoing.write(bytes.subarray(0, bytes.length / 2), () => incoming.socket.destroy());
      });
      answer.on("error", () => incoming.socket.destroy());
    });
    real.on("error", () => incoming.socket.destroy());
    real.end(body);
  }
}
