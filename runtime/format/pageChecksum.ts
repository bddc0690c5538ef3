/**
 * Checksums of PostgreSQL's data pages: the function itself and a checker for a whole relation file that is fed as a stream.
 *
 * A page is good when its stored checksum (u16 at offset 8) is the computed one. A page whose `pd_upper` (u16 at 14) is 0 counts as new and
 * is good when it is all zeros; without header checks the same goes for a stored checksum of 0. Block numbers count over the whole
 * relation: segment number × (1 GiB / page size) + page index. A server that runs may write a page while it is read, so a suspect page must
 * be read again: if its bytes changed it is good, else it is an error. Little-endian hosts only.
 * (PostgreSQL "storage/checksum_impl.h"; pgBackRest 2.60 "command/backup/pageChecksum".)
 */
import { assert } from "../base/errors";

/** A block number, or the first and last of a range. */
export type PageRange = number | readonly [number, number];

export interface PageSuspect {
  /** Within the whole relation. */
  readonly blockNo: number;
  /** Where the page begins in this file. */
  readonly offsetBytes: number;
  /** The page as it was read: other bytes on reading again mean that it was just being written. */
  readonly page: Uint8Array;
}

export interface PageCheckResult {
  /** False with errors, and for a file that does not end with a whole page. */
  readonly valid: boolean;
  /** Suspects that were not acquitted, ascending. */
  readonly errors: readonly PageRange[];
  /** True when the file does not end with a whole page. */
  readonly misaligned: boolean;
}

export interface PageCheckerOptions {
  /** The number in the file's name: 3 for `16384.3`, 0 without one. */
  readonly segmentNo: number;
  readonly pageSizeBytes: number;
  /** `page-header-check`: new pages are told by `pd_upper` instead of by the checksum. */
  readonly headerCheck: boolean;
}

/** Suspects beyond this number in one file are errors at once, so that a ruined file does not fill the memory with its pages. */
const SUSPECT_PAGES_MAX = 1024;
const RELATION_SEGMENT_BYTES = 1024 * 1024 * 1024;
const LANES = 32;
const PRIME = 16777619;
const SEEDS = Int32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);

/** The checksum that a page should have, 1 … 65535. `page` has 1 to 32 KiB. */
export function pageChecksum(page: Uint8Array, blockNo: number): number {
  const aligned = page.byteOffset % 4 === 0 ? page : new Uint8Array(page);
  return checksumOf(new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >>> 2), 0, aligned.byteLength >>> 2, blockNo);
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
const NO_PAGE = new Uint8Array(0);

/**
 * Checks a relation file that comes in chunks of any size and alignment; the chunks are not changed. After the last chunk read the
 * `suspects()` again, `acquit` those whose bytes changed, and take the result from `finish()`.
 */
export class PageChecker {
  readonly #pageSize: number;
  readonly #headerCheck: boolean;
  readonly #firstBlockNo: number;
  readonly #suspects: PageSuspect[] = [];
  readonly #errors = new Set<number>();
  /** A page that came in parts, or not at a multiple of four bytes; made when there is one. */
  #page = NO_PAGE;
  #pageWords = new Int32Array(NO_PAGE.buffer);
  #pageFilled = 0;
  #pageCount = 0;

  constructor(options: PageCheckerOptions) {
    const { pageSizeBytes, segmentNo } = options;
    assert(pageSizeBytes >= 1024 && pageSizeBytes <= 32_768 && (pageSizeBytes & (pageSizeBytes - 1)) === 0, `page size ${pageSizeBytes}`);
    assert(LITTLE_ENDIAN, "page checksums need a little-endian host");
    this.#pageSize = pageSizeBytes;
    this.#headerCheck = options.headerCheck;
    this.#firstBlockNo = segmentNo * (RELATION_SEGMENT_BYTES / pageSizeBytes);
  }

  add(chunk: Uint8Array): void {
    const pageSize = this.#pageSize;
    let position = 0;
    if (this.#pageFilled > 0) position = this.#fill(chunk, 0);
    if ((chunk.byteOffset + position) % 4 === 0) {
      const pages = Math.floor((chunk.length - position) / pageSize);
      const words = new Int32Array(chunk.buffer, chunk.byteOffset + position, (pages * pageSize) >>> 2);
      for (let page = 0; page < pages; page++, position += pageSize) {
        if (!this.#isGood(words, (page * pageSize) >>> 2)) this.#suspect(chunk.subarray(position, position + pageSize));
        this.#pageCount++;
      }
    }
    while (position < chunk.length) position = this.#fill(chunk, position);
  }

  /** Pages that must be read again, at most {@link SUSPECT_PAGES_MAX}. */
  suspects(): readonly PageSuspect[] {
    return this.#suspects;
  }

  /** The page changed since it was checked: it is no error. */
  acquit(blockNo: number): void {
    this.#errors.delete(blockNo);
  }

  finish(): PageCheckResult {
    const misaligned = this.#pageFilled > 0;
    return { valid: this.#errors.size === 0 && !misaligned, errors: pageRangesOf([...this.#errors]), misaligned };
  }

  /** Adds to the page that is being put together, and checks it when it is whole. Returns how far the chunk is used. */
  #fill(chunk: Uint8Array, position: number): number {
    if (this.#page.length === 0) {
      this.#page = new Uint8Array(this.#pageSize);
      this.#pageWords = new Int32Array(this.#page.buffer);
    }
    const piece = chunk.subarray(position, position + this.#pageSize - this.#pageFilled);
    this.#page.set(piece, this.#pageFilled);
    this.#pageFilled += piece.length;
    if (this.#pageFilled === this.#pageSize) {
      if (!this.#isGood(this.#pageWords, 0)) this.#suspect(this.#page);
      this.#pageCount++;
      this.#pageFilled = 0;
    }
    return position + piece.length;
  }

  #isGood(words: Int32Array, begin: number): boolean {
    const end = begin + (this.#pageSize >>> 2);
    const stored = (words[begin + 2] as number) & 0xffff;
    const isNew = this.#headerCheck ? (words[begin + 3] as number) >>> 16 === 0 : stored === 0;
    if (isNew) {
      for (let index = begin; index < end; index++) if (words[index] !== 0) return false;
      return true;
    }
    return checksumOf(words, begin, end, this.#firstBlockNo + this.#pageCount) === stored;
  }

  #suspect(page: Uint8Array): void {
    const blockNo = this.#firstBlockNo + this.#pageCount;
    this.#errors.add(blockNo);
    if (this.#suspects.length >= SUSPECT_PAGES_MAX) return;
    this.#suspects.push({ blockNo, offsetBytes: this.#pageCount * this.#pageSize, page: new Uint8Array(page) });
  }
}

/** Ascending block numbers with neighbours joined, as a manifest lists them. */
export function pageRangesOf(blockNos: readonly number[]): PageRange[] {
  const ranges: [number, number][] = [];
  for (const blockNo of blockNos) {
    const last = ranges.at(-1);
    if (last !== undefined && blockNo === last[1] + 1) last[1] = blockNo;
    else ranges.push([blockNo, blockNo]);
  }
  return ranges.map(([first, last]) => (first === last ? first : [first, last]));
}

/** Four lanes at a time, each down all rows: the processor works on them side by side. `pd_checksum`, in lane 2 of row 0, counts as 0. */
function checksumOf(words: Int32Array, begin: number, end: number, blockNo: number): number {
  let result = 0;
  for (let lane = 0; lane < LANES; lane += 4) {
    let index = begin + lane;
    const masked = lane === 0 ? (words[index + 2] as number) & ~0xffff : (words[index + 2] as number);
    let sum0 = mix((SEEDS[lane] as number) ^ (words[index] as number));
    let sum1 = mix((SEEDS[lane + 1] as number) ^ (words[index + 1] as number));
    let sum2 = mix((SEEDS[lane + 2] as number) ^ masked);
    let sum3 = mix((SEEDS[lane + 3] as number) ^ (words[index + 3] as number));
    for (index += LANES; index < end; index += LANES) {
      sum0 = mix(sum0 ^ (words[index] as number));
      sum1 = mix(sum1 ^ (words[index + 1] as number));
      sum2 = mix(sum2 ^ (words[index + 2] as number));
      sum3 = mix(sum3 ^ (words[index + 3] as number));
    }
    result ^= mix(mix(sum0)) ^ mix(mix(sum1)) ^ mix(mix(sum2)) ^ mix(mix(sum3));
  }
  return (((result ^ blockNo) >>> 0) % 65_535) + 1;
}

function mix(value: number): number {
  return Math.imul(value, PRIME) ^ (value >>> 17);
}
