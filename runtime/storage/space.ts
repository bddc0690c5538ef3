/** Facts of storage checks: what a probe finds out, and the free space of a file system. */
import { isError, toBackupError } from "../base/errors";
import type { Space, StorageFact } from "./storage";

export type Verdict = Omit<StorageFact, "name">;

/** With less, full backups will soon not fit. */
const FREE_SHARE_MIN = 0.1;
const GIB = 1024 ** 3;

export function spaceFact({ freeBytes, totalBytes }: Space): StorageFact {
  const text = `${gib(freeBytes)} of ${gib(totalBytes)} GiB free`;
  return { name: "space", verdict: totalBytes > 0 && freeBytes < totalBytes * FREE_SHARE_MIN ? "warn" : "ok", text };
}

/** A probe that fails is a fact too. @throws term */
export async function asked(name: string, probe: () => Promise<Verdict>): Promise<StorageFact> {
  try {
    return { name, ...(await probe()) };
  } catch (error) {
    if (isError(error, "term")) throw error;
    return { name, verdict: "fail", text: toBackupError(error).message };
  }
}

function gib(sizeBytes: number): string {
  return (sizeBytes / GIB).toFixed(1);
}
