/** The driver of Google Cloud Storage on a double. */
import { Secret } from "../../../../runtime/base/secret";
import { type GcsOptions, GcsStorage } from "../../../../runtime/storage/gcs/gcsStorage";
import type { ObjectStorageDeps } from "../../../../runtime/storage/objectStore/objectStorage";
import { fixedBearer } from "../../../../runtime/storage/objectStore/accessToken";
import { testContext } from "../../../harness/context";
import type { S3Double } from "../../../harness/doubles/s3Double";

export function openGcs(
  double: S3Double,
  more: Partial<GcsOptions> = {},
  deps: Partial<ObjectStorageDeps> = {},
): GcsStorage {
  const options: GcsOptions = {
    repoIndex: 2,
    bucket: "backups",
    endpoint: `http://127.0.0.1:${double.port}`,
    bearer: fixedBearer(new Secret("markerToken")),
    keyType: "token",
    path: "",
    partSizeBytes: 4 * 1024 * 1024,
    verifyTls: true,
    ...more,
  };
  const { clock, random, signal } = testContext();
  return new GcsStorage(options, { clock, random, signal, ioTimeoutMs: 10_000, ...deps });
}
