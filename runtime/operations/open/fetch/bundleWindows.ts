/**
 * Small files come with their neighbours: a server's start touches hundreds of them, and a request for each would cost
 * its latency each time. A bundle is read in windows; a window is fetched once, and what fails in it is left to a
 * request of its own.
 */
import { toBackupError } from "../../../base/errors";
import { heldBlockFile } from "../../../repository/blockReader";
import { readExtents } from "../../../repository/bundleReader";
import type { Repository } from "../../../repository/repository";
import type { RestoreFileResult, RestoreSource } from "../../restore/restoreFile";
import type { RestoreFileOutcome } from "../../restore/restoreFiles";
import type { FileRequest, Sources } from "../../restore/sources";
import { fetchBlocks } from "./blockFetch";
import { IndexedMap } from "./indexedMap";
import type { Target } from "../upperDirectory";
import { unpackWhole } from "./wholeFetch";

export interface WindowParts {
  readonly sources: Sources;
  repo(key: number): Repository;
  /** Fetches one file by itself. */
  fetchAlone(target: Target, source: RestoreSource): Promise<void>;
}

/** A failure of the destination is this machine's, and no source's. */
export function requestOf({ file, origin }: Target): FileRequest {
  return { file: origin.row, destination: file.localPath };
}

const WINDOW_BYTES = 1024 * 1024;
/** A larger stored file is fetched by itself. */
const MEMBER_BYTES_MAX = 256 * 1024;

export class BundleWindows {
  readonly #parts: WindowParts;
  readonly #members = new Map<string, Target[]>();
  readonly #fetched = new Map<string, Promise<void>>();

  constructor(targets: readonly Target[], parts: WindowParts) {
    this.#parts = parts;
    for (const target of targets) {
      const key = windowOf(target);
      if (key === null) continue;
      const members = this.#members.get(key);
      if (members === undefined) this.#members.set(key, [target]);
      else members.push(target);
    }
  }

  /** Fetches the window of a file, unless that was done. The file itself may still be missing then. */
  async fetchWith(target: Target): Promise<void> {
    const key = windowOf(target);
    if (key === null) return;
    const known = this.#fetched.get(key);
    if (known !== undefined) return known;
    const fetching = this.#fetch(this.#members.get(key) ?? []).catch(() => {});
    this.#fetched.set(key, fetching);
    await fetching;
  }

  async #fetch(members: readonly Target[]): Promise<void> {
    const missing = members.filter(({ origin }) => origin.pages.missingCount > 0);
    const targets = new Map(missing.map((target) => [target.origin.row.name, target]));
    const requests = missing.map(requestOf);
    if (requests.length === 0) return;
    await this.#parts.sources.useAll(
      requests,
      (sourced) => this.#readWindow(sourced, targets),
      (request) => async (source) => {
        const target = targets.get(request.file.name);
        if (target !== undefined) await this.#parts.fetchAlone(target, source);
        return resultOf(source);
      },
    );
  }

  async #readWindow(
    sourced: readonly (FileRequest & { readonly source: RestoreSource })[],
    targets: ReadonlyMap<string, Target>,
  ): Promise<RestoreFileOutcome[]> {
    const outcomes = new Map<string, RestoreFileOutcome>();
    const byPath = new Map<string, { readonly name: string; readonly source: RestoreSource }[]>();
    for (const { file, source } of sourced) {
      const known = byPath.get(source.path) ?? [];
      byPath.set(source.path, [...known, { name: file.name, source }]);
    }
    for (const [path, files] of byPath) {
      const extents = files.map(({ name, source }) => ({
        name,
        source,
        offsetBytes: source.range?.offsetBytes ?? 0,
        sizeBytes: source.sizeRepoBytes,
      }));
      const [first] = extents;
      if (first === undefined) continue;
      const repo = this.#parts.repo(first.source.repoIndex);
      try {
        for await (const { bytes, extent } of readExtents(repo.storage, path, extents))
          outcomes.set(extent.name, await keep(repo, targets.get(extent.name) as Target, extent.source, bytes));
      } catch (error) {
        const failure = toBackupError(error);
        for (const { name } of extents) if (!outcomes.has(name)) outcomes.set(name, { ok: false, error: failure });
      }
    }
    return sourced.map(({ file }) => outcomes.get(file.name) as RestoreFileOutcome);
  }
}

/** Null for a file that no window holds. */
function windowOf({ origin: { row } }: Target): string | null {
  const { bundle, reference, sizeRepoBytes } = row;
  if (bundle === undefined || sizeRepoBytes > MEMBER_BYTES_MAX) return null;
  return `${reference ?? ""} ${bundle.id} ${Math.floor(bundle.offsetBytes / WINDOW_BYTES)}`;
}

async function keep(
  repo: Repository,
  { file, origin }: Target,
  source: RestoreSource,
  stored: Uint8Array,
): Promise<RestoreFileOutcome> {
  try {
    const { block } = source;
    if (block === undefined) file.fill(origin, 0, await unpackWhole(repo, source, origin.row, stored));
    else {
      const map = new IndexedMap(heldBlockFile(block, stored), block, origin.row.sizeBytes);
      await fetchBlocks(repo, block, map, { file, origin, runs: origin.pages.allMissing() });
    }
    return { ok: true, value: resultOf(source) };
  } catch (error) {
    return { ok: false, error: toBackupError(error) };
  }
}

function resultOf({ repoIndex }: RestoreSource): RestoreFileResult {
  return { repoIndex, kept: false, warnings: [] };
}
