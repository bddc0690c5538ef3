import { beforeEach, describe, expect, it, vi } from "vitest";
import { loadBlockMap, openBlockFile, planReads, readBlocks } from "../../../runtime/repository/blockReader";
import type { CompressType } from "../../../runtime/format/codec/compress";
import type { PosixStorage } from "../../../runtime/storage/posix";
import * as fc from "../../harness/properties";
import { BlockChain, inDirectory } from "../operations/backup/blockChain";
import { all, errorOf, sampleBytes } from "../format/vectors";

const BLOCK = 8192;
const SIZE = 24 * BLOCK;
const everything = (): boolean => true;

let chain: BlockChain;
let bytes: Buffer;

/** The full backup holds all blocks, in super blocks of eight. The incremental one holds blocks 3 and 12. */
beforeEach(async () => {
  chain = new BlockChain({
    blockSizeBytes: BLOCK,
    checksumSizeBytes: 6,
    superBlockSizeBytes: 8 * BLOCK,
    compress: { type: "lz4", level: 1 },
    cipherPass: "passphrase",
    bundleId: 2,
    offsetBytes: 777,
  });
  bytes = Buffer.from(sampleBytes(SIZE));
  await chain.backup(bytes);
  bytes.fill(1, 3 * BLOCK, 3 * BLOCK + 10);
  bytes.fill(1, 12 * BLOCK, 12 * BLOCK + 10);
  await chain.backup(bytes);
});

async function readAll(): Promise<number> {
  let count = 0;
  const map = await loadBlockMap(chain.repo, chain.source());
  await readBlocks(
    chain.repo,
    chain.source(),
    { map, held: null },
    everything,
    (each) => void (count += each.bytes.length),
  );
  return count;
}

describe("reading a block incremental", () => {
  it("joins adjacent super blocks into one read, per backup", async () => {
    const map = await loadBlockMap(chain.repo, chain.source());
    const shapes = planReads(map, everything).map((read) =>
      read.map(({ superBlock, blocks }) => [superBlock.reference, blocks.length]),
    );
    expect(shapes).toEqual([
      [
        [0, 7],
        [0, 7],
        [0, 8],
      ],
      [[1, 2]],
    ]);
  });

  it("keeps backups apart whose offsets happen to be adjacent", () => {
    const superBlock = { reference: 0, bundleId: 1, offsetBytes: 0, sizeRepoBytes: 100, sizeBytes: BLOCK };
    const blocks = [0, 1, 1].map((reference, location) => ({
      superBlock: { ...superBlock, reference, offsetBytes: location * 100 },
      index: 0,
    }));
    const map = { blockSizeBytes: BLOCK, checksumSizeBytes: 6, blocks, checksums: new Uint8Array(18) };
    expect(
      planReads(map, everything).map((read) => read.map(({ superBlock: { offsetBytes } }) => offsetBytes)),
    ).toEqual([[0], [100, 200]]);
  });

  it("skips unwanted blocks", async () => {
    const map = await loadBlockMap(chain.repo, chain.source());
    const shapes = planReads(map, (block) => block === 1 || block > 20).map((read) =>
      read.map(({ blocks }) => blocks.map(({ block }) => block)),
    );
    expect(shapes).toEqual([[[1]], [[21, 22, 23]]]);
    expect(planReads(map, () => false)).toEqual([]);
  });

  it("returns the file, with or without the bytes read with the map", async () => {
    expect(Buffer.compare(await chain.read(SIZE), bytes)).toBe(0);
    const { map, held } = await openBlockFile(chain.repo, chain.source());
    expect(held).toMatchObject({ path: chain.source().mapPath, offsetBytes: 777 });
    const parts: [number, number][] = [];
    await readBlocks(chain.repo, chain.source(), { map, held: null }, everything, (each) => {
      parts.push([each.block, each.count]);
      expect(Buffer.compare(each.bytes, bytes.subarray(each.block * BLOCK, (each.block + each.count) * BLOCK))).toBe(0);
    });
    // Adjacent blocks stay together.
    expect(parts).toEqual([
      [0, 3],
      [4, 4],
      [8, 4],
      [13, 3],
      [16, 8],
      [3, 1],
      [12, 1],
    ]);
  });

  it("sends one request for a small file without parts in other backups", async () => {
    const single = new BlockChain({ ...chain.options, cipherPass: null });
    await single.backup(sampleBytes(5 * BLOCK));
    const read = vi.spyOn(single.repo.storage, "read");
    await single.read(5 * BLOCK);
    expect(read).toHaveBeenCalledTimes(1);
  });

  it("reads complete super blocks from a directory, while other files are read", async () => {
    for (const compress of [
      { type: "zst", level: 3 },
      { type: "gz", level: 1 },
      { type: "none", level: 0 },
    ] as const) {
      const files = [100, 301].map((blockCount) => Buffer.from(sampleBytes(blockCount * BLOCK)));
      const chains = files.map(
        (_, index) =>
          new BlockChain({
            ...chain.options,
            compress,
            bundleId: 3,
            superBlockSizeBytes: (index + 1) * 16 * BLOCK,
          }),
      );
      for (const [index, each] of chains.entries()) {
        const file = files[index] as Buffer;
        await each.backup(file);
        file.fill(1, 70 * BLOCK, 70 * BLOCK + 10);
        await each.backup(file);
      }
      const storages = await Promise.all(chains.map((each) => inDirectory(each.repo.storage)));
      const read = await Promise.all(
        chains.map((each, index) => each.read((files[index] as Buffer).length, everything, undefined, storages[index])),
      );
      for (const [index, file] of files.entries()) expect(Buffer.compare(read[index] as Buffer, file)).toBe(0);
      const path = "backup/demo/20261120-060000F/bundle/3";
      const [, storage] = storages as [PosixStorage, PosixStorage];
      await storage.put(path, (await all(await storage.read(path))).subarray(0, -3000));
      const damaged = (chains[1] as BlockChain).read(301 * BLOCK, everything, undefined, storage);
      const error = await errorOf("format", () => damaged);
      expect(error.message).toMatch(/ end early: \d+ of \d+ bytes of a super block are there$/);
    }
  });

  it("reads a directory in the order of the file, each super block once, and only the needed ones", async () => {
    const storage = await inDirectory(chain.repo.storage);
    const repo = { ...chain.repo, storage };
    const open = await openBlockFile(repo, chain.source());
    const openReader = vi.spyOn(storage, "openReader");
    const partsOf = async (isWanted: (block: number) => boolean): Promise<[number, number][]> => {
      openReader.mockClear();
      const parts: [number, number][] = [];
      await readBlocks(repo, chain.source(), { ...open, held: null }, isWanted, (each) => {
        parts.push([each.block, each.count]);
        const begin = each.block * BLOCK;
        expect(Buffer.compare(each.bytes, bytes.subarray(begin, begin + each.count * BLOCK))).toBe(0);
      });
      return parts;
    };
    expect(await partsOf(everything)).toEqual([
      [0, 3],
      [3, 1],
      [4, 4],
      [8, 4],
      [12, 1],
      [13, 3],
      [16, 8],
    ]);
    expect(openReader.mock.calls.map(([path]) => path)).toEqual([
      "backup/demo/20261120-060000F/bundle/2",
      chain.source().mapPath,
    ]);
    expect(await partsOf((block) => block === 12 || block === 20)).toEqual([
      [12, 1],
      [20, 1],
    ]);
    expect(await partsOf((block) => [0, 1, 20].includes(block))).toEqual([
      [0, 2],
      [20, 1],
    ]);
    // The super block in between is skipped.
    expect(openReader).toHaveBeenCalledTimes(2);
  });

  it("reads a chain of many backups in their order, with one super block in memory", async () => {
    const long = new BlockChain({ ...chain.options, superBlockSizeBytes: 256 * BLOCK });
    const file = Buffer.from(sampleBytes(300 * BLOCK));
    await long.backup(file);
    // Super blocks of 2 MiB, of which the next backup leaves one block.
    for (let no = 1; no <= 9; no++) {
      file.fill(no, no * BLOCK, 257 * BLOCK);
      await long.backup(file);
    }
    const { map } = await openBlockFile(long.repo, long.source());
    expect(new Set(map.blocks.map(({ superBlock }) => superBlock.reference)).size).toBe(10);
    const storage = await inDirectory(long.repo.storage);
    const read = vi.spyOn(storage, "read");
    expect(Buffer.compare(await long.read(file.length, everything, undefined, storage), file)).toBe(0);
    // The newest was read with its map.
    expect(read).toHaveBeenCalledTimes(9);
  });

  it("restores any chain from a directory", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(39), { minLength: 4, maxLength: 20 }), { minLength: 2, maxLength: 5 }),
        fc.uniqueArray(fc.nat(39)),
        fc.constantFrom<CompressType>("none", "gz", "lz4", "zst"),
        fc.constantFrom(null, "passphrase"),
        async (changes, wanted, type, cipherPass) => {
          const compress = { type, level: 1 };
          const superBlockSizeBytes = 4 * BLOCK;
          const any = new BlockChain({ ...chain.options, compress, cipherPass, superBlockSizeBytes });
          const file = Buffer.from(sampleBytes(40 * BLOCK - 100));
          await any.backup(file);
          for (const [step, blocks] of changes.entries()) {
            for (const block of blocks) file[block * BLOCK + 7] = step * 40 + block;
            await any.backup(file);
          }
          const storage = await inDirectory(any.repo.storage);
          expect(Buffer.compare(await any.read(file.length, everything, undefined, storage), file)).toBe(0);
          const some = await any.read(file.length, (block) => wanted.includes(block), undefined, storage);
          for (let block = 0; block < 40; block++) {
            const expected = wanted.includes(block) ? file : Buffer.alloc(file.length);
            const part = [block * BLOCK, (block + 1) * BLOCK] as const;
            expect(Buffer.compare(some.subarray(...part), expected.subarray(...part))).toBe(0);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it("does not fetch a large extent for its map", async () => {
    const single = new BlockChain({ ...chain.options, compress: { type: "none", level: 0 } });
    await single.backup(sampleBytes(40 * BLOCK));
    expect((await openBlockFile(single.repo, single.source())).held).toBeNull();
  });

  it("names a missing backup", async () => {
    await chain.repo.storage.remove("backup/demo/20261120-060000F/bundle/2");
    const error = await errorOf("fileMissing", readAll);
    expect(error.message).toContain("20261120-060000F/bundle/2");
  });

  it("reports stored blocks that end early", async () => {
    const path = "backup/demo/20261120-060000F/bundle/2";
    await chain.repo.storage.put(
      path,
      (chain.repo.storage as { files?: Map<string, { bytes: Uint8Array }> }).files?.get(path)?.bytes.subarray(0, 900) ??
        bytes,
    );
    const error = await errorOf("format", readAll);
    expect(error.message).toBe("stored blocks of 'pg_data/base/5/16384' end early: 0 of 3 super blocks are there");
  });

  it("refuses a map that is missing, truncated, or names a backup that the manifest does not", async () => {
    const source = chain.source();
    await errorOf("fileMissing", () => loadBlockMap(chain.repo, { ...source, mapPath: "backup/demo/x" }));
    const beyond = await errorOf("format", () =>
      loadBlockMap(chain.repo, { ...source, mapOffsetBytes: source.mapOffsetBytes + 40 }),
    );
    expect(beyond.message).toContain(`instead of ${source.mapSizeBytes}`);
    const unnamed = await errorOf("format", () =>
      loadBlockMap(chain.repo, { ...source, references: source.references.slice(0, 1) }),
    );
    expect(unnamed.message).toBe("block map of 'pg_data/base/5/16384' names backup 1, the manifest 1");
    await errorOf("crypto", () => loadBlockMap(chain.repo, { ...source, cipherPass: "another" }));
  });
});
