import * as fc from "../../../harness/properties";
import { createHash } from "node:crypto";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
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
  FrameSearches,
  LONG_FRAME_SIZE_BYTES,
  ZstFramesCompressor,
  zstFrames,
  zstFramesStream,
} from "../../../../runtime/format/codec/zstFrames";
import { all, pieces, sampleBytes } from "../vectors";

const MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

async function throughFrames(
  bytes: Uint8Array,
  pieceSize: number,
  searches: FrameSearches = new FrameSearches(3),
): Promise<Buffer> {
  const codec = new ZstFramesCompressor(3, searches, (error) => error);
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

/** The second frame shows that the usual search is the better one for this content. */
const BEFORE_LONG = 2 * FRAME_SIZE_BYTES;

test.each([
  [0, 1],
  [1, 1],
  [1000, 1],
  [FRAME_SIZE_BYTES - 1, 1],
  [FRAME_SIZE_BYTES, 1],
  [FRAME_SIZE_BYTES + 1, 2],
  [BEFORE_LONG + LONG_FRAME_SIZE_BYTES, 3],
  [BEFORE_LONG + LONG_FRAME_SIZE_BYTES + 77, 4],
])("%i bytes make %i frames in all three ways, in any pieces, and read back", async (sizeBytes, frameCount) => {
  const bytes = sampleBytes(sizeBytes, 7);
  const whole = Buffer.from(zstFrames(bytes, 3));
  expect(countFrames(whole)).toBe(frameCount);
  for (const pieceSize of [4 * FRAME_SIZE_BYTES, FRAME_SIZE_BYTES, 128 * 1024, 300_001]) {
    expect((await throughFrames(bytes, pieceSize)).equals(whole)).toBe(true);
    const streamed = await all(zstFramesStream(pieces(bytes, pieceSize), 3));
    expect(countFrames(streamed)).toBe(countFrames(whole));
    expect(zstdDecompressSync(streamed).equals(bytes)).toBe(true);
  }
  expect(zstdDecompressSync(whole).equals(bytes)).toBe(true);
  expect(Buffer.from(decompressBytes(whole, "zst", sizeBytes)).equals(bytes)).toBe(true);
  expect((await all(decompress(pieces(whole, 65_536), "zst"))).equals(bytes)).toBe(true);
});

/** Hexadecimal digests: nothing repeats, and half of each byte is known. */
function digests(sizeBytes: number): Buffer {
  const parts: string[] = [];
  for (let no = 0; no * 40 < sizeBytes; no++) parts.push(digestOf(no));
  return Buffer.from(parts.join("").slice(0, sizeBytes));
}

/** Rows with many short repetitions. */
function rows(sizeBytes: number): Buffer {
  const states = ["new", "paid", "sent", "back"];
  const parts: string[] = [];
  for (let no = 0, length = 0; length < sizeBytes; no++) {
    const row = `${(no * 7919) % 1009},${states[(no * 31) % 4]},${(no * 104_729) % 9973}\n`;
    parts.push(row);
    length += row.length;
  }
  return Buffer.from(parts.join("").slice(0, sizeBytes));
}

/** Words in no order, a few of them often: what repeats is far away. */
function text(sizeBytes: number): Buffer {
  const terms = Array.from({ length: 20_000 }, (_, no) => digestOf(no).slice(0, 2 + Math.log2(no + 2) / 2));
  const parts: string[] = [];
  let state = 1;
  for (let length = 0; length < sizeBytes; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const part = `${terms[Math.floor(terms.length ** (state / 2 ** 32)) - 1]} `;
    parts.push(part);
    length += part.length;
  }
  return Buffer.from(parts.join("").slice(0, sizeBytes));
}

function digestOf(no: number): string {
  return createHash("sha1").update(String(no)).digest("hex");
}

function usualSizeBytes(content: Uint8Array): number {
  let sizeBytes = 0;
  for (let begin = 0; begin < content.length; begin += FRAME_SIZE_BYTES)
    sizeBytes += zstdCompressSync(content.subarray(begin, begin + FRAME_SIZE_BYTES), {
      params: { [constants.ZSTD_c_compressionLevel]: 3 },
    }).length;
  return sizeBytes;
}

test.each([
  { title: "content without short repetitions gets smaller", content: [digests(20 * FRAME_SIZE_BYTES)], most: 0.99 },
  { title: "text gets smaller, because its frames are longer", content: [text(12 * FRAME_SIZE_BYTES)], most: 0.99 },
  { title: "content with them stays as it is", content: [rows(8 * FRAME_SIZE_BYTES)], most: 1.001 },
  {
    title: "content that changes is noticed",
    content: [digests(3 * FRAME_SIZE_BYTES), rows(5 * FRAME_SIZE_BYTES), digests(FRAME_SIZE_BYTES)],
    most: 1.01,
  },
  {
    title: "zeros change nothing for what follows",
    content: [Buffer.alloc(3 * FRAME_SIZE_BYTES), digests(3 * FRAME_SIZE_BYTES), Buffer.alloc(FRAME_SIZE_BYTES + 9)],
    most: 0.99,
  },
])("$title", async ({ content, most }) => {
  const bytes = Buffer.concat(content);
  const whole = Buffer.from(zstFrames(bytes, 3));
  expect(whole.length / usualSizeBytes(bytes)).toBeLessThan(most);
  expect((await throughFrames(bytes, 300_001)).equals(whole)).toBe(true);
  expect((await all(zstFramesStream(pieces(bytes, FRAME_SIZE_BYTES), 3))).length / whole.length).toBeCloseTo(1, 3);
  expect(zstdDecompressSync(whole).equals(bytes)).toBe(true);
});

test("a file begins with the search that suited the one before it", async () => {
  const searches = new FrameSearches(3);
  const segment = Buffer.concat([digests(3 * FRAME_SIZE_BYTES), Buffer.alloc(2 * FRAME_SIZE_BYTES)]);
  const first = await throughFrames(segment, FRAME_SIZE_BYTES, searches);
  const second = await throughFrames(segment, FRAME_SIZE_BYTES, searches);
  expect(second.length).toBeLessThan(first.length);
  expect(zstdDecompressSync(second).equals(segment)).toBe(true);
});

test("files that share their searches are whole, however their chunks alternate", async () => {
  const block = text(4 * FRAME_SIZE_BYTES);
  const contents = [
    digests(9 * FRAME_SIZE_BYTES + 9),
    // Enough for another comparison of the searches.
    Buffer.concat(Array.from({ length: 11 }, () => block)),
    Buffer.concat(Array.from({ length: 11 }, () => block)),
    Buffer.concat([text(FRAME_SIZE_BYTES), Buffer.alloc(3 * FRAME_SIZE_BYTES), digests(FRAME_SIZE_BYTES)]),
  ];
  const property = fc.asyncProperty(
    fc.infiniteStream(fc.nat(3)),
    fc.infiniteStream(fc.constantFrom(FRAME_SIZE_BYTES, 300_001, 2 * FRAME_SIZE_BYTES)),
    async (turns, sizes) => {
      const searches = new FrameSearches(3);
      const files = contents.map((content) => ({
        content,
        codec: new ZstFramesCompressor(3, searches, (error) => error),
        at: 0,
        out: [] as Buffer[],
      }));
      const isOpen = ({ at, content }: { at: number; content: Buffer }): boolean => at < content.length;
      for (const turn of turns) {
        if (!files.some(isOpen)) break;
        const file = files[turn] as (typeof files)[number];
        if (!isOpen(file)) continue;
        const end = file.at + (sizes.next().value ?? 1);
        for (const part of file.codec.update(file.content.subarray(file.at, end))) file.out.push(Buffer.from(part));
        file.at = end;
        if (!isOpen(file)) for (const part of file.codec.finish()) file.out.push(Buffer.from(part));
      }
      for (const { codec, content, out } of files) {
        codec.close();
        expect(zstdDecompressSync(Buffer.concat(out)).equals(content)).toBe(true);
      }
    },
  );
  await fc.assert(property, { numRuns: 5 });
});

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
