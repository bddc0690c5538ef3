/**
 * Which versions of Node.js can run the runtime: one rule for its start, for hosts and for this project's tools.
 * tools/run.mjs, which imports nothing, reads the same versions in `engines` of package.json. Pure.
 */

export const NODE_MAJOR_MIN = 22;
/**
 * Oldest minor version with zstd by major version (nodejs.org, "Zlib", history of createZstdCompress); all later ones
 * have it.
 */
export const NODE_MINOR_MIN: Readonly<Record<number, number>> = { 22: 15, 23: 8 };

/** @param version as in `process.version`, with or without its `v` */
export function canRunRuntime(version: string): boolean {
  const match = /^v?(\d+)\.(\d+)\./.exec(version);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && major >= NODE_MAJOR_MIN && minor >= (NODE_MINOR_MIN[major] ?? 0);
}
