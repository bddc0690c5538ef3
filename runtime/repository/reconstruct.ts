/**
 * backup.info as the directories say it is, before anything is decided from it ("pgbackrest-format" 6.3).
 *
 * A listed backup whose manifest is gone leaves the list with all that depends on it; a finished one that is not listed joins it, when its
 * cluster is in the history and its prior is listed. So a writer that was killed between the two leaves nothing that the next one cannot mend.
 */
import type { Context } from "../base/context";
import { type BackupInfo, type BackupInfoEntry, backupInfoEntryOf } from "../format/backupInfo";
import { mapParallel } from "../base/parallel";
import { hasManifest, listLabels, loadManifest } from "./backupStore";
import { loadBackupInfo } from "./infoStore";
import type { Repository } from "./repository";

export interface Reconstructed {
  readonly info: BackupInfo;
  /** False when backup.info says the same already. */
  readonly changed: boolean;
}

const MANIFESTS_AT_ONCE = 16;

/** Writes nothing. @throws as loadBackupInfo; and when a manifest that is not listed cannot be read, because its backup must not be lost */
export async function loadReconstructedInfo(repo: Repository, ctx: Context): Promise<Reconstructed> {
  const info = await loadBackupInfo(repo);
  const labels = await listLabels(repo);
  const finished = new Set<string>();
  await mapParallel(labels, MANIFESTS_AT_ONCE, async (label) => {
    if (await hasManifest(repo, label)) finished.add(label);
  });
  const backups = withoutLost(info.backups, finished, ctx);
  const known = new Set(info.backups.map((entry) => entry.label));
  for (const label of labels.filter((name) => finished.has(name) && !known.has(name))) {
    const added = await findAddable(repo, label, { ...info, backups });
    if (added === null) {
      ctx.log.warn(`invalid backup '${label}' cannot be added to current backups`);
      continue;
    }
    backups.push(added);
    backups.sort((left, right) => (left.label < right.label ? -1 : 1));
    ctx.log.warn(`backup '${label}' found in repository added to backup.info`);
  }
  const changed = backups.length !== info.backups.length || backups.some((entry) => !known.has(entry.label));
  return { info: changed ? { ...info, backups } : info, changed };
}

function withoutLost(backups: readonly BackupInfoEntry[], finished: ReadonlySet<string>, ctx: Context): BackupInfoEntry[] {
  const lost = new Set<string>();
  for (const entry of backups) if (!finished.has(entry.label) || (entry.prior !== undefined && lost.has(entry.prior))) lost.add(entry.label);
  for (const label of [...lost].reverse()) ctx.log.warn(`backup '${label}' missing manifest removed from backup.info`);
  return backups.filter((entry) => !lost.has(entry.label));
}

async function findAddable(repo: Repository, label: string, info: BackupInfo): Promise<BackupInfoEntry | null> {
  const manifest = await loadManifest(repo, label, info.cipherPass ?? null);
  const { id, systemId, version } = manifest.pg;
  if (!info.history.some((entry) => entry.id === id && entry.systemId === systemId && entry.pgVersion === version)) return null;
  if (manifest.prior !== undefined && !info.backups.some((entry) => entry.label === manifest.prior)) return null;
  return backupInfoEntryOf(manifest);
}
