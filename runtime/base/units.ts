/** Bytes and durations in readable form. */
const SIZE_UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;

/** Stock's form of sizes: `512B`, `8.1KB`, `22.3MB` (powers of 1024, one decimal). */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const text = unit === 0 || Number.isInteger(value) ? String(value) : value.toFixed(1).replace(/\.0$/, "");
  return `${text}${SIZE_UNITS[unit]}`;
}
