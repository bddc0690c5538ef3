import {
  createGunzip,
  createGzip,
  createZstdCompress,
  createZstdDecompress,
  constants,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  HandleCodec,
  StreamCodec,
  WholeDecompressor,
  zlibCodec,
  type ZlibCodecOptions,
} from "../../../../runtime/format/codec/zlibCodec";
import type { Codec, Pieces } from "../../../../runtime/format/codec/codec";
import { sampleBytes } from "../vectors";

const GZ = {
  moreFlag: constants.Z_NO_FLUSH,
  endFlag: constants.Z_FINISH,
  mapError: (error: unknown) => new Error("mapped", { cause: error }),
};
const ZST = { ...GZ, moreFlag: constants.ZSTD_e_continue, endFlag: constants.ZSTD_e_end };
const KINDS: readonly (readonly [string, ZlibCodecOptions, ZlibCodecOptions])[] = [
  ["gz", { ...GZ, create: () => createGzip() }, { ...GZ, create: () => createGunzip() }],
  ["zst", { ...ZST, create: () => createZstdCompress() }, { ...ZST, create: () => createZstdDecompress() }],
];
const CODECS = [
  ["by its handle", (options: ZlibCodecOptions): Codec => new HandleCodec(options)],
  ["by its stream", (options: ZlibCodecOptions): Codec => new StreamCodec(options)],
] as const;

async function take(parts: Uint8Array[], made: Pieces): Promise<void> {
  for await (const piece of made) parts.push(Buffer.from(piece));
}

/** Passes all content through one reused buffer, like the callers do. */
async function run(codec: Codec, content: Uint8Array, chunkSize: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  const buffer = Buffer.alloc(chunkSize);
  try {
    for (let begin = 0; begin < content.length; begin += chunkSize) {
      const chunk = buffer.subarray(0, Math.min(chunkSize, content.length - begin));
      chunk.set(content.subarray(begin, begin + chunk.length));
      await take(parts, codec.update(chunk));
    }
    await take(parts, codec.finish());
  } finally {
    codec.close();
    codec.close();
  }
  return Buffer.concat(parts);
}

describe.each(CODECS)("a codec driven %s", (_, create) => {
  it.each(KINDS)("returns %s content with any chunk size", async (_type, compressor, decompressor) => {
    for (const size of [0, 1, 1000, 1_500_000]) {
      for (const chunkSize of [7_001, 131_072, 1_048_576]) {
        const content = sampleBytes(size);
        const stored = await run(create(compressor), content, chunkSize);
        expect((await run(create(decompressor), stored, chunkSize)).equals(content)).toBe(true);
      }
    }
  });

  it.each(KINDS)("refuses invalid and missing %s content", async (type, _compressor, decompressor) => {
    const stored = type === "gz" ? gzipSync(sampleBytes(500_000)) : zstdCompressSync(sampleBytes(500_000));
    const cases = {
      short: stored.subarray(0, stored.length - 1),
      head: stored.subarray(0, 5),
      noise: sampleBytes(1000),
      nothing: new Uint8Array(0),
    };
    for (const [name, content] of Object.entries(cases)) {
      await expect(run(create(decompressor), content, 4096), name).rejects.toThrow("mapped");
    }
  });
});

describe.each(KINDS)("a one-shot decompressor of %s contents", (type, compressor, decompressor) => {
  const target = Buffer.alloc(600_001);
  const create = (): WholeDecompressor => new WholeDecompressor(decompressor, type === "zst");

  it("returns one after the other, of frames of known and of unknown size", async () => {
    const one = create();
    for (const size of [0, 1, 1000, 600_000, 70_000]) {
      const content = sampleBytes(size);
      const atOnce = type === "gz" ? gzipSync(content) : zstdCompressSync(content);
      const inPieces = await run(new HandleCodec(compressor), content, 7001);
      const two = Buffer.concat([
        type === "gz" ? gzipSync(content.subarray(0, 10)) : zstdCompressSync(content.subarray(0, 10)),
        atOnce,
      ]);
      for (const stored of [atOnce, inPieces, inPieces, atOnce]) {
        target.fill(7);
        const filled = one.unpack(stored, target);
        expect(filled).toBe(size);
        expect(target.subarray(0, size).equals(content)).toBe(true);
      }
      if (size + 10 < target.length) expect(one.unpack(two, target)).toBe(size + Math.min(size, 10));
    }
    one.close();
  });

  it("refuses invalid and missing content, truncated anywhere", async () => {
    const content = sampleBytes(300_000);
    const stored = await run(new HandleCodec(compressor), content, 100_000);
    for (const end of [
      0,
      1,
      5,
      1000,
      stored.length - 9,
      stored.length - 4,
      stored.length - 3,
      stored.length - 2,
      stored.length - 1,
    ]) {
      for (const freeBytes of [1, 300_000])
        expect(
          () => create().unpack(stored.subarray(0, end), target.subarray(0, 300_000 + freeBytes)),
          `cut at ${end}`,
        ).toThrow("mapped");
    }
    expect(() => create().unpack(sampleBytes(1000), target)).toThrow("mapped");
  });

  it("does not take content that fills all of the memory for complete", async () => {
    const stored = await run(new HandleCodec(compressor), sampleBytes(300_000), 100_000);
    for (const size of [0, 1, 299_999, 300_000]) expect(create().unpack(stored, target.subarray(0, size))).toBeNull();
    expect(create().unpack(stored, target.subarray(0, 300_001))).toBe(300_000);
  });
});

describe("the handle of Node's codecs", () => {
  it("drives this Node's codecs", () => {
    const codec = zlibCodec({ ...GZ, create: () => createGzip() });
    codec.close();
    expect(codec).toBeInstanceOf(HandleCodec);
  });

  it("makes pieces of bounded size from content with a high compression ratio", () => {
    const stored = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
    const codec = new HandleCodec({ ...ZST, create: () => createZstdDecompress() });
    const piece = { count: 0, sizeBytes: 0, largest: 0 };
    const buffers = new Set<ArrayBufferLike>();
    for (const { buffer, length } of codec.update(stored)) {
      piece.count++;
      piece.sizeBytes += length;
      piece.largest = Math.max(piece.largest, length);
      buffers.add(buffer);
    }
    codec.close();
    expect(piece.sizeBytes).toBe(64 * 1024 * 1024);
    expect(piece.largest).toBeLessThanOrEqual(128 * 1024);
    expect(buffers.size).toBe(1);
  });

  it("is not used where it is missing", () => {
    const create = (): ReturnType<typeof createGzip> => {
      const stream = createGzip();
      Reflect.deleteProperty(stream, "_writeState");
      return stream;
    };
    expect(() => new HandleCodec({ ...GZ, create })).toThrow("this version of Node.js has no codec handle");
  });
});
