/**
 * Reads stored files for workers, which use each chunk immediately: raw or unpacked, in chunks that are valid only
 * until the next one. The repository's `unpack` returns chunks that stay valid.
 */
import { setImmediate } from "node:timers/promises";
import { type ByteStream, freeMemory } from "../../base/bytes";
import { Decryptor } from "../../format/codec/cipher";
import { createDecompressor } from "../../format/codec/compress";
import type { Packing } from "../../repository/repository";
import type { ByteRange, Storage } from "../../storage/storage";

/** What to do about stored bytes that prove wrong. */
export const DAMAGED_COPY_HINT =
  "The repository has a damaged copy. Run verify; another repository may have a good one.";

const READ_SIZE_BYTES = 256 * 1024;

/** The stored bytes. @throws fileMissing */
export async function* readStored(storage: Storage, path: string, range?: ByteRange): ByteStream {
  if (storage.openReader === undefined) return yield* await storage.read(path, range);
  const reader = storage.openReader(path, range);
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_SIZE_BYTES, Math.max(range?.sizeBytes ?? READ_SIZE_BYTES, 1)));
    for (;;) {
      const readBytes = reader.read(buffer);
      if (readBytes === 0) return;
      yield buffer.subarray(0, readBytes);
      // Other jobs of this thread and the pool get a turn between two chunks.
      if (readBytes === READ_SIZE_BYTES) await setImmediate();
    }
  } finally {
    reader.close();
  }
}

/** Decrypted and decompressed. @throws crypto, format */
export async function* unpackStored(stored: ByteStream, { cipherPass, compressType, raw }: Packing): ByteStream {
  const decryptor = cipherPass === null ? null : new Decryptor(cipherPass, raw);
  const decompressor = createDecompressor(compressType, raw);
  try {
    for await (const chunk of stored) {
      if (decryptor === null) yield* decompressor.update(chunk);
      else
        for (const packed of decryptor.update(chunk)) {
          yield* decompressor.update(packed);
          freeMemory(packed);
        }
    }
    if (decryptor !== null) for (const packed of decryptor.finish()) yield* decompressor.update(packed);
    yield* decompressor.finish();
  } finally {
    decompressor.close();
  }
}
