import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { afterAll, describe, expect, it } from "vitest";
import { concatBytes } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import type { ByteStream } from "../../../../runtime/base/bytes";
import { sha1Hex } from "../../../../runtime/base/hash";
import { throughCodec } from "../../../../runtime/format/codec/codec";
import {
  compressLz4Bytes,
  decompressLz4Bytes,
  Lz4Compressor,
  Lz4Decompressor,
} from "../../../../runtime/format/codec/lz4";
import { all, errorOf, pieces, sampleBytes, vectorBytes, vectorText } from "../vectors";

const LIMIT = 1 << 30;
const compressLz4 = (source: ByteStream, level: number, contentChecksum: boolean): ByteStream =>
  throughCodec(source, () => new Lz4Compressor(level, contentChecksum));
const decompressLz4 = (source: ByteStream): ByteStream => throughCodec(source, () => new Lz4Decompressor());
const HAVE_LZ4 = spawnSync("lz4", ["--version"]).status === 0;
if (!HAVE_LZ4) process.stderr.write("SKIPPED: the lz4 tool is not on PATH, frames are not checked against it\n");

interface Case {
  readonly references: readonly string[];
  readonly label: string;
  readonly row: string;
  readonly items: readonly {
    readonly ref: number;
    readonly sbs: number;
    readonly off: number;
    readonly size: number;
    readonly block: number;
  }[];
}

describe("super blocks of stock", () => {
  const names = [
    "F.pg_data_base_1_1247_fsm",
    "F.pg_data_base_1_2619",
    "D.pg_data_base_1_2619",
    "D.pg_data_base_1_2696",
    "I.pg_data_base_5_16385",
    "I.pg_data_base_5_16385_fsm",
  ];

  it.each(names)("of %s are decoded", async (name) => {
    const extent = vectorBytes(`v2.60/block-lz4/${name}.extent.bin`);
    const { items, references, label, row } = JSON.parse(vectorText(`v2.60/block-lz4/${name}.json`)) as Case;
    const begin = Number(/"bno":(\d+)/.exec(row)?.[1] ?? 0);
    const own = items.filter((item) => references[item.ref] === label);
    const superBlocks = [...new Map(own.map((item) => [item.off, item])).values()];
    expect(superBlocks.length).toBeGreaterThan(0);
    const decoded: Uint8Array[] = [];
    for (const { off, size, sbs } of superBlocks) {
      const stored = extent.subarray(off - begin, off - begin + size);
      expect([stored[4], stored[5]]).toEqual([0x40, 0x40]);
      const content = decompressLz4Bytes(stored, LIMIT);
      expect(content).toHaveLength(sbs);
      // Large ones as well would take seconds.
      const pieceBytes = stored.length < 10_000 ? 1 : 61;
      expect((await all(decompressLz4(pieces(stored, pieceBytes)))).equals(content)).toBe(true);
      decoded.push(content);
    }
    if (own.length === items.length) expect(sha1Hex(concatBytes(decoded))).toBe(/"checksum":"(\w+)"/.exec(row)?.[1]);
  });
});

describe("our frames", () => {
  it("have the flags of stock's", () => {
    expect([...compressLz4Bytes(sampleBytes(10), 1, true).subarray(0, 6)]).toEqual([
      0x04, 0x22, 0x4d, 0x18, 0x44, 0x40,
    ]);
    expect([...compressLz4Bytes(sampleBytes(10), 1, false).subarray(4, 6)]).toEqual([0x40, 0x40]);
    expect(compressLz4Bytes(new Uint8Array(0), 1, true)).toHaveLength(15);
  });

  const contents: readonly (readonly [string, Uint8Array])[] = [
    ["nothing", new Uint8Array(0)],
    ["one byte", Uint8Array.of(7)],
    ["twelve bytes", new Uint8Array(12)],
    ["thirteen bytes", new Uint8Array(13)],
    ["zeros over several windows", new Uint8Array(1_000_001)],
    ["rows over several windows", sampleBytes(1_500_000)],
    ["one block exactly", sampleBytes(65_536)],
    ["a window exactly", sampleBytes(5 * 65_536)],
    ["noise", Buffer.from(Array.from({ length: 200_000 }, (_, index) => (Math.imul(index, 2654435761) >>> 13) & 0xff))],
    [
      "a repeat at the greatest distance",
      concatBytes([sampleBytes(65_535, 3), sampleBytes(65_535, 3), sampleBytes(65_536, 4), sampleBytes(65_536, 4)]),
    ],
  ];

  it.each(contents)("of %s return it, whole and in pieces, with any level and checksum", async (_name, content) => {
    for (const [level, checksum] of [
      [1, true],
      [-5, false],
      [12, true],
    ] as const) {
      const bytes = compressLz4Bytes(content, level, checksum);
      expect(Buffer.from(decompressLz4Bytes(bytes, LIMIT)).equals(content)).toBe(true);
      for (const size of [1000, 70_001, 2_000_000]) {
        const stream = await all(compressLz4(pieces(content, size), level, checksum));
        expect((await all(decompressLz4(pieces(stream, size)))).equals(content)).toBe(true);
      }
    }
  });

  it("of any content return it, also byte by byte", async () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.tuple(fc.nat(255), fc.nat(400)).map(([byte, size]) => new Uint8Array(size).fill(byte)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 8 }), fc.boolean(), async (parts, checksum) => {
        const content = concatBytes([...parts, ...parts]);
        const stream = await all(compressLz4(pieces(content, 1), 1, checksum));
        // The stream's hash table has another size, so it finds other matches. Both must return the content.
        expect(Buffer.from(decompressLz4Bytes(compressLz4Bytes(content, 1, checksum), LIMIT)).equals(content)).toBe(
          true,
        );
        expect((await all(decompressLz4(pieces(stream, 1)))).equals(content)).toBe(true);
      }),
    );
  });

  it("are much smaller than rows", () => {
    const content = sampleBytes(1_000_000);
    expect(compressLz4Bytes(content, 1, true).length).toBeLessThan(content.length * 0.7);
  });

  it("do not change the source", async () => {
    const content = sampleBytes(300_000);
    const before = sha1Hex(content);
    await all(compressLz4(pieces(content, 100_000), 1, true));
    compressLz4Bytes(content, 1, true);
    expect(sha1Hex(content)).toBe(before);
  });
});

describe.skipIf(!HAVE_LZ4)("the lz4 tool", () => {
  const directory = mkdtempSync(join(tmpdir(), "lz4-test-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const content = sampleBytes(900_000);

  it("reads our frames", async () => {
    for (const frame of [
      compressLz4Bytes(content, 1, true),
      await all(compressLz4(pieces(content, 12_345), -3, false)),
    ]) {
      expect(execFileSync("lz4", ["-d", "-c"], { input: frame, maxBuffer: LIMIT }).equals(content)).toBe(true);
    }
  });

  it.each([["-1"], ["-9"], ["-B7"], ["-B5", "-BX"], ["-BI"], ["-BD"], ["--content-size"], ["--no-frame-crc"]])(
    "writes frames that we read: %s",
    async (...options) => {
      const file = join(directory, "content");
      writeFileSync(file, content);
      const frame = execFileSync("lz4", [...options, "-c", file], {
        maxBuffer: LIMIT,
        stdio: ["ignore", "pipe", "ignore"],
      });
      expect(Buffer.from(decompressLz4Bytes(frame, LIMIT)).equals(content)).toBe(true);
      expect((await all(decompressLz4(pieces(frame, 50_001)))).equals(content)).toBe(true);
    },
  );
});

describe("damaged frames", () => {
  const content = sampleBytes(200_000);
  const frame = compressLz4Bytes(content, 1, true);

  it("are refused wherever they end", async () => {
    for (let size = 0; size < frame.length; size += Math.max(1, Math.floor(frame.length / 300))) {
      const error = await errorOf("format", () => decompressLz4Bytes(frame.subarray(0, size), LIMIT));
      expect(error.message).toBe("lz4 content is damaged or cut short: unexpected end of content");
    }
    await errorOf("format", () => all(decompressLz4(pieces(frame.subarray(0, frame.length - 1), 1000))));
  });

  it("never return other content after a flipped bit (a match may be at another distance)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(frame.length - 1), fc.nat(7), async (position, bit) => {
        const broken = Buffer.from(frame);
        broken[position] = (broken[position] as number) ^ (1 << bit);
        await errorOf("format", () => {
          if (Buffer.from(decompressLz4Bytes(broken, LIMIT)).equals(content)) throw fail("format", "the same content");
        });
      }),
      { numRuns: 300 },
    );
  });

  it("without checksum never write outside their buffer", async () => {
    const raw = compressLz4Bytes(content, 1, false);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 7, max: raw.length - 1 }), fc.nat(255), async (position, byte) => {
        const broken = Buffer.from(raw);
        broken[position] = byte;
        try {
          decompressLz4Bytes(broken, LIMIT);
        } catch (error) {
          expect((error as { kind?: string }).kind).toBe("format");
        }
      }),
      { numRuns: 300 },
    );
  });

  it("end at the end mark: later bytes are ignored", () => {
    expect(Buffer.from(decompressLz4Bytes(concatBytes([frame, Buffer.from("rest")]), LIMIT)).equals(content)).toBe(
      true,
    );
  });

  it("larger than the limit are refused", async () => {
    expect((await errorOf("format", () => decompressLz4Bytes(frame, 199_999))).message).toContain(
      "larger than the limit of 199999 bytes",
    );
  });
});
