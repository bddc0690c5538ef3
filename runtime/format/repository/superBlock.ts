/**
 * Super blocks: changed blocks of one file, joined up to a size, compressed and encrypted as one piece.
 *
 * They always use the raw variants, whatever the backup's bundles use: gz as a zlib stream, lz4 without content
 * checksum, the envelope without its magic. The map after them is encrypted in the same way, but never compressed.
 * Errors: format (29), crypto (95). ("pgbackrest-format" 14.2; pgBackRest 2.60 "command/backup/blockIncr",
 * "command/restore/blockDelta".)
 */
import { fail } from "../../base/errors";
import type { StoredSuperBlock } from "./blockMap";
import { decryptBytes, encryptBytes } from "../codec/cipher";
import {
  BytesCompressor,
  type CompressSpec,
  type CompressType,
  decompressBytes,
  decompressInto,
} from "../codec/compress";

/** Makes the compressed form of super blocks, which all repositories with this compression share. */
export function superBlockCompressor(spec: CompressSpec): BytesCompressor {
  return new BytesCompressor(spec, true);
}

/** The stored form of a packed super block or of a map; `salt` returns 8 random bytes. */
export function sealRaw(bytes: Uint8Array, cipherPass: string | null, salt: () => Uint8Array): Uint8Array {
  return cipherPass === null ? bytes : encryptBytes(bytes, cipherPass, salt(), true);
}

/** Reverses {@link sealRaw}. @throws crypto */
export function openRaw(stored: Uint8Array, cipherPass: string | null): Uint8Array {
  return cipherPass === null ? stored : decryptBytes(stored, cipherPass, true);
}

/**
 * The original bytes of one super block. They may be in `target`, if that is given and larger than the super block.
 * @throws format, crypto; `name` is for the message
 */
export function openSuperBlock(
  stored: Uint8Array,
  superBlock: Pick<StoredSuperBlock, "sizeBytes">,
  packing: { readonly cipherPass: string | null; readonly compressType: CompressType },
  name: string,
  target?: Uint8Array,
): Uint8Array {
  const packed = openRaw(stored, packing.cipherPass);
  const { compressType } = packing;
  const bytes =
    target === undefined
      ? decompressBytes(packed, compressType, superBlock.sizeBytes, true)
      : decompressInto(packed, compressType, target.subarray(0, superBlock.sizeBytes + 1), true);
  if (bytes.length !== superBlock.sizeBytes) {
    throw fail("format", `a super block of '${name}' has ${bytes.length} bytes instead of ${superBlock.sizeBytes}`);
  }
  return bytes;
}
