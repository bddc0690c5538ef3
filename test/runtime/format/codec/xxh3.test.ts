import * as fc from "../../../harness/properties";
import { createXXHash128 } from "hash-wasm";
import { beforeAll, describe, expect, it } from "vitest";
import { DIGEST_SIZE_BYTES, giveBack, takeReadArea } from "../../../../runtime/format/codec/sums";
import { type BlockHash, loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import { sampleBytes } from "../vectors";

let blockHash: BlockHash;

beforeAll(async () => {
  blockHash = await loadBlockHash();
});

/** The buffer of the reference implementation's own self-test. */
function sanityBytes(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let generator = 2654435761n;
  for (let index = 0; index < sizeBytes; index++) {
    bytes[index] = Number(generator >> 56n);
    generator = BigInt.asUintN(64, generator * 11400714785074694797n);
  }
  return bytes;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(blockHash.hash(bytes, DIGEST_SIZE_BYTES)).toString("hex");
}

describe("XXH3-128", () => {
  // The reference implementation publishes these values, high half first. They cover every length class.
  it.each([
    [0, "99aa06d3014798d86001c324468d497f"],
    [1, "a6cd5e9392000f6ac44bdff4074eecdb"],
    [6, "082afe0b8162d12a3e7039bdda43cfc6"],
    [12, "6e3efd8fc7802b18061a192713f69ad9"],
    [24, "0ce966e4678d37611e7044d28b1b901d"],
    [48, "a002ac4e5478227ef942219aed80f67b"],
    [81, "4952f58181ab00425e8bafb9f95fb803"],
    [222, "337e09641b948717f1aebd597cec6b3a"],
    [403, "1b6de21e332dd73dcdeb804d65c6dea4"],
    [512, "18d2d110dcc9bca1617e49599013cb6b"],
    [2048, "f736557fd47073a5dd59e2c3a5f038e0"],
    [2240, "ccb134fbfa7ce49d6e73a90539cf2948"],
    [2367, "e89c0f6ff369b427cb37aeb9e5d361ed"],
  ])("of %i bytes is the published one", (sizeBytes, expected) => {
    expect(hex(sanityBytes(sizeBytes))).toBe(expected);
  });

  it("equals another implementation's, for every length up to four rounds and at any offset", async () => {
    const other = await createXXHash128(0, 0);
    const bytes = Buffer.from(sampleBytes(4200, 7));
    for (let sizeBytes = 0; sizeBytes <= 4100; sizeBytes++) {
      const some = bytes.subarray(sizeBytes % 64, (sizeBytes % 64) + sizeBytes);
      if (hex(some) !== other.init().update(some).digest("hex")) expect.fail(`${sizeBytes} bytes`);
    }
  });

  it("of many blocks equals that of each, in a read area and elsewhere", async () => {
    const other = await createXXHash128(0, 0);
    const area = takeReadArea();
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 201, max: 400_000 })),
        fc.nat(300),
        fc.nat(300_000),
        fc.integer({ min: 1, max: 16 }),
        fc.nat(),
        (blockSizeBytes, blocks, extra, sizeBytes, seed) => {
          const bytes = sampleBytes(
            Math.min(
              blockSizeBytes <= 200
                ? blocks * blockSizeBytes + (extra % blockSizeBytes)
                : blocks * blockSizeBytes + extra,
              500_000,
            ),
            seed,
          );
          const begin = seed % 100;
          const inArea = area.bytes.subarray(begin, begin + bytes.length);
          inArea.set(bytes);
          const expected: Uint8Array[] = [];
          for (let at = 0; at < Math.max(bytes.length, 1); at += blockSizeBytes) {
            expected.push(
              other
                .init()
                .update(bytes.subarray(at, at + blockSizeBytes))
                .digest("binary")
                .subarray(0, sizeBytes),
            );
          }
          const joined = Buffer.concat(expected);
          expect(joined.equals(blockHash.hashBlocks(bytes, blockSizeBytes, sizeBytes))).toBe(true);
          expect(joined.equals(blockHash.hashBlocks(inArea, blockSizeBytes, sizeBytes))).toBe(true);
          expect(inArea.equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 20 },
    );
    giveBack(area);
  });

  it("takes blocks of any size", async () => {
    const other = await createXXHash128(0, 0);
    const bytes = sampleBytes(9_000_000, 3);
    expect(hex(bytes)).toBe(other.init().update(bytes).digest("hex"));
  });

  it("is truncated to the requested length, and keeps no state between calls", () => {
    const bytes = sanityBytes(90_112);
    const whole = hex(bytes);
    blockHash.hash(sanityBytes(5), 6);
    expect(Buffer.from(blockHash.hash(bytes, 6)).toString("hex")).toBe(whole.slice(0, 12));
  });

  it("is loaded once per thread", async () => {
    expect(await loadBlockHash()).toBe(blockHash);
  });
});
