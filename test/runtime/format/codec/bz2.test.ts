import { NIGHTLY } from "../../../../tools/parts/nightly";
import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../../runtime/base/bytes";
import { isError } from "../../../../runtime/base/errors";
import { Bz2Decompressor, decompressBz2Bytes } from "../../../../runtime/format/codec/bz2";
import { errorOf, sampleBytes, vectorBytes } from "../vectors";

/** Input of `bzip2 -1` and `-9`. At level 1 the cycle has several blocks. */
const CONTENTS: readonly (readonly [string, Uint8Array])[] = [
  ["sample.level1", sampleBytes(250_000)],
  ["cycle.level1", Uint8Array.from({ length: 350_000 }, (_, index) => (index * 7) % 251)],
  ["cycle.level9", Uint8Array.from({ length: 350_000 }, (_, index) => (index * 7) % 251)],
  [
    "runs.level1",
    concatBytes([
      Buffer.alloc(70_000),
      Buffer.from("aaaabbbbbcccccc"),
      Buffer.alloc(3, 7),
      Buffer.alloc(400_000, 255),
      Buffer.alloc(4),
      Buffer.alloc(260, 9),
    ]),
  ],
  [
    "values.level1",
    Buffer.from(
      Array.from({ length: 5 * 256 }, (_, index) => ((index % 256) * (2 * Math.floor(index / 256) + 1)) % 256),
    ),
  ],
  ["one.level1", Buffer.from("a")],
  ["empty.level1", new Uint8Array(0)],
];

const stored = (name: string): Uint8Array => vectorBytes(`bz2/${name}.bz2`);

function inPieces(bytes: Uint8Array, size: number): Uint8Array {
  const decompressor = new Bz2Decompressor();
  const parts: Uint8Array[] = [];
  const chunk = Buffer.alloc(size);
  for (let begin = 0; begin < bytes.length; begin += size) {
    const piece = bytes.subarray(begin, begin + size);
    // Reuse the memory for each chunk, like readers do.
    chunk.set(piece);
    parts.push(...decompressor.update(chunk.subarray(0, piece.length)));
  }
  parts.push(...decompressor.finish());
  decompressor.close();
  return concatBytes(parts);
}

describe("bzip2", () => {
  it.each(CONTENTS)("%s is read completely", (name, content) => {
    expect(Buffer.compare(decompressBz2Bytes(stored(name), content.length), content)).toBe(0);
  });

  it.each(CONTENTS)("%s is read with any chunk size", (name, content) => {
    for (const size of [1, 7, 4096, 1 << 20]) expect(Buffer.compare(inPieces(stored(name), size), content)).toBe(0);
  });

  it("yields pieces, however long the runs", () => {
    const decompressor = new Bz2Decompressor();
    const sizes: number[] = [];
    for (const pieces of [decompressor.update(stored("runs.level1")), decompressor.finish()])
      for (const piece of pieces) sizes.push(piece.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
    expect(sizes.length).toBeGreaterThan(1);
  });

  it("ends with its first stream", () => {
    const bytes = concatBytes([stored("one.level1"), stored("one.level1"), Buffer.from("else")]);
    expect(Buffer.from(decompressBz2Bytes(bytes, 10)).toString()).toBe("a");
  });

  it("larger than allowed is refused", async () => {
    await errorOf("format", () => decompressBz2Bytes(stored("sample.level1"), 249_999));
    await errorOf("format", () => decompressBz2Bytes(stored("one.level1"), 0));
  });

  it("that is truncated is refused at any length", async () => {
    for (const name of ["one.level1", "empty.level1", "values.level1", "runs.level1"]) {
      const bytes = stored(name);
      for (let size = 0; size < bytes.length; size++)
        await errorOf("format", () => decompressBz2Bytes(bytes.subarray(0, size), 1 << 20));
    }
  });

  it("with a flipped bit is refused, or the bit did not matter", () => {
    for (const [name, content] of CONTENTS.filter(([each]) => /one|values|runs/.test(each))) {
      const bytes = stored(name);
      let refused = 0;
      let tried = 0;
      for (let bit = 0; bit < bytes.length * 8; bit += NIGHTLY ? 1 : 5) {
        tried++;
        const damaged = Buffer.from(bytes);
        damaged[Math.floor(bit / 8)] = (damaged[Math.floor(bit / 8)] as number) ^ (1 << (bit % 8));
        try {
          expect(Buffer.compare(decompressBz2Bytes(damaged, 1 << 20), content)).toBe(0);
        } catch (error) {
          if (!isError(error, "format")) throw error;
          refused++;
        }
      }
      // Some flipped bits do no harm: a larger level, unused code tables, and padding in the last byte.
      expect(refused).toBeGreaterThan(tried * 0.9);
    }
  });

  it("refuses other data, and never crashes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (noise, hasHead) => {
        const bytes = hasHead ? concatBytes([Buffer.from("BZh11AY&SY", "latin1"), noise]) : noise;
        try {
          decompressBz2Bytes(bytes, 1 << 20);
          return false;
        } catch (error) {
          return isError(error, "format");
        }
      }),
      { numRuns: 2000 },
    );
  });
});
