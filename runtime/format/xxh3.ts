/**
 * XXH3-128 with seed 0, the checksum of blocks in block incremental backups: 16 bytes in canonical (big-endian) order, of which a map keeps
 * the first few.
 *
 * By hash-wasm, whose WebAssembly is compiled at the first use and hashes several GB/s; afterwards everything is synchronous.
 * (xxHash specification 0.2.0; pgBackRest 2.60 "common/crypto/xxhash".)
 */
import type { IHasher } from "hash-wasm";

/** Hashes one block after the other; made by {@link loadBlockHash}. */
export interface BlockHash {
  /** The first `sizeBytes` bytes of the hash. */
  hash(bytes: Uint8Array, sizeBytes: number): Uint8Array;
}

export const BLOCK_HASH_SIZE_BYTES = 16;

/** One instance serves a whole thread: between init and digest nothing else runs. */
let loaded: Promise<BlockHash> | undefined;

export function loadBlockHash(): Promise<BlockHash> {
  loaded ??= import("hash-wasm/dist/xxhash128.umd.min.js").then(async ({ createXXHash128 }) => blockHashOf(await createXXHash128(0, 0)));
  return loaded;
}

function blockHashOf(hasher: IHasher): BlockHash {
  return { hash: (bytes, sizeBytes) => hasher.init().update(bytes).digest("binary").subarray(0, sizeBytes) };
}
