/**
 * One file of the upper directory: a sparse file of full size that fills with fetched and written pages.
 *
 * Fetched bytes go only to pages that are still missing; check and write are one synchronous step, so that a write of
 * the server is never overwritten. Reading a missing page throws: zeros are never an answer.
 */
import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from "../../local/nodeFiles";
import { assert } from "../../base/errors";
import type { ManifestFile } from "../../format/repository/manifest";
import { dataSync, type Journal, pagesBefore } from "./journal";
import { PAGE_BYTES, type PageRun, PageSet } from "./pageSet";

/** The backup's content of a file. */
export interface Origin {
  /** Position of its row in the manifest. */
  readonly index: number;
  readonly row: ManifestFile;
  readonly pages: PageSet;
  /** Bytes of it that still belong to the file: what was cut off stays zero, even inside a page. */
  endBytes: number;
}

/** What is still to be fetched. */
export function missingBytesOf({ pages, row }: Origin): number {
  const padding = pages.has(pages.count - 1) ? 0 : pages.count * PAGE_BYTES - row.sizeBytes;
  return pages.missingCount * PAGE_BYTES - padding;
}

export function originOf(index: number, row: ManifestFile): Origin {
  return { index, row, pages: new PageSet(row.sizeBytes), endBytes: row.sizeBytes };
}

export class StoredFile {
  sizeBytes: number;
  /** Kernel's open handles. */
  opens = 0;
  readonly #path: () => string;
  readonly #journal: Journal;
  #origin: Origin | null = null;
  /** Runs that are present and not known to be on the disk. */
  #fresh: PageRun[] = [];
  #fd = -1;
  #isRemoved = false;

  constructor(path: () => string, sizeBytes: number, journal: Journal) {
    this.#path = path;
    this.#journal = journal;
    this.sizeBytes = sizeBytes;
  }

  get origin(): Origin | null {
    return this.#origin;
  }

  /** The file is the backup's: its missing pages are to be fetched. */
  bind(origin: Origin): void {
    this.#origin = origin;
    // Cut off, or never as long: what follows reads as zeros.
    origin.pages.add(pagesBefore(this.sizeBytes), origin.pages.count - 1);
  }

  /** Pages of a range of bytes that must be fetched before it can be read. */
  missingIn(offsetBytes: number, sizeBytes: number): readonly PageRun[] {
    if (this.#origin === null || sizeBytes <= 0) return [];
    const last = Math.floor((offsetBytes + sizeBytes - 1) / PAGE_BYTES);
    return this.#origin.pages.missingRuns(Math.floor(offsetBytes / PAGE_BYTES), last);
  }

  /** Pages that a write covers only in part: their other bytes must be there before. */
  missingEdges(offsetBytes: number, sizeBytes: number): readonly PageRun[] {
    const end = offsetBytes + sizeBytes;
    const edges: PageRun[] = [];
    if (offsetBytes % PAGE_BYTES !== 0) edges.push(...this.missingIn(offsetBytes, 1));
    if (end % PAGE_BYTES !== 0 && end < (this.#origin?.endBytes ?? 0)) edges.push(...this.missingIn(end - 1, 1));
    return edges;
  }

  read(offsetBytes: number, target: Uint8Array): number {
    assert(this.missingIn(offsetBytes, target.length).length === 0, "a read of a page that is not there");
    return this.#with((fd) => readSync(fd, target, 0, target.length, offsetBytes));
  }

  /**
   * Keeps those of the fetched bytes whose pages are missing. They begin at a page and end at a page or with the
   * backup's file. Verified by the caller.
   */
  fill(origin: Origin, offsetBytes: number, bytes: Uint8Array): void {
    const end = offsetBytes + bytes.length;
    assert(offsetBytes % PAGE_BYTES === 0, "fetched bytes that begin inside a page");
    assert(end === origin.row.sizeBytes || end % PAGE_BYTES === 0, "fetched bytes that end inside a page");
    // None if the file left the backup while the bytes were on their way.
    for (const [first, last] of this.missingIn(offsetBytes, bytes.length)) {
      const from = first * PAGE_BYTES;
      const to = Math.min((last + 1) * PAGE_BYTES, origin.endBytes);
      this.#write(bytes.subarray(from - offsetBytes, to - offsetBytes), from);
      this.#keep(origin, first, last);
    }
  }

  write(offsetBytes: number, data: Uint8Array): void {
    assert(this.missingEdges(offsetBytes, data.length).length === 0, "a write into a page that is not there");
    this.#write(data, offsetBytes);
    this.sizeBytes = Math.max(this.sizeBytes, offsetBytes + data.length);
    if (this.#origin === null || data.length === 0) return;
    const end = Math.min(offsetBytes + data.length, this.#origin.pages.count * PAGE_BYTES);
    if (offsetBytes < end)
      this.#keep(this.#origin, Math.floor(offsetBytes / PAGE_BYTES), Math.ceil(end / PAGE_BYTES) - 1);
  }

  /** What was behind a smaller size is gone, and reads as zeros if the file grows again. */
  async truncate(sizeBytes: number): Promise<void> {
    const origin = this.#origin;
    const isCut = origin !== null && sizeBytes < origin.endBytes;
    if (isCut) {
      this.#journal.append({ kind: "cut", file: origin.index, sizeBytes });
      await this.#journal.sync();
    }
    if (isCut) {
      origin.pages.add(pagesBefore(sizeBytes), origin.pages.count - 1);
      origin.endBytes = sizeBytes;
    }
    this.#with((fd) => ftruncateSync(fd, sizeBytes));
    this.sizeBytes = sizeBytes;
    if (isCut) this.#journal.append({ kind: "cut-done", file: origin.index });
  }

  /** Everything that was written before is on the disk when it resolves, and the journal knows it. */
  async sync(): Promise<void> {
    const runs = this.#fresh;
    this.#fresh = [];
    this.opens++;
    try {
      await dataSync(this.#open());
      const origin = this.#origin;
      if (origin !== null) for (const run of runs) this.#journal.append({ kind: "durable", file: origin.index, run });
      await this.#journal.sync();
    } catch (error) {
      this.#fresh.push(...runs);
      throw error;
    } finally {
      this.opens--;
      this.closeIdle();
    }
  }

  /** Cuts the file off from the backup. Its pages are all there. */
  async own(): Promise<void> {
    const origin = this.#origin;
    if (origin === null) return;
    assert(origin.pages.missingCount === 0, "a file that is not whole");
    await this.sync();
    this.#journal.append({ kind: "own", file: origin.index });
    await this.#journal.sync();
    this.#origin = null;
  }

  /** A sync of everything that began when all pages were there has ended. */
  settled(): void {
    const origin = this.#origin;
    if (origin === null) return;
    this.#fresh = [];
    this.#journal.append({ kind: "durable", file: origin.index, run: [0, origin.pages.count - 1] });
  }

  /** The journal says that the backup is no longer needed, or nobody can read the file any more. */
  release(): void {
    // Fetches that are under way look at these pages.
    this.#origin?.pages.add(0, this.#origin.pages.count - 1);
    this.#origin = null;
    this.#fresh = [];
  }

  /** Its name is gone. */
  removed(): void {
    this.#isRemoved = true;
    this.closeIdle();
  }

  /** For an unlinked file: it can be read on as long as it is open. */
  holdOpen(): void {
    if (this.opens > 0) this.#open();
  }

  closeIdle(): void {
    if (this.opens > 0) return;
    if (this.#isRemoved) this.release();
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #keep(origin: Origin, first: number, last: number): void {
    for (const run of origin.pages.add(first, last)) {
      this.#journal.append({ kind: "present", file: origin.index, run });
      this.#fresh.push(run);
    }
  }

  #write(bytes: Uint8Array, offsetBytes: number): void {
    this.#with((fd) => {
      for (let done = 0; done < bytes.length; )
        done += writeSync(fd, bytes, done, bytes.length - done, offsetBytes + done);
    });
  }

  #with<T>(work: (fd: number) => T): T {
    try {
      return work(this.#open());
    } finally {
      this.closeIdle();
    }
  }

  #open(): number {
    // Not through a link: the names are ours, but what they lead to must be too.
    if (this.#fd < 0) this.#fd = openSync(this.#path(), constants.O_RDWR | constants.O_NOFOLLOW);
    return this.#fd;
  }
}
