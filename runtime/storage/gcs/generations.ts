/**
 * Generations of objects as versions. Google has no delete markers: a generation says until when it was the live one
 * ("Object Versioning"). An object that only soft delete keeps is in no such listing.
 */
import type { VersionedService } from "../objectStore/past";
import { completeKeys, type ListedVersion, type VersionPage } from "../objectStore/objectVersions";
import type { GcsObject, ObjectPage } from "./gcsAnswer";

export const GCS_VERSIONS: VersionedService = {
  title: "Google Cloud Storage",
  versioning: "optional",
  unsure: "does not say that it keeps them (asking needs storage.buckets.get, as in roles/storage.legacyBucketReader)",
  readHints: (repoIndex) => [
    `The account of repo${repoIndex}-gcs-key must be allowed to list and get objects (roles/storage.objectViewer).`,
  ],
  // A bucket without versions has a generation of each object too.
  isKept: ({ isLatest }) => !isLatest,
};

/** A generation that ended so shortly before the next one was replaced, not deleted. */
const REPLACED_WITHIN_MS = 1000;

/** Versions of a listing, the newest first. Google lists a key's oldest first. */
export function versionPagesOf(pages: AsyncIterable<ObjectPage>): AsyncIterable<VersionPage> {
  return completeKeys(pages, versionsOf);
}

/** The newest first. */
function versionsOf(generations: readonly GcsObject[]): ListedVersion[] {
  const newestFirst = generations.toSorted((one, two) => (BigInt(one.generation) < BigInt(two.generation) ? 1 : -1));
  return newestFirst.flatMap((object, index) => {
    const { endedAtMs, generation, key, modifiedAtMs, sizeBytes } = object;
    const own = { key, sizeBytes, modifiedAtMs, versionId: generation, isDeleted: false };
    if (endedAtMs === undefined) return [{ ...own, isLatest: true }];
    const follower = newestFirst[index - 1];
    const version = { ...own, isLatest: false };
    if (follower !== undefined && follower.modifiedAtMs - endedAtMs < REPLACED_WITHIN_MS) return [version];
    const deletion = { key, sizeBytes: 0, modifiedAtMs: endedAtMs, versionId: "", isDeleted: true, isLatest: false };
    return [deletion, version];
  });
}
