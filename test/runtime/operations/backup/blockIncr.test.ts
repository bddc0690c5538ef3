import * as fc from "../../../harness/properties";
import { beforeAll, describe, expect, it } from "vitest";
import { concatBytes } from "../../../../runtime/base/bytes";
import { parseBlockMap, renderBlockMap } from "../../../../runtime/format/repository/blockMap";
import type { CompressType } from "../../../../runtime/format/codec/compress";
import { openSuperBlock } from "../../../../runtime/format/repository/superBlock";
import { type BlockHash, loadBlockHash } from "../../../../runtime/format/codec/xxh3";
import { BlockCutter, BlockStore, type CutSettings, cutKey } from "../../../../runtime/operations/backup/blockIncr";
import { BLOCK_VECTORS, blockVector } from "../../format/blockVectors";
import { all, errorOf, sampleBytes } from "../../format/vectors";
import { BlockChain, type ChainOptions, testRandom } from "./blockChain";

const BLOCK = 8192;
const OPTIONS: ChainOptions = {
  blockSizeBytes: BLOCK,
  checksumSizeBytes: 6,
  superBlockSizeBytes: 4 * BLOCK,
  compress: { type: "lz4", level: 1 },
  cipherPass: null,
  bundleId: 0,
  offsetBytes: 0,
};
const SETTINGS: CutSettings = { ...OPTIONS, priorChecksums: null };

let hash: BlockHash;

beforeAll(async () => {
  hash = await loadBlockHash();
});

/** A new state of the file, with changed, added or cut-off blocks. */
interface Change {
  readonly blocks: readonly number[];
  readonly sizeBytes: number;
}

function changed(before: Uint8Array, { blocks, sizeBytes }: Change, seed: number): Uint8Array {
  const after = Buffer.alloc(sizeBytes, 3);
  after.set(before.subarray(0, Math.min(sizeBytes, before.length)));
  if (sizeBytes > before.length) after.set(sampleBytes(sizeBytes - before.length, seed), before.length);
  for (const block of blocks)
    if (block * BLOCK < sizeBytes)
      after.writeUInt8((after.readUInt8(block * BLOCK) + 1 + (seed % 50)) % 256, block * BLOCK);
  return after;
}

describe("a chain of backups of one file", () => {
  const change = fc.record({
    blocks: fc.array(fc.nat(20), { maxLength: 6 }),
    sizeBytes: fc.integer({ min: 1, max: 20 * BLOCK }),
  });

  it("restores every state, whatever changed, with any chunk size", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 * BLOCK }),
        fc.array(change, { maxLength: 5 }),
        fc.constantFrom<CompressType>("none", "gz", "lz4", "zst"),
        fc.constantFrom(null, "passphrase"),
        fc.constantFrom(0, 3),
        fc.integer({ min: 1, max: 3 * BLOCK }),
        async (sizeBytes, changes, type, cipherPass, bundleId, chunkBytes) => {
          const chain = new BlockChain({
            ...OPTIONS,
            compress: { type, level: 1 },
            cipherPass,
            bundleId,
            offsetBytes: 1000,
          });
          let bytes = sampleBytes(sizeBytes);
          await chain.backup(bytes, chunkBytes);
          for (const [step, next] of changes.entries()) {
            const after = changed(bytes, next, step + 2);
            const isSame = Buffer.compare(after, bytes) === 0;
            expect((await chain.backup(after, chunkBytes)) === null).toBe(isSame);
            bytes = after;
            expect(Buffer.compare(await chain.read(bytes.length), bytes)).toBe(0);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("stores only changed blocks, joined to super blocks, and names the prior backup for the others", async () => {
    const chain = new BlockChain(OPTIONS);
    const before = sampleBytes(10 * BLOCK);
    const full = await chain.backup(before);
    expect(
      full?.map.blocks.map(({ superBlock, index }) => [superBlock.reference, superBlock.sizeBytes / BLOCK, index]),
    ).toEqual(
      [0, 1, 2, 3, 0, 1, 2, 3]
        .map((index) => [0, 4, index])
        .concat([
          [0, 2, 0],
          [0, 2, 1],
        ]),
    );
    const incr = await chain.backup(changed(before, { blocks: [1, 3, 8], sizeBytes: 10 * BLOCK }, 1));
    expect(incr?.map.blocks.map(({ superBlock, index }) => `${superBlock.reference}/${index}`).join(" ")).toBe(
      "0/0 1/0 0/2 1/1 0/0 0/1 0/2 0/3 1/2 0/1",
    );
    expect(incr?.map.blocks[1]?.superBlock).toEqual({
      reference: 1,
      bundleId: 0,
      offsetBytes: 0,
      sizeRepoBytes: expect.any(Number),
      sizeBytes: 3 * BLOCK,
    });
    expect((incr?.sizeRepoBytes ?? 0) < 3 * BLOCK + 200).toBe(true);
  });

  it("stores nothing for an equal file, and only a map for a truncated one", async () => {
    const chain = new BlockChain(OPTIONS);
    const bytes = sampleBytes(10 * BLOCK + 5);
    await chain.backup(bytes);
    expect(await chain.backup(bytes)).toBeNull();
    const shorter = await chain.backup(bytes.subarray(0, 7 * BLOCK));
    expect(shorter?.sizeRepoBytes).toBe(shorter?.mapSizeBytes);
    expect(Buffer.compare(await chain.read(7 * BLOCK), bytes.subarray(0, 7 * BLOCK))).toBe(0);
  });

  it("stores nothing for a file that proves empty", async () => {
    const chain = new BlockChain(OPTIONS);
    expect(await chain.backup(new Uint8Array(0))).toBeNull();
    await chain.backup(sampleBytes(3 * BLOCK));
    expect(await chain.backup(new Uint8Array(0))).toBeNull();
  });

  it("is read back with only the needed super blocks", async () => {
    const chain = new BlockChain(OPTIONS);
    const bytes = sampleBytes(16 * BLOCK);
    await chain.backup(bytes);
    const full = await chain.read(bytes.length, (block) => block === 5);
    expect(Buffer.compare(full.subarray(5 * BLOCK, 6 * BLOCK), bytes.subarray(5 * BLOCK, 6 * BLOCK))).toBe(0);
    expect(full.subarray(0, 5 * BLOCK).every((byte) => byte === 0)).toBe(true);
    expect(full.subarray(6 * BLOCK).every((byte) => byte === 0)).toBe(true);
  });
});

describe("the golden files of stock", () => {
  // Stock's lz4 finds other matches, so only stored sizes may differ.
  it.each(BLOCK_VECTORS.filter((name) => name.startsWith("F.")))("%s is cut and mapped as in stock", async (name) => {
    const { extent, map, file, sizes } = blockVector(name);
    const parsed = parseBlockMap(map, sizes, name);
    const superBlocks = [...new Set(parsed.blocks.map(({ superBlock }) => superBlock))];
    const begin = superBlocks[0]?.offsetBytes ?? 0;
    const bytes = concatBytes(
      superBlocks.map((each) => {
        const offset = each.offsetBytes - begin;
        return openSuperBlock(
          extent.subarray(offset, offset + each.sizeRepoBytes),
          each,
          { cipherPass: null, compressType: "lz4" },
          name,
        );
      }),
    );
    expect(bytes.length).toBe(file.sizeBytes);
    const cutter = new BlockCutter({ ...SETTINGS, ...sizes, superBlockSizeBytes: 1 << 20 }, hash);
    const packed = [...cutter.add(bytes), ...cutter.end()];
    expect(packed.length).toBe(superBlocks.length);
    const store = new BlockStore({ reference: 0, cipherPass: null, prior: null }, testRandom());
    // Use stock's stored super blocks instead of ours.
    for (const each of superBlocks)
      store.add(extent.subarray(each.offsetBytes - begin, each.offsetBytes - begin + each.sizeRepoBytes));
    const [ours] = [...store.end(cutter, { bundleId: file.bundle?.id ?? 0, offsetBytes: begin })];
    expect(Buffer.from(ours ?? []).toString("hex")).toBe(Buffer.from(map).toString("hex"));
    expect(store.result()?.mapSizeBytes).toBe(file.block?.mapSizeBytes);
    expect(store.result()?.sizeRepoBytes).toBe(file.sizeRepoBytes);
  });

  it("without compression are equal byte for byte, with all changes of an incremental", async () => {
    const chain = new BlockChain({ ...OPTIONS, compress: { type: "none", level: 0 } });
    const before = sampleBytes(6 * BLOCK);
    await chain.backup(before);
    const after = changed(before, { blocks: [0, 5], sizeBytes: 6 * BLOCK }, 9);
    const result = await chain.backup(after);
    const stored = await all(await chain.repo.storage.read(chain.source().mapPath));
    const expected = concatBytes([
      after.subarray(0, BLOCK),
      after.subarray(5 * BLOCK),
      renderBlockMap(result?.map ?? fail()),
    ]);
    expect(Buffer.compare(stored.subarray(0, expected.length), expected)).toBe(0);
  });
});

describe("a cutter", () => {
  it("shows each changed block once, in order, whatever the chunks", () => {
    const before = sampleBytes(20 * BLOCK + 100);
    const first = new BlockCutter(SETTINGS, hash);
    for (const _ of [...first.add(before), ...first.end()]);
    const priorChecksums = first.checksums();
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(20)),
        fc.array(fc.integer({ min: 1, max: 6 * BLOCK })),
        (blocks, chunkSizes) => {
          const bytes = changed(before, { blocks, sizeBytes: before.length }, 1);
          const seen = Buffer.alloc(before.length);
          let seenBytes = 0;
          let endBytes = 0;
          const cutter = new BlockCutter({ ...SETTINGS, priorChecksums }, hash);
          cutter.watch((run, offsetBytes) => {
            expect(offsetBytes).toBeGreaterThanOrEqual(endBytes);
            seen.set(run, offsetBytes);
            seenBytes += run.length;
            endBytes = offsetBytes + run.length;
          });
          let begin = 0;
          for (const size of [...chunkSizes, bytes.length]) {
            for (const _ of cutter.add(bytes.subarray(begin, begin + size)));
            begin = Math.min(begin + size, bytes.length);
          }
          for (const _ of cutter.end());
          expect(seenBytes).toBe(blocks.reduce((sum, block) => sum + (block === 20 ? 100 : BLOCK), 0));
          for (const block of blocks) {
            const part = [block * BLOCK, (block + 1) * BLOCK] as const;
            expect(Buffer.compare(seen.subarray(...part), bytes.subarray(...part))).toBe(0);
          }
        },
      ),
    );
  });

  it("is shared by repositories with the same settings and the same prior blocks", () => {
    expect(cutKey(SETTINGS)).toBe(cutKey({ ...SETTINGS }));
    const different: Partial<CutSettings>[] = [
      { blockSizeBytes: 2 * BLOCK },
      { checksumSizeBytes: 7 },
      { superBlockSizeBytes: 8 * BLOCK },
      { compress: { type: "zst", level: 1 } },
      { compress: { type: "lz4", level: 2 } },
      { priorChecksums: new Uint8Array(0) },
      { priorChecksums: new Uint8Array(6) },
    ];
    expect(new Set([{}, ...different].map((change) => cutKey({ ...SETTINGS, ...change }))).size).toBe(
      different.length + 1,
    );
  });

  it("serves several repositories at once, each with its own passphrase and offsets", async () => {
    const bytes = sampleBytes(9 * BLOCK);
    const cutter = new BlockCutter(SETTINGS, hash);
    const packed = [...cutter.add(bytes), ...cutter.end()];
    const stored = [
      { cipherPass: null, location: { bundleId: 0, offsetBytes: 0 } },
      { cipherPass: "one", location: { bundleId: 4, offsetBytes: 12 } },
    ].map(({ cipherPass, location }) => {
      const store = new BlockStore({ reference: 0, cipherPass, prior: null }, testRandom());
      const sizes = packed.map((each) => store.add(each).length);
      return { sizes, map: [...store.end(cutter, location)], result: store.result() };
    });
    expect(stored[0]?.result?.map.blocks[8]?.superBlock.offsetBytes).toBe(
      (stored[0]?.sizes[0] ?? 0) + (stored[0]?.sizes[1] ?? 0),
    );
    expect(stored[1]?.result?.map.blocks[0]?.superBlock).toMatchObject({ bundleId: 4, offsetBytes: 12 });
    expect(stored[1]?.result?.map.checksums).toEqual(stored[0]?.result?.map.checksums);
  });

  it("requires complete blocks in a super block and works once", async () => {
    await errorOf("assert", () => new BlockCutter({ ...SETTINGS, superBlockSizeBytes: BLOCK + 1 }, hash));
    const cutter = new BlockCutter(SETTINGS, hash);
    await errorOf("assert", () => cutter.checksums());
    expect([...cutter.end()]).toEqual([]);
    await errorOf("assert", () => [...cutter.add(new Uint8Array(1))]);
    await errorOf("assert", () => cutter.superBlock(0));
  });
});

function fail(): never {
  throw new Error("nothing was stored");
}
