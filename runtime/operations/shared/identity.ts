/** Checks that a repository belongs to this cluster: the same for every verb, with stock's answers. */
import { fail } from "../../base/errors";
import {
  type ArchiveHistoryEntry,
  type ArchiveInfo,
  archiveIdOf,
  currentHistory,
} from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import type { MissingWalCluster } from "../../local/missingWal";
import type { Repository } from "../../repository/repository";

export type ClusterIdentity = MissingWalCluster;

/** Records missing WAL of a cluster that neither pg_control nor a WAL header names. */
export const UNKNOWN_CLUSTER: ClusterIdentity = { version: "0", systemId: 0n };

export function isSameCluster(left: ClusterIdentity, right: ClusterIdentity): boolean {
  return left.version === right.version && left.systemId === right.systemId;
}

/** The archive id for the cluster's new WAL. @throws archiveMismatch (44) when the archive is another cluster's */
export function checkArchive(repo: Repository, info: ArchiveInfo, cluster: ClusterIdentity): string {
  const current = currentHistory(info);
  if (current.pgVersion === cluster.version && current.systemId === cluster.systemId) return archiveIdOf(current);
  const hint = ["are you archiving to the correct stanza?", "has a stanza-upgrade been forgotten?"];
  throw fail("archiveMismatch", mismatchText(repo, current, cluster), { hint, repoIndex: repo.key });
}

/** History id of the cluster in backup.info. @throws backupMismatch (51) */
export function checkBackup(repo: Repository, info: BackupInfo, cluster: ClusterIdentity): number {
  const current = currentHistory(info);
  if (current.pgVersion === cluster.version && current.systemId === cluster.systemId) return current.id;
  const hint = "is this the correct stanza?";
  throw fail("backupMismatch", mismatchText(repo, current, cluster), { hint, repoIndex: repo.key });
}

function mismatchText({ name }: Repository, current: ArchiveHistoryEntry, cluster: ClusterIdentity): string {
  const [own, other] = [`version ${cluster.version}, system-id ${cluster.systemId}`, `version ${current.pgVersion}`];
  return `PostgreSQL ${own} do not match ${name} stanza ${other}, system-id ${current.systemId}`;
}

/** Archive ids that may hold the cluster's WAL, newest first. */
export function archiveIdsOf(info: ArchiveInfo, cluster: ClusterIdentity): ArchiveHistoryEntry[] {
  return info.history
    .filter((entry) => entry.pgVersion === cluster.version && entry.systemId === cluster.systemId)
    .sort((left, right) => right.id - left.id);
}
