/** A container of Azure Blob Storage in the past, on a double with versions. */
// claim: docs/azure.md: `repo-target-time` reads a container with versions as it was (simulated service)
import { afterAll, beforeAll, expect, test } from "vitest";
import { compareBytes } from "../../../../runtime/base/bytes";
import { AZURE_VERSIONS } from "../../../../runtime/storage/azure/blobVersions";
import { PastStorage } from "../../../../runtime/storage/objectStore/past";
import type { Storage } from "../../../../runtime/storage/storage";
import { refused } from "../../../harness/doubles/honestAzure";
import { S3Double } from "../../../harness/doubles/s3Double";
import { type AccountOptions, VersionedAzure } from "../../../harness/doubles/versionedAzure";
import * as fc from "../../../harness/properties";
import { pathsOf, textOf } from "../objectStore/pastReads";
import { openBlobs } from "./support";

const START_MS = Date.UTC(2026, 10, 20);
let double: S3Double;
let nowMs = START_MS;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const serving = (options: Partial<AccountOptions> = {}): VersionedAzure => {
  nowMs = START_MS;
  const account = new VersionedAzure({ rights: "rl", nowMs: () => nowMs, ...options });
  double.answering((request) => account.answer(request));
  return account;
};
const withPast = async <T>(targetTimeMs: number, work: (past: Storage) => Promise<T>): Promise<T> => {
  const storage = openBlobs(double, { path: "/repo" });
  try {
    return await work(
      new PastStorage(storage, { repoIndex: 2, bucket: "backups", service: AZURE_VERSIONS, targetTimeMs }),
    );
  } finally {
    await storage.close();
  }
};

test("a container in the past is what it was, and also shows what was deleted before", async () => {
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
        const account = serving({ pageSize });
        const targetMs = START_MS + delayMs;
        const expected = new Map<string, string>();
        for (const [index, { path, isDeleted, pauseMs }] of steps.entries()) {
          nowMs += pauseMs;
          if (isDeleted) {
            account.remove(`repo/${path}`);
            continue;
          }
          account.put(`repo/${path}`, Buffer.from(`${index}`));
          if (Math.floor(nowMs / 1000) <= Math.floor(targetMs / 1000)) expected.set(path, `${index}`);
        }
        account.put("repo2/other", Buffer.from("x"));
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

test("a container without versions is refused, because it would look as if nothing had changed", async () => {
  serving({ versioning: false }).put("repo/f", Buffer.from("x"));
  await expect(withPast(START_MS, (past) => textOf(past, "f"))).rejects.toMatchObject({
    kind: "featureNotSupported",
    message: expect.stringContaining("an account that keeps them shows one of each blob"),
  });
});

test("a key that may not list has a hint", async () => {
  double.answering(() => refused(403, "AuthorizationPermissionMismatch"));
  await expect(withPast(START_MS, (past) => past.stat("f"))).rejects.toMatchObject({
    kind: "access",
    hints: [expect.stringContaining("the rights r and l")],
  });
});
