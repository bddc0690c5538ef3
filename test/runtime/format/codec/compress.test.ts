import { createHash } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { execFileSync, spawnSync } from "node:child_process";
import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import type { ByteStream } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { levelRangeOf } from "../../../../runtime/config/settings";
import type { Pieces } from "../../../../runtime/format/codec/codec";
import {
  type CompressType,
  compress,
  BytesCompressor,
  compressBytes,
  createDecompressor,
  decompress,
  decompressBytes,
  decompressInto,
  extensionOf,
  isCompressType,
  typeOfExtension,
  typeOfName,
} from "../../../../runtime/format/codec/compress";
import { all, errorOf, pieces, sampleBytes, vectorBytes } from "../vectors";

const LIMIT = 1 << 30;
const defaultLevel = (type: CompressType): number => levelRangeOf(type)?.fallback ?? 0;
const WRITTEN: readonly CompressType[] = ["none", "gz", "lz4", "zst"];
const CODED: readonly CompressType[] = ["gz", "lz4", "zst"];

describe.each(WRITTEN)("%s", (type) => {
  const spec = { type, level: defaultLevel(type) };

  it.each([false, true])("returns large content in chunks of any size (raw: %s)", async (raw) => {
    const content = sampleBytes(5_000_000);
    for (const size of [100_000, 1_048_576, 5_000_000]) {
      const stored = await all(compress(pieces(content, size), spec, raw));
      expect((await all(decompress(pieces(stored, 70_000), type, raw))).equals(content)).toBe(true);
      expect(Buffer.from(decompressBytes(stored, type, LIMIT, raw)).equals(content)).toBe(true);
    }
  });

  it("returns any content, whole and byte by byte", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.boolean(),
        fc.constantFrom(1, 1000),
        async (content, raw, size) => {
          const stored = Buffer.from(compressBytes(content, spec, raw));
          expect(Buffer.from(decompressBytes(stored, type, LIMIT, raw)).equals(content)).toBe(true);
          expect((await all(decompress(pieces(stored, size), type, raw))).equals(content)).toBe(true);
          const streamed = await all(compress(pieces(content, size), spec, raw));
          expect(Buffer.from(decompressBytes(streamed, type, LIMIT, raw)).equals(content)).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("works at both ends of its levels", async () => {
    const content = sampleBytes(100_000);
    const { least, most } = levelRangeOf(type) ?? { least: 0, most: 0 };
    for (const level of [least, most]) {
      const stored = await all(compress(pieces(content, 30_000), { type, level }));
      expect((await all(decompress(pieces(stored, 30_000), type))).equals(content)).toBe(true);
      expect(Buffer.from(decompressBytes(compressBytes(content, { type, level }), type, LIMIT)).equals(content)).toBe(
        true,
      );
    }
  });
});

describe.each(CODED)("%s, damaged", (type) => {
  const stored = Buffer.from(compressBytes(sampleBytes(300_000), { type, level: defaultLevel(type) }));

  it("is refused when it ends early", async () => {
    for (const size of [0, 3, 20, 1000, stored.length - 1]) {
      const cut = stored.subarray(0, size);
      expect((await errorOf("format", () => all(decompress(pieces(cut, 999), type)))).message).toContain(
        `${type} content is damaged or cut short`,
      );
      expect((await errorOf("format", () => decompressBytes(cut, type, LIMIT))).message).toContain(
        `${type} content is damaged or cut short`,
      );
    }
  });

  it("is refused when it is empty, also by a codec that has read other content before", async () => {
    for (const content of [stored, stored.subarray(0, 0)]) {
      const isWhole = content.length > 0;
      const unpacked = async (): Promise<Buffer> => all(through(content));
      if (isWhole) expect((await unpacked()).length).toBe(300_000);
      else expect((await errorOf("format", unpacked)).message).toContain(`${type} content is damaged or cut short`);
      const into = (): Uint8Array => decompressInto(content, type, Buffer.alloc(300_001));
      if (isWhole) expect(into().length).toBe(300_000);
      else expect((await errorOf("format", into)).message).toContain(`${type} content is damaged or cut short`);
    }
    async function* through(content: Uint8Array): ByteStream {
      const codec = createDecompressor(type);
      try {
        for await (const piece of codec.update(content)) yield Buffer.from(piece);
        for await (const piece of codec.finish()) yield Buffer.from(piece);
      } finally {
        codec.close();
      }
    }
  });

  it("is refused when it is another format", async () => {
    await errorOf("format", () => all(decompress(pieces(sampleBytes(100_000), 1000), type)));
    await errorOf("format", () => decompressBytes(sampleBytes(1000), type, LIMIT));
  });

  it("is refused when it is larger than allowed", async () => {
    await errorOf("format", () => decompressBytes(stored, type, 299_999));
  });
});

describe.each(CODED)("%s streams", (type) => {
  const spec = { type, level: defaultLevel(type) };

  function watched(
    chunks: number,
    failAt = Number.POSITIVE_INFINITY,
  ): { source: ByteStream; state: { read: number; returned: boolean } } {
    const state = { read: 0, returned: false };
    async function* generate(): ByteStream {
      try {
        for (; state.read < chunks; state.read++) {
          if (state.read === failAt) throw fail("fileRead", "disk broke");
          yield sampleBytes(262_144, state.read);
        }
      } finally {
        state.returned = true;
      }
    }
    return { source: generate(), state };
  }

  it("release the source when the consumer leaves early, and read no further", async () => {
    const { source, state } = watched(10_000);
    for await (const chunk of compress(source, spec)) if (chunk.length > 1000) break;
    expect(state.returned).toBe(true);
    expect(state.read).toBeLessThan(200);
  });

  it("release the source when the consumer throws", async () => {
    const { source, state } = watched(10_000);
    const consume = async (): Promise<void> => {
      for await (const chunk of compress(source, spec)) if (chunk.length > 1000) throw fail("fileWrite", "no space");
    };
    await errorOf("fileWrite", consume);
    expect(state.returned).toBe(true);
  });

  it("pause the source while the consumer waits", async () => {
    const { source, state } = watched(10_000);
    const iterator = compress(source, spec)[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(state.read).toBeLessThan(100);
    await iterator.return?.();
    expect(state.returned).toBe(true);
  });

  it("pass on the source's error unchanged", async () => {
    const { source, state } = watched(100, 5);
    expect((await errorOf("fileRead", () => all(compress(source, spec)))).message).toBe("disk broke");
    expect(state.returned).toBe(true);
  });

  it("release the source when the content is damaged", async () => {
    const { source, state } = watched(10_000);
    await errorOf("format", () => all(decompress(source, type)));
    expect(state.returned).toBe(true);
    expect(state.read).toBeLessThan(100);
  });
});

describe.each(["gz", "zst"] as const)("decompressors of %s in the calling thread", (type) => {
  const take = async (made: Pieces, into: Uint8Array[]): Promise<void> => {
    for await (const piece of made) into.push(Buffer.from(piece));
  };

  async function unpacked(stored: Uint8Array, raw: boolean): Promise<Buffer> {
    const codec = createDecompressor(type, raw);
    const parts: Uint8Array[] = [];
    try {
      await take(codec.update(stored.subarray(0, 50)), parts);
      await take(codec.update(stored.subarray(50)), parts);
      await take(codec.finish(), parts);
    } finally {
      codec.close();
      codec.close();
    }
    return Buffer.concat(parts);
  }

  it.each([false, true])("are reused only after complete contents (raw: %s)", async (raw) => {
    const contents = [0, 1, 8192, 500_000, 100].map((size) => sampleBytes(size));
    const packed = contents.map((content) => compressBytes(content, { type, level: 1 }, raw));
    for (let turn = 0; turn < 3; turn++) {
      for (const [index, stored] of packed.entries())
        expect((await unpacked(stored, raw)).equals(contents[index] as Uint8Array)).toBe(true);
      const large = packed[3] as Uint8Array;
      await errorOf("format", () => unpacked(large.subarray(0, large.length - 3), raw));
      await errorOf("format", () => unpacked(sampleBytes(1000), raw));
      const left = createDecompressor(type, raw);
      await take(left.update(large.subarray(0, 3000)), []);
      left.close();
    }
  });

  it("do not interfere with each other", async () => {
    const contents = Array.from({ length: 9 }, (_, index) => sampleBytes(300_000, index));
    const packed = contents.map((content) => compressBytes(content, { type, level: 1 }));
    for (let turn = 0; turn < 2; turn++) {
      const codecs = packed.map(() => ({ codec: createDecompressor(type), parts: [] as Uint8Array[] }));
      for (let begin = 0; begin < 300_100; begin += 50_000) {
        for (const [index, { codec, parts }] of codecs.entries())
          await take(codec.update((packed[index] as Uint8Array).subarray(begin, begin + 50_000)), parts);
      }
      for (const { codec, parts } of codecs) {
        await take(codec.finish(), parts);
        codec.close();
      }
      for (const [index, { parts }] of codecs.entries())
        expect(Buffer.concat(parts).equals(contents[index] as Uint8Array)).toBe(true);
    }
  });
});

describe("other readers", () => {
  const content = sampleBytes(1_200_000);
  const tools: readonly (readonly [CompressType, string, readonly string[]])[] = [
    ["gz", "gzip", ["-dc"]],
    ["zst", "zstd", ["-dc"]],
  ];

  it.each(tools)("of %s accept our streams", async (type, tool, args) => {
    if (spawnSync(tool, ["--version"]).status !== 0) {
      process.stderr.write(`SKIPPED: ${tool} is not on PATH\n`);
      return;
    }
    for (const stored of [
      await all(compress(pieces(content, 100_000), { type, level: defaultLevel(type) })),
      compressBytes(content, { type, level: 1 }),
    ]) {
      expect(execFileSync(tool, args, { input: stored, maxBuffer: LIMIT }).equals(content)).toBe(true);
    }
  });

  it("see headers that stock reads", async () => {
    const head = async (type: CompressType, raw: boolean): Promise<number[]> => [
      ...(await all(compress(pieces(content, 100_000), { type, level: 6 }, raw))).subarray(0, 8),
    ];
    expect((await head("gz", false)).slice(0, 8)).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    expect((await head("gz", true)).slice(0, 2)).toEqual([0x78, 0x9c]);
    const zst = await head("zst", false);
    expect(zst.slice(0, 4)).toEqual([0x28, 0xb5, 0x2f, 0xfd]);
    // Like stock's, a frame has no checksum. Unlike stock's, it has its content size and is a single segment.
    expect((zst[4] as number) & 0x04).toBe(0);
    expect((zst[4] as number) & 0x20).toBe(0x20);
  });
});

describe("names and levels", () => {
  it("are those of stock", () => {
    expect(
      ["none", "gz", "lz4", "zst", "bz2"].map((type) => [
        extensionOf(type as CompressType),
        defaultLevel(type as CompressType),
      ]),
    ).toEqual([
      ["", 0],
      [".gz", 6],
      [".lz4", 1],
      [".zst", 3],
      [".bz2", 9],
    ]);
    expect(levelRangeOf("zst")).toEqual({ least: -7, most: 22, fallback: 3 });
    expect([typeOfName("x.gz"), typeOfName("x.zst"), typeOfName("x"), typeOfName("a.b/x.txt")]).toEqual([
      "gz",
      "zst",
      "none",
      "none",
    ]);
    expect([typeOfExtension(".lz4"), typeOfExtension(".xz")]).toEqual(["lz4", null]);
    expect([isCompressType("gz"), isCompressType("xz"), isCompressType("toString")]).toEqual([true, false, false]);
  });

  it("bz2 is read, as a stream and in memory", async () => {
    const bytes = vectorBytes("bz2/sample.level1.bz2");
    expect(Buffer.compare(await all(decompress(pieces(bytes, 1000), "bz2")), sampleBytes(250_000))).toBe(0);
    expect(Buffer.compare(decompressBytes(bytes, "bz2", 250_000, true), sampleBytes(250_000))).toBe(0);
  });

  it("bz2 is not written, and the error says why", async () => {
    for (const run of [
      () => compress(pieces(sampleBytes(1), 1), { type: "bz2", level: 9 }),
      () => compressBytes(sampleBytes(1), { type: "bz2", level: 9 }),
    ]) {
      expect((await errorOf("featureNotSupported", run)).message).toBe("bz2 is read but not written");
    }
  });
});

describe("compressors of one content after another", () => {
  it.each(["none", "gz", "lz4", "zst"] as const)("%s: give what each of several unpacks to", (type) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), fc.nat(300_000)), { maxLength: 8 }), (steps) => {
        const spec = { type, level: 1 };
        const both = [new BytesCompressor(spec, true), new BytesCompressor(spec, true)] as const;
        const last: { readonly content: Uint8Array; readonly packed: Uint8Array }[] = [];
        for (const [which, sizeBytes] of steps) {
          const content = Buffer.from(sampleBytes(sizeBytes, sizeBytes + 1));
          last[which] = { content, packed: (both[which] as BytesCompressor).compress(content) };
          // A result stays while another one works.
          for (const each of last.filter((kept) => kept !== undefined))
            expect(Buffer.compare(decompressBytes(each.packed, type, LIMIT, true), each.content)).toBe(0);
        }
        for (const each of both) each.close();
      }),
      { numRuns: 10 },
    );
  });

  it("zst: learn from a file's earlier contents that a lean search is better", () => {
    const compressor = new BytesCompressor({ type: "zst", level: 3 }, true);
    const sizesBytes = Array.from({ length: 4 }, (_, no) => {
      const digests = Array.from({ length: 5000 }, (_unused, at) =>
        createHash("sha1").update(`${no} ${at}`).digest("hex"),
      );
      const content = Buffer.from(digests.join(""));
      const packed = compressor.compress(content);
      expect(Buffer.compare(zstdDecompressSync(packed), content)).toBe(0);
      return packed.length;
    });
    compressor.close();
    for (const sizeBytes of sizesBytes.slice(1)) expect(sizeBytes).toBeLessThan((sizesBytes[0] as number) * 0.99);
  });

  it("zst: make a single frame of a content of any size, also with a codec that another has left", () => {
    for (const sizeBytes of [100, 1_081_344, 3_000_000, 5000]) {
      const content = sampleBytes(sizeBytes);
      const compressor = new BytesCompressor({ type: "zst", level: 3 }, true);
      const packed = Buffer.from(compressor.compress(content));
      compressor.close();
      expect(Buffer.compare(zstdDecompressSync(packed), content)).toBe(0);
      // A second frame would begin with the same number.
      expect(packed.indexOf(packed.subarray(0, 4), 4)).toBe(-1);
    }
  });
});
