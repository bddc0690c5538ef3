/** Free space of a file system, as a fact for storage checks. */
import type { StorageFact } from "./storage";

/** With less, full backups will soon not fit. */
const FREE_SHARE_MIN = 0.1;
const GIB = 1024 ** 3;

export function spaceFact(freeBytes: number, totalBytes: number): StorageFact {
  const text = `${gib(freeBytes)} of ${gib(totalBytes)} GiB free`;
  return { name: "space", verdict: totalBytes > 0 && freeBytes < totalBytes * FREE_SHARE_MIN ? "warn" : "ok", text };
}

function gib(sizeBytes: number): string {
  return (sizeBytes / GIB).toFixed(1);
}
