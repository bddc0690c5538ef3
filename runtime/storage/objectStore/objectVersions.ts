/** Versions of objects, as listings show them. */
import type { ObjectInfo } from "../storage";
import type { KeyPrefix, ListedKey, ListedPage } from "./keyPrefix";
import { headerOf, type StoreAnswer } from "./storeHttp";

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

/**
 * Pages whose keys are complete, for services that list a key's states the oldest first, also across pages.
 * `versionsOf` gets all states of one key, and returns its versions, the newest first.
 */
export async function* completeKeys<O extends ListedKey>(
  pages: AsyncIterable<ListedPage & { readonly objects: readonly O[] }>,
  versionsOf: (states: readonly O[]) => readonly ListedVersion[],
): AsyncIterable<VersionPage> {
  /** The states of the last key so far, which may continue on the next page. */
  let held: readonly O[] = [];
  for await (const { folders, next, objects } of pages) {
    const byKey = new Map<string, O[]>();
    for (const object of [...held, ...objects]) byKey.set(object.key, [...(byKey.get(object.key) ?? []), object]);
    const keys = [...byKey.keys()];
    const last = next === null ? undefined : keys.at(-1);
    held = last === undefined ? [] : (byKey.get(last) ?? []);
    const versions = keys.filter((key) => key !== last).flatMap((key) => versionsOf(byKey.get(key) ?? []));
    yield { versions, folders, next };
  }
}

/** The lock that an answer about an object shows in this header. */
export function lockOf(answer: Pick<StoreAnswer, "headers">, header: string): Pick<ObjectInfo, "lockedUntilMs"> {
  const lockedUntilMs = Date.parse(headerOf(answer, header) ?? "");
  return Number.isNaN(lockedUntilMs) ? {} : { lockedUntilMs };
}

/** The unit in which versions are compared with a target time, as in stock. */
export function secondOf({ modifiedAtMs }: Pick<ListedKey, "modifiedAtMs">): number {
  return Math.floor(modifiedAtMs / 1000);
}
