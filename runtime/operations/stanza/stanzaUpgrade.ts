/**
 * `stanza-upgrade`: registers the stanza's new cluster in every repository, after pg_upgrade ("pgbackrest-format" 6.4).
 *
 * Each info file gets a new history entry; WAL and backups of the old cluster stay. archive.info is written first:
 * after an interruption the next run writes backup.info.
 */
import type { Context } from "../../base/context";
import { fail, isError } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import type { PgControl } from "../../format/page/pgControl";
import { loadArchiveInfo, loadBackupInfo, updateArchiveInfo, updateBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { checkArchive, checkBackup, type ClusterIdentity } from "../shared/identity";

/**
 * The caller holds the locks and leases. With `former`, the cluster that the new one was proven to come from, every
 * repository must belong to one of the two: if one does not, none is changed.
 */
export async function stanzaUpgrade(
  repos: readonly Repository[],
  control: PgControl,
  ctx: Context,
  former: ClusterIdentity | null = null,
): Promise<RepoResult<"upgraded" | "valid">[]> {
  if (former !== null) {
    const checked = await perRepo(repos, (repo) => requireOwner(repo, control, former));
    const foreign = checked.find((result) => !result.ok && isError(result.error, "archiveMismatch", "backupMismatch"));
    if (foreign?.ok === false) throw foreign.error;
  }
  return perRepo(repos, (repo) => upgradeOne(repo, control, ctx, former));
}

/** True if every repository follows this cluster already. */
export async function isUpgraded(repos: readonly Repository[], control: PgControl): Promise<boolean> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const checked = await perRepo(repos, (repo) => requireOwner(repo, control, cluster));
  return checked.every((result) => result.ok);
}

/** @throws archiveMismatch (44), backupMismatch (51), and errors of reading the info files */
async function requireOwner(repo: Repository, control: PgControl, former: ClusterIdentity): Promise<void> {
  const present = { version: control.pgVersion, systemId: control.systemId };
  const [archiveInfo, backupInfo] = [await loadArchiveInfo(repo), await loadBackupInfo(repo)];
  const isOf = (cluster: ClusterIdentity, entry: { pgVersion: string; systemId: bigint }): boolean =>
    entry.pgVersion === cluster.version && entry.systemId === cluster.systemId;
  // An interrupted upgrade may have reached archive.info alone.
  if (!isOf(present, currentHistory(archiveInfo))) checkArchive(repo, archiveInfo, former);
  if (!isOf(present, currentHistory(backupInfo))) checkBackup(repo, backupInfo, former);
}

async function upgradeOne(
  repo: Repository,
  control: PgControl,
  ctx: Context,
  former: ClusterIdentity | null,
): Promise<"upgraded" | "valid"> {
  ctx.log.info(`stanza-upgrade for stanza '${repo.stanza}' on ${repo.name}`);
  const archiveInfo = await loadArchiveInfo(repo);
  const backupInfo = await loadBackupInfo(repo);
  const { systemId, pgVersion, catalogVersion, controlVersion } = control;
  const isCurrent = (entry: { systemId: bigint; pgVersion: string }): boolean =>
    entry.systemId === systemId && entry.pgVersion === pgVersion;
  const archiveOld = !isCurrent(currentHistory(archiveInfo));
  const backupOld = !isCurrent(currentHistory(backupInfo));
  const archiveId = archiveInfo.currentId + (archiveOld ? 1 : 0);
  const backupId = backupInfo.currentId + (backupOld ? 1 : 0);
  // Checked before anything is written: different ids would send WAL and backups to different histories.
  if (archiveId !== backupId) {
    throw fail(
      "fileInvalid",
      `backup info file and archive info file do not match\narchive: id = ${archiveId}\nbackup : id = ${backupId}`,
      {
        hint: "this may be a symptom of repository corruption!",
        repoIndex: repo.key,
      },
    );
  }
  const archiveEntry = { id: archiveId, systemId, pgVersion };
  // Both are read again: a program without our lease may have written them.
  const withArchive = (info: ArchiveInfo): ArchiveInfo => {
    if (isCurrent(currentHistory(info))) return info;
    if (former !== null) checkArchive(repo, info, former);
    return { ...info, currentId: archiveId, history: [...info.history, archiveEntry] };
  };
  await updateArchiveInfo(repo, withArchive, ctx);
  const backupEntry = { ...archiveEntry, catalogVersion, controlVersion };
  const withBackup = (info: BackupInfo): BackupInfo => {
    if (isCurrent(currentHistory(info))) return info;
    if (former !== null) checkBackup(repo, info, former);
    return { ...info, currentId: backupId, history: [...info.history, backupEntry] };
  };
  await updateBackupInfo(repo, withBackup, ctx);
  if (archiveOld || backupOld) return "upgraded";
  ctx.log.info(`stanza '${repo.stanza}' on ${repo.name} is already up to date`);
  return "valid";
}
