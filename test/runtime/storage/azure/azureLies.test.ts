/** The search of test/harness/doubles/lieSearch.ts for the driver of Azure Blob Storage. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AZURE_LIES, azureVerbOf, HonestAzure } from "../../../harness/doubles/honestAzure";
import { PART_SIZE_BYTES, searchLies } from "../../../harness/doubles/lieSearch";
import { S3Double } from "../../../harness/doubles/s3Double";
import { openBlobs } from "./support";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

// claim: docs/azure.md: what Azure, or something before it, answers counts only with proof (simulated services)
test("no lie makes an operation report what is not so", async () => {
  const storage = openBlobs(double, { partSizeBytes: PART_SIZE_BYTES });
  const { wrong, ended } = await searchLies({
    double,
    storage,
    newBucket: () => new HonestAzure(),
    lies: AZURE_LIES,
    verbOf: azureVerbOf,
  });
  await storage.close();
  expect(wrong).toEqual([]);
  // Some lies are harmless, most are not.
  expect(ended.badly).toBeGreaterThan(ended.well / 2);
  expect(ended.well).toBeGreaterThan(100);
});
