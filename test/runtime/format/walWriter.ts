/**
 * Writes WAL in PostgreSQL's layout ("access/xlog_internal.h", "access/xlogrecord.h"), independent of the code that
 * reads WAL.
 */

export const PAGE_BYTES = 8192;
export const SEGMENT_BYTES = 1024 * 1024;
const SYSTEM_ID = 7_700_000_000_000_000_001n;
export const MAGIC: Readonly<Record<number, number>> = {
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
  18: 0xd118,
  19: 0xd122,
};

export interface WrittenBlock {
  readonly id?: number;
  readonly fork?: number;
  /** Tablespace, database, file. If absent, the same as in the previous block. */
  readonly file?: readonly [number, number, number];
  readonly block: number;
  readonly data?: Uint8Array;
  readonly image?: {
    readonly bytes: Uint8Array;
    readonly holeOffset: number;
    readonly info: number;
    readonly holeBytes?: number;
  };
}

export interface Body {
  readonly blocks?: readonly WrittenBlock[];
  readonly main?: Uint8Array;
  readonly origin?: number;
  readonly topXid?: number;
}

export interface Written {
  readonly xid?: number;
  readonly resourceManager: number;
  readonly info?: number;
  readonly body?: Body | Uint8Array;
}

/** Little-endian numbers and bytes, concatenated: `[size, value]`. */
export function pack(
  ...parts: readonly (readonly [1 | 2 | 4 | 8, number | bigint] | Uint8Array | string)[]
): Uint8Array {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(part, "latin1");
      if (part instanceof Uint8Array) return part;
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(part[1])));
      return bytes.subarray(0, part[0]);
    }),
  );
}

/** A record without its header. */
export function bodyOf({ blocks = [], main, origin, topXid }: Body): Uint8Array {
  const heads: Uint8Array[] = [];
  const contents: Uint8Array[] = [];
  for (const [index, { block, data, file, fork = 0, id = index, image }] of blocks.entries()) {
    const flags =
      fork | (image === undefined ? 0 : 0x10) | (data === undefined ? 0 : 0x20) | (file === undefined ? 0x80 : 0);
    heads.push(pack([1, id], [1, flags], [2, data?.length ?? 0]));
    if (image !== undefined) {
      heads.push(pack([2, image.bytes.length], [2, image.holeOffset], [1, image.info]));
      if (image.holeBytes !== undefined) heads.push(pack([2, image.holeBytes]));
      contents.push(image.bytes);
    }
    if (file !== undefined) heads.push(pack([4, file[0]], [4, file[1]], [4, file[2]]));
    heads.push(pack([4, block]));
    if (data !== undefined) contents.push(data);
  }
  if (origin !== undefined) heads.push(pack([1, 253], [2, origin]));
  if (topXid !== undefined) heads.push(pack([1, 252], [4, topXid]));
  if (main !== undefined)
    heads.push(main.length > 255 ? pack([1, 254], [4, main.length]) : pack([1, 255], [1, main.length]));
  return Buffer.concat([...heads, ...contents, main ?? Buffer.alloc(0)]);
}

interface WriterOptions {
  readonly major?: number;
  readonly segment?: number;
  readonly systemId?: bigint;
  readonly timeline?: number;
}

export class WalWriter {
  readonly #major: number;
  readonly #timeline: number;
  readonly #systemId: bigint;
  readonly #segments = new Map<number, Buffer>();
  #at: number;
  #previous = 0;

  /** Number of the first segment. */
  constructor({ major = 15, segment = 1, systemId = SYSTEM_ID, timeline = 1 }: WriterOptions = {}) {
    this.#major = major;
    this.#timeline = timeline;
    this.#systemId = systemId;
    this.#at = segment * SEGMENT_BYTES;
  }

  /** Position of the next byte. */
  get lsn(): bigint {
    return BigInt(this.#at);
  }

  /** Adds a record, and returns its position. */
  add({ body = {}, info = 0, resourceManager, xid = 0 }: Written): bigint {
    const content = body instanceof Uint8Array ? body : bodyOf(body);
    const bytes = Buffer.concat([
      pack([4, 24 + content.length], [4, xid], [8, this.#previous], [1, info], [1, resourceManager], [2, 0], [4, 0]),
      content,
    ]);
    bytes.writeUInt32LE(castagnoli(Buffer.concat([bytes.subarray(24), bytes.subarray(0, 20)])), 20);
    if (this.#at % PAGE_BYTES === 0) this.#page(0);
    const lsn = this.#at;
    for (let done = 0; done < bytes.length; ) {
      if (this.#at % PAGE_BYTES === 0) this.#page(bytes.length - done);
      const part = bytes.subarray(done, done + PAGE_BYTES - (this.#at % PAGE_BYTES));
      this.#put(part);
      done += part.length;
    }
    this.#at += (8 - (this.#at % 8)) % 8;
    this.#previous = lsn;
    return BigInt(lsn);
  }

  /** A record of this exact size that changes nothing (XLOG_NOOP). */
  fill(sizeBytes: number): bigint {
    const rest = sizeBytes - 24;
    if (rest === 0) return this.add({ resourceManager: 0, info: 0x20, body: new Uint8Array(0) });
    const main = Buffer.alloc(rest - (rest - 2 > 255 ? 5 : 2), 0x5a);
    return this.add({ resourceManager: 0, info: 0x20, body: { main } });
  }

  /** Fills the page up to its last `leftBytes`. */
  fillPage(leftBytes = 0): void {
    if (this.#at % PAGE_BYTES === 0) this.#page(0);
    this.fill(PAGE_BYTES - (this.#at % PAGE_BYTES) - leftBytes);
  }

  /** Leaves the rest of the segment empty. */
  switchSegment(): void {
    this.add({ resourceManager: 0, info: 0x40, body: new Uint8Array(0) });
    this.#at = Math.ceil(this.#at / SEGMENT_BYTES) * SEGMENT_BYTES;
  }

  /** Segments by number. The last one ends with zeros. */
  segments(): Map<number, Uint8Array> {
    return new Map(this.#segments);
  }

  #page(restBytes: number): void {
    const isFirst = this.#at % SEGMENT_BYTES === 0;
    const flags = (restBytes > 0 ? 1 : 0) | (isFirst ? 2 : 0);
    this.#put(
      pack([2, MAGIC[this.#major] as number], [2, flags], [4, this.#timeline], [8, this.#at], [4, restBytes], [4, 0]),
    );
    if (isFirst) this.#put(pack([8, this.#systemId], [4, SEGMENT_BYTES], [4, PAGE_BYTES]));
  }

  #put(bytes: Uint8Array): void {
    const no = Math.floor(this.#at / SEGMENT_BYTES);
    let segment = this.#segments.get(no);
    if (segment === undefined) {
      segment = Buffer.alloc(SEGMENT_BYTES);
      this.#segments.set(no, segment);
    }
    segment.set(bytes, this.#at % SEGMENT_BYTES);
    this.#at += bytes.length;
  }
}

/** CRC-32C with the plain table of 256. */
function castagnoli(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at++)
    crc = (crc >>> 8) ^ (CRC_TABLE[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return (crc ^ 0xffffffff) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** Microseconds since 1970 as PostgreSQL writes them. */
export function pgTime(atUs: bigint): readonly [8, bigint] {
  return [8, atUs - 946_684_800_000_000n];
}

export interface CommitParts {
  readonly atUs: bigint;
  readonly database?: readonly [number, number];
  readonly subtransactions?: readonly number[];
  readonly dropped?: readonly (readonly [number, number, number])[];
  readonly statistics?: number;
  readonly invalidations?: number;
  readonly twoPhaseXid?: number;
  readonly name?: string;
}

/** Main data of a commit or an abort, and the info flag 0x80 if it has parts. */
export function endOf(parts: CommitParts, major = 15): { readonly main: Uint8Array; readonly flag: number } {
  const { atUs, database, dropped, invalidations, name, statistics, subtransactions, twoPhaseXid } = parts;
  const bits: readonly (readonly [number, Uint8Array | null])[] = [
    [0x01, database === undefined ? null : pack([4, database[0]], [4, database[1]])],
    [
      0x02,
      subtransactions === undefined
        ? null
        : pack([4, subtransactions.length], ...subtransactions.map((xid): [4, number] => [4, xid])),
    ],
    [
      0x04,
      dropped === undefined
        ? null
        : pack([4, dropped.length], ...dropped.flat().map((value): [4, number] => [4, value])),
    ],
    [
      0x100,
      statistics === undefined ? null : pack([4, statistics], Buffer.alloc(statistics * (major >= 18 ? 16 : 12), 0xaa)),
    ],
    [0x08, invalidations === undefined ? null : pack([4, invalidations], Buffer.alloc(invalidations * 16, 0xbb))],
    [0x10, twoPhaseXid === undefined ? null : pack([4, twoPhaseXid])],
    [0x80, name === undefined ? null : pack(`${name}\0`)],
  ];
  const reported = bits.filter(([, bytes]) => bytes !== null);
  const time = pack(pgTime(atUs));
  if (reported.length === 0) return { main: time, flag: 0 };
  const flags = reported.reduce((sum, [bit]) => sum | bit, 0);
  return {
    main: Buffer.concat([time, pack([4, flags]), ...reported.map(([, bytes]) => bytes as Uint8Array)]),
    flag: 0x80,
  };
}

export interface PreparedParts {
  readonly xid: number;
  readonly atUs: bigint;
  readonly gid: string;
  readonly subtransactions: readonly number[];
}

/** Main data of PREPARE TRANSACTION ("access/xact.h", xl_xact_prepare). Since 15 it counts statistics. */
export function preparedOf({ atUs, gid, subtransactions, xid }: PreparedParts, major = 15): Uint8Array {
  const aligned = (part: Uint8Array): Uint8Array => Buffer.concat([part, Buffer.alloc((8 - (part.length % 8)) % 8)]);
  const relationCounts = [0, 0];
  const statisticsCounts = major >= 15 ? [0, 0] : [];
  const fixed = pack(
    [4, 0x57f94534],
    [4, 200],
    [4, xid],
    [4, 5],
    pgTime(atUs),
    [4, 10],
    [4, subtransactions.length],
    ...[...relationCounts, ...statisticsCounts].map((count): [4, number] => [4, count]),
    [4, 0],
    [1, 0],
    // The alignment of the next field.
    [1, 0],
    [2, gid.length + 1],
    [8, 0],
    [8, 0],
  );
  const xids = pack(...subtransactions.map((each): [4, number] => [4, each]));
  return Buffer.concat([fixed, aligned(pack(`${gid}\0`)), aligned(xids), Buffer.alloc(40, 0x41)]);
}

/**
 * The first megabyte of a segment that creates a tablespace.
 * @param beforeEnd the record begins so many bytes before the end, or early if absent
 */
export function tablespaceSegment(path: string, options: WriterOptions = {}, beforeEnd?: number): Uint8Array {
  const writer = new WalWriter(options);
  writer.fill(126 * PAGE_BYTES);
  writer.fillPage();
  if (beforeEnd !== undefined) writer.fillPage(beforeEnd);
  writer.add({ resourceManager: 5, body: { main: pack([4, 16_400], path, [1, 0]) } });
  return [...writer.segments().values()][0] ?? Buffer.alloc(0);
}
