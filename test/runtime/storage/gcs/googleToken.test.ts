/** Tokens from a service account's key and from the metadata service, which a double simulates. */
import { generateKeyPairSync, verify } from "node:crypto";
import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { Secret } from "../../../../runtime/base/secret";
import { fetchMetadataToken, fetchServiceToken } from "../../../../runtime/storage/gcs/googleToken";
import { fixedBearer, renewedBearer } from "../../../../runtime/storage/objectStore/accessToken";
import { Renewed } from "../../../../runtime/storage/objectStore/renewed";
import { testContext } from "../../../harness/context";
import { HonestGcs, refused } from "../../../harness/doubles/honestGcs";
import { S3Double } from "../../../harness/doubles/s3Double";
import { openGcs } from "./support";

const { privateKey, publicKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const EMAIL = "writer@project.iam.gserviceaccount.com";
let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());
const files = new Map<string, string>();
beforeEach(() => files.clear());

const deps = {
  ...testContext({ clock: systemClock }),
  ioTimeoutMs: 1000,
  readFile: (path: string): Uint8Array => {
    const text = files.get(path);
    if (text === undefined) throw Object.assign(new Error(`ENOENT: no such file '${path}'`), { code: "ENOENT" });
    return Buffer.from(text);
  },
};
const keyText = (more: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    type: "service_account",
    client_email: EMAIL,
    private_key: privateKey,
    private_key_id: "id-1",
    token_uri: `http://127.0.0.1:${double.port}/token`,
    ...more,
  });
const ask = (key: string, isReadOnly = false) =>
  fetchServiceToken({ repoIndex: 2, key: new Secret(key), isReadOnly }, deps);
const refusal = async (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
const token = (text: string): { status: number; body: string; headers: Record<string, string> } => ({
  status: 200,
  headers: { "metadata-flavor": "Google" },
  body: JSON.stringify({ access_token: text, expires_in: 3599, token_type: "Bearer" }),
});

// claim: docs/gcs.md: a service account's key signs for tokens of an hour (simulated service)
test("a service account's key signs for a token, from a file or a text", async () => {
  double.answering(() => token("issued"));
  files.set("/key.json", `${keyText()}\n`);
  for (const [key, isReadOnly, scope] of [
    ["/key.json", false, "read_write"],
    [keyText(), true, "read_only"],
  ] as const) {
    const { expiresAtMs = 0, token: issued } = await ask(key, isReadOnly);
    expect(issued.reveal()).toBe("issued");
    expect(Math.abs(expiresAtMs - Date.now() - 3_599_000)).toBeLessThan(20_000);
    const request = double.requests.at(-1);
    const form = new URLSearchParams(request?.body.toString());
    expect(form.get("grant_type")).toBe("urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
    const parsed = [head, claims].map((part) => JSON.parse(Buffer.from(part, "base64url").toString()) as unknown);
    expect(parsed).toEqual([
      { alg: "RS256", typ: "JWT", kid: "id-1" },
      {
        iss: EMAIL,
        scope: `https://www.googleapis.com/auth/devstorage.${scope}`,
        aud: `http://127.0.0.1:${double.port}/token`,
        iat: expect.any(Number),
        exp: expect.any(Number),
      },
    ]);
    const { iat, exp } = parsed[1] as { readonly iat: number; readonly exp: number };
    expect([exp - iat, Math.abs(iat - Date.now() / 1000) < 20]).toEqual([3600, true]);
    const bytes = Buffer.from(signature, "base64url");
    expect(verify("RSA-SHA256", Buffer.from(`${head}.${claims}`), publicKey, bytes)).toBe(true);
  }
});

// claim: docs/gcs.md: a key that cannot be used is refused in words, and no message repeats it
test.each([
  [
    "a token in its place",
    () => "ya29.markerToken",
    "the file cannot be read [ENOENT]",
    "set repo2-gcs-key-type=token",
  ],
  ["no JSON", () => "{markerText", "it is not a JSON object", "Create a JSON key"],
  [
    "a workload identity federation",
    () => keyText({ type: "external_account" }),
    "it describes a workload identity federation, which is not supported",
    "repo2-gcs-key-type=auto",
  ],
  ["a person's login", () => keyText({ type: "authorized_user" }), "its type is not service_account", "Create a JSON"],
  ["no private key", () => keyText({ private_key: 1 }), "it lacks client_email or private_key", "Create a JSON key"],
  ["a token_uri without TLS", () => keyText({ token_uri: "http://host/" }), "its token_uri is not https", "Create"],
])("refuses %s", async (_what, keyOf, fact, hint) => {
  double.answering(() => token("issued"));
  const error = await refusal(ask(keyOf()));
  expect(error).toMatchObject({
    kind: "optionInvalid",
    repoIndex: 2,
    message: `unable to use the service account's key of repo2-gcs-key: ${fact}`,
    hints: [expect.stringContaining(hint)],
  });
  expect(inspect(error, { depth: 10 })).not.toMatch(/marker|PRIVATE/);
  expect(double.requests).toEqual([]);
});

test("a text that is no private key is refused, and not repeated", async () => {
  const error = await refusal(ask(keyText({ private_key: "markerKey" })));
  expect(error).toMatchObject({ kind: "optionInvalid", message: expect.stringContaining("no RSA key in PEM") });
  expect(inspect(error, { depth: 10 })).not.toContain("markerKey");
});

test("a refusal shows its code, and a hint about the clock or the key", async () => {
  const answered = (error_description: string, status = 400): void =>
    double.answering(() => ({ status, body: JSON.stringify({ error: "invalid_grant", error_description }) }));
  answered("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat");
  expect(await refusal(ask(keyText()))).toMatchObject({
    kind: "access",
    message: "unable to get a token for a service account: [400] invalid_grant",
    hints: ["This host's clock and Google's are too far apart. Check NTP on this host."],
  });
  answered("Invalid grant: account not found");
  expect(await refusal(ask(keyText()))).toMatchObject({ hints: [expect.stringContaining("has it this key still?")] });
  double.answering(() => ({ status: 503, body: "" }));
  expect(await refusal(ask(keyText()))).toMatchObject({ kind: "service" });
});

// claim: docs/gcs.md: a machine's service account gives tokens, which are renewed (simulated metadata service)
test("the metadata service's token is fetched, sent and, when refused, replaced; no message repeats it", async () => {
  let issued = 0;
  const bucket = new HonestGcs();
  double.answering((request) => {
    if (request.url.startsWith("/computeMetadata/")) return token(`token-${++issued}`);
    return request.headers.authorization === "Bearer token-2" ? bucket.answer(request) : refused(401, "authError");
  });
  const options = { repoIndex: 2, origin: `http://127.0.0.1:${double.port}` };
  const tokens = new Renewed(
    () => fetchMetadataToken(options, deps),
    (held) => held.token,
    systemClock,
  );
  const storage = openGcs(double, { bearer: renewedBearer(tokens), keyType: "auto" });
  await storage.put("f", Buffer.from("x"));
  await storage.close();
  const asked = double.requests.filter(({ url }) => url.startsWith("/computeMetadata/"));
  expect(asked.map(({ url, headers }) => [url, headers["metadata-flavor"]])).toEqual(
    Array.from({ length: 2 }, () => ["/computeMetadata/v1/instance/service-accounts/default/token", "Google"]),
  );
  for (const [answer, message] of [
    [{ ...token("markerToken"), headers: {} }, "is not one of Google's metadata service"],
    [{ ...token(""), body: "{}" }, "lacks access_token"],
    [{ ...token(""), body: '{"access_token":"markerToken"}' }, "lacks expires_in"],
    [{ ...token(""), body: "markerToken" }, "not a JSON object"],
  ] as const) {
    double.answering(() => answer);
    const error = await refusal(fetchMetadataToken(options, deps));
    expect(error).toMatchObject({ kind: "format", repoIndex: 2, message: expect.stringContaining(message) });
    expect(inspect(error, { depth: 10 })).not.toContain("markerToken");
  }
  double.answering(() => ({ status: 404 }));
  expect(await refusal(fetchMetadataToken(options, deps))).toMatchObject({
    kind: "access",
    hints: [expect.stringContaining("with a service account?")],
  });
});

test("a given token is sent as Bearer, or with the scheme that stock needs", async () => {
  expect(await fixedBearer(new Secret("abc\n")).header()).toBe("Bearer abc");
  expect(await fixedBearer(new Secret("Bearer abc")).header()).toBe("Bearer abc");
});
