/** Metrics for OpenTelemetry: one request of OTLP over HTTP, in its JSON form, with every sample. */
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import { VERSION } from "../version";
import { inAttempts, post, type WebRequest } from "../web/post";
import { byDefinition, DEFINITIONS, type Sample } from "./definitions";
import { OTLP, type OtlpTarget } from "./otlpTarget";

/** @throws fileMissing, hostConnect, service: without the address and the headers, which may grant access */
export async function pushMetrics(
  target: OtlpTarget,
  all: readonly Sample[],
  { readFile }: { readFile(path: string): Promise<Uint8Array | null> },
  ctx: Context,
): Promise<void> {
  const { caFile, headers, url } = target;
  const ca = caFile === undefined ? null : await readFile(caFile);
  if (caFile !== undefined && ca === null)
    throw fail("fileMissing", `missing file '${caFile}' of ${OTLP.certificate}`, { path: caFile });
  const request = otlpRequest(target, all, ctx.clock.nowMs());
  try {
    await inAttempts(ctx, async (signal) => checkAnswer(await post(request, ca, signal)));
  } catch (error) {
    const { kind, message } = toBackupError(error);
    const shown = secretsOf(headers).reduce((text, secret) => text.replaceAll(secret, "******"), message);
    throw fail(kind, `unable to send metrics to ${new URL(url).origin}: ${shown}`);
  }
}

/** A service may quote a part: `Basic …`. Shorter ones would redact ordinary words. */
function secretsOf(headers: OtlpTarget["headers"]): string[] {
  return Object.values(headers).flatMap((value) => value.split(" ").filter(({ length }) => length >= 4));
}

/** All metrics are gauges. */
export function otlpRequest(
  { attributes, headers, url }: OtlpTarget,
  all: readonly Sample[],
  nowMs: number,
): WebRequest {
  const timeUnixNano = `${nowMs}000000`;
  const metrics = byDefinition(DEFINITIONS, all).map(([{ help, name }, own]) => ({
    name,
    description: help,
    gauge: {
      dataPoints: own.map(({ labels, value }) => ({
        attributes: keyValues(labels),
        timeUnixNano,
        // As Protobuf's JSON has what JSON lacks: "NaN", "Infinity".
        asDouble: Number.isFinite(value) ? value : String(value),
      })),
    },
  }));
  const scopeMetrics = [{ scope: { name: "pgbackstop", version: VERSION }, metrics }];
  const body = JSON.stringify({ resourceMetrics: [{ resource: { attributes: keyValues(attributes) }, scopeMetrics }] });
  return { url, headers: { ...headers, "content-type": "application/json" }, body };
}

function keyValues(pairs: OtlpTarget["attributes"]): object[] {
  return Object.entries(pairs).map(([key, stringValue]) => ({ key, value: { stringValue } }));
}

/** A receiver that takes only a part says so in an answer with status 200. @throws service */
function checkAnswer(text: string): void {
  // Protobuf's JSON has 64-bit numbers as texts.
  let partial: { readonly rejectedDataPoints?: string | number; readonly errorMessage?: string } | undefined;
  try {
    ({ partialSuccess: partial } = JSON.parse(text) as { readonly partialSuccess?: typeof partial });
  } catch {
    // An empty answer is no refusal.
  }
  const count = Number(partial?.rejectedDataPoints ?? 0);
  if (count > 0) throw fail("service", `${count} samples were refused: ${partial?.errorMessage ?? ""}`);
}
