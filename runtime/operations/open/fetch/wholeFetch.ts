/**
 * Fetches files that are stored whole. A small one is compared with the manifest's checksum before any page is kept. A
 * large one that has no frames to fetch alone (see frameFetch) streams from its start; pages with a right checksum of
 * their own can be read as they pass, all others when the whole file has proved right.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, rmSync, unlinkSync, writeFully } from "../../../local/nodeFiles";
import { collect, limited, streamOf } from "../../../base/bytes";
import { fail } from "../../../base/errors";
import { systemError } from "../../../local/systemError";
import { sha1Hex } from "../../../base/hash";
import { pageSegmentOf } from "../../../format/page/pageChecksum";
import { badPagesOf } from "../../../format/codec/sums";
import type { Repository } from "../../../repository/repository";
import type { RestoreSource } from "../../restore/restoreFile";
import { DAMAGED_COPY_HINT, readStored, unpackStored } from "../../shared/readStored";
import { PAGE_BYTES } from "../pageSet";
import type { Origin } from "../storedFile";
import type { Target } from "../upperDirectory";

/** Larger files stream. */
export const WHOLE_BYTES_MAX = 4 * 1024 * 1024;

/** What the cluster says about its pages. */
export interface PageFacts {
  readonly pageSizeBytes: number;
  readonly dataChecksums: boolean;
}

/** The content of a small file. @throws checksum */
export async function loadWhole(
  repo: Repository,
  source: RestoreSource,
  { row }: Pick<Origin, "row">,
): Promise<Uint8Array> {
  const range = source.range ?? { offsetBytes: 0, sizeBytes: source.sizeRepoBytes };
  const stored = await collect(await repo.storage.read(source.path, range), source.sizeRepoBytes);
  return unpackWhole(repo, source, row, stored);
}

/** The same from its stored bytes. */
export async function unpackWhole(
  repo: Repository,
  source: RestoreSource,
  row: Origin["row"],
  stored: Uint8Array,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  // Chunks are valid only until the next one.
  for await (const part of limited(unpackStored(streamOf(stored), source), row.sizeBytes))
    parts.push(Buffer.from(part));
  const content = Buffer.concat(parts);
  requireContent(repo, source, row, content.length, sha1Hex(content));
  return content;
}

function requireContent(
  repo: Repository,
  source: RestoreSource,
  row: Origin["row"],
  sizeBytes: number,
  sha1: string,
): void {
  if (sizeBytes === row.sizeBytes && sha1 === row.sha1) return;
  throw fail(
    "checksum",
    `'${row.name}' in ${repo.name} has checksum '${sha1}' (${sizeBytes} bytes) instead of '${row.sha1}' (${row.sizeBytes} bytes)`,
    {
      hint: DAMAGED_COPY_HINT,
      repoIndex: repo.key,
      path: source.path,
    },
  );
}

/** Streams a file into the upper directory. `passed` is called whenever more pages are there. */
export async function streamWhole(
  repo: Repository,
  source: RestoreSource,
  target: Target,
  pages: PageFacts,
  spoolPath: string,
  passed: () => void,
): Promise<void> {
  const { file, origin } = target;
  const { row } = origin;
  const unitBytes = Math.max(PAGE_BYTES, pages.pageSizeBytes);
  const check = pageCheckOf(row, pages, source);
  const spool = new Spool(spoolPath, file.localPath);
  const hash = createHash("sha1");
  let offsetBytes = 0;
  const take = (bytes: Uint8Array): void => {
    for (const part of judged(bytes, offsetBytes, check, unitBytes)) {
      if (part.isProven) file.fill(origin, part.offsetBytes, part.bytes);
      else spool.add(part.offsetBytes, part.bytes);
    }
    offsetBytes += bytes.length;
    passed();
  };
  try {
    let rest: Uint8Array = Buffer.alloc(0);
    for await (const chunk of unpackStored(readStored(repo.storage, source.path, source.range ?? undefined), source)) {
      hash.update(chunk);
      const bytes = Buffer.concat([rest, chunk]);
      if (offsetBytes + bytes.length > row.sizeBytes)
        throw fail("checksum", `'${row.name}' in ${repo.name} is too long`);
      const usable = bytes.length - (bytes.length % unitBytes);
      take(bytes.subarray(0, usable));
      rest = bytes.subarray(usable);
    }
    const sizeBytes = offsetBytes + rest.length;
    requireContent(repo, source, row, sizeBytes, hash.digest("hex"));
    take(rest);
    spool.replay((at, bytes) => file.fill(origin, at, bytes));
    passed();
  } finally {
    spool.close();
  }
}

/** Keeps those pages of a part of the file that prove themselves. */
export function fillProven(
  { file, origin }: Target,
  offsetBytes: number,
  bytes: Uint8Array,
  check: PageCheck,
  { pageSizeBytes }: PageFacts,
): void {
  for (const part of judged(bytes, offsetBytes, check, Math.max(PAGE_BYTES, pageSizeBytes)))
    if (part.isProven) file.fill(origin, part.offsetBytes, part.bytes);
}

interface JudgedPart {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
  /** Each page has a right checksum of its own. */
  readonly isProven: boolean;
}

function* judged(
  bytes: Uint8Array,
  offsetBytes: number,
  check: PageCheck | null,
  unitBytes: number,
): Iterable<JudgedPart> {
  for (let begin = 0; begin < bytes.length; begin += STEP_BYTES) {
    const step = bytes.subarray(begin, begin + STEP_BYTES);
    const bad = new Set(check === null ? unitsOf(step, unitBytes) : check(step, offsetBytes + begin));
    for (const [from, to, isBad] of spansOf(step.length, unitBytes, bad))
      yield { offsetBytes: offsetBytes + begin + from, bytes: step.subarray(from, to), isProven: !isBad };
  }
}

/** A multiple of every page size. */
const STEP_BYTES = 1024 * 1024;
const RELATION_SEGMENT_BYTES = 1024 * 1024 * 1024;

function unitsOf(bytes: Uint8Array, unitBytes: number): number[] {
  return Array.from({ length: Math.ceil(bytes.length / unitBytes) }, (_, index) => index);
}

/** Finds the units with pages that do not prove themselves. */
export type PageCheck = (bytes: Uint8Array, offsetBytes: number) => number[];

/** Whether pages of the file can prove themselves. */
export function hasPageChecksums({ checksumPage, name }: Origin["row"], { dataChecksums }: PageFacts): boolean {
  return dataChecksums && pageSegmentOf(name) !== null && checksumPage !== false;
}

/** Null if the file has no checksums of its own. */
export function pageCheckOf(
  row: Origin["row"],
  facts: PageFacts,
  { cipherPass, compressType }: Pick<RestoreSource, "cipherPass" | "compressType">,
): PageCheck | null {
  const { pageSizeBytes } = facts;
  const segment = pageSegmentOf(row.name);
  if (segment === null || !hasPageChecksums(row, facts)) return null;
  const unitBytes = Math.max(PAGE_BYTES, pageSizeBytes);
  const firstBlockNo = segment.segmentNo * (RELATION_SEGMENT_BYTES / pageSizeBytes);
  // A page that was never used is zeros, and so may be a damaged part of a plain file; a codec or a cipher shows it.
  const isPlain = compressType === "none" && cipherPass === null;
  return (bytes, offsetBytes) => {
    const wholeBytes = bytes.length - (bytes.length % pageSizeBytes);
    const run = { pageSizeBytes, headerCheck: true, blockNo: firstBlockNo + offsetBytes / pageSizeBytes };
    // An online backup holds pages that were just being written; WAL repairs them.
    const bad = badPagesOf(bytes.subarray(0, wholeBytes), run);
    const unproven = isPlain ? [...bad, ...newPagesOf(bytes.subarray(0, wholeBytes), pageSizeBytes)] : bad;
    const units = unproven.map((page) => Math.floor((page * pageSizeBytes) / unitBytes));
    return wholeBytes === bytes.length ? units : [...units, Math.floor(wholeBytes / unitBytes)];
  };
}

/** Pages without content, by `pd_upper`. */
function newPagesOf(bytes: Uint8Array, pageSizeBytes: number): number[] {
  const pages = Array.from({ length: bytes.length / pageSizeBytes }, (_, page) => page);
  return pages.filter((page) => bytes[page * pageSizeBytes + 14] === 0 && bytes[page * pageSizeBytes + 15] === 0);
}

/** Adjacent units of the same kind, as offsets. */
function* spansOf(
  sizeBytes: number,
  unitBytes: number,
  bad: ReadonlySet<number>,
): Iterable<readonly [from: number, to: number, isBad: boolean]> {
  for (let from = 0; from < sizeBytes; ) {
    const isBad = bad.has(from / unitBytes);
    let to = from + unitBytes;
    while (to < sizeBytes && bad.has(to / unitBytes) === isBad) to += unitBytes;
    yield [from, Math.min(to, sizeBytes), isBad];
    from = to;
  }
}

/** Bytes that may not be seen yet, in a file without a name. */
class Spool {
  readonly #path: string;
  /** The file that the bytes wait for: its failures are this machine's. */
  readonly #destination: string;
  readonly #parts: { readonly offsetBytes: number; readonly sizeBytes: number }[] = [];
  #fd = -1;
  #endBytes = 0;

  constructor(path: string, destination: string) {
    this.#path = path;
    this.#destination = destination;
  }

  add(offsetBytes: number, bytes: Uint8Array): void {
    try {
      this.#add(offsetBytes, bytes);
    } catch (error) {
      throw systemError("fileWrite", `write '${this.#path}'`, this.#destination, error);
    }
  }

  #add(offsetBytes: number, bytes: Uint8Array): void {
    if (this.#fd < 0) {
      // Of a process that was killed before it could remove the name.
      rmSync(this.#path, { force: true });
      this.#fd = openSync(this.#path, "wx+", 0o600);
      unlinkSync(this.#path);
    }
    writeFully(this.#fd, bytes, this.#endBytes, this.#path);
    this.#endBytes += bytes.length;
    this.#parts.push({ offsetBytes, sizeBytes: bytes.length });
  }

  replay(use: (offsetBytes: number, bytes: Uint8Array) => void): void {
    let at = 0;
    for (const { offsetBytes, sizeBytes } of this.#parts) {
      const bytes = Buffer.alloc(sizeBytes);
      readSync(this.#fd, bytes, 0, sizeBytes, at);
      use(offsetBytes, bytes);
      at += sizeBytes;
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
