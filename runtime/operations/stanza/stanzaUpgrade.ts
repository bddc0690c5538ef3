/**
 * `stanza-upgrade`: registers the stanza's new cluster in every repository, after pg_upgrade ("pgbackrest-format" 6.4).
 *
 * Each info file gets a new history entry; WAL and backups of the old cluster stay. archive.info is written first:
 * after an interruption the next run writes backup.info.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { perRepo, type RepoResult } from "../../base/parallel";
import { type ArchiveInfo, currentHistory } from "../../format/repository/archiveInfo";
import type { BackupInfo } from "../../format/repository/backupInfo";
import type { PgControl } from "../../format/page/pgControl";
import { loadArchiveInfo, loadBackupInfo, updateArchiveInfo, updateBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";

export function stanzaUpgrade(
  repos: readonly Repository[],
  control: PgControl,
  ctx: Context,
): Promise<RepoResult<"upgraded" | "valid">[]> {
  return perRepo(repos, (repo) => upgradeOne(repo, control, ctx));
}

async function upgradeOne(repo: Repository, control: PgControl, ctx: Context): Promise<"upgraded" | "valid"> {
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
  const withArchive = (info: ArchiveInfo): ArchiveInfo =>
    isCurrent(currentHistory(info))
      ? info
      : { ...info, currentId: archiveId, history: [...info.history, archiveEntry] };
  await updateArchiveInfo(repo, withArchive, ctx);
  const backupEntry = { ...archiveEntry, catalogVersion, controlVersion };
  const withBackup = (info: BackupInfo): BackupInfo =>
    isCurrent(currentHistory(info)) ? info : { ...info, currentId: backupId, history: [...info.history, backupEntry] };
  await updateBackupInfo(repo, withBackup, ctx);
  if (archiveOld || backupOld) return "upgraded";
  ctx.log.info(`stanza '${repo.stanza}' on ${repo.name} is already up to date`);
  return "valid";
}
