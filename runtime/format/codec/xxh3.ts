/**
 * XXH3-128 with seed 0, the checksum of blocks in block incremental backups: 16 bytes in canonical (big-endian) order,
 * of which a map keeps the first few. (xxHash specification 0.2.0; pgBackRest 2.60 "common/crypto/xxhash".)
 */
import { blockDigests } from "./sums";

/** Hashes blocks; see {@link loadBlockHash}. */
export interface BlockHash {
  /** The first `sizeBytes` bytes of the hash. */
  hash(bytes: Uint8Array, sizeBytes: number): Uint8Array;
  /** The hashes of all blocks in order; the last block may be short. */
  hashBlocks(bytes: Uint8Array, blockSizeBytes: number, sizeBytes: number): Uint8Array;
}

const BLOCK_HASH: BlockHash = {
  hash: (bytes, sizeBytes) => blockDigests(bytes, Math.max(bytes.length, 1), sizeBytes),
  hashBlocks: blockDigests,
};

/** One per thread. */
export async function loadBlockHash(): Promise<BlockHash> {
  return BLOCK_HASH;
}
