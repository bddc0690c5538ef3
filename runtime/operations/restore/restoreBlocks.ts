/**
 * Restores a block incremental file into an open file: only the blocks that it does not hold yet.
 *
 * The checksums of its blocks show what the file holds. So a delta restore fetches only changes, and another source
 * continues after one that failed. These checksums are short and made to find changes; the caller verifies the file's
 * SHA-1. ("pgbackrest-format" 14.5; pgBackRest 2.60 "command/restore/file", "command/restore/blockChecksum".)
 */
import { createHash } from "node:crypto";
import { fstatSync, ftruncateSync, readSync } from "../../local/nodeFiles";
import { setImmediate } from "node:timers/promises";
import { fail } from "../../base/errors";
import { type BlockMap, blockChecksum } from "../../format/repository/blockMap";
import type { BlockSource } from "../../format/repository/blockSource";
import { loadBlockHash } from "../../format/codec/xxh3";
import { type FileBlocks, openBlockFile, readBlocks } from "../../repository/blockReader";
import type { Repository } from "../../repository/repository";

export interface BlockFile {
  /** Open for reading and writing. */
  readonly fd: number;
  readonly sizeBytes: number;
  /** Writes at an offset, with the errors of the restore. */
  write(bytes: Uint8Array, offsetBytes: number): void;
}

export interface RestoredBlocks {
  readonly writtenBytes: number;
  /** The file's SHA-1 if it was written from its beginning to its end; null if it must be read again for that. */
  readonly sha1: string | null;
}

/**
 * Makes the file `sizeBytes` long and writes the blocks that differ.
 * @throws fileMissing, format, crypto, and the storage's errors; the file is then a mixture
 */
export async function restoreBlocks(file: BlockFile, source: BlockSource, repo: Repository): Promise<RestoredBlocks> {
  const open = await openBlockFile(repo, source);
  const { map } = open;
  const blockCount = Math.ceil(file.sizeBytes / source.blockSizeBytes);
  if (map.blocks.length !== blockCount) {
    throw fail(
      "format",
      `block map of '${source.name}' has ${map.blocks.length} blocks, its ${file.sizeBytes} bytes are ${blockCount}`,
    );
  }
  // Cut the longer file: appended bytes must not stay behind the end.
  if (fstatSync(file.fd).size > file.sizeBytes) ftruncateSync(file.fd, file.sizeBytes);
  const held = await heldBlocks(file.fd, map);
  const hash = createHash("sha1");
  let [writtenBytes, hashedBytes] = [0, 0];
  const write = ({ block, count, bytes }: FileBlocks): void => {
    const offsetBytes = block * source.blockSizeBytes;
    const expectedBytes = Math.min(count * source.blockSizeBytes, file.sizeBytes - offsetBytes);
    if (bytes.length !== expectedBytes) {
      throw fail(
        "format",
        `${count} blocks of '${source.name}' from block ${block} on have ${bytes.length} bytes instead of ${expectedBytes}`,
      );
    }
    if (offsetBytes === hashedBytes) {
      hash.update(bytes);
      hashedBytes += bytes.length;
    }
    file.write(bytes, offsetBytes);
    writtenBytes += bytes.length;
  };
  await readBlocks(repo, source, open, (each) => !held.has(each), write);
  return { writtenBytes, sha1: hashedBytes === file.sizeBytes ? hash.digest("hex") : null };
}

const READ_SIZE_BYTES = 256 * 1024;

/** Blocks that the file already has. */
async function heldBlocks(fd: number, map: BlockMap): Promise<ReadonlySet<number>> {
  const { blockSizeBytes, checksumSizeBytes } = map;
  const held = new Set<number>();
  if (fstatSync(fd).size === 0) return held;
  const hash = await loadBlockHash();
  const buffer = Buffer.allocUnsafeSlow(Math.ceil(READ_SIZE_BYTES / blockSizeBytes) * blockSizeBytes);
  for (let block = 0; block < map.blocks.length; ) {
    const sizeBytes = readFully(fd, buffer, block * blockSizeBytes);
    for (let begin = 0; begin < sizeBytes; begin += blockSizeBytes, block++) {
      const own = hash.hash(buffer.subarray(begin, Math.min(begin + blockSizeBytes, sizeBytes)), checksumSizeBytes);
      if (Buffer.compare(own, blockChecksum(map, block)) === 0) held.add(block);
    }
    if (sizeBytes < buffer.length) break;
    await setImmediate();
  }
  return held;
}

/** Fills the buffer as far as the file reaches. */
function readFully(fd: number, buffer: Uint8Array, offsetBytes: number): number {
  let sizeBytes = 0;
  while (sizeBytes < buffer.length) {
    const readBytes = readSync(fd, buffer, sizeBytes, buffer.length - sizeBytes, offsetBytes + sizeBytes);
    if (readBytes === 0) break;
    sizeBytes += readBytes;
  }
  return sizeBytes;
}
