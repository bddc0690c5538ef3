/** What S3 services say about versions. */
import type { VersionedService } from "../objectStore/past";
import type { S3Quirks } from "./quirks";

/** Version of an object that was written while the bucket kept none (Amazon S3, "Working with objects …"). */
const NO_VERSION = "null";

export function s3Versions({ title, versioning }: Pick<S3Quirks, "title" | "versioning">): VersionedService {
  return {
    title,
    versioning,
    unsure: "the key may not ask whether it keeps them (s3:GetBucketVersioning)",
    readHints: (repoIndex) => [
      "The key must be allowed to list and read old versions (at Amazon s3:ListBucketVersions and s3:GetObjectVersion).",
      `The reader's and the recovery key of the components are; give one as repo${repoIndex}-s3-key and repo${repoIndex}-s3-key-secret, also in the environment.`,
    ],
    isKept: ({ versionId }) => versionId !== NO_VERSION,
  };
}
