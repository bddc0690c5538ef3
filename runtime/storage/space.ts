/** How much room a file system has left, as a fact for those who ask what a storage can do. */
import type { StorageFact } from "./storage";

/** Below that a full backup of anything will not fit for long. */
const FREE_SHARE_MIN = 0.1;
const GIB = 1024 ** 3;

export function spaceFact(freeBytes: number, totalBytes: number): StorageFact {
  const text = `${gib(freeBytes)} of ${gib(totalBytes)} GiB free`;
  return { name: "space", verdict: totalBytes > 0 && freeBytes < totalBytes * FREE_SHARE_MIN ? "warn" : "ok", text };
}

function gib(sizeBytes: number): string {
  return (sizeBytes / GIB).toFixed(1);
}
