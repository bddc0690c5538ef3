/**
 * Azurite, Microsoft's emulator of Azure Blob Storage, on this machine over TLS. It comes from npm into the cache: its
 * 377 packages of 240 MB are too large for a dependency.
 *
 * A separate process with one account and one container, which listens on 127.0.0.1 only; clients use the name
 * `localhost` of its certificate.
 */
import { createHmac, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Secret } from "../../../runtime/base/secret";
import { sharedKeyAuthority } from "../../../runtime/storage/azure/azureKey";
import { cacheFolder } from "../cache";
import { ensureNode, installFromNpm } from "../nodeBinary";
import { type Started, start, waitFor } from "../process";
import { type CertificateFiles, makeCertificates } from "./certificates";
import { accepts, freePort } from "./s3Server";

const AZURITE_VERSION = "3.37.0";
const API_VERSION = "2021-06-08";

export class AzuriteServer {
  readonly host = "localhost";
  readonly account = "pgbackstop";
  readonly container = "backups";
  /** Base64. */
  readonly accountKey = randomBytes(48).toString("base64");
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

  /** Starts the server with an empty container. `moreNames` go into its certificate too. */
  static async create(moreNames: readonly string[] = []): Promise<AzuriteServer> {
    const folder = mkdtempSync(join(tmpdir(), "pgb-azurite-"));
    const certificates = await makeCertificates(join(folder, "certificates"), moreNames);
    const server = new AzuriteServer(folder, certificates, await freePort());
    await server.#start();
    await server.#createContainer();
    return server;
  }

  /** Certificate to trust, PEM. */
  get caFile(): string {
    return this.#certificates.caFile;
  }

  /** Options of a pgBackRest repository on this server, without the prefix `repoN-`. */
  repositoryOptions(): Record<string, string> {
    return {
      type: "azure",
      "azure-account": this.account,
      "azure-container": this.container,
      "azure-key": this.accountKey,
      "azure-endpoint": this.host,
      "azure-uri-style": "path",
      "storage-port": String(this.port),
      "storage-ca-file": this.caFile,
    };
  }

  /** A shared access signature for the container: "Create a service SAS". By default for everything, for an hour. */
  sas({ permissions = "racwdl", expiresAtMs = Date.now() + 3_600_000 } = {}): string {
    const expiry = new Date(expiresAtMs).toISOString().replace(/\.\d+Z$/, "Z");
    const resource = `/blob/${this.account}/${this.container}`;
    // Permissions, start, expiry, resource, identifier, addresses, protocol, version, kind, snapshot, scope, headers.
    const fields = [permissions, "", expiry, resource, "", "", "https", API_VERSION, "c", "", "", "", "", "", "", ""];
    const key = Buffer.from(this.accountKey, "base64");
    const signature = createHmac("sha256", key).update(fields.join("\n"), "utf8").digest("base64");
    const query = { sp: permissions, se: expiry, spr: "https", sv: API_VERSION, sr: "c", sig: signature };
    return new URLSearchParams(query).toString();
  }

  async remove(): Promise<void> {
    await this.#process?.stop("SIGKILL");
    this.#process = null;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const packageFolder = await installFromNpm(
      join(cacheFolder(), `azurite-${AZURITE_VERSION}`),
      "azurite",
      AZURITE_VERSION,
    );
    const data = join(this.#folder, "data");
    mkdirSync(data);
    writeFileSync(this.logFile, "");
    const program = join(packageFolder, "dist", "src", "blob", "main.js");
    const listen = ["--blobHost", "127.0.0.1", "--blobPort", String(this.port), "--location", data];
    const tls = ["--cert", this.#certificates.certFile, "--key", this.#certificates.keyFile];
    const started = await start(await ensureNode(), [program, ...listen, ...tls, "--silent", "--disableTelemetry"], {
      cwd: this.#folder,
      // The key is a secret: it must not be in the arguments.
      env: { AZURITE_ACCOUNTS: `${this.account}:${this.accountKey}` },
      logFile: this.logFile,
    });
    this.#process = started;
    await waitFor("start of Azurite", 120_000, async () => {
      if (!started.isRunning())
        throw new Error(`Azurite stopped while starting\n${readFileSync(this.logFile, "utf8").slice(-2000)}`);
      return (await accepts(this.port)) ? true : null;
    });
  }

  async #createContainer(): Promise<void> {
    const signed = await sharedKeyAuthority(this.account, new Secret(this.accountKey)).authorize({
      method: "PUT",
      path: `/${this.account}/${this.container}`,
      query: { restype: "container" },
      headers: { "x-ms-date": new Date().toUTCString(), "x-ms-version": API_VERSION },
      bodySizeBytes: 0,
    });
    const options = {
      method: "PUT",
      host: this.host,
      port: this.port,
      path: signed.path,
      headers: { ...signed.headers, "content-length": "0" },
      ca: readFileSync(this.caFile),
    };
    const status = await new Promise<number>((resolve, reject) => {
      const asked = request(options, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
      asked.on("error", reject);
      asked.end();
    });
    if (status !== 201) throw new Error(`Azurite answered ${status} to the creation of the container`);
  }
}
