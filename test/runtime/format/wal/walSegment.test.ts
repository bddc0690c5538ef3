import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  formatLsn,
  lsnOfSegment,
  nextSegment,
  previousSegment,
  parseArchivedName,
  parseLsn,
  parseWalName,
  segmentOfLsn,
  segmentRange,
  segmentSizeOf,
} from "../../../../runtime/format/wal/walSegment";
import { errorOf } from "../vectors";

const MIB = 1024 * 1024;
const SHA1 = "0123456789abcdef0123456789abcdef01234567";

describe("WAL file names", () => {
  it.each([
    ["0000000A00000001000000FF", { kind: "segment", timeline: 10, logNo: 1, segmentNo: 255 }],
    ["0000000A00000001000000FF.partial", { kind: "partial", timeline: 10, logNo: 1, segmentNo: 255 }],
    ["0000000A00000001000000FF.00000028.backup", { kind: "backupLabel", timeline: 10, logNo: 1, segmentNo: 255 }],
    ["0000000A.history", { kind: "history", timeline: 10 }],
  ])("%s is recognised", (name, expected) => {
    expect(parseWalName(name)).toEqual(expected);
  });

  it.each([
    "0000000a00000001000000ff",
    "0000000A00000001000000F",
    "0000000A00000001000000FF.part",
    "0000000A.history.tmp",
    "x0000000A.history",
    "",
  ])("%j is invalid", (name) => {
    expect(parseWalName(name)).toBeNull();
  });

  it("in the archive carry checksum and compression", () => {
    expect(parseArchivedName(`0000000A00000001000000FF-${SHA1}.gz`)).toEqual({
      name: "0000000A00000001000000FF",
      kind: "segment",
      sha1: SHA1,
      compressType: "gz",
    });
    expect(parseArchivedName(`0000000A00000001000000FF.partial-${SHA1}`)).toEqual({
      name: "0000000A00000001000000FF.partial",
      kind: "partial",
      sha1: SHA1,
      compressType: "none",
    });
    expect(parseArchivedName(`0000000A00000001000000FF-${SHA1}.zst.pgbackrest.tmp`)).toBeNull();
    expect(parseArchivedName(`0000000A00000001000000FF-${SHA1}.xz`)).toBeNull();
    expect(parseArchivedName("0000000A00000001000000FF.00000028.backup")).toBeNull();
  });
});

describe("WAL arithmetic", () => {
  it("carries at the end of 4 GiB, whatever the segment size", () => {
    expect(nextSegment("0000000100000000000000FE", 16 * MIB)).toBe("0000000100000000000000FF");
    expect(nextSegment("0000000100000000000000FF", 16 * MIB)).toBe("000000010000000100000000");
    expect(nextSegment("000000010000000000000FFF", MIB)).toBe("000000010000000100000000");
    expect(previousSegment("000000010000000100000000", 16 * MIB)).toBe("0000000100000000000000FF");
    expect(previousSegment("000000020000000000000000", MIB)).toBeNull();
    expect(nextSegment("000000010000000000000003", 1024 * MIB)).toBe("000000010000000100000000");
  });

  it("lists a range with both ends", () => {
    expect(segmentRange("0000000200000000000000FE", "000000020000000100000001", 16 * MIB)).toEqual([
      "0000000200000000000000FE",
      "0000000200000000000000FF",
      "000000020000000100000000",
      "000000020000000100000001",
    ]);
  });

  it("refuses invalid ranges", async () => {
    await errorOf("format", () => segmentRange("000000010000000000000002", "000000010000000000000001", 16 * MIB));
    await errorOf("format", () => segmentRange("000000010000000000000001", "000000020000000000000001", 16 * MIB));
    await errorOf("format", () => segmentRange("000000010000000000000000", "0000000100FFFFFF00000000", 16 * MIB));
    await errorOf("format", () => segmentRange("000000010000000000000100", "000000010000000000000100", 16 * MIB));
    await errorOf("format", () => nextSegment("00000001.history", 16 * MIB));
    await errorOf("assert", () => nextSegment("000000010000000000000001", 3 * MIB));
  });

  it("agrees between names, positions and texts", () => {
    const size = fc.integer({ min: 0, max: 10 }).map((power) => MIB << power);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 2n ** 31n }),
        size,
        fc.nat(20),
        (timeline, lsn, segmentSize, count) => {
          const name = segmentOfLsn(timeline, lsn, segmentSize);
          const begin = lsnOfSegment(name, segmentSize);
          expect(begin <= lsn && lsn < begin + BigInt(segmentSize)).toBe(true);
          expect(nextSegment(name, segmentSize)).toBe(segmentOfLsn(timeline, lsn + BigInt(segmentSize), segmentSize));
          let last = name;
          for (let step = 0; step < count && lsnOfSegment(last, segmentSize) < 2n ** 64n - 2n ** 32n; step++)
            last = nextSegment(last, segmentSize);
          const range = segmentRange(name, last, segmentSize);
          expect([range[0], range.at(-1)]).toEqual([name, last]);
          expect(range.every((one, index) => index === 0 || one > (range[index - 1] as string))).toBe(true);
          expect(parseLsn(formatLsn(lsn))).toBe(lsn);
        },
      ),
    );
  });

  it("reads and writes positions as PostgreSQL prints them", async () => {
    expect([parseLsn("0/92244D0"), formatLsn(0x1b374d848n), formatLsn(0n)]).toEqual([0x92244d0n, "1/B374D848", "0/0"]);
    await errorOf("format", () => parseLsn("0/"));
    await errorOf("format", () => parseLsn("123456789/0"));
  });
});

it("shows the segment size at which start positions and names agree", () => {
  const sizes = fc.integer({ min: 20, max: 30 }).map((power) => 2 ** power);
  fc.assert(
    fc.property(sizes, fc.integer({ min: 0, max: 2 ** 20 }), fc.integer({ min: 1, max: 4095 }), (size, high, low) => {
      const lsn = BigInt(high) * 2n ** 32n + 2n ** 31n + BigInt(low);
      const entry = {
        lsnStart: formatLsn(lsn),
        archiveStart: segmentOfLsn(1, lsn, size),
      };
      expect(segmentSizeOf([entry])).toBe(size);
    }),
  );
  expect(segmentSizeOf([])).toBeNull();
  expect(segmentSizeOf([{ lsnStart: "0/28", archiveStart: "000000010000000000000009" }])).toBeNull();
});
