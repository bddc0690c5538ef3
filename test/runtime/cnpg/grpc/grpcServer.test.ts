import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import {
  type CertificatePaths,
  openCredentials,
  type RotatingCredentials,
} from "../../../../runtime/cnpg/grpc/tlsCredentials";
import { beatForever } from "../../../../runtime/cnpg/sidecar/heartbeat";
import { identityService } from "../../../../runtime/cnpg/grpc/identityService";
import { serviceOf } from "../../../../runtime/cnpg/grpc/protocol";
import {
  NotFound,
  type PluginServer,
  type PluginService,
  servePluginPort,
  servePluginSocket,
} from "../../../../runtime/cnpg/grpc/grpcServer";
import { freePort } from "../../../../tools/parts/servers/s3Server";
import { eventually, testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

let served: PluginServer | null = null;
afterEach(async () => {
  await served?.close(AbortSignal.abort());
  served = null;
});

const realTime = () => testContext({ clock: systemClock });

interface Reported {
  readonly code: grpc.status;
  readonly details: string;
  readonly answer: unknown;
}

/** Makes one call over a new connection. */
function call(
  address: string,
  path: "Probe" | "Archive" | "Restore",
  credentials = grpc.credentials.createInsecure(),
  options: object = {},
): Promise<Reported> {
  const method = serviceOf(path === "Probe" ? "identity" : "wal")[path];
  if (method === undefined) throw new Error(path);
  const client = new grpc.Client(address, credentials, { "grpc.use_local_subchannel_pool": 1, ...options });
  return new Promise<Reported>((resolve) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      {},
      { deadline: Date.now() + 10_000 },
      (error, answer) => {
        resolve({ code: error?.code ?? grpc.status.OK, details: error?.details ?? "", answer });
      },
    );
  }).finally(() => client.close());
}

const failing = (error: Error): PluginService => ({
  name: "wal",
  methods: {
    Archive: () => {
      throw error;
    },
  },
});

describe("the socket beside an instance", () => {
  test("replaces a stale one, belongs to the group, answers, and is removed at the end", async () => {
    const path = join(temporaryFolder(), "pgbackstop");
    const stale = await servePluginSocket(path, [], realTime());
    // A killed server leaves its socket file.
    renameSync(path, `${path}.kept`);
    await stale.close(AbortSignal.abort());
    renameSync(`${path}.kept`, path);
    served = await servePluginSocket(path, [identityService(["METRICS"])], realTime());
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(await call(`unix:${path}`, "Probe")).toMatchObject({ code: grpc.status.OK, answer: { ready: true } });
    await served.close(AbortSignal.timeout(10_000));
    served = null;
    expect(existsSync(path)).toBe(false);
  });

  test("leaves a file alone that is not a socket", async () => {
    const path = join(temporaryFolder(), "pgbackstop");
    writeFileSync(path, "");
    await expect(servePluginSocket(path, [], realTime())).rejects.toThrow("it already exists and is not a socket");
  });

  test.each([
    [new NotFound("00000002.history is in no repository"), grpc.status.NOT_FOUND],
    [fail("hostConnect", "no route", { retryable: true }), grpc.status.UNAVAILABLE],
    [fail("archiveMismatch", "another cluster"), grpc.status.FAILED_PRECONDITION],
    [fail("optionInvalid", "unknown parameter"), grpc.status.INVALID_ARGUMENT],
    [fail("lockAcquire", "somebody else"), grpc.status.ABORTED],
    [new Error("a bug"), grpc.status.INTERNAL],
  ])("reports %s with its text", async (error, code) => {
    const path = join(temporaryFolder(), "pgbackstop");
    served = await servePluginSocket(path, [failing(error)], realTime());
    expect(await call(`unix:${path}`, "Archive")).toMatchObject({ code, details: error.message });
  });

  test("adds hints to an error, and reports uncalled methods as unimplemented", async () => {
    const path = join(temporaryFolder(), "pgbackstop");
    served = await servePluginSocket(
      path,
      [failing(fail("archiveMismatch", "of another", { hint: "is it the stanza?" }))],
      realTime(),
    );
    expect((await call(`unix:${path}`, "Archive")).details).toBe("of another\nHINT: is it the stanza?");
    expect((await call(`unix:${path}`, "Restore")).code).toBe(grpc.status.UNIMPLEMENTED);
  });
});

describe("a caller that disconnects", () => {
  test("cancels its own request, and nothing after the answer", async () => {
    const path = join(temporaryFolder(), "pgbackstop");
    const signals: AbortSignal[] = [];
    const waiting: PluginService = {
      name: "wal",
      methods: {
        Archive: (_request, signal) => {
          signals.push(signal);
          return new Promise((resolve) => signal.addEventListener("abort", () => resolve({}), { once: true }));
        },
        Restore: (_request, signal) => {
          signals.push(signal);
          return {};
        },
      },
    };
    served = await servePluginSocket(path, [waiting], realTime());
    const method = serviceOf("wal")["Archive"] as grpc.MethodDefinition<object, object>;
    const client = new grpc.Client(`unix:${path}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    const asked = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      {},
      () => {},
    );
    await eventually("a call", () => signals.length === 1);
    asked.cancel();
    await eventually("its end", () => signals[0]?.aborted === true);
    client.close();
    expect((await call(`unix:${path}`, "Restore")).code).toBe(grpc.status.OK);
    expect(signals.at(-1)?.aborted).toBe(false);
  });
});

describe("the heartbeat", () => {
  // claim: docs/kubernetes/plugin.md: the liveness probe detects a lost socket
  test("continues while the socket answers, and stops when its file is removed", async () => {
    const folder = temporaryFolder();
    const [path, file] = [join(folder, "pgbackstop"), join(folder, "alive")];
    const ctx = realTime();
    served = await servePluginSocket(path, [identityService(["METRICS"])], ctx);
    const ending = new AbortController();
    const beating = beatForever(path, file, ctx, ending.signal);
    await eventually("a first beat", () => existsSync(file));
    expect(Math.abs(Date.now() / 1000 - Number(readFileSync(file, "utf8")))).toBeLessThan(600);
    renameSync(path, `${path}.gone`);
    await eventually("a beat that fails", () =>
      ctx.lines.some((line) => line.text.startsWith("unable to write the heartbeat")),
    );
    ending.abort();
    await beating;
  });
});

/** Makes a key pair like the operator's, self-signed or signed by `authority`. With `isCa` it may sign others. */
function makePair(
  folder: string,
  name: string,
  { authority, isCa = false }: { readonly authority?: string; readonly isCa?: boolean } = {},
): void {
  mkdirSync(folder, { recursive: true });
  const args = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
  ];
  const extensions = [
    "-addext",
    `subjectAltName=DNS:${name}`,
    "-addext",
    `basicConstraints=critical,CA:${isCa ? "TRUE" : "FALSE"}`,
  ];
  const signer =
    authority === undefined ? [] : ["-CA", join(authority, "tls.crt"), "-CAkey", join(authority, "tls.key")];
  execFileSync(
    "openssl",
    [...args, "-keyout", join(folder, "tls.key"), "-out", join(folder, "tls.crt"), ...extensions, ...signer],
    {
      stdio: "ignore",
    },
  );
}

describe("the port for the operator", () => {
  const NAME = "pgbackstop-plugin";
  const setUp = async () => {
    const folder = temporaryFolder();
    const paths = { serverPath: join(folder, "server"), clientPath: join(folder, "client") };
    makePair(paths.serverPath, NAME);
    makePair(paths.clientPath, "operator");
    return serve(folder, paths);
  };
  const serve = async (folder: string, paths: CertificatePaths) => {
    const ctx = realTime();
    const credentials: RotatingCredentials = await openCredentials(paths);
    const address = `127.0.0.1:${await freePort()}`;
    served = await servePluginPort(address, credentials, [identityService(["LIFECYCLE_SERVICE"])], ctx);
    const read = (path: string, file: string): Buffer => readFileSync(join(path, file));
    const operator = (clientPath = paths.clientPath): grpc.ChannelCredentials =>
      grpc.credentials.createSsl(
        read(paths.serverPath, "tls.crt"),
        read(clientPath, "tls.key"),
        read(clientPath, "tls.crt"),
      );
    const probe = (shown: grpc.ChannelCredentials): Promise<Reported> =>
      call(address, "Probe", shown, { "grpc.ssl_target_name_override": NAME });
    return { folder, paths, ctx, credentials, address, operator, probe };
  };

  // claim: docs/kubernetes/plugin.md: mutual TLS 1.3, certificates renewed without a restart
  test("answers the operator's certificate only", async () => {
    const { folder, paths, operator, probe } = await setUp();
    expect((await probe(operator())).code).toBe(grpc.status.OK);
    makePair(join(folder, "stranger"), "operator");
    expect((await probe(operator(join(folder, "stranger")))).code).toBe(grpc.status.UNAVAILABLE);
    expect((await probe(grpc.credentials.createSsl(readFileSync(join(paths.serverPath, "tls.crt"))))).code).toBe(
      grpc.status.UNAVAILABLE,
    );
  });

  test.each([
    ["is in the file beside the operator's certificate", "ca.crt"],
    ["follows the operator's certificate in its chain", "tls.crt"],
  ])("refuses another certificate of the operator's authority when that one %s", async (_case, file) => {
    const folder = temporaryFolder();
    const [authority, stranger] = [join(folder, "authority"), join(folder, "stranger")];
    const paths = { serverPath: join(folder, "server"), clientPath: join(folder, "client") };
    makePair(paths.serverPath, NAME);
    makePair(authority, "authority", { isCa: true });
    makePair(paths.clientPath, "operator", { authority });
    makePair(stranger, "operator", { authority });
    appendFileSync(join(paths.clientPath, file), readFileSync(join(authority, "tls.crt")));
    const { operator, probe } = await serve(folder, paths);
    expect((await probe(operator())).code).toBe(grpc.status.OK);
    expect(await probe(operator(stranger))).toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: expect.stringContaining("not the operator's"),
    });
  });

  test("refuses the operator's former certificate after a renewal", async () => {
    const folder = temporaryFolder();
    const authority = join(folder, "authority");
    const paths = { serverPath: join(folder, "server"), clientPath: join(folder, "client") };
    makePair(paths.serverPath, NAME);
    makePair(authority, "authority", { isCa: true });
    makePair(paths.clientPath, "operator", { authority });
    appendFileSync(join(paths.clientPath, "ca.crt"), readFileSync(join(authority, "tls.crt")));
    const { credentials, ctx, operator, probe } = await serve(folder, paths);
    const ending = new AbortController();
    const watching = credentials.watch(ctx, ending.signal);
    const before = operator();
    makePair(paths.clientPath, "operator", { authority });
    await eventually("an answer to the new certificate", async () => (await probe(operator())).code === grpc.status.OK);
    expect((await probe(before)).code).toBe(grpc.status.UNAUTHENTICATED);
    ending.abort();
    await watching;
  });

  test("answers the former certificate too while the file still has it", async () => {
    const folder = temporaryFolder();
    const paths = { serverPath: join(folder, "server"), clientPath: join(folder, "client") };
    const before = join(folder, "before");
    makePair(paths.serverPath, NAME);
    makePair(paths.clientPath, "operator");
    makePair(before, "operator");
    appendFileSync(join(paths.clientPath, "tls.crt"), readFileSync(join(before, "tls.crt")));
    const { operator, probe } = await serve(folder, paths);
    expect((await probe(operator())).code).toBe(grpc.status.OK);
    expect((await probe(operator(before))).code).toBe(grpc.status.OK);
  });

  // claim: docs/kubernetes/plugin.md: mutual TLS 1.3, certificates…
  test("speaks TLS 1.3 and nothing older", async () => {
    const { address, paths } = await setUp();
    const port = Number(address.split(":")[1]);
    const error = await new Promise<Error | null>((resolve) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port,
        servername: NAME,
        ca: readFileSync(join(paths.serverPath, "tls.crt")),
        maxVersion: "TLSv1.2",
      });
      socket.once("secureConnect", () => resolve(null)).once("error", resolve);
      socket.once("close", () => socket.destroy());
    });
    expect(error?.message).toMatch(/protocol version/);
  });

  // claim: docs/kubernetes/plugin.md: mutual TLS 1.3, certificates…
  test("uses renewed certificates without a restart, and keeps the old ones while a pair does not match", async () => {
    const { paths, ctx, credentials, operator, probe } = await setUp();
    const ending = new AbortController();
    const watching = credentials.watch(ctx, ending.signal);
    const before = operator();
    makePair(join(paths.serverPath, "next"), NAME);
    renameSync(join(paths.serverPath, "next", "tls.key"), join(paths.serverPath, "tls.key"));
    await eventually("a warning", () =>
      ctx.lines.some((line) => line.text.includes("tls.key is not the key of tls.crt")),
    );
    expect((await probe(before)).code).toBe(grpc.status.OK);
    renameSync(join(paths.serverPath, "next", "tls.crt"), join(paths.serverPath, "tls.crt"));
    makePair(paths.clientPath, "operator");
    await eventually("the new pair", () =>
      ctx.lines.some((line) => line.text.startsWith("the certificates were renewed")),
    );
    // The server may read the client's certificate later than its own.
    await eventually(
      "an answer to the new certificates",
      async () => (await probe(operator())).code === grpc.status.OK,
    );
    expect((await probe(before)).code).toBe(grpc.status.UNAVAILABLE);
    ending.abort();
    await watching;
  });
});
