import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { PageChecker, pageChecksum, pageRangesOf, pageSegmentOf } from "../../../../runtime/format/page/pageChecksum";
import { decompressLz4Bytes } from "../../../../runtime/format/codec/lz4";
import { giveBack, takeReadArea } from "../../../../runtime/format/codec/sums";
import { sampleBytes, vectorBytes } from "../vectors";

/** PostgreSQL's page checksum as a simple reference with exact integers. */
function reference(page: Uint8Array, blockNo: number): number {
  const seeds =
    "5b1f36e9 b8525960 02ab50aa 1de66d2a 79ff467a 9bb9f8a3 217e7cd2 83e13d2c f8d4474f e39eb970 42c6ae16 993216fa 7b093b5d 98daff3c f718902a 0b1c9cdb " +
    "e58f764b 187636bc 5d7b3bb1 e73de7de 92bec979 cca6c0b2 304a0979 85aa43d4 783125bb 6ca8eaa2 e407eac6 4b5cfc3e 9fbf8c76 15ca20be f2ca9fd3 959bd756";
  const sums = seeds.split(" ").map((seed) => BigInt(`0x${seed}`));
  const copy = Buffer.from(page);
  copy.writeUInt16LE(0, 8);
  const mix = (column: number, value: bigint): void => {
    const mixed = (sums[column] as bigint) ^ value;
    sums[column] = ((mixed * 16777619n) & 0xffffffffn) ^ (mixed >> 17n);
  };
  for (let row = 0; row < copy.length / 128; row++)
    for (let column = 0; column < 32; column++) mix(column, BigInt(copy.readUInt32LE(row * 128 + column * 4)));
  for (let round = 0; round < 2; round++) for (let column = 0; column < 32; column++) mix(column, 0n);
  const folded = sums.reduce((all, sum) => all ^ sum, BigInt(blockNo));
  return Number((folded % 65535n) + 1n);
}

/** A page with a header and a matching checksum. */
function goodPage(size: number, blockNo: number, seed: number): Buffer {
  const page = Buffer.from(sampleBytes(size, seed));
  page.writeUInt16LE(size - 32, 14);
  page.writeUInt16LE(reference(page, blockNo), 8);
  return page;
}

describe("the checksum of a page", () => {
  it("equals the simple form's, for every page size and block number", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1024, 2048, 4096, 8192, 16384, 32768),
        fc.nat(2 ** 32 - 1),
        fc.nat(),
        fc.nat(7),
        (size, blockNo, seed, shift) => {
          const page = Buffer.alloc(size + 8).subarray(shift, shift + size);
          page.set(sampleBytes(size, seed));
          expect(pageChecksum(page, blockNo)).toBe(reference(page, blockNo));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("equals PostgreSQL's in the pages of a real relation", () => {
    const extent = vectorBytes("v2.60/block-lz4/F.pg_data_base_1_1247_fsm.extent.bin");
    const relation = Buffer.from(decompressLz4Bytes(extent.subarray(0, 271), 1 << 20));
    expect(relation).toHaveLength(24_576);
    for (let blockNo = 0; blockNo < 3; blockNo++) {
      const page = relation.subarray(blockNo * 8192, (blockNo + 1) * 8192);
      expect(pageChecksum(page, blockNo)).toBe(page.readUInt16LE(8));
    }
    const checker = new PageChecker({ segmentNo: 0, pageSizeBytes: 8192, headerCheck: true });
    checker.add(relation);
    expect(checker.finish()).toEqual({ valid: true, errors: [] });
  });
});

describe("a relation file", () => {
  const SIZE = 1024;
  const options = { segmentNo: 2, pageSizeBytes: SIZE, headerCheck: true };
  const FIRST = 2 * 1024 * 1024;
  const bad = new Set([1, 2, 3, 7]);
  const zero = 5;
  const file = Buffer.concat(
    Array.from({ length: 9 }, (_, index) => {
      if (index === zero) return Buffer.alloc(SIZE);
      const page = goodPage(SIZE, FIRST + index, index + 1);
      if (bad.has(index)) page[100] = (page[100] as number) ^ 1;
      return page;
    }),
  );
  const errors = [[FIRST + 1, FIRST + 3], FIRST + 7];

  it("gets the same result with any chunk size and alignment, in a read area and elsewhere", () => {
    const area = takeReadArea();
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 12 }),
        fc.nat(5),
        fc.boolean(),
        (sizes, shift, inArea) => {
          const elsewhere = Buffer.alloc(file.length + 8).subarray(shift, shift + file.length);
          elsewhere.set(file);
          area.bytes.set(file, shift);
          const moved = inArea ? area.bytes.subarray(shift, shift + file.length) : elsewhere;
          const before = sha1Hex(moved);
          const checker = new PageChecker(options);
          let begin = 0;
          for (const size of [...sizes, file.length]) {
            checker.add(moved.subarray(begin, begin + size));
            begin += size;
          }
          expect(checker.finish()).toEqual({ valid: false, errors });
          expect(checker.suspects().map(({ blockNo, offsetBytes }) => [blockNo - FIRST, offsetBytes])).toEqual(
            [...bad].map((index) => [index, index * SIZE]),
          );
          for (const { page, offsetBytes } of checker.suspects())
            expect(Buffer.from(page).equals(file.subarray(offsetBytes, offsetBytes + SIZE))).toBe(true);
          expect(sha1Hex(moved)).toBe(before);
        },
      ),
    );
    giveBack(area);
  });

  it("is valid when all suspects changed on the second read", () => {
    const checker = new PageChecker(options);
    checker.add(file);
    checker.acquit(FIRST + 2);
    expect(checker.finish().errors).toEqual([FIRST + 1, FIRST + 3, FIRST + 7]);
    for (const { blockNo } of checker.suspects()) checker.acquit(blockNo);
    expect(checker.finish()).toEqual({ valid: true, errors: [] });
  });

  it("with another segment's block numbers is wrong everywhere", () => {
    const checker = new PageChecker({ ...options, segmentNo: 0 });
    checker.add(file);
    expect(checker.finish().errors).toEqual([
      [0, 4],
      [6, 8],
    ]);
  });

  it.each([100, 600])("that ends with %i more bytes is invalid without an error of its own", (extra) => {
    const checker = new PageChecker(options);
    checker.add(goodPage(SIZE, FIRST, 1));
    checker.add(Buffer.alloc(extra));
    expect(checker.finish()).toEqual({ valid: false, errors: [] });
  });

  it("detects new pages by pd_upper, or by the checksum without header checks", () => {
    const newButDirty = Buffer.alloc(SIZE);
    newButDirty[500] = 1;
    const withoutChecksum = goodPage(SIZE, FIRST, 1);
    withoutChecksum.writeUInt16LE(0, 8);
    const withoutUpper = Buffer.from(sampleBytes(SIZE, 9));
    withoutUpper.writeUInt16LE(0, 14);
    withoutUpper.writeUInt16LE(reference(withoutUpper, FIRST), 8);
    const valid = (page: Uint8Array, headerCheck: boolean): boolean => {
      const checker = new PageChecker({ ...options, headerCheck });
      checker.add(page);
      return checker.finish().valid;
    };
    expect([valid(newButDirty, true), valid(newButDirty, false)]).toEqual([false, false]);
    expect([valid(withoutChecksum, true), valid(withoutChecksum, false)]).toEqual([false, false]);
    expect([valid(withoutUpper, true), valid(withoutUpper, false)]).toEqual([false, true]);
    expect([valid(Buffer.alloc(SIZE), true), valid(Buffer.alloc(SIZE), false)]).toEqual([true, true]);
  });

  it("that is ruined keeps few pages and still counts all errors", () => {
    const checker = new PageChecker({ ...options, segmentNo: 0 });
    const ruined = Buffer.alloc(SIZE * 2000, 0xa5);
    checker.add(ruined);
    expect(checker.suspects().map(({ blockNo }) => blockNo)).toEqual(Array.from({ length: 1024 }, (_, index) => index));
    expect(checker.finish().errors).toEqual([[0, 1999]]);
  });

  it("joins neighbours", () => {
    expect(pageRangesOf([])).toEqual([]);
    expect(pageRangesOf([1, 4, 5, 6, 7, 9])).toEqual([1, [4, 7], 9]);
  });
});

describe("pages are checked", () => {
  it.each([
    ["pg_data/base/1/16384", 0],
    ["pg_data/base/1/16384.3", 3],
    ["pg_data/base/1/16384_fsm", 0],
    ["pg_data/base/1/16384_vm.12", 12],
    ["pg_data/base/1/16384_init", 0],
    ["pg_data/global/1262", 0],
    ["pg_tblspc/16384/PG_15_202209061/5/16400.1", 1],
  ])("in %s", (name, segmentNo) => {
    expect(pageSegmentOf(name)).toEqual({ segmentNo });
  });

  it.each([
    "pg_data/global/pg_control",
    "pg_data/base/1/pg_filenode.map",
    "pg_data/base/1/PG_VERSION",
    "pg_data/PG_VERSION",
    "pg_data/pg_xact/0000",
    "pg_data/base/x",
  ])("not in %s", (name) => {
    expect(pageSegmentOf(name)).toBeNull();
  });
});
