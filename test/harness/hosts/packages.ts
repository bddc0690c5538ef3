/**
 * Debian's packages for hosts without internet access: a proxy on this machine's loopback. It caches files that never
 * change (packages, indexes by hash) and requests everything else from the mirror. If the mirror does not answer, it
 * returns the last cached copy.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { cacheFolder } from "../../../tools/parts/cache";
import { debianSource } from "../../../tools/parts/debian/debian";
import type { DebianHost } from "./debianHost";

export interface PackageProxy {
  /** Configures apt on a host to use the proxy. */
  allow(host: DebianHost): Promise<void>;
  stop(): void;
}

const ANSWER_MS = 120_000;

/** @throws Error if this machine has no Debian mirror */
export async function startPackageProxy(): Promise<PackageProxy> {
  // The trees were made from this mirror, and their sources name it.
  const source = await debianSource("trixie");
  const mirror = "missing" in source ? undefined : /http:\/\/([^/\s]+)\//.exec(source.line)?.[1];
  if (mirror === undefined)
    throw new Error("this machine has no mirror of Debian over plain HTTP, which is what a proxy can keep");
  const folder = join(cacheFolder(), "packages");
  mkdirSync(folder, { recursive: true });
  const server = createServer((request, response) => {
    const url = request.url ?? "";
    if (!url.startsWith(`http://${mirror}/`)) {
      response.writeHead(403).end();
      return;
    }
    answer(url, join(folder, createHash("sha256").update(url).digest("hex"))).then(
      (bytes) =>
        bytes === null
          ? response.writeHead(404).end()
          : response.writeHead(200, { "content-length": bytes.length }).end(bytes),
      () => response.writeHead(502).end(),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    allow: async (host) => {
      const address = await host.network.expose(port);
      const text = `Acquire::http::Proxy::${mirror} "http://${address}:${port}";\n`;
      await host.runOk(["tee", "/etc/apt/apt.conf.d/90proxy"], { input: text });
    },
    stop: () => server.close(),
  };
}

async function answer(url: string, file: string): Promise<Buffer | null> {
  const isFixed = /\/(by-hash|pool)\//.test(url);
  if (isFixed && existsSync(file)) return readFileSync(file);
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) });
    if (response.status === 404) return null;
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    writeFileSync(`${file}.new`, bytes);
    renameSync(`${file}.new`, file);
    return bytes;
  } catch (error) {
    if (existsSync(file)) return readFileSync(file);
    throw error;
  }
}
