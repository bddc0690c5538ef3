/**
 * Reads block incremental files: the map at the end of a stored file, and blocks from the super blocks of all backups
 * that it names.
 *
 * Each super block is decrypted, decompressed and cut into its blocks as it arrives. From a directory they are read in
 * the order of the file, with one super block of each backup in memory. From other storages adjacent wanted ones are
 * read as one piece, with one in memory. Errors: fileMissing (55) when a backup that the map names is gone, format
 * (29), crypto (95). ("pgbackrest-format" 14.5; pgBackRest 2.60 "command/restore/blockDelta".)
 */
import { setImmediate } from "node:timers/promises";
import { type ByteStream, collect, concatBytes } from "../base/bytes";
import { assert, type BackupError, fail } from "../base/errors";
import { LIMITS } from "../base/limits";
import {
  type BlockMap,
  type BlockSizes,
  type MappedBlock,
  parseBlockMap,
  type StoredSuperBlock,
} from "../format/repository/blockMap";
import type { BlockSource } from "../format/repository/blockSource";
import { bundlePath, dataFilePath } from "../format/repository/repoPath";
import { openRaw, openSuperBlock } from "../format/repository/superBlock";
import type { BlockReader, ByteRange, Storage } from "../storage/storage";
import type { Repository } from "./repository";

/** Stored bytes that were already read. */
export interface HeldBytes {
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
  return heldBlockFile(source, await readRange(repo.storage, path, { offsetBytes, sizeBytes }));
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
  if (range.sizeBytes > LIMITS.wholeFileSizeBytesMax)
    throw fail("format", `block map of '${source.name}' has ${range.sizeBytes} bytes, which is too large`);
  return mapOf(await readRange(repo.storage, source.mapPath, range), source);
}

/** A small part of a stored file; fewer bytes if the file ends early. @throws fileMissing */
export async function readRange(storage: Storage, path: string, range: Required<ByteRange>): Promise<Uint8Array> {
  if (storage.openReader === undefined) return collect(await storage.read(path, range), range.sizeBytes);
  const reader = storage.openReader(path, range);
  try {
    const bytes = Buffer.allocUnsafeSlow(range.sizeBytes);
    return bytes.subarray(0, fill(reader, bytes));
  } finally {
    reader.close();
  }
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

/** Stored bytes between two turns for other jobs of this thread. */
const TURN_SIZE_BYTES = 1024 * 1024;
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
 * Visits the wanted blocks: in the order of the file if the storage reads synchronously and few backups hold them, else
 * ordered by backup and offset. Every fetched byte belongs to a wanted super block.
 * @throws fileMissing, format, crypto, and errors of `visit`
 */
export async function readBlocks(
  repo: Repository,
  source: BlockSource,
  { map, held }: OpenBlockFile,
  isWanted: (block: number) => boolean,
  visit: Visit,
): Promise<void> {
  if (repo.storage.openReader !== undefined && openSizeBytes(map) <= OPEN_SIZE_BYTES_MAX)
    return readInOrder(new OpenBackups(repo, source, held), map, isWanted, visit);
  for (const piece of planReads(map, isWanted)) await readPiece(repo, source, held, piece, visit);
}

/**
 * Visits the wanted blocks of super blocks that are stored one behind the other, with one of them in memory.
 * @param opened is called when all blocks of a super block were visited
 * @throws as {@link readBlocks}
 */
export async function readPiece(
  repo: Repository,
  source: BlockSource,
  held: HeldBytes | null,
  piece: readonly WantedSuperBlock[],
  visit: Visit,
  opened: (wanted: WantedSuperBlock) => void = () => {},
): Promise<void> {
  const open = (stored: Uint8Array, wanted: WantedSuperBlock): void => {
    const content = contentBuffer.of(wanted.superBlock.sizeBytes + 1);
    visitBlocks(openSuperBlock(stored, wanted.superBlock, source, source.name, content), wanted, source, visit);
    opened(wanted);
  };
  const [first] = piece;
  assert(first !== undefined, "a read of nothing");
  const { offsetBytes } = first.superBlock;
  const path = pathOf(repo, source, first.superBlock);
  const range = { offsetBytes, sizeBytes: sizeOf(piece) };
  const own = heldPart(held, path, offsetBytes, range.sizeBytes);
  if (own !== null) return cutPiece(own, piece, open);
  for await (const { stored, wanted } of cut(await repo.storage.read(path, range), piece, source.name))
    open(stored, wanted);
}

function pathOf({ stanza }: Repository, source: BlockSource, { reference, bundleId }: StoredSuperBlock): string {
  const { name, references, compressType } = source;
  const label = references[reference] as string;
  return bundleId > 0
    ? bundlePath(stanza, label, bundleId)
    : dataFilePath(stanza, label, { name, block: source }, compressType);
}

/** Memory for the open super blocks of one file. */
const OPEN_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/** The memory of {@link readInOrder}: the largest super block of each backup. */
function openSizeBytes({ blocks }: BlockMap): number {
  const sizes = new Map<number, number>();
  let before: StoredSuperBlock | undefined;
  for (const { superBlock } of blocks) {
    if (superBlock === before) continue;
    before = superBlock;
    const { reference, sizeBytes } = superBlock;
    sizes.set(reference, Math.max(sizes.get(reference) ?? 0, sizeBytes));
  }
  return [...sizes.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

/** A map names the super blocks of each backup in the order of the file, so one of each backup is open at a time. */
async function readInOrder(
  backups: OpenBackups,
  { blocks, blockSizeBytes }: BlockMap,
  isWanted: (block: number) => boolean,
  visit: Visit,
): Promise<void> {
  let unheardBytes = 0;
  try {
    for (let block = 0; block < blocks.length; ) {
      const { superBlock, index } = blocks[block] as MappedBlock;
      let count = 0;
      while (isAt(blocks[block + count], superBlock, index + count) && isWanted(block + count)) count++;
      if (count > 0) {
        const { content, readBytes } = backups.open(superBlock);
        visit({ block, count, bytes: content.subarray(index * blockSizeBytes, (index + count) * blockSizeBytes) });
        unheardBytes += readBytes;
      }
      block += Math.max(count, 1);
      if (unheardBytes < TURN_SIZE_BYTES) continue;
      unheardBytes = 0;
      await setImmediate();
    }
  } finally {
    backups.close();
  }
}

function isAt(block: MappedBlock | undefined, superBlock: StoredSuperBlock, index: number): boolean {
  return block?.superBlock === superBlock && block.index === index;
}

/** Memory for super blocks that stay open while other jobs get a turn. */
const idleBuffers: Buffer[] = [];
const IDLE_BUFFERS_MAX = 4;

interface OpenBackup {
  buffer: Buffer;
  /** The open super block, and its bytes. */
  superBlock: StoredSuperBlock | null;
  content: Uint8Array;
  reader: BlockReader | null;
  /** Where the reader is. */
  offsetBytes: number;
}

/** The backups of one file's blocks, with the last super block of each. */
class OpenBackups {
  readonly #repo: Repository;
  readonly #source: BlockSource;
  readonly #held: HeldBytes | null;
  readonly #backups = new Map<number, OpenBackup>();

  constructor(repo: Repository, source: BlockSource, held: HeldBytes | null) {
    this.#repo = repo;
    this.#source = source;
    this.#held = held;
  }

  open(superBlock: StoredSuperBlock): { readonly content: Uint8Array; readonly readBytes: number } {
    const { reference, sizeBytes, sizeRepoBytes } = superBlock;
    let backup = this.#backups.get(reference);
    if (backup === undefined) {
      const buffer = idleBuffers.pop() ?? Buffer.allocUnsafeSlow(0);
      backup = { buffer, superBlock: null, content: buffer, reader: null, offsetBytes: 0 };
      this.#backups.set(reference, backup);
    }
    if (backup.superBlock === superBlock) return { content: backup.content, readBytes: 0 };
    if (backup.buffer.length <= sizeBytes) backup.buffer = Buffer.allocUnsafeSlow(sizeBytes + 1);
    backup.superBlock = superBlock;
    const stored = this.#stored(backup, superBlock);
    backup.content = openSuperBlock(stored, superBlock, this.#source, this.#source.name, backup.buffer);
    return { content: backup.content, readBytes: sizeRepoBytes };
  }

  close(): void {
    for (const { reader, buffer } of this.#backups.values()) {
      reader?.close();
      if (idleBuffers.length < IDLE_BUFFERS_MAX && buffer.length <= KEPT_SIZE_BYTES_MAX) idleBuffers.push(buffer);
    }
  }

  #stored(backup: OpenBackup, superBlock: StoredSuperBlock): Uint8Array {
    const { offsetBytes, sizeBytes, sizeRepoBytes } = superBlock;
    const { compressType, cipherPass, name } = this.#source;
    const path = pathOf(this.#repo, this.#source, superBlock);
    const own = heldPart(this.#held, path, offsetBytes, sizeRepoBytes);
    if (own !== null) return own;
    if (backup.reader === null || backup.offsetBytes !== offsetBytes) {
      backup.reader?.close();
      backup.reader = null;
      backup.reader = this.#repo.storage.openReader?.(path, { offsetBytes }) as BlockReader;
    }
    // Stored bytes that are the content stay as long as the super block is open.
    const isContent = compressType === "none" && cipherPass === null && sizeRepoBytes === sizeBytes;
    const target = (isContent ? backup.buffer : storedBuffer.of(sizeRepoBytes)).subarray(0, sizeRepoBytes);
    const readBytes = fill(backup.reader, target);
    if (readBytes < sizeRepoBytes)
      throw fail(
        "format",
        `stored blocks of '${name}' end early: ${readBytes} of ${sizeRepoBytes} bytes of a super block are there`,
      );
    backup.offsetBytes = offsetBytes + sizeRepoBytes;
    return target;
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
export interface WantedSuperBlock {
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
  return piecesOf(wanted.values());
}

/** Super blocks that lie one behind the other, as pieces with at most so much content, or one super block. Pure. */
export function piecesOf(
  wanted: Iterable<WantedSuperBlock>,
  sizeBytesMax = Number.POSITIVE_INFINITY,
): readonly (readonly WantedSuperBlock[])[] {
  const ordered = [...wanted].sort(
    ({ superBlock: left }, { superBlock: right }) =>
      left.reference - right.reference || left.offsetBytes - right.offsetBytes,
  );
  const pieces: WantedSuperBlock[][] = [];
  let before: StoredSuperBlock | undefined;
  let sizeBytes = 0;
  for (const each of ordered) {
    const { reference, offsetBytes } = each.superBlock;
    sizeBytes += each.superBlock.sizeBytes;
    if (
      before !== undefined &&
      before.reference === reference &&
      before.offsetBytes + before.sizeRepoBytes === offsetBytes &&
      sizeBytes <= sizeBytesMax
    )
      pieces.at(-1)?.push(each);
    else {
      pieces.push([each]);
      sizeBytes = each.superBlock.sizeBytes;
    }
    before = each.superBlock;
  }
  return pieces;
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
