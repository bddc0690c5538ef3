/**
 * Page checksums and block hashes by WebAssembly with 128-bit vectors: sums.as, compiled by the build, instantiated on
 * first use.
 *
 * Each instance has its own memory. Bytes that were read into a {@link ReadArea} are already in such a memory and are
 * processed in place. Others are copied to a memory that the whole thread shares; calls are synchronous, so they cannot
 * collide there.
 */
import { SUMS_WASM } from "./sumsWasm";

interface SumsExports {
  readonly memory: WasmMemory;
  findBadPage(
    pages: number,
    pageSizeBytes: number,
    index: number,
    count: number,
    headerCheck: boolean,
    blockNo: number,
  ): number;
  pageChecksum(page: number, pageSizeBytes: number, blockNo: number): number;
  hashBlocks(bytes: number, sizeBytes: number, blockSizeBytes: number, digests: number): void;
}

/** Memory to read into; one holder at a time. */
export interface ReadArea {
  readonly bytes: Buffer;
}

export interface PageRun {
  readonly pageSizeBytes: number;
  /** Detects new pages by `pd_upper` instead of by the checksum. */
  readonly headerCheck: boolean;
  /** Number of the first page. */
  readonly blockNo: number;
}

export const DIGEST_SIZE_BYTES = 16;
export const READ_AREA_SIZE_BYTES = 4 * 1024 * 1024;
const WASM_PAGE_BYTES = 65_536;
/** Tables are below, the bytes to process start at the second page of the memory. */
const DIGESTS_AT = 4096;
const BYTES_AT = WASM_PAGE_BYTES;
const DIGESTS_MAX = (BYTES_AT - DIGESTS_AT) / DIGEST_SIZE_BYTES;
/** Bytes copied at once: they stay in the processor's cache. */
const COPY_SIZE_BYTES = 256 * 1024;

let compiled: WasmModule | undefined;
let shared: SumsExports | undefined;
const instances = new WeakMap<ArrayBufferLike, SumsExports>();
const freeAreas: ReadArea[] = [];

/** Its holder must return it; nothing may use its bytes afterwards. */
export function takeReadArea(): ReadArea {
  const free = freeAreas.pop();
  if (free !== undefined) return free;
  const made = instantiate();
  made.memory.grow(READ_AREA_SIZE_BYTES / WASM_PAGE_BYTES);
  instances.set(made.memory.buffer, made);
  return { bytes: Buffer.from(made.memory.buffer, BYTES_AT, READ_AREA_SIZE_BYTES) };
}

export function giveBack(area: ReadArea): void {
  freeAreas.push(area);
}

/** Indexes of the bad pages among the complete pages in `pages`, ascending. */
export function badPagesOf(pages: Uint8Array, { pageSizeBytes, headerCheck, blockNo }: PageRun): number[] {
  const bad: number[] = [];
  const pagesAtOnce = COPY_SIZE_BYTES / pageSizeBytes;
  for (let first = 0; first * pageSizeBytes < pages.length; first += pagesAtOnce) {
    const begin = first * pageSizeBytes;
    const { wasm, at } = locate(pages.subarray(begin, begin + COPY_SIZE_BYTES));
    const count = Math.min(pagesAtOnce, (pages.length - begin) / pageSizeBytes);
    const nextBad = (index: number): number =>
      wasm.findBadPage(at, pageSizeBytes, index, count, headerCheck, blockNo + first);
    for (let index = nextBad(0); index < count; index = nextBad(index + 1)) bad.push(first + index);
  }
  return bad;
}

/** The expected checksum of a page, 1 … 65535. */
export function pageSum(page: Uint8Array, blockNo: number): number {
  const { wasm, at } = locate(page);
  return wasm.pageChecksum(at, page.length, blockNo);
}

/** Writes the first `digestSizeBytes` of each block's XXH3-128 in order; the last block may be short. */
export function blockDigests(bytes: Uint8Array, blockSizeBytes: number, digestSizeBytes: number): Uint8Array {
  const count = Math.max(Math.ceil(bytes.length / blockSizeBytes), 1);
  const digests = Buffer.allocUnsafeSlow(count * digestSizeBytes);
  const blocksAtOnce = Math.min(Math.max(Math.floor(COPY_SIZE_BYTES / blockSizeBytes), 1), DIGESTS_MAX);
  for (let first = 0; first < count; first += blocksAtOnce) {
    const some = bytes.subarray(first * blockSizeBytes, (first + blocksAtOnce) * blockSizeBytes);
    const { wasm, at } = locate(some);
    wasm.hashBlocks(at, some.length, blockSizeBytes, DIGESTS_AT);
    const made = new Uint8Array(
      wasm.memory.buffer,
      DIGESTS_AT,
      Math.min(blocksAtOnce, count - first) * DIGEST_SIZE_BYTES,
    );
    for (let index = 0, from = 0; from < made.length; index++, from += DIGEST_SIZE_BYTES) {
      const to = (first + index) * digestSizeBytes;
      for (let byte = 0; byte < digestSizeBytes; byte++) digests[to + byte] = made[from + byte] as number;
    }
  }
  return digests;
}

/** The instance whose memory holds the bytes, and their position. */
function locate(bytes: Uint8Array): { readonly wasm: SumsExports; readonly at: number } {
  const own = instances.get(bytes.buffer);
  if (own !== undefined) return { wasm: own, at: bytes.byteOffset };
  shared ??= instantiate();
  const { memory } = shared;
  const missingBytes = BYTES_AT + bytes.length - memory.buffer.byteLength;
  if (missingBytes > 0) memory.grow(Math.ceil(missingBytes / WASM_PAGE_BYTES));
  new Uint8Array(memory.buffer, BYTES_AT, bytes.length).set(bytes);
  return { wasm: shared, at: BYTES_AT };
}

function instantiate(): SumsExports {
  compiled ??= new WebAssembly.Module(Buffer.from(SUMS_WASM, "base64"));
  return new WebAssembly.Instance(compiled).exports as SumsExports;
}
