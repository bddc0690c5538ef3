/** The lock of a repository's oldest backup. New files say nothing about it: theirs has just begun. */
import { timeText } from "../../base/clock";
import { nullOn } from "../../base/errors";
import { manifestPath } from "../../format/repository/repoPath";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import type { StorageFact } from "../../storage/storage";

/**
 * Whether the oldest listed backup is still locked, by its manifest; null without a backup. The lock of its first files
 * began with the backup, and that of its manifest at the end.
 * @throws what the storage or the info file does
 */
export async function oldestLock(repo: Repository, nowMs: number): Promise<StorageFact | null> {
  const info = await nullOn(loadBackupInfo(repo), "fileMissing");
  const [oldest] = info?.backups.toSorted((left, right) => left.startedAtS - right.startedAtS) ?? [];
  if (oldest === undefined) return null;
  const { label, startedAtS, stoppedAtS } = oldest;
  const manifest = await repo.storage.stat(manifestPath(repo.stanza, label));
  const untilMs = (manifest?.lockedUntilMs ?? 0) - (stoppedAtS - startedAtS) * 1000;
  const name = "oldest-backup";
  if (untilMs > nowMs)
    return { name, verdict: "ok", text: `${label} is locked until ${timeText(Math.floor(untilMs / 1000))}` };
  const text = `${label} is not locked any more: this key can delete it; lock for as long as a backup is kept, or use a key that cannot delete versions`;
  return { name, verdict: "fail", text };
}
