/**
 * What a journal's entries say together: a few bits for each page, however many entries there are. The same rules read
 * the journal of an earlier process and follow the entries of this one.
 */
import type { ManifestFile } from "../../format/repository/manifest";
import { type JournalEntry, renderBits, renderEntry, type RunKind } from "./journalEntries";
import { PAGE_BYTES, type PageRun, PageSet, runsOf } from "./pageSet";

/** What the journal says about one file of the backup. */
export interface FileHistory {
  /** The backup's content of the missing pages still belongs to the file of this name. */
  isBound: boolean;
  /** Pages that are there, as in the backup. */
  readonly clean: PageSet;
  /** Pages that hold writes which a loss of power may take. */
  readonly unsynced: PageSet;
  /** Pages that are on the disk. */
  readonly durable: PageSet;
  /** The smallest size that the file had: pages behind it are there, and empty. */
  endBytes: number;
  /** Size of a truncation that may not have happened. */
  pendingCutBytes: number | null;
  /** An unlink that may not have happened. */
  isPendingRemove: boolean;
}

type FileEntry = Extract<JournalEntry, { file: number }>;

export class JournalState {
  /** Nothing belongs to the backup any more: the upper directory is a data directory like any other. */
  isWhole = false;
  readonly #rows: readonly Pick<ManifestFile, "sizeBytes">[];
  readonly #boot: string;
  readonly #histories = new Map<number, FileHistory>();
  #isThisBoot = false;
  #hasUnknown = false;

  /** `boot` identifies this start of the machine. */
  constructor(rows: readonly Pick<ManifestFile, "sizeBytes">[], boot: string) {
    this.#rows = rows;
    this.#boot = boot;
  }

  /** False if entries name files that are not in the backup: they must stay. */
  get isComplete(): boolean {
    return this.isWhole || !this.#hasUnknown;
  }

  get histories(): ReadonlyMap<number, FileHistory> {
    return this.#histories;
  }

  apply(entry: JournalEntry): void {
    if (entry.kind === "session") this.#isThisBoot = entry.boot === this.#boot;
    else if (entry.kind === "whole") this.isWhole = true;
    else {
      const history = this.#historyOf(entry.file);
      if (history === null) this.#hasUnknown = true;
      else applyEntry(history, entry, this.#isThisBoot);
    }
  }

  #historyOf(file: number): FileHistory | null {
    const row = this.#rows[file];
    const known = this.#histories.get(file);
    if (known !== undefined || row === undefined) return known ?? null;
    const made: FileHistory = {
      isBound: true,
      clean: new PageSet(row.sizeBytes),
      unsynced: new PageSet(row.sizeBytes),
      durable: new PageSet(row.sizeBytes),
      endBytes: Number.POSITIVE_INFINITY,
      pendingCutBytes: null,
      isPendingRemove: false,
    };
    this.#histories.set(file, made);
    return made;
  }

  /** The fewest lines that say the same, on this start of the machine and on later ones. */
  *lines(): Iterable<string> {
    yield renderEntry({ kind: "session", boot: this.#boot });
    if (this.isWhole) return yield renderEntry({ kind: "whole" });
    for (const [file, history] of this.#histories) yield* linesOf(file, history);
  }
}

function* linesOf(file: number, history: FileHistory): Iterable<string> {
  const { clean, durable, endBytes, isBound, isPendingRemove, pendingCutBytes, unsynced } = history;
  if (!isBound) return yield renderEntry({ kind: "own", file });
  if (Number.isFinite(endBytes)) {
    yield renderEntry({ kind: "cut", file, sizeBytes: endBytes });
    yield renderEntry({ kind: "cut-done", file });
  }
  // In this order: what was written after it was synced is both.
  yield* pagesOf("fetched", file, clean);
  yield* pagesOf("durable", file, durable);
  yield* pagesOf("present", file, unsynced);
  if (pendingCutBytes !== null) yield renderEntry({ kind: "cut", file, sizeBytes: pendingCutBytes });
  if (isPendingRemove) yield renderEntry({ kind: "remove", file });
}

/** As many pages as a line of bits names. */
const WINDOW_PAGES = 8 * 4096;
/** As many lines of runs are as long as that line. */
const RUNS_MAX = 256;

function* pagesOf(kind: Exclude<RunKind, "dropped">, file: number, pages: PageSet): Iterable<string> {
  if (pages.presentCount === 0) return;
  for (let first = 0; first < pages.count; first += WINDOW_PAGES) {
    const runs = pages.runsIn(first, first + WINDOW_PAGES - 1);
    if (runs.length > RUNS_MAX) yield renderBits(kind, file, first, pages.bitsFrom(first, WINDOW_PAGES));
    else for (const run of runs) yield renderEntry({ kind, file, run });
  }
}

function applyEntry(history: FileHistory, entry: FileEntry, isThisBoot: boolean): void {
  const { clean, durable, unsynced } = history;
  switch (entry.kind) {
    case "fetched":
      if (isThisBoot) for (const run of missingIn(history, entry.run)) clean.add(...run);
      break;
    case "present":
      if (!isThisBoot) break;
      clean.remove(...entry.run);
      unsynced.add(...entry.run);
      break;
    case "durable":
      unsynced.remove(...entry.run);
      durable.add(...entry.run);
      break;
    case "dropped":
      for (const pages of [clean, durable, unsynced]) pages.remove(...entry.run);
      break;
    case "cut":
      history.pendingCutBytes = entry.sizeBytes;
      break;
    case "cut-done":
      if (history.pendingCutBytes === null) break;
      history.endBytes = Math.min(history.endBytes, history.pendingCutBytes);
      history.pendingCutBytes = null;
      clean.remove(pagesBefore(history.endBytes), clean.count - 1);
      break;
    case "remove":
      history.isPendingRemove = true;
      break;
    case "kept":
      history.pendingCutBytes = null;
      history.isPendingRemove = false;
      break;
    case "removed":
      history.isPendingRemove = false;
      history.isBound = false;
      break;
    case "own":
      history.isBound = false;
      break;
  }
}

function missingIn({ clean, durable, endBytes, unsynced }: FileHistory, [first, last]: PageRun): PageRun[] {
  const end = Math.min(last, pagesBefore(endBytes) - 1, clean.count - 1);
  const pages: number[] = [];
  for (let page = first; page <= end; page++)
    if (!clean.has(page) && !durable.has(page) && !unsynced.has(page)) pages.push(page);
  return runsOf(pages);
}

/** Pages that begin before an offset. */
export function pagesBefore(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES);
}
