/**
 * Where a block incremental file is stored: pure, from a manifest and a row of it.
 *
 * The map is at the end of the stored extent; it names the other locations, by the manifest's references.
 * ("pgbackrest-format" 10.6 and 14.2.)
 */
import type { BlockSizes } from "./blockMap";
import type { CompressType } from "../codec/compress";
import type { Manifest, ManifestFile } from "./manifest";
import { bundlePath, dataFilePath } from "./repoPath";

/** Locations of a block incremental file and its prior blocks: plain data. */
export interface BlockSource extends BlockSizes {
  /** Manifest name. */
  readonly name: string;
  /** Labels that the map's references index. */
  readonly references: readonly string[];
  /** Start of the bytes that this backup stored of the file: its super blocks, then the map. */
  readonly extentOffsetBytes: number;
  readonly mapPath: string;
  readonly mapOffsetBytes: number;
  readonly mapSizeBytes: number;
  /** Compression of the whole backup set. */
  readonly compressType: CompressType;
  readonly cipherPass: string | null;
}

/** Null for a file that is not stored in blocks. */
export function findBlockSource(stanza: string, manifest: Manifest, file: ManifestFile): BlockSource | null {
  const { block, name, bundle, sizeRepoBytes } = file;
  if (block === undefined || block.mapSizeBytes === 0) return null;
  const { compressType } = manifest.options;
  const label = file.reference ?? manifest.label;
  return {
    name,
    references: manifest.references,
    extentOffsetBytes: bundle?.offsetBytes ?? 0,
    mapPath:
      bundle === undefined ? dataFilePath(stanza, label, file, compressType) : bundlePath(stanza, label, bundle.id),
    mapOffsetBytes: (bundle?.offsetBytes ?? 0) + sizeRepoBytes - block.mapSizeBytes,
    mapSizeBytes: block.mapSizeBytes,
    blockSizeBytes: block.sizeBytes,
    checksumSizeBytes: block.checksumSizeBytes,
    compressType,
    cipherPass: manifest.cipherPass ?? null,
  };
}
