/** The driver of Azure Blob Storage on a double. */
import { Secret } from "../../../../runtime/base/secret";
import { sharedKeyAuthority } from "../../../../runtime/storage/azure/azureKey";
import type { ObjectStorageDeps } from "../../../../runtime/storage/objectStore/objectStorage";
import { type BlobOptions, BlobStorage } from "../../../../runtime/storage/azure/blobStorage";
import { testContext } from "../../../harness/context";
import type { S3Double } from "../../../harness/doubles/s3Double";

/** `YWNjb3VudCBrZXk=` is the account's key. */
export function openBlobs(
  double: S3Double,
  more: Partial<BlobOptions> = {},
  deps: Partial<ObjectStorageDeps> = {},
): BlobStorage {
  const options: BlobOptions = {
    repoIndex: 2,
    account: "account",
    container: "backups",
    endpoint: `http://127.0.0.1:${double.port}`,
    uriStyle: "path",
    storagePort: 443,
    authority: sharedKeyAuthority("account", new Secret("YWNjb3VudCBrZXk=")),
    keyType: "shared",
    path: "",
    partSizeBytes: 4 * 1024 * 1024,
    verifyTls: true,
    ...more,
  };
  const { clock, random, signal } = testContext();
  return new BlobStorage(options, { clock, random, signal, ioTimeoutMs: 10_000, ...deps });
}
