/** Errors that users see when an S3 repository is misconfigured or breaks, on real servers: kind, message, hints. */
import { createServer, connect as connectTcp, type Server, type Socket } from "node:net";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Agent, request } from "undici";
import { type ByteStream, collect, utf8 } from "../../runtime/base/bytes";
import { systemClock } from "../../runtime/base/clock";
import { isError } from "../../runtime/base/errors";
import { Secret } from "../../runtime/base/secret";
import type { S3Config } from "../../runtime/config/types";
import { openStorage } from "../../runtime/storage/open";
import { SHA256_EMPTY, Signer } from "../../runtime/storage/s3/sign";
import { findText, parseXml } from "../../runtime/storage/objectStore/xml";
import type { Storage } from "../../runtime/storage/storage";
import { freePort, S3Server } from "../../tools/parts/servers/s3Server";
import { OPEN_DEPS, s3Repo } from "../harness/repositories";
import { hasVersitygw } from "../harness/real/interopParts";

const MIB = 1024 * 1024;
const opened: Storage[] = [];
const open = (
  server: S3Server,
  s3: Partial<S3Config>,
  more: { ioTimeoutMs?: number; signal?: AbortSignal; offsetMs?: number } = {},
): Storage => {
  const { offsetMs = 0, ...deps } = more;
  const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offsetMs };
  const storage = openStorage(s3Repo(server, { s3 }), { ...OPEN_DEPS, clock, ...deps });
  opened.push(storage);
  return storage;
};
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
});

const listAll = async (storage: Storage): Promise<string[]> => {
  const paths: string[] = [];
  for await (const info of storage.list("", { recursive: true })) paths.push(info.path);
  return paths;
};

/** The error of a rejected promise as plain data: an error's message is not enumerable. */
const refusal = async (work: Promise<unknown>): Promise<object> => {
  const error: unknown = await work.then(
    () => "it succeeded",
    (thrown: unknown) => thrown,
  );
  if (!isError(error)) return { error };
  const { kind, exitCode, message, hints, retryable, repoIndex } = error;
  return { kind, exitCode, message, hints, retryable, repoIndex };
};

/** Each operation, because each sends a different request. */
const routes = (storage: Storage): [string, () => Promise<unknown>][] => [
  ["put", () => storage.put("f", utf8("x"))],
  ["get", () => storage.read("f")],
  ["get info of", () => storage.stat("f")],
  ["list", () => listAll(storage)],
];

describe("TLS", () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.create({ kind: "s3rver" });
  });
  afterAll(() => server.remove());

  test("an unknown authority is refused at once", async () => {
    const pausesMs: number[] = [];
    const sleep = async (durationMs: number): Promise<void> => void pausesMs.push(durationMs);
    for (const caFile of [server.certificates.otherCaFile, undefined]) {
      const { caFile: _own, ...rest } = s3Repo(server).s3 ?? {};
      const storage = openStorage(
        { ...s3Repo(server), s3: { ...(rest as S3Config), ...(caFile === undefined ? {} : { caFile }) } },
        { ...OPEN_DEPS, clock: { ...systemClock, sleep } },
      );
      for (const [, work] of routes(storage)) {
        expect(await refusal(work())).toMatchObject({
          kind: "hostConnect",
          exitCode: 49,
          repoIndex: 2,
          retryable: false,
          message: `unable to connect to 'localhost:${server.port}': its certificate is from an authority that is not trusted here`,
          hints: ["Put the certificate of the private authority into the file of repo2-storage-ca-file."],
        });
      }
      await storage.close();
    }
    expect(pausesMs, "pauses between tries").toEqual([]);
  });

  test("a certificate for another name is refused, whatever the Host header says", async () => {
    // 127.0.0.2 is this machine too, but the certificate does not list it.
    const storage = open(server, { storageHost: "127.0.0.2" });
    const proxy = createServer((socket) => pipeBoth(socket, server.port));
    await new Promise<void>((resolve) => proxy.listen(server.port, "127.0.0.2", resolve));
    try {
      expect(await refusal(storage.put("f", utf8("x")))).toMatchObject({
        kind: "hostConnect",
        retryable: false,
        message: `unable to connect to '127.0.0.2:${server.port}': its certificate is for another name: Hostname/IP does not match certificate's altnames: IP: 127.0.0.2 is not in the cert's list: 127.0.0.1, ::1`,
        hints: ["Check repo2-s3-endpoint, repo2-storage-host and repo2-s3-uri-style against the names."],
      });
    } finally {
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  test("an expired certificate is reported as expired", async () => {
    const expired = await S3Server.create({ kind: "s3rver", expiredCertificate: true });
    try {
      expect(await refusal(open(expired, {}).put("f", utf8("x")))).toMatchObject({
        kind: "hostConnect",
        retryable: false,
        message: `unable to connect to 'localhost:${expired.port}': its certificate has expired`,
        hints: ["Renew the certificate of the service."],
      });
      await open(expired, { verifyTls: false }).put("f", utf8("x"));
    } finally {
      await expired.remove();
    }
  });

  test("a port without TLS is distinguished from a closed one", async () => {
    const plain = createServer(
      (socket) =>
        void socket
          .on("error", () => undefined)
          .resume()
          .end("HTTP/1.1 400 Bad Request\r\n\r\n"),
    );
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    const address = plain.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await refusal(open(server, { storagePort: port }).put("f", utf8("x")))).toMatchObject({
      kind: "hostConnect",
      retryable: false,
      message: expect.stringMatching(
        new RegExp(`^unable to connect to 'localhost:${port}': TLS failed: .*wrong version number`),
      ),
      hints: ["Check that host and port speak TLS 1.2 or newer."],
    });
    await new Promise((resolve) => plain.close(resolve));
    const free = await freePort();
    expect(await refusal(open(server, { storagePort: free }, { ioTimeoutMs: 300 }).put("f", utf8("x")))).toMatchObject({
      kind: "hostConnect",
      retryable: true,
      message: expect.stringMatching(
        new RegExp(
          `^unable to connect to 'localhost:${free}': \\[ECONNREFUSED\\] connect ECONNREFUSED .*\\(after [2-6] attempts\\)$`,
        ),
      ),
      hints: ["Check repo2-s3-endpoint (and repo2-storage-host, -port if set), and the network."],
    });
  });
});

describe.each(["s3rver", "versitygw"] as const)("%s", async (kind) => {
  if (kind === "versitygw" && !(await hasVersitygw("errors of versitygw"))) return;
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.create({ kind });
  });
  afterAll(() => server.remove());
  const target = (doing: string): string =>
    `unable to ${doing} 's3://pgbackstop/repo${doing === "list" ? "" : "/f"}': `;

  test("an unknown access key", async () => {
    for (const [doing, work] of routes(open(server, { key: new Secret("AKIAWRONG") }))) {
      expect(await refusal(work())).toMatchObject({
        kind: "access",
        exitCode: 105,
        retryable: false,
        message: expect.stringContaining(`${target(doing)}[403] InvalidAccessKeyId: The `),
        hints: ["The service does not know this access key: check repo2-s3-key and repo2-s3-endpoint."],
      });
    }
  });

  // s3rver 3.7.1 does not check version 4 signatures.
  test.skipIf(kind === "s3rver")("a wrong secret", async () => {
    for (const [doing, work] of routes(open(server, { keySecret: new Secret("wrong") }))) {
      expect(await refusal(work())).toMatchObject({
        kind: "access",
        exitCode: 105,
        retryable: false,
        message: `${target(doing)}[403] SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your key and signing method.`,
        hints: ["The secret does not match the access key: check repo2-s3-key-secret, then repo2-s3-region."],
      });
    }
  });

  test("a wrong bucket is not a missing file", async () => {
    for (const [doing, work] of routes(open(server, { bucket: "no-such-bucket" }))) {
      expect(await refusal(work())).toMatchObject({
        kind: "pathMissing",
        exitCode: 73,
        retryable: false,
        message:
          `${target(doing).replace("pgbackstop", "no-such-bucket")}bucket 'no-such-bucket' does not exist at localhost`.replace(
            ": bucket",
            ": bucket",
          ),
        hints: ["Check repo2-s3-bucket, repo2-s3-endpoint and repo2-s3-region, or create the bucket."],
      });
    }
  });

  test("a clock that is hours off", async () => {
    expect(await refusal(open(server, {}, { offsetMs: 5 * 3_600_000 }).put("f", utf8("x")))).toMatchObject({
      kind: "access",
      retryable: false,
      message: expect.stringContaining(`${target("put")}[403] RequestTimeTooSkewed: `),
      hints: [
        expect.stringMatching(
          /^This host's clock and the service's( \(.* GMT\))? are too far apart\. Check NTP on this host\.$/,
        ),
      ],
    });
  });

  test.skipIf(kind === "s3rver")("no message contains the secret", async () => {
    const secret = "planted-marker-secret";
    const error: unknown = await open(server, { keySecret: new Secret(secret) })
      .put("f", utf8("x"))
      .catch((thrown: unknown) => thrown);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error)) + String(error)).not.toContain(secret);
  });

  test("an unreachable server is a network error, never a missing file", async () => {
    const away = open(server, {}, { ioTimeoutMs: 300 });
    await away.put("away", utf8("x"));
    await server.stop();
    try {
      for (const [, work] of routes(away))
        expect(await refusal(work())).toMatchObject({ kind: "hostConnect", retryable: true });
    } finally {
      await server.start();
    }
    expect(Buffer.from(await collect(await away.read("away"), 10)).toString()).toBe("x");
  });

  test("a hanging server fails after the io-timeout", async () => {
    const storage = open(server, {}, { ioTimeoutMs: 1_000 });
    await storage.put("f", utf8("x"));
    server.pause();
    const startedMs = performance.now();
    try {
      expect(await refusal(storage.put("f", utf8("y")))).toMatchObject({
        kind: "hostConnect",
        retryable: true,
        // Either a new connection hangs, or the answer on an existing one.
        message: expect.stringMatching(
          /^unable to (connect to 'localhost:\d+': \[UND_ERR_CONNECT_TIMEOUT\]|put .* failed: \[UND_ERR_HEADERS_TIMEOUT\])/,
        ),
      });
    } finally {
      server.resume();
    }
    // The client's default limit is minutes.
    expect(performance.now() - startedMs).toBeLessThan(60_000);
  });

  test("an abort ends a hanging request", async () => {
    const controller = new AbortController();
    const storage = open(server, {}, { signal: controller.signal });
    await storage.put("f", utf8("x"));
    server.pause();
    try {
      const put = storage.put("f", utf8("y"));
      setTimeout(() => controller.abort(), 100);
      expect(await refusal(put)).toMatchObject({
        kind: "term",
        exitCode: 63,
        message: "terminated while trying to put 's3://pgbackstop/repo/f'",
      });
    } finally {
      server.resume();
    }
  });

  describe("through a proxy that cuts connections", () => {
    let proxy: CuttingProxy;
    beforeAll(async () => {
      proxy = await CuttingProxy.start(server);
    });
    afterAll(() => proxy.stop());
    const bytes = Uint8Array.from({ length: 3 * MIB }, (_, position) => (position * 31) ^ (position >> 9));

    test("a read continues at the byte it had reached", async () => {
      const storage = open(server, { storagePort: proxy.port });
      await storage.put("big", bytes);
      const before = proxy.connections;
      proxy.cutAfterDown = [700_000, 700_000, 700_000];
      expect(Buffer.compare(await collect(await storage.read("big"), 10 * MIB), bytes)).toBe(0);
      expect(proxy.cutAfterDown).toEqual([]);
      expect(proxy.connections - before).toBeGreaterThanOrEqual(3);
      proxy.cutAfterDown = [700_000];
      const range = await collect(await storage.read("big", { offsetBytes: 1_000, sizeBytes: 2_000_000 }), 10 * MIB);
      expect(Buffer.compare(range, bytes.subarray(1_000, 2_001_000))).toBe(0);
      expect(proxy.cutAfterDown).toEqual([]);
    });

    test("a read without progress fails", async () => {
      const storage = open(server, { storagePort: proxy.port }, { ioTimeoutMs: 500 });
      await storage.put("big", bytes);
      await proxy.dropIdle();
      proxy.cutAfterDown = Array.from({ length: 50 }, () => 20_000);
      expect(await refusal(storage.read("big").then((stream) => collect(stream, 10 * MIB)))).toMatchObject({
        kind: "hostConnect",
        retryable: true,
      });
      proxy.cutAfterDown = [];
    });

    test("a part is sent again from memory", async () => {
      const storage = open(server, { storagePort: proxy.port });
      let reads = 0;
      const source = async function* (): ByteStream {
        reads++;
        for (let chunk = 0; chunk < 17; chunk++) yield bytes.subarray(0, MIB);
      };
      proxy.cutAfterUp = [2 * MIB, 3 * MIB];
      await storage.putStream("parts", source);
      expect(proxy.cutAfterUp).toEqual([]);
      expect(reads).toBe(1);
      const whole = await collect(await storage.read("parts"), 20 * MIB);
      expect(whole.length).toBe(17 * MIB);
      for (let chunk = 0; chunk < 17; chunk++)
        expect(Buffer.compare(whole.subarray(chunk * MIB, (chunk + 1) * MIB), bytes.subarray(0, MIB))).toBe(0);
      await storage.remove("parts");
    });

    test("an upload that cannot continue fails, shows no object and is aborted", async () => {
      const controller = new AbortController();
      const storage = open(server, { storagePort: proxy.port }, { signal: controller.signal });
      const source = async function* (): ByteStream {
        for (let chunk = 0; chunk < 12; chunk++) yield bytes.subarray(0, MIB);
        controller.abort();
        yield bytes;
      };
      expect(await refusal(storage.putStream("never", source))).toMatchObject({ kind: "term" });
      expect(await listAll(open(server, {}))).not.toContain("never");
      if (kind === "versitygw") expect(await openUploads(server)).toEqual([]);
    });
  });
});

async function openUploads(server: S3Server): Promise<string[]> {
  const signer = new Signer(
    { key: new Secret(server.accessKey), keySecret: new Secret(server.secretKey) },
    server.region,
  );
  const path = `/${server.bucket}`;
  const signed = await signer.sign(
    { method: "GET", host: server.endpoint, path, query: { uploads: "" }, headers: {}, sha256Hex: SHA256_EMPTY },
    Date.now(),
  );
  const dispatcher = new Agent({ connect: { ca: readFileSync(server.caFile) } });
  const answer = await request(`https://${server.endpoint}${path}?uploads=`, { headers: signed, dispatcher });
  const root = parseXml(await answer.body.text());
  await dispatcher.close();
  if (root.name !== "ListMultipartUploadsResult") throw new Error(`unexpected answer ${root.name}`);
  return root.children.filter((child) => child.name === "Upload").map((child) => findText(child, "Key") ?? "");
}

function pipeBoth(socket: Socket, port: number): void {
  const upstream = connectTcp(port, "127.0.0.1");
  const end = (): void => void (socket.destroy(), upstream.destroy());
  socket.on("error", end).on("close", end).pipe(upstream);
  upstream.on("error", end).on("close", end).pipe(socket);
}

/** Forwards TCP to a server. Cuts each of the next connections after a number of bytes down (to us) or up. */
class CuttingProxy {
  cutAfterDown: number[] = [];
  cutAfterUp: number[] = [];
  connections = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: S3Server) {
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      const upstream = connectTcp(server.port, "127.0.0.1");
      let down = 0;
      let up = 0;
      const end = (): void => {
        this.#sockets.delete(socket);
        socket.destroy();
        upstream.destroy();
      };
      upstream.on("data", (data) => {
        down += data.length;
        const limit = this.cutAfterDown[0];
        if (limit !== undefined && down > limit) {
          this.cutAfterDown.shift();
          end();
        } else socket.write(data);
      });
      socket.on("data", (data) => {
        up += data.length;
        const limit = this.cutAfterUp[0];
        if (limit !== undefined && up > limit) {
          this.cutAfterUp.shift();
          end();
        } else upstream.write(data);
      });
      for (const each of [socket, upstream]) each.on("error", end).on("close", end);
    });
  }

  static async start(server: S3Server): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(server);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Closes idle connections, so that byte counts start at zero. */
  async dropIdle(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
