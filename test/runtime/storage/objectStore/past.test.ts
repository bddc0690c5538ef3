// claim: docs/security.md: a bucket with versions…
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { collect, compareBytes } from "../../../../runtime/base/bytes";
import { systemClock } from "../../../../runtime/base/clock";
import { Secret } from "../../../../runtime/base/secret";
import { S3Storage } from "../../../../runtime/storage/s3/client";
import type { ListedVersion, VersionPage } from "../../../../runtime/storage/objectStore/objectVersions";
import { chooseVersions, PastStorage } from "../../../../runtime/storage/objectStore/past";
import { findQuirks } from "../../../../runtime/storage/s3/quirks";
import { s3Versions } from "../../../../runtime/storage/s3/s3Versions";
import { testContext } from "../../../harness/context";
import { errorBody, S3Double } from "../../../harness/doubles/s3Double";
import { VersionedModel } from "../../../harness/doubles/versionedModel";
import * as fc from "../../../harness/properties";
import { pathsOf, textOf } from "./pastReads";

const START_MS = Date.UTC(2026, 10, 20);
let double: S3Double;
let model: VersionedModel;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());
beforeEach(() => {
  model = new VersionedModel("bkt");
  double.answering((request) => model.answer(request));
});

async function withPast<T>(
  targetTimeMs: number,
  work: (past: PastStorage) => Promise<T>,
  more: { readonly quirks?: string; readonly path?: string } = {},
): Promise<T> {
  const quirks = findQuirks(more.quirks ?? "generic", "");
  if (quirks === null) throw new Error("no such row");
  const { clock: _, ...deps } = testContext();
  const bucket = new S3Storage(
    {
      repoIndex: 2,
      path: more.path ?? "/repo",
      bucket: "bkt",
      endpoint: `http://127.0.0.1:${double.port}`,
      region: "us-east-1",
      key: new Secret("key"),
      keySecret: new Secret("secret"),
      uriStyle: "path",
      storagePort: 443,
      verifyTls: true,
      quirks,
      partSizeBytes: 5 * 1024 * 1024,
    },
    { ...deps, clock: systemClock, ioTimeoutMs: 10_000 },
  );
  try {
    return await work(
      new PastStorage(bucket, { repoIndex: 2, bucket: "bkt", service: s3Versions(quirks), targetTimeMs }),
    );
  } finally {
    await bucket.close();
  }
}

/** The folders and files that a directory of the model had. */
function childrenOf(files: ReadonlyMap<string, string>, directory: string): string[] {
  const prefix = directory === "" ? "" : `${directory}/`;
  const names = [...files.keys()].flatMap((path) => {
    if (!path.startsWith(prefix)) return [];
    const [name = "", more] = path.slice(prefix.length).split("/");
    return [more === undefined ? path : `${prefix}${name}/`];
  });
  return [...new Set(names)].sort(compareBytes);
}

describe("a bucket in the past is what it was", () => {
  const PATHS = ["a", "b/a", "b/b", "b/c/a", "b0", "c/d/e", "c/d/é", "z"];
  const step = fc.record({
    path: fc.constantFrom(...PATHS),
    isDeleted: fc.boolean(),
    // Many steps within one second.
    pauseMs: fc.constantFrom(0, 0, 300, 1000, 5000),
  });
  test.each([
    ["in one order, as Amazon lists it", true],
    ["with all delete markers before all versions, as versitygw lists it", false],
  ])("%s", async (_name, isMixed) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.nat({ max: 60_000 }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, delayMs, pageSize) => {
          model = new VersionedModel("bkt", { pageSize, isMixed });
          const targetMs = START_MS + delayMs;
          const expected = new Map<string, string>();
          let nowMs = START_MS;
          for (const [index, { path, isDeleted, pauseMs }] of steps.entries()) {
            // Without a common order nothing shows which of two states within a second came later.
            nowMs += isMixed ? pauseMs : pauseMs + 1000;
            model.write(`repo/${path}`, isDeleted ? null : `${index}`, nowMs);
            if (Math.floor(nowMs / 1000) > Math.floor(targetMs / 1000)) continue;
            if (isDeleted) expected.delete(path);
            else expected.set(path, `${index}`);
          }
          model.write("repo2/other", "x", START_MS);
          await withPast(targetMs, async (past) => {
            expect(await pathsOf(past, "", true)).toEqual([...expected.keys()].sort(compareBytes));
            for (const directory of ["", "b", "b/c", "c", "nothing"])
              expect(await pathsOf(past, directory, false), directory).toEqual(childrenOf(expected, directory));
            for (const path of PATHS) {
              const text = expected.get(path);
              expect((await past.stat(path))?.sizeBytes).toBe(text?.length);
              expect(await textOf(past, path).catch((error: { kind: string }) => error.kind)).toBe(
                text ?? "fileMissing",
              );
            }
          });
        },
      ),
      { numRuns: 60 },
    );
  });
});

test("files of one directory are found by one listing, also at the same time", async () => {
  for (const name of ["one", "two", "three"]) model.write(`repo/wal/${name}`, name, START_MS);
  await withPast(START_MS, async (past) => {
    const texts = await Promise.all(["one", "two", "three", "one"].map((name) => textOf(past, `wal/${name}`)));
    expect(texts).toEqual(["one", "two", "three", "one"]);
  });
  expect(double.lines().filter((line) => line.includes("versions="))).toEqual([
    "GET /bkt/?delimiter=%2F&prefix=repo%2Fwal%2F&versions=",
  ]);
  expect(double.lines().filter((line) => line.includes("versionId="))).toHaveLength(4);
});

test("a range of a version", async () => {
  model.write("repo/f", "0123456789", START_MS);
  model.write("repo/f", "overwritten", START_MS + 60_000);
  await withPast(START_MS, async (past) => {
    const part = await collect(await past.read("f", { offsetBytes: 2, sizeBytes: 3 }), 10);
    expect(Buffer.from(part).toString()).toBe("234");
    expect(await collect(await past.read("f", { offsetBytes: 2, sizeBytes: 0 }), 10)).toHaveLength(0);
  });
});

test("nothing can be written", async () => {
  await withPast(START_MS, async (past) => {
    const thrown = expect.objectContaining({ kind: "featureNotSupported", repoIndex: 2 }) as Error;
    await expect(past.put("f")).rejects.toThrow(thrown);
    await expect(past.putStream("f")).rejects.toThrow("the past can only be read (repo-target-time)");
    await expect(past.remove("f")).rejects.toThrow(thrown);
    await expect(past.removePath("f")).rejects.toThrow(thrown);
    await expect(past.link("f")).rejects.toThrow(thrown);
  });
  expect(double.requests).toEqual([]);
});

// claim: docs/security.md: a bucket that keeps…
describe("a bucket that keeps no versions is refused", () => {
  const refused = (quirks?: string): Promise<string> =>
    withPast(START_MS, (past) => textOf(past, "f"), quirks === undefined ? {} : { quirks }).catch(
      (error: { kind: string; message: string; hints: string[] }) => `${error.kind}: ${error.message}`,
    );

  test("by its provider, without a request", async () => {
    await expect(refused("r2")).resolves.toBe(
      "featureNotSupported: repo2 cannot be read as of a time: Cloudflare R2 keeps no versions",
    );
    expect(double.requests).toEqual([]);
  });

  test("by its own answer", async () => {
    model = new VersionedModel("bkt", { versioning: "" });
    model.write("repo/f", "x", START_MS);
    expect(await refused()).toBe(
      "featureNotSupported: repo2 cannot be read as of a time: bucket 'bkt' keeps no versions",
    );
  });

  test("by its objects, if the key may not ask", async () => {
    model = new VersionedModel("bkt", { versioning: null });
    model.write("repo/f", "x", START_MS, "null");
    expect(await refused()).toContain("shows no version of any object, and the key may not ask");
    model.write("repo/g", "x", START_MS);
    expect(await refused()).toBe("x");
  });

  test("unless it has kept them before: a thief may have suspended them", async () => {
    model = new VersionedModel("bkt", { versioning: "Suspended" });
    model.write("repo/f", "x", START_MS);
    expect(await refused()).toBe("x");
  });

  test("and Backblaze B2 is not asked, because it always keeps them", async () => {
    model = new VersionedModel("bkt", { versioning: null });
    model.write("repo/f", "x", START_MS, "null");
    expect(await refused("b2")).toBe("x");
  });
});

test("after a failed listing the next use lists again", async () => {
  model.write("repo/f", "x", START_MS);
  // A refusal of what the key could do before is repeated.
  let failures = 4;
  double.answering((request) =>
    request.url.includes("versions=") && failures-- > 0
      ? { status: 403, body: errorBody("AccessDenied", "no") }
      : model.answer(request),
  );
  await withPast(START_MS, async (past) => {
    await expect(past.stat("f")).rejects.toThrow("unable to list versions of 's3://bkt/repo': [403] AccessDenied: no");
    expect((await past.stat("f"))?.sizeBytes).toBe(1);
  });
});

test("the repository may be the whole bucket", async () => {
  model.write("f", "x", START_MS);
  await withPast(START_MS, async (past) => expect(await pathsOf(past, "", false)).toEqual(["f"]), { path: "/" });
});

describe("pages of versions that do not follow each other", () => {
  const version = (key: string, modifiedAtMs: number, isDeleted = false): ListedVersion => ({
    key,
    sizeBytes: 1,
    modifiedAtMs,
    versionId: String(modifiedAtMs),
    isDeleted,
    isLatest: false,
  });
  const chosen = async (...pages: readonly (readonly ListedVersion[])[]): Promise<readonly string[]> => {
    const all = async function* (): AsyncIterable<VersionPage> {
      for (const [no, versions] of pages.entries())
        yield { versions, folders: [], next: no === pages.length - 1 ? null : { page: String(no) } };
    };
    const names: string[] = [];
    for await (const { objects } of chooseVersions(all(), 10_000))
      names.push(...objects.map(({ key, versionId }) => `${key} ${versionId}`));
    return names;
  };
  const A = [version("a", 9000, true), version("a", 4000)];
  const B = [version("b", 12_000), version("b", 8000), version("b", 1000)];

  test("show each object as it was, where a page comes again whole or in part", async () => {
    expect(await chosen([...A, ...B], [...A, ...B], [version("c", 1000)])).toEqual(["b 8000", "c 1000"]);
    expect(await chosen([...A, ...B, version("c", 1000)], A.slice(1), B.slice(2))).toEqual(["b 8000", "c 1000"]);
  });

  test("are refused in another order: an object may have counted as missing", async () => {
    await expect(chosen([...B, version("c", 1000)], A)).rejects.toMatchObject({ kind: "service", path: "a" });
  });
});
