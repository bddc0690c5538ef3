/**
 * A forge: git repositories over HTTPS on loopback, to read. Pulumi's CLI takes only names with a dot and no port for
 * addresses of repositories, so a proxy knows where {@link FORGE} is, and connects to other servers as asked.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer as createProxy, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { makeCertificates } from "../../../tools/parts/servers/certificates";

export const FORGE = "forge.example.test";
const SERVICE = "git-upload-pack";

type Stoppable = Pick<Server, "close" | "closeAllConnections">;

export class GitServer {
  /** Of Go programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly #servers: readonly Stoppable[];

  private constructor(env: Readonly<Record<string, string>>, servers: readonly Stoppable[]) {
    this.env = env;
    this.#servers = servers;
  }

  /** @param folder has repositories, `acme/plugin.git`, and gets the certificates */
  static async start(folder: string): Promise<GitServer> {
    const { caFile, certFile, keyFile } = await makeCertificates(join(folder, "tls"), [FORGE]);
    const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
      const { pathname } = new URL(request.url ?? "/", "https://localhost");
      const [, name, action] = /^\/([\w-]+\/[\w-]+\.git)\/(info\/refs|git-upload-pack)$/.exec(pathname) ?? [];
      if (name === undefined) response.writeHead(404).end();
      else answer(request, response, join(folder, name), action !== SERVICE);
    });
    const proxy = createProxy().on("connect", ({ url = "" }: IncomingMessage, client) => {
      const [name = "", port = ""] = url.split(":");
      const far = name === FORGE ? connect(portOf(server), "localhost") : connect(Number(port), name);
      far.on("connect", () => client.write("HTTP/1.1 200 OK\r\n\r\n")).on("error", () => client.destroy());
      client.on("error", () => far.destroy());
      far.pipe(client).pipe(far);
    });
    for (const each of [server, proxy]) await new Promise<void>((resolve) => each.listen(0, "localhost", resolve));
    const env = { HTTPS_PROXY: `http://localhost:${portOf(proxy)}`, SSL_CERT_FILE: caFile };
    return new GitServer(env, [server, proxy]);
  }

  stop(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

function portOf(server: { address(): unknown }): number {
  return (server.address() as AddressInfo).port;
}

/** One call of git's smart protocol. @param isList of the references, else of their objects */
function answer(request: IncomingMessage, response: ServerResponse, repository: string, isList: boolean): void {
  response.setHeader("content-type", `application/x-${SERVICE}-${isList ? "advertisement" : "result"}`);
  // A line begins with its length.
  if (isList) response.write("001e# service=git-upload-pack\n0000");
  const git = spawn("git", ["upload-pack", "--stateless-rpc", ...(isList ? ["--advertise-refs"] : []), repository], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  git.stdin.on("error", () => undefined);
  const body = request.headers["content-encoding"] === "gzip" ? request.pipe(createGunzip()) : request;
  body.pipe(git.stdin);
  git.stdout.pipe(response);
}
