/** The runtime's command line on a host, and its words as PostgreSQL's shell and systemd want them. Pure. */
import type { HostPlan } from "../plan/plan";
import { hostPaths } from "./renderedFile";

type Placed = Pick<HostPlan, "directories" | "nodePath" | "stanza">;

/**
 * Program and options that every verb shares. The configuration is named by file and include directory, not by `--config-path`, because
 * stock's `check` and `backup` demand that archive_command contains the text `pgbackrest`.
 */
export function runtimeArgv(plan: Placed): string[] {
  const paths = hostPaths(plan.directories);
  return [plan.nodePath, paths.runtime, `--config=${paths.conf}`, `--config-include-path=${paths.includeDirectory}`, `--stanza=${plan.stanza}`];
}

/** PostgreSQL's archive_command: a text for `sh -c` in which `%p` is the segment's path and `%%` a percent sign. */
export function archiveCommand(plan: Placed): string {
  return `${runtimeArgv(plan).map(shellWord).map(doublePercent).join(" ")} archive-push "%p"`;
}

/** One word for a POSIX shell. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_@+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** One word of ExecStart: quotes, `%` specifiers and `$` variables of systemd.service(5) taken literally. */
export function systemdWord(word: string): string {
  const literal = doublePercent(word).replaceAll("$", "$$$$");
  return /^[A-Za-z0-9_@+=:,.%$/-]+$/.test(literal) ? literal : `"${literal.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** `%` begins a placeholder in archive_command and in units. */
export function doublePercent(text: string): string {
  return text.replaceAll("%", "%%");
}
