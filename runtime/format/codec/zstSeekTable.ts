/**
 * The seek table of a zst file with several frames: where each frame begins and what it contains, so that a reader
 * fetches only the frames it needs. It is zstandard's seekable format (contrib/seekable_format, version 0.1.0) without
 * checksums: a skippable frame at the end, which every decoder passes over.
 */
import { viewOf } from "../../base/bytes";

const SKIPPABLE_MAGIC = 0x184d2a5e;
const FOOTER_MAGIC = 0x8f92eab1;
const HEAD_SIZE_BYTES = 8;
const ENTRY_SIZE_BYTES = 8;
export const SEEK_FOOTER_SIZE_BYTES = 9;
/** The format's own limit. */
const FRAMES_MAX = 0x8000000;
const HAS_CHECKSUMS = 0x80;

export interface ZstFrame {
  /** Where the frame begins in the file, and its size there. */
  readonly beginBytes: number;
  readonly sizeBytes: number;
  /** Where its content begins in the file's content, and its size there. */
  readonly contentBeginBytes: number;
  readonly contentSizeBytes: number;
}

/** Notes frames in their order. */
export class ZstSeekTable {
  readonly #sizesBytes: number[] = [];

  get isEmpty(): boolean {
    return this.#sizesBytes.length === 0;
  }

  add(sizeBytes: number, contentSizeBytes: number): void {
    this.#sizesBytes.push(sizeBytes, contentSizeBytes);
  }

  /** The skippable frame that ends the file; empty for a single frame, which nobody needs to look up. */
  encode(): Uint8Array {
    const frames = this.#sizesBytes.length / 2;
    if (frames < 2 || frames > FRAMES_MAX) return new Uint8Array(0);
    const bytes = Buffer.alloc(HEAD_SIZE_BYTES + frames * ENTRY_SIZE_BYTES + SEEK_FOOTER_SIZE_BYTES);
    bytes.writeUInt32LE(SKIPPABLE_MAGIC, 0);
    bytes.writeUInt32LE(bytes.length - HEAD_SIZE_BYTES, 4);
    this.#sizesBytes.forEach((sizeBytes, index) => bytes.writeUInt32LE(sizeBytes, HEAD_SIZE_BYTES + index * 4));
    bytes.writeUInt32LE(frames, bytes.length - SEEK_FOOTER_SIZE_BYTES);
    bytes.writeUInt32LE(FOOTER_MAGIC, bytes.length - 4);
    return bytes;
  }
}

/**
 * How much of the file's end {@link readSeekTable} needs.
 * @param end at least the last {@link SEEK_FOOTER_SIZE_BYTES} of the file
 * @returns null for a file without a seek table
 */
export function seekTableSizeBytes(end: Uint8Array): number | null {
  if (end.length < SEEK_FOOTER_SIZE_BYTES) return null;
  const footer = viewOf(end.subarray(end.length - SEEK_FOOTER_SIZE_BYTES));
  const frames = footer.getUint32(0, true);
  if (footer.getUint32(5, true) !== FOOTER_MAGIC || frames === 0 || frames > FRAMES_MAX) return null;
  const entrySizeBytes = ENTRY_SIZE_BYTES + ((footer.getUint8(4) & HAS_CHECKSUMS) === 0 ? 0 : 4);
  return HEAD_SIZE_BYTES + frames * entrySizeBytes + SEEK_FOOTER_SIZE_BYTES;
}

/**
 * The frames of a zst file.
 * @param end the end of the file with the whole table
 * @returns null without a table, and for one that does not describe a file of this size: such a file is read as a whole
 */
export function readSeekTable(end: Uint8Array, fileSizeBytes: number): readonly ZstFrame[] | null {
  const sizeBytes = seekTableSizeBytes(end);
  if (sizeBytes === null || sizeBytes > end.length) return null;
  const table = viewOf(end.subarray(end.length - sizeBytes));
  if (table.getUint32(0, true) !== SKIPPABLE_MAGIC || table.getUint32(4, true) !== sizeBytes - HEAD_SIZE_BYTES)
    return null;
  const count = table.getUint32(sizeBytes - SEEK_FOOTER_SIZE_BYTES, true);
  const entrySizeBytes = (sizeBytes - HEAD_SIZE_BYTES - SEEK_FOOTER_SIZE_BYTES) / count;
  const frames: ZstFrame[] = [];
  let beginBytes = 0;
  let contentBeginBytes = 0;
  for (let index = 0; index < count; index++) {
    const at = HEAD_SIZE_BYTES + index * entrySizeBytes;
    const frame = { sizeBytes: table.getUint32(at, true), contentSizeBytes: table.getUint32(at + 4, true) };
    frames.push({ beginBytes, contentBeginBytes, ...frame });
    beginBytes += frame.sizeBytes;
    contentBeginBytes += frame.contentSizeBytes;
  }
  return beginBytes === fileSizeBytes - sizeBytes ? frames : null;
}
