/** Shell scripts of one-shot actions on a host. Pure; no secret: the runtime reads its keys from the files that it has anyway. */
import { shellWord } from "./commandLine";

/** Runs as the account that the host is reached with, and becomes PostgreSQL's where that is another one. */
export function backupScript(user: string, runtimeArgv: readonly string[], type: string, repoKeys: readonly number[]): string {
  const words = [...runtimeArgv, "--log-level-console=info", "backup", `--type=${type}`].map(shellWord).join(" ");
  const runs = repoKeys.length === 0 ? [`as_user ${words}`] : repoKeys.map((key) => `as_user ${words} --repo=${key}`);
  return [
    "set -eu",
    `user=${shellWord(user)}`,
    "as_user() {",
    '  if [ "$(id -un)" = "$user" ]; then "$@"',
    '  else setpriv --reuid="$(id -u -- "$user")" --regid="$(id -g -- "$user")" --init-groups -- "$@"',
    "  fi",
    "}",
    // Nothing of the caller's folder or environment counts: what begins with PGBACKREST_ would be an option.
    "cd /",
    'for name in $(env | sed -n "s/^\\(PGBACKREST_[A-Z0-9_]*\\)=.*/\\1/p"); do unset "$name"; done',
    ...runs,
  ].join("\n");
}
