import * as fc from "../../../harness/properties";
import { zstdDecompressSync } from "node:zlib";
import { expect, test } from "vitest";
import {
  compress,
  createCompressor,
  createDecompressor,
  decompress,
  decompressBytes,
} from "../../../../runtime/format/codec/compress";
import {
  FRAME_SIZE_BYTES,
  FRAMED_LEVEL_MAX,
  ZstFramesCompressor,
  zstFrames,
  zstFramesStream,
} from "../../../../runtime/format/codec/zstFrames";
import { all, pieces, sampleBytes } from "../vectors";

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

async function throughFrames(bytes: Uint8Array, pieceSize: number): Promise<Buffer> {
  const codec = new ZstFramesCompressor(3, (error) => error);
  const out: Uint8Array[] = [];
  for await (const piece of pieces(bytes, pieceSize))
    for (const part of codec.update(piece)) out.push(Buffer.from(part));
  for (const part of codec.finish()) out.push(Buffer.from(part));
  codec.close();
  return Buffer.concat(out);
}

function countFrames(stored: Buffer): number {
  let count = 0;
  for (let at = stored.indexOf(MAGIC); at >= 0; at = stored.indexOf(MAGIC, at + 1)) count++;
  return count;
}

const SIZES = [
  0,
  1,
  1000,
  FRAME_SIZE_BYTES - 1,
  FRAME_SIZE_BYTES,
  FRAME_SIZE_BYTES + 1,
  3 * FRAME_SIZE_BYTES,
  3 * FRAME_SIZE_BYTES + 77,
] as const;

test.each(SIZES)(
  "%i bytes make the expected frames in all three ways, in any pieces, and read back",
  async (sizeBytes) => {
    const bytes = sampleBytes(sizeBytes, 7);
    const whole = Buffer.from(zstFrames(bytes, 3));
    expect(countFrames(whole)).toBe(Math.max(1, Math.ceil(sizeBytes / FRAME_SIZE_BYTES)));
    for (const pieceSize of [4 * FRAME_SIZE_BYTES, FRAME_SIZE_BYTES, 128 * 1024, 300_001]) {
      expect((await throughFrames(bytes, pieceSize)).equals(whole)).toBe(true);
      const streamed = await all(zstFramesStream(pieces(bytes, pieceSize), 3));
      expect(countFrames(streamed)).toBe(countFrames(whole));
      expect(zstdDecompressSync(streamed).equals(bytes)).toBe(true);
    }
    expect(zstdDecompressSync(whole).equals(bytes)).toBe(true);
    expect(Buffer.from(decompressBytes(whole, "zst", sizeBytes)).equals(bytes)).toBe(true);
    expect((await all(decompress(pieces(whole, 65_536), "zst"))).equals(bytes)).toBe(true);
  },
);

test("incompressible content has enough space too", async () => {
  const noise = Buffer.alloc(2 * FRAME_SIZE_BYTES);
  let state = 1;
  for (let at = 0; at < noise.length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    noise[at] = (state >>> 24) ^ (state >>> 9);
  }
  expect(zstdDecompressSync(await throughFrames(noise, 128 * 1024)).equals(noise)).toBe(true);
});

test("the worker threads' decompressor reads frames in pieces of any length", async () => {
  const bytes = sampleBytes(5 * FRAME_SIZE_BYTES + 5, 3);
  const stored = zstFrames(bytes, 3);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 500, max: stored.length + 1 }), async (pieceSize) => {
      const codec = createDecompressor("zst");
      const out: Uint8Array[] = [];
      for await (const piece of pieces(stored, pieceSize))
        for await (const part of codec.update(piece)) out.push(Buffer.from(part));
      for await (const part of codec.finish()) out.push(Buffer.from(part));
      codec.close();
      expect(Buffer.concat(out).equals(bytes)).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test("levels for large windows stay one frame", async () => {
  const bytes = sampleBytes(2 * FRAME_SIZE_BYTES, 5);
  expect(countFrames(await all(compress(pieces(bytes, 1 << 20), { type: "zst", level: FRAMED_LEVEL_MAX + 1 })))).toBe(
    1,
  );
  expect(countFrames(await all(compress(pieces(bytes, 1 << 20), { type: "zst", level: FRAMED_LEVEL_MAX })))).toBe(2);
  expect(createCompressor({ type: "zst", level: FRAMED_LEVEL_MAX })).toBeInstanceOf(ZstFramesCompressor);
  expect(createCompressor({ type: "zst", level: FRAMED_LEVEL_MAX + 1 })).not.toBeInstanceOf(ZstFramesCompressor);
});
