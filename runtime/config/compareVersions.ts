/** Compares program versions: `2.59.1`, `1.30`. Pure. */

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

export function isOlder(version: string, than: string): boolean {
  return (compareVersions(version, than) ?? 0) < 0;
}

function partsOf(version: string): number[] | null {
  return /^[0-9]+(\.[0-9]+){0,3}$/.test(version) ? version.split(".").map(Number) : null;
}
