/** The runtime's command line on a host, quoted for PostgreSQL's shell and systemd. Pure. */
import { guardedArchiveGet } from "../../../runtime/base/recoveryExit";
import type { HostPlan } from "../../plan/model/plan";
import { hostPaths, launcherPath, runtimeArgv, shellArgument } from "../../plan/host/hostCommand";

type Placed = Pick<HostPlan, "agent" | "directories" | "nodePath" | "stanza">;

/**
 * Program and options of a verb that needs the secrets. Run it as root if there is an agent, else as PostgreSQL's
 * account.
 */
export function verbArgv(plan: Placed): string[] {
  return plan.agent ? [launcherPath(plan)] : runtimeArgv(plan);
}

export function agentSocket({ stanza }: Pick<HostPlan, "stanza">): string {
  return `/run/pgbackstop/${stanza}.sock`;
}

/** PostgreSQL's archive_command: a text for `sh -c` in which `%p` is the segment's path and `%%` a percent sign. */
export function archiveCommand(plan: Placed): string {
  if (plan.agent) return `${clientCommand(plan)} archive-push %p`;
  return `${runtimeArgv(plan).map(shellArgument).map(doublePercent).join(" ")} archive-push "%p"`;
}

/** The restore_command of a cluster that was restored on a host with an agent. */
export function restoreCommand(plan: Pick<HostPlan, "directories" | "stanza">): string {
  return guardedArchiveGet(`${clientCommand(plan)} archive-get %f %p`);
}

function clientCommand(plan: Pick<HostPlan, "directories" | "stanza">): string {
  return [hostPaths(plan.directories).client, agentSocket(plan)].map(shellArgument).map(doublePercent).join(" ");
}

/** One argument of ExecStart, with quotes, `%` specifiers and `$` variables of systemd.service(5) escaped. */
export function systemdArgument(argument: string): string {
  const literal = doublePercent(argument).replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@+=:,.%$/-]+$/.test(literal)
    ? literal
    : `"${literal.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** `%` begins a placeholder in archive_command and in units. */
export function doublePercent(text: string): string {
  return text.replaceAll("%", "%%");
}

/** Lines of a POSIX shell that find the verb on a command line: the first argument that is no option. */
export const FIND_VERB = `verb=
for word; do
  case $word in -*) ;; *) verb=$word; break ;; esac
done`;
