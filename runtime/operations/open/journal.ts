/**
 * Appends to the journal of an upper directory (its lines: journalEntries.ts), and writes a new one of the fewest
 * lines when it has grown, and when its sync has failed: the kernel reports lost bytes once, and then forgets them.
 */
import { dirname } from "node:path";
import { utf8 } from "../../base/bytes";
import { assert } from "../../base/errors";
import {
  closeSync,
  constants,
  fdatasync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "../../local/nodeFiles";
import { syncDirectorySync } from "../../local/atomicWrite";
import { type JournalEntry, renderEntry } from "./journalEntries";
import type { JournalState } from "./journalState";

/** Ends a line that may be torn, so that it never counts: it may lack nothing but its end. */
const TORN = "~\n";
const SIZE_BYTES_MIN = 16 * 1024 * 1024;
const BLOCK_BYTES = 1024 * 1024;

type WriteSome = (fd: number, bytes: Uint8Array) => number;

interface Merging {
  readonly path: string;
  /** Everything that the journal says. */
  readonly state: JournalState;
  /** A file that is not larger stays as it is. */
  readonly sizeBytesMin?: number;
}

export class Journal {
  #fd: number;
  readonly #writeSome: WriteSome;
  readonly #merging: Merging | null;
  /** Entries that must not be lost, and how many of them are on the disk. */
  #count = 0;
  #syncedCount = 0;
  /** The last line is, after an earlier process or a full disk. */
  #mayBeTorn = true;
  /** A sync has failed: what was written before may be lost. */
  #isDoubtful = false;
  /** What has happened and could not be written yet. */
  readonly #unwritten: JournalEntry[] = [];
  #syncing: Promise<void> | null = null;
  /** The earlier file, while it is synced. */
  #retiredFd = -1;
  #sizeBytes = 0;
  #sizeBytesMax: number;

  /** `writeSome` returns how many of the bytes it has written. Without `merging` the file only grows. */
  constructor(fd: number, writeSome: WriteSome = writeSync, merging: Merging | null = null) {
    this.#fd = fd;
    this.#writeSome = writeSome;
    this.#merging = merging;
    this.#sizeBytesMax = this.#sizeBytesMin;
  }

  get #sizeBytesMin(): number {
    return this.#merging?.sizeBytesMin ?? SIZE_BYTES_MIN;
  }

  /** In the file when it returns: a killed process loses nothing. It does not count if it throws. */
  append(entry: JournalEntry): void {
    this.#writeUnwritten();
    this.#write(entry);
    this.#mergeGrown();
  }

  /** The end of a step that has happened: if it cannot be written now, it comes before everything else. */
  conclude(entry: JournalEntry): void {
    this.#unwritten.push(entry);
    try {
      this.#writeUnwritten();
    } catch {
      // The next append or sync says why.
    }
  }

  /** On the disk when it resolves. */
  async sync(): Promise<void> {
    if (this.#isDoubtful) this.merge();
    this.#writeUnwritten();
    const count = this.#count;
    // One at a time: the kernel reports a failure to one of them only.
    while (this.#syncedCount < count) {
      if (this.#syncing !== null) {
        await this.#syncing.catch(() => {});
        continue;
      }
      this.#syncing = this.#syncOnce().finally(() => {
        this.#syncing = null;
      });
      await this.#syncing;
    }
  }

  async #syncOnce(): Promise<void> {
    const count = this.#count;
    try {
      await dataSync(this.#fd);
      this.#syncedCount = Math.max(this.#syncedCount, count);
    } catch (error) {
      // A new file may have everything in the meantime.
      if (this.#syncedCount >= count) return;
      if (this.#merging?.state.isComplete !== true) throw error;
      this.#isDoubtful = true;
      this.merge();
    } finally {
      if (this.#retiredFd >= 0) closeSync(this.#retiredFd);
      this.#retiredFd = -1;
    }
  }

  /** A new file of the fewest lines, on the disk when it returns. The old one stays if it throws. */
  merge(): void {
    const merging = this.#merging;
    assert(merging?.state.isComplete === true, "a journal that cannot be merged");
    // They have happened. To say them again changes nothing.
    for (const entry of this.#unwritten) merging.state.apply(entry);
    const made = `${merging.path}.new`;
    const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    rmSync(made, { force: true });
    const fd = openSync(made, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    let sizeBytes: number;
    try {
      sizeBytes = this.#writeLines(fd, merging.state.lines());
      fsyncSync(fd);
      renameSync(made, merging.path);
    } catch (error) {
      closeSync(fd);
      rmSync(made, { force: true });
      throw error;
    }
    // Until its name is on the disk, a loss of power brings the old one back.
    this.#isDoubtful = true;
    this.#replaceFile(fd, sizeBytes);
    syncDirectorySync(dirname(merging.path));
    this.#isDoubtful = false;
    this.#syncedCount = this.#count;
  }

  #replaceFile(fd: number, sizeBytes: number): void {
    if (this.#syncing !== null && this.#retiredFd < 0) this.#retiredFd = this.#fd;
    else closeSync(this.#fd);
    this.#fd = fd;
    this.#unwritten.length = 0;
    this.#mayBeTorn = false;
    this.#sizeBytes = sizeBytes;
    this.#sizeBytesMax = Math.max(this.#sizeBytesMin, 2 * sizeBytes);
  }

  #mergeGrown(): void {
    if (this.#merging === null || !this.#merging.state.isComplete || this.#sizeBytes <= this.#sizeBytesMax) return;
    try {
      this.merge();
    } catch {
      // Nothing is lost, and a full disk has space later.
      this.#sizeBytesMax = 2 * this.#sizeBytes;
    }
  }

  #writeLines(fd: number, lines: Iterable<string>): number {
    let sizeBytes = 0;
    let text = "";
    const flush = (): void => {
      const bytes = utf8(text);
      text = "";
      this.#writeAll(fd, bytes);
      sizeBytes += bytes.length;
    };
    for (const line of lines) {
      text += line;
      if (text.length >= BLOCK_BYTES) flush();
    }
    flush();
    return sizeBytes;
  }

  #writeUnwritten(): void {
    for (let entry = this.#unwritten[0]; entry !== undefined; entry = this.#unwritten[0]) {
      this.#write(entry);
      this.#unwritten.shift();
    }
  }

  #write(entry: JournalEntry): void {
    assert(this.#fd >= 0, "an entry after the journal's end");
    const bytes = utf8(`${this.#mayBeTorn ? TORN : ""}${renderEntry(entry)}`);
    this.#mayBeTorn = true;
    this.#writeAll(this.#fd, bytes);
    this.#mayBeTorn = false;
    this.#sizeBytes += bytes.length;
    this.#merging?.state.apply(entry);
    // A lost one costs a fetch.
    if (entry.kind !== "present" && entry.kind !== "fetched") this.#count++;
  }

  #writeAll(fd: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += this.#writeSome(fd, bytes.subarray(done));
  }

  /** A fetch that comes later must not write into another file of the same number. */
  close(): void {
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

export function dataSync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
  });
}
