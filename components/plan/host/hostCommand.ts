/** Where a host keeps its files, and with which words a verb begins there. Pure. */
import { engineOf } from "../engines/engines";
import { DEFAULTS, SYSTEMD_DIRECTORIES } from "../model/defaults";
import type { HostPlan } from "../model/plan";

/** On a host with the launcher at its usual place. */
export const OPERATOR_COMMAND = "sudo pgbackstop";

/** Where each file of a host lies. */
export interface HostPaths {
  readonly conf: string;
  readonly settings: string;
  readonly runtime: string;
  /** What PostgreSQL's commands ask the agent with. */
  readonly client: string;
}

/** Where secrets lie on a host, which decides who can read them. */
export interface SecretPlace {
  readonly directories: { readonly config: string };
  readonly agent: boolean;
}

/** @param directories `config` and `lib` of the plan */
export function hostPaths(directories: { readonly config: string; readonly lib: string }): HostPaths {
  return {
    conf: `${directories.config}/pgbackrest.conf`,
    settings: `${directories.config}/pgbackstop.json`,
    runtime: `${directories.lib}/runtime.cjs`,
    client: `${directories.lib}/pgbackrest-client`,
  };
}

/** Those of PostgreSQL's account. Locks that are elsewhere have a directory that this account, or the user, makes there. */
export function ownDirectories({ lock, log, spool }: HostPlan["directories"]): string[] {
  return [spool, ...(lock.startsWith(`${spool}/`) ? [lock] : []), log];
}

/** Of root alone where systemd hands the secrets to units; else of PostgreSQL's account, and read besides the configuration. */
export function secretsDirectory({ directories, agent }: SecretPlace): string {
  return `${directories.config}/${agent ? "credentials" : "conf.d"}`;
}

type Placed = Pick<HostPlan, "agent" | "directories" | "nodePath" | "stanza">;

/**
 * Program and options that every verb shares. The configuration is named by file and include directory, not by `--config-path`, because
 * stock's `check` and `backup` demand that archive_command contains the text `pgbackrest`. Without the secrets where units are handed those.
 */
export function runtimeArgv(plan: Placed): string[] {
  const paths = hostPaths(plan.directories);
  const secrets = plan.agent ? [] : [`--config-include-path=${secretsDirectory(plan)}`];
  return [plan.nodePath, paths.runtime, `--config=${paths.conf}`, ...secrets, `--stanza=${plan.stanza}`];
}

/** The program alone, for what belongs to no stanza: its help, its version. */
export function bareArgv(plan: Pick<Placed, "directories" | "nodePath">): string[] {
  return [plan.nodePath, hostPaths(plan.directories).runtime];
}

/**
 * True where operators have a command of their own, `pgbackstop`: with an agent, beside stock, and on a host that only restores, where somebody is
 * in a hurry. Not where units lie in a folder that nothing reads: that is a demonstration, which leaves the system's directories alone.
 */
export function hasLauncher({
  agent,
  directories,
  engine,
  restoreOnly,
}: Pick<HostPlan, "agent" | "directories" | "engine" | "restoreOnly">): boolean {
  return agent || engineOf(engine).stock || (restoreOnly && SYSTEMD_DIRECTORIES.includes(directories.units));
}

/** The command that lends the secrets to a verb while it runs. */
export function launcherPath({ directories }: Pick<HostPlan, "directories">): string {
  return `${directories.bin}/pgbackstop`;
}

/** One word for a POSIX shell. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * What an operator's command begins with, for a shell; what runbooks are made of. Root's launcher where there is one. Else the program itself as PostgreSQL's account, which can read the keys there.
 */
export function operatorCommand(plan: HostPlan): string {
  if (hasLauncher(plan)) return plan.directories.bin === DEFAULTS.directories.bin ? OPERATOR_COMMAND : `sudo ${shellWord(launcherPath(plan))}`;
  return ["sudo", "-u", plan.user, ...runtimeArgv(plan)].map(shellWord).join(" ");
}
