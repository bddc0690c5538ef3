import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../runtime/base/clock";
import type { Sample } from "../../../runtime/metrics/definitions";
import { otlpRequest, pushMetrics } from "../../../runtime/metrics/otlp";
import { type OtlpTarget, otlpTarget, otlpVariables } from "../../../runtime/metrics/otlpTarget";
import { VERSION } from "../../../runtime/version";
import { testContext } from "../../harness/context";
import { startWebServer, type WebServer } from "../../harness/doubles/messageServers";
import * as fc from "../../harness/properties";

const ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS = "OTEL_EXPORTER_OTLP_HEADERS";
const HOST = { "service.name": "pgbackstop", "service.instance.id": "db1", "host.name": "db1" };
const up = (key: string, value: number): Sample => ({
  name: "pgbackstop_repo_up",
  labels: { stanza: 'a "b" \\ ü', repo_key: key },
  value,
});
const attribute = (key: string, stringValue: string): object => ({ key, value: { stringValue } });

test("is what OpenTelemetry's own exporter sends", () => {
  const target = otlpTarget({ [ENDPOINT]: "http://127.0.0.1:4318/otlp/", [HEADERS]: "x-api-key=a%20b%2Cc%3D" }, HOST);
  const { body, headers, url } = otlpRequest(target, [up("1", 1), up("2", Number.NaN)], 1_795_810_588_063);
  expect(url).toBe("http://127.0.0.1:4318/otlp/v1/metrics");
  expect(headers).toEqual({ "x-api-key": "a b,c=", "content-type": "application/json" });
  // Recorded from @opentelemetry/exporter-metrics-otlp-http 0.301.0, without fields that have Protobuf's default, and
  // without the start of a gauge, which the protocol ignores.
  const point = (key: string, asDouble: unknown): object => ({
    attributes: [attribute("stanza", 'a "b" \\ ü'), attribute("repo_key", key)],
    timeUnixNano: "1795810588063000000",
    asDouble,
  });
  const gauge = { dataPoints: [point("1", 1), point("2", "NaN")] };
  const metrics = [{ name: "pgbackstop_repo_up", description: expect.stringMatching(/^\w/), gauge }];
  const attributes = Object.entries(HOST).map(([key, text]) => attribute(key, text));
  expect(JSON.parse(body)).toEqual({
    resourceMetrics: [
      { resource: { attributes }, scopeMetrics: [{ scope: { name: "pgbackstop", version: VERSION }, metrics }] },
    ],
  });
});

describe("the variables", () => {
  test("of metrics replace those of all signals, and attributes add up", () => {
    const given = {
      [ENDPOINT]: "https://all.example",
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "https://own.example/write?tenant=7",
      [HEADERS]: "a=1",
      OTEL_EXPORTER_OTLP_METRICS_HEADERS: " b = 2 , c=x=y,",
      OTEL_EXPORTER_OTLP_CERTIFICATE: "/etc/ca.pem",
      OTEL_RESOURCE_ATTRIBUTES: "service.name=other,team=db%20ops",
      OTEL_SERVICE_NAME: "mine",
    };
    expect(otlpTarget(given, HOST)).toEqual({
      url: "https://own.example/write?tenant=7",
      headers: { b: "2", c: "x=y" },
      caFile: "/etc/ca.pem",
      attributes: { ...HOST, "service.name": "mine", team: "db ops" },
    });
  });

  test("carry all values of headers and attributes", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,9}$/);
    fc.assert(
      fc.property(
        fc.dictionary(
          name,
          fc.stringMatching(/^[ -~]{1,20}$/).filter((text) => text.trim() === text),
        ),
        fc.dictionary(
          name,
          fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => text.trim() === text),
        ),
        (headers, attributes) => {
          const variables = otlpVariables({ endpoint: "http://[::1]:4318", headers, attributes });
          expect(otlpTarget(variables, {})).toMatchObject({ url: "http://[::1]:4318/v1/metrics", headers, attributes });
        },
      ),
    );
  });

  test.each([
    [{}, "metrics command requires OTEL_EXPORTER_OTLP_ENDPOINT with --otlp"],
    [{ [ENDPOINT]: " " }, "metrics command requires"],
    [{ [ENDPOINT]: "collector:4317" }, `${ENDPOINT} is no address that begins with http:// or https://`],
    [{ [HEADERS]: "geheim" }, `${HEADERS} is no list like name=value,name=value`],
    [{ [HEADERS]: "x=%E0%A4%A" }, `${HEADERS} is no list like`],
    [{ [HEADERS]: "x y=geheim" }, `${HEADERS} has a name or a value that no header may have`],
    [{ [HEADERS]: "x=geheim%0Aa: b" }, `${HEADERS} has a name or a value that no header may have`],
    [{ OTEL_RESOURCE_ATTRIBUTES: "=geheim" }, "OTEL_RESOURCE_ATTRIBUTES is no list like"],
  ])("that are wrong are refused without their value: %j", (given, message) => {
    const isAlone = Object.keys(given).length === 0 || ENDPOINT in given;
    const read = (): OtlpTarget => otlpTarget(isAlone ? given : { [ENDPOINT]: "http://a", ...given }, HOST);
    expect(read).toThrow(message);
    expect(read).not.toThrow("geheim");
  });
});

describe("a receiver", () => {
  const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms < 10_000 ? 0 : 1000, signal) };
  let web: WebServer;
  beforeEach(async () => {
    web = await startWebServer();
  });
  afterEach(() => web.close());
  const push = (headers = "authorization=Basic%20geheim", more: Partial<OtlpTarget> = {}): Promise<void> => {
    const target = { ...otlpTarget({ [ENDPOINT]: web.origin, [HEADERS]: headers }, HOST), ...more };
    return pushMetrics(target, [up("1", 1)], { readFile: async () => null }, testContext({ clock }));
  };

  // claim: docs/monitoring.md: `metrics --otlp` sends every sample to a receiver, and fails if one of them is refused
  test("gets the samples, and again while it is busy", async () => {
    web.planned.push({ status: 503 }, { status: 429 }, { status: 200, body: "" });
    await push();
    expect(web.requests.map(({ path }) => path)).toEqual(["/v1/metrics", "/v1/metrics", "/v1/metrics"]);
    expect(web.requests[2]?.headers).toMatchObject({
      authorization: "Basic geheim",
      "content-type": "application/json",
    });
    expect(new Set(web.requests.map(({ body }) => body)).size).toBe(1);
  });

  test.each([
    [{ status: 401, body: "no account for geheim" }, "service", "answer 401: no account for ******"],
    [
      { status: 200, body: '{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"out of order"}}' },
      "service",
      "3 samples were refused: out of order",
    ],
    [{ status: 302, body: "" }, "service", "answer 302"],
  ])("that takes them not or in part is an error: %j", async (answer, kind, text) => {
    web.planned.push(answer);
    await expect(push()).rejects.toMatchObject({ kind, message: `unable to send metrics to ${web.origin}: ${text}` });
    expect(web.requests).toHaveLength(1);
  });

  test("may accept in words, and its certificate must be there", async () => {
    web.planned.push({ status: 200, body: '{"partialSuccess":{}}' });
    await push();
    await expect(push("", { caFile: "/etc/missing.pem" })).rejects.toMatchObject({ kind: "fileMissing" });
  });
});
