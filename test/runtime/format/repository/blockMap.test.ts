import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { isError } from "../../../../runtime/base/errors";
import {
  type BlockMap,
  blockChecksum,
  parseBlockMap,
  renderBlockMap,
} from "../../../../runtime/format/repository/blockMap";
import { BLOCK_VECTORS, blockVector, chainedMaps } from "../blockVectors";
import { errorOf } from "../vectors";

const SIZES = { blockSizeBytes: 8192, checksumSizeBytes: 6 };

function itemsOf(map: BlockMap): unknown[] {
  return map.blocks.map(({ superBlock, index }, block) => ({
    ref: superBlock.reference,
    sbs: superBlock.sizeBytes,
    bid: superBlock.bundleId,
    off: superBlock.offsetBytes,
    size: superBlock.sizeRepoBytes,
    block: index,
    ck: Buffer.from(blockChecksum(map, block)).toString("hex"),
  }));
}

describe("stock's block maps", () => {
  it.each(BLOCK_VECTORS)("%s is read as decoded", (name) => {
    const { map, sizes, items } = blockVector(name);
    expect(itemsOf(parseBlockMap(map, sizes, name))).toEqual(items);
  });

  it.each(BLOCK_VECTORS)("%s is rewritten byte for byte", (name) => {
    const { map, sizes } = blockVector(name);
    expect(Buffer.from(renderBlockMap(parseBlockMap(map, sizes, name))).toString("hex")).toBe(
      Buffer.from(map).toString("hex"),
    );
  });

  it("shares one super block among its blocks, even if another backup's blocks interrupt it", () => {
    const { map, sizes } = blockVector("D.pg_data_base_1_2696");
    const { blocks } = parseBlockMap(map, sizes, "map");
    expect(blocks.map(({ superBlock }) => superBlock.reference)).toEqual([0, 0, 1, 0]);
    expect(blocks[3]?.superBlock).toBe(blocks[0]?.superBlock);
  });
});

describe("any block map", () => {
  it("of a chain of backups survives writing and reading", () => {
    fc.assert(
      fc.property(chainedMaps, (map) => {
        const parsed = parseBlockMap(renderBlockMap(map), map, "map");
        expect(itemsOf(parsed)).toEqual(itemsOf(map));
        expect(Object.keys(parsed).sort()).toEqual(["blockSizeBytes", "blocks", "checksumSizeBytes", "checksums"]);
      }),
      { numRuns: 500 },
    );
  });

  it("that is truncated is refused", async () => {
    for (const name of BLOCK_VECTORS) {
      const { map, sizes } = blockVector(name);
      for (let sizeBytes = 0; sizeBytes < map.length; sizeBytes += 1 + Math.floor(map.length / 60)) {
        const error = await errorOf("format", () => parseBlockMap(map.subarray(0, sizeBytes), sizes, name));
        expect(error.message).toContain("block map of");
      }
    }
  });

  it("with other bytes is read to some map or refused, and never crashes", () => {
    const { map, sizes } = blockVector("I.pg_data_base_5_16385");
    fc.assert(
      fc.property(fc.nat(map.length - 1), fc.nat(255), (position, byte) => {
        const damaged = Uint8Array.from(map);
        damaged[position] = byte;
        try {
          parseBlockMap(damaged, sizes, "map");
        } catch (error) {
          expect(isError(error, "format")).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseBlockMap(bytes, SIZES, "map");
        } catch (error) {
          expect(isError(error, "format")).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["of another version", [1, 0], "its version is not 0"],
    ["with bytes after its end", [0, 1, 8 * 10 + 1, 1, 2, 3, 4, 5, 6, 0], "1 bytes follow its end"],
    ["with a super block of 0 bytes", [0, 1, 1, 1, 2, 3, 4, 5, 6], "a super block of 8192 bytes stored in 0"],
    [
      "with a block that its super block lacks",
      [0, 1, 8 * 10 + 4 + 1, 1, 1, 1, 2, 3, 4, 5, 6],
      "block 1 of a super block that has 1",
    ],
    ["with a number beyond 2^53", [0, 255, 255, 255, 255, 255, 255, 255, 255, 1], "a number in it is too large"],
    [
      "with a super block that no setting creates",
      [0, 1, 8 * 10 + 2 + 1, 128, 128, 128, 4, 1, 2, 3, 4, 5, 6],
      "a super block of",
    ],
  ])("%s is refused", async (_, bytes, reason) => {
    const error = await errorOf("format", () => parseBlockMap(Uint8Array.from(bytes), SIZES, "pg_data/base/1/2"));
    expect(error.message).toContain(`block map of 'pg_data/base/1/2' is damaged: ${reason}`);
  });
});

describe("a block map in memory", () => {
  const superBlock = { reference: 0, bundleId: 1, offsetBytes: 100, sizeRepoBytes: 50, sizeBytes: 16_384 };
  const mapOf = (blocks: BlockMap["blocks"], checksumCount = blocks.length): BlockMap => ({
    ...SIZES,
    blocks,
    checksums: new Uint8Array(checksumCount * 6),
  });

  it.each([
    ["without blocks", mapOf([])],
    ["with too few checksums", mapOf([{ superBlock, index: 0 }], 0)],
    [
      "whose super blocks go backwards",
      mapOf([
        { superBlock, index: 0 },
        { superBlock: { ...superBlock, offsetBytes: 20 }, index: 0 },
      ]),
    ],
    [
      "with a gap inside a run",
      mapOf([
        { superBlock, index: 0 },
        { superBlock: { ...superBlock, offsetBytes: 151 }, index: 0 },
      ]),
    ],
    [
      "whose blocks go backwards",
      mapOf([
        { superBlock, index: 1 },
        { superBlock, index: 0 },
      ]),
    ],
    [
      "with two super blocks in one place",
      mapOf([
        { superBlock, index: 0 },
        { superBlock: { ...superBlock, reference: 1 }, index: 0 },
        { superBlock: { ...superBlock, sizeRepoBytes: 51 }, index: 1 },
      ]),
    ],
  ])("%s is our own bug", async (_, map) => {
    await errorOf("assert", () => renderBlockMap(map));
  });
});
