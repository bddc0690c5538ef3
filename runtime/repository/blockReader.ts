/**
 * Reads block incremental files: the map at the end of a stored file, and blocks from the super blocks of all backups
 * that it names.
 *
 * Adjacent wanted super blocks are read as one piece. Each is decrypted, decompressed and cut into its blocks as it
 * arrives; memory holds one super block and is reused for the next. Errors: fileMissing (55) when a backup that the map
 * names is gone, format (29), crypto (95). ("pgbackrest-format" 14.5; pgBackRest 2.60 "command/restore/blockDelta".)
 */
import { setImmediate } from "node:timers/promises";
import { type ByteStream, collect, concatBytes } from "../base/bytes";
import { assert, type BackupError, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import { type BlockMap, type BlockSizes, parseBlockMap, type StoredSuperBlock } from "../format/repository/blockMap";
import type { BlockSource } from "../format/repository/blockSource";
import { bundlePath, dataFilePath } from "../format/repository/repoPath";
import { openRaw, openSuperBlock } from "../format/repository/superBlock";
import type { BlockReader } from "../storage/storage";
import type { Repository } from "./repository";

/** Stored bytes that were already read. */
interface HeldBytes {
  readonly path: string;
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

export interface OpenBlockFile {
  readonly map: BlockMap;
  /** The newest backup's stored bytes of a small file, read together with its map; null otherwise. */
  readonly held: HeldBytes | null;
}

/** Up to this size one read for super blocks and map is cheaper than two. */
const HELD_SIZE_BYTES_MAX = 256 * 1024;

/** The map, and for a small file the super blocks before it. @throws fileMissing, format, crypto */
export async function openBlockFile(repo: Repository, source: BlockSource): Promise<OpenBlockFile> {
  const { mapPath: path, extentOffsetBytes: offsetBytes, mapOffsetBytes, mapSizeBytes } = source;
  const sizeBytes = mapOffsetBytes - offsetBytes + mapSizeBytes;
  if (sizeBytes > HELD_SIZE_BYTES_MAX) return { map: await loadBlockMap(repo, source), held: null };
  return heldBlockFile(source, await collect(await repo.storage.read(path, { offsetBytes, sizeBytes }), sizeBytes));
}

/** The same from all bytes that the newest backup stores of the file. @throws format, crypto */
export function heldBlockFile(source: BlockSource, bytes: Uint8Array): OpenBlockFile {
  const { mapPath: path, extentOffsetBytes: offsetBytes, mapOffsetBytes } = source;
  const superBlocksBytes = mapOffsetBytes - offsetBytes;
  return {
    map: mapOf(bytes.subarray(superBlocksBytes), source),
    held: { path, offsetBytes, bytes: bytes.subarray(0, superBlocksBytes) },
  };
}

/** @throws fileMissing, format, crypto */
export async function loadBlockMap(repo: Repository, source: BlockSource): Promise<BlockMap> {
  const range = { offsetBytes: source.mapOffsetBytes, sizeBytes: source.mapSizeBytes };
  return mapOf(await collect(await repo.storage.read(source.mapPath, range), LIMITS.wholeFileSizeBytesMax), source);
}

function mapOf(stored: Uint8Array, source: BlockSource): BlockMap {
  const { mapSizeBytes, name, references } = source;
  if (stored.length !== mapSizeBytes)
    throw fail("format", `block map of '${name}' has ${stored.length} bytes instead of ${mapSizeBytes}`);
  const map = parseBlockMap(openRaw(stored, source.cipherPass), source, name);
  for (const { superBlock } of map.blocks) {
    if (superBlock.reference >= references.length) {
      throw fail(
        "format",
        `block map of '${name}' names backup ${superBlock.reference}, the manifest ${references.length}`,
      );
    }
  }
  return map;
}

/** Adjacent blocks of the file. */
export interface FileBlocks {
  /** Index of the first one. */
  readonly block: number;
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Uses the blocks synchronously: their memory is reused when it returns. */
type Visit = (blocks: FileBlocks) => void;

/** Stored bytes per read; a longer super block is one read. */
const READ_SIZE_BYTES = 1024 * 1024;
/** No setting in use makes larger super blocks. */
const KEPT_SIZE_BYTES_MAX = 4 * 1024 * 1024;

/** Reusable memory, for data that is done with before other jobs get a turn. */
class KeptBuffer {
  #buffer = Buffer.allocUnsafeSlow(0);

  /** A buffer of at least this size. */
  of(sizeBytes: number): Buffer {
    if (this.#buffer.length >= sizeBytes) return this.#buffer;
    const buffer = Buffer.allocUnsafeSlow(sizeBytes);
    if (sizeBytes <= KEPT_SIZE_BYTES_MAX) this.#buffer = buffer;
    return buffer;
  }
}

/** One buffer for this thread. */
const storedBuffer = new KeptBuffer();
const contentBuffer = new KeptBuffer();

/**
 * Visits the wanted blocks, ordered by backup and offset rather than by the file. Every fetched byte belongs to a
 * wanted super block.
 * @throws fileMissing, format, crypto, and errors of `visit`
 */
export async function readBlocks(
  repo: Repository,
  source: BlockSource,
  { map, held }: OpenBlockFile,
  isWanted: (block: number) => boolean,
  visit: Visit,
): Promise<void> {
  const open = (stored: Uint8Array, wanted: WantedSuperBlock): void => {
    const content = contentBuffer.of(wanted.superBlock.sizeBytes + 1);
    visitBlocks(openSuperBlock(stored, wanted.superBlock, source, source.name, content), wanted, source, visit);
  };
  for (const read of planReads(map, isWanted)) {
    const [first] = read;
    assert(first !== undefined, "a read of nothing");
    const { reference, bundleId, offsetBytes } = first.superBlock;
    const label = source.references[reference] as string;
    const path =
      bundleId > 0
        ? bundlePath(repo.stanza, label, bundleId)
        : dataFilePath(repo.stanza, label, { name: source.name, block: source }, source.compressType);
    const range = { offsetBytes, sizeBytes: sizeOf(read) };
    const own = heldPart(held, path, offsetBytes, range.sizeBytes);
    if (own !== null) cutPiece(own, read, open);
    else if (repo.storage.openReader !== undefined)
      await readPieces(repo.storage.openReader(path, range), read, source.name, open);
    else
      for await (const { stored, wanted } of cut(await repo.storage.read(path, range), read, source.name))
        open(stored, wanted);
  }
}

function sizeOf(read: readonly WantedSuperBlock[]): number {
  return read.reduce((sum, { superBlock }) => sum + superBlock.sizeRepoBytes, 0);
}

type Open = (stored: Uint8Array, wanted: WantedSuperBlock) => void;

/** Cuts all super blocks of a read from its stored bytes. */
function cutPiece(stored: Uint8Array, read: readonly WantedSuperBlock[], open: Open): void {
  let begin = 0;
  for (const wanted of read) {
    const end = begin + wanted.superBlock.sizeRepoBytes;
    open(stored.subarray(begin, end), wanted);
    begin = end;
  }
}

/** Reads complete super blocks into the same memory; other jobs of this thread get a turn in between. */
async function readPieces(
  reader: BlockReader,
  read: readonly WantedSuperBlock[],
  name: string,
  open: Open,
): Promise<void> {
  try {
    for (let position = 0; position < read.length; ) {
      const piece = pieceAt(read, position);
      const sizeBytes = sizeOf(piece);
      const buffer = storedBuffer.of(Math.max(sizeBytes, READ_SIZE_BYTES)).subarray(0, sizeBytes);
      if (fill(reader, buffer) < sizeBytes) throw endsEarly(name, position, read.length);
      cutPiece(buffer, piece, open);
      position += piece.length;
      if (position < read.length) await setImmediate();
    }
  } finally {
    reader.close();
  }
}

/** The super blocks that fit into one piece, at least one. */
function pieceAt(read: readonly WantedSuperBlock[], position: number): readonly WantedSuperBlock[] {
  let sizeBytes = 0;
  let end = position;
  while (end < read.length) {
    sizeBytes += (read[end] as WantedSuperBlock).superBlock.sizeRepoBytes;
    if (sizeBytes > READ_SIZE_BYTES && end > position) break;
    end++;
  }
  return read.slice(position, end);
}

function fill(reader: BlockReader, buffer: Uint8Array): number {
  let sizeBytes = 0;
  while (sizeBytes < buffer.length) {
    const readBytes = reader.read(buffer.subarray(sizeBytes));
    if (readBytes === 0) break;
    sizeBytes += readBytes;
  }
  return sizeBytes;
}

function endsEarly(name: string, position: number, count: number): BackupError {
  return fail("format", `stored blocks of '${name}' end early: ${position} of ${count} super blocks are there`);
}

function heldPart(held: HeldBytes | null, path: string, offsetBytes: number, sizeBytes: number): Uint8Array | null {
  if (held === null || held.path !== path) return null;
  const begin = offsetBytes - held.offsetBytes;
  return begin >= 0 && begin + sizeBytes <= held.bytes.length ? held.bytes.subarray(begin, begin + sizeBytes) : null;
}

/** A super block and its wanted blocks, as indexes into the file. */
interface WantedSuperBlock {
  readonly superBlock: StoredSuperBlock;
  readonly blocks: { readonly block: number; readonly index: number }[];
}

/** Wanted super blocks, in runs that are read as one piece. Pure. */
export function planReads(
  map: BlockMap,
  isWanted: (block: number) => boolean,
): readonly (readonly WantedSuperBlock[])[] {
  const wanted = new Map<StoredSuperBlock, WantedSuperBlock>();
  for (const [block, { superBlock, index }] of map.blocks.entries()) {
    if (!isWanted(block)) continue;
    const known = wanted.get(superBlock);
    if (known === undefined) wanted.set(superBlock, { superBlock, blocks: [{ block, index }] });
    else known.blocks.push({ block, index });
  }
  const ordered = [...wanted.values()].sort(
    ({ superBlock: left }, { superBlock: right }) =>
      left.reference - right.reference || left.offsetBytes - right.offsetBytes,
  );
  const reads: WantedSuperBlock[][] = [];
  let before: StoredSuperBlock | undefined;
  for (const each of ordered) {
    const { reference, offsetBytes } = each.superBlock;
    if (
      before !== undefined &&
      before.reference === reference &&
      before.offsetBytes + before.sizeRepoBytes === offsetBytes
    )
      reads.at(-1)?.push(each);
    else reads.push([each]);
    before = each.superBlock;
  }
  return reads;
}

/** Cuts the stream into pieces of the super blocks' sizes. */
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
  if (position < read.length) throw endsEarly(name, position, read.length);
}

/** Blocks that are adjacent here and in the file are visited together. */
function visitBlocks(
  bytes: Uint8Array,
  { blocks }: WantedSuperBlock,
  { blockSizeBytes }: BlockSizes,
  visit: Visit,
): void {
  let first = blocks[0];
  for (const [position, { block, index }] of blocks.entries()) {
    if (first === undefined) return;
    const next = blocks[position + 1];
    if (next !== undefined && next.block === block + 1 && next.index === index + 1) continue;
    visit({
      block: first.block,
      count: block - first.block + 1,
      bytes: bytes.subarray(first.index * blockSizeBytes, (index + 1) * blockSizeBytes),
    });
    first = next;
  }
}
