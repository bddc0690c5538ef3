/**
 * `/metrics` and `/healthz` over HTTP, for a Prometheus that scrapes. Metrics are gathered once a minute, so a scrape
 * costs nothing and waits for no repository. `pgbackstop_collected_timestamp_seconds` shows their age. `/healthz`
 * answers as long as the process lives; the metrics show problems of repositories. Metrics hold no secret. The operator
 * chooses the address: 127.0.0.1 keeps them on the host.
 */
import { createServer, type ServerResponse } from "node:http";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import type { CommandProcess } from "../process/commandProcess";
import { DEFINITIONS, type Sample } from "../metrics/definitions";
import { gatherSamples, Surveys } from "../metrics/gather";
import { type WorkerFacts, workerSamples } from "../metrics/samples";
import { renderMetrics } from "../metrics/text";
import type { HttpAnswer, ReportAnswer } from "./reportAnswer";

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

const REFRESH_MS = 60_000;
/** Refreshes between two surveys of whole archives. */
const SURVEY_TURNS = 10;
const CONNECTIONS_MAX = 16;
const REQUEST_TIMEOUT_MS = 5000;
const HEADER_BYTES_MAX = 8 * 1024;
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;
const PLAIN = { "content-type": "text/plain; charset=utf-8" };

/**
 * `listen` is `address:port`.
 * @throws optionInvalidValue (32) for another form, fileOpen (41) when it cannot listen there
 */
export async function serveMetrics(
  listen: string,
  proc: CommandProcess,
  workers: () => readonly WorkerFacts[],
  ctx: Context,
  report: Pick<ReportAnswer, "to"> | null = null,
): Promise<MetricsServer> {
  const endpoint = parseListen(listen);
  if (report !== null && !LOOPBACK.test(endpoint.address))
    throw fail(
      "optionInvalid",
      `the report is not served on '${listen}': its password would cross the network unencrypted`,
      {
        hint: "Listen on 127.0.0.1, and reach it by ssh -L or through a proxy with TLS.",
      },
    );
  const ending = new AbortController();
  let samples: readonly Sample[] | null = null;
  const refreshing = refreshForever(proc, ending.signal, ctx, (gathered) => {
    samples = gathered;
  });
  const text = (): string | null =>
    samples === null
      ? null
      : renderMetrics(DEFINITIONS, [...samples, ...workerSamples(proc.config.stanza ?? "", workers())]);
  const server = createServer({
    maxHeaderSize: HEADER_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on("request", ({ headers, method = "", url = "" }, response) => {
    const path = url.split("?")[0] ?? "";
    const reported = method === "GET" ? (report?.to(path, headers.authorization) ?? null) : null;
    Promise.resolve(reported).then(
      (answered) => (answered === null ? answer(method, path, text, response) : send(response, method, answered)),
      (error: unknown) => {
        ctx.log.warn(`unable to make the report: ${toBackupError(error).message}`);
        send(response, method, { status: 503, headers: PLAIN, text: "no report: the agent's log says why\n" });
      },
    );
  });
  const end = async (): Promise<void> => {
    ending.abort();
    await refreshing;
  };
  try {
    await new Promise<void>((resolve, reject) =>
      server.once("error", reject).listen(endpoint.port, endpoint.address, resolve),
    );
  } catch (error) {
    await end();
    const hint = "Another process may use the port. Choose another one with metrics-listen.";
    throw fail("fileOpen", `unable to listen on '${listen}': ${toBackupError(error).message}`, { hint });
  }
  server.on("error", (error) => ctx.log.warn(`metrics on '${listen}': ${error.message}`));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : endpoint.port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([closed, end()]);
    },
  };
}

async function refreshForever(
  proc: CommandProcess,
  signal: AbortSignal,
  ctx: Context,
  onSamples: (samples: readonly Sample[]) => void,
): Promise<void> {
  const surveys = new Surveys(SURVEY_TURNS);
  while (!signal.aborted) {
    try {
      onSamples(await gatherSamples(proc, surveys));
    } catch (error) {
      ctx.log.warn(`unable to gather metrics: ${toBackupError(error).message}`);
    }
    await ctx.clock.sleep(REFRESH_MS, signal).catch(() => {});
  }
}

function answer(method: string, path: string, metrics: () => string | null, response: ServerResponse): void {
  const say = (status: number, text: string, headers: HttpAnswer["headers"] = PLAIN): void =>
    send(response, method, { status, headers, text });
  if (method !== "GET" && method !== "HEAD") return say(405, "only GET\n");
  if (path === "/healthz") return say(200, "ok\n");
  if (path !== "/metrics") return say(404, "not found: use /metrics or /healthz\n");
  const text = metrics();
  if (text === null) return say(503, "not gathered yet\n");
  say(200, text, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
}

function send(response: ServerResponse, method: string, { headers, status, text }: HttpAnswer): void {
  const bytes = Buffer.from(text, "utf8");
  response
    .writeHead(status, { ...PLAIN, ...headers, "content-length": bytes.length })
    .end(method === "HEAD" ? undefined : bytes);
}

function parseListen(listen: string): { readonly address: string; readonly port: number } {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(listen);
  const address = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (address !== undefined && port <= 65_535) return { address, port };
  throw fail("optionInvalidValue", `'${listen}' is not valid for 'metrics-listen' option`, {
    hint: "Use an address and a port, such as 127.0.0.1:9854.",
  });
}
