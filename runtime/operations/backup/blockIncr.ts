/**
 * Writes one file as a block incremental: only the blocks that differ from the prior map, joined to super blocks, then
 * the map.
 *
 * Two halves let repositories share the work. A {@link BlockCutter} hashes a file's blocks, compares them with the
 * checksums of the prior map and compresses the changed ones: once for all repositories with the same {@link cutKey}
 * (in a full backup: with the same settings). A {@link BlockStore} makes one repository's bytes: encrypted super
 * blocks, then the map with this repository's offsets.
 *
 * Rules for the caller ("pgbackrest-format" 10.3, 14; pgBackRest 2.60 "command/backup/file", "info/manifest"):
 * - `reference` is the index of this backup's label in the manifest's references: their length − 1. The prior map's
 *   indexes stay valid because the list only grows by this label. The prior map is that of the prior row:
 *   `findBlockSource` and `loadBlockMap` read it.
 * - The cut of a file is `keptBlockSizes(prior row) ?? blockSizesOf(…)`; for a prior map of another cut pass null.
 * - An empty result stores nothing: the blocks equal the prior's, and the row becomes a reference to it if the file's
 *   size and SHA-1 equal the prior row's too. If they differ (checksums collide), store the file again without a prior
 *   map.
 * - A file that proves empty is stored like other empty files, without blocks: `result()` is null.
 * - The row gets `block` with `mapSizeBytes`, `sizeRepoBytes` of all stored bytes with the map, `sha1Repo` of them
 *   always.
 * - Inside a bundle `location` is the offset of the first stored byte; it is needed only at the end of the stream.
 *   Bundles of block incremental backups are raw (`bundleRaw`) for their other files.
 * Memory: one super block and its compressed form, the prior map, and about 50 bytes for each block.
 */
import { createHash } from "node:crypto";
import type { Context } from "../../base/context";
import { assert } from "../../base/errors";
import { type BlockMap, type BlockSizes, type MappedBlock, renderBlockMap } from "../../format/repository/blockMap";
import type { BytesCompressor, CompressSpec } from "../../format/codec/compress";
import { sealRaw, superBlockCompressor } from "../../format/repository/superBlock";
import type { BlockHash } from "../../format/codec/xxh3";

export interface CutSettings extends BlockSizes {
  /** A super block closes at this many original bytes: see `superBlockSizeOf`. */
  readonly superBlockSizeBytes: number;
  readonly compress: CompressSpec;
  /** `checksums` of the prior map; null if absent. */
  readonly priorChecksums: Uint8Array | null;
}

/** Targets with the same key can share one cutter. */
export function cutKey(settings: CutSettings): string {
  const { blockSizeBytes, checksumSizeBytes, superBlockSizeBytes, compress, priorChecksums } = settings;
  const prior = priorChecksums === null ? "" : createHash("sha1").update(priorChecksums).digest("hex");
  return [blockSizeBytes, checksumSizeBytes, superBlockSizeBytes, compress.type, compress.level, prior].join(":");
}

/** One super block of the cut, in the order of the stream. */
interface CutSuperBlock {
  readonly sizeBytes: number;
  /** Its blocks as indexes into the file, ascending. */
  readonly blocks: readonly number[];
}

/** Receives changed blocks in file order, adjacent ones together, and their offset in the file. */
type SeeChanged = (bytes: Uint8Array, offsetBytes: number) => void;

/** Finds and compresses the changed blocks of one file; good for one pass. */
export class BlockCutter {
  readonly settings: CutSettings;
  readonly #hash: BlockHash;
  readonly #compressor: BytesCompressor;
  readonly #superBlocks: CutSuperBlock[] = [];
  readonly #checksums: Uint8Array[] = [];
  #blockCount = 0;
  /** The start of a block whose end is in the next chunk. */
  readonly #rest: Uint8Array;
  #restSize = 0;
  #buffer: Uint8Array;
  #bufferSize = 0;
  #bufferBlocks: number[] = [];
  #ended = false;
  #onChanged: SeeChanged | null = null;

  constructor(settings: CutSettings, hash: BlockHash) {
    assert(
      settings.superBlockSizeBytes % settings.blockSizeBytes === 0,
      "a super block size that is no multiple of the block size",
    );
    this.settings = settings;
    this.#hash = hash;
    this.#compressor = superBlockCompressor(settings.compress);
    this.#rest = Buffer.allocUnsafeSlow(settings.blockSizeBytes);
    this.#buffer = EMPTY;
  }

  /** From the first block on. */
  watch(onChanged: SeeChanged): void {
    assert(this.#blockCount === 0, "a cutter that is watched too late");
    this.#onChanged = onChanged;
  }

  /** The compressed super blocks that `chunk` completes, each valid until the next one. */
  *add(chunk: Uint8Array): Iterable<Uint8Array> {
    assert(!this.#ended, "a cutter is used for one pass");
    const { blockSizeBytes } = this.settings;
    let position = 0;
    if (this.#restSize > 0) {
      position = Math.min(blockSizeBytes - this.#restSize, chunk.length);
      this.#rest.set(chunk.subarray(0, position), this.#restSize);
      this.#restSize += position;
      if (this.#restSize < blockSizeBytes) return;
      this.#restSize = 0;
      yield* this.#blocks(this.#rest, chunk.length - position);
    }
    const end = chunk.length - ((chunk.length - position) % blockSizeBytes);
    if (end > position) yield* this.#blocks(chunk.subarray(position, end), chunk.length - end);
    this.#rest.set(chunk.subarray(end));
    this.#restSize = chunk.length - end;
  }

  /** The last super block, if one is open. */
  *end(): Iterable<Uint8Array> {
    if (this.#restSize > 0) yield* this.#blocks(this.#rest.subarray(0, this.#restSize), 0);
    this.#restSize = 0;
    if (this.#bufferSize > 0) yield this.#close();
    this.#ended = true;
  }

  /** Also after an error. */
  close(): void {
    this.#compressor.close();
  }

  /** The super block with this number, from 0. */
  superBlock(position: number): CutSuperBlock {
    const cut = this.#superBlocks[position];
    assert(cut !== undefined, `the cut has no super block ${position}`);
    return cut;
  }

  /** The checksums of all blocks, after the end of the stream. */
  checksums(): Uint8Array {
    assert(this.#ended, "the file is not cut to its end");
    return Buffer.concat(this.#checksums);
  }

  /** The next blocks of the file; `followingBytes` are known to come after them. */
  *#blocks(bytes: Uint8Array, followingBytes: number): Iterable<Uint8Array> {
    const { blockSizeBytes, checksumSizeBytes, priorChecksums, superBlockSizeBytes } = this.settings;
    const checksums = this.#hash.hashBlocks(bytes, blockSizeBytes, checksumSizeBytes);
    this.#checksums.push(checksums);
    const firstBytes = this.#blockCount * blockSizeBytes;
    let changedBegin = 0;
    for (let position = 0, own = 0; position < bytes.length; position += blockSizeBytes, own += checksumSizeBytes) {
      const number = this.#blockCount++;
      if (
        priorChecksums !== null &&
        isAt(priorChecksums, number * checksumSizeBytes, checksums, own, checksumSizeBytes)
      ) {
        if (changedBegin < position)
          this.#onChanged?.(bytes.subarray(changedBegin, position), firstBytes + changedBegin);
        changedBegin = position + blockSizeBytes;
        continue;
      }
      const block = bytes.subarray(position, position + blockSizeBytes);
      this.#reserve(block.length, bytes.length - position + followingBytes);
      this.#buffer.set(block, this.#bufferSize);
      this.#bufferSize += block.length;
      this.#bufferBlocks.push(number);
      if (this.#bufferSize >= superBlockSizeBytes) yield this.#close();
    }
    if (changedBegin < bytes.length) this.#onChanged?.(bytes.subarray(changedBegin), firstBytes + changedBegin);
  }

  /** Grows with the file, so that a small one does not cost a whole super block. */
  #reserve(sizeBytes: number, expectedBytes: number): void {
    const needed = this.#bufferSize + sizeBytes;
    if (needed <= this.#buffer.length) return;
    const wanted = Math.max(needed, 2 * this.#buffer.length, this.#bufferSize + expectedBytes);
    const grown = Buffer.allocUnsafeSlow(Math.min(this.settings.superBlockSizeBytes, wanted));
    grown.set(this.#buffer.subarray(0, this.#bufferSize));
    this.#buffer = grown;
  }

  #close(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#bufferSize);
    const packed = this.#compressor.compress(bytes);
    this.#superBlocks.push({ sizeBytes: this.#bufferSize, blocks: this.#bufferBlocks });
    this.#bufferSize = 0;
    this.#bufferBlocks = [];
    return packed;
  }
}

const EMPTY = new Uint8Array(0);

/** True when both ranges hold the same bytes. */
function isAt(prior: Uint8Array, begin: number, own: Uint8Array, ownBegin: number, sizeBytes: number): boolean {
  if (begin + sizeBytes > prior.length) return false;
  for (let index = 0; index < sizeBytes; index++) if (prior[begin + index] !== own[ownBegin + index]) return false;
  return true;
}

/** How one repository stores the file. */
export interface BlockTarget {
  /** Index of this backup in the manifest's references. */
  readonly reference: number;
  /** Passphrase of this backup's data; null without encryption. */
  readonly cipherPass: string | null;
  /** Null stores every block. */
  readonly prior: BlockMap | null;
}

/** Location of the first stored byte. */
export interface BlockLocation {
  /** 0 for a separate file. */
  readonly bundleId: number;
  readonly offsetBytes: number;
}

export interface StoredBlocks {
  readonly sizeRepoBytes: number;
  /** The stored map's part of it. */
  readonly mapSizeBytes: number;
  readonly map: BlockMap;
}

/** The bytes of one file in one repository. */
export class BlockStore {
  readonly #target: BlockTarget;
  readonly #ctx: Pick<Context, "random">;
  readonly #sizes: number[] = [];
  #sizeRepoBytes = 0;
  #result: StoredBlocks | null = null;

  constructor(target: BlockTarget, ctx: Pick<Context, "random">) {
    this.#target = target;
    this.#ctx = ctx;
  }

  /** The stored form of the next super block. */
  add(packed: Uint8Array): Uint8Array {
    const stored = this.#seal(packed);
    this.#sizes.push(stored.length);
    this.#sizeRepoBytes += stored.length;
    return stored;
  }

  /** The stored map; nothing if no block changed and none was cut off. */
  *end(cutter: BlockCutter, location: BlockLocation): Iterable<Uint8Array> {
    const { prior } = this.#target;
    const checksums = cutter.checksums();
    const blockCount = checksums.length / cutter.settings.checksumSizeBytes;
    // A map without blocks is not valid.
    if (blockCount === 0 || (this.#sizes.length === 0 && prior !== null && blockCount >= prior.blocks.length)) return;
    const map = this.#map(cutter, checksums, blockCount, location);
    const stored = this.#seal(renderBlockMap(map));
    this.#sizeRepoBytes += stored.length;
    this.#result = { sizeRepoBytes: this.#sizeRepoBytes, mapSizeBytes: stored.length, map };
    yield stored;
  }

  /** Null when nothing was stored. */
  result(): StoredBlocks | null {
    return this.#result;
  }

  #map(cutter: BlockCutter, checksums: Uint8Array, blockCount: number, location: BlockLocation): BlockMap {
    const { reference, prior } = this.#target;
    const { blockSizeBytes, checksumSizeBytes } = cutter.settings;
    const blocks: (MappedBlock | undefined)[] = prior === null ? [] : prior.blocks.slice(0, blockCount);
    let offsetBytes = location.offsetBytes;
    for (const [position, sizeRepoBytes] of this.#sizes.entries()) {
      const cut = cutter.superBlock(position);
      const superBlock = {
        reference,
        bundleId: location.bundleId,
        offsetBytes,
        sizeRepoBytes,
        sizeBytes: cut.sizeBytes,
      };
      for (const [index, block] of cut.blocks.entries()) blocks[block] = { superBlock, index };
      offsetBytes += sizeRepoBytes;
    }
    const whole = blocks.filter((block) => block !== undefined);
    assert(whole.length === blockCount, `${whole.length} of ${blockCount} blocks have an offset`);
    return { blockSizeBytes, checksumSizeBytes, blocks: whole, checksums };
  }

  #seal(bytes: Uint8Array): Uint8Array {
    return sealRaw(bytes, this.#target.cipherPass, () => this.#ctx.random.bytes(8));
  }
}
