import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import {
  BLOCK_DEFAULTS,
  blockSizesOf,
  keptBlockSizes,
  superBlockSizeOf,
} from "../../../../runtime/format/repository/blockSize";
import { parseManifest } from "../../../../runtime/format/repository/manifest";
import { vectorText } from "../vectors";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const DAY_S = 86_400;
const NOW_S = 1_795_158_239;

function sizesOf(sizeBytes: number, ageDays = 0): unknown {
  const sizes = blockSizesOf(BLOCK_DEFAULTS, { sizeBytes, modifiedAtS: NOW_S - ageDays * DAY_S }, NOW_S);
  return sizes === null ? null : [sizes.blockSizeBytes / KIB, sizes.checksumSizeBytes];
}

describe("the blocks of a file", () => {
  it.each([
    [0, null],
    [16 * KIB - 1, null],
    [16 * KIB, [8, 6]],
    [11 * MIB - 1, [8, 6]],
    [11 * MIB, [16, 6]],
    [43 * MIB, [24, 6]],
    [96 * MIB, [32, 7]],
    [146 * MIB, [40, 7]],
    [228 * MIB, [48, 7]],
    [329 * MIB, [56, 7]],
    [448 * MIB, [64, 7]],
    [585 * MIB, [72, 7]],
    [740 * MIB, [80, 7]],
    [914 * MIB, [88, 7]],
    [GIB, [88, 7]],
  ])("of %i bytes have stock's size and checksums", (sizeBytes, expected) => {
    expect(sizesOf(sizeBytes)).toEqual(expected);
  });

  it.each([
    [6.99, [8, 6]],
    [7, [16, 6]],
    [14, [32, 7]],
    [27.9, [32, 7]],
    [28, null],
    [-1, [8, 6]],
  ])("grow with its age of %d days until it is stored whole", (ageDays, expected) => {
    expect(sizesOf(MIB, ageDays)).toEqual(expected);
    expect(sizesOf(GIB, 14)).toEqual([352, 8]);
  });

  it("follow the settings", () => {
    const settings = {
      ...BLOCK_DEFAULTS,
      sizeMap: [{ fileSizeBytes: 100, blockSizeBytes: 1024 * KIB }],
      ageMap: [{ ageDays: 1, multiplier: 8 }],
      checksumSizeMap: [{ blockSizeBytes: 2048 * KIB, checksumSizeBytes: 16 }],
    };
    const sized = (sizeBytes: number, ageS: number): unknown =>
      blockSizesOf(settings, { sizeBytes, modifiedAtS: NOW_S - ageS }, NOW_S);
    expect(sized(99, 0)).toBeNull();
    expect(sized(100, DAY_S - 1)).toEqual({ blockSizeBytes: MIB, checksumSizeBytes: 6 });
    expect(sized(100, DAY_S)).toEqual({ blockSizeBytes: 8 * MIB, checksumSizeBytes: 16 });
  });

  it("equal stock's for every file of a real full backup", () => {
    const manifest = parseManifest(vectorText("v2.60/block-lz4/full.manifest.gz"), "manifest");
    const chosen = manifest.files.map((file) => [file.name, blockSizesOf(BLOCK_DEFAULTS, file, manifest.startedAtS)]);
    const stocks = manifest.files.map((file) => [
      file.name,
      file.block === undefined
        ? null
        : { blockSizeBytes: file.block.sizeBytes, checksumSizeBytes: file.block.checksumSizeBytes },
    ]);
    expect(chosen).toEqual(stocks);
    expect(chosen.filter(([, sizes]) => sizes !== null).length).toBeGreaterThan(100);
  });
});

describe("super blocks", () => {
  it("are 1 MiB in fulls and 256 KiB otherwise, rounded up to whole blocks", () => {
    expect(superBlockSizeOf(BLOCK_DEFAULTS, "full", 8 * KIB)).toBe(MIB);
    expect(superBlockSizeOf(BLOCK_DEFAULTS, "diff", 8 * KIB)).toBe(256 * KIB);
    expect(superBlockSizeOf(BLOCK_DEFAULTS, "incr", 24 * KIB)).toBe(264 * KIB);
    expect(superBlockSizeOf(BLOCK_DEFAULTS, "full", 88 * KIB)).toBe(1056 * KIB);
    expect(superBlockSizeOf(BLOCK_DEFAULTS, "incr", 352 * KIB)).toBe(352 * KIB);
  });

  it("are complete blocks and not smaller than the setting", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), fc.constantFrom("full", "diff", "incr"), (blocks, type) => {
        const sizeBytes = superBlockSizeOf(BLOCK_DEFAULTS, type, blocks * 8 * KIB);
        expect(sizeBytes % (blocks * 8 * KIB)).toBe(0);
        expect(sizeBytes).toBeGreaterThanOrEqual(type === "full" ? MIB : 256 * KIB);
      }),
    );
  });
});

describe("a file in the prior backup", () => {
  const block = { sizeBytes: 16 * KIB, checksumSizeBytes: 7, mapSizeBytes: 90 };

  it("keeps its blocks while it is at least as large as one of them", () => {
    expect(keptBlockSizes({ block }, 16 * KIB)).toEqual({ blockSizeBytes: 16 * KIB, checksumSizeBytes: 7 });
    expect(keptBlockSizes({ block }, 16 * KIB - 1)).toBeNull();
  });

  it("is cut again when it has no map", () => {
    expect(keptBlockSizes({}, GIB)).toBeNull();
    expect(keptBlockSizes({ block: { ...block, mapSizeBytes: 0 } }, GIB)).toBeNull();
  });
});
