/**
 * One file of the upper directory: a sparse file of full size that fills with fetched and written pages.
 *
 * Fetched bytes go only to pages that are still missing; check and write are one synchronous step, so that a write of
 * the server is never overwritten. Reading a missing page throws: zeros are never an answer.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFully,
} from "../../local/nodeFiles";
import { dirname } from "node:path";
import { assert, fail, isError } from "../../base/errors";
import type { ManifestFile } from "../../format/repository/manifest";
import { syncDirectory } from "../../local/atomicWrite";
import type { Holes } from "../../local/punchHoles";
import { systemCodeOf, systemError } from "../../local/systemError";
import { dataSync, type Journal } from "./journal";
import { pagesBefore } from "./journalState";
import type { SharedFile } from "../clone/sharedPages";
import { mergeRuns, PAGE_BYTES, type PageRun, PageSet, withoutRun } from "./pageSet";

/** The backup's content of a file. */
export interface Origin {
  /** Position of its row in the manifest. */
  readonly index: number;
  readonly row: ManifestFile;
  readonly pages: PageSet;
  /** Pages as they were fetched: without them the backup still has everything. */
  readonly clean: PageSet;
  /** Where clones of the backup share its fetched pages; null without. */
  shared: SharedFile | null;
  /** Pages that are there, not here: for the journal and after a restart of this process they are missing. */
  borrowed: PageSet;
  /** Pages were fetched. */
  onFill: (run: PageRun) => void;
  /** Bytes of it that still belong to the file: what was cut off stays zero, even inside a page. */
  endBytes: number;
}

/** What is still to be fetched. */
export function missingBytesOf({ pages, row }: Origin): number {
  const padding = pages.has(pages.count - 1) ? 0 : pages.count * PAGE_BYTES - row.sizeBytes;
  return pages.missingCount * PAGE_BYTES - padding;
}

export function originOf(index: number, row: ManifestFile): Origin {
  const { sizeBytes } = row;
  const [pages, clean] = [new PageSet(sizeBytes), new PageSet(sizeBytes)];
  return { index, row, pages, clean, borrowed: new PageSet(0), shared: null, onFill: () => {}, endBytes: sizeBytes };
}

/** From now on fetched pages go there, and those that others have fetched count as present. */
export function shareWith(origin: Origin, shared: SharedFile | null): void {
  if (shared === null) return;
  origin.shared = shared;
  origin.borrowed = new PageSet(origin.row.sizeBytes);
}

/** Pages behind it are there, and no longer the backup's. */
function endAt({ borrowed, clean, pages }: Origin, sizeBytes: number): void {
  pages.add(pagesBefore(sizeBytes), pages.count - 1);
  for (const gone of [borrowed, clean]) gone.remove(pagesBefore(sizeBytes), pages.count - 1);
}

/** Read and written at once. */
const COPY_PAGES = 128;

/** Space that is being given back. */
export interface Leaving extends Holes {
  end(): void;
}

interface Syncing {
  runs: PageRun[];
  done: Promise<unknown>;
}

export class StoredFile {
  sizeBytes: number;
  /** Kernel's open handles. */
  opens = 0;
  readonly #path: () => string;
  readonly #journal: Journal;
  #origin: Origin | null = null;
  /** Runs that are present and not known to be on the disk; the others are just being synced. */
  #fresh: PageRun[] = [];
  #syncing: Syncing[] = [];
  /** A sync has failed: what was written before may be lost, and no further one says so. */
  #isDoubtful = false;
  /** Runs whose space is being given back: nothing is written there until then. */
  #leaving: readonly PageRun[] = [];
  #left: Promise<void> = Promise.resolve();
  /** A new file has its name, which may not be on the disk. */
  #isRenamed = false;
  /** Changes when pages are dropped. */
  dropCount = 0;
  /** How many works need all pages to stay. */
  #keepers = 0;
  #fd = -1;
  #isRemoved = false;

  constructor(path: () => string, sizeBytes: number, journal: Journal) {
    this.#path = path;
    this.#journal = journal;
    this.sizeBytes = sizeBytes;
  }

  /** In the upper directory; empty once the file has no name. */
  get localPath(): string {
    try {
      return this.#path();
    } catch {
      return "";
    }
  }

  get origin(): Origin | null {
    return this.#origin;
  }

  /**
   * The file is the backup's: its missing pages are to be fetched.
   * @param unsynced fetched or written by an earlier process, which may not have synced them: the next sync makes them
   *   certain, also if a fetched page is written before it
   */
  bind(origin: Origin, unsynced: readonly PageRun[] = []): void {
    this.#origin = origin;
    this.#fresh = [...unsynced];
    // Cut off, or never as long: what follows reads as zeros.
    endAt(origin, this.sizeBytes);
  }

  /** Pages of a range of bytes that must be fetched before it can be read. */
  missingIn(offsetBytes: number, sizeBytes: number): readonly PageRun[] {
    if (this.#origin === null || sizeBytes <= 0) return [];
    const last = Math.floor((offsetBytes + sizeBytes - 1) / PAGE_BYTES);
    return this.#borrow(this.#origin, this.#origin.pages.missingRuns(Math.floor(offsetBytes / PAGE_BYTES), last));
  }

  /** What is missing even though others have fetched pages. */
  #borrow(origin: Origin, missing: readonly PageRun[]): readonly PageRun[] {
    const { borrowed, pages, shared } = origin;
    if (shared === null || missing.length === 0) return missing;
    for (const run of missing.flatMap((each) => shared.presentIn(each)))
      for (const own of pages.add(...run)) borrowed.add(...own);
    this.closeIdle();
    return missing.flatMap(([first, last]) => pages.missingRuns(first, last));
  }

  /** Pages that a write covers only in part: their other bytes must be there before. */
  missingEdges(offsetBytes: number, sizeBytes: number): readonly PageRun[] {
    const end = offsetBytes + sizeBytes;
    const edges: PageRun[] = [];
    if (offsetBytes % PAGE_BYTES !== 0) edges.push(...this.missingIn(offsetBytes, 1));
    if (end % PAGE_BYTES !== 0 && end < (this.#origin?.endBytes ?? 0)) edges.push(...this.missingIn(end - 1, 1));
    return edges;
  }

  /** Reads into `target` from `at` on. */
  read(offsetBytes: number, target: Uint8Array, at = 0, wantedBytes = target.length - at): number {
    assert(this.missingIn(offsetBytes, wantedBytes).length === 0, "a read of a page that is not there");
    const sizeBytes = this.#with((fd) => readSync(fd, target, at, wantedBytes, offsetBytes));
    const origin = this.#origin;
    if (origin !== null && origin.borrowed.presentCount > 0)
      this.#readBorrowed(origin, offsetBytes, target.subarray(at, at + sizeBytes));
    return sizeBytes;
  }

  /** @throws checksum for pages that this machine has lost: the next read fetches them */
  #readBorrowed(origin: Origin, offsetBytes: number, target: Uint8Array): void {
    const end = Math.min(offsetBytes + target.length, origin.endBytes);
    const runs = origin.borrowed.runsIn(Math.floor(offsetBytes / PAGE_BYTES), Math.ceil(end / PAGE_BYTES) - 1);
    for (const [first, last] of runs) {
      const bytes = this.#borrowedBytes(origin, first, last);
      const from = Math.max(offsetBytes, first * PAGE_BYTES);
      const to = Math.min(end, (last + 1) * PAGE_BYTES);
      target.set(bytes.subarray(from - first * PAGE_BYTES, to - first * PAGE_BYTES), from - offsetBytes);
    }
  }

  #borrowedBytes({ borrowed, pages, row, shared }: Origin, first: number, last: number): Uint8Array {
    const bytes = Buffer.allocUnsafe((last - first + 1) * PAGE_BYTES);
    const isRight = shared?.read(first, bytes) === true;
    this.closeIdle();
    if (isRight) return bytes;
    borrowed.remove(first, last);
    pages.remove(first, last);
    throw fail("checksum", `shared pages ${first} to ${last} of '${row.name}' are not what was fetched`, {
      hint: "This machine has lost them. They are fetched again.",
    });
  }

  /** Takes borrowed pages here, because their bytes are about to change or to be named otherwise. */
  #takeOver(origin: Origin, first: number, last: number): void {
    for (const run of origin.borrowed.runsIn(first, last))
      for (let page = run[0]; page <= run[1]; page += COPY_PAGES) {
        const end = Math.min(run[1], page + COPY_PAGES - 1);
        const bytes = this.#borrowedBytes(origin, page, end);
        this.#write(bytes.subarray(0, Math.min(bytes.length, origin.endBytes - page * PAGE_BYTES)), page * PAGE_BYTES);
        origin.borrowed.remove(page, end);
        origin.pages.remove(page, end);
        this.#keep(origin, page, end, "fetched");
      }
  }

  /**
   * Keeps those of the fetched bytes whose pages are missing. They begin at a page and end at a page or with the
   * backup's file. Verified by the caller. @throws fileWrite, with the file's path, for a failure of this machine
   */
  fill(origin: Origin, offsetBytes: number, bytes: Uint8Array): void {
    const end = offsetBytes + bytes.length;
    assert(offsetBytes % PAGE_BYTES === 0, "fetched bytes that begin inside a page");
    assert(end === origin.row.sizeBytes || end % PAGE_BYTES === 0, "fetched bytes that end inside a page");
    // None if the file left the backup while the bytes were on their way.
    const missing = this.#leaving.reduce(withoutRun, this.missingIn(offsetBytes, bytes.length));
    for (const [first, last] of missing) {
      const from = first * PAGE_BYTES;
      const to = Math.min((last + 1) * PAGE_BYTES, origin.endBytes);
      assert(to > from, "fetched bytes behind a cut");
      try {
        if (origin.shared !== null && to === (last + 1) * PAGE_BYTES) {
          origin.shared.write(first, bytes.subarray(from - offsetBytes, to - offsetBytes));
          this.closeIdle();
          origin.pages.add(first, last);
          origin.borrowed.add(first, last);
          continue;
        }
        this.#write(bytes.subarray(from - offsetBytes, to - offsetBytes), from);
        this.#keep(origin, first, last, "fetched");
      } catch (error) {
        const path = this.localPath;
        throw isError(error) ? error : systemError("fileWrite", `write '${path}'`, path, error);
      }
    }
  }

  write(offsetBytes: number, data: Uint8Array): void {
    assert(this.missingEdges(offsetBytes, data.length).length === 0, "a write into a page that is not there");
    if (data.length === 0) return;
    const origin = this.#origin;
    const first = Math.floor(offsetBytes / PAGE_BYTES);
    const last = Math.ceil((offsetBytes + data.length) / PAGE_BYTES) - 1;
    assert(this.leavingIn(offsetBytes, data.length).length === 0, "a write into space that is being given back");
    if (origin !== null) this.#takeOver(origin, first, last);
    // Before the write: a page that may hold it must never be dropped.
    if (origin !== null)
      for (const run of origin.clean.runsIn(first, last)) {
        this.#note(origin, "present", run);
        origin.clean.remove(...run);
      }
    this.#write(data, offsetBytes);
    this.sizeBytes = Math.max(this.sizeBytes, offsetBytes + data.length);
    if (origin !== null) this.#keep(origin, first, last, "present");
  }

  /** What was behind a smaller size is gone, and reads as zeros if the file grows again. */
  async truncate(sizeBytes: number): Promise<void> {
    while (this.#leaving.length > 0) await this.#left;
    const origin = this.#origin;
    if (origin !== null && sizeBytes < origin.endBytes) return this.keptWhile(() => this.#cut(origin, sizeBytes));
    this.#with((fd) => ftruncateSync(fd, sizeBytes));
    this.sizeBytes = sizeBytes;
  }

  async #cut(origin: Origin, sizeBytes: number): Promise<void> {
    const file = origin.index;
    this.#journal.append({ kind: "cut", file, sizeBytes });
    try {
      await this.#journal.sync();
      this.#with((fd) => ftruncateSync(fd, sizeBytes));
    } catch (error) {
      // For the server the file keeps its length.
      this.#journal.conclude({ kind: "kept", file });
      throw error;
    }
    this.sizeBytes = sizeBytes;
    endAt(origin, sizeBytes);
    origin.endBytes = sizeBytes;
    this.#journal.conclude({ kind: "cut-done", file });
  }

  /** Everything that was written before is on the disk when it resolves, and the journal knows it. */
  async sync(): Promise<void> {
    // What an earlier sync has taken over is certain when that one has ended.
    const earlier = this.#syncing.map(({ done }) => done);
    const syncing: Syncing = { runs: this.#fresh, done: Promise.resolve() };
    this.#fresh = [];
    this.#syncing.push(syncing);
    syncing.done = Promise.all([this.#syncRuns(syncing, earlier), ...earlier]);
    await syncing.done;
  }

  async #syncRuns(syncing: Syncing, earlier: readonly Promise<unknown>[]): Promise<void> {
    this.opens++;
    try {
      // One at a time: the kernel reports a failure to one of them only.
      if (earlier.length > 0) await Promise.allSettled(earlier);
      await this.#syncData();
      const origin = this.#origin;
      if (origin !== null) for (const run of mergeRuns(syncing.runs)) this.#note(origin, "durable", run);
      await this.#journal.sync();
    } catch (error) {
      this.#fresh.push(...syncing.runs);
      throw error;
    } finally {
      this.#syncing = this.#syncing.filter((other) => other !== syncing);
      this.opens--;
      this.closeIdle();
    }
  }

  async #syncData(): Promise<void> {
    if (this.#isDoubtful) this.#writeAgain();
    try {
      if (this.#isRenamed && !this.#isRemoved) {
        await syncDirectory(dirname(this.#path()));
        this.#isRenamed = false;
      }
      await dataSync(this.#open());
    } catch (error) {
      this.distrust();
      throw error;
    }
  }

  /**
   * A sync has failed. The kernel says so once, and may keep pages in memory that it will never write: the next sync
   * would succeed, and a restart of the machine bring holes.
   */
  distrust(): void {
    this.#isDoubtful = true;
    try {
      this.#writeAgain();
    } catch {
      // Tried again before the next sync.
    }
  }

  /** What was fetched is fetched again, and what was written is written again as it is in memory. */
  #writeAgain(): void {
    for (const [first, last] of this.#uncertain()) this.drop(first, last);
    const buffer = Buffer.allocUnsafe(COPY_PAGES * PAGE_BYTES);
    for (const [first, last] of mergeRuns(this.#uncertain()))
      for (let page = first; page <= last; page += COPY_PAGES) {
        const offsetBytes = page * PAGE_BYTES;
        const wanted = buffer.subarray(0, Math.min(COPY_PAGES, last - page + 1) * PAGE_BYTES);
        const sizeBytes = this.#with((fd) => readSync(fd, wanted, 0, wanted.length, offsetBytes));
        this.#write(wanted.subarray(0, sizeBytes), offsetBytes);
      }
    this.#isDoubtful = false;
  }

  #uncertain(): PageRun[] {
    return [...this.#fresh, ...this.#syncing.flatMap(({ runs }) => runs)];
  }

  /**
   * Forgets fetched pages: from now on they are missing. Returns them for {@link punch}, which must wait until the
   * journal is on the disk.
   */
  drop(first: number, last: number): PageRun[] {
    const origin = this.#origin;
    if (origin === null || this.#keepers > 0) return [];
    const runs = origin.clean.runsIn(first, last);
    if (runs.length > 0) this.dropCount++;
    for (const run of runs) {
      this.#note(origin, "dropped", run);
      origin.clean.remove(...run);
      origin.pages.remove(...run);
      // They may come back before a sync that has begun ends: it does not make those certain.
      this.#fresh = withoutRun(this.#fresh, run);
      for (const syncing of this.#syncing) syncing.runs = withoutRun(syncing.runs, run);
    }
    return runs;
  }

  /** Pages of a range of bytes whose space is being given back. {@link untilLeft} */
  leavingIn(offsetBytes: number, sizeBytes: number): readonly PageRun[] {
    const [begin, end] = [Math.floor(offsetBytes / PAGE_BYTES), Math.ceil((offsetBytes + sizeBytes) / PAGE_BYTES) - 1];
    return this.#leaving.filter(([first, last]) => first <= end && begin <= last);
  }

  /** Null if the space of none of these pages is being given back. */
  untilLeft(runs: readonly PageRun[]): Promise<void> | null {
    const isLeaving = this.#leaving.some(([first, last]) => runs.some(([begin, end]) => first <= end && begin <= last));
    return isLeaving ? this.#left : null;
  }

  /**
   * Begins to give the space of dropped pages back, except of those that came back: no other may come until the caller
   * has called `end`.
   */
  leave(runs: readonly PageRun[]): Leaving[] {
    const { pages } = this.#origin ?? {};
    const leaving = pages === undefined ? [] : runs.flatMap(([first, last]) => pages.missingRuns(first, last));
    if (leaving.length === 0) return [];
    const fd = this.#open();
    this.opens++;
    this.#leaving = leaving;
    let leave = (): void => {};
    this.#left = new Promise((resolve) => {
      leave = resolve;
    });
    const end = (): void => {
      this.#leaving = [];
      this.opens--;
      this.closeIdle();
      leave();
    };
    const ranges = leaving.map(([first, last]) => ({
      offsetBytes: first * PAGE_BYTES,
      sizeBytes: (last - first + 1) * PAGE_BYTES,
    }));
    return [{ fd, ranges, end }];
  }

  /**
   * Gives the space of the whole file back, if nothing of it is here: a new sparse file takes its name. A kill leaves
   * either. @param spare path for it on the same file system
   */
  async renew(spare: string): Promise<boolean> {
    if (!this.#isEmpty) return false;
    rmSync(spare, { force: true });
    const fd = openSync(spare, "wx", 0o600);
    try {
      ftruncateSync(fd, this.sizeBytes);
      fchmodSync(fd, lstatSync(this.#path()).mode & 0o777);
      // The size is on the disk before the name: a loss of power must not leave a shorter file.
      await dataSync(fd);
    } finally {
      closeSync(fd);
    }
    // In one step: no page has come in the meantime, and none can.
    if (!this.#isEmpty) {
      rmSync(spare);
      return false;
    }
    renameSync(spare, this.#path());
    this.#isRenamed = true;
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    return true;
  }

  /** Nothing of it is here, and nothing uses its descriptor. */
  get #isEmpty(): boolean {
    const origin = this.#origin;
    const isIdle = this.#syncing.length === 0 && this.#leaving.length === 0 && this.#keepers === 0 && !this.#isRemoved;
    return isIdle && origin?.pages.presentCount === 0 && this.sizeBytes === origin.row.sizeBytes;
  }

  /** No page is dropped while it works. */
  async keptWhile(work: () => Promise<void>): Promise<void> {
    this.#keepers++;
    try {
      await work();
    } finally {
      this.#keepers--;
    }
  }

  /** Cuts the file off from the backup. Its pages are all there. */
  async own(): Promise<void> {
    const origin = this.#origin;
    if (origin === null) return;
    assert(origin.pages.missingCount === 0, "a file that is not whole");
    this.#takeOver(origin, 0, origin.pages.count - 1);
    await this.sync();
    this.#journal.append({ kind: "own", file: origin.index });
    // Also if the sync fails: for the journal its pages are no longer the backup's, so none may be dropped.
    this.#origin = null;
    await this.#journal.sync();
  }

  /** A sync of everything that began when all pages were there has ended. */
  settled(): void {
    const origin = this.#origin;
    if (origin === null) return;
    assert(origin.borrowed.presentCount === 0, "a file whose pages are elsewhere");
    this.#note(origin, "durable", [0, origin.pages.count - 1]);
    this.#fresh = [];
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
    this.#origin?.shared?.close();
    if (this.#isRemoved) this.release();
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  /** The journal knows first: a page that it does not know is missing after a kill. */
  #keep(origin: Origin, first: number, last: number, kind: "fetched" | "present"): void {
    for (const run of origin.pages.missingRuns(first, last)) {
      this.#note(origin, kind, run);
      origin.pages.add(...run);
      this.#fresh.push(run);
      if (kind === "present") continue;
      origin.clean.add(...run);
      origin.onFill(run);
    }
  }

  #note({ index }: Origin, kind: "dropped" | "durable" | "fetched" | "present", run: PageRun): void {
    this.#journal.append({ kind, file: index, run });
  }

  #write(bytes: Uint8Array, offsetBytes: number): void {
    this.#with((fd) => writeFully(fd, bytes, offsetBytes, this.localPath));
  }

  #with<T>(work: (fd: number) => T): T {
    try {
      return work(this.#open());
    } finally {
      this.closeIdle();
    }
  }

  #open(): number {
    if (this.#fd < 0) this.#fd = openAnyMode(this.#path());
    return this.#fd;
  }
}

/** The kernel has judged the file's mode already, and pages must be written whatever it is. */
function openAnyMode(path: string): number {
  // Not through a link: the names are ours, but what they lead to must be too.
  const open = (): number => openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    return open();
  } catch (error) {
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (systemCodeOf(error) !== "EACCES" || info?.isFile() !== true) throw error;
    chmodSync(path, info.mode | 0o600);
    try {
      return open();
    } finally {
      chmodSync(path, info.mode);
    }
  }
}
