/**
 * `restore`: into pg1-path, from `--repo` or the first repository with a suitable backup; others replace damaged files.
 */
import { guardedArchiveGet } from "../../base/recoveryExit";
import { guaranteeOf } from "../../operations/archiveGet/endOfRecovery";
import { shellQuote } from "../../operations/restore/recovery";
import { restore } from "../../operations/restore/restore";
import type { ClusterAccess, Command, Invocation, ProgramAccess } from "../../process/commandProcess";
import { ownHistory } from "../ownHistory";

export const restoreCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const repos = proc.repositories();
  const pool = proc.pool();
  // Threads start while the locks are taken and the backup is chosen.
  pool.warm?.();
  proc.lock("restore", repos);
  const { container } = proc;
  const inContainer = container !== undefined;
  const options = recoveryOptionsOf(proc);
  const isOwn = Object.keys(options).some((name) => /^restore[-_]command$/.test(name));
  const outcome = await restore(
    repos,
    { pool, users: proc.users, ...(inContainer ? { requireStopped: () => container.requireStopped() } : {}) },
    {
      ...config.restore,
      dataDirectory: proc.dataDirectory,
      view: container?.view,
      set: config.set,
      server: await ownHistory(proc),
      delta: config.delta,
      force: config.force,
      databaseInclude: config.databaseInclude,
      databaseExclude: config.databaseExclude,
      checksumPageError: config.checksumPageError,
      spoolPath: `${config.spoolPath}/archive/${config.stanza ?? ""}`,
      self: proc.self,
      recovery: { ...config.restore, restoreCommand: inContainer ? "false" : archiveGetLine(proc), options },
      ...(inContainer && !isOwn
        ? { bringWal: { ...guaranteeOf(repos, config), timeoutMs: config.archive.timeoutMs } }
        : {}),
    },
    ctx,
  );
  ctx.log.info(`restored ${outcome.label} from repo${outcome.repoIndex} in ${(outcome.elapsedMs / 1000).toFixed(1)} s`);
  return 0;
};

/** An agent answers the configured restore_command from the repositories of today: the past needs its own. */
function recoveryOptionsOf({ config }: Invocation): Readonly<Record<string, string>> {
  const entries = Object.entries(config.restore.recoveryOptions);
  const isCommand = (name: string): boolean => /^restore[-_]command$/.test(name);
  if (config.repoTargetTime !== undefined) return Object.fromEntries(entries.filter(([name]) => !isCommand(name)));
  return Object.fromEntries(
    entries.map(([name, value]) => [name, isCommand(name) ? fromRepository(value, config.repoIndex) : value]),
  );
}

/** A restore_command of the agent's client that asks for one repository. @param line as the configuration has it */
export function fromRepository(line: string, repoIndex: number | undefined): string {
  // The client passes its words on, and only its command has no quotes.
  return repoIndex === undefined ? line : line.replaceAll("archive-get %f %p", `archive-get %f %p --repo=${repoIndex}`);
}

/**
 * Keys that systemd gave to this process. PostgreSQL's account cannot read them, nor anybody once the unit has ended;
 * the launcher lends it its own.
 */
export const LENT_ARG = /^--config-include-path=\/run\/credentials\//;

export function ownArchiveGet({ ownCommand }: ProgramAccess, options: readonly string[]): string {
  return guardedArchiveGet(`${ownCommand.map(shellQuote).join(" ")} ${archiveGetArgs(options)}`);
}

function archiveGetArgs(options: readonly string[]): string {
  return `${options.toSorted().map(shellQuote).join(" ")} archive-get %f "%p"`;
}

/** The restore_command: this program with the same repositories and the restored directory, without secrets. */
export function archiveGetLine(
  proc: Invocation & ClusterAccess & ProgramAccess,
  repoIndex = proc.config.repoIndex,
): string {
  const { config } = proc;
  const options = new Set([
    ...config.carriedOptions.filter((arg) => !LENT_ARG.test(arg)),
    `--pg1-path=${proc.container?.view.dataDirectory ?? proc.dataDirectory}`,
    ...(repoIndex === undefined ? [] : [`--repo=${repoIndex}`]),
    `--stanza=${config.stanza ?? ""}`,
  ]);
  // The guard needs a program that knows it: one that the user names may be stock's, or drop variables.
  const { cmd } = config;
  return cmd === undefined ? ownArchiveGet(proc, [...options]) : `${cmd} ${archiveGetArgs([...options])}`;
}
