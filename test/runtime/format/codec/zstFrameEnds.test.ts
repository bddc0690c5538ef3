import * as fc from "../../../harness/properties";
import { constants, createZstdDecompress, zstdCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { createDecompressor, decompress, decompressBytes } from "../../../../runtime/format/codec/compress";
import type { Codec } from "../../../../runtime/format/codec/codec";
import { ZstFrameEnds, ZstFramewiseCodec } from "../../../../runtime/format/codec/zstFrameEnds";
import { all, errorOf, pieces, sampleBytes } from "../vectors";

const byStream = (): Codec =>
  new ZstFramewiseCodec({
    create: () => createZstdDecompress(),
    moreFlag: constants.ZSTD_e_continue,
    endFlag: constants.ZSTD_e_end,
    mapError: (error) => error,
  });

async function through(codec: Codec, stored: Uint8Array, pieceSize: number): Promise<Buffer> {
  const out: Uint8Array[] = [];
  try {
    for await (const piece of pieces(stored, pieceSize))
      for await (const part of codec.update(piece)) out.push(Buffer.from(part));
    for await (const part of codec.finish()) out.push(Buffer.from(part));
  } finally {
    codec.close();
  }
  return Buffer.concat(out);
}

interface Frame {
  readonly stored: Buffer;
  readonly content: Buffer;
}

function frameOf(sizeBytes: number, params: Record<number, number>, isPledged: boolean): Frame {
  const content = Buffer.from(sampleBytes(sizeBytes, sizeBytes % 7));
  return {
    stored: zstdCompressSync(content, { params, ...(isPledged ? { pledgedSrcSize: sizeBytes } : {}) }),
    content,
  };
}

/** A skippable frame (RFC 8878, 3.1.2): user data without content. */
function skippable(sizeBytes: number, kind: number): Frame {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + kind);
  head.writeUInt32LE(sizeBytes, 4);
  return { stored: Buffer.concat([head, sampleBytes(sizeBytes)]), content: Buffer.alloc(0) };
}

const someFrame: fc.Arbitrary<Frame> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .record({
        size: fc.integer({ min: 0, max: 300_000 }),
        level: fc.constantFrom(-5, 1, 3, 12),
        sum: fc.boolean(),
        pledged: fc.boolean(),
      })
      .map((wanted) =>
        frameOf(
          wanted.size,
          { [constants.ZSTD_c_compressionLevel]: wanted.level, [constants.ZSTD_c_checksumFlag]: wanted.sum ? 1 : 0 },
          wanted.pledged,
        ),
      ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.integer({ min: 0, max: 500 }), fc.nat(15)).map(([size, kind]) => skippable(size, kind)),
  },
);
const someFrames = fc.array(someFrame, { minLength: 1, maxLength: 5 });

test("reads all frames, of any lengths and in any pieces, where Node's own stream ends after one of them", async () => {
  await fc.assert(
    fc.asyncProperty(someFrames, fc.integer({ min: 1, max: 100_000 }), async (frames, anySize) => {
      const stored = Buffer.concat(frames.map((frame) => frame.stored));
      const content = Buffer.concat(frames.map((frame) => frame.content));
      const pieceSize = Math.max(anySize, Math.ceil(stored.length / 2_000));
      expect((await all(decompress(pieces(stored, pieceSize), "zst"))).equals(content)).toBe(true);
      expect((await through(createDecompressor("zst"), stored, pieceSize)).equals(content)).toBe(true);
      expect((await through(byStream(), stored, pieceSize)).equals(content)).toBe(true);
      expect(Buffer.from(decompressBytes(stored, "zst", content.length)).equals(content)).toBe(true);
      if (content.length > 1) await errorOf("format", () => decompressBytes(stored, "zst", content.length - 1));
    }),
    { numRuns: 60 },
  );
});

test("finds the end of each frame, in any pieces", () => {
  fc.assert(
    fc.property(someFrames, fc.integer({ min: 1, max: 1000 }), (frames, pieceSize) => {
      const stored = Buffer.concat(frames.map((frame) => frame.stored));
      let expected = 0;
      const wanted = frames.map((frame) => (expected += frame.stored.length));
      const ends = new ZstFrameEnds();
      const result: number[] = [];
      for (let begin = 0; begin < stored.length; begin += pieceSize) {
        const piece = stored.subarray(begin, begin + pieceSize);
        for (let end = ends.next(piece, 0); end !== null; end = end < piece.length ? ends.next(piece, end) : null)
          result.push(begin + end);
      }
      expect(result).toEqual(wanted);
    }),
    { numRuns: 60 },
  );
});

test("every reader refuses a truncated frame, and other data after one", async () => {
  const { stored } = frameOf(100_000, {}, true);
  const cases = {
    cut: Buffer.concat([stored, stored.subarray(0, -1)]),
    head: Buffer.concat([stored, stored.subarray(0, 5)]),
    strange: Buffer.concat([stored, sampleBytes(200)]),
  };
  for (const [name, damaged] of Object.entries(cases)) {
    await errorOf("format", () => all(decompress(pieces(damaged, 999), "zst")));
    await errorOf("format", () => decompressBytes(damaged, "zst", 300_000));
    await expect(through(byStream(), damaged, 999), name).rejects.toThrow(/./);
  }
});
