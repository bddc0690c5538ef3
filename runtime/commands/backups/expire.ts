/** `expire`: each repository (or `--repo`'s) independently; exit 104 when some failed. `backup` ends with it too. */
import { type BackupError, fail } from "../../base/errors";
import { given } from "../../base/given";
import type { Config } from "../../config/types";
import { expireRepository } from "../../operations/expire/expire";
import { checkRequest, closeHint, type ExpireRequest, type OpenedUse } from "../../operations/expire/expirePlan";
import { retentionOf } from "../../operations/expire/repoRetention";
import { loggedFailure } from "../../operations/shared/results";
import { openedHere, withoutChoices } from "../opened";
import { loadBackupInfo } from "../../repository/infoStore";
import { NO_LEASE } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { keepReserve, withReserve } from "../../repository/reserve";
import type { Retention } from "../../repository/retention";
import type { Command, Invocation, LockAccess, RepositoryAccess } from "../../process/commandProcess";

export const expireCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  proc.requireStarted();
  const request = requestOf(config);
  const repos = proc.repositories();
  proc.lock("backup", repos);
  const { calendars, errors, hasSet } = await expireEach(proc, repos, request);
  for (const calendar of calendars) proc.print(calendar);
  if (!hasSet && errors.length === 0)
    ctx.log.warn(`backup ${request.set} does not exist\nHINT: run the info command and confirm the backup is listed`);
  if (errors.length > 0)
    throw fail("command", `expire command encountered ${errors.length} error(s), check the log file for details`);
  return 0;
};

type Expiring = Invocation & RepositoryAccess & LockAccess;

/** Runs after a backup, under its locks and leases. A failure is logged and does not fail the backup. */
export async function expireAfterBackup(proc: Expiring): Promise<void> {
  const repos: Repository[] = [];
  for (const repo of proc.repositories()) {
    // The backup's own error names the other process, which expires at its own end.
    if (!(await proc.leases.isBusy(repo))) repos.push(repo);
  }
  const { errors } = await expireEach(proc, repos, { oldest: false, refusePageErrors: true, dryRun: false });
  if (errors.length > 0)
    proc.ctx.log.warn("the backup is complete, but removing expired backups failed: fix the cause, then run expire");
}

async function expireEach(
  proc: Expiring,
  repos: readonly Repository[],
  request: ExpireRequest,
): Promise<{ calendars: string[]; errors: BackupError[]; hasSet: boolean }> {
  const { config, ctx } = proc;
  const errors: BackupError[] = [];
  const calendars: string[] = [];
  let hasSet = false;
  // Sequential, so that the log reads in order.
  for (const repo of repos) {
    try {
      const spending = withReserve(repo);
      const lease = request.dryRun ? NO_LEASE : await proc.leases.take(spending, loadBackupInfo);
      const opened = {
        list: () => openedIn(proc, repo),
        alone: (work: () => Promise<void>) => withoutChoices(proc, work),
      };
      const careful = { ...request, opened };
      const expired = await expireRepository(spending, configuredRetention(config, repo), careful, lease, ctx);
      if (!request.dryRun) await keepReserve(repo, ctx);
      hasSet = expired.hasSet || hasSet;
      if (expired.calendar !== undefined) calendars.push(expired.calendar);
    } catch (thrown) {
      errors.push(loggedFailure(repo, thrown, ctx));
    }
  }
  return { calendars, errors, hasSet };
}

/** The repository's backups that are still read. @throws lockAcquire while nobody can tell which they are */
async function openedIn(proc: Invocation, repo: Repository): Promise<readonly OpenedUse[]> {
  const opened = await openedHere(proc);
  const read = opened.filter(({ isRecovering, progress }) => isRecovering || progress?.isWhole !== true);
  return read.flatMap(({ at, doubt, isRecovering, label, repo: of, systemId }) => {
    if (label === null)
      throw fail("lockAcquire", `a backup is open at '${at}', and nobody can tell which: ${doubt}`, {
        hint: closeHint(at),
        repoIndex: repo.key,
      });
    return of === repo.name ? [{ label, systemId, at, isRecovering, ...given({ doubt }) }] : [];
  });
}

/** @throws optionInvalid, optionInvalidValue */
function requestOf({ checksumPageError, dryRun, expire, set }: Config): ExpireRequest {
  const { archiveBefore, oldest } = expire;
  const asked = given({ set, archiveExpireBefore: archiveBefore });
  const request: ExpireRequest = { ...asked, oldest, refusePageErrors: checksumPageError, dryRun };
  checkRequest(request);
  return request;
}

export function configuredRetention(config: Config, { key, name }: Repository): Retention {
  const settings = config.repos.find((candidate) => candidate.key === key);
  if (settings === undefined) throw fail("assert", `${name} is open but not configured`);
  return retentionOf(settings);
}
