/**
 * `/metrics` and `/healthz` over HTTP, for a Prometheus that scrapes. Metrics are gathered once a minute, so a scrape
 * costs nothing and waits for no repository. `pgbackstop_collected_timestamp_seconds` shows their age. `/healthz`
 * answers as long as the process lives; the metrics show problems of repositories. Metrics hold no secret. The operator
 * chooses the address: 127.0.0.1 keeps them on the host. WAL is archived also while somebody else has the port.
 */
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import type { CommandProcess } from "../process/commandProcess";
import { DEFINITIONS, type Sample } from "../metrics/definitions";
import { gatherSamples, type LoadTroubles, Surveys } from "../metrics/gather";
import { type WorkerFacts, workerSamples } from "../metrics/samples";
import { renderMetrics } from "../metrics/text";
import { type HttpAnswer, type HttpRequest, serveHttp } from "../web/httpServer";
import type { ReportAnswer } from "../operations/report/reportAnswer";

const REFRESH_MS = 60_000;
/** Refreshes between two surveys of whole archives. */
const SURVEY_TURNS = 10;
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

export interface ServedParts {
  readonly loadTroubles: LoadTroubles;
  /** Null without a password. */
  readonly report: Pick<ReportAnswer, "to"> | null;
  readonly workers: () => readonly WorkerFacts[];
}

/**
 * `listen` is `address:port`.
 * @throws optionInvalidValue (32) for another form, optionInvalid (31) for a report on a network
 */
export function serveMetrics(
  listen: string,
  proc: CommandProcess,
  { loadTroubles, report, workers }: ServedParts,
  ctx: Context,
): { close(): Promise<void> } {
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
  const refreshing = refreshForever(proc, loadTroubles, ending.signal, ctx, (gathered) => {
    samples = gathered;
  });
  const text = (): string | null =>
    samples === null
      ? null
      : renderMetrics(DEFINITIONS, [...samples, ...workerSamples(proc.config.stanza ?? "", workers())]);
  const serving = serveHttp(
    endpoint,
    async (request) => (await report?.to(request)) ?? answer(request, text),
    { what: "/metrics", hint: "Another process may use the port. Choose another one with metrics-listen." },
    ctx,
    ending.signal,
  );
  return {
    close: async () => {
      ending.abort();
      await Promise.all([refreshing, serving]);
    },
  };
}

async function refreshForever(
  proc: CommandProcess,
  loadTroubles: LoadTroubles,
  signal: AbortSignal,
  ctx: Context,
  onSamples: (samples: readonly Sample[]) => void,
): Promise<void> {
  const surveys = new Surveys(SURVEY_TURNS);
  while (!signal.aborted) {
    try {
      onSamples(await gatherSamples(proc, loadTroubles, surveys));
    } catch (error) {
      ctx.log.warn(`unable to gather metrics: ${toBackupError(error).message}`);
    }
    await ctx.clock.sleep(REFRESH_MS, signal).catch(() => {});
  }
}

function answer({ method, path }: HttpRequest, metrics: () => string | null): HttpAnswer {
  if (method !== "GET" && method !== "HEAD") return { status: 405, text: "only GET\n" };
  if (path === "/healthz") return { status: 200, text: "ok\n" };
  if (path !== "/metrics") return { status: 404, text: "not found: use /metrics or /healthz\n" };
  const text = metrics();
  if (text === null) return { status: 503, text: "not gathered yet\n" };
  return { status: 200, text, headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } };
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
