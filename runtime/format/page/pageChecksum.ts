/**
 * Checksums of PostgreSQL's data pages: the function, and a checker for a relation file that arrives as a stream.
 *
 * A page is good when its stored checksum (u16 at offset 8) is the computed one. A page whose `pd_upper` (u16 at 14) is
 * 0 counts as new and is good when it is all zeros; without header checks the same goes for a stored checksum of 0.
 * Block numbers count over the whole relation: segment number × (1 GiB / page size) + page index. A running server may
 * write a page while it is read, so a suspect page must be read again: if its bytes changed it is good, otherwise it is
 * an error. (PostgreSQL "storage/checksum_impl.h"; pgBackRest 2.60 "command/backup/pageChecksum".)
 */
import { assert } from "../../base/errors";
import { badPagesOf, pageSum } from "../codec/sums";

/** A block number, or the first and last of a range. */
export type PageRange = number | readonly [number, number];

export interface PageSuspect {
  /** Within the whole relation. */
  readonly blockNo: number;
  /** Offset of the page in this file. */
  readonly offsetBytes: number;
  /** The page as first read: other bytes on the second read mean that it was just being written. */
  readonly page: Uint8Array;
}

export interface PageCheckResult {
  /** False with errors, and for a file that ends with a partial page. */
  readonly valid: boolean;
  /** Suspects that were not acquitted, ascending. */
  readonly errors: readonly PageRange[];
}

export interface PageCheckerOptions {
  /** The number in the file's name: 3 for `16384.3`, 0 if absent. */
  readonly segmentNo: number;
  readonly pageSizeBytes: number;
  /** `page-header-check`: detects new pages by `pd_upper` instead of by the checksum. */
  readonly headerCheck: boolean;
}

/**
 * More suspects in one file count as errors immediately, so that a ruined file does not fill the memory with its pages.
 */
const SUSPECT_PAGES_MAX = 1024;
const RELATION_SEGMENT_BYTES = 1024 * 1024 * 1024;

/** The expected checksum of a page, 1 … 65535. `page` has 1 to 32 KiB. */
export function pageChecksum(page: Uint8Array, blockNo: number): number {
  return pageSum(page, blockNo);
}

const NO_PAGE = new Uint8Array(0);

/**
 * Checks a relation file in chunks of any size and alignment, which it does not change. After the last chunk read the
 * `suspects()` again, `acquit` those whose bytes changed, and take the result from `finish()`.
 */
export class PageChecker {
  readonly #pageSize: number;
  readonly #headerCheck: boolean;
  readonly #firstBlockNo: number;
  readonly #suspects: PageSuspect[] = [];
  readonly #errors = new Set<number>();
  /** A page that arrived in parts; allocated on demand. */
  #page = NO_PAGE;
  #pageFilled = 0;
  #pageCount = 0;

  constructor(options: PageCheckerOptions) {
    const { pageSizeBytes, segmentNo } = options;
    assert(
      pageSizeBytes >= 1024 && pageSizeBytes <= 32_768 && (pageSizeBytes & (pageSizeBytes - 1)) === 0,
      `page size ${pageSizeBytes}`,
    );
    this.#pageSize = pageSizeBytes;
    this.#headerCheck = options.headerCheck;
    this.#firstBlockNo = segmentNo * (RELATION_SEGMENT_BYTES / pageSizeBytes);
  }

  add(chunk: Uint8Array): void {
    const pageSize = this.#pageSize;
    let position = 0;
    if (this.#pageFilled > 0) position = this.#fill(chunk, 0);
    const wholeBytes = Math.floor((chunk.length - position) / pageSize) * pageSize;
    if (wholeBytes > 0) this.#check(chunk.subarray(position, position + wholeBytes));
    position += wholeBytes;
    if (position < chunk.length) this.#fill(chunk, position);
  }

  /** Complete pages from here on in the file: those before that were not added are known to be good. */
  addAt(pages: Uint8Array, offsetBytes: number): void {
    const pageNo = offsetBytes / this.#pageSize;
    assert(this.#pageFilled === 0 && Number.isInteger(pageNo) && pageNo >= this.#pageCount, `pages at ${offsetBytes}`);
    this.#pageCount = pageNo;
    this.add(pages);
  }

  /** Pages that must be read again, at most {@link SUSPECT_PAGES_MAX}. */
  suspects(): readonly PageSuspect[] {
    return this.#suspects;
  }

  /** The page has changed since the check: it is not an error. */
  acquit(blockNo: number): void {
    this.#errors.delete(blockNo);
  }

  finish(): PageCheckResult {
    return { valid: this.#errors.size === 0 && this.#pageFilled === 0, errors: pageRangesOf([...this.#errors]) };
  }

  /** Adds to the partial page, and checks it when it is complete. Returns the consumed length of the chunk. */
  #fill(chunk: Uint8Array, position: number): number {
    if (this.#page.length === 0) this.#page = new Uint8Array(this.#pageSize);
    const piece = chunk.subarray(position, position + this.#pageSize - this.#pageFilled);
    this.#page.set(piece, this.#pageFilled);
    this.#pageFilled += piece.length;
    if (this.#pageFilled === this.#pageSize) {
      this.#check(this.#page);
      this.#pageFilled = 0;
    }
    return position + piece.length;
  }

  /** The file's next complete pages. */
  #check(pages: Uint8Array): void {
    const pageSizeBytes = this.#pageSize;
    const run = { pageSizeBytes, headerCheck: this.#headerCheck, blockNo: this.#firstBlockNo + this.#pageCount };
    for (const index of badPagesOf(pages, run)) {
      this.#errors.add(run.blockNo + index);
      if (this.#suspects.length >= SUSPECT_PAGES_MAX) continue;
      const begin = index * pageSizeBytes;
      const page = new Uint8Array(pages.subarray(begin, begin + pageSizeBytes));
      this.#suspects.push({ blockNo: run.blockNo + index, offsetBytes: this.#pageCount * pageSizeBytes + begin, page });
    }
    this.#pageCount += pages.length / pageSizeBytes;
  }
}

/** Ascending block numbers, with neighbours joined as in a manifest. */
export function pageRangesOf(blockNos: readonly number[]): PageRange[] {
  const ranges: [number, number][] = [];
  for (const blockNo of blockNos) {
    const last = ranges.at(-1);
    if (last !== undefined && blockNo === last[1] + 1) last[1] = blockNo;
    else ranges.push([blockNo, blockNo]);
  }
  return ranges.map(([first, last]) => (first === last ? first : [first, last]));
}

/** How pages of a file are checked; null for files without pages ("pgbackrest-format" 7.4, last line). */
export function pageSegmentOf(name: string): { readonly segmentNo: number } | null {
  const slash = name.lastIndexOf("/");
  const directory = name.slice(0, slash);
  const base = name.slice(slash + 1);
  const checked =
    /^pg_data\/base\/\d+$/.test(directory) ||
    directory === "pg_data/global" ||
    /^pg_tblspc\/\d+\/PG_[^/]+\/\d+$/.test(directory);
  if (!checked || base === "pg_filenode.map" || base === "PG_VERSION" || base === "pg_control") return null;
  const segment = /^\d+(?:_[a-z]+)?\.(\d+)$/.exec(base);
  return { segmentNo: segment === null ? 0 : Number(segment[1]) };
}
