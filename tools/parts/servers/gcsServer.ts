/**
 * fake-gcs-server, a server with Google Cloud Storage's JSON API, on this machine over TLS. Its program is built from
 * its Go module as its project pins it.
 *
 * A separate process with one bucket in memory, which listens on 127.0.0.1 only; clients use the name `localhost` of
 * its certificate. It reads no tokens, and differs from Google in what a session of an upload says: it names no session
 * in `X-GUploader-UploadID`, which stock needs, and ends an upload when a client asks how far it is. So stock must send
 * each file in one request, and no upload may be cut.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "../cache";
import { buildGoProgram, fetchGoModule, type GoModule } from "../kubernetes/goTools";
import { type Started, start, waitFor } from "../process";
import { type CertificateFiles, makeCertificates } from "./certificates";
import { accepts, freePort } from "./s3Server";

const NAME = "fake-gcs-server";
const SOURCE: GoModule = {
  module: "github.com/fsouza/fake-gcs-server",
  version: "v1.55.1",
  sum: "h1:8IsUkVFYQnS/QLyci2ORdpn7pkmqs+6hnJ8w51bN7Gg=",
};

/** The built program, or null. */
export function findFakeGcs(): string | null {
  const file = join(target(), NAME);
  return existsSync(file) ? file : null;
}

/**
 * Builds the program into the cache if it is missing.
 * @throws Error without Go, or with the end of the compiler's output
 */
export async function buildFakeGcs(note: (text: string) => void = () => {}): Promise<string> {
  if (findFakeGcs() === null) note("fetching its module");
  const moduleFolder = await fetchGoModule(SOURCE);
  return buildGoProgram({ name: NAME, moduleFolder, command: ".", linkFlags: "-s -w", target: target() }, note);
}

function target(): string {
  return join(cacheFolder(), `${NAME}-${SOURCE.version.replace(/^v/, "")}`);
}

export class GcsServer {
  readonly bucket = "backups";
  /** Stock sends it as it is. */
  readonly token = `Bearer marker${randomBytes(20).toString("hex")}`;
  readonly port: number;
  readonly logFile: string;
  readonly #certificates: CertificateFiles;
  readonly #folder: string;
  #process: Started | null = null;

  private constructor(folder: string, certificates: CertificateFiles, port: number) {
    this.#folder = folder;
    this.#certificates = certificates;
    this.port = port;
    this.logFile = join(folder, "server.log");
  }

  /** Starts the server with an empty bucket. @throws Error if its program is missing */
  static async create({ versioning = false } = {}): Promise<GcsServer> {
    const folder = mkdtempSync(join(tmpdir(), "pgb-gcs-"));
    const certificates = await makeCertificates(join(folder, "certificates"));
    const server = new GcsServer(folder, certificates, await freePort());
    await server.#start();
    await server.#createBucket(versioning);
    return server;
  }

  /** `localhost:4443` */
  get endpoint(): string {
    return `localhost:${this.port}`;
  }

  /** Certificate to trust, PEM. */
  get caFile(): string {
    return this.#certificates.caFile;
  }

  /** Options of a pgBackRest repository on this server, without the prefix `repoN-`. */
  repositoryOptions(): Record<string, string> {
    return {
      type: "gcs",
      "gcs-bucket": this.bucket,
      "gcs-endpoint": this.endpoint,
      "gcs-key-type": "token",
      "gcs-key": this.token,
      "storage-ca-file": this.caFile,
    };
  }

  async remove(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    this.#process = null;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const program = findFakeGcs();
    if (program === null) throw new Error(`${NAME} is not built: npm test -- --all builds it`);
    writeFileSync(this.logFile, "");
    const listen = ["-scheme", "https", "-host", "127.0.0.1", "-port", String(this.port), "-backend", "memory"];
    const { certFile, keyFile } = this.#certificates;
    const tls = ["-cert-location", certFile, "-private-key-location", keyFile];
    const started = await start(program, [...listen, ...tls, "-external-url", `https://${this.endpoint}`], {
      cwd: this.#folder,
      logFile: this.logFile,
    });
    this.#process = started;
    await waitFor(`start of ${NAME}`, 120_000, async () => {
      if (!started.isRunning())
        throw new Error(`${NAME} stopped while starting\n${readFileSync(this.logFile, "utf8").slice(-2000)}`);
      return (await accepts(this.port)) ? true : null;
    });
  }

  async #createBucket(versioning: boolean): Promise<void> {
    const body = JSON.stringify({ name: this.bucket, versioning: { enabled: versioning } });
    const options = {
      method: "POST",
      host: "localhost",
      port: this.port,
      path: "/storage/v1/b?project=pgbackstop",
      headers: { "content-type": "application/json", "content-length": String(body.length) },
      ca: readFileSync(this.caFile),
    };
    const status = await new Promise<number>((resolve, reject) => {
      const asked = request(options, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      asked.on("error", reject);
      asked.end(body);
    });
    if (status !== 200) throw new Error(`${NAME} answered ${status} to the creation of the bucket`);
  }
}
