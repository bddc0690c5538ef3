/** Compares program versions: `2.59.1`, `v1.30`, `1.30.0-rc1`, which counts as the version that it leads to. Pure. */

/** Below zero if `left` is older; missing parts count as zero. Null if either is not a version. */
export function compareVersions(left: string, right: string): number | null {
  const [a, b] = [partsOf(left), partsOf(right)];
  if (a === null || b === null) return null;
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const difference = (a[index] ?? 0) - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True also of a text that is no version: it is never new enough. */
export function isOlder(version: string, than: string): boolean {
  return (compareVersions(version, than) ?? -1) < 0;
}

function partsOf(version: string): number[] | null {
  const numbers = /^v?(\d+(?:\.\d+){0,3})(?:-[\w.-]+)?$/.exec(version)?.[1];
  return numbers === undefined ? null : numbers.split(".").map(Number);
}
