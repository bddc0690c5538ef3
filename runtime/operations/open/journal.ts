/**
 * The journal of an upper directory: which pages of the backup's files are there, and which names no longer belong to
 * the backup. The upper directory alone cannot say it: a hole looks like zeros.
 *
 * ```
 * <crc32c of the text, 8 hex> <text>
 *   session BOOT          a process begins to serve, on this start of the machine
 *   fetched FILE A B      pages A to B are there, as in the backup; after a restart of the machine nobody knows
 *   present FILE A B      … and may hold writes
 *   durable FILE A B      pages A to B are on the disk
 *   dropped FILE A B      they are missing again, and their space may be given back
 *   cut FILE BYTES · cut-done FILE        before and after a truncation
 *   remove FILE · removed FILE            before and after an unlink
 *   kept FILE             instead of the end of either: it failed, and changed nothing
 *   own FILE              the file at this name is whole, and no longer the backup's
 *   whole                 every file is, on the disk: nothing belongs to the backup any more
 * ```
 * FILE is the index of the manifest's row. An intent without its end is carried out at the next start, which writes its
 * end: the server was not told that it happened, and repeats it if it needs to. A line with a wrong checksum does not
 * count.
 */
import { closeSync, fdatasync, writeSync } from "../../local/nodeFiles";
import { utf8 } from "../../base/bytes";
import { assert } from "../../base/errors";
import { crc32c } from "../../format/codec/crc32c";
import { PAGE_BYTES, type PageRun } from "./pageSet";

type RunKind = "fetched" | "present" | "durable" | "dropped";

export type JournalEntry =
  | { readonly kind: "session"; readonly boot: string }
  | { readonly kind: "whole" }
  | { readonly kind: RunKind; readonly file: number; readonly run: PageRun }
  | { readonly kind: "cut"; readonly file: number; readonly sizeBytes: number }
  | { readonly kind: "cut-done" | "remove" | "removed" | "kept" | "own"; readonly file: number };

/**
 * `clean`: there, as in the backup. `there`: it may hold writes. `durable`: there, and it stays as clean as it was.
 * `dropped`: missing again.
 */
export type PageFate = "clean" | "there" | "durable" | "dropped";

/** What the journal says about one file of the backup. */
export interface FileHistory {
  /** The backup's content of the missing pages still belongs to the file of this name. */
  isBound: boolean;
  /** What happened to its pages, in this order. */
  readonly runs: (readonly [fate: PageFate, run: PageRun])[];
  /** The smallest size that the file had. */
  endBytes: number;
  /** Size of a truncation that may not have happened. */
  pendingCutBytes: number | null;
  /** An unlink that may not have happened. */
  isPendingRemove: boolean;
}

export function renderEntry(entry: JournalEntry): string {
  const text = textOf(entry);
  return `${checksumOf(text)} ${text}\n`;
}

function textOf(entry: JournalEntry): string {
  switch (entry.kind) {
    case "session":
      return `session ${entry.boot}`;
    case "whole":
      return entry.kind;
    case "fetched":
    case "present":
    case "durable":
    case "dropped":
      return `${entry.kind} ${entry.file} ${entry.run[0]} ${entry.run[1]}`;
    case "cut":
      return `cut ${entry.file} ${entry.sizeBytes}`;
    default:
      return `${entry.kind} ${entry.file}`;
  }
}

function checksumOf(text: string): string {
  return crc32c(Buffer.from(text)).toString(16).padStart(8, "0");
}

const NUMBER = "(\\d{1,15})";
const PAGES = new RegExp(`^(fetched|present|durable|dropped) ${NUMBER} ${NUMBER} ${NUMBER}$`);
const CUT = new RegExp(`^cut ${NUMBER} ${NUMBER}$`);
const PLAIN = new RegExp(`^(cut-done|remove|removed|kept|own) ${NUMBER}$`);

/**
 * The intact entries. A process that was killed may have torn its last line, and a machine that lost its power may have
 * lost whole ones: what they said was not promised to anybody.
 */
export function parseJournal(text: string): JournalEntry[] {
  // Behind the last line's end is at most an entry that was refused.
  const lines = text.split("\n").slice(0, -1);
  return lines.flatMap((line) => parseLine(line) ?? []);
}

function parseLine(line: string): JournalEntry | null {
  const text = line.slice(9);
  if (line[8] !== " " || checksumOf(text) !== line.slice(0, 8)) return null;
  const [, kind, file, first, last] = PAGES.exec(text) ?? [];
  if (kind !== undefined) return { kind: kind as RunKind, file: Number(file), run: [Number(first), Number(last)] };
  const [, cutFile, sizeBytes] = CUT.exec(text) ?? [];
  if (cutFile !== undefined) return { kind: "cut", file: Number(cutFile), sizeBytes: Number(sizeBytes) };
  const [, plain, plainFile] = PLAIN.exec(text) ?? [];
  if (plain !== undefined) return { kind: plain as "own", file: Number(plainFile) };
  if (text === "whole") return { kind: "whole" };
  const [, boot] = /^session ([0-9a-f-]{1,64})$/.exec(text) ?? [];
  return boot === undefined ? null : { kind: "session", boot };
}

/** What is certain on this start of the machine. */
export function replayJournal(entries: readonly JournalEntry[], boot: string): Map<number, FileHistory> {
  const histories = new Map<number, FileHistory>();
  const historyOf = (file: number): FileHistory => {
    const known = histories.get(file);
    if (known !== undefined) return known;
    const made: FileHistory = {
      isBound: true,
      runs: [],
      endBytes: Number.POSITIVE_INFINITY,
      pendingCutBytes: null,
      isPendingRemove: false,
    };
    histories.set(file, made);
    return made;
  };
  let isThisBoot = false;
  for (const entry of entries) {
    if (entry.kind === "session") isThisBoot = entry.boot === boot;
    else if (entry.kind !== "whole") applyEntry(historyOf(entry.file), entry, isThisBoot);
  }
  return histories;
}

/** Nothing belongs to the backup any more: the upper directory is a data directory like any other. */
export function isWholeJournal(entries: readonly JournalEntry[]): boolean {
  return entries.some(({ kind }) => kind === "whole");
}

export function applyEntry(
  history: FileHistory,
  entry: Extract<JournalEntry, { file: number }>,
  isThisBoot: boolean,
): void {
  switch (entry.kind) {
    case "fetched":
      if (isThisBoot) history.runs.push(["clean", entry.run]);
      break;
    case "present":
      if (isThisBoot) history.runs.push(["there", entry.run]);
      break;
    case "durable":
      history.runs.push(["durable", entry.run]);
      break;
    case "dropped":
      history.runs.push(["dropped", entry.run]);
      break;
    case "cut":
      history.pendingCutBytes = entry.sizeBytes;
      break;
    case "cut-done":
      if (history.pendingCutBytes === null) break;
      history.runs.push(["there", [pagesBefore(history.pendingCutBytes), Number.MAX_SAFE_INTEGER]]);
      history.endBytes = Math.min(history.endBytes, history.pendingCutBytes);
      history.pendingCutBytes = null;
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

/** Pages that begin before an offset. */
export function pagesBefore(sizeBytes: number): number {
  return Math.ceil(sizeBytes / PAGE_BYTES);
}

/** Ends a line that may be torn, so that it never counts: it may lack nothing but its end. */
const TORN = "~\n";

/** Appends to the journal's file. */
export class Journal {
  #fd: number;
  readonly #writeSome: (fd: number, bytes: Uint8Array) => number;
  /** Entries that must not be lost, and how many of them are on the disk. */
  #count = 0;
  #syncedCount = 0;
  /** The last line is, after an earlier process or a full disk. */
  #mayBeTorn = true;
  /** What has happened and could not be written yet. */
  readonly #unwritten: JournalEntry[] = [];

  /** `writeSome` returns how many of the bytes it has written. */
  constructor(fd: number, writeSome: (fd: number, bytes: Uint8Array) => number = writeSync) {
    this.#fd = fd;
    this.#writeSome = writeSome;
  }

  /** In the file when it returns: a killed process loses nothing. It does not count if it throws. */
  append(entry: JournalEntry): void {
    this.#writeUnwritten();
    this.#write(entry);
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
    this.#writeUnwritten();
    const count = this.#count;
    if (this.#syncedCount >= count) return;
    await dataSync(this.#fd);
    this.#syncedCount = Math.max(this.#syncedCount, count);
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
    for (let done = 0; done < bytes.length; ) done += this.#writeSome(this.#fd, bytes.subarray(done));
    this.#mayBeTorn = false;
    // A lost one costs a fetch.
    if (entry.kind !== "present" && entry.kind !== "fetched") this.#count++;
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
