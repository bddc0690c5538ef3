/**
 * Fetches pages of a file that is stored in blocks: only the super blocks that hold them, from whatever backups of the
 * chain the map names. Each block is compared with its checksum in the map before any page of it is kept.
 */
import { fail } from "../../base/errors";
import { loadBlockHash } from "../../format/codec/xxh3";
import { type BlockMap, blockChecksum, type StoredSuperBlock } from "../../format/repository/blockMap";
import type { BlockSource } from "../../format/repository/blockSource";
import { type OpenBlockFile, readBlocks } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";
import { DAMAGED_COPY_HINT } from "../shared/readStored";
import { PAGE_BYTES, type PageRun, runsOf } from "./pageSet";
import type { Origin, StoredFile } from "./storedFile";

/** A map with the blocks of each super block, so that a fetch need not search. */
export interface IndexedMap extends OpenBlockFile {
  readonly blocksOf: ReadonlyMap<StoredSuperBlock, readonly number[]>;
}

/** @throws format when the map is that of a file of another size */
export function indexMap(open: OpenBlockFile, { blockSizeBytes, name }: BlockSource, sizeBytes: number): IndexedMap {
  const { blocks } = open.map;
  const count = Math.ceil(sizeBytes / blockSizeBytes);
  if (blocks.length !== count)
    throw fail("format", `block map of '${name}' has ${blocks.length} blocks, its ${sizeBytes} bytes are ${count}`);
  const blocksOf = new Map<StoredSuperBlock, number[]>();
  for (const [block, { superBlock }] of blocks.entries()) {
    const known = blocksOf.get(superBlock);
    if (known === undefined) blocksOf.set(superBlock, [block]);
    else known.push(block);
  }
  return { ...open, blocksOf };
}

/** All pages that come along with the wanted ones, because their super blocks are read anyway. Pure. */
export function pagesAlong({ map, blocksOf }: IndexedMap, runs: readonly PageRun[]): PageRun[] {
  const { blockSizeBytes } = map;
  const pages = new Set<number>();
  for (const [first, last] of runs) {
    for (let page = first; page <= last; page++) pages.add(page);
    for (const superBlock of superBlocksOf(map, first, last))
      for (const block of blocksOf.get(superBlock) ?? []) {
        // Only pages that these blocks cover alone: others would need more reads.
        const begin = Math.ceil((block * blockSizeBytes) / PAGE_BYTES);
        const end = Math.floor(((block + 1) * blockSizeBytes) / PAGE_BYTES);
        for (let page = begin; page < end; page++) pages.add(page);
      }
  }
  return runsOf([...pages].sort((left, right) => left - right));
}

function superBlocksOf(map: BlockMap, first: number, last: number): Set<StoredSuperBlock> {
  const begin = Math.floor((first * PAGE_BYTES) / map.blockSizeBytes);
  const end = Math.ceil(((last + 1) * PAGE_BYTES) / map.blockSizeBytes);
  return new Set(map.blocks.slice(begin, end).map(({ superBlock }) => superBlock));
}

/** Memory of finished fetches for the next ones: left to the garbage collector, dead buffers exceeded those in use. */
class SpareBuffers {
  readonly #spare: Buffer[] = [];

  take(sizeBytes: number): Buffer {
    if (sizeBytes < SPARE_BYTES_MIN || sizeBytes > SPARE_BYTES) return Buffer.allocUnsafe(sizeBytes);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(SPARE_BYTES);
  }

  give(buffer: Buffer): void {
    if (buffer.length === SPARE_BYTES && this.#spare.length < SPARE_MAX) this.#spare.push(buffer);
  }
}

/** A part of a file that is fetched behind the readers, with what its super blocks bring along. */
const SPARE_BYTES = 5 * 1024 * 1024;
const SPARE_BYTES_MIN = 256 * 1024;
const SPARE_MAX = 4;
const spareBuffers = new SpareBuffers();

/** @throws checksum, naming file, block and repository; fileMissing, format, crypto */
export async function fetchBlocks(
  repo: Repository,
  source: BlockSource,
  open: OpenBlockFile,
  { file, origin, runs }: { readonly file: StoredFile; readonly origin: Origin; readonly runs: readonly PageRun[] },
): Promise<void> {
  const { map } = open;
  const { blockSizeBytes, checksumSizeBytes, name } = source;
  const { sizeBytes } = origin.row;
  const hash = await loadBlockHash();
  const pageCount = runs.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  const buffer = spareBuffers.take(pageCount * PAGE_BYTES);
  let usedBytes = 0;
  const parts = runs.map(([first, last]) => {
    const begin = first * PAGE_BYTES;
    const bytes = buffer.subarray(usedBytes, usedBytes + Math.min((last + 1) * PAGE_BYTES, sizeBytes) - begin);
    usedBytes += bytes.length;
    return { begin, bytes };
  });
  const partsOf = (begin: number, end: number): typeof parts =>
    parts.filter((part) => part.begin < end && begin < part.begin + part.bytes.length);
  const wanted = new Set<number>();
  for (const { begin, bytes } of parts)
    for (let block = Math.floor(begin / blockSizeBytes); block * blockSizeBytes < begin + bytes.length; block++)
      wanted.add(block);
  try {
    await readBlocks(
      repo,
      source,
      open,
      (block) => wanted.has(block),
      ({ block, bytes, count }) => {
        for (let index = 0; index < count; index++) {
          const content = bytes.subarray(index * blockSizeBytes, (index + 1) * blockSizeBytes);
          const begin = (block + index) * blockSizeBytes;
          const expectedBytes = Math.min(blockSizeBytes, sizeBytes - begin);
          const own = hash.hash(content, checksumSizeBytes);
          if (content.length !== expectedBytes || Buffer.compare(own, blockChecksum(map, block + index)) !== 0)
            throw fail("checksum", `block ${block + index} of '${name}' in ${repo.name} has a wrong checksum`, {
              hint: DAMAGED_COPY_HINT,
              repoIndex: repo.key,
              path: source.mapPath,
            });
          for (const part of partsOf(begin, begin + content.length)) copyInto(part, content, begin);
        }
      },
    );
    for (const { begin, bytes } of parts) file.fill(origin, begin, bytes);
  } finally {
    spareBuffers.give(buffer);
  }
}

function copyInto(part: { readonly begin: number; readonly bytes: Buffer }, content: Uint8Array, begin: number): void {
  const from = Math.max(0, part.begin - begin);
  part.bytes.set(content.subarray(from, part.begin + part.bytes.length - begin), begin + from - part.begin);
}
