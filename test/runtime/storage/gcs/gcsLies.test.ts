/** The search of test/harness/doubles/lieSearch.ts for the driver of Google Cloud Storage. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { GCS_LIES, gcsVerbOf, HonestGcs } from "../../../harness/doubles/honestGcs";
import { PART_SIZE_BYTES, searchLies } from "../../../harness/doubles/lieSearch";
import { S3Double } from "../../../harness/doubles/s3Double";
import { openGcs } from "./support";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

// claim: docs/gcs.md: what Google, or something before it, answers counts only with proof (simulated services)
test("no lie makes an operation report what is not so", async () => {
  const storage = openGcs(double, { partSizeBytes: PART_SIZE_BYTES });
  const { wrong, ended } = await searchLies({
    double,
    storage,
    newBucket: () => new HonestGcs(),
    lies: GCS_LIES,
    verbOf: gcsVerbOf,
  });
  await storage.close();
  expect(wrong).toEqual([]);
  // Some lies are harmless, most are not.
  expect(ended.badly).toBeGreaterThan(ended.well / 2);
  expect(ended.well).toBeGreaterThan(100);
});
