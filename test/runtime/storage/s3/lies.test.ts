/** The search of test/harness/doubles/lieSearch.ts for the S3 driver. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { HonestS3 } from "../../../harness/doubles/honestS3";
import { PART_SIZE_BYTES, searchLies } from "../../../harness/doubles/lieSearch";
import { LIES, verbOf } from "../../../harness/doubles/lyingS3";
import { S3Double } from "../../../harness/doubles/s3Double";
import { openS3 } from "./support";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

// claim: README.md: what an S3 service, or something before it, answers counts only with proof: no false answer makes
//   the driver report what is not so (simulated services)
test.each(["generic", "aws"])("no lie makes an operation report what is not so: %s", async (id) => {
  const storage = openS3(double, id, { partSizeBytes: PART_SIZE_BYTES });
  const { wrong, ended } = await searchLies({
    double,
    storage,
    newBucket: () => new HonestS3(),
    lies: LIES,
    verbOf,
  });
  await storage.close();
  expect(wrong).toEqual([]);
  // Some lies are harmless, most are not.
  expect(ended.badly).toBeGreaterThan(ended.well / 2);
  expect(ended.well).toBeGreaterThan(100);
});
