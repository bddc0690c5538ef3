/**
 * S3 servers on this machine over TLS: s3rver (npm, starts immediately) and versitygw (Go, stricter: users, policies,
 * object lock).
 *
 * Both are separate processes, can be stopped and restarted with the same data on the same port, and listen on
 * 127.0.0.1 only; clients use the name `localhost` of their certificate.
 */
import { randomBytes, randomInt } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectFolder } from "../cache";
import { type CertificateFiles, makeCertificates } from "./certificates";
import { findVersitygw } from "../kubernetes/goTools";
import { ensureNode } from "../nodeBinary";
import { pauseProcess, type Started, start, waitFor } from "../process";

export interface S3ServerOptions {
  readonly kind: "s3rver" | "versitygw";
  /** Folder for objects, certificates and log; default: a new temporary one, which `remove` deletes. */
  readonly folder?: string;
  /** Default `pgbackstop`. */
  readonly bucket?: string;
  /** More names in its certificate, for something that forwards connections here. */
  readonly moreNames?: readonly string[];
  /** True serves an expired certificate. */
  readonly expiredCertificate?: boolean;
  /** True allows versions and object lock in buckets (versitygw). */
  readonly versioning?: boolean;
  /** True also starts Amazon's interface for users and policies: {@link S3Server.usersPort} (versitygw). */
  readonly users?: boolean;
  /** True writes a line for each request into {@link S3Server.accessLogFile} (versitygw). */
  readonly logsRequests?: boolean;
}

function bucketOf({ bucket = "pgbackstop" }: S3ServerOptions): string {
  return bucket;
}

export class S3Server {
  readonly kind: "s3rver" | "versitygw";
  readonly host = "localhost";
  readonly port: number;
  readonly region = "us-east-1";
  readonly bucket: string;
  readonly certificates: CertificateFiles;
  readonly logFile: string;
  readonly #folder: string;
  readonly #ownsFolder: boolean;
  readonly #expired: boolean;
  readonly #versioning: boolean;
  readonly #logsRequests: boolean;
  /** Port of the users' interface, plain HTTP; 0 without it. The server's own keys are its administrator's. */
  readonly usersPort: number;
  #keys = newKeys();
  #process: Started | null = null;
  #users: Started | null = null;

  private constructor(
    options: S3ServerOptions,
    folder: string,
    certificates: CertificateFiles,
    port: number,
    usersPort: number,
  ) {
    this.kind = options.kind;
    this.port = port;
    this.usersPort = usersPort;
    this.#versioning = options.versioning ?? false;
    this.#logsRequests = options.logsRequests ?? false;
    this.bucket = bucketOf(options);
    this.#folder = folder;
    this.#ownsFolder = options.folder === undefined;
    this.#expired = options.expiredCertificate ?? false;
    this.certificates = certificates;
    this.logFile = join(folder, "server.log");
    mkdirSync(this.#objects, { recursive: true });
  }

  /**
   * Creates the folder, the keys, the certificates and the bucket, and starts the server.
   * @throws Error if its program is missing
   */
  static async create(options: S3ServerOptions): Promise<S3Server> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), "pgb-s3-"));
    mkdirSync(folder, { recursive: true });
    const names = [`${bucketOf(options)}.localhost`, ...(options.moreNames ?? [])];
    const certificates = await makeCertificates(join(folder, "certificates"), names);
    const server = new S3Server(
      options,
      folder,
      certificates,
      await freePort(),
      options.users === true ? await freePort() : 0,
    );
    await server.start();
    return server;
  }

  /** `localhost:9000` */
  get endpoint(): string {
    return `${this.host}:${this.port}`;
  }

  get accessKey(): string {
    return this.#keys.access;
  }

  get secretKey(): string {
    return this.#keys.secret;
  }

  /** Certificate to trust, PEM. */
  get caFile(): string {
    return this.certificates.caFile;
  }

  get #objects(): string {
    return join(this.#folder, "objects");
  }

  /** The bucket's folder on disk, where tests can inspect or damage objects. */
  get bucketPath(): string {
    return join(this.#objects, this.bucket);
  }

  get accessLogFile(): string {
    return join(this.#folder, "access.log");
  }

  isRunning(): boolean {
    return this.#process?.isRunning() ?? false;
  }

  /** Starts the server (again) and waits until it accepts connections; does nothing if it is running. */
  async start(): Promise<void> {
    if (this.isRunning()) return;
    writeFileSync(this.logFile, "", { flag: "a" });
    const started = await (this.kind === "s3rver" ? this.#startS3rver() : this.#startVersitygw());
    this.#process = started;
    await waitFor(`start of ${this.kind}`, 120_000, async () => {
      if (!started.isRunning())
        throw new Error(`${this.kind} stopped while starting\n${readFileSync(this.logFile, "utf8").slice(-2000)}`);
      return (await accepts(this.port)) ? true : null;
    });
  }

  /** Stops the server; data, keys and port stay. */
  async stop(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    await this.#users?.stop("SIGKILL");
    this.#process = null;
    this.#users = null;
  }

  /** Accepts only a new pair of keys from now on, as if the old one was withdrawn. */
  async changeKeys(): Promise<void> {
    await this.stop();
    this.#keys = newKeys();
    await this.start();
  }

  /** Makes connections hang until `resume`. */
  pause(): void {
    if (this.#process !== null) pauseProcess(this.#process.pid);
  }

  resume(): void {
    if (this.#process !== null) process.kill(this.#process.pid, "SIGCONT");
  }

  /** Options of a pgBackRest repository on this server, without the prefix `repoN-`. */
  repositoryOptions(): Record<string, string> {
    return {
      type: "s3",
      "s3-endpoint": this.host,
      "storage-port": String(this.port),
      "s3-region": this.region,
      "s3-bucket": this.bucket,
      "s3-uri-style": "path",
      "s3-key": this.accessKey,
      "s3-key-secret": this.secretKey,
      "storage-ca-file": this.caFile,
    };
  }

  /** Stops the server and removes a folder that this object created. */
  async remove(): Promise<void> {
    await this.stop();
    if (this.#ownsFolder) rmSync(this.#folder, { recursive: true, force: true });
  }

  async #startS3rver(): Promise<Started> {
    const settings = {
      port: this.port,
      folder: this.#objects,
      bucket: this.bucket,
      accessKey: this.accessKey,
      secretKey: this.secretKey,
      certFile: this.#certFile,
      keyFile: this.certificates.keyFile,
      vhostBuckets: true,
    };
    const program = join(projectFolder(), "tools", "parts", "servers", "s3rverMain.mjs");
    const env = { PGBACKSTOP_S3RVER: JSON.stringify(settings) };
    return start(await ensureNode(), [program], { env, logFile: this.logFile, cwd: this.#folder });
  }

  async #startVersitygw(): Promise<Started> {
    const program = await findVersitygw();
    if (program === null) throw new Error("versitygw is not built: npm test -- --all builds it");
    mkdirSync(this.bucketPath, { recursive: true });
    const sidecar = join(this.#folder, "metadata");
    mkdirSync(sidecar, { recursive: true });
    const iam = join(this.#folder, "iam");
    mkdirSync(iam, { recursive: true });
    const tls = ["--cert", this.#certFile, "--key", this.certificates.keyFile];
    const listen = [
      "--port",
      `127.0.0.1:${this.port}`,
      "--region",
      this.region,
      ...(this.usersPort === 0
        ? ["--iam-dir", iam]
        : ["--iam-standalone-endpoint", await this.#startUsers(program, iam)]),
      "--quiet",
      "--keep-alive",
      ...(this.#logsRequests ? ["--access-log", this.accessLogFile] : []),
      "--virtual-domain",
      this.host,
    ];
    const versions = join(this.#folder, "versions");
    mkdirSync(versions, { recursive: true });
    const kept = this.#versioning ? ["--versioning-dir", versions] : [];
    return start(
      program,
      [...listen, ...tls, "posix", "--sidecar", sidecar, ...kept, this.#objects],
      this.#startOptions(),
    );
  }

  /** The users' interface; the server asks it over the returned socket. */
  async #startUsers(program: string, folder: string): Promise<string> {
    const socket = join(this.#folder, "users.sock");
    rmSync(socket, { force: true });
    const listen = ["--port", `127.0.0.1:${this.usersPort}`, "--region", this.region, "--quiet"];
    const started = await start(
      program,
      [...listen, "iam", "--dir", folder, "--private-ports", socket],
      this.#startOptions(),
    );
    this.#users = started;
    await waitFor("start of versitygw's users", 120_000, async () => {
      if (!started.isRunning())
        throw new Error(`versitygw's users stopped while starting\n${readFileSync(this.logFile, "utf8").slice(-2000)}`);
      return existsSync(socket) && (await accepts(this.usersPort)) ? true : null;
    });
    return socket;
  }

  #startOptions(): { logFile: string; cwd: string; env: Record<string, string> } {
    return {
      logFile: this.logFile,
      cwd: this.#folder,
      env: { ROOT_ACCESS_KEY: this.accessKey, ROOT_SECRET_KEY: this.secretKey },
    };
  }

  get #certFile(): string {
    return this.#expired ? this.certificates.expiredCertFile : this.certificates.certFile;
  }
}

function newKeys(): { readonly access: string; readonly secret: string } {
  return { access: `AKIA${randomBytes(8).toString("hex").toUpperCase()}`, secret: randomBytes(20).toString("hex") };
}

/** Below the range for outgoing connections, so that none takes the port of a server that is not up. */
const FIRST_PORT = 20_000;
const PORT_COUNT = 12_000;
const PORT_TRIES = 200;
const given = new Set<number>();

/** A free port on 127.0.0.1; never the same one twice in this process. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < PORT_TRIES; attempt++) {
    const port = FIRST_PORT + randomInt(PORT_COUNT);
    if (given.has(port) || !(await canListen(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no port from ${FIRST_PORT} on is free on 127.0.0.1`);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** True if something listens on a port of 127.0.0.1. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
