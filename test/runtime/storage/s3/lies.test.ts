/** The search of test/harness/doubles/lieSearch.ts for the S3 driver. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Secret } from "../../../../runtime/base/secret";
import { S3Storage } from "../../../../runtime/storage/s3/client";
import { findQuirks } from "../../../../runtime/storage/s3/quirks";
import { testContext } from "../../../harness/context";
import { HonestS3 } from "../../../harness/doubles/honestS3";
import { PART_SIZE_BYTES, searchLies } from "../../../harness/doubles/lieSearch";
import { LIES, verbOf } from "../../../harness/doubles/lyingS3";
import { S3Double } from "../../../harness/doubles/s3Double";

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const open = (id: string): S3Storage => {
  const row = findQuirks(id, "");
  if (row === null) throw new Error(`no row ${id}`);
  const options = {
    repoIndex: 1,
    path: "",
    quirks: { ...row, partSizeBytesMin: 1 },
    bucket: "bkt",
    endpoint: `http://127.0.0.1:${double.port}`,
    region: "us-east-1",
    key: new Secret("key"),
    keySecret: new Secret("secret"),
    uriStyle: "path",
    storagePort: 443,
    verifyTls: true,
    partSizeBytes: PART_SIZE_BYTES,
  } as const;
  const { clock, random, signal } = testContext();
  return new S3Storage(options, { clock, random, signal, ioTimeoutMs: 10_000 });
};

// claim: README.md: what an S3 service, or something before it, answers counts only with proof: no false answer makes
//   the driver report what is not so (simulated services)
test.each(["generic", "aws"])("no lie makes an operation report what is not so: %s", async (id) => {
  const storage = open(id);
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
