/**
 * How a file is cut for a block incremental: block size by the file's size and age, checksum size by block size, super
 * block size by backup type.
 *
 * Large and old files get large blocks, so that maps stay small; small and very old files are stored whole. The first
 * backup of a file decides: later backups of the set keep the prior manifest's values. ("pgbackrest-format" 14.1;
 * pgBackRest 2.60 "command/backup" options and "info/manifest" build.)
 */
import type { BlockSizes } from "./blockMap";
import type { BackupType } from "./label";

/** Maps descend by their first field: the first matching row decides. */
export interface BlockSettings {
  /** Files of at least this size get blocks of that size. */
  readonly sizeMap: readonly { readonly fileSizeBytes: number; readonly blockSizeBytes: number }[];
  /** Files of at least this age get blocks larger by this factor; 0 stores the file whole. */
  readonly ageMap: readonly { readonly ageDays: number; readonly multiplier: number }[];
  /** Blocks of at least this size get checksums of that size. */
  readonly checksumSizeMap: readonly { readonly blockSizeBytes: number; readonly checksumSizeBytes: number }[];
  /** Diffs and incrs. */
  readonly superBlockSizeBytes: number;
  readonly superBlockSizeFullBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_S = 86_400;
export const CHECKSUM_SIZE_BYTES_MIN = 6;

/** Stock's defaults. */
export const BLOCK_DEFAULTS: BlockSettings = {
  sizeMap: [
    [914 * MIB, 88],
    [740 * MIB, 80],
    [585 * MIB, 72],
    [448 * MIB, 64],
    [329 * MIB, 56],
    [228 * MIB, 48],
    [146 * MIB, 40],
    [96 * MIB, 32],
    [43 * MIB, 24],
    [11 * MIB, 16],
    [16 * KIB, 8],
  ].map(([fileSizeBytes = 0, blockSizeKib = 0]) => ({ fileSizeBytes, blockSizeBytes: blockSizeKib * KIB })),
  ageMap: [
    { ageDays: 28, multiplier: 0 },
    { ageDays: 14, multiplier: 4 },
    { ageDays: 7, multiplier: 2 },
  ],
  checksumSizeMap: [
    { blockSizeBytes: 4 * MIB, checksumSizeBytes: 12 },
    { blockSizeBytes: 2 * MIB, checksumSizeBytes: 11 },
    { blockSizeBytes: MIB, checksumSizeBytes: 10 },
    { blockSizeBytes: 512 * KIB, checksumSizeBytes: 9 },
    { blockSizeBytes: 128 * KIB, checksumSizeBytes: 8 },
    { blockSizeBytes: 32 * KIB, checksumSizeBytes: 7 },
  ],
  superBlockSizeBytes: 256 * KIB,
  superBlockSizeFullBytes: MIB,
};

/**
 * The cut of a file that no prior backup holds in blocks; null stores it whole. `startedAtS` is the start of the
 * backup.
 */
export function blockSizesOf(
  settings: BlockSettings,
  file: { readonly sizeBytes: number; readonly modifiedAtS: number },
  startedAtS: number,
): BlockSizes | null {
  const bySize = settings.sizeMap.find((row) => file.sizeBytes >= row.fileSizeBytes);
  if (bySize === undefined || file.sizeBytes === 0) return null;
  const ageS = startedAtS - file.modifiedAtS;
  const byAge = settings.ageMap.find((row) => ageS >= row.ageDays * DAY_S);
  const blockSizeBytes = bySize.blockSizeBytes * (byAge?.multiplier ?? 1);
  if (blockSizeBytes === 0) return null;
  const byBlock = settings.checksumSizeMap.find((row) => blockSizeBytes >= row.blockSizeBytes);
  return { blockSizeBytes, checksumSizeBytes: byBlock?.checksumSizeBytes ?? CHECKSUM_SIZE_BYTES_MIN };
}

/** Size at which a super block closes: a multiple of the block size. */
export function superBlockSizeOf(settings: BlockSettings, type: BackupType, blockSizeBytes: number): number {
  const target = type === "full" ? settings.superBlockSizeFullBytes : settings.superBlockSizeBytes;
  return Math.ceil(target / blockSizeBytes) * blockSizeBytes;
}

/**
 * The cut that a file keeps from the prior backup; null when it must be cut again: the prior copy has no map, or the
 * file shrank below one of its blocks. (pgBackRest 2.60 "info/manifest": a file of unchanged size keeps its whole prior
 * row.)
 */
export function keptBlockSizes(
  prior: {
    readonly block?: { readonly sizeBytes: number; readonly checksumSizeBytes: number; readonly mapSizeBytes: number };
  },
  sizeBytes: number,
): BlockSizes | null {
  const { block } = prior;
  if (block === undefined || block.mapSizeBytes === 0 || sizeBytes < block.sizeBytes) return null;
  return { blockSizeBytes: block.sizeBytes, checksumSizeBytes: block.checksumSizeBytes };
}
