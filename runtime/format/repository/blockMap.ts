/**
 * The map at the end of a block incremental file: for each block of the original file, in file order, its super block.
 *
 * ```
 * varint 0 · for each run of blocks of one backup: reference (index into the manifest's references), location if new
 *            · for each super block in the run: stored size minus the previous one's, original size if it changed,
 *              number and first of its blocks unless the run has all of them · the checksums of the blocks
 * ```
 * Varints are LEB128 of unsigned numbers. Values that a reader can derive are omitted: a super block follows the
 * previous one of the same backup unless a gap is given, and one that another backup's blocks interrupt continues
 * without its sizes. Errors: format (29). ("pgbackrest-format" 14.3 and 14.4; pgBackRest 2.60
 * "command/backup/blockMap".)
 */
import { assert, type BackupError, fail } from "../../base/errors";

/** Location of a super block's stored bytes, and its original size. */
export interface StoredSuperBlock {
  /** Index of the backup in the manifest's list of references. */
  readonly reference: number;
  /** 0 for a separate file in that backup. */
  readonly bundleId: number;
  /** In the bundle or in the file. */
  readonly offsetBytes: number;
  readonly sizeRepoBytes: number;
  readonly sizeBytes: number;
}

export interface MappedBlock {
  /** Blocks of one super block share this object. */
  readonly superBlock: StoredSuperBlock;
  /** Index of the block in its super block. */
  readonly index: number;
}

export interface BlockMap {
  readonly blockSizeBytes: number;
  readonly checksumSizeBytes: number;
  /** One for each block; the file's last block may be short. */
  readonly blocks: readonly MappedBlock[];
  /** The checksums of all blocks, in order. */
  readonly checksums: Uint8Array;
}

/** What manifest rows say about every map of a file. */
export interface BlockSizes {
  readonly blockSizeBytes: number;
  readonly checksumSizeBytes: number;
}

const LAST = 1;
const RUN_BUNDLE_OR_CONTINUED = 2;
const RUN_OFFSET_OR_WHOLLY_CONTINUED = 4;
const SUPER_BLOCK_SIZE_CHANGED = 2;
const SUPER_BLOCK_PARTIAL = 4;
const FLAGS = 8;

/** No setting of stock makes a larger one: a larger size is damage. */
const SUPER_BLOCK_SIZE_BYTES_MAX = 256 * 1024 * 1024;

/** A backup's state between its runs. */
interface ReferenceState {
  superBlock: StoredSuperBlock;
  /** The next unmapped block of `superBlock`. */
  nextIndex: number;
}

export function blockChecksum(map: Pick<BlockMap, "checksums" | "checksumSizeBytes">, block: number): Uint8Array {
  return map.checksums.subarray(block * map.checksumSizeBytes, (block + 1) * map.checksumSizeBytes);
}

/** @throws format; `name` is for the message */
export function parseBlockMap(bytes: Uint8Array, sizes: BlockSizes, name: string): BlockMap {
  const reader = new Reader(bytes, name);
  if (reader.varint() % 2 !== 0) throw reader.damaged("its version is not 0");
  const blocks: MappedBlock[] = [];
  const checksums: Uint8Array[] = [];
  const states = new Map<number, ReferenceState>();
  let sizeRepoLast = 0;
  for (let lastRun = false; !lastRun; ) {
    const run = reader.varint();
    lastRun = hasFlag(run, LAST);
    const reference = Math.floor(run / FLAGS);
    const begun = beginRun(reader, run, states, reference, sizes);
    let { state, offsetBytes, continued } = begun;
    for (let lastSuperBlock = false; !lastSuperBlock; ) {
      let partial = true;
      if (continued) {
        lastSuperBlock = hasFlag(run, RUN_OFFSET_OR_WHOLLY_CONTINUED);
        continued = false;
      } else {
        const head = reader.varint();
        lastSuperBlock = hasFlag(head, LAST);
        partial = hasFlag(head, SUPER_BLOCK_PARTIAL);
        const sizeRepoBytes =
          sizeRepoLast === 0 ? Math.floor(head / FLAGS) : sizeRepoLast + fromZigzag(Math.floor(head / FLAGS));
        const sizeBytes = hasFlag(head, SUPER_BLOCK_SIZE_CHANGED)
          ? readSuperBlockSize(reader, sizes)
          : state.superBlock.sizeBytes;
        if (sizeRepoBytes <= 0 || sizeBytes <= 0 || sizeBytes > SUPER_BLOCK_SIZE_BYTES_MAX) {
          throw reader.damaged(`a super block of ${sizeBytes} bytes stored in ${sizeRepoBytes}`);
        }
        state.superBlock = { reference, bundleId: state.superBlock.bundleId, offsetBytes, sizeRepoBytes, sizeBytes };
        state.nextIndex = 0;
      }
      sizeRepoLast = state.superBlock.sizeRepoBytes;
      const countMax = Math.ceil(state.superBlock.sizeBytes / sizes.blockSizeBytes);
      const count = partial ? readPart(reader, state) : countMax;
      if (state.nextIndex + count > countMax)
        throw reader.damaged(`block ${state.nextIndex + count - 1} of a super block that has ${countMax}`);
      checksums.push(reader.take(count * sizes.checksumSizeBytes));
      for (let index = 0; index < count; index++)
        blocks.push({ superBlock: state.superBlock, index: state.nextIndex + index });
      state.nextIndex += count;
      offsetBytes = state.superBlock.offsetBytes + state.superBlock.sizeRepoBytes;
    }
  }
  reader.end();
  const { blockSizeBytes, checksumSizeBytes } = sizes;
  return { blockSizeBytes, checksumSizeBytes, blocks, checksums: Buffer.concat(checksums) };
}

/** The state of the run's backup, and the offset of its next super block. */
function beginRun(
  reader: Reader,
  run: number,
  states: Map<number, ReferenceState>,
  reference: number,
  sizes: BlockSizes,
): { state: ReferenceState; offsetBytes: number; continued: boolean } {
  const known = states.get(reference);
  if (known !== undefined) {
    if (hasFlag(run, RUN_BUNDLE_OR_CONTINUED)) return { state: known, offsetBytes: 0, continued: true };
    const gap = hasFlag(run, RUN_OFFSET_OR_WHOLLY_CONTINUED) ? reader.varint() : 0;
    return {
      state: known,
      offsetBytes: known.superBlock.offsetBytes + known.superBlock.sizeRepoBytes + gap,
      continued: false,
    };
  }
  const bundleId = hasFlag(run, RUN_BUNDLE_OR_CONTINUED) ? reader.varint() : 0;
  const offsetBytes = hasFlag(run, RUN_OFFSET_OR_WHOLLY_CONTINUED) ? reader.varint() : 0;
  const superBlock = { reference, bundleId, offsetBytes, sizeRepoBytes: 0, sizeBytes: sizes.blockSizeBytes };
  const state = { superBlock, nextIndex: 0 };
  states.set(reference, state);
  return { state, offsetBytes, continued: false };
}

function readSuperBlockSize(reader: Reader, sizes: BlockSizes): number {
  const encoded = reader.varint();
  return Math.floor(encoded / 2) * sizes.blockSizeBytes + (hasFlag(encoded, 1) ? reader.varint() : 0);
}

function readPart(reader: Reader, state: ReferenceState): number {
  const encoded = reader.varint();
  if (hasFlag(encoded, 1)) state.nextIndex += reader.varint();
  return Math.floor(encoded / 2) + 1;
}

/** Byte for byte what stock writes for the same blocks. */
export function renderBlockMap(map: BlockMap): Uint8Array {
  const { blocks } = map;
  assert(blocks.length > 0, "a block map without blocks");
  assert(
    map.checksums.length === blocks.length * map.checksumSizeBytes,
    "a block map with too few or too many checksums",
  );
  const writer = new Writer();
  const states = new Map<number, ReferenceState>();
  let sizeRepoLast = 0;
  writer.varint(0);
  for (let begin = 0; begin < blocks.length; ) {
    const { reference } = superBlockAt(map, begin);
    const end = endOf(blocks, begin, (each) => each.superBlock.reference === reference);
    sizeRepoLast = renderRun(writer, map, states, begin, end, sizeRepoLast);
    begin = end;
  }
  return writer.bytes();
}

function renderRun(
  writer: Writer,
  map: BlockMap,
  states: Map<number, ReferenceState>,
  begin: number,
  end: number,
  sizeRepoBefore: number,
): number {
  const first = superBlockAt(map, begin);
  const lastRun = end === map.blocks.length ? LAST : 0;
  const known = states.get(first.reference);
  const isContinued = known !== undefined && known.superBlock.offsetBytes === first.offsetBytes;
  const state = known ?? { superBlock: { ...first, sizeRepoBytes: 0, sizeBytes: map.blockSizeBytes }, nextIndex: 0 };
  states.set(first.reference, state);
  if (known === undefined) writeFirstRun(writer, first, lastRun);
  else if (!isContinued) writeNextRun(writer, first, known.superBlock, lastRun);

  let sizeRepoLast = sizeRepoBefore;
  for (let position = begin; position < end; ) {
    const superBlock = superBlockAt(map, position);
    const next = endOf(
      map.blocks,
      position,
      (each) => each.superBlock.reference === first.reference && each.superBlock.offsetBytes === superBlock.offsetBytes,
    );
    const count = next - position;
    const index = map.blocks[position]?.index as number;
    const continuedHere = isContinued && position === begin;
    const lastSuperBlock = next === end;
    const isPartial = continuedHere || index !== 0 || count !== Math.ceil(superBlock.sizeBytes / map.blockSizeBytes);
    if (continuedHere) {
      assert(sameSuperBlock(superBlock, state.superBlock), "two super blocks at the same offset");
      writer.varint(
        superBlock.reference * FLAGS +
          lastRun +
          RUN_BUNDLE_OR_CONTINUED +
          (lastSuperBlock ? RUN_OFFSET_OR_WHOLLY_CONTINUED : 0),
      );
    } else {
      const follows = superBlock.offsetBytes === state.superBlock.offsetBytes + state.superBlock.sizeRepoBytes;
      assert(position === begin || follows, "super blocks of one run that do not follow each other");
      const flags = (lastSuperBlock ? LAST : 0) + (isPartial ? SUPER_BLOCK_PARTIAL : 0);
      writeSuperBlock(writer, superBlock, flags, state.superBlock.sizeBytes, sizeRepoLast, map.blockSizeBytes);
      state.superBlock = superBlock;
      state.nextIndex = 0;
    }
    sizeRepoLast = superBlock.sizeRepoBytes;
    if (isPartial) {
      const gap = index - state.nextIndex;
      assert(gap >= 0, `block ${index} of a super block comes after block ${state.nextIndex - 1}`);
      writer.varint((count - 1) * 2 + (gap > 0 ? 1 : 0));
      if (gap > 0) writer.varint(gap);
    }
    for (let at = position; at < next; at++)
      assert(map.blocks[at]?.index === index + at - position, "blocks of a super block out of order");
    state.nextIndex = index + count;
    writer.raw(map.checksums.subarray(position * map.checksumSizeBytes, next * map.checksumSizeBytes));
    position = next;
  }
  return sizeRepoLast;
}

function writeFirstRun(writer: Writer, first: StoredSuperBlock, lastRun: number): void {
  const flags =
    (first.bundleId > 0 ? RUN_BUNDLE_OR_CONTINUED : 0) + (first.offsetBytes > 0 ? RUN_OFFSET_OR_WHOLLY_CONTINUED : 0);
  writer.varint(first.reference * FLAGS + lastRun + flags);
  if (first.bundleId > 0) writer.varint(first.bundleId);
  if (first.offsetBytes > 0) writer.varint(first.offsetBytes);
}

function writeNextRun(writer: Writer, first: StoredSuperBlock, before: StoredSuperBlock, lastRun: number): void {
  const gap = first.offsetBytes - (before.offsetBytes + before.sizeRepoBytes);
  assert(gap >= 0 && first.bundleId === before.bundleId, "super blocks of one backup out of order");
  writer.varint(first.reference * FLAGS + lastRun + (gap > 0 ? RUN_OFFSET_OR_WHOLLY_CONTINUED : 0));
  if (gap > 0) writer.varint(gap);
}

function writeSuperBlock(
  writer: Writer,
  superBlock: StoredSuperBlock,
  flags: number,
  sizeBytesBefore: number,
  sizeRepoLast: number,
  blockSizeBytes: number,
): void {
  const { sizeBytes, sizeRepoBytes } = superBlock;
  const changed = sizeBytes !== sizeBytesBefore;
  const size = sizeRepoLast === 0 ? sizeRepoBytes : toZigzag(sizeRepoBytes - sizeRepoLast);
  writer.varint(size * FLAGS + flags + (changed ? SUPER_BLOCK_SIZE_CHANGED : 0));
  if (!changed) return;
  const rest = sizeBytes % blockSizeBytes;
  writer.varint(Math.floor(sizeBytes / blockSizeBytes) * 2 + (rest > 0 ? 1 : 0));
  if (rest > 0) writer.varint(rest);
}

function superBlockAt(map: BlockMap, block: number): StoredSuperBlock {
  return (map.blocks[block] as MappedBlock).superBlock;
}

function sameSuperBlock(left: StoredSuperBlock, right: StoredSuperBlock): boolean {
  return (
    left.sizeRepoBytes === right.sizeRepoBytes && left.sizeBytes === right.sizeBytes && left.bundleId === right.bundleId
  );
}

function endOf(blocks: readonly MappedBlock[], begin: number, belongs: (block: MappedBlock) => boolean): number {
  let end = begin + 1;
  while (end < blocks.length && belongs(blocks[end] as MappedBlock)) end++;
  return end;
}

function hasFlag(value: number, flag: number): boolean {
  return Math.floor(value / flag) % 2 === 1;
}

function toZigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function fromZigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #position = 0;

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  varint(): number {
    let value = 0;
    for (let weight = 1; ; weight *= 128) {
      const byte = this.#bytes[this.#position++];
      if (byte === undefined) throw this.damaged("it ends early");
      value += (byte % 128) * weight;
      if (value > Number.MAX_SAFE_INTEGER) throw this.damaged("a number in it is too large");
      if (byte < 128) return value;
    }
  }

  take(sizeBytes: number): Uint8Array {
    if (sizeBytes > this.#bytes.length - this.#position) throw this.damaged("it ends early");
    this.#position += sizeBytes;
    return this.#bytes.subarray(this.#position - sizeBytes, this.#position);
  }

  end(): void {
    if (this.#position < this.#bytes.length)
      throw this.damaged(`${this.#bytes.length - this.#position} bytes follow its end`);
  }

  damaged(reason: string): BackupError {
    return fail("format", `block map of '${this.#name}' is damaged: ${reason}`);
  }
}

class Writer {
  readonly #parts: Uint8Array[] = [];
  #pending: number[] = [];

  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `${value} cannot stand in a block map`);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#pending.push((rest % 128) + 128);
    this.#pending.push(rest);
  }

  raw(bytes: Uint8Array): void {
    this.#parts.push(Uint8Array.from(this.#pending), bytes);
    this.#pending = [];
  }

  bytes(): Uint8Array {
    return Buffer.concat([...this.#parts, Uint8Array.from(this.#pending)]);
  }
}
