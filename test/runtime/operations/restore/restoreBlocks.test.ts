import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { restoreBlocks } from "../../../../runtime/operations/restore/restoreBlocks";
import { errorOf, sampleBytes } from "../../format/vectors";
import type { Storage } from "../../../../runtime/storage/storage";
import { BlockChain, inDirectory } from "../backup/blockChain";

const BLOCK = 8192;
const SIZE = 50 * BLOCK + 100;

let folder: string;
let path: string;
let chain: BlockChain;
let bytes: Buffer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgbackstop-blocks-"));
  path = join(folder, "file");
  chain = new BlockChain({
    blockSizeBytes: BLOCK,
    checksumSizeBytes: 6,
    superBlockSizeBytes: 8 * BLOCK,
    compress: { type: "lz4", level: 1 },
    cipherPass: null,
    bundleId: 0,
    offsetBytes: 0,
  });
  bytes = Buffer.from(sampleBytes(SIZE));
  await chain.backup(bytes);
  bytes.fill(1, 3 * BLOCK, 3 * BLOCK + 10);
  await chain.backup(bytes);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Restores over `before`, and returns the number of written bytes. */
async function restoreOver(before: Uint8Array, sizeBytes = SIZE): Promise<number> {
  writeFileSync(path, before);
  const fd = openSync(path, "r+");
  try {
    const write = (chunk: Uint8Array, offsetBytes: number): void =>
      void writeSync(fd, chunk, 0, chunk.length, offsetBytes);
    const { writtenBytes, sha1 } = await restoreBlocks({ fd, sizeBytes, write }, chain.source(), chain.repo);
    expect(sha1).toBeNull();
    return writtenBytes;
  } finally {
    closeSync(fd);
  }
}

describe("restoring blocks", () => {
  it("fills an empty file", async () => {
    expect(await restoreOver(new Uint8Array(0))).toBe(SIZE);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it("gives the SHA-1 of a file that it wrote in order", async () => {
    writeFileSync(path, "");
    const fd = openSync(path, "r+");
    const write = (chunk: Uint8Array, offsetBytes: number): void =>
      void writeSync(fd, chunk, 0, chunk.length, offsetBytes);
    const restoreFrom = (storage: Storage) =>
      restoreBlocks({ fd, sizeBytes: SIZE, write }, chain.source(), { ...chain.repo, storage });
    // A store gives the blocks of one backup after the other.
    expect(await restoreFrom(chain.repo.storage)).toEqual({ writtenBytes: SIZE, sha1: null });
    ftruncateSync(fd, 0);
    const directory = await inDirectory(chain.repo.storage);
    expect(await restoreFrom(directory)).toEqual({ writtenBytes: SIZE, sha1: sha1Hex(bytes) });
    expect(await restoreFrom(directory)).toEqual({ writtenBytes: 0, sha1: null });
    closeSync(fd);
  });

  it("writes nothing into a right file, and cuts off appended bytes", async () => {
    expect(await restoreOver(bytes)).toBe(0);
    expect(await restoreOver(Buffer.concat([bytes, Buffer.alloc(3 * BLOCK, 9)]))).toBe(0);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it("writes only the blocks that differ", async () => {
    const before = Buffer.from(bytes);
    before.fill(7, 10 * BLOCK + 5, 10 * BLOCK + 6);
    before.fill(7, SIZE - 1);
    expect(await restoreOver(before)).toBe(BLOCK + 100);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
  });

  it("makes the file right from any content", async () => {
    const edits = fc.array(fc.record({ offset: fc.nat(SIZE - 1), byte: fc.nat(255) }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(edits, fc.nat(SIZE + 5000), async (changes, sizeBytes) => {
        const before = Buffer.alloc(sizeBytes, 5);
        bytes.copy(before);
        for (const { offset, byte } of changes) if (offset < sizeBytes) before[offset] = byte;
        await restoreOver(before);
        expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  it("fetches only the super blocks of blocks that differ", async () => {
    // Without the full backup only the incremental one is readable. It holds block 3.
    for (const each of ["backup/demo/20261120-060000F/pg_data/base/5/16384.pgbi"])
      await chain.repo.storage.remove(each);
    const before = Buffer.from(bytes);
    before.fill(7, 3 * BLOCK, 3 * BLOCK + 1);
    expect(await restoreOver(before)).toBe(BLOCK);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    before.fill(7, 4 * BLOCK, 4 * BLOCK + 1);
    await errorOf("fileMissing", () => restoreOver(before));
  });

  it("refuses a map for another size of the file", async () => {
    const error = await errorOf("format", () => restoreOver(bytes, SIZE - 200));
    expect(error.message).toBe("block map of 'pg_data/base/5/16384' has 51 blocks, its 409500 bytes are 50");
    const short = await errorOf("format", () => restoreOver(new Uint8Array(0), SIZE - 20));
    expect(short.message).toBe(
      `3 blocks of 'pg_data/base/5/16384' from block 48 on have ${2 * BLOCK + 100} bytes instead of ${2 * BLOCK + 80}`,
    );
  });
});
