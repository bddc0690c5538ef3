/**
 * Versions of blobs ("Blob versioning"). Azure has neither delete markers nor the time of a deletion: a blob that was
 * deleted before the target time shows as it was last, as in stock (pgBackRest 2.60 "storage/azure").
 */
import type { VersionedService } from "../objectStore/past";
import { completeKeys, type ListedVersion, type VersionPage } from "../objectStore/objectVersions";
import type { BlobPage, ListedBlob } from "./azureAnswer";

export const AZURE_VERSIONS: VersionedService = {
  title: "Azure Blob Storage",
  versioning: "optional",
  unsure: "an account that keeps them shows one of each blob",
  readHints: (repoIndex) => [
    `The key of repo${repoIndex}-azure-key must be allowed to list and read blobs (a signature needs the rights r and l).`,
  ],
  isKept: ({ versionId }) => versionId !== "",
};

/** Versions of a listing, the newest first. Azure lists a blob's oldest first, and its ids have no other order. */
export function blobVersionPages(pages: AsyncIterable<BlobPage>): AsyncIterable<VersionPage> {
  return completeKeys(pages, (states) => states.map(versionOf).reverse());
}

function versionOf({ isCurrent, key, modifiedAtMs, sizeBytes, versionId }: ListedBlob): ListedVersion {
  return { key, sizeBytes, modifiedAtMs, versionId, isDeleted: false, isLatest: isCurrent };
}
