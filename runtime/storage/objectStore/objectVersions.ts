/** Versions of objects, as listings show them. */
import type { KeyPrefix, ListedKey } from "./keyPrefix";

/** One state of an object, also "deleted". */
export interface ListedVersion extends ListedKey {
  /** `null`, as text, for an object from before an S3 bucket kept versions. */
  readonly versionId: string;
  readonly isDeleted: boolean;
  readonly isLatest: boolean;
}

export interface VersionPage {
  /** Versions by key, the newest first. */
  readonly versions: readonly ListedVersion[];
  /** Each ends in `/`. */
  readonly folders: readonly string[];
  /** Parameters of the request for the next page; null on the last. */
  readonly next: Readonly<Record<string, string>> | null;
}

/** Pages with paths in place of keys. */
export async function* pathPages(
  keys: Pick<KeyPrefix, "pathOf">,
  pages: AsyncIterable<VersionPage>,
): AsyncIterable<VersionPage> {
  for await (const { folders, next, versions } of pages) {
    yield {
      versions: versions.map((version) => ({ ...version, key: keys.pathOf(version.key) })),
      folders: folders.map((folder) => keys.pathOf(folder)),
      next,
    };
  }
}

/** The unit in which versions are compared with a target time, as in stock. */
export function secondOf({ modifiedAtMs }: Pick<ListedKey, "modifiedAtMs">): number {
  return Math.floor(modifiedAtMs / 1000);
}
