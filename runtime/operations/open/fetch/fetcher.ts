/**
 * Fetches missing pages of the mounted directory from the repositories, verified, once however many ask.
 *
 * - A file in blocks: the super blocks with the wanted pages.
 * - A small file: itself, with its neighbours in the bundle.
 * - A large file that is stored whole: the frames with the wanted pages. If it has none that can be read alone, or they
 *   do not prove the pages, or the reader goes through the file: from its start, and each reader goes on when its page
 *   has passed.
 *
 * A source that fails is replaced by the next repository, as in a restore. A failure is not remembered: the next reader
 * asks again.
 */
import type { Context } from "../../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../../base/errors";
import { LONG_FRAME_SIZE_BYTES } from "../../../format/codec/zstFrames";
import type { ManifestFile } from "../../../format/repository/manifest";
import { openBlockFile } from "../../../repository/blockReader";
import type { Repository } from "../../../repository/repository";
import type { RestoreSource } from "../../restore/restoreFile";
import type { Sources } from "../../restore/sources";
import { DAMAGED_COPY_HINT } from "../../shared/readStored";
import { fetchBlocks, isWholePages } from "./blockFetch";
import { BundleWindows, requestOf } from "./bundleWindows";
import { fetchFrames, FramedFile } from "./frameFetch";
import { IndexedMap } from "./indexedMap";
import type { Fetch } from "../openFiles";
import { PAGE_BYTES, type PageRun, runsOf } from "../pageSet";
import { ReadAhead } from "./readAhead";
import { SparePages } from "./sparePages";
import type { Origin, StoredFile } from "../storedFile";
import type { Target } from "../upperDirectory";
import { hasPageChecksums, loadWhole, pageCheckOf, type PageFacts, streamWhole, WHOLE_BYTES_MAX } from "./wholeFetch";

export interface FetcherParts {
  readonly sources: Sources;
  repo(key: number): Repository;
  readonly pages: PageFacts;
  /** Directory for files that wait for their checksum. */
  readonly spoolPath: string;
  /** Space for fetched pages. */
  readonly cacheBytesMax?: number | undefined;
}

/** A file in blocks with at most this size comes whole. */
const SMALL_BYTES_MAX = 1024 * 1024;
/** Fetched before a reader that goes through a file asks. */
const WINDOW_PAGES = 2048;
/** Share of a limited space for pages, so that none is dropped before it is read. */
const WINDOW_SHARE = 4;
/** Under way for nobody who waits: ahead of readers, and everything else behind them. */
const SPARE_PAGES = 3072;

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
  /** A stream of the whole file, from a repository that does not hold it in blocks. */
  whole: Promise<void> | null;
  readonly ahead: ReadAhead;
  /** Last page that was fetched by frames, and how many fetches in a row went on from there. */
  framedTo: number;
  framedInRow: number;
}

export class Fetcher implements Fetch {
  readonly #parts: FetcherParts;
  readonly #ctx: Context;
  readonly #windows: BundleWindows;
  readonly #states = new Map<number, FileState>();
  /** The key is repository and file. */
  readonly #maps = new Map<string, Promise<IndexedMap>>();
  readonly #framed = new Map<string, Promise<FramedFile | null>>();
  readonly #spare = new SparePages(SPARE_PAGES);
  readonly #windowPages: number;
  #readers = 0;

  constructor(parts: FetcherParts, targets: readonly Target[], ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
    const cachePages = (parts.cacheBytesMax ?? Number.POSITIVE_INFINITY) / PAGE_BYTES;
    this.#windowPages = Math.min(WINDOW_PAGES, Math.floor(cachePages / WINDOW_SHARE));
    this.#windows = new BundleWindows(targets, {
      ...parts,
      fetchAlone: (target, source) => this.#fetchFrom(target, target.origin.pages.allMissing(), source),
    });
  }

  async pages(file: StoredFile, origin: Origin, runs: readonly PageRun[]): Promise<void> {
    this.#readers++;
    try {
      await this.#fetchPages({ file, origin }, runs, true);
    } finally {
      this.#readers--;
    }
  }

  /** A reader waits for pages. */
  get isAwaited(): boolean {
    return this.#readers > 0;
  }

  /** Fetches pages that nobody waits for, and of a large file without blocks everything at once. */
  behind(target: Target, runs: readonly PageRun[]): Promise<void> {
    return this.#spare.use(countOf(runs), () => this.#fetchPages(target, runs, false));
  }

  async #fetchPages(target: Target, runs: readonly PageRun[], isRead: boolean): Promise<void> {
    const { pages, row } = target.origin;
    if (isSmall(row)) await this.#windows.fetchWith(target);
    const missing = runs.flatMap(([first, last]) => pages.missingRuns(first, last));
    if (missing.length === 0) return;
    if (isStreamed(row)) return this.#stream(target, isRead ? missing : pages.allMissing(), isRead);
    // Each super block is fetched once anyway.
    if (isInSuperBlocks(row)) await this.#fetch(target, missing);
    else await this.#fetchOnce(target, missing);
  }

  readTo(file: StoredFile, origin: Origin, run: PageRun): void {
    if (origin.pages.missingCount === 0 || !isInSuperBlocks(origin.row)) return;
    const asked = this.#stateOf(origin).ahead.after(run, this.#spare.free);
    const missing = asked === null ? [] : origin.pages.missingRuns(...asked);
    // The next reader reports what fails.
    if (missing.length > 0) this.behind({ file, origin }, missing).catch(() => {});
  }

  /** Everything that a server reads at its start, while it starts. Failures are left to the readers. */
  async prefetch(targets: readonly Target[]): Promise<void> {
    let next = 0;
    const work = async (): Promise<void> => {
      for (let target = targets[next++]; target !== undefined; target = targets[next++]) {
        if (this.#ctx.signal.aborted) return;
        await this.pages(target.file, target.origin, target.origin.pages.allMissing()).catch(() => {});
      }
    };
    await Promise.all(Array.from({ length: PREFETCHES_AT_ONCE }, work));
  }

  #stateOf({ index, pages }: Origin): FileState {
    const known = this.#states.get(index);
    if (known !== undefined) return known;
    const ahead = new ReadAhead(pages.count, this.#windowPages);
    const made: FileState = { flights: [], passing: null, whole: null, ahead, framedTo: 0, framedInRow: 0 };
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
      const failure = asDamage(error, target.origin, runs, repo);
      // The map itself may have been damaged on its way, or be of another file now.
      if (isError(failure, "checksum")) this.#maps.delete(keyOf(repo, target.origin));
      throw failure;
    }
  }

  async #fillFrom(target: Target, runs: readonly PageRun[], source: RestoreSource, repo: Repository): Promise<void> {
    const { file, origin } = target;
    const { block } = source;
    if (block === undefined) {
      // Another repository may hold whole what this one has in blocks.
      if (origin.row.sizeBytes > WHOLE_BYTES_MAX) return this.#fillWhole(target, source, repo);
      return file.fill(origin, 0, await loadWhole(repo, source, origin));
    }
    const map = await this.#mapOf(repo, { ...source, block }, origin);
    const wanted = isSmall(origin.row) ? origin.pages.allMissing() : runs;
    const missing = wanted.flatMap(([first, last]) => origin.pages.missingRuns(first, last));
    await fetchBlocks(repo, block, map, { file, origin, runs: missing });
  }

  /** Once however many fetch parts of it, some of them ahead of their reader. */
  #fillWhole(target: Target, source: RestoreSource, repo: Repository): Promise<void> {
    const state = this.#stateOf(target.origin);
    const spoolPath = this.#spoolOf(target.origin);
    state.whole ??= streamWhole(repo, source, target, this.#parts.pages, spoolPath, () => {}).finally(() => {
      state.whole = null;
    });
    return state.whole;
  }

  /** Kept for large files, which are read many times. */
  #mapOf(
    repo: Repository,
    { block }: RestoreSource & Required<Pick<RestoreSource, "block">>,
    origin: Origin,
  ): Promise<IndexedMap> {
    const { row } = origin;
    const load = async (): Promise<IndexedMap> =>
      new IndexedMap(await openBlockFile(repo, block), block, row.sizeBytes);
    return isSmall(row) ? load() : kept(this.#maps, keyOf(repo, origin), load);
  }

  /** Fetches the frames of a large file with the wanted pages, unless the reader goes through the file. */
  async #fetchFramed(target: Target, runs: readonly PageRun[]): Promise<void> {
    const { origin } = target;
    const { row } = origin;
    const state = this.#stateOf(origin);
    const [first, last] = [runs[0]?.[0] ?? 0, runs.at(-1)?.[1] ?? 0];
    state.framedInRow = first >= state.framedTo && first - state.framedTo <= FRAME_PAGES ? state.framedInRow + 1 : 0;
    state.framedTo = last;
    if (state.framedInRow > FRAMED_IN_ROW_MAX) return;
    await this.#parts.sources.use(requestOf(target), async (source) => {
      const check = pageCheckOf(row, this.#parts.pages, source);
      if (source.block !== undefined || check === null) return;
      const repo = this.#parts.repo(source.repoIndex);
      const open = (): Promise<FramedFile | null> => FramedFile.open(repo, source, row.sizeBytes);
      try {
        const framed = await kept(this.#framed, keyOf(repo, origin), open);
        if (framed !== null) await fetchFrames(framed, target, runs, check, this.#parts.pages);
      } catch (error) {
        const failure = asDamage(error, origin, runs, repo);
        if (isError(failure, "checksum")) this.#framed.delete(keyOf(repo, origin));
        throw failure;
      }
    });
  }

  /** Joins the stream of the file, until the wanted pages have passed. A reader first tries to get them alone. */
  async #stream(target: Target, runs: readonly PageRun[], isRead: boolean): Promise<void> {
    const { origin } = target;
    const state = this.#stateOf(origin);
    const isThere = (): boolean => runs.every(([first, last]) => origin.pages.hasAll(first, last));
    // Also while the file streams: its stream may be far from the page.
    if (isRead && hasPageChecksums(origin.row, this.#parts.pages)) await this.#fetchFramed(target, runs);
    let own: Promise<void> | null = null;
    while (!isThere()) {
      if (state.passing === null) {
        state.passing = this.#startStream(target, runs, state);
        own = state.passing.done;
      }
      const { done, more } = state.passing;
      await Promise.race([more, done]);
      if (state.passing !== null || isThere()) continue;
      await done;
      // Of another reader's stream the pages may have passed before we came, and been dropped.
      if (done === own) throw fail("fileInvalid", `'${origin.row.name}' has passed without pages ${String(runs[0])}`);
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
        if (source.block !== undefined) return this.#fetchFrom(target, target.origin.pages.allMissing(), source);
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
/** Each takes some 0.2 MiB for a segment of 1 GiB. */
const MAPS_MAX = 128;
/** Content of the longest frames that ours writes, in pages: a reader that goes on asks behind the last one. */
const FRAME_PAGES = LONG_FRAME_SIZE_BYTES / PAGE_BYTES;
/** A reader that goes through the file streams after as many frames. */
const FRAMED_IN_ROW_MAX = 8;

function keyOf({ key }: Repository, { index }: Origin): string {
  return `${key} ${index}`;
}

/** What `load` made for the key, loaded once however many ask. The last used are kept, and no failure. */
function kept<T>(entries: Map<string, Promise<T>>, key: string, load: () => Promise<T>): Promise<T> {
  const known = entries.get(key);
  if (known !== undefined) {
    entries.delete(key);
    entries.set(key, known);
    return known;
  }
  const loading = load();
  entries.set(key, loading);
  loading.catch(() => entries.delete(key));
  if (entries.size > MAPS_MAX) entries.delete(entries.keys().next().value ?? "");
  return loading;
}

export function isSmall({ sizeBytes }: ManifestFile): boolean {
  return sizeBytes <= SMALL_BYTES_MAX;
}

/** A large file in blocks of whole pages. */
function isInSuperBlocks(row: ManifestFile): boolean {
  return row.block !== undefined && !isSmall(row) && isWholePages({ blockSizeBytes: row.block.sizeBytes });
}

function countOf(runs: readonly PageRun[]): number {
  return runs.reduce((sum, [first, last]) => sum + last + 1 - first, 0);
}

function isStreamed({ block, sizeBytes }: ManifestFile): boolean {
  return block === undefined && sizeBytes > WHOLE_BYTES_MAX;
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
    hint: DAMAGED_COPY_HINT,
    repoIndex: repo.key,
    cause: error,
  });
}

function splitBy([first, last]: PageRun, isTaken: (page: number) => boolean): PageRun[] {
  const pages = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return runsOf(pages.filter((page) => !isTaken(page)));
}
