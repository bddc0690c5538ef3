/** `backup`: one pass into every repository, or into `--repo` alone. Exit 104 says that some repositories lack it. */
import { backup } from "../../operations/backup/backup";
import { inlinePool } from "../../operations/shared/jobs";
import { combinedError } from "../../operations/shared/results";
import { expireAfterBackup } from "./expire";
import type { Command } from "../host";

export const backupCommand: Command = async (host) => {
  const { config, ctx } = host;
  host.requireStarted();
  const repos = host.repositories();
  const locks = host.lock(
    "backup",
    repos.map((repo) => repo.key),
  );
  const outcome = await backup(
    repos,
    {
      lease: (repo) => host.leases.take(repo),
      servers: host.servers(),
      pool: host.pool(),
      threadless: inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 1),
      users: host.users,
      onProgress: (doneBytes, totalBytes) => {
        for (const lock of locks) lock.setProgress({ sizeBytes: totalBytes, sizeCompleteBytes: doneBytes });
      },
    },
    {
      type: config.backup.type,
      online: config.backup.online,
      force: config.force,
      backupStandby: config.backup.standby,
      startFast: config.backup.startFast,
      delta: config.delta,
      resume: config.backup.resume,
      archiveCheck: config.archive.check,
      archiveCopy: config.archive.copy,
      archiveModeCheck: config.archive.modeCheck,
      archiveCommandWord: config.settings.archiveCommandWord,
      archiveTimeoutMs: config.archive.timeoutMs,
      checksumPage: config.backup.checksumPage,
      pageHeaderCheck: config.backup.pageHeaderCheck,
      exclude: config.backup.exclude,
      annotations: config.backup.annotations,
      bufferSizeBytes: config.bufferSizeBytes,
      processMax: config.processMax,
      manifestSaveThresholdBytes: config.backup.manifestSaveThresholdBytes,
      checksumPageError: config.checksumPageError,
    },
    ctx,
  );
  if (config.backup.expireAuto) await expireAfterBackup(host);
  const error = combinedError("backup", outcome.results);
  if (error !== null) throw error;
  return 0;
};
