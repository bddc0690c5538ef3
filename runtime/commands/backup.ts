/** `backup`: one pass into every repository, or into `--repo` alone. Exit 104 says that some repositories lack it. */
import { backup } from "../operations/backup/backup";
import { combinedError } from "../operations/results";
import type { Command } from "./host";

export const backupCommand: Command = async (host) => {
  const { config, ctx } = host;
  host.requireStarted();
  const repos = host.repositories();
  const locks = host.lock(
    "backup",
    repos.map((repo) => repo.key),
  );
  if (config.backupType !== "full") ctx.log.warn(`${config.backupType} backups are not available in this version: taking a full backup instead`);
  const outcome = await backup(
    repos,
    {
      session: await host.session(),
      pool: host.pool(),
      users: host.users,
      onProgress: (doneBytes, totalBytes) => {
        for (const lock of locks) lock.setProgress({ sizeBytes: totalBytes, sizeCompleteBytes: doneBytes });
      },
    },
    {
      dataDirectory: host.dataDirectory,
      startFast: config.startFast,
      archiveCheck: config.archiveCheck,
      archiveModeCheck: config.archiveModeCheck,
      archiveCommandWord: config.settings.archiveCommandWord,
      archiveTimeoutMs: config.archiveTimeoutMs,
      checksumPage: config.checksumPage,
      pageHeaderCheck: config.pageHeaderCheck,
      exclude: config.exclude,
      annotations: config.annotations,
      bufferSizeBytes: config.bufferSizeBytes,
      processMax: config.processMax,
    },
    ctx,
  );
  const error = combinedError("backup", outcome.results);
  if (error !== null) throw error;
  return 0;
};
