/** Documented behaviour of Google Cloud Storage, which a double simulates. */
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, utf8 } from "../../../../runtime/base/bytes";
import type { GcsOptions, GcsStorage } from "../../../../runtime/storage/gcs/gcsStorage";
import type { ObjectStorageDeps } from "../../../../runtime/storage/objectStore/objectStorage";
import { wholeUnits } from "../../../../runtime/storage/gcs/gcsUpload";
import { ManualClock, TEST_TIME_MS } from "../../../harness/context";
import { gcsVerbOf, HonestGcs, json, listing, refused, resource, resumeAt } from "../../../harness/doubles/honestGcs";
import { type DoubleAnswer, type DoubleRequest, S3Double } from "../../../harness/doubles/s3Double";
import { openGcs } from "./support";

const PART = 1000;
const LOST: DoubleAnswer = { status: 200, lost: true };
let double: S3Double;
const opened: GcsStorage[] = [];
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
});
const open = (more: Partial<GcsOptions> = {}, deps: Partial<ObjectStorageDeps> = {}): GcsStorage => {
  const storage = openGcs(double, { partSizeBytes: PART, path: "/repo", ...more }, deps);
  opened.push(storage);
  return storage;
};
const refusal = async (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => error);
/** Honest, but for the requests that `lie` answers. */
const mostly = (lie: (request: DoubleRequest, bucket: HonestGcs) => DoubleAnswer | null): HonestGcs => {
  const bucket = new HonestGcs();
  double.answering((request) => lie(request, bucket) ?? bucket.answer(request));
  return bucket;
};
const once = (): (() => boolean) => {
  let isFirst = true;
  return () => {
    const was = isFirst;
    isFirst = false;
    return was;
  };
};
const md5 = (text: Uint8Array | string): string => createHash("md5").update(text).digest("base64");
const rangesOf = (): unknown[] =>
  double.requests.filter(({ method }) => method === "PUT").map(({ headers }) => headers["content-range"]);
/** Different bytes everywhere. */
const LONG = Buffer.from(Array.from({ length: 2 * PART + 1 }, (_, index) => index % 251));
const source = (): ByteStream => streamOf(LONG);

describe("uploads", () => {
  test("a short file is one request with its MD5, a longer one a session whose last part brings that of all", async () => {
    const bucket = mostly(() => null);
    const storage = open({ userProject: "payer" });
    await storage.put("d/f", utf8("x"));
    const [put] = double.requests;
    expect(put).toMatchObject({
      method: "POST",
      url: "/upload/storage/v1/b/backups/o?fields=kind%2Cname%2Csize%2Cgeneration%2CtimeCreated%2Cmd5Hash&name=repo%2Fd%2Ff&uploadType=media&userProject=payer",
      headers: { "content-length": "1", "x-goog-hash": `md5=${md5("x")}`, authorization: "Bearer markerToken" },
    });
    double.requests.length = 0;
    await storage.putStream("d/f", source);
    expect(bucket.objects.get("repo/d/f")?.bytes.equals(LONG)).toBe(true);
    expect(double.requests.map(gcsVerbOf)).toEqual(["POST begin", "PUT part", "PUT part", "PUT part"]);
    expect(rangesOf()).toEqual(["bytes 0-999/*", "bytes 1000-1999/*", "bytes 2000-2000/2001"]);
    expect(double.requests.map(({ headers }) => headers["x-goog-hash"])).toEqual([
      undefined,
      undefined,
      undefined,
      `md5=${md5(LONG)}`,
    ]);
  });

  test("the session continues at this endpoint whatever address the service gives it", async () => {
    mostly(() => null);
    await open().putStream("f", source);
    // The double names another host.
    expect(new Set(double.requests.map(({ url }) => url.split("?")[0]))).toEqual(
      new Set(["/upload/storage/v1/b/backups/o"]),
    );
  });

  // claim: docs/gcs.md: an upload that is cut continues at the byte that the service has (simulated service)
  test("a part that is cut continues at the byte that the service has", async () => {
    const cuts = once();
    const bucket = mostly((request, service) => {
      if (request.headers["content-range"] !== "bytes 1000-1999/*" || !cuts()) return null;
      const headers = { ...request.headers, "content-range": "bytes 1000-1299/*" };
      service.answer({ ...request, headers, body: request.body.subarray(0, 300) });
      return LOST;
    });
    await open().putStream("f", source);
    expect(bucket.objects.get("repo/f")?.bytes.equals(LONG)).toBe(true);
    expect(rangesOf()).toEqual([
      "bytes 0-999/*",
      "bytes 1000-1999/*",
      "bytes */*",
      "bytes 1300-1999/*",
      "bytes 2000-2000/2001",
    ]);
  });

  test("a service that keeps only a part of what it gets is sent the rest", async () => {
    const cuts = once();
    const bucket = mostly((request, service) => {
      if (request.headers["content-range"] !== "bytes 0-999/*" || !cuts()) return null;
      const headers = { ...request.headers, "content-range": "bytes 0-255/*" };
      return service.answer({ ...request, headers, body: request.body.subarray(0, 256) });
    });
    await open().putStream("f", source);
    expect(bucket.objects.get("repo/f")?.bytes.equals(LONG)).toBe(true);
    expect(rangesOf().slice(0, 2)).toEqual(["bytes 0-999/*", "bytes 256-999/*"]);
  });

  test("a last part whose answer was lost is asked for, not sent again", async () => {
    const cuts = once();
    const bucket = mostly((request, service) => {
      if (request.headers["content-range"] !== "bytes 2000-2000/2001" || !cuts()) return null;
      service.answer(request);
      return LOST;
    });
    await open().putStream("f", source);
    expect(bucket.objects.get("repo/f")?.generation).toBe("1");
    expect(rangesOf().slice(-2)).toEqual(["bytes 2000-2000/2001", "bytes */2001"]);
  });

  test("an object whose session ended with it is recognised by its MD5", async () => {
    mostly((request, service) => {
      if (!rangesOf().includes("bytes 2000-2000/2001") || request.method !== "PUT") return null;
      service.answer(request);
      service.sessions.clear();
      return request.headers["content-range"] === "bytes 2000-2000/2001" ? LOST : { status: 410 };
    });
    await open().putStream("f", source);
    expect(double.requests.filter((request) => gcsVerbOf(request) === "POST begin")).toHaveLength(1);
  });

  // claim: docs/gcs.md: an upload that the service has lost begins again
  test("an upload that the service has lost begins again, once", async () => {
    const loses = once();
    const bucket = mostly((request) =>
      request.headers["content-range"] === "bytes 1000-1999/*" && loses() ? { status: 410 } : null,
    );
    await open().putStream("f", source);
    expect(bucket.objects.get("repo/f")?.bytes.equals(LONG)).toBe(true);
    mostly((request) => (request.method === "PUT" ? { status: 404 } : null));
    expect(await refusal(open().putStream("f", source))).toMatchObject({
      kind: "service",
      retryable: true,
      message: "unable to put 'gs://backups/repo/f': the service has lost the upload",
    });
  });

  test("an upload that fails is cancelled, and no message repeats its session", async () => {
    const bucket = mostly((request) => (request.method === "PUT" ? refused(403, "forbidden") : null));
    const error = await refusal(open().putStream("f", source));
    expect(error).toMatchObject({ kind: "access" });
    expect(inspect(error, { depth: 10 })).not.toContain("session-0");
    expect(double.requests.map(gcsVerbOf).at(-1)).toBe("DELETE part");
    expect([bucket.sessions.size, bucket.objects.size]).toEqual([0, 0]);
  });

  test("a service that takes nothing more is given up after a bounded time", async () => {
    mostly((request) => (request.method === "PUT" ? resumeAt(10) : null));
    expect(await refusal(open().putStream("f", source))).toMatchObject({
      kind: "service",
      message: expect.stringContaining("the service has 10 of 1000 bytes"),
    });
  });

  test("a process that slept for an hour repeats no part: another one may have taken over", async () => {
    const clock = new ManualClock(TEST_TIME_MS);
    const sleeps = once();
    const bucket = mostly((request) => {
      if (request.headers["content-range"] !== "bytes 2000-2000/2001") return null;
      if (sleeps()) clock.advance(3_600_000);
      return LOST;
    });
    expect(await refusal(open({}, { clock }).putStream("f", source))).toMatchObject({ kind: "hostConnect" });
    expect(rangesOf()).toEqual(["bytes 0-999/*", "bytes 1000-1999/*", "bytes 2000-2000/2001"]);
    expect(bucket.objects.size).toBe(0);
  });

  test("bytes that were damaged on the way are refused before the object changes, and sent again", async () => {
    const damages = once();
    const bucket = mostly((request, service) =>
      request.method === "POST" && damages() ? service.answer({ ...request, body: Buffer.from("damaged") }) : null,
    );
    await open().put("f", utf8("content"));
    expect(bucket.objects.get("repo/f")).toMatchObject({ bytes: Buffer.from("content"), generation: "1" });
  });

  test("Google's sizes of parts are multiples of 256 KiB", () => {
    const KIB = 1024;
    expect([4096 * KIB, 5_000_000, 1024 * 1024 * KIB - 1].map(wholeUnits)).toEqual([
      4096 * KIB,
      4864 * KIB,
      (1024 * 1024 - 256) * KIB,
    ]);
  });
});

describe("conditional writes", () => {
  // claim: docs/gcs.md: leases use `ifGenerationMatch`
  test("creates no object that exists, and replaces none that has changed", async () => {
    const bucket = mostly(() => null);
    const storage = open();
    expect(await storage.create("f", utf8("a"))).toBe(true);
    expect(await storage.create("f", utf8("b"))).toBe(false);
    const version = (await storage.stat("f"))?.version ?? "";
    expect(await storage.replace("f", utf8("c"), version)).toBe(true);
    expect(await storage.replace("f", utf8("d"), version)).toBe(false);
    expect(bucket.objects.get("repo/f")?.bytes.toString()).toBe("c");
    await storage.remove("f");
    expect(await storage.replace("f", utf8("e"), version)).toBe(false);
    // It would mean that there must be none.
    expect(await storage.replace("f", utf8("e"), "0")).toBe(false);
    expect(bucket.objects.size).toBe(0);
  });

  test("a writer whose first answer was lost knows its own bytes", async () => {
    const loses = once();
    mostly((request, service) => {
      if (request.method !== "POST" || !loses()) return null;
      service.answer(request);
      return LOST;
    });
    expect(await open().create("f", utf8("mine"))).toBe(true);
    const others = once();
    mostly((request, service) => {
      if (request.method !== "POST" || !others()) return null;
      service.put("repo/f", utf8("theirs"));
      return LOST;
    });
    expect(await open().create("f", utf8("mine"))).toBe(false);
  });

  test("a condition counts only if the service names it", async () => {
    double.answering(() => refused(412, "orgPolicyConstraintFailed"));
    expect(await refusal(open().create("f", utf8("x")))).toMatchObject({ kind: "service" });
    double.answering(() => ({ status: 412, body: "<html>" }));
    expect(await refusal(open().replace("f", utf8("x"), "1"))).toMatchObject({ kind: "service" });
  });
});

describe("refusals", () => {
  test("an object is missing if the service says so, or if a listing does not have it", async () => {
    mostly(() => null);
    expect(await refusal(open().read("f"))).toMatchObject({ kind: "fileMissing" });
    expect(await open().stat("f")).toBeNull();
    expect(double.requests).toHaveLength(2);
    const isInfo = (request: DoubleRequest): boolean => ["GET object", "GET info"].includes(gcsVerbOf(request));
    const bucket = mostly((request) => (isInfo(request) ? { status: 404, body: "<html></html>" } : null));
    expect(await refusal(open().read("f"))).toMatchObject({ kind: "fileMissing" });
    expect(await open().stat("f")).toBeNull();
    bucket.put("repo/f", utf8("x"));
    expect(await refusal(open().read("f"))).toMatchObject({ kind: "pathMissing" });
    double.answering(() => refused(404, "notFound", "The specified bucket does not exist."));
    expect(await refusal(open().stat("f"))).toMatchObject({
      kind: "pathMissing",
      message: "unable to get info of 'gs://backups/repo/f': [404] notFound: The specified bucket does not exist.",
      hints: [expect.stringContaining("repo2-gcs-bucket")],
    });
  });

  test.each([
    [403, "forbidden", "x does not have storage.objects.create access.", "access", "The token of repo2-gcs-key"],
    [403, "retentionPolicyNotMet", "Object is subject to a policy", "service", "use object versions, or soft delete"],
    [400, "required", "Bucket is a requester pays bucket but no user project provided.", "service", "user-project"],
    [301, "", "", "service", "Check repo2-gcs-endpoint."],
  ] as const)("%d %s has a hint", async (status, reason, message, kind, hint) => {
    double.answering(() => refused(status, reason, message));
    expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
      kind,
      message: expect.stringContaining(`unable to put 'gs://backups/repo/f': [${status}]`),
      hints: [expect.stringContaining(hint)],
    });
    expect(double.requests).toHaveLength(1);
  });

  // claim: docs/gcs.md: an object is written once a second, and a refusal because of more is repeated
  test.each([
    [429, "rateLimitExceeded"],
    [403, "rateLimitExceeded"],
    [503, "backendError"],
    [409, "conflict"],
  ])("%d %s is retried, and the body is sent again", async (status, reason) => {
    let count = 0;
    const bucket = mostly(() => (count++ < 2 ? refused(status, reason) : null));
    await open().put("f", utf8("content"));
    expect(double.requests.map(({ body }) => body.toString())).toEqual(["content", "content", "content"]);
    expect(bucket.objects.has("repo/f")).toBe(true);
  });

  test("no message repeats a token", async () => {
    double.answering(() => refused(401, "authError", "Invalid Credentials"));
    const error = await refusal(open().put("f", utf8("x")));
    expect(error).toMatchObject({ kind: "access", hints: [expect.stringContaining("may have ended")] });
    expect(inspect(error, { depth: 10 })).not.toContain("markerToken");
  });
});

test("names keep their slashes, spaces and letters", async () => {
  const bucket = mostly(() => null);
  const storage = open();
  const path = "a b/ö+%2F?#/f'(1)";
  await storage.put(path, utf8("x"));
  expect([...bucket.objects.keys()]).toEqual([`repo/${path}`]);
  expect(await storage.stat(path)).toMatchObject({ path, sizeBytes: 1, version: "1" });
  expect(Buffer.from(await collect(await storage.read(path), 10)).toString()).toBe("x");
  expect(double.requests.at(-1)?.url.split("?")[0]).toBe(
    "/storage/v1/b/backups/o/repo%2Fa%20b%2F%C3%B6%2B%252F%3F%23%2Ff%27%281%29",
  );
  await storage.remove(path);
  await storage.remove(path);
  expect(bucket.objects.size).toBe(0);
});

test("a listing continues at its token, and one that repeats itself is no listing", async () => {
  double.answering(({ url }) =>
    url.includes("pageToken=")
      ? listing([resource("repo/d/b")])
      : json({
          kind: "storage#objects",
          nextPageToken: "next & more",
          prefixes: ["repo/d/e/"],
          items: [resource("repo/d/a"), resource("repo/d/")],
        }),
  );
  const names = async (): Promise<string[]> => {
    const result: string[] = [];
    for await (const { path, type } of open().list("d")) result.push(`${type} ${path}`);
    return result;
  };
  expect(await names()).toEqual(["directory d/e", "file d/a", "file d/b"]);
  const query = new URL(double.requests[1]?.url ?? "", "http://a").searchParams;
  expect([query.get("pageToken"), query.get("prefix"), query.get("delimiter")]).toEqual([
    "next & more",
    "repo/d/",
    "/",
  ]);
  double.answering(() => listing([], "again"));
  expect(await refusal(names())).toMatchObject({ kind: "service", message: expect.stringContaining("does not end") });
});

test("a read that breaks off continues at its byte, unless the object has changed", async () => {
  const text = "0123456789";
  const cut: DoubleAnswer = { status: 200, headers: { etag: '"1"' }, body: text, cutAfterBytes: 3 };
  const read = async (): Promise<string> => Buffer.from(await collect(await open().read("f"), 100)).toString();
  const cutting = (): HonestGcs => mostly(() => (double.requests.length === 1 ? cut : null));
  cutting().put("repo/f", utf8(text));
  expect(await read()).toBe(text);
  expect(double.requests[1]?.headers.range).toBe("bytes=3-9");
  const changed = cutting();
  changed.put("repo/f", utf8("another one"));
  changed.put("repo/f", utf8("abcdefghij"));
  expect(await refusal(read())).toMatchObject({ kind: "fileRead", retryable: true });
});

test("a probe finds a service that ignores conditions or tokens of pages", async () => {
  const bucket = new HonestGcs();
  double.answering((request) => {
    const { searchParams } = new URL(request.url, "http://a");
    if (searchParams.has("pageToken")) return listing([]);
    if (searchParams.get("maxResults") === "2") return listing([resource("repo/scratch/page/0")], "more");
    if (searchParams.has("generation"))
      return refused(404, "notFound", "No such object: backups/repo/scratch/version#1");
    return bucket.answer({ ...request, url: request.url.replace(/ifGenerationMatch=[0-9]+/, "") });
  });
  const facts = await open().probe("scratch");
  expect(facts.map(({ name, verdict, text }) => `${name} ${verdict}: ${text}`)).toEqual([
    expect.stringContaining("tls warn: the endpoint is http"),
    expect.stringContaining("clock "),
    "pages fail: 1 of 5 objects are listed in 2 pages of 2",
    "create fail: the service created an object that exists: it does not support ifGenerationMatch",
    "versions warn: the bucket keeps no versions: only soft delete, if it is on, brings back what this key deletes or overwrites",
  ]);
});

// claim: docs/gcs.md: `doctor` says whether versions are kept and the key can delete them (simulated service)
test.each([
  ["a key without the right to", refused(403, "forbidden"), "ok: versions are kept, and this key has no right"],
  [
    "nobody, while it shows its retention,",
    refused(403, "retentionPolicyNotMet"),
    "ok: this key may delete versions, but new ones show a lock until 2099-01-01T00:00:00Z",
    "2099-01-01T00:00:00Z",
  ],
  [
    "nobody, while a hold keeps it,",
    refused(403, "retentionPolicyNotMet"),
    "warn: this key may delete versions: only a rule",
  ],
  ["a writer's key", { status: 204 }, "warn: this key can delete versions, as every key can that may overwrite"],
  ["a request that is not understood", refused(400, "invalid"), "skip: the service answers 400"],
])(
  "a probe says what %s does to a version that is no longer current",
  async (_who, answer, expected, until?: string) => {
    const bucket = new HonestGcs();
    const deleted: (string | null)[] = [];
    double.answering((request) => {
      const generation = new URL(request.url, "http://a").searchParams.get("generation");
      if (generation === null) return bucket.answer(request);
      if (request.method === "GET")
        return json({ ...resource("repo/scratch/version", { generation }), retentionExpirationTime: until });
      const isMissing = request.url.includes("never-written");
      if (isMissing && JSON.stringify(answer).includes("retentionPolicyNotMet")) return refused(404, "notFound");
      deleted.push(generation);
      return answer;
    });
    const fact = (await open().probe("scratch")).find(({ name }) => name === "versions");
    expect(`${fact?.verdict}: ${fact?.text}`).toContain(expected);
    expect(deleted[0]).not.toBe(bucket.objects.get("repo/scratch/version")?.generation);
  },
);
