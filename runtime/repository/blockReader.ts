/**
 * Reads block incremental files: the map at the end of a stored file, and blocks from the super blocks of all backups that it names.
 *
 * Super blocks that are wanted and lie one after the other are read as one piece, each is decrypted, decompressed and cut into its blocks as
 * it arrives: memory holds one super block. Errors: fileMissing (55) when a backup that the map names is gone, format (29), crypto (95).
 * ("pgbackrest-format" 14.5; pgBackRest 2.60 "command/restore/blockDelta".)
 */
import { type ByteStream, collect, concatBytes } from "../base/bytes";
import { assert, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import { type BlockMap, type BlockSizes, parseBlockMap, type StoredSuperBlock } from "../format/blockMap";
import type { BlockSource } from "../format/blockSource";
import { bundlePath, dataFilePath } from "../format/repoPath";
import { openRaw, openSuperBlock } from "../format/superBlock";
import type { Repository } from "./repository";

/** @throws fileMissing, format, crypto */
export async function loadBlockMap(repo: Repository, source: BlockSource): Promise<BlockMap> {
  const { mapPath, mapOffsetBytes, mapSizeBytes, name, references } = source;
  const stored = await collect(
    await repo.storage.read(mapPath, { offsetBytes: mapOffsetBytes, sizeBytes: mapSizeBytes }),
    LIMITS.wholeFileSizeBytesMax,
  );
  if (stored.length !== mapSizeBytes) throw fail("format", `block map of '${name}' has ${stored.length} bytes instead of ${mapSizeBytes}`);
  const map = parseBlockMap(openRaw(stored, source.cipherPass), source, name);
  for (const { superBlock } of map.blocks) {
    if (superBlock.reference >= references.length) {
      throw fail("format", `block map of '${name}' names backup ${superBlock.reference}, the manifest ${references.length}`);
    }
  }
  return map;
}

/** One block of the file; the bytes are valid until the next one is asked for. */
export interface FileBlock {
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** The wanted blocks, by backup and place rather than in the order of the file. Every byte that is fetched belongs to a wanted super block. */
export async function* readBlocks(
  repo: Repository,
  source: BlockSource,
  map: BlockMap,
  isWanted: (block: number) => boolean,
): AsyncIterable<FileBlock> {
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
    const pieces = cut(await repo.storage.read(path, { offsetBytes, sizeBytes }), read, source.name);
    for await (const { stored, wanted } of pieces) yield* blocksOf(openSuperBlock(stored, wanted.superBlock, source, source.name), wanted, source);
  }
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
    waiting = [bytes];
    waitingBytes = bytes.length;
  }
  if (position < read.length) throw fail("format", `stored blocks of '${name}' end early: ${position} of ${read.length} super blocks are there`);
}

function* blocksOf(bytes: Uint8Array, { blocks }: WantedSuperBlock, { blockSizeBytes }: BlockSizes): Iterable<FileBlock> {
  for (const { block, index } of blocks) yield { block, bytes: bytes.subarray(index * blockSizeBytes, (index + 1) * blockSizeBytes) };
}
