/**
 * The content of a WAL record: block references, each with a page image or data, and the main data.
 *
 * Headers come first, then images and data of the blocks in order, then the main data. (PostgreSQL
 * "access/xlogrecord.h", DecodeXLogRecord of "xlogreader.c".) Errors: format (29).
 */
import { viewOf } from "../../base/bytes";
import { fail } from "../../base/errors";
import { decompressBytes } from "../codec/compress";
import { decompressLz4Block } from "../codec/lz4";
import { decompressPglz } from "../page/pglz";
import { RECORD_HEADER_SIZE_BYTES, type WalRecord } from "./walReader";
import { formatLsn } from "./walSegment";

/** A relation's files; `database` is 0 for shared relations. */
export interface RelationFile {
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
}

export interface WalBlock {
  readonly id: number;
  /** 0 is the relation itself, others are its maps. */
  readonly fork: number;
  readonly file: RelationFile;
  readonly block: number;
  readonly image: PageImage | null;
  readonly data: Uint8Array;
}

/** A page without the zero-filled hole in its middle, possibly compressed. */
interface PageImage {
  readonly bytes: Uint8Array;
  readonly holeOffset: number;
  readonly holeSizeBytes: number;
  readonly compression: "none" | "pglz" | "lz4" | "zstd";
}

export interface WalContent {
  readonly blocks: readonly WalBlock[];
  readonly main: Uint8Array;
}

export const PAGE_SIZE_BYTES = 8192;

const ID_DATA_SHORT = 255;
const ID_DATA_LONG = 254;
const ID_ORIGIN = 253;
const ID_TOPLEVEL_XID = 252;
const ID_BLOCK_MAX = 32;
const FORK_MASK = 0x0f;
const FLAG_IMAGE = 0x10;
const FLAG_DATA = 0x20;
const FLAG_SAME_FILE = 0x80;
const IMAGE_HAS_HOLE = 0x01;
const IMAGE_COMPRESSED_14 = 0x02;
const IMAGE_PGLZ = 0x04;
const IMAGE_LZ4 = 0x08;
const IMAGE_ZSTD = 0x10;

interface BlockHead extends Omit<WalBlock, "data" | "image"> {
  readonly dataSizeBytes: number;
  readonly image: {
    readonly sizeBytes: number;
    readonly holeOffset: number;
    readonly holeSizeBytes: number;
    readonly info: number;
  } | null;
}

/** @param major PostgreSQL version that wrote it. @throws format */
export function parseRecord(record: WalRecord, major: number): WalContent {
  try {
    return new Parser(record.bytes, major).parse();
  } catch (error) {
    throw fail("format", `unable to parse the WAL record at ${formatLsn(record.lsn)}`, { cause: error });
  }
}

class Parser {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #major: number;
  #at = RECORD_HEADER_SIZE_BYTES;

  constructor(bytes: Uint8Array, major: number) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#major = major;
  }

  parse(): WalContent {
    const heads: BlockHead[] = [];
    let mainSizeBytes = 0;
    let contentSizeBytes = 0;
    while (this.#bytes.length - this.#at > contentSizeBytes) {
      const id = this.#u8();
      if (id === ID_DATA_SHORT || id === ID_DATA_LONG) {
        mainSizeBytes = id === ID_DATA_SHORT ? this.#u8() : this.#u32();
        break;
      }
      if (id === ID_ORIGIN) this.#at += 2;
      else if (id === ID_TOPLEVEL_XID) this.#at += 4;
      else if (id <= ID_BLOCK_MAX) {
        const head = this.#block(id, heads.at(-1));
        heads.push(head);
        contentSizeBytes += head.dataSizeBytes + (head.image?.sizeBytes ?? 0);
      } else throw fail("format", `part ${id} is unknown`);
    }
    const blocks = heads.map((head): WalBlock => {
      const { id, fork, file, block } = head;
      const image = head.image === null ? null : this.#image(head.image);
      return { id, fork, file, block, image, data: this.#take(head.dataSizeBytes) };
    });
    const main = this.#take(mainSizeBytes);
    if (this.#at !== this.#bytes.length)
      throw fail("format", `it has ${this.#bytes.length - this.#at} bytes more than its parts`);
    return { blocks, main };
  }

  #block(id: number, before: BlockHead | undefined): BlockHead {
    const flags = this.#u8();
    const dataSizeBytes = this.#u16();
    const image = (flags & FLAG_IMAGE) === 0 ? null : this.#imageHead();
    if ((flags & FLAG_DATA) === 0 && dataSizeBytes > 0) throw fail("format", "data without a block");
    const file = (flags & FLAG_SAME_FILE) === 0 ? this.#file() : before?.file;
    if (file === undefined) throw fail("format", "no block before the first one");
    return { id, fork: flags & FORK_MASK, file, block: this.#u32(), dataSizeBytes, image };
  }

  #file(): RelationFile {
    return { tablespace: this.#u32(), database: this.#u32(), relation: this.#u32() };
  }

  #imageHead(): NonNullable<BlockHead["image"]> {
    const sizeBytes = this.#u16();
    const holeOffset = this.#u16();
    const info = this.#u8();
    const hasHole = (info & IMAGE_HAS_HOLE) !== 0;
    const isPlain = this.#compressionOf(info) === "none";
    const holeSizeBytes = !hasHole ? 0 : isPlain ? PAGE_SIZE_BYTES - sizeBytes : this.#u16();
    if (
      holeSizeBytes < 0 ||
      holeOffset + holeSizeBytes > PAGE_SIZE_BYTES ||
      (isPlain && sizeBytes + holeSizeBytes !== PAGE_SIZE_BYTES)
    )
      throw fail("format", `an image of ${sizeBytes} bytes around a hole of ${holeSizeBytes} is no page`);
    return { sizeBytes, holeOffset, info, holeSizeBytes };
  }

  #image({ holeOffset, holeSizeBytes, info, sizeBytes }: NonNullable<BlockHead["image"]>): PageImage {
    return { bytes: this.#take(sizeBytes), holeOffset, holeSizeBytes, compression: this.#compressionOf(info) };
  }

  #compressionOf(info: number): PageImage["compression"] {
    if (this.#major < 15) return (info & IMAGE_COMPRESSED_14) === 0 ? "none" : "pglz";
    if ((info & IMAGE_PGLZ) !== 0) return "pglz";
    if ((info & IMAGE_LZ4) !== 0) return "lz4";
    return (info & IMAGE_ZSTD) === 0 ? "none" : "zstd";
  }

  #take(sizeBytes: number): Uint8Array {
    if (this.#at + sizeBytes > this.#bytes.length) throw fail("format", "it ends early");
    this.#at += sizeBytes;
    return this.#bytes.subarray(this.#at - sizeBytes, this.#at);
  }

  #u8(): number {
    return this.#view.getUint8(this.#at++);
  }

  #u16(): number {
    this.#at += 2;
    return this.#view.getUint16(this.#at - 2, true);
  }

  #u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }
}

/** The whole page of an image. @throws format */
export function pageOf({ bytes, compression, holeOffset, holeSizeBytes }: PageImage): Uint8Array {
  const sizeBytes = PAGE_SIZE_BYTES - holeSizeBytes;
  const plain = expand(bytes, compression, sizeBytes);
  if (plain.length !== sizeBytes || holeOffset > sizeBytes)
    throw fail("format", `a page image has ${plain.length} bytes instead of ${sizeBytes}`);
  const page = new Uint8Array(PAGE_SIZE_BYTES);
  page.set(plain.subarray(0, holeOffset));
  page.set(plain.subarray(holeOffset), holeOffset + holeSizeBytes);
  return page;
}

function expand(bytes: Uint8Array, compression: PageImage["compression"], sizeBytes: number): Uint8Array {
  switch (compression) {
    case "none":
      return bytes;
    case "pglz":
      return decompressPglz(bytes, sizeBytes);
    case "lz4":
      return decompressLz4Block(bytes, sizeBytes);
    case "zstd":
      return decompressBytes(bytes, "zst", sizeBytes);
  }
}
