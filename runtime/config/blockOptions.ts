/**
 * The `repo-block-*` options of one repository. Maps are checked here because their items have types of their own; for
 * an absent map stock's default holds. Errors: optionInvalidValue (32). (pgBackRest 2.60 "command/backup" options.)
 */
import { fail } from "../base/errors";
import type { ResolvedValues } from "./resolvedValues";
import type { BlockConfig } from "./types";
import { parseInteger, parseSize } from "./values";

/** Unit of block sizes in a manifest. */
const BLOCK_UNIT_BYTES = 8192;
const CHECKSUM_SIZE_BYTES_MIN = 6;
const CHECKSUM_SIZE_BYTES_MAX = 16;
const SIZE_BYTES_MAX = 2 ** 32 - 1;

/** Null unless `repo-block` is on. @throws optionInvalidValue */
export function buildBlock(values: ResolvedValues, key: number): BlockConfig | null {
  if (!values.flag("repo-block", key)) return null;
  const sizeMap = mapOf(values, "repo-block-size-map", key, parseFileSize, parseBlockSize);
  const ageMap = mapOf(values, "repo-block-age-map", key, parseCount, parseCount);
  const checksumSizeMap = mapOf(values, "repo-block-checksum-size-map", key, parseFileSize, parseChecksumSize);
  return {
    ...(sizeMap === null
      ? {}
      : { sizeMap: sizeMap.map(([fileSizeBytes, blockSizeBytes]) => ({ fileSizeBytes, blockSizeBytes })) }),
    ...(ageMap === null ? {} : { ageMap: ageMap.map(([ageDays, multiplier]) => ({ ageDays, multiplier })) }),
    ...(checksumSizeMap === null
      ? {}
      : {
          checksumSizeMap: checksumSizeMap.map(([blockSizeBytes, checksumSizeBytes]) => ({
            blockSizeBytes,
            checksumSizeBytes,
          })),
        }),
    superBlockSizeBytes: values.number("repo-block-size-super", key) ?? 0,
    superBlockSizeFullBytes: values.number("repo-block-size-super-full", key) ?? 0,
  };
}

type Parser = (text: string) => number | null;

/** In descending order of the keys; null when the option is not set. */
function mapOf(
  values: ResolvedValues,
  option: string,
  key: number,
  parseKey: Parser,
  parseItem: Parser,
): [number, number][] | null {
  const entries = Object.entries(values.hash(option, key));
  if (entries.length === 0) return null;
  const name = option.replace("repo-", `repo${key}-`);
  return entries
    .map(([left, right]): [number, number] => [
      parseKey(left) ?? throwInvalid(left, name, key),
      parseItem(right) ?? throwInvalid(right, name, key),
    ])
    .sort(([left], [right]) => right - left);
}

function throwInvalid(text: string, name: string, key: number): never {
  throw fail("optionInvalidValue", `'${text}' is not valid for '${name}' option`, {
    hint: `sizes of blocks are multiples of 8KiB, of checksums ${CHECKSUM_SIZE_BYTES_MIN} to ${CHECKSUM_SIZE_BYTES_MAX} bytes, ages whole days.`,
    repoIndex: key,
  });
}

function parseFileSize(text: string): number | null {
  const sizeBytes = parseSize(text);
  return sizeBytes !== null && sizeBytes > 0 && sizeBytes < SIZE_BYTES_MAX ? sizeBytes : null;
}

function parseBlockSize(text: string): number | null {
  const sizeBytes = parseFileSize(text);
  return sizeBytes !== null && sizeBytes % BLOCK_UNIT_BYTES === 0 ? sizeBytes : null;
}

function parseChecksumSize(text: string): number | null {
  const sizeBytes = parseInteger(text);
  return sizeBytes !== null && sizeBytes >= CHECKSUM_SIZE_BYTES_MIN && sizeBytes <= CHECKSUM_SIZE_BYTES_MAX
    ? sizeBytes
    : null;
}

function parseCount(text: string): number | null {
  const count = parseInteger(text);
  return count !== null && count >= 0 ? count : null;
}
