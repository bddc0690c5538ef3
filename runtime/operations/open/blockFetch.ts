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

type Keep = (begin: number, bytes: Uint8Array) => void;

interface Fetching {
  readonly file: StoredFile;
  readonly origin: Origin;
  readonly runs: readonly PageRun[];
}

/** @throws checksum, naming file, block and repository; fileMissing, format, crypto */
export async function fetchBlocks(
  repo: Repository,
  source: BlockSource,
  open: OpenBlockFile,
  fetching: Fetching,
): Promise<void> {
  const { blockSizeBytes } = source;
  const { file, origin, runs } = fetching;
  const wanted = new Set<number>();
  for (const [first, last] of runs) {
    const end = Math.min((last + 1) * PAGE_BYTES, origin.row.sizeBytes);
    for (let block = Math.floor((first * PAGE_BYTES) / blockSizeBytes); block * blockSizeBytes < end; block++)
      wanted.add(block);
  }
  const read = (keep: Keep): Promise<void> =>
    readVerified(repo, source, open, { sizeBytes: origin.row.sizeBytes, isWanted: (block) => wanted.has(block), keep });
  // Whole pages need no memory of their own.
  if (blockSizeBytes % PAGE_BYTES === 0) return read((begin, bytes) => file.fill(origin, begin, bytes));
  const parts = partsOf(fetching);
  await read((begin, bytes) => {
    for (const part of parts)
      if (part.begin < begin + bytes.length && begin < part.begin + part.bytes.length) copyInto(part, bytes, begin);
  });
  for (const { begin, bytes } of parts) file.fill(origin, begin, bytes);
}

/** Gives adjacent blocks together, once each of them has proved right. */
async function readVerified(
  repo: Repository,
  source: BlockSource,
  open: OpenBlockFile,
  {
    isWanted,
    keep,
    sizeBytes,
  }: { readonly sizeBytes: number; readonly isWanted: (block: number) => boolean; readonly keep: Keep },
): Promise<void> {
  const { blockSizeBytes, checksumSizeBytes, mapPath: path, name } = source;
  const hash = await loadBlockHash();
  await readBlocks(repo, source, open, isWanted, ({ block, bytes, count }) => {
    for (let index = 0; index < count; index++) {
      const content = bytes.subarray(index * blockSizeBytes, (index + 1) * blockSizeBytes);
      const expectedBytes = Math.min(blockSizeBytes, sizeBytes - (block + index) * blockSizeBytes);
      const own = hash.hash(content, checksumSizeBytes);
      if (content.length !== expectedBytes || Buffer.compare(own, blockChecksum(open.map, block + index)) !== 0)
        throw fail("checksum", `block ${block + index} of '${name}' in ${repo.name} has a wrong checksum`, {
          hint: DAMAGED_COPY_HINT,
          repoIndex: repo.key,
          path,
        });
    }
    keep(block * blockSizeBytes, bytes);
  });
}

interface Part {
  readonly begin: number;
  readonly bytes: Buffer;
}

/** Memory for pages that begin and end inside blocks. */
function partsOf({ origin, runs }: Fetching): Part[] {
  return runs.map(([first, last]) => {
    const begin = first * PAGE_BYTES;
    return { begin, bytes: Buffer.allocUnsafe(Math.min((last + 1) * PAGE_BYTES, origin.row.sizeBytes) - begin) };
  });
}

function copyInto(part: Part, content: Uint8Array, begin: number): void {
  const from = Math.max(0, part.begin - begin);
  part.bytes.set(content.subarray(from, part.begin + part.bytes.length - begin), begin + from - part.begin);
}
