/** A bucket of Google Cloud Storage in the past, on a double. */
// claim: docs/security.md: a bucket with versions…
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compareBytes } from "../../../../runtime/base/bytes";
import { GCS_VERSIONS } from "../../../../runtime/storage/gcs/generations";
import { PastStorage } from "../../../../runtime/storage/objectStore/past";
import type { Storage } from "../../../../runtime/storage/storage";
import { HonestGcs, type HonestGcsOptions, refused } from "../../../harness/doubles/honestGcs";
import { S3Double } from "../../../harness/doubles/s3Double";
import * as fc from "../../../harness/properties";
import { openGcs } from "./support";
import { pathsOf, textOf } from "../objectStore/pastReads";

const START_MS = Date.UTC(2026, 10, 20);
let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const serving = (options: HonestGcsOptions = {}): HonestGcs => {
  const bucket = new HonestGcs(options);
  double.answering((request) => bucket.answer(request));
  return bucket;
};
const withPast = async <T>(targetTimeMs: number, work: (past: Storage) => Promise<T>): Promise<T> => {
  const storage = openGcs(double, { path: "/repo" });
  try {
    return await work(
      new PastStorage(storage, { repoIndex: 2, bucket: "backups", service: GCS_VERSIONS, targetTimeMs }),
    );
  } finally {
    await storage.close();
  }
};

test("a bucket in the past is what it was, whatever was written, deleted and written again", async () => {
  const PATHS = ["a", "b/a", "b/b", "b/c/a", "b0", "c/é", "z"];
  const step = fc.record({
    path: fc.constantFrom(...PATHS),
    isDeleted: fc.boolean(),
    pauseMs: fc.constantFrom(0, 300, 1000, 5000),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.nat({ max: 60_000 }),
      fc.integer({ min: 1, max: 7 }),
      async (steps, delayMs, pageSize) => {
        const bucket = serving({ pageSize });
        const targetMs = START_MS + delayMs;
        const expected = new Map<string, string>();
        let nowMs = START_MS;
        for (const [index, { path, isDeleted, pauseMs }] of steps.entries()) {
          // Within a second nothing shows whether an object was deleted and written again, or replaced.
          nowMs += pauseMs + 1000;
          if (isDeleted) bucket.remove(`repo/${path}`, nowMs);
          else bucket.put(`repo/${path}`, Buffer.from(`${index}`), nowMs);
          if (Math.floor(nowMs / 1000) > Math.floor(targetMs / 1000)) continue;
          if (isDeleted) expected.delete(path);
          else expected.set(path, `${index}`);
        }
        bucket.put("repo2/other", Buffer.from("x"), START_MS);
        await withPast(targetMs, async (past) => {
          expect(await pathsOf(past, "", true)).toEqual([...expected.keys()].sort(compareBytes));
          expect(await pathsOf(past, "b", false)).toEqual(
            [...["b/a", "b/b"].filter((path) => expected.has(path)), ...(expected.has("b/c/a") ? ["b/c/"] : [])].sort(
              compareBytes,
            ),
          );
          for (const path of PATHS) {
            const text = expected.get(path);
            expect((await past.stat(path))?.sizeBytes).toBe(text?.length);
            expect(await textOf(past, path).catch((error: { kind: string }) => error.kind)).toBe(text ?? "fileMissing");
          }
        });
      },
    ),
    { numRuns: 60 },
  );
});

test("a generation that was replaced in the second before is followed by no gap", async () => {
  const bucket = serving();
  bucket.put("repo/f", Buffer.from("old"), START_MS);
  bucket.remove("repo/f", START_MS + 1990);
  bucket.put("repo/f", Buffer.from("new"), START_MS + 2010);
  expect(await withPast(START_MS + 1999, (past) => textOf(past, "f"))).toBe("old");
  expect(await withPast(START_MS + 2000, (past) => textOf(past, "f"))).toBe("new");
});

// claim: docs/gcs.md: `repo-target-time` needs a bucket that keeps versions, and says so (simulated service)
describe("without versions the past is refused", () => {
  test.each([
    ["a bucket that says it keeps versions is read", true, []],
    ["one that does not is refused", false, ["does not say that it keeps them (asking needs storage.buckets.get"]],
    ["one that may not be asked is refused", null, ["does not say that it keeps them (asking needs"]],
  ])("%s", async (_name, versioning, [text]) => {
    serving({ versioning }).put("repo/f", Buffer.from("x"), START_MS);
    const read = withPast(START_MS, (past) => textOf(past, "f"));
    if (text === undefined) expect(await read).toBe("x");
    else
      await expect(read).rejects.toMatchObject({
        kind: "featureNotSupported",
        message: expect.stringContaining(text),
      });
  });

  test("an old generation shows that they are kept", async () => {
    const bucket = serving({ versioning: null });
    bucket.put("repo/f", Buffer.from("old"), START_MS);
    bucket.put("repo/f", Buffer.from("new"), START_MS + 60_000);
    expect(await withPast(START_MS, (past) => textOf(past, "f"))).toBe("old");
  });

  test("a key that may not list versions has a hint", async () => {
    const bucket = new HonestGcs();
    double.answering((request) =>
      request.url.includes("versions=true") ? refused(403, "forbidden") : bucket.answer(request),
    );
    await expect(withPast(START_MS, (past) => past.stat("f"))).rejects.toMatchObject({
      kind: "access",
      hints: [expect.stringContaining("roles/storage.objectViewer")],
    });
  });
});
