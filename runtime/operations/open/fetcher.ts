/**
 * Fetches missing pages of the mounted directory from the repositories, verified, once however many ask.
 *
 * - A file in blocks: the super blocks with the wanted pages.
 * - A small file: itself, with its neighbours in the bundle.
 * - A large file that is stored whole: from its start; each reader goes on when its page has passed.
 *
 * A source that fails is replaced by the next repository, as in a restore. A failure is not remembered: the next reader
 * asks again.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import type { ManifestFile } from "../../format/repository/manifest";
import { openBlockFile } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";
import type { RestoreSource } from "../restore/restoreFile";
import type { FileRequest, Sources } from "../restore/sources";
import { fetchBlocks, type IndexedMap, indexMap, pagesAlong } from "./blockFetch";
import { BundleWindows } from "./bundleWindows";
import type { Fetch } from "./openFiles";
import type { PageRun } from "./pageSet";
import type { Origin, StoredFile } from "./storedFile";
import type { Target } from "./upperDirectory";
import { loadWhole, type PageFacts, streamWhole, WHOLE_BYTES_MAX } from "./wholeFetch";

export interface FetcherParts {
  readonly sources: Sources;
  repo(key: number): Repository;
  readonly pages: PageFacts;
  /** Directory for files that wait for their checksum. */
  readonly spoolPath: string;
}

/** A file in blocks with at most this size comes whole. */
const SMALL_BYTES_MAX = 1024 * 1024;
/** Fetched before a sequential reader asks, in pages. */
const AHEAD_PAGES = 512;
/** The reader is sequential if it goes on near where it was. */
const NEAR_PAGES = 64;

interface Flight {
  readonly run: PageRun;
  readonly done: Promise<void>;
}

/** What is known about a file that is being read. */
interface FileState {
  /** Pages under way. */
  flights: Flight[];
  /** Resolves when a stream has passed more pages. */
  passing: { readonly done: Promise<void>; more: Promise<void> } | null;
  /** Last page that a reader was at. */
  lastPage: number;
}

export class Fetcher implements Fetch {
  readonly #parts: FetcherParts;
  readonly #ctx: Context;
  readonly #windows: BundleWindows;
  readonly #states = new Map<number, FileState>();
  /** The key is repository and file. */
  readonly #maps = new Map<string, Promise<IndexedMap>>();

  constructor(parts: FetcherParts, targets: readonly Target[], ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
    this.#windows = new BundleWindows(targets, {
      ...parts,
      fetchAlone: (target, source) => this.#fetchFrom(target, allOf(target), source),
    });
  }

  async pages(file: StoredFile, origin: Origin, runs: readonly PageRun[]): Promise<void> {
    const target = { file, origin };
    if (isSmall(origin.row)) await this.#windows.fetchWith(target);
    const missing = runs.flatMap(([first, last]) => origin.pages.missingRuns(first, last));
    if (missing.length === 0) return;
    if (isStreamed(origin.row)) return this.#stream(target, missing);
    await this.#fetchOnce(target, missing);
  }

  readTo(file: StoredFile, origin: Origin, page: number): void {
    const state = this.#stateOf(origin);
    const isSequential = page >= state.lastPage && page - state.lastPage <= NEAR_PAGES && state.lastPage > 0;
    state.lastPage = page;
    if (!isSequential || origin.row.block === undefined || isSmall(origin.row)) return;
    const ahead = origin.pages.missingRuns(page + 1, page + AHEAD_PAGES);
    // The next reader reports what fails.
    if (ahead.length > 0) this.#fetchOnce({ file, origin }, ahead).catch(() => {});
  }

  /** Everything that a server reads at its start, while it starts. Failures are left to the readers. */
  async prefetch(targets: readonly Target[]): Promise<void> {
    let next = 0;
    const work = async (): Promise<void> => {
      for (let target = targets[next++]; target !== undefined; target = targets[next++]) {
        if (this.#ctx.signal.aborted) return;
        await this.pages(target.file, target.origin, allOf(target)).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: PREFETCHES_AT_ONCE }, work));
  }

  #stateOf({ index }: Origin): FileState {
    const known = this.#states.get(index);
    if (known !== undefined) return known;
    const made: FileState = { flights: [], passing: null, lastPage: 0 };
    this.#states.set(index, made);
    return made;
  }

  /** Waits for what is under way, and fetches the rest. */
  async #fetchOnce(target: Target, runs: readonly PageRun[]): Promise<void> {
    const state = this.#stateOf(target.origin);
    const isInFlight = (page: number): boolean => state.flights.some(({ run }) => run[0] <= page && page <= run[1]);
    const waiting = state.flights.filter(({ run }) => runs.some(([first, last]) => run[0] <= last && first <= run[1]));
    const own = runs.flatMap((run) => splitBy(run, isInFlight));
    if (own.length > 0) {
      const done = this.#fetch(target, own);
      const flights = own.map((run): Flight => ({ run, done }));
      state.flights = [...state.flights, ...flights];
      const land = (): void => {
        state.flights = state.flights.filter((flight) => !flights.includes(flight));
      };
      done.then(land, land);
      await done;
    }
    // Of another reader: its failure is its own, and we look again.
    await Promise.all(waiting.map(({ done }) => done.catch(() => {})));
  }

  #fetch(target: Target, runs: readonly PageRun[]): Promise<void> {
    return this.#parts.sources.use(requestOf(target), (source) => this.#fetchFrom(target, runs, source));
  }

  /** @throws checksum, naming file, pages and repository, for bytes that prove wrong */
  async #fetchFrom(target: Target, runs: readonly PageRun[], source: RestoreSource): Promise<void> {
    const repo = this.#parts.repo(source.repoIndex);
    try {
      await this.#fillFrom(target, runs, source, repo);
    } catch (error) {
      throw asDamage(error, target.origin, runs, repo);
    }
  }

  async #fillFrom(target: Target, runs: readonly PageRun[], source: RestoreSource, repo: Repository): Promise<void> {
    const { file, origin } = target;
    const { block } = source;
    if (block === undefined) {
      // Another repository may hold whole what this one has in blocks.
      if (origin.row.sizeBytes > WHOLE_BYTES_MAX)
        return streamWhole(repo, source, target, this.#parts.pages, this.#spoolOf(origin), () => {});
      return file.fill(origin, 0, await loadWhole(repo, source, origin));
    }
    const map = await this.#mapOf(repo, { ...source, block }, origin);
    const wanted = isSmall(origin.row) ? allOf(target) : pagesAlong(map, runs);
    const missing = wanted.flatMap(([first, last]) => origin.pages.missingRuns(first, last));
    await fetchBlocks(repo, block, map, { file, origin, runs: missing });
  }

  /** Kept for large files, which are read many times. */
  #mapOf(
    repo: Repository,
    { block }: RestoreSource & Required<Pick<RestoreSource, "block">>,
    { index, row }: Origin,
  ): Promise<IndexedMap> {
    const load = async (): Promise<IndexedMap> => indexMap(await openBlockFile(repo, block), block, row.sizeBytes);
    if (isSmall(row)) return load();
    const key = `${repo.key} ${index}`;
    const known = this.#maps.get(key);
    if (known !== undefined) return known;
    const loading = load();
    this.#maps.set(key, loading);
    loading.catch(() => this.#maps.delete(key));
    if (this.#maps.size > MAPS_MAX) this.#maps.delete(this.#maps.keys().next().value ?? "");
    return loading;
  }

  /** Joins the stream of the file, until the wanted pages have passed. */
  async #stream(target: Target, runs: readonly PageRun[]): Promise<void> {
    const { origin } = target;
    const state = this.#stateOf(origin);
    const isThere = (): boolean => runs.every(([first, last]) => origin.pages.hasAll(first, last));
    while (!isThere()) {
      state.passing ??= this.#startStream(target, runs, state);
      const { done, more } = state.passing;
      await Promise.race([more, done]);
      if (state.passing === null && !isThere()) {
        await done;
        throw fail("fileInvalid", `'${origin.row.name}' has passed without pages ${String(runs[0])}`);
      }
    }
  }

  #startStream(target: Target, runs: readonly PageRun[], state: FileState): NonNullable<FileState["passing"]> {
    let wake = (): void => {};
    const nextMore = (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      });
    const passed = (): void => {
      const waking = wake;
      if (state.passing !== null) state.passing.more = nextMore();
      waking();
    };
    const done = this.#parts.sources
      .use(requestOf(target), async (source) => {
        const repo = this.#parts.repo(source.repoIndex);
        if (source.block !== undefined) return this.#fetchFrom(target, allOf(target), source);
        try {
          await streamWhole(repo, source, target, this.#parts.pages, this.#spoolOf(target.origin), passed);
        } catch (error) {
          throw asDamage(error, target.origin, runs, repo);
        }
      })
      .finally(() => {
        state.passing = null;
        wake();
      });
    // Readers that wait see the failure; without one nobody needs it.
    done.catch(() => {});
    return { done, more: nextMore() };
  }

  #spoolOf({ index }: Origin): string {
    return `${this.#parts.spoolPath}/waiting-${index}`;
  }
}

const PREFETCHES_AT_ONCE = 8;
const MAPS_MAX = 64;

export function isSmall({ sizeBytes }: ManifestFile): boolean {
  return sizeBytes <= SMALL_BYTES_MAX;
}

function isStreamed({ block, sizeBytes }: ManifestFile): boolean {
  return block === undefined && sizeBytes > WHOLE_BYTES_MAX;
}

export function allOf({ origin }: Target): PageRun[] {
  return origin.pages.missingRuns(0, origin.pages.count - 1);
}

/** No file of this machine causes a failure of a source. */
export function requestOf({ origin }: Target): FileRequest {
  return { file: origin.row, destination: "" };
}

/** Bytes that do not decrypt or decompress are a damaged copy, like those with a wrong checksum. */
export function asDamage(
  error: unknown,
  { row }: Pick<Origin, "row">,
  runs: readonly PageRun[],
  repo: Repository,
): BackupError {
  const failure = toBackupError(error);
  if (!isError(failure, "format", "crypto")) return failure;
  const pages = runs.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(", ");
  return fail("checksum", `pages ${pages} of '${row.name}' in ${repo.name} are damaged: ${failure.message}`, {
    hint: "The repository has a damaged copy. Run verify; another repository may have a good one.",
    repoIndex: repo.key,
    cause: error,
  });
}

function splitBy([first, last]: PageRun, isTaken: (page: number) => boolean): PageRun[] {
  const runs: [number, number][] = [];
  for (let page = first; page <= last; page++) {
    if (isTaken(page)) continue;
    const run = runs.at(-1);
    if (run !== undefined && run[1] === page - 1) run[1] = page;
    else runs.push([page, page]);
  }
  return runs;
}
