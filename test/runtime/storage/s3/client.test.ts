/** Documented behaviour of S3 services that no local server shows. A double simulates it. */
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, utf8 } from "../../../../runtime/base/bytes";
import { type Clock, systemClock } from "../../../../runtime/base/clock";
import { Secret } from "../../../../runtime/base/secret";
import { type S3Options, S3Storage } from "../../../../runtime/storage/s3/client";
import { type Credentials, RenewedCredentials } from "../../../../runtime/storage/s3/credentials";
import { findQuirks, type S3Quirks } from "../../../../runtime/storage/s3/quirks";
import { type TestContext, testContext } from "../../../harness/context";
import { content, errorBody, S3Double, stored } from "../../../harness/doubles/s3Double";

const MIB = 1024 * 1024;
const PART = 5 * MIB;
let double: S3Double;
let context: TestContext;
const opened: S3Storage[] = [];
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());
beforeEach(() => {
  context = testContext();
});
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
});

const quirks = (id: string, more: Partial<S3Quirks> = {}): S3Quirks => {
  const row = findQuirks(id, "");
  if (row === null) throw new Error(`no row ${id}`);
  return { ...row, ...more };
};
const open = (more: Partial<S3Options> = {}, deps: { clock?: Clock; ioTimeoutMs?: number } = {}): S3Storage => {
  const options: S3Options = {
    repoIndex: 2,
    path: "/repo",
    bucket: "bkt",
    endpoint: `http://127.0.0.1:${double.port}`,
    region: "us-east-1",
    key: new Secret("key"),
    keySecret: new Secret("secret"),
    uriStyle: "path",
    storagePort: 443,
    verifyTls: true,
    quirks: quirks("generic"),
    partSizeBytes: PART,
    ...more,
  };
  const storage = new S3Storage(options, {
    clock: context.clock,
    random: context.random,
    signal: context.signal,
    ioTimeoutMs: 60_000,
    ...deps,
  });
  opened.push(storage);
  return storage;
};
const refusal = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "it succeeded",
    (error: unknown) => (error instanceof Error ? { ...error, message: error.message } : error),
  );

test.each([
  [
    "http",
    {},
    "warn",
    "the endpoint is http: anyone on the network can read and change the data; use an https endpoint",
  ],
  [
    "http behind a storage host",
    { endpoint: "https://s3.example.com", storageHost: "http://127.0.0.1:1" },
    "warn",
    "the endpoint is http: anyone on the network",
  ],
  ["https", { endpoint: "https://127.0.0.1:1" }, "ok", "the certificate is checked"],
  [
    "https, not checked",
    { endpoint: "https://127.0.0.1:1", verifyTls: false },
    "warn",
    "the certificate is not checked: ",
  ],
] as const)("doctor reports the protection of the connection: %s", async (_name, options, verdict, text) => {
  double.answering(() => ({ status: 403, body: errorBody("AccessDenied", "no") }));
  const [fact] = (await open(options, { ioTimeoutMs: 100 }).probe("scratch")) ?? [];
  expect(fact).toMatchObject({ name: "tls", verdict, text: expect.stringContaining(text) as string });
});

describe("retries", () => {
  test("SlowDown is retried with growing pauses and new signatures, and the body is sent again", async () => {
    double.answering((request, index) =>
      index < 3 ? { status: 503, body: errorBody("SlowDown", "Please reduce your request rate.") } : stored(request),
    );
    await open().put("f", utf8("content"));
    expect(double.lines()).toEqual(Array.from({ length: 4 }, () => "PUT /bkt/repo/f"));
    expect(double.requests.map(({ body }) => body.toString())).toEqual(["content", "content", "content", "content"]);
    const shares = [1 / 320, 1 / 80, 1 / 20].map((share) => share * 60_000);
    expect(context.clock.sleeps).toHaveLength(3);
    for (const [index, share] of shares.entries()) {
      expect(context.clock.sleeps[index]).toBeGreaterThanOrEqual(share * 0.5);
      expect(context.clock.sleeps[index]).toBeLessThan(share * 1.5);
    }
    // The third pause takes more than a second, so the last request has another date.
    expect(double.requests[3]?.headers["x-amz-date"]).not.toBe(double.requests[0]?.headers["x-amz-date"]);
    expect(double.requests[3]?.headers.authorization).not.toBe(double.requests[0]?.headers.authorization);
  });

  test("endless SlowDown is a retryable error of the service", async () => {
    double.answering(() => ({ status: 503, body: errorBody("SlowDown", "Please reduce your request rate.") }));
    expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
      kind: "service",
      exitCode: 101,
      retryable: true,
      repoIndex: 2,
      path: "f",
      message: "unable to put 's3://bkt/repo/f': [503] SlowDown: Please reduce your request rate. (after 6 attempts)",
    });
    expect(double.requests).toHaveLength(6);
    expect(context.clock.sleeps.reduce((sum, pause) => sum + pause, 0)).toBeLessThan(60_000);
  });

  test("keys that have ended are replaced, and the request is sent again", async () => {
    let keys = 0;
    const fetch = async (): Promise<Credentials> => ({ key: new Secret(`key${++keys}`), keySecret: new Secret("s") });
    const ended = { status: 400, body: errorBody("ExpiredToken") };
    double.answering((request) =>
      request.headers.authorization?.includes("=key2/") === true ? stored(request) : ended,
    );
    await open({ credentials: new RenewedCredentials(fetch, context.clock) }).put("f", utf8("x"));
    expect([keys, double.requests.length]).toEqual([2, 2]);
    double.answering(() => ended);
    expect(await refusal(open().put("f", utf8("x")))).toMatchObject({ kind: "access", retryable: false });
    expect(double.requests).toHaveLength(1);
  });

  test("retry-after is honoured within the io-timeout, and a longer pause is named", async () => {
    double.answering((request, index) =>
      index === 0 ? { status: 429, headers: { "retry-after": "17" } } : stored(request),
    );
    await open().put("f", utf8("x"));
    expect(context.clock.sleeps).toEqual([17_000]);
    double.answering(() => ({ status: 429, headers: { "retry-after": "3600" } }));
    expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
      kind: "service",
      retryable: true,
      message: "unable to put 's3://bkt/repo/f': [429] (after 6 attempts)",
      hints: ["The service asks for a pause of 3600 s, more than io-timeout leaves."],
    });
  });

  test.each([
    [400, "RequestTimeout", true],
    [400, "BadDigest", true],
    [409, "OperationAborted", true],
    [408, "", true],
    [500, "InternalError", true],
    [502, "", true],
    [501, "NotImplemented", false],
    [400, "EntityTooLarge", false],
    [412, "PreconditionFailed", false],
    [301, "PermanentRedirect", false],
  ])("%i %s: retried is %s", async (status, code, retried) => {
    double.answering((request, index) =>
      index === 0 ? { status, body: code === "" ? "" : errorBody(code) } : stored(request),
    );
    const result = await refusal(open().put("f", utf8("x")));
    expect(result).toEqual(retried ? "it succeeded" : expect.objectContaining({ kind: "service", retryable: false }));
    expect(double.requests).toHaveLength(retried ? 2 : 1);
  });

  test("a lost connection is retried, an abort while waiting ends it", async () => {
    double.answering((request, index) => (index === 0 ? { status: 0, lost: true } : stored(request)));
    await open().put("f", utf8("x"));
    expect(double.requests).toHaveLength(2);
    double.answering(() => {
      context.abort();
      return { status: 503 };
    });
    expect(await refusal(open().put("f", utf8("x")))).toMatchObject({
      kind: "term",
      message: "terminated while trying to put 's3://bkt/repo/f'",
    });
  });
});

describe("requests", () => {
  test("carry the real hash, no checksum extensions and no chunked encoding", async () => {
    double.answering(stored);
    for (const [id, md5] of [
      ["aws", true],
      ["r2", false],
    ] as const) {
      const storage = open({ quirks: quirks(id), token: new Secret("token") });
      for (const bytes of [utf8("small"), new Uint8Array(2 * MIB).fill(9)]) {
        await storage.putStream("f", () => streamOf(bytes.subarray(0, 3), bytes.subarray(3)));
        const sent = double.requests.at(-1);
        expect(Buffer.compare(sent?.body ?? Buffer.alloc(0), bytes)).toBe(0);
        expect(sent?.headers["x-amz-content-sha256"]).toBe(createHash("sha256").update(bytes).digest("hex"));
        expect(sent?.headers["content-md5"]).toBe(md5 ? createHash("md5").update(bytes).digest("base64") : undefined);
        expect(sent?.headers["content-length"]).toBe(String(bytes.length));
        expect(sent?.headers["x-amz-security-token"]).toBe("token");
        const names = Object.keys(sent?.headers ?? {});
        expect(
          names.filter((name) => /checksum|decoded|trailer|transfer-encoding|^content-encoding|^expect$/.test(name)),
        ).toEqual([]);
      }
    }
  });

  test("ask the service for names with the prefix", async () => {
    double.answering(() => ({
      status: 200,
      body: "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    }));
    for await (const _ of open().list("archive/demo", { namePrefix: "0001" }));
    for await (const _ of open({ path: "/" }).list("", { recursive: true }));
    expect(double.lines()).toEqual([
      "GET /bkt/?delimiter=%2F&list-type=2&prefix=repo%2Farchive%2Fdemo%2F0001",
      "GET /bkt/?list-type=2",
    ]);
  });
});

describe("missing", () => {
  const html = "<html><body><h1>404 page not found</h1></body></html>";

  test("only the service's own answer counts as missing", async () => {
    double.answering(() => ({ status: 404, body: errorBody("NoSuchKey") }));
    expect(await refusal(open().read("f"))).toMatchObject({
      kind: "fileMissing",
      path: "f",
      message: "unable to get 's3://bkt/repo/f': the object does not exist",
    });
    for (const body of [html, "", errorBody("NoSuchUpload")]) {
      double.answering(() => ({ status: 404, body }));
      expect(await refusal(open().read("f"))).toMatchObject({ kind: "service", retryable: false });
    }
  });

  test("a proxy's 404 to HEAD does not count as missing", async () => {
    double.answering(() => ({ status: 404, body: html }));
    expect(await refusal(open().stat("f"))).toMatchObject({
      kind: "service",
      message: "unable to get info of 's3://bkt/repo/f': [404]: the answer is not one of an S3 service",
    });
    double.answering(({ method }) => (method === "HEAD" ? { status: 404 } : { status: 200, body: html }));
    expect(await refusal(open().stat("f"))).toMatchObject({
      kind: "service",
      message: "unable to get info of 's3://bkt/repo/f': the answer is 'html'",
    });
    double.answering(({ method }) =>
      method === "HEAD"
        ? { status: 404 }
        : { status: 200, body: "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" },
    );
    expect(await open().stat("f")).toBeNull();
  });
});

describe("listing", () => {
  const page = (keys: readonly string[], more = "") =>
    `<ListBucketResult>${keys.map((key) => `<Contents><Key>${key}</Key><LastModified>2026-11-20T06:40:59Z</LastModified><Size>1</Size></Contents>`).join("")}${more === "" ? "<IsTruncated>false</IsTruncated>" : more}</ListBucketResult>`;
  const names = async (storage: S3Storage): Promise<string[]> => {
    const result: string[] = [];
    for await (const info of storage.list("d", { recursive: true })) result.push(info.path);
    return result;
  };

  test("continues without a token after the last name", async () => {
    double.answering(({ url }) => ({
      status: 200,
      body: url.includes("start-after=repo%2Fd%2Fb")
        ? page(["repo/d/c"])
        : page(["repo/d/a", "repo/d/b"], "<IsTruncated>true</IsTruncated>"),
    }));
    expect(await names(open())).toEqual(["d/a", "d/b", "d/c"]);
  });

  test("ends when the service repeats a page", async () => {
    double.answering(() => ({
      status: 200,
      body: page(["repo/d/a"], "<IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken>"),
    }));
    expect(await refusal(names(open()))).toMatchObject({
      kind: "service",
      message: "unable to list 's3://bkt/repo/d': the listing does not end",
    });
    expect(double.requests).toHaveLength(2);
  });

  test("leaves out objects that stand for directories", async () => {
    double.answering(() => ({ status: 200, body: page(["repo/d/", "repo/d/a"]) }));
    expect(await names(open())).toEqual(["d/a"]);
  });
});

describe("reading", () => {
  test("does not join two versions of an object", async () => {
    const whole = Buffer.alloc(400_000, 1);
    double.answering((request, index) => {
      const answer = content(request, whole);
      const headers = { ...answer.headers, etag: index === 0 ? '"one"' : '"two"' };
      return { ...answer, headers, ...(index === 0 ? { cutAfterBytes: 200_000 } : {}) };
    });
    expect(
      await refusal(
        open()
          .read("f")
          .then((stream) => collect(stream, MIB)),
      ),
    ).toMatchObject({
      kind: "fileRead",
      retryable: true,
      message: "unable to get 's3://bkt/repo/f': the object changed while it was read",
    });
    expect(double.requests[1]?.headers.range).toBe("bytes=200000-399999");
  });

  test("refuses a whole object where a range was asked for", async () => {
    double.answering(() => content({ headers: {} }, "0123456789"));
    expect(await refusal(open().read("f", { offsetBytes: 2, sizeBytes: 3 }))).toMatchObject({
      kind: "service",
      message: "unable to get 's3://bkt/repo/f': the service ignores ranges",
    });
  });
});

describe("batch deletion", () => {
  const keys = Array.from({ length: 2_100 }, (_, index) => `repo/d/${String(index).padStart(4, "0")}`);
  const listing = `<ListBucketResult>${keys.map((key) => `<Contents><Key>${key}</Key><LastModified>2026-11-20T06:40:59Z</LastModified><Size>1</Size></Contents>`).join("")}<IsTruncated>false</IsTruncated></ListBucketResult>`;

  test("sends a thousand keys each, with MD5, and retries alone what is not named as removed", async () => {
    const failed = ["repo/d/0007", "repo/d/1500"];
    double.answering(({ method, body }) => {
      if (method === "GET") return { status: 200, body: listing };
      if (method === "DELETE") return { status: 204 };
      // The service may also keep silent about a key.
      const removed = keys
        .filter((key) => body.includes(`<Key>${key}</Key>`) && !failed.includes(key))
        .map((key) => `<Deleted><Key>${key}</Key></Deleted>`);
      const error = "<Error><Key>repo/d/0007</Key><Code>InternalError</Code></Error>";
      return { status: 200, body: `<DeleteResult>${removed.join("")}${error}</DeleteResult>` };
    });
    await open().removePath("d");
    const posts = double.requests.filter(({ method }) => method === "POST");
    expect(posts.map(({ url, body }) => [url, body.toString().match(/<Key>/g)?.length])).toEqual([
      ["/bkt/?delete=", 1000],
      ["/bkt/?delete=", 1000],
      ["/bkt/?delete=", 100],
    ]);
    for (const { headers, body } of posts)
      expect(headers["content-md5"]).toBe(createHash("md5").update(body).digest("base64"));
    expect(double.lines().filter((line) => line.startsWith("DELETE"))).toEqual(
      failed.map((key) => `DELETE /bkt/${key}`),
    );
  });

  test("falls back to single deletions without support, and reports remaining keys", async () => {
    const few = listing.replaceAll(/<Contents><Key>repo\/d\/(?!000[0-3]).*?<\/Contents>/g, "");
    for (const id of ["generic", "single"]) {
      double.answering(({ method }) =>
        method === "GET" ? { status: 200, body: few } : method === "POST" ? { status: 501 } : { status: 204 },
      );
      await open(id === "single" ? { quirks: quirks("generic", { batchDelete: false }) } : {}).removePath("d");
      expect(
        double
          .lines()
          .filter((line) => line.startsWith("DELETE"))
          .sort(),
      ).toEqual([0, 1, 2, 3].map((index) => `DELETE /bkt/repo/d/000${index}`));
      expect(double.lines().some((line) => line.startsWith("POST"))).toBe(id === "generic");
    }
    double.answering(({ method, url }) => {
      if (method === "GET") return { status: 200, body: few };
      return method === "POST" || url.endsWith("2")
        ? { status: method === "POST" ? 501 : 403, body: errorBody("AccessDenied") }
        : { status: 204 };
    });
    expect(await refusal(open().removePath("d"))).toMatchObject({
      kind: "access",
      path: "d/0002",
      message: "unable to remove 's3://bkt/repo/d/0002': [403] AccessDenied: said the double (after 4 attempts)",
      hints: [
        "The key of repo2-s3-key must be allowed to list, read, write and delete in bucket 'bkt' below the repository's path.",
      ],
    });
  });
});

describe("multipart", () => {
  async function* source(sizeBytes: number): ByteStream {
    for (let made = 0; made < sizeBytes; made += MIB)
      yield new Uint8Array(Math.min(MIB, sizeBytes - made)).fill(made / MIB);
  }
  const begun = {
    status: 200,
    body: "<InitiateMultipartUploadResult><UploadId>up/1</UploadId></InitiateMultipartUploadResult>",
  };
  const md5 = (bytes: Uint8Array | Buffer): string => createHash("md5").update(bytes).digest("hex");
  const completed = {
    status: 200,
    body: "<CompleteMultipartUploadResult><ETag>&quot;x-3&quot;</ETag></CompleteMultipartUploadResult>",
  };
  const head = (sizeBytes: number, etag = '"x-3"') => ({
    status: 200,
    headers: { etag, "content-length": String(sizeBytes), "last-modified": "Fri, 20 Nov 2026 06:40:59 GMT" },
  });
  const isPart = (url: string): boolean => url.includes("partNumber=");
  const isComplete = (method: string, url: string): boolean => method === "POST" && url.includes("uploadId=");

  test("sends equal parts, the last one shorter, and names them in order", async () => {
    double.answering(({ method, url, body }) => {
      if (method === "HEAD") return head(2 * PART + 7);
      if (isPart(url)) return stored({ body });
      return isComplete(method, url) ? completed : begun;
    });
    await open().putStream("f", () => source(2 * PART + 7));
    const parts = double.requests
      .filter(({ url }) => isPart(url))
      .sort((left, right) => left.url.localeCompare(right.url));
    expect(parts.map(({ url, body }) => [url, body.length])).toEqual([
      ["/bkt/repo/f?partNumber=1&uploadId=up%2F1", PART],
      ["/bkt/repo/f?partNumber=2&uploadId=up%2F1", PART],
      ["/bkt/repo/f?partNumber=3&uploadId=up%2F1", 7],
    ]);
    const list = parts
      .map(({ body }, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>&#34;${md5(body)}&#34;</ETag></Part>`)
      .join("");
    expect(double.requests.at(-2)?.body.toString()).toContain(`>${list}<`);
    // Its ETag is not that of the parts.
    expect(double.lines().at(-1)).toBe("HEAD /bkt/repo/f");
    expect(double.requests[0]).toMatchObject({ method: "POST", url: "/bkt/repo/f?uploads=" });
  });

  test("has at most two parts in flight", async () => {
    let under = 0;
    let most = 0;
    double.answering(({ method, url, body }) => {
      if (method === "HEAD") return head(6 * PART);
      if (!isPart(url)) return isComplete(method, url) ? completed : begun;
      under++;
      most = Math.max(most, under);
      // Long enough for the next part to arrive, even on a busy machine.
      setTimeout(() => under--, 700);
      return { status: 200, headers: { etag: `"${md5(body)}"` }, delayMs: 720 };
    });
    await open().putStream("f", () => source(6 * PART));
    expect(most).toBe(2);
  });

  test("aborts and fails clearly beyond the number of parts", async () => {
    double.answering(({ method, url }) =>
      isPart(url) ? { status: 200, headers: { etag: '"e"' } } : method === "DELETE" ? { status: 204 } : begun,
    );
    expect(
      await refusal(
        open({ quirks: quirks("generic", { partCountMax: 3 }) }).putStream("f", () => source(3 * PART + 1)),
      ),
    ).toMatchObject({
      kind: "fileWrite",
      message: "unable to put 's3://bkt/repo/f': it is larger than 3 parts of 5242880 bytes",
      hints: ["Raise repo2-storage-upload-chunk-size: parts of one upload all have that size."],
    });
    expect(double.lines().at(-1)).toBe("DELETE /bkt/repo/f?uploadId=up%2F1");
  });

  test("a refused part ends the upload, which is aborted", async () => {
    double.answering(({ method, url }) => {
      if (isPart(url))
        return url.includes("partNumber=2")
          ? { status: 403, body: errorBody("AccessDenied") }
          : { status: 200, headers: { etag: '"e"' } };
      return method === "DELETE" ? { status: 204 } : begun;
    });
    expect(await refusal(open().putStream("f", () => source(4 * PART)))).toMatchObject({
      kind: "access",
      message: "unable to put part 2 of 's3://bkt/repo/f': [403] AccessDenied: said the double (after 4 attempts)",
    });
    expect(double.lines().at(-1)).toBe("DELETE /bkt/repo/f?uploadId=up%2F1");
  });

  test("200 with an error inside is a failure, retried if transient", async () => {
    let completes = 0;
    const answer =
      (code: string, times: number) =>
      ({ method, url }: { method: string; url: string }) => {
        if (isPart(url)) return { status: 200, headers: { etag: '"e"' } };
        if (method === "HEAD") return head(2 * PART);
        if (method === "DELETE") return { status: 204 };
        if (!isComplete(method, url)) return begun;
        return ++completes <= times ? { status: 200, body: errorBody(code) } : completed;
      };
    double.answering(answer("InternalError", 1));
    await open().putStream("f", () => source(2 * PART));
    expect(completes).toBe(2);
    completes = 0;
    double.answering(answer("InvalidPart", 99));
    expect(await refusal(open().putStream("f", () => source(2 * PART)))).toMatchObject({
      kind: "service",
      retryable: false,
      message: "unable to complete upload of 's3://bkt/repo/f': [200] InvalidPart: said the double",
    });
    expect(completes).toBe(1);
    double.answering(({ method, url }) =>
      isPart(url)
        ? { status: 200, headers: { etag: '"e"' } }
        : isComplete(method, url)
          ? { status: 200 }
          : method === "DELETE"
            ? { status: 204 }
            : begun,
    );
    expect(await refusal(open().putStream("f", () => source(2 * PART)))).toMatchObject({ kind: "service" });
  });

  test("a completion with a lost answer is recognised by the object only", async () => {
    for (const ours of [true, false]) {
      const digests: string[] = [];
      let completes = 0;
      double.answering(({ method, url, body }) => {
        if (isPart(url)) {
          digests[Number(/partNumber=(\d+)/.exec(url)?.[1]) - 1] = md5(body);
          return { status: 200, headers: { etag: `"${md5(body)}"` } };
        }
        if (isComplete(method, url))
          return ++completes === 1 ? { status: 0, lost: true } : { status: 404, body: errorBody("NoSuchUpload") };
        const etag = `"${ours ? md5(Buffer.from(digests.join(""), "hex")) : md5(utf8("other"))}-${digests.length}"`;
        if (method === "HEAD") return head(2 * PART + 1, etag);
        return method === "DELETE" ? { status: 404, body: errorBody("NoSuchUpload") } : begun;
      });
      expect(await refusal(open().putStream("f", () => source(2 * PART + 1)))).toEqual(
        ours
          ? "it succeeded"
          : expect.objectContaining({ kind: "service", message: expect.stringContaining("[404] NoSuchUpload") }),
      );
    }
  });
});

describe("a multipart upload whose completion lost its answer, where no ETag proves the object", () => {
  const SIZE_BYTES = 2 * PART + 1;

  /** Opaque ETags, as R2's; the first `lost` completions take effect without an answer. */
  function opaque(lost: number): { objects: number[]; begun: () => number } {
    const uploads = new Map<string, number>();
    const ended = new Set<string>();
    const objects: number[] = [];
    let begun = 0;
    double.answering(({ method, url, body }) => {
      const id = new URL(url, "http://bkt").searchParams.get("uploadId");
      const etag = `"opaque-${objects.length}"`;
      if (method === "HEAD") {
        const headers = {
          etag,
          "content-length": String(objects.at(-1)),
          "last-modified": "Fri, 20 Nov 2026 06:40:59 GMT",
        };
        return { status: 200, headers };
      }
      if (id === null) {
        const xml = `<UploadId>up-${++begun}</UploadId>`;
        return { status: 200, body: `<InitiateMultipartUploadResult>${xml}</InitiateMultipartUploadResult>` };
      }
      if (ended.has(id)) return { status: 404, body: errorBody("NoSuchUpload") };
      if (method === "PUT") {
        uploads.set(id, (uploads.get(id) ?? 0) + body.length);
        return { status: 200, headers: { etag: '"opaque"' } };
      }
      ended.add(id);
      if (method === "DELETE") return { status: 204 };
      objects.push(uploads.get(id) ?? 0);
      if (objects.length <= lost) return { status: 0, lost: true };
      const xml = `<ETag>"opaque-${objects.length}"</ETag>`;
      return { status: 200, body: `<CompleteMultipartUploadResult>${xml}</CompleteMultipartUploadResult>` };
    });
    return { objects, begun: () => begun };
  }
  const body = (): ByteStream => streamOf(Buffer.alloc(SIZE_BYTES, "x"));

  test("is begun again", async () => {
    const service = opaque(1);
    let openedTimes = 0;
    await open({ quirks: quirks("r2") }).putStream("f", () => {
      openedTimes++;
      return body();
    });
    expect([openedTimes, service.begun(), service.objects]).toEqual([2, 2, [SIZE_BYTES, SIZE_BYTES]]);
  });

  test("is begun again once only", async () => {
    const service = opaque(9);
    expect(await refusal(open({ quirks: quirks("r2") }).putStream("f", body))).toMatchObject({
      kind: "service",
      retryable: true,
      message: "unable to put 's3://bkt/repo/f': the service has lost the upload",
    });
    expect(service.begun()).toBe(2);
  });
});

test("a slow connection does not count as dead", async () => {
  // Uses real time. The body takes twice the io-timeout, but each chunk arrives in time. It is large because the kernel
  // buffers some megabytes.
  const sizeBytes = 16 * MIB;
  const md5 = createHash("md5").update(new Uint8Array(sizeBytes)).digest("hex");
  const server = createServer((socket) => {
    let seenBytes = 0;
    socket.on("error", () => undefined);
    socket.on("data", (data) => {
      socket.pause();
      setTimeout(() => socket.resume(), 15);
      seenBytes += data.length;
      if (seenBytes >= sizeBytes) socket.end(`HTTP/1.1 200 OK\r\netag: ${md5}\r\ncontent-length: 0\r\n\r\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const storage = open(
    { endpoint: `http://127.0.0.1:${port}`, partSizeBytes: sizeBytes },
    { clock: systemClock, ioTimeoutMs: 2_000 },
  );
  const startedMs = performance.now();
  await storage.putStream("f", () => streamOf(new Uint8Array(sizeBytes)));
  expect(performance.now() - startedMs).toBeGreaterThan(3_000);
  await new Promise((resolve) => server.close(resolve));
});

describe("replacing an unchanged object", () => {
  const GONE = { status: 404, body: errorBody("NoSuchKey") };
  const CHANGED = { status: 412, body: errorBody("PreconditionFailed") };
  const replacing = (): S3Storage => open({ quirks: quirks("aws") });

  test("sends the ETag from stat as If-Match", async () => {
    const headers = { etag: '"v1"', "content-length": "4", "last-modified": "Fri, 20 Nov 2026 06:40:59 GMT" };
    double.answering((request) => (request.method === "HEAD" ? { status: 200, headers } : stored(request)));
    const storage = replacing();
    const version = (await storage.stat("f"))?.version ?? "";
    expect(await storage.replace?.("f", utf8("mine"), version)).toBe(true);
    expect(double.requests[1]?.headers["if-match"]).toBe('"v1"');
    expect(double.requests[1]?.headers.authorization).toContain("if-match");
  });

  test("changes nothing if another process was faster, or the object was removed", async () => {
    for (const answer of [CHANGED, GONE]) {
      double.answering(() => answer);
      expect(await replacing().replace?.("f", utf8("mine"), '"v1"')).toBe(false);
      expect(double.lines()).toEqual(["PUT /bkt/repo/f"]);
    }
  });

  test("detects by the object that an earlier request with a lost answer has replaced it", async () => {
    for (const [there, expected] of [
      ["mine", true],
      ["their", false],
    ] as const) {
      double.answering((request, index) => {
        if (request.method === "GET") return content(request, there);
        return index === 0 ? { status: 200, lost: true } : CHANGED;
      });
      expect(await replacing().replace?.("f", utf8("mine"), '"v1"')).toBe(expected);
    }
  });
});

// claim: README.md: an S3 service that implements conditional uploads as AWS documents them (simulated services)
describe("exclusive creation", () => {
  const creating = (): S3Storage => open({ quirks: quirks("aws") });
  const CONFLICT = { status: 409, body: errorBody("ConditionalRequestConflict") };
  const EXISTS = { status: 412, body: errorBody("PreconditionFailed") };

  test("exists only if the provider is known to honour the condition", () => {
    const ids = ["aws", "r2", "b2", "minio", "versitygw", "generic"];
    expect(ids.filter((id) => open({ quirks: quirks(id) }).create !== undefined)).toEqual(["aws", "r2"]);
  });

  test("sends If-None-Match, and trusts the first answer", async () => {
    const storage = creating();
    double.answering(stored);
    expect(await storage.create?.("f", utf8("mine"))).toBe(true);
    expect(double.requests[0]?.headers["if-none-match"]).toBe("*");
    expect(double.requests[0]?.headers.authorization).toContain("if-none-match");
    double.answering(() => EXISTS);
    expect(await storage.create?.("f", utf8("mine"))).toBe(false);
    expect(double.lines()).toEqual(["PUT /bkt/repo/f"]);
  });

  test("repeats while another upload of the object is running", async () => {
    // The second answer may refer to the first request, so the client reads the object.
    double.answering((request, index) =>
      request.method === "GET" ? content(request, "other") : index === 0 ? CONFLICT : EXISTS,
    );
    expect(await creating().create?.("f", utf8("mine"))).toBe(false);
    expect(double.lines()).toEqual(["PUT /bkt/repo/f", "PUT /bkt/repo/f", "GET /bkt/repo/f"]);
  });

  test("detects by the object that an earlier request with a lost answer has created it", async () => {
    for (const [there, expected] of [
      ["mine", true],
      ["theirs", false],
      ["mine and more", false],
    ] as const) {
      double.answering((request, index) => {
        if (request.method === "GET") return content(request, there);
        return index === 0 ? { status: 200, lost: true } : EXISTS;
      });
      expect(await creating().create?.("f", utf8("mine"))).toBe(expected);
    }
  });

  test("fails on a refusal", async () => {
    double.answering(() => ({ status: 501, body: errorBody("NotImplemented") }));
    expect(await refusal(Promise.resolve(creating().create?.("f", utf8("mine"))))).toMatchObject({
      kind: "service",
      retryable: false,
    });
  });
});

describe("an object without read permission", () => {
  const DENIED = { status: 403, body: errorBody("AccessDenied", "Access Denied") };
  const listed = (keys: readonly string[]): string =>
    `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${keys
      .map(
        (key) =>
          `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2026-11-20T06:40:59.000Z</LastModified></Contents>`,
      )
      .join("")}</ListBucketResult>`;

  test.each([
    ["is missing when the listing does not show it", [], "fileMissing"],
    ["is missing when the listing shows a longer name only", ["repo/f.copy"], "fileMissing"],
    ["is forbidden when the listing shows it", ["repo/f"], "access"],
  ] as const)("%s", async (_title, keys, kind) => {
    double.answering(({ url }) => (url.includes("list-type") ? { status: 200, body: listed(keys) } : DENIED));
    expect(await refusal(open().read("f"))).toMatchObject({ kind, path: "f" });
  });

  test("is forbidden if the listing is forbidden too", async () => {
    double.answering(() => DENIED);
    expect(await refusal(open().read("f"))).toMatchObject({ kind: "access", exitCode: 105 });
  });
});
