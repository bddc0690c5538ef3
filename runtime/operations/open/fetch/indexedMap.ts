/** A block map in little memory: an opened backup keeps those of many large files. */
import { fail } from "../../../base/errors";
import type { StoredSuperBlock } from "../../../format/repository/blockMap";
import type { BlockSource } from "../../../format/repository/blockSource";
import type { HeldBytes, OpenBlockFile, WantedSuperBlock } from "../../../repository/blockReader";
import { PAGE_BYTES, type PageRun, runsOf } from "../pageSet";

type Numbers = Uint16Array | Uint32Array;

export class IndexedMap {
  /** The newest backup's stored bytes of a small file. */
  readonly held: HeldBytes | null;
  readonly checksums: Uint8Array;
  /** Super blocks that are being fetched, by number. The promise never rejects. */
  readonly inFlight = new Map<number, Promise<void>>();
  readonly #blockSizeBytes: number;
  readonly #superBlocks: readonly StoredSuperBlock[];
  /** For each block its super block's number, and its index there. */
  readonly #numbers: Numbers;
  readonly #indexes: Numbers;
  /** For each super block its first and last block. */
  readonly #spans: Uint32Array;

  /** @throws format when the map is that of a file of another size */
  constructor({ held, map }: OpenBlockFile, { blockSizeBytes, name }: BlockSource, sizeBytes: number) {
    const { blocks } = map;
    const count = Math.ceil(sizeBytes / blockSizeBytes);
    if (blocks.length !== count)
      throw fail("format", `block map of '${name}' has ${blocks.length} blocks, its ${sizeBytes} bytes are ${count}`);
    this.held = held;
    this.checksums = map.checksums;
    this.#blockSizeBytes = blockSizeBytes;
    const numberOf = new Map<StoredSuperBlock, number>();
    let indexMax = 0;
    for (const { index, superBlock } of blocks) {
      if (!numberOf.has(superBlock)) numberOf.set(superBlock, numberOf.size);
      indexMax = Math.max(indexMax, index);
    }
    this.#superBlocks = [...numberOf.keys()];
    this.#numbers = numbersUpTo(numberOf.size, count);
    this.#indexes = numbersUpTo(indexMax, count);
    this.#spans = new Uint32Array(2 * numberOf.size).fill(count);
    for (const [block, { index, superBlock }] of blocks.entries()) {
      const number = numberOf.get(superBlock) ?? 0;
      this.#numbers[block] = number;
      this.#indexes[block] = index;
      this.#spans[2 * number] = Math.min(this.#spans[2 * number] as number, block);
      this.#spans[2 * number + 1] = block;
    }
  }

  /** First block, and the one behind the last. */
  blocksIn([first, last]: PageRun): readonly [begin: number, end: number] {
    const begin = Math.floor((first * PAGE_BYTES) / this.#blockSizeBytes);
    const end = Math.ceil(((last + 1) * PAGE_BYTES) / this.#blockSizeBytes);
    return [begin, Math.min(end, this.#numbers.length)];
  }

  /** Numbers of the super blocks that hold pages. */
  superBlocksIn(runs: readonly PageRun[]): Set<number> {
    const numbers = new Set<number>();
    for (const run of runs) {
      const [begin, end] = this.blocksIn(run);
      for (let block = begin; block < end; block++) numbers.add(this.#numbers[block] as number);
    }
    return numbers;
  }

  /** A super block with those of its blocks that are wanted. */
  wanted(number: number, isWanted: (block: number) => boolean): WantedSuperBlock {
    const blocks = this.#blocksOf(number).filter(isWanted);
    return {
      superBlock: this.#superBlocks[number] as StoredSuperBlock,
      blocks: blocks.map((block) => ({ block, index: this.#indexes[block] as number })),
    };
  }

  /** All pages that come along with the wanted ones, because their super blocks are read anyway. */
  pagesAlong(runs: readonly PageRun[]): PageRun[] {
    const pages = new Set<number>();
    for (const [first, last] of runs) for (let page = first; page <= last; page++) pages.add(page);
    for (const number of this.superBlocksIn(runs))
      for (const block of this.#blocksOf(number)) {
        // Only pages that these blocks cover alone: others would need more reads.
        const begin = Math.ceil((block * this.#blockSizeBytes) / PAGE_BYTES);
        const end = Math.floor(((block + 1) * this.#blockSizeBytes) / PAGE_BYTES);
        for (let page = begin; page < end; page++) pages.add(page);
      }
    return runsOf([...pages].sort((left, right) => left - right));
  }

  #blocksOf(number: number): number[] {
    const blocks: number[] = [];
    const last = this.#spans[2 * number + 1] as number;
    for (let block = this.#spans[2 * number] as number; block <= last; block++)
      if (this.#numbers[block] === number) blocks.push(block);
    return blocks;
  }
}

function numbersUpTo(largest: number, count: number): Numbers {
  return largest <= 0xffff ? new Uint16Array(count) : new Uint32Array(count);
}
