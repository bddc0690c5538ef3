/**
 * Fetches parts of a large file that is stored whole: one without compression, or a zst file with a seek table. Only
 * pages with a right checksum of their own are kept, because nothing else of such a file proves a part of it; the
 * others wait until the whole file has passed.
 */
import { collect } from "../../../base/bytes";
import { PartDecryptor } from "../../../format/codec/cipher";
import { decompressBytes } from "../../../format/codec/compress";
import {
  readSeekTable,
  SEEK_FOOTER_SIZE_BYTES,
  seekTableSizeBytes,
  type ZstFrame,
} from "../../../format/codec/zstSeekTable";
import type { Repository } from "../../../repository/repository";
import type { RestoreSource } from "../../restore/restoreFile";
import { PAGE_BYTES, type PageRun } from "../pageSet";
import type { Target } from "../upperDirectory";
import { fillProven, type PageCheck, type PageFacts } from "./wholeFetch";

/** The table of a segment of 1 GiB, and the padding of encryption. */
const TAIL_SIZE_BYTES = 16 * 1024;
const PLAIN_FRAME_BYTES = 1024 * 1024;
/** Content that one request gets, unless a frame has more. */
const CONTENT_AT_ONCE_BYTES = 4 * 1024 * 1024;
/** What has larger frames, of another program, is read from its start: it would fill the memory. */
const FRAME_BYTES_MAX = 8 * 1024 * 1024;
const PADDING_MAX = 16;

/** A stored file whose frames can be read alone. */
export class FramedFile {
  readonly #repo: Repository;
  readonly #source: RestoreSource;
  readonly #decryptor: PartDecryptor | null;
  readonly #headSizeBytes: number;
  frames: readonly ZstFrame[] = [];

  private constructor(repo: Repository, source: RestoreSource, decryptor: PartDecryptor | null) {
    this.#repo = repo;
    this.#source = source;
    this.#decryptor = decryptor;
    this.#headSizeBytes = decryptor === null ? 0 : PartDecryptor.headSizeBytes(source.raw);
  }

  /** Null for a file that can only be read from its start. */
  static async open(repo: Repository, source: RestoreSource, contentSizeBytes: number): Promise<FramedFile | null> {
    const { cipherPass, compressType, raw } = source;
    if (compressType !== "none" && compressType !== "zst") return null;
    const head = cipherPass === null ? null : await readRange(repo, source, 0, PartDecryptor.headSizeBytes(raw));
    const file = new FramedFile(repo, source, head && new PartDecryptor(head, cipherPass ?? "", raw));
    file.frames = compressType === "none" ? plainFrames(contentSizeBytes) : await file.#readTable();
    const last = file.frames.at(-1);
    if (file.frames.some((frame) => Math.max(frame.sizeBytes, frame.contentSizeBytes) > FRAME_BYTES_MAX)) return null;
    return last?.contentBeginBytes === contentSizeBytes - (last?.contentSizeBytes ?? 0) ? file : null;
  }

  /** The content of neighbouring frames. @throws format for damaged ones */
  async read(frames: readonly ZstFrame[]): Promise<Uint8Array> {
    const [first, last] = [frames[0], frames.at(-1)];
    if (first === undefined || last === undefined) return Buffer.alloc(0);
    const packed = await this.#part(first.beginBytes, last.beginBytes + last.sizeBytes);
    if (this.#source.compressType === "none") return packed;
    const contents = frames.map(({ beginBytes, contentSizeBytes, sizeBytes }) => {
      const from = beginBytes - first.beginBytes;
      return decompressBytes(packed.subarray(from, from + sizeBytes), "zst", contentSizeBytes);
    });
    return Buffer.concat(contents);
  }

  async #readTable(): Promise<readonly ZstFrame[]> {
    const sizeBytes = this.#source.sizeRepoBytes - this.#headSizeBytes;
    const end = await this.#part(Math.max(0, sizeBytes - TAIL_SIZE_BYTES), sizeBytes);
    const paddingBytes = this.#decryptor === null ? 0 : (end.at(-1) ?? 0);
    if (paddingBytes > PADDING_MAX) return [];
    const tail = end.subarray(0, end.length - paddingBytes);
    const tableBytes = seekTableSizeBytes(tail.subarray(-SEEK_FOOTER_SIZE_BYTES));
    return tableBytes === null ? [] : (readSeekTable(tail.subarray(-tableBytes), sizeBytes - paddingBytes) ?? []);
  }

  /** Decrypted, not decompressed. */
  async #part(beginBytes: number, endBytes: number): Promise<Uint8Array> {
    if (this.#decryptor === null) return readRange(this.#repo, this.#source, beginBytes, endBytes);
    const stored = PartDecryptor.storedPart(beginBytes, endBytes);
    const head = this.#headSizeBytes;
    const bytes = await readRange(this.#repo, this.#source, head + stored.beginBytes, head + stored.endBytes);
    return this.#decryptor.decrypt(bytes, beginBytes).subarray(0, endBytes - beginBytes);
  }
}

async function readRange(
  { storage }: Repository,
  { path, range, sizeRepoBytes }: RestoreSource,
  beginBytes: number,
  endBytes: number,
): Promise<Uint8Array> {
  const sizeBytes = Math.min(endBytes, sizeRepoBytes) - beginBytes;
  const part = { offsetBytes: (range?.offsetBytes ?? 0) + beginBytes, sizeBytes };
  return collect(await storage.read(path, part), sizeBytes);
}

function plainFrames(contentSizeBytes: number): ZstFrame[] {
  return Array.from({ length: Math.ceil(contentSizeBytes / PLAIN_FRAME_BYTES) }, (_, index) => {
    const beginBytes = index * PLAIN_FRAME_BYTES;
    const sizeBytes = Math.min(PLAIN_FRAME_BYTES, contentSizeBytes - beginBytes);
    return { beginBytes, sizeBytes, contentBeginBytes: beginBytes, contentSizeBytes: sizeBytes };
  });
}

/** Keeps the proven pages of the frames that have wanted ones. */
export async function fetchFrames(
  framed: FramedFile,
  target: Target,
  runs: readonly PageRun[],
  check: PageCheck,
  facts: PageFacts,
): Promise<void> {
  const wanted = framed.frames.filter(({ contentBeginBytes, contentSizeBytes }) =>
    runs.some(
      ([first, last]) =>
        first * PAGE_BYTES < contentBeginBytes + contentSizeBytes && contentBeginBytes < (last + 1) * PAGE_BYTES,
    ),
  );
  for (let begin = 0; begin < wanted.length; ) {
    let end = begin + 1;
    let sizeBytes = wanted[begin]?.contentSizeBytes ?? 0;
    for (let next = wanted[end]; next !== undefined && isNext(wanted[end - 1], next); next = wanted[++end]) {
      sizeBytes += next.contentSizeBytes;
      if (sizeBytes > CONTENT_AT_ONCE_BYTES) break;
    }
    const frames = wanted.slice(begin, end);
    begin = end;
    const at = frames[0]?.contentBeginBytes ?? 0;
    // Frames that begin inside a page belong to another writer's file.
    if (at % facts.pageSizeBytes !== 0 || at % PAGE_BYTES !== 0) return;
    fillProven(target, at, await framed.read(frames), check, facts);
  }
}

function isNext(left: ZstFrame | undefined, right: ZstFrame | undefined): boolean {
  return left !== undefined && right !== undefined && left.beginBytes + left.sizeBytes === right.beginBytes;
}
