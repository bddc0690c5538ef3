/**
 * Fetched pages that clones of one backup share: one file for each of its files, with a checksum for each page.
 *
 * ```
 * <directory>/<boot>-<rows>/<index>    0600, sparse: a CRC-32 for each page, then the pages
 * ```
 * Nothing of it is synced, so that it counts only until the machine restarts or the file system is mounted again: its
 * folder has that as part of its name. Several processes write the same verified bytes. A page counts when its checksum
 * is there, which is written after it, and each read compares both: whatever this machine loses, it is never a wrong
 * page, but one that is fetched again.
 */
import { crc32 } from "node:zlib";
import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  writeFully,
} from "../../local/nodeFiles";
import { PAGE_BYTES, type PageRun, runsOf } from "../open/pageSet";

const MARK_BYTES = 4;
/** Stands for a checksum of zero, which means that there is no page. */
const ZERO_MARK = 1;

export interface SharedLocation {
  readonly directory: string;
  /** Identifies this start of the machine and this mount. */
  readonly boot: string;
  /** Identifies the backup's files. */
  readonly rows: string;
}

export class SharedPages {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Removes what is from before the last start of the machine. */
  static open({ boot, directory, rows }: SharedLocation): SharedPages {
    for (const name of readdirSync(directory))
      if (!name.startsWith(`${boot}-`)) rmSync(`${directory}/${name}`, { recursive: true, force: true });
    const folder = `${directory}/${boot}-${rows}`;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return new SharedPages(folder);
  }

  /** Null for a file whose last page is not whole, or that is not worth a file of its own. */
  file(index: number, sizeBytes: number): SharedFile | null {
    if (sizeBytes === 0 || sizeBytes % PAGE_BYTES !== 0) return null;
    return new SharedFile(`${this.#folder}/${index}`, sizeBytes / PAGE_BYTES);
  }
}

export class SharedFile {
  readonly #path: string;
  readonly #count: number;
  #fd = -1;

  constructor(path: string, count: number) {
    this.#path = path;
    this.#count = count;
  }

  /** Pages of a run that are there. */
  presentIn([first, last]: PageRun): PageRun[] {
    const end = Math.min(last, this.#count - 1);
    if (end < first || (this.#fd < 0 && !existsSync(this.#path))) return [];
    const marks = this.#marks(first, end);
    const pages: number[] = [];
    for (let page = first; page <= end; page++)
      if (marks.readUInt32LE((page - first) * MARK_BYTES) !== 0) pages.push(page);
    return runsOf(pages);
  }

  /** Whole pages from `first` on. */
  write(first: number, bytes: Uint8Array): void {
    const count = bytes.length / PAGE_BYTES;
    const marks = Buffer.alloc(count * MARK_BYTES);
    for (let page = 0; page < count; page++)
      marks.writeUInt32LE(markOf(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES)), page * MARK_BYTES);
    this.#write(bytes, this.#offsetOf(first));
    this.#write(marks, first * MARK_BYTES);
  }

  /** False if a page of them is not what was written: from then on it is missing. @param target whole pages */
  read(first: number, target: Uint8Array): boolean {
    const count = target.length / PAGE_BYTES;
    const marks = this.#marks(first, first + count - 1);
    const sizeBytes = readSync(this.#open(), target, 0, target.length, this.#offsetOf(first));
    let isRight = sizeBytes === target.length;
    for (let page = 0; page < count; page++) {
      const own = target.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      if (marks.readUInt32LE(page * MARK_BYTES) === markOf(own)) continue;
      isRight = false;
      this.#write(Buffer.alloc(MARK_BYTES), (first + page) * MARK_BYTES);
    }
    return isRight;
  }

  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #offsetOf(page: number): number {
    return Math.ceil((this.#count * MARK_BYTES) / PAGE_BYTES) * PAGE_BYTES + page * PAGE_BYTES;
  }

  #marks(first: number, last: number): Buffer {
    const marks = Buffer.alloc((last - first + 1) * MARK_BYTES);
    readSync(this.#open(), marks, 0, marks.length, first * MARK_BYTES);
    return marks;
  }

  #write(bytes: Uint8Array, offsetBytes: number): void {
    writeFully(this.#open(), bytes, offsetBytes, this.#path);
  }

  #open(): number {
    if (this.#fd >= 0) return this.#fd;
    this.#fd = openSync(this.#path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    // So that a read of a page that nobody has written finds zeros, as of a mark.
    ftruncateSync(this.#fd, this.#offsetOf(this.#count));
    return this.#fd;
  }
}

function markOf(page: Uint8Array): number {
  return crc32(page) || ZERO_MARK;
}
