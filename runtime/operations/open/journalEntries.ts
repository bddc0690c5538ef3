/**
 * The lines of an upper directory's journal: which pages of the backup's files are there, and which names no longer
 * belong to the backup. The upper directory alone cannot say it: a hole looks like zeros.
 *
 * ```
 * <crc32c of the text, 8 hex> <text>
 *   session BOOT          a process begins to serve, on this start of the machine and this mount of the file system
 *   fetched FILE A B      pages A to B are there, as in the backup; after a restart of the machine nobody knows
 *   present FILE A B      … and may hold writes
 *   durable FILE A B      pages A to B are on the disk
 *   fetched-bits FILE A HEX · present-bits · durable-bits   the same for many: from A on a bit for each page
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
import { closeSync, openSync, readSync } from "../../local/nodeFiles";
import { crc32c } from "../../format/codec/crc32c";
import { type PageRun, runsOf } from "./pageSet";

export type RunKind = "fetched" | "present" | "durable" | "dropped";

export type JournalEntry =
  | { readonly kind: "session"; readonly boot: string }
  | { readonly kind: "whole" }
  | { readonly kind: RunKind; readonly file: number; readonly run: PageRun }
  | { readonly kind: "cut"; readonly file: number; readonly sizeBytes: number }
  | { readonly kind: "cut-done" | "remove" | "removed" | "kept" | "own"; readonly file: number };

export function renderEntry(entry: JournalEntry): string {
  return lineOf(textOf(entry));
}

/** Pages from `first` on, a bit for each; at most 4096 bytes. */
export function renderBits(kind: Exclude<RunKind, "dropped">, file: number, first: number, bits: Uint8Array): string {
  return lineOf(`${kind}-bits ${file} ${first} ${Buffer.from(bits).toString("hex")}`);
}

function lineOf(text: string): string {
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
const BITS = new RegExp(`^(fetched|present|durable)-bits ${NUMBER} ${NUMBER} ((?:[0-9a-f]{2}){1,4096})$`);
const CUT = new RegExp(`^cut ${NUMBER} ${NUMBER}$`);
const PLAIN = new RegExp(`^(cut-done|remove|removed|kept|own) ${NUMBER}$`);

/**
 * The intact entries. A process that was killed may have torn its last line, and a machine that lost its power may have
 * lost whole ones: what they said was not promised to anybody.
 */
export function parseJournal(text: string): JournalEntry[] {
  // Behind the last line's end is at most an entry that was refused.
  const lines = text.split("\n").slice(0, -1);
  return lines.flatMap(parseLine);
}

function parseLine(line: string): JournalEntry[] {
  const text = line.slice(9);
  if (line[8] !== " " || checksumOf(text) !== line.slice(0, 8)) return [];
  const [, kind, file, first, last] = PAGES.exec(text) ?? [];
  if (kind !== undefined) return [{ kind: kind as RunKind, file: Number(file), run: [Number(first), Number(last)] }];
  const [, bitsKind, bitsFile, from, hex] = BITS.exec(text) ?? [];
  if (hex !== undefined) {
    const runs = runsOf(pagesIn(Number(from), Buffer.from(hex, "hex")));
    return runs.map((run) => ({ kind: bitsKind as RunKind, file: Number(bitsFile), run }));
  }
  const [, cutFile, sizeBytes] = CUT.exec(text) ?? [];
  if (cutFile !== undefined) return [{ kind: "cut", file: Number(cutFile), sizeBytes: Number(sizeBytes) }];
  const [, plain, plainFile] = PLAIN.exec(text) ?? [];
  if (plain !== undefined) return [{ kind: plain as "own", file: Number(plainFile) }];
  if (text === "whole") return [{ kind: "whole" }];
  const [, boot] = /^session ([0-9a-f-]{1,100})$/.exec(text) ?? [];
  return boot === undefined ? [] : [{ kind: "session", boot }];
}

function* pagesIn(first: number, bits: Uint8Array): Iterable<number> {
  for (const [index, byte] of bits.entries())
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) yield first + 8 * index + bit;
}

const BLOCK_BYTES = 1024 * 1024;
/** More than any line has. */
const LINE_BYTES_MAX = 64 * 1024;

/** The intact entries of a file of any size. @throws the file system's errors */
export function* readJournal(path: string): Iterable<JournalEntry> {
  const fd = openSync(path, "r");
  try {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    let rest = "";
    for (;;) {
      const sizeBytes = readSync(fd, block, 0, BLOCK_BYTES, null);
      if (sizeBytes === 0) return;
      const text = rest + block.toString("latin1", 0, sizeBytes);
      const end = text.lastIndexOf("\n") + 1;
      yield* parseJournal(text.slice(0, end));
      // The beginning of a longer one shows that it is no entry.
      rest = text.slice(end, end + LINE_BYTES_MAX);
    }
  } finally {
    closeSync(fd);
  }
}
