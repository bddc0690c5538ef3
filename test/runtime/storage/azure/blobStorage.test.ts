/** Documented behaviour of Azure Blob Storage that Azurite does not show. A double simulates it. */
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, utf8 } from "../../../../runtime/base/bytes";
import { systemClock } from "../../../../runtime/base/clock";
import { tokenAuthority } from "../../../../runtime/storage/azure/azureKey";
import type { BlobOptions, BlobStorage } from "../../../../runtime/storage/azure/blobStorage";
import { fetchIdentityToken } from "../../../../runtime/storage/azure/managedIdentity";
import { renewedBearer } from "../../../../runtime/storage/objectStore/accessToken";
import { Renewed } from "../../../../runtime/storage/objectStore/renewed";
import { testContext } from "../../../harness/context";
import { blobXml, HonestAzure, listing, refused } from "../../../harness/doubles/honestAzure";
import { type DoubleAnswer, type DoubleRequest, errorBody, S3Double } from "../../../harness/doubles/s3Double";
import { openBlobs } from "./support";

const PART = 1000;
let double: S3Double;
const opened: BlobStorage[] = [];
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
});
const open = (more: Partial<BlobOptions> = {}): BlobStorage => {
  const storage = openBlobs(double, { partSizeBytes: PART, path: "/repo", ...more });
  opened.push(storage);
  return storage;
};
const refusal = async (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
/** Honest, but for the requests that `lie` answers. */
const mostly = (lie: (request: DoubleRequest, index: number) => DoubleAnswer | null): HonestAzure => {
  const container = new HonestAzure();
  double.answering((request, index) => lie(request, index) ?? container.answer(request));
  return container;
};
const isOf = (request: DoubleRequest, comp: string): boolean => request.url.includes(`comp=${comp}`);

test("a short file is one Put Blob, a longer one blocks with ids as long as stock's and their list", async () => {
  mostly(() => null);
  const storage = open();
  await storage.put("d/f", utf8("x"));
  const [put] = double.requests;
  expect(put).toMatchObject({
    method: "PUT",
    url: "/account/backups/repo/d/f",
    headers: {
      "content-length": "1",
      "content-md5": createHash("md5").update("x").digest("base64"),
      "x-ms-blob-type": "BlockBlob",
      "x-ms-version": "2021-06-08",
      authorization: expect.stringMatching(/^SharedKey account:[A-Za-z0-9+/]{43}=$/),
    },
  });
  double.requests.length = 0;
  await storage.putStream("d/f", () => streamOf(Buffer.alloc(2 * PART + 1, "y")));
  const [first, second, third, list] = double.requests;
  const ids = [first, second, third].map((request) =>
    new URL(request?.url ?? "", "http://a").searchParams.get("blockid"),
  );
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9+/]{24}$/);
  expect(new Set(ids).size).toBe(3);
  expect(list?.body.toString()).toBe(
    `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join("")}</BlockList>`,
  );
});

test("a list of blocks whose answer was lost is sent again and finds the blocks in the blob", async () => {
  let isLost = false;
  const container = new HonestAzure();
  double.answering((request) => {
    const answer = container.answer(request);
    if (isLost || !isOf(request, "blocklist")) return answer;
    isLost = true;
    return { status: 200, lost: true };
  });
  await open().putStream("f", () => streamOf(Buffer.alloc(PART + 1, "y")));
  expect(container.objects.get("repo/f")?.bytes.length).toBe(PART + 1);
  expect(double.requests.filter((request) => isOf(request, "blocklist"))).toHaveLength(2);
});

// claim: docs/azure.md: an upload whose blocks another writer discards begins again
test("an upload whose blocks another writer has discarded begins again, once", async () => {
  const source = (): ByteStream => streamOf(Buffer.alloc(PART + 1, "y"));
  let refusedCount = 0;
  const container = mostly((request) =>
    isOf(request, "blocklist") && refusedCount++ === 0 ? refused(400, "InvalidBlockList") : null,
  );
  await open().putStream("f", source);
  expect(container.objects.get("repo/f")?.bytes.length).toBe(PART + 1);
  mostly((request) => (isOf(request, "blocklist") ? refused(400, "InvalidBlockList") : null));
  expect(await refusal(open().putStream("f", source))).toMatchObject({
    kind: "service",
    retryable: true,
    message: "unable to put 'azure://backups/repo/f': uploads of others discard its blocks",
  });
});

test("a listing continues at its marker, and one that repeats itself is no listing", async () => {
  double.answering(({ url }) =>
    url.includes("marker=") ? listing(blobXml("repo/d/b", 2)) : listing(blobXml("repo/d/a", 1), "next & more"),
  );
  const names = async (): Promise<string[]> => {
    const result: string[] = [];
    for await (const { path } of open().list("d")) result.push(path);
    return result;
  };
  expect(await names()).toEqual(["d/a", "d/b"]);
  expect(new URL(double.requests[1]?.url ?? "", "http://a").searchParams.get("marker")).toBe("next & more");
  double.answering(() => listing("", "again"));
  expect(await refusal(names())).toMatchObject({ kind: "service", message: expect.stringContaining("does not end") });
});

test("directories of a hierarchical namespace are no files", async () => {
  const directory = blobXml("repo/d", 0).replace("<Properties>", "<Properties><ResourceType>directory</ResourceType>");
  double.answering(() => listing(directory + blobXml("repo/d/f", 1)));
  const names: string[] = [];
  for await (const { path } of open().list("", { recursive: true })) names.push(path);
  expect(names).toEqual(["d/f"]);
});

test("a condition counts only if the service names it: a blob under a lease is an error", async () => {
  double.answering(() => refused(412, "LeaseIdMissing"));
  expect(await refusal(open().replace("f", utf8("x"), '"1"'))).toMatchObject({ kind: "service" });
  double.answering(() => refused(409, "BlobImmutableDueToPolicy"));
  expect(await refusal(open().create("f", utf8("x")))).toMatchObject({
    kind: "service",
    hints: [expect.stringContaining("policy of the container")],
  });
});

test("a writer whose first answer was lost knows its own bytes", async () => {
  let isLost = false;
  const container = new HonestAzure();
  double.answering((request) => {
    const answer = container.answer(request);
    if (isLost || request.method !== "PUT") return answer;
    isLost = true;
    return { status: 200, lost: true };
  });
  expect(await open().create("f", utf8("mine"))).toBe(true);
  expect(await open().create("f", utf8("other"))).toBe(false);
});

describe("refusals", () => {
  test.each([
    [404, "ContainerNotFound", "pathMissing", false],
    [404, "BlobNotFound", "fileMissing", false],
    [404, "ResourceNotFound", "service", false],
    [403, "AuthenticationFailed", "access", false],
    [403, "AuthorizationPermissionMismatch", "access", false],
    [400, "InvalidAuthenticationInfo", "access", false],
    [400, "Md5Mismatch", "service", true],
    [503, "ServerBusy", "service", true],
    [500, "OperationTimedOut", "service", true],
    [400, "InvalidQueryParameterValue", "service", false],
  ])("%i %s is %s", async (status, code, kind, retryable) => {
    double.answering(() => refused(status, code));
    expect(await refusal(open().read("f"))).toMatchObject({ kind, retryable });
  });

  test("has no request's id, and hints at the clock and at a signature's end without repeating details", async () => {
    const detailed = (detail: string): void =>
      double.answering(() => ({
        status: 403,
        body: errorBody("AuthenticationFailed", "Server failed.\nRequestId:123\nTime:2026").replace(
          "</Error>",
          `<AuthenticationErrorDetail>${detail}</AuthenticationErrorDetail></Error>`,
        ),
      }));
    detailed("Request date header too old: 'secret'");
    const clock = await refusal(open().put("f", utf8("x")));
    expect(clock).toMatchObject({
      message: "unable to put 'azure://backups/repo/f': [403] AuthenticationFailed: Server failed.",
      hints: ["This host's clock and the service's are too far apart. Check NTP."],
    });
    for (const detail of [
      "Signature not valid in the specified time frame: Start [x] - Expiry [y] - Current [z]",
      "Signed expiry time [x] has to be after signed start time",
    ]) {
      detailed(detail);
      expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
        hints: ["The shared access signature has expired or is not valid yet: renew repo2-azure-key."],
      });
    }
  });

  test("ServerBusy is retried, and the body is sent again", async () => {
    const container = mostly((_request, index) => (index < 2 ? refused(503, "ServerBusy") : null));
    await open().put("f", utf8("content"));
    expect(double.requests.map(({ body }) => body.toString())).toEqual(["content", "content", "content"]);
    expect(container.objects.has("repo/f")).toBe(true);
  });
});

test("a read that breaks off continues at its byte, unless the blob has changed", async () => {
  const content = "0123456789";
  const cut: DoubleAnswer = { status: 200, headers: { etag: '"0x1"' }, body: content, cutAfterBytes: 3 };
  const read = async (): Promise<string> => Buffer.from(await collect(await open().read("f"), 100)).toString();
  mostly((_request, index) => (index === 0 ? cut : null)).put("repo/f", utf8(content));
  expect(await read()).toBe(content);
  expect(double.requests[1]?.headers.range).toBe("bytes=3-9");
  const changed = mostly((_request, index) => (index === 0 ? cut : null));
  changed.put("repo/f", utf8("another one"));
  changed.put("repo/f", utf8("abcdefghij"));
  expect(await refusal(read())).toMatchObject({ kind: "fileRead", retryable: true });
});

test("a probe finds a service that ignores conditions, markers or TLS", async () => {
  const container = new HonestAzure();
  double.answering((request) => {
    const { "if-none-match": _created, "if-match": _replaced, ...headers } = request.headers;
    const { searchParams } = new URL(request.url, "http://a");
    if (searchParams.has("marker")) return listing("");
    const answer = container.answer({ ...request, headers });
    return searchParams.get("maxresults") === "2" ? listing(blobXml("repo/scratch/page/0", 1), "more") : answer;
  });
  const facts = await open().probe("scratch");
  expect(facts.map(({ name, verdict, text }) => `${name} ${verdict}: ${text}`)).toEqual([
    expect.stringContaining("tls warn: the endpoint is http"),
    expect.stringContaining("clock "),
    "pages fail: 1 of 5 blobs are listed in 2 pages of 2",
    "create fail: the service created a blob that exists: it does not support If-None-Match",
    "versions warn: the container keeps no versions: only soft delete, if it is on, brings back what this key deletes or overwrites",
  ]);
});

// claim: docs/azure.md: `doctor` says whether versions are kept and the key can delete them (simulated service)
test.each([
  [
    "a key without the right to",
    refused(403, "AuthorizationPermissionMismatch"),
    "ok: versions are kept, and this key has no right",
  ],
  [
    "nobody, while it shows a policy,",
    refused(409, "BlobImmutableDueToPolicy"),
    "ok: this key may delete versions, but new ones show a lock until 2099-01-01T00:00:00Z",
    "Thu, 01 Jan 2099 00:00:00 GMT",
  ],
  [
    "nobody, while a rule of the container keeps it,",
    refused(409, "BlobImmutableDueToPolicy"),
    "warn: this key may delete versions: only a rule",
  ],
  ["the account's key", { status: 202 }, "warn: this key can delete versions"],
  ["a request that is not understood", refused(400, "InvalidQueryParameterValue"), "skip: the service answers 400"],
])(
  "a probe says what %s does to a version that is no longer current",
  async (_who, answer, expected, until?: string) => {
    const container = new HonestAzure();
    let written = 0;
    const deleted: (string | null)[] = [];
    double.answering((request) => {
      const { pathname, searchParams } = new URL(request.url, "http://a");
      const version = searchParams.get("versionid");
      if (version !== null && request.method === "HEAD")
        return { status: 200, headers: until === undefined ? {} : { "x-ms-immutability-policy-until-date": until } };
      if (pathname.endsWith("/never-written") && answer.status === 409) return refused(404, "BlobNotFound");
      if (version !== null) deleted.push(version);
      if (version !== null) return answer;
      const honest = container.answer(request);
      if (request.method !== "PUT" || !pathname.endsWith("/scratch/version")) return honest;
      return {
        ...honest,
        headers: { ...honest.headers, "x-ms-version-id": `2026-11-20T06:40:0${++written}.0000000Z` },
      };
    });
    const fact = (await open().probe("scratch")).find(({ name }) => name === "versions");
    expect(`${fact?.verdict}: ${fact?.text}`).toContain(expected);
    expect([...new Set(deleted)]).toEqual(["2026-11-20T06:40:01.0000000Z"]);
    expect(written).toBe(2);
  },
);

// claim: docs/azure.md: a machine's managed identity gives tokens, which are renewed (simulated metadata service)
test("a managed identity's token is fetched, sent and, when refused, replaced; no message repeats it", async () => {
  let issued = 0;
  const container = new HonestAzure();
  double.answering((request) => {
    if (request.url.startsWith("/metadata/")) {
      issued++;
      return { status: 200, body: JSON.stringify({ access_token: `token-${issued}`, expires_in: "3600" }) };
    }
    return request.headers.authorization === "Bearer token-2"
      ? container.answer(request)
      : refused(401, "InvalidAuthenticationInfo");
  });
  const context = testContext({ clock: systemClock });
  const deps = { ...context, ioTimeoutMs: 1000, readFile: () => new Uint8Array(0) };
  const options = { repoIndex: 2, host: "account.blob.core.windows.net", origin: `http://127.0.0.1:${double.port}` };
  const tokens = new Renewed(
    () => fetchIdentityToken(options, deps),
    ({ token }) => token,
    context.clock,
  );
  await open({ authority: tokenAuthority(renewedBearer(tokens)), keyType: "auto" }).put("f", utf8("x"));
  expect(double.lines().filter((line) => line.startsWith("GET /metadata"))).toEqual(
    Array.from(
      { length: 2 },
      () =>
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Faccount.blob.core.windows.net",
    ),
  );
  expect(double.requests[0]?.headers["metadata"]).toBe("true");
  for (const [body, message] of [
    ["{}", "lacks access_token"],
    ['{"access_token":"secret"}', "lacks expires_in"],
    ["secret", "not a JSON object"],
  ] as const) {
    double.answering(() => ({ status: 200, body }));
    const error = await refusal(fetchIdentityToken(options, deps));
    expect(error).toMatchObject({ kind: "format", repoIndex: 2, message: expect.stringContaining(message) });
    expect(String(error)).not.toContain("secret");
  }
  double.answering(() => ({ status: 400, body: '{"error":"invalid_request"}' }));
  expect(await refusal(fetchIdentityToken(options, deps))).toMatchObject({ kind: "access" });
});
