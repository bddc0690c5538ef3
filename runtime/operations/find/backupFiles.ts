/** Reads small files of a backup from a repository into memory: catalogs, and the map of their files. */
import { collect } from "../../base/bytes";
import { fail } from "../../base/errors";
import { sha1Hex } from "../../base/hash";
import { findBlockSource } from "../../format/repository/blockSource";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { openBlockFile, readBlocks } from "../../repository/blockReader";
import { type Repository, unpack } from "../../repository/repository";
import { storedAt } from "../restore/restorePlan";

/** The largest part of a catalog to load into memory. */
const SIZE_BYTES_MAX = 512 * 1024 * 1024;

/**
 * The file as of the backup, with a verified checksum.
 * @throws checksum, crypto, format, fileMissing, and read errors
 */
export async function readBackupFile(repo: Repository, manifest: Manifest, file: ManifestFile): Promise<Uint8Array> {
  if (file.sizeBytes > SIZE_BYTES_MAX)
    throw fail("fileRead", `'${file.name}' of ${file.sizeBytes} bytes is too large to search`);
  if (file.sizeBytes === 0) return new Uint8Array(0);
  const bytes = await readAll(repo, manifest, file);
  if (sha1Hex(bytes) !== file.sha1)
    throw fail("checksum", `'${file.name}' of backup ${manifest.label} does not match its checksum`);
  return bytes;
}

async function readAll(repo: Repository, manifest: Manifest, file: ManifestFile): Promise<Uint8Array> {
  const source = findBlockSource(repo.stanza, manifest, file);
  if (source === null) {
    const { path, range, ...packing } = storedAt(repo.key, repo.stanza, manifest, file);
    return collect(unpack(await repo.storage.read(path, range ?? undefined), packing), file.sizeBytes);
  }
  const bytes = new Uint8Array(file.sizeBytes);
  await readBlocks(
    repo,
    source,
    await openBlockFile(repo, source),
    () => true,
    (blocks) => bytes.set(blocks.bytes, blocks.block * source.blockSizeBytes),
  );
  return bytes;
}
