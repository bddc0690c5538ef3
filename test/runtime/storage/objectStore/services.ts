/** Each object store as its driver and a double that keeps the service's promises. */
import type { ObjectStorageDeps } from "../../../../runtime/storage/objectStore/objectStorage";
import type { Storage } from "../../../../runtime/storage/storage";
import { HonestAzure } from "../../../harness/doubles/honestAzure";
import { HonestGcs } from "../../../harness/doubles/honestGcs";
import { HonestS3 } from "../../../harness/doubles/honestS3";
import type { DoubleAnswer, DoubleRequest, S3Double } from "../../../harness/doubles/s3Double";
import { openBlobs } from "../azure/support";
import { openGcs } from "../gcs/support";
import { openS3 } from "../s3/support";

export interface Service {
  readonly answer: (request: DoubleRequest) => DoubleAnswer;
  readonly open: (double: S3Double, partSizeBytes: number, deps: Partial<ObjectStorageDeps>) => Storage;
}

export const SERVICES: Readonly<Record<string, () => Service>> = {
  S3: () => {
    const bucket = new HonestS3();
    return {
      answer: (request) => bucket.answer(request),
      open: (double, partSizeBytes, deps) => openS3(double, "generic", { partSizeBytes }, deps),
    };
  },
  Azure: () => {
    const container = new HonestAzure();
    return {
      answer: (request) => container.answer(request),
      open: (double, partSizeBytes, deps) => openBlobs(double, { partSizeBytes }, deps),
    };
  },
  Google: () => {
    const bucket = new HonestGcs();
    return {
      answer: (request) => bucket.answer(request),
      open: (double, partSizeBytes, deps) => openGcs(double, { partSizeBytes }, deps),
    };
  },
};
