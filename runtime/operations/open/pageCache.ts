/**
 * Limits the space of fetched pages: those that nobody has read for the longest time are dropped, a few megabytes at a
 * time, and fetched again when they are needed. Pages with writes stay, whatever their number.
 *
 * The journal says that pages are dropped, on the disk, before their space is given back: a hole must never count as a
 * page, whenever the process or the machine dies.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { LockFile } from "../../local/lockFile";
import type { Journal } from "./journal";
import type { Fetch } from "./openFiles";
import { PAGE_BYTES, type PageRun } from "./pageSet";
import { punchHoles } from "../../local/punchHoles";
import type { Leaving, StoredFile } from "./storedFile";
import type { Target } from "./upperDirectory";

interface CacheParts {
  readonly targets: readonly Target[];
  readonly journal: Pick<Journal, "sync">;
  /** Directory for new files, beside the upper directory. */
  readonly folder: string;
  readonly sizeBytesMax: number;
  /** The right to serve the files. */
  readonly lock: Pick<LockFile, "fd">;
}

/** What is dropped at once. */
const PART_PAGES = 512;
/** Parts of a file, for the numbers of all parts. */
const PARTS_MAX = 2 ** 22;
/** New files that are synced at the same time. */
const RENEWALS_AT_ONCE = 4;
/** Fetched between two looks at the limit, as a share of it. */
const LOOKS = 64;

export class PageCache {
  readonly #parts: CacheParts;
  readonly #ctx: Context;
  /** The least recently used first. */
  readonly #used = new Map<number, Target>();
  readonly #targets: ReadonlyMap<number, Target>;
  /** Files that had fetched pages. */
  readonly #filled = new Set<Target>();
  #newest = -1;
  #newBytes = 0;
  #shrinking: Promise<void> | null = null;
  #isClosed = false;

  constructor(parts: CacheParts, ctx: Context) {
    this.#parts = parts;
    this.#ctx = ctx;
    this.#targets = new Map(parts.targets.map((target) => [target.origin.index, target]));
    for (const target of parts.targets) {
      target.origin.onFill = (run) => this.#noteFilled(target, run);
      for (const run of target.origin.clean.runsIn(0, target.origin.pages.count - 1)) this.#noteFilled(target, run);
    }
  }

  /** The same, and notes which pages are read. */
  around(fetch: Fetch): Fetch {
    return {
      pages: (file, origin, runs) => fetch.pages(file, origin, runs),
      readTo: (file, origin, run) => {
        const target = this.#targets.get(origin.index);
        if (target !== undefined) this.#touch(target, run[1]);
        fetch.readTo(file, origin, run);
      },
    };
  }

  /** From now on nothing is dropped. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#shrinking;
  }

  /** Drops pages until the rest fits. */
  shrink(): Promise<void> {
    this.#shrinking ??= this.#shrink()
      .catch((error: unknown) => this.#ctx.log.warn(`fetched pages cannot be dropped: ${toBackupError(error).message}`))
      .finally(() => {
        this.#shrinking = null;
      });
    return this.#shrinking;
  }

  #noteFilled(target: Target, [first, last]: PageRun): void {
    this.#filled.add(target);
    for (let page = first; page <= last; page += PART_PAGES) this.#touch(target, page);
    this.#touch(target, last);
    this.#newBytes += (last - first + 1) * PAGE_BYTES;
    if (this.#newBytes < this.#parts.sizeBytesMax / LOOKS) return;
    this.#newBytes = 0;
    // A reader that has waited for these pages reads them first.
    setImmediate(() => void this.shrink());
  }

  #touch(target: Target, page: number): void {
    const key = target.origin.index * PARTS_MAX + Math.floor(page / PART_PAGES);
    if (key === this.#newest) return;
    this.#newest = key;
    this.#used.delete(key);
    this.#used.set(key, target);
  }

  get #sizeBytes(): number {
    let count = 0;
    for (const { file, origin } of this.#filled) if (file.origin === origin) count += origin.clean.presentCount;
    return count * PAGE_BYTES;
  }

  async #shrink(): Promise<void> {
    while (!this.#isClosed) {
      const dropped = this.#dropOldest(this.#sizeBytes - this.#parts.sizeBytesMax);
      if (dropped.size === 0) return;
      await this.#parts.journal.sync();
      const renewed = await this.#renewAll([...dropped.keys()]);
      const leaving: Leaving[] = [];
      try {
        for (const [file, runs] of dropped) if (!renewed.has(file)) leaving.push(...file.leave(runs));
        await punchHoles(leaving, this.#parts.lock);
      } finally {
        for (const { end } of leaving) end();
      }
    }
  }

  /** Files of which nothing is here need no process. Readers are served between two of them. */
  async #renewAll(files: readonly StoredFile[]): Promise<ReadonlySet<StoredFile>> {
    const renewed = new Set<StoredFile>();
    let next = 0;
    const work = async (number: number): Promise<void> => {
      for (let file = files[next++]; file !== undefined; file = files[next++])
        if (await file.renew(`${this.#parts.folder}/renewed-${number}`)) renewed.add(file);
    };
    await Promise.all(Array.from({ length: RENEWALS_AT_ONCE }, (_, number) => work(number)));
    return renewed;
  }

  /** From now on these pages are missing; their space is not given back yet. */
  #dropOldest(wantedBytes: number): ReadonlyMap<StoredFile, readonly PageRun[]> {
    const dropped = new Map<StoredFile, readonly PageRun[]>();
    let leftBytes = wantedBytes;
    for (const [key, { file }] of this.#used) {
      if (leftBytes <= 0) break;
      const first = (key % PARTS_MAX) * PART_PAGES;
      const runs = file.drop(first, first + PART_PAGES - 1);
      this.#used.delete(key);
      if (runs.length > 0) dropped.set(file, [...(dropped.get(file) ?? []), ...runs]);
      leftBytes -= runs.reduce((sum, [begin, end]) => sum + (end - begin + 1) * PAGE_BYTES, 0);
    }
    return dropped;
  }
}
