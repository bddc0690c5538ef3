/**
 * `backup`: into every repository in one pass, into those of `--repos`, or into `--repo` alone. Exit 104: some
 * repositories lack the backup.
 */
import { openSeenWal } from "../../local/seenWal";
import { backup } from "../../operations/backup/backup";
import { inlinePool } from "../../operations/shared/jobs";
import { combinedError } from "../../operations/shared/results";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import { endPrimarySegment } from "../../postgres/primarySegment";
import { serverPrograms } from "./dumpedServer";
import { expireAfterBackup } from "./expire";
import type { Command } from "../../process/commandProcess";

export const backupCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  proc.requireStarted();
  for (const warning of (await proc.container?.checkData()) ?? []) ctx.log.warn(warning);
  const repos = proc.repositories();
  const locks = proc.lock("backup", repos);
  const outcome = await backup(
    repos,
    {
      lease: (repo) => proc.leases.take(repo),
      servers: proc.servers(),
      pool: proc.pool(),
      threadless: inlinePool(new Map(repos.map((repo) => [repo.key, repo])), ctx, 1),
      users: proc.users,
      endPrimarySegment: async (session) => {
        const { version } = await session.facts();
        await endPrimarySegment(session, await serverPrograms(proc, version), ctx.signal);
      },
      seen: openSeenWal(config.spoolPath, config.stanza ?? ""),
      onProgress: (doneBytes, totalBytes) => {
        for (const lock of locks) lock.setProgress({ sizeBytes: totalBytes, sizeCompleteBytes: doneBytes });
      },
    },
    {
      ...config.backup,
      force: config.force,
      backupStandby: config.backup.standby,
      delta: config.delta,
      archiveCheck: config.archive.check,
      archiveCopy: config.archive.copy,
      archiveModeCheck: config.archive.modeCheck,
      archiveCommandContains: config.settings.archiveCommandContains,
      slot: slotArchivingOf(config),
      archiveTimeoutMs: config.archive.timeoutMs,
      bufferSizeBytes: config.bufferSizeBytes,
      processMax: config.processMax,
      checksumPageError: config.checksumPageError,
    },
    ctx,
  );
  if (config.backup.expireAuto) await expireAfterBackup(proc);
  const error = combinedError("backup", outcome.results);
  if (error !== null) throw error;
  return 0;
};
