/** Paths of a host's files, and the argv that begins each verb there. Pure. */
import { engineOf } from "../engines/engines";
import { DEFAULTS, isUnitDirectory } from "../model/defaults";
import type { ContainerPlan, HostPlan } from "../model/plan";

/** With the launcher at its usual path. */
export const OPERATOR_COMMAND = "sudo pgbackstop";

export interface HostPaths {
  readonly conf: string;
  readonly settings: string;
  readonly runtime: string;
  /** PostgreSQL's commands use it to ask the agent. */
  readonly client: string;
}

/** Paths of secrets on a host; they decide who can read them. */
export interface SecretLayout {
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

/** For PostgreSQL's account. With another lock path, that account or the user creates the directory. */
export function ownDirectories({ lock, log, spool }: HostPlan["directories"]): string[] {
  return [spool, ...(lock.startsWith(`${spool}/`) ? [lock] : []), log];
}

/**
 * Root's if systemd passes the secrets to units; else PostgreSQL's account owns them and reads them besides the
 * configuration.
 */
export function secretsDirectory({ directories, agent }: SecretLayout): string {
  return `${directories.config}/${agent ? "credentials" : "conf.d"}`;
}

type Placed = Pick<HostPlan, "agent" | "directories" | "nodePath" | "stanza">;

/**
 * Program and options of every verb. The configuration is given by file and include directory, not by `--config-path`,
 * because stock's `check` and `backup` require the text `pgbackrest` in archive_command. Without the secrets if units
 * receive those.
 */
export function runtimeArgv(plan: Placed): string[] {
  const paths = hostPaths(plan.directories);
  const secrets = plan.agent ? [] : [`--config-include-path=${secretsDirectory(plan)}`];
  return [plan.nodePath, paths.runtime, `--config=${paths.conf}`, ...secrets, `--stanza=${plan.stanza}`];
}

/**
 * For a launcher, which passes the stanza as a variable: people give `--stanza` too, as other commands need it, and a
 * second one would be refused.
 */
export function withoutStanza(argv: readonly string[]): string[] {
  return argv.filter((argument) => !argument.startsWith("--stanza="));
}

/** The program alone, for help and version. */
export function bareArgv(plan: Pick<Placed, "directories" | "nodePath">): string[] {
  return [plan.nodePath, hostPaths(plan.directories).runtime];
}

/**
 * True if operators get the command `pgbackstop`: with an agent, with stock, and on a host that only restores, where
 * somebody is in a hurry. False for a demonstration, whose units lie in a folder that nothing reads and which leaves
 * the system's directories alone.
 */
export function hasLauncher(plan: Pick<HostPlan, "agent" | "directories" | "engine" | "restoreOnly">): boolean {
  if (engineOf(plan.engine).stock || plan.agent) return true;
  return plan.restoreOnly && isUnitDirectory(plan.directories.units);
}

/** Passes the secrets to a verb while it runs. */
export function launcherPath({ directories }: Pick<HostPlan, "directories">): string {
  return `${directories.bin}/pgbackstop`;
}

/** For messages: `shop-db`, or `database of /srv/shop/compose.yaml`. */
export function containerName({ compose, name, service }: ContainerPlan): string {
  return name ?? `${service} of ${compose}`;
}

/** Quotes one argument for a POSIX shell. */
export function shellArgument(argument: string): string {
  return /^[A-Za-z0-9_@+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/**
 * Start of an operator's shell command, used in runbooks: root's launcher, else the program as PostgreSQL's account,
 * which can read the keys there.
 */
export function operatorCommand(plan: HostPlan): string {
  if (hasLauncher(plan))
    return plan.directories.bin === DEFAULTS.directories.bin
      ? OPERATOR_COMMAND
      : `sudo ${shellArgument(launcherPath(plan))}`;
  return ["sudo", "-u", plan.user, ...runtimeArgv(plan)].map(shellArgument).join(" ");
}
