/**
 * Serves runtimes to pods of clusters, over plain HTTP: each cluster names the SHA-256 of its runtime, so that nobody
 * between can make a pod run anything else, and the text is public. What is served are the files of the plugin's own
 * ConfigMaps, what it fetched when it started, or what its image contains. It answers GET of `/runtime/SHA256`, and
 * knows no caller.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import { createServer, type ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { BUNDLE_FILE } from "../names";
import { programFile, programPath } from "../programStart";

export interface RuntimeServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Compressed runtimes by the SHA-256 of the program. */
export type Runtimes = ReadonlyMap<string, Uint8Array>;

/** A pod makes one request; a restart of all nodes brings those of all clusters at once. */
const CONNECTIONS_MAX = 256;
const REQUEST_TIMEOUT_MS = 5000;
const HEADER_BYTES_MAX = 8 * 1024;
/** Maximum size of a runtime that an image contains. */
const PROGRAM_BYTES_MAX = 64 * 1024 * 1024;
const FILE = new RegExp(`^${programFile("([0-9a-f]{64})")}$`);
const PATH = new RegExp(`^${programPath("([0-9a-f]{64})")}$`);

/** Reads the runtimes of a directory. A missing directory has none. */
export async function readRuntimes(directory: string): Promise<Runtimes> {
  const names = (await nullIfMissing(readdir(directory))) ?? [];
  const entries = await Promise.all(
    names.map(async (name): Promise<readonly [string, Uint8Array][]> => {
      const sha256 = FILE.exec(name)?.[1];
      if (sha256 === undefined && name !== BUNDLE_FILE) return [];
      const bytes = await readFile(`${directory}/${name}`);
      return [[sha256 ?? (await digestOf(bytes)), bytes]];
    }),
  );
  return new Map(entries.flat());
}

async function digestOf(packed: Uint8Array): Promise<string> {
  const program = await promisify(gunzip)(packed, { maxOutputLength: PROGRAM_BYTES_MAX });
  return createHash("sha256").update(program).digest("hex");
}

/**
 * @param listen `address:port`
 * @throws optionInvalidValue (32) for another form, fileOpen (41) when it cannot listen there
 */
export async function serveRuntimes(listen: string, runtimes: Runtimes, ctx: Context): Promise<RuntimeServer> {
  const endpoint = parseListen(listen);
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on("request", ({ method = "", socket, url = "" }, response) => {
    const sha256 = PATH.exec(url)?.[1];
    const bytes = sha256 === undefined ? undefined : runtimes.get(sha256);
    if (sha256 !== undefined && bytes === undefined)
      ctx.log.warn(`${socket.remoteAddress} asks for runtime ${sha256}, which this plugin does not have`);
    else if (sha256 !== undefined) ctx.log.detail(`runtime ${sha256} for ${socket.remoteAddress}`);
    answer(method, bytes, response);
  });
  try {
    await new Promise<void>((resolve, reject) =>
      server.once("error", reject).listen(endpoint.port, endpoint.address, resolve),
    );
  } catch (error) {
    throw fail("fileOpen", `unable to listen on '${listen}': ${toBackupError(error).message}`);
  }
  server.on("error", (error) => ctx.log.warn(`runtimes on '${listen}': ${error.message}`));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : endpoint.port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function answer(method: string, bytes: Uint8Array | undefined, response: ServerResponse): void {
  const isRead = method === "GET" || method === "HEAD";
  if (!isRead || bytes === undefined) {
    response.writeHead(isRead ? 404 : 405, { "content-length": 0, connection: "close" }).end();
    return;
  }
  response
    .writeHead(200, {
      "content-type": "application/octet-stream",
      "content-length": bytes.length,
      connection: "close",
    })
    .end(method === "HEAD" ? undefined : bytes);
}

function parseListen(listen: string): { readonly address: string; readonly port: number } {
  const match = /^([^\s:[\]]+):(\d{1,5})$/.exec(listen);
  const port = Number(match?.[2]);
  if (match?.[1] !== undefined && port <= 65_535) return { address: match[1], port };
  throw fail("optionInvalidValue", `'${listen}' is not valid for 'plugin-runtime-listen' option`, {
    hint: "Use an address and a port, such as 0.0.0.0:9091.",
  });
}
