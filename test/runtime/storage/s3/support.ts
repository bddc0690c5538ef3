/** The driver of S3 on a double. */
import { Secret } from "../../../../runtime/base/secret";
import type { ObjectStorageDeps } from "../../../../runtime/storage/objectStore/objectStorage";
import { type S3Options, S3Storage } from "../../../../runtime/storage/s3/client";
import { findQuirks } from "../../../../runtime/storage/s3/quirks";
import { testContext } from "../../../harness/context";
import type { S3Double } from "../../../harness/doubles/s3Double";

/** `id` of its quirks; parts may have any size. */
export function openS3(
  double: S3Double,
  id: string,
  more: Partial<S3Options> = {},
  deps: Partial<ObjectStorageDeps> = {},
): S3Storage {
  const row = findQuirks(id, "");
  if (row === null) throw new Error(`no row ${id}`);
  const options: S3Options = {
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
    partSizeBytes: 4 * 1024 * 1024,
    ...more,
  };
  const { clock, random, signal } = testContext();
  return new S3Storage(options, { clock, random, signal, ioTimeoutMs: 10_000, ...deps });
}
