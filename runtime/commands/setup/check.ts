/**
 * `check`: exit 0 when the repositories without errors satisfy the acknowledgement policy. A repository without a full
 * backup as young as the settings file expects always fails: WAL alone restores nothing. So does a host whose units
 * systemd does not run, and an archive with two living histories.
 *
 * `--stale` compares the ages of every repository's newest backup, dump and WAL after that, whatever its result, and
 * sends event `stale` to the notification targets. With `--no-archive-check` it needs no server. It exits with 75 if
 * something is too old and everything else is fine.
 */
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { hintLines } from "../../base/troubleshooting";
import type { RepoResult } from "../../base/parallel";
import { check, type Checked } from "../../operations/check/check";
import { findStale } from "../../operations/check/stale";
import { fullText } from "../../operations/info/destinations";
import { hostError } from "../../operations/info/hostTroubles";
import type { StatusReport } from "../../operations/info/status";
import { combinedError, policyError, repoErrorLine } from "../../operations/shared/results";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import { checkStreaming, requireError } from "../../operations/stream/preflight";
import type { Trouble } from "../../recoverability/troubles";
import { loadHostReport } from "../watch/hostReport";
import { notifyStale } from "../watch/notify";
import { loadStatus } from "../watch/status";
import type { ClusterAccess, Command, CommandProcess, Invocation } from "../../process/commandProcess";

export const checkCommand: Command = async (proc) => {
  const { archive, check: asked } = proc.config;
  if (!asked.stale) return checkServer(proc, asked.full);
  // A server that does not answer must not hide that its backups are old.
  const serverError = archive.check ? await checkServer(proc, false).then(() => null, toBackupError) : null;
  const results = await findStale(
    proc.repositories(),
    (repoIndex) => proc.config.settings.repos[repoIndex] ?? {},
    Math.floor(proc.ctx.clock.nowMs() / 1000),
  );
  const { troubles } = await loadHostReport(proc);
  const lines = [
    ...results.flatMap((result) =>
      result.ok ? result.value.map((error) => repoErrorLine(result.repoIndex, error)) : [],
    ),
    ...troubles.map(({ message, name }) => `[${name}] ${message}`),
  ];
  for (const line of lines) proc.ctx.log.warn(line);
  // What is known of some repositories does not end an alert about others.
  const knows = lines.length > 0 || results.every(({ ok }) => ok);
  const noticeError = knows ? await notifyStale(proc, lines).then(() => null, toBackupError) : null;
  const error = serverError ?? combinedError("check", results) ?? noticeError;
  if (noticeError !== null && noticeError !== error) proc.ctx.log.warn(noticeError.message);
  if (error !== null) throw error;
  if (lines.length > 0)
    throw fail("backupSetInvalid", `backups, dumps or WAL are too old, or will be:\n${lines.join("\n")}`);
  proc.ctx.log.info("the newest backups, dumps and WAL are as recent as expected");
  return 0;
};

/** @param requiresFull whether a repository without a recent full backup fails */
async function checkServer(proc: CommandProcess, requiresFull: boolean): Promise<number> {
  const { config, ctx } = proc;
  proc.requireStarted();
  for (const warning of (await proc.container?.checkData()) ?? []) ctx.log.warn(warning);
  for (const warning of proc.container?.findLeftOut() ?? []) ctx.log.warn(warning);
  const missingWal = proc.missingWal();
  const results = await check(
    proc.repositories(),
    await proc.session(),
    await proc.loadControl(),
    {
      dataDirectory: proc.dataDirectory,
      archiveCheck: config.archive.check,
      archiveModeCheck: config.archive.modeCheck,
      archiveTimeoutMs: config.archive.timeoutMs,
      archiveCommandContains: config.settings.archiveCommandContains,
      slot: slotArchivingOf(config),
      conflicts: (repoIndex) => missingWal.listConflicts(repoIndex),
      // With `--no-full-check` only what arrives now counts: the agent closes a gap by a backup.
      dropped: (...of) => (config.check.full || config.check.stale ? missingWal.listDropped(...of) : []),
      expectFull: (repoIndex) => (requiresFull ? config.settings.repos[repoIndex]?.expectFullWithinS : undefined),
    },
    ctx,
  );
  // An update checks before it starts the timers, and `--stale` sends what it finds.
  const status = requiresFull ? await loadStatus(proc) : null;
  const judged = status === null ? results : withTroubles(results, status);
  for (const result of judged) {
    if (!result.ok) {
      ctx.log.warn(repoErrorLine(result.repoIndex, result.error));
      continue;
    }
    ctx.log.info(`repo${result.repoIndex}: configuration and archive are valid`);
    ctx.log.info(`repo${result.repoIndex}: ${fullText(result.value.newestFull)}`);
    if (result.value.fullError !== null) ctx.log.warn(repoErrorLine(result.repoIndex, result.value.fullError));
  }
  noteCalendars(proc);
  const streamError = config.settings.stream === undefined ? null : await checkStream(proc);
  const error =
    policyError("check", judged, config.settings.acknowledge) ?? combinedError("check", withFullErrors(judged));
  if (error !== null) throw error;
  if (status !== null) requireHost(status, ctx);
  // With `--no-full-check` only archiving matters.
  if (streamError !== null && config.check.full) throw streamError;
  if (streamError !== null) ctx.log.warn([streamError.message, ...hintLines(streamError)].join("\n"));
  return 0;
}

/** Troubles of `status` that the tests of this verb do not look for. */
const OF_STATUS: readonly Trouble["code"][] = ["host", "branches", "backupWal", "gap", "older"];

function isOfStatus({ code }: Trouble): boolean {
  return OF_STATUS.includes(code);
}

function withTroubles(results: readonly RepoResult<Checked>[], { repos }: StatusReport): RepoResult<Checked>[] {
  return results.map((result): RepoResult<Checked> => {
    const { repoIndex } = result;
    const error = repos.find(({ key }) => key === repoIndex)?.troubles.find(isOfStatus);
    return result.ok && error !== undefined ? { repoIndex, ok: false, error } : result;
  });
}

function requireHost({ host, troubles }: StatusReport, { log }: Invocation["ctx"]): void {
  for (const each of host.notLookedAt) log.info(`not looked at: ${each}`);
  const error = hostError(troubles.filter(isOfStatus));
  if (error !== null) throw error;
}

function noteCalendars({ config, ctx }: Invocation): void {
  const keys = config.repos.flatMap(({ keep, key }) => (keep === undefined ? [] : [`repo${key}`]));
  if (keys.length > 0)
    ctx.log.info(
      `${keys.join(", ")}: backup and expire of stock pgBackRest remove what only the calendar or a hold keeps`,
    );
}

/**
 * Last, because archiving of whole segments does not depend on it. Users who count on a loss of seconds must see the
 * error.
 */
async function checkStream(proc: Invocation & ClusterAccess): Promise<BackupError | null> {
  const { agentCount, error, inRecovery } = await checkStreaming(await proc.session(), () => proc.walStream());
  if (error !== null || inRecovery) return error;
  if (proc.config.settings.stream?.synchronous !== undefined) {
    const refused = await requireError(await proc.session());
    if (refused !== null) return refused;
  }
  if (agentCount > 1) proc.ctx.log.warn(`${agentCount} agents receive WAL from this server: one per stanza is enough`);
  // An update of the host checks before it starts the agent.
  else if (agentCount === 0 && proc.config.check.full)
    proc.ctx.log.warn("nobody receives WAL from this server: check the agent's unit, or the log of the sidecar");
  else if (agentCount === 0) proc.ctx.log.info("WAL can be streamed from this server");
  else proc.ctx.log.info("WAL is received from this server and streamed");
  return null;
}

/** Adds errors about full backups: no policy excuses them. */
function withFullErrors(results: readonly RepoResult<Checked>[]): RepoResult<Checked>[] {
  return results.flatMap((result): RepoResult<Checked>[] => {
    if (!result.ok) return [];
    const { fullError } = result.value;
    return [fullError === null ? result : { repoIndex: result.repoIndex, ok: false, error: fullError }];
  });
}
