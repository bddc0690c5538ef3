/**
 * Finds the backup that a diff or incr builds on, for each repository separately ("pgbackrest-format" 12.1).
 *
 * A diff builds on the newest full backup of the current cluster, an incr on the newest backup of any type. If the
 * listed backup is unusable (a damaged manifest, bz2), the new backup becomes a full one: losing space is better than
 * having no backup.
 */
import { isError } from "../../base/errors";
import type { BackupType } from "../../format/repository/label";
import type { Manifest } from "../../format/repository/manifest";
import { loadManifest } from "../../repository/backupStore";
import type { OpenBackup } from "./run";

export type Prior = { readonly manifest: Manifest } | { readonly manifest: null; readonly reason: string };

/** @throws when the repository does not answer */
export async function findPrior(
  { repo, backups, historyId, infoPass }: OpenBackup,
  type: Exclude<BackupType, "full">,
): Promise<Prior> {
  const entry = backups.findLast(
    (candidate) => candidate.dbId === historyId && (type === "incr" || candidate.type === "full"),
  );
  if (entry === undefined) return { manifest: null, reason: "no prior backup exists" };
  try {
    const manifest = await loadManifest(repo, entry.label, infoPass);
    const { compressType } = manifest.options;
    return compressType === "bz2"
      ? { manifest: null, reason: `prior backup ${entry.label} is compressed with bz2, which is not written` }
      : { manifest };
  } catch (error) {
    if (!isError(error, "checksum", "crypto", "fileMissing", "format", "jsonFormat", "fileInvalid")) throw error;
    return { manifest: null, reason: `prior backup ${entry.label} cannot be read: [${error.name}] ${error.message}` };
  }
}
