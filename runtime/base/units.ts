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

/** In the largest exact unit: `9 days`, `30 hours`. */
export function durationText(seconds: number): string {
  if (seconds >= 2 * 86_400) return `${Math.floor(seconds / 86_400)} days`;
  if (seconds >= 2 * 3600) return `${Math.floor(seconds / 3600)} hours`;
  if (seconds >= 2 * 60) return `${Math.floor(seconds / 60)} minutes`;
  return `${Math.floor(seconds)} seconds`;
}
