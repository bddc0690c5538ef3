import { gunzipSync, zstdCompressSync } from "node:zlib";
import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import { pageOf, parseRecord, type WalContent } from "../../../../runtime/format/wal/walRecord";
import { type WalRecord, WalReader } from "../../../../runtime/format/wal/walReader";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { errorOf, vectorBytes, vectorText } from "../vectors";
import { type Body, bodyOf, pack, WalWriter } from "../walWriter";

function recordOf(body: Body | Uint8Array): WalRecord {
  const writer = new WalWriter();
  writer.add({ resourceManager: 10, xid: 700, body });
  const [segment] = [...writer.segments().values()];
  const [record] = new WalReader().read(segment as Uint8Array);
  return record as WalRecord;
}

function parse(body: Body | Uint8Array, major = 15): WalContent {
  return parseRecord(recordOf(body), major);
}

const bytes = (size: number, seed = 1): Uint8Array =>
  Buffer.from(Array.from({ length: size }, (_, index) => (index * 7 + seed) & 0xff));
/** A page with a hole of zeros from 100 to 8000. */
const PAGE = Buffer.concat([bytes(100), Buffer.alloc(7900), bytes(192, 9)]);
const WITHOUT_HOLE = Buffer.concat([bytes(100), bytes(192, 9)]);

describe("the parts of a WAL record", () => {
  it("are blocks with their files, forks, data and images, and the main data", () => {
    const { blocks, main } = parse({
      blocks: [
        { file: [1663, 5, 16400], block: 7, data: bytes(20) },
        { block: 8, fork: 2 },
        {
          id: 5,
          file: [1664, 0, 1262],
          block: 0xfffffffe,
          data: bytes(3),
          image: { bytes: WITHOUT_HOLE, holeOffset: 100, info: 0x03 },
        },
      ],
      main: bytes(300),
      origin: 3,
      topXid: 690,
    });
    expect(main).toEqual(bytes(300));
    const file = { tablespace: 1663, database: 5, relation: 16400 };
    expect(blocks.map(({ data, image, ...block }) => ({ ...block, data: data.length, image: image === null }))).toEqual(
      [
        { id: 0, fork: 0, file, block: 7, data: 20, image: true },
        { id: 1, fork: 2, file, block: 8, data: 0, image: true },
        {
          id: 5,
          fork: 0,
          file: { tablespace: 1664, database: 0, relation: 1262 },
          block: 0xfffffffe,
          data: 3,
          image: false,
        },
      ],
    );
    expect(Buffer.from(pageOf(blocks[2]?.image as never)).equals(PAGE)).toBe(true);
    expect(parse({}).blocks).toEqual([]);
    expect(parse({ main: bytes(255) }).main).toHaveLength(255);
    expect(parse({ main: new Uint8Array(0) }).main).toHaveLength(0);
  });

  it("are read as written", () => {
    const file = fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.nat(0xffffffff));
    const block = fc.record({
      file,
      block: fc.nat(0xffffffff),
      fork: fc.nat(3),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    const body = fc.record({ blocks: fc.array(block, { maxLength: 8 }), main: fc.uint8Array({ maxLength: 600 }) });
    fc.assert(
      fc.property(body, fc.constantFrom(14, 15, 16, 17, 18, 19), (written, major) => {
        const read = parse(written, major);
        expect(Buffer.from(read.main).equals(written.main)).toBe(true);
        expect(
          read.blocks.map(({ block: no, data, file: { database, relation, tablespace }, fork }) => [
            no,
            fork,
            tablespace,
            database,
            relation,
            Buffer.from(data).toString("latin1"),
          ]),
        ).toEqual(
          written.blocks.map((each) => [
            each.block,
            each.fork,
            ...each.file,
            Buffer.from(each.data).toString("latin1"),
          ]),
        );
      }),
    );
  });

  it("are an error when truncated anywhere, or with extra bytes", async () => {
    const whole = bodyOf({
      blocks: [
        { file: [1663, 5, 16400], block: 7, data: bytes(20) },
        { block: 8, image: { bytes: WITHOUT_HOLE, holeOffset: 100, info: 0x03 } },
      ],
      main: bytes(40),
    });
    expect(parse(whole).main).toHaveLength(40);
    // A record without content is valid, like a WAL switch. Blocks without main data are valid too: only the checksum
    // detects a truncation there.
    const alsoWhole = [20 + 20, 33 + 20 + WITHOUT_HOLE.length];
    for (let cut = 1; cut < whole.length; cut++) {
      if (alsoWhole.includes(cut)) continue;
      const error = await errorOf("format", () => parse(whole.subarray(0, cut)));
      expect(error.message).toBe("unable to parse the WAL record at 0/100028");
    }
    await errorOf("format", () => parse(Buffer.concat([whole, bytes(1)])));
  });

  it("any bytes are a record or an error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(14, 15, 18, 19), (body, major) => {
        try {
          for (const { image } of parse(body, major).blocks)
            if (image !== null) expect(pageOf(image)).toHaveLength(8192);
        } catch (error) {
          if (!isError(error, "format", "fileInvalid")) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  it("impossible parts are refused", async () => {
    const head = (flags: number, dataSize: number): Uint8Array => pack([1, 0], [1, flags], [2, dataSize]);
    const file = pack([4, 1], [4, 2], [4, 3], [4, 4]);
    await errorOf("format", () => parse(pack([1, 33], bytes(30))));
    await errorOf("format", () => parse(Buffer.concat([head(0x80, 0), pack([4, 4])])));
    await errorOf("format", () => parse(Buffer.concat([head(0, 5), file, bytes(5)])));
    const image = (sizeBytes: number, holeOffset: number, info: number, more: Uint8Array): Uint8Array =>
      Buffer.concat([
        head(0x10, 0),
        pack([2, sizeBytes], [2, holeOffset], [1, info]),
        more,
        file,
        Buffer.alloc(sizeBytes),
      ]);
    // An image must give exactly one page.
    await errorOf("format", () => parse(image(8193, 0, 0x01, new Uint8Array(0))));
    await errorOf("format", () => parse(image(100, 0, 0x00, new Uint8Array(0))));
    await errorOf("format", () => parse(image(100, 101, 0x01, new Uint8Array(0))));
    await errorOf("format", () => parse(image(100, 8000, 0x05, pack([2, 193]))));
    expect(parse(image(8192, 0, 0x00, new Uint8Array(0))).blocks).toHaveLength(1);
  });
});

describe("images of pages", () => {
  const literals = (content: Uint8Array): Uint8Array => {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < content.length; at += 8) parts.push(Buffer.from([0]), content.subarray(at, at + 8));
    return Buffer.concat(parts);
  };
  // The flags differ between 14 and 15+. Each image has a hole and must be applied.
  it.each([
    [14, "plain", 0x05, WITHOUT_HOLE],
    [14, "pglz", 0x07, literals(WITHOUT_HOLE)],
    [15, "plain", 0x03, WITHOUT_HOLE],
    [15, "pglz", 0x07, literals(WITHOUT_HOLE)],
    [16, "zstd", 0x13, zstdCompressSync(WITHOUT_HOLE)],
    [17, "lz4", 0x0b, Buffer.concat([Buffer.from([0xf0, 255, 292 - 15 - 255]), WITHOUT_HOLE])],
    [18, "zstd", 0x13, zstdCompressSync(WITHOUT_HOLE)],
  ] as const)("of PostgreSQL %i, %s", (major, kind, info, content) => {
    const image = { bytes: content, holeOffset: 100, info, ...(kind === "plain" ? {} : { holeBytes: 7900 }) };
    const { blocks, main } = parse({ blocks: [{ file: [1663, 5, 1259], block: 0, image }], main: bytes(2) }, major);
    expect(main).toEqual(bytes(2));
    expect(Buffer.from(pageOf(blocks[0]?.image as never)).equals(PAGE)).toBe(true);
  });

  it("content of another size than the page without its hole is refused", async () => {
    for (const [info, content] of [
      [0x07, literals(WITHOUT_HOLE.subarray(1))],
      [0x13, zstdCompressSync(WITHOUT_HOLE.subarray(1))],
      [0x0b, Buffer.from([0x10, 1])],
    ] as const) {
      const { blocks } = parse({
        blocks: [{ file: [1, 2, 3], block: 0, image: { bytes: content, holeOffset: 100, info, holeBytes: 7900 } }],
      });
      expect(() => pageOf(blocks[0]?.image as never)).toThrow();
    }
    const { blocks } = parse({
      blocks: [
        {
          file: [1, 2, 3],
          block: 0,
          image: { bytes: literals(WITHOUT_HOLE), holeOffset: 100, info: 0x07, holeBytes: 7899 },
        },
      ],
    });
    await errorOf("format", () => pageOf(blocks[0]?.image as never));
  });
});

describe.each([15, 17, 18, 19])("a segment that PostgreSQL %i wrote", (major) => {
  const reader = new WalReader();
  const records = [...reader.read(gunzipSync(vectorBytes(`wal/pg${major}.segment.gz`)))];

  it("has the records that pg_waldump shows", () => {
    const reported = records.map((record) => {
      const refs = parseRecord(record, major).blocks.map(
        ({ block, file, image }) =>
          `${file.tablespace}/${file.database}/${file.relation}:${block}${image === null ? "" : "!"}`,
      );
      return `${formatLsn(record.lsn)} ${record.xid} ${record.bytes.length} ${refs.join(" ")}`.trimEnd();
    });
    expect(reported).toEqual(vectorText(`wal/pg${major}.waldump.txt`).trimEnd().split("\n"));
    expect(reader.problem).toBeNull();
  });

  it("has images that are pages, compressed as its version can", () => {
    const images = records.flatMap((record) => parseRecord(record, major).blocks.flatMap(({ image }) => image ?? []));
    expect(images.length).toBeGreaterThan(10);
    expect(new Set(images.map(({ compression }) => compression))).toContain(
      { 15: "pglz", 17: "lz4", 18: "zstd", 19: "zstd" }[major],
    );
    for (const image of images) {
      const page = Buffer.from(pageOf(image));
      // The layout's size and version, and the order of the page's offsets ("storage/bufpage.h").
      expect([
        page.readUInt16LE(18),
        page.readUInt16LE(14) <= page.readUInt16LE(16),
        page.readUInt16LE(12) <= page.readUInt16LE(14),
      ]).toEqual([8196, true, true]);
    }
  });
});
