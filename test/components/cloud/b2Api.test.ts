/** The client of B2's native API against the double: sign-in, retries, refusals, and secrets. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { B2Client, B2Error } from "../../../components/cloud/b2Api";
import { B2ServerDouble } from "../../harness/doubles/b2Server";
import { holdsSecret } from "../../harness/compare/secrets";

let server: B2ServerDouble;
let sleeps: number[];

beforeEach(async () => {
  server = await B2ServerDouble.start();
  sleeps = [];
});
afterEach(() => server.stop());

function open(more: { random?: number; applicationKey?: string; endpoint?: string } = {}): B2Client {
  const sleep = async (durationMs: number): Promise<void> => void sleeps.push(durationMs);
  return new B2Client({
    applicationKeyId: server.admin.applicationKeyId,
    applicationKey: more.applicationKey ?? server.admin.applicationKey,
    endpoint: more.endpoint ?? server.endpoint,
    tools: { sleep, random: () => more.random ?? 0 },
  });
}

async function list(client: B2Client): Promise<unknown> {
  return (await client.call("b2_list_buckets", { accountId: server.accountId }))["buckets"];
}

async function failureOf(work: Promise<unknown>): Promise<B2Error> {
  const error = await work.then(
    () => "no error",
    (reason: unknown) => reason,
  );
  if (!(error instanceof B2Error)) throw new Error(`not a B2Error: ${String(error)}`);
  return error;
}

test("signing in at version 4 returns account, endpoint and region, once for many calls", async () => {
  const client = open();
  expect(await Promise.all([list(client), list(client)])).toEqual([[], []]);
  expect(await client.account()).toMatchObject({
    accountId: server.accountId,
    s3Endpoint: "s3.test-central-009.backblazeb2.com",
    s3Region: "test-central-009",
  });
  expect(server.calls).toEqual(["b2_authorize_account v4", "b2_list_buckets v4", "b2_list_buckets v4"]);
});

test("an expired token is renewed once, without a pause", async () => {
  const client = open();
  await list(client);
  server.expireTokens();
  expect(await list(client)).toEqual([]);
  expect(sleeps).toEqual([]);
  server.plan("b2_list_buckets", { kind: "expireToken" }, { kind: "expireToken" });
  expect(await failureOf(list(client))).toMatchObject({ status: 401, code: "expired_auth_token" });
});

test("transient errors are retried after 1 s, doubled, with jitter; five attempts in all", async () => {
  const busy = { kind: "refuse", status: 503, code: "service_unavailable" } as const;
  server.plan(
    "b2_list_buckets",
    busy,
    { kind: "break" },
    { kind: "badGateway" },
    { kind: "refuse", status: 408, code: "request_timeout" },
  );
  expect(await list(open({ random: 0.5 }))).toEqual([]);
  expect(sleeps).toEqual([1_250, 2_500, 5_000, 10_000]);

  server.plan("b2_list_buckets", busy, busy, busy, busy, busy);
  const error = await failureOf(list(open()));
  expect(error).toMatchObject({ status: 503, code: "service_unavailable", unclear: true });
  expect(error.message).toMatch(
    /^b2_list_buckets: 503 service_unavailable: service_unavailable \(request [0-9a-f]{16}\)$/,
  );
});

test("Retry-After has priority, as seconds and as a date; too long a wait is an error at once", async () => {
  const slow = (retryAfter: string): { kind: "refuse"; status: number; code: string; retryAfter: string } => ({
    kind: "refuse",
    status: 429,
    code: "too_many_requests",
    retryAfter,
  });
  server.plan("b2_list_buckets", slow("7"), slow("0"), slow("Thu, 01 Jan 1970 00:00:00 GMT"));
  await list(open());
  expect(sleeps).toEqual([7_000, 0, 0]);
  server.plan("b2_list_buckets", slow("3600"));
  expect(await failureOf(list(open()))).toMatchObject({ status: 429, retryAfterMs: 3_600_000 });
});

test("signing in is retried too", async () => {
  server.plan("b2_authorize_account", { kind: "break" }, { kind: "refuse", status: 500, code: "internal_error" });
  expect(await list(open())).toEqual([]);
  expect(sleeps).toEqual([1_000, 2_000]);
});

test("an unsafe call is repeated only after a clear refusal", async () => {
  const key = { accountId: server.accountId, keyName: "once", capabilities: ["readFiles"] };
  server.plan("b2_create_key", { kind: "loseAnswer" });
  expect(await failureOf(open().call("b2_create_key", key, { repeatable: false }))).toMatchObject({
    code: "network",
    unclear: true,
  });
  server.plan("b2_create_key", { kind: "refuse", status: 429, code: "too_many_requests", retryAfter: "1" });
  await open().call("b2_create_key", key, { repeatable: false });
  expect(server.keys.filter((each) => each.keyName === "once")).toHaveLength(2);
  expect(sleeps).toEqual([1_000]);
});

test.each<[string, number, string]>([
  ["unauthorized", 401, "it needs listBuckets, without a restriction to another bucket"],
  ["storage_cap_exceeded", 403, "raise it in the console under Caps & Alerts"],
  ["transaction_cap_exceeded", 403, "raise it in the console"],
  ["too_many_buckets", 400, "100 by default"],
  ["access_denied", 403, "object lock or a legal hold protects it"],
  ["bad_request", 400, ""],
  ["not_found", 404, ""],
])("%s is an error at once, with the remedy", async (code, status, hint) => {
  server.plan("b2_list_buckets", { kind: "refuse", status, code, message: "said the service" });
  const error = await failureOf(list(open()));
  expect(error).toMatchObject({ operation: "b2_list_buckets", status, code, unclear: false });
  expect(error.message).toContain(`b2_list_buckets: ${status} ${code}: said the service`);
  expect(error.message).toContain(hint);
  expect(sleeps).toEqual([]);
});

test("a wrong key is named by its setting, not by its value", async () => {
  const error = await failureOf(list(open({ applicationKey: "planted-wrong-key" })));
  expect(error.message).toContain("the key of b2:applicationKeyId and b2:applicationKey (or B2_APPLICATION_KEY_ID");
  expect(error.message).not.toContain("planted-wrong-key");
});

test("no message contains a key or a token, not even one that the service repeats", async () => {
  const client = open();
  await list(client);
  const basic = Buffer.from(`${server.admin.applicationKeyId}:${server.admin.applicationKey}`).toString("base64");
  const printed = [...server.secrets(), basic].join(" and ");
  server.plan("b2_list_buckets", { kind: "refuse", status: 400, code: "bad_request", message: `you sent ${printed}` });
  const error = await failureOf(list(client));
  expect(error.message).toContain("you sent *** and ***");
  expect(holdsSecret(`${error.message}\n${error.stack}\n${JSON.stringify(error)}`, server.secrets())).toBe(false);
});

test("a host that does not answer is named with the reason", async () => {
  const closed = createServer();
  await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const error = await failureOf(list(open({ endpoint: `http://127.0.0.1:${port}` })));
  expect(error.message).toBe(`b2_authorize_account: 127.0.0.1:${port} cannot be reached: ECONNREFUSED`);
  expect(sleeps).toHaveLength(4);
});

test("a redirect is not followed: the token stays here", async () => {
  const elsewhere: string[] = [];
  const redirecting = createServer((request, response) => {
    elsewhere.push(request.url ?? "");
    response.writeHead(307, { location: `${server.endpoint}/b2api/v4/b2_authorize_account` }).end();
  });
  await new Promise<void>((resolve) => redirecting.listen(0, "127.0.0.1", resolve));
  const endpoint = `http://127.0.0.1:${(redirecting.address() as AddressInfo).port}`;
  expect(await failureOf(list(open({ endpoint })))).toMatchObject({ code: "network" });
  expect(server.calls).toEqual([]);
  expect(elsewhere.length).toBeGreaterThan(0);
  await new Promise((resolve) => redirecting.close(resolve));
});

test.each(["http://b2.example.net", "ftp://127.0.0.1", "api.backblazeb2.com", ""])(
  "the address %j is refused",
  (endpoint) => {
    expect(() => open({ endpoint })).toThrow(`b2:endpoint is "${endpoint}": it must begin with https://`);
  },
);
