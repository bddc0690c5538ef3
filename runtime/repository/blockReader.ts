/**
 * Reads block incremental files: the map at the end of a stored file, and blocks from the super blocks of all backups that it names.
 *
 * Super blocks that are wanted and lie one after the other are read as one piece, each is decrypted, decompressed and cut into its blocks as
 * it arrives: memory holds one super block. Errors: fileMissing (55) when a backup that the map names is gone, format (29), crypto (95).
 * ("pgbackrest-format" 14.5; pgBackRest 2.60 "command/restore/blockDelta".)
 */
import { type ByteStream, collect, concatBytes, streamOf } from "../base/bytes";
import { assert, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import { type BlockMap, type BlockSizes, parseBlockMap, type StoredSuperBlock } from "../format/blockMap";
import type { BlockSource } from "../format/blockSource";
import { bundlePath, dataFilePath } from "../format/repoPath";
import { openRaw, openSuperBlock } from "../format/superBlock";
import type { Repository } from "./repository";

/** Stored bytes that were read already. */
interface HeldBytes {
  readonly path: string;
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

export interface OpenBlockFile {
  readonly map: BlockMap;
  /** What the newest backup stored of a small file, which came with its map; null otherwise. */
  readonly held: HeldBytes | null;
}

/** Up to here one read for super blocks and map is cheaper than two. */
const HELD_SIZE_BYTES_MAX = 256 * 1024;

/** The map, and for a small file the super blocks before it. @throws fileMissing, format, crypto */
export async function openBlockFile(repo: Repository, source: BlockSource): Promise<OpenBlockFile> {
  const { mapPath: path, extentOffsetBytes: offsetBytes, mapOffsetBytes, mapSizeBytes } = source;
  const superBlocksBytes = mapOffsetBytes - offsetBytes;
  const sizeBytes = superBlocksBytes + mapSizeBytes;
  if (sizeBytes > HELD_SIZE_BYTES_MAX) return { map: await loadBlockMap(repo, source), held: null };
  const bytes = await collect(await repo.storage.read(path, { offsetBytes, sizeBytes }), sizeBytes);
  return { map: mapOf(bytes.subarray(superBlocksBytes), source), held: { path, offsetBytes, bytes: bytes.subarray(0, superBlocksBytes) } };
}

/** @throws fileMissing, format, crypto */
export async function loadBlockMap(repo: Repository, source: BlockSource): Promise<BlockMap> {
  const range = { offsetBytes: source.mapOffsetBytes, sizeBytes: source.mapSizeBytes };
  return mapOf(await collect(await repo.storage.read(source.mapPath, range), LIMITS.wholeFileSizeBytesMax), source);
}

function mapOf(stored: Uint8Array, source: BlockSource): BlockMap {
  const { mapSizeBytes, name, references } = source;
  if (stored.length !== mapSizeBytes) throw fail("format", `block map of '${name}' has ${stored.length} bytes instead of ${mapSizeBytes}`);
  const map = parseBlockMap(openRaw(stored, source.cipherPass), source, name);
  for (const { superBlock } of map.blocks) {
    if (superBlock.reference >= references.length) {
      throw fail("format", `block map of '${name}' names backup ${superBlock.reference}, the manifest ${references.length}`);
    }
  }
  return map;
}

/** Blocks that follow each other in the file; the bytes are valid until the next ones are asked for. */
export interface FileBlocks {
  /** The first of them. */
  readonly block: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/**
 * The wanted blocks, by backup and place rather than in the order of the file. Every byte that is fetched belongs to a wanted super block.
 * @throws fileMissing, format, crypto
 */
export async function* readBlocks(
  repo: Repository,
  source: BlockSource,
  { map, held }: OpenBlockFile,
  isWanted: (block: number) => boolean,
): AsyncIterable<FileBlocks> {
  for (const read of planReads(map, isWanted)) {
    const [first] = read;
    assert(first !== undefined, "a read of nothing");
    const { reference, bundleId, offsetBytes } = first.superBlock;
    const label = source.references[reference] as string;
    const path =
      bundleId > 0
        ? bundlePath(repo.stanza, label, bundleId)
        : dataFilePath(repo.stanza, label, { name: source.name, block: source }, source.compressType);
    const sizeBytes = read.reduce((sum, { superBlock }) => sum + superBlock.sizeRepoBytes, 0);
    const own = heldPart(held, path, offsetBytes, sizeBytes);
    const stream = own === null ? await repo.storage.read(path, { offsetBytes, sizeBytes }) : streamOf(own);
    const pieces = cut(stream, read, source.name);
    for await (const { stored, wanted } of pieces) yield* blocksOf(openSuperBlock(stored, wanted.superBlock, source, source.name), wanted, source);
  }
}

function heldPart(held: HeldBytes | null, path: string, offsetBytes: number, sizeBytes: number): Uint8Array | null {
  if (held === null || held.path !== path) return null;
  const begin = offsetBytes - held.offsetBytes;
  return begin >= 0 && begin + sizeBytes <= held.bytes.length ? held.bytes.subarray(begin, begin + sizeBytes) : null;
}

/** A super block with the blocks that are wanted of it, as indexes into the file. */
interface WantedSuperBlock {
  readonly superBlock: StoredSuperBlock;
  readonly blocks: { readonly block: number; readonly index: number }[];
}

/** Wanted super blocks, in runs that are read as one piece. Pure. */
export function planReads(map: BlockMap, isWanted: (block: number) => boolean): readonly (readonly WantedSuperBlock[])[] {
  const wanted = new Map<StoredSuperBlock, WantedSuperBlock>();
  for (const [block, { superBlock, index }] of map.blocks.entries()) {
    if (!isWanted(block)) continue;
    const found = wanted.get(superBlock);
    if (found === undefined) wanted.set(superBlock, { superBlock, blocks: [{ block, index }] });
    else found.blocks.push({ block, index });
  }
  const ordered = [...wanted.values()].sort(
    ({ superBlock: left }, { superBlock: right }) => left.reference - right.reference || left.offsetBytes - right.offsetBytes,
  );
  const reads: WantedSuperBlock[][] = [];
  let before: StoredSuperBlock | undefined;
  for (const each of ordered) {
    const { reference, offsetBytes } = each.superBlock;
    if (before !== undefined && before.reference === reference && before.offsetBytes + before.sizeRepoBytes === offsetBytes) reads.at(-1)?.push(each);
    else reads.push([each]);
    before = each.superBlock;
  }
  return reads;
}

/** The stream in pieces as long as the super blocks are. */
async function* cut(
  stream: ByteStream,
  read: readonly WantedSuperBlock[],
  name: string,
): AsyncIterable<{ readonly stored: Uint8Array; readonly wanted: WantedSuperBlock }> {
  let position = 0;
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for await (const chunk of stream) {
    waiting.push(chunk);
    waitingBytes += chunk.length;
    let wanted = read[position];
    if (wanted === undefined || waitingBytes < wanted.superBlock.sizeRepoBytes) continue;
    let bytes = concatBytes(waiting);
    while (wanted !== undefined && bytes.length >= wanted.superBlock.sizeRepoBytes) {
      yield { stored: bytes.subarray(0, wanted.superBlock.sizeRepoBytes), wanted };
      bytes = bytes.subarray(wanted.superBlock.sizeRepoBytes);
      wanted = read[++position];
    }
    waiting = bytes.length === 0 ? [] : [bytes];
    waitingBytes = bytes.length;
  }
  if (position < read.length) throw fail("format", `stored blocks of '${name}' end early: ${position} of ${read.length} super blocks are there`);
}

/** Blocks that follow each other here and in the file stay together. */
function* blocksOf(bytes: Uint8Array, { blocks }: WantedSuperBlock, { blockSizeBytes }: BlockSizes): Iterable<FileBlocks> {
  let first = blocks[0];
  for (const [position, { block, index }] of blocks.entries()) {
    if (first === undefined) return;
    const next = blocks[position + 1];
    if (next !== undefined && next.block === block + 1 && next.index === index + 1) continue;
    yield { block: first.block, count: block - first.block + 1, bytes: bytes.subarray(first.index * blockSizeBytes, (index + 1) * blockSizeBytes) };
    first = next;
  }
}
