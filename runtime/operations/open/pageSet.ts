/** Which pages of one file are in the upper directory: a bit each. Pure. */

/** Grain of the upper directory, whatever PostgreSQL's own page size is. */
export const PAGE_BYTES = 8192;

/** First and last page. */
export type PageRun = readonly [first: number, last: number];

/** Neighbouring pages as runs. @param pages in ascending order */
export function runsOf(pages: Iterable<number>): PageRun[] {
  const runs: [number, number][] = [];
  for (const page of pages) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === page - 1) run[1] = page;
    else runs.push([page, page]);
  }
  return runs;
}

/** The same pages in the fewest runs. */
export function mergeRuns(runs: readonly PageRun[]): PageRun[] {
  const merged: [number, number][] = [];
  for (const [first, last] of [...runs].sort(([left], [right]) => left - right)) {
    const run = merged.at(-1);
    if (run !== undefined && first <= run[1] + 1) run[1] = Math.max(run[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** What is left of runs without the pages of another one. */
export function withoutRun(runs: readonly PageRun[], [first, last]: PageRun): PageRun[] {
  return runs.flatMap(([begin, end]): PageRun[] => {
    if (last < begin || end < first) return [[begin, end]];
    const before: PageRun[] = begin < first ? [[begin, first - 1]] : [];
    return end > last ? [...before, [last + 1, end]] : before;
  });
}

export class PageSet {
  readonly count: number;
  readonly #bits: Uint8Array;
  #missingCount: number;

  constructor(sizeBytes: number) {
    this.count = Math.ceil(sizeBytes / PAGE_BYTES);
    this.#bits = new Uint8Array(Math.ceil(this.count / 8));
    this.#missingCount = this.count;
  }

  get missingCount(): number {
    return this.#missingCount;
  }

  get presentCount(): number {
    return this.count - this.#missingCount;
  }

  /** A page behind the end counts as present. */
  has(page: number): boolean {
    return page >= this.count || (((this.#bits[page >> 3] as number) >> (page & 7)) & 1) === 1;
  }

  hasAll(first: number, last: number): boolean {
    return this.#missingCount === 0 || this.missingRuns(first, last).length === 0;
  }

  /** The runs of pages in it that are missing. */
  missingRuns(first: number, last: number): PageRun[] {
    return this.#missingCount === 0 ? [] : this.#runs(first, last, false);
  }

  /** The runs of pages in it that are there, up to the end. */
  runsIn(first: number, last: number): PageRun[] {
    return this.presentCount === 0 ? [] : this.#runs(first, last, true);
  }

  allMissing(): PageRun[] {
    return this.missingRuns(0, this.count - 1);
  }

  /** Eight pages at a time where all are alike. */
  #runs(first: number, last: number, isThere: boolean): PageRun[] {
    const end = Math.min(last, this.count - 1);
    const runs: [number, number][] = [];
    let run: [number, number] | null = null;
    for (let page = first; page <= end; ) {
      const byte = this.#bits[page >> 3] as number;
      const isWholeByte = (page & 7) === 0 && page + 7 <= end && (byte === 0 || byte === 0xff);
      const step = isWholeByte ? 8 : 1;
      if ((((byte >> (page & 7)) & 1) === 1) !== isThere) run = null;
      else if (run !== null) run[1] = page + step - 1;
      else {
        run = [page, page + step - 1];
        runs.push(run);
      }
      page += step;
    }
    return runs;
  }

  /** A bit for each of so many pages, fewer at the end. @param first a multiple of eight */
  bitsFrom(first: number, count: number): Uint8Array {
    return this.#bits.subarray(first >> 3, (first + count) >> 3);
  }

  /** @param other of the same size */
  addAll(other: PageSet): void {
    if (other.presentCount === 0) return;
    for (const run of other.runsIn(0, this.count - 1)) this.add(...run);
  }

  /** Returns the runs that were there. */
  remove(first: number, last: number): PageRun[] {
    const runs = this.runsIn(first, last);
    for (const [begin, end] of runs) {
      for (let page = begin; page <= end; page++)
        this.#bits[page >> 3] = (this.#bits[page >> 3] as number) & ~(1 << (page & 7));
      this.#missingCount += end - begin + 1;
    }
    return runs;
  }

  /** Returns the runs that were missing. */
  add(first: number, last: number): PageRun[] {
    const runs = this.missingRuns(first, last);
    for (const [begin, end] of runs) {
      for (let page = begin; page <= end; page++)
        this.#bits[page >> 3] = (this.#bits[page >> 3] as number) | (1 << (page & 7));
      this.#missingCount -= end - begin + 1;
    }
    return runs;
  }
}
