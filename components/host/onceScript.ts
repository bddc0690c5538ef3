/**
 * The shell's part of an action that runs once on a host, for the provider of `@pulumi/command`. Pure.
 *
 * The command line stays short and empty of data, because the provider prints it when it fails; everything else goes
 * over standard input. A time limit in the script is the only one that ends a remote command. The provider keeps all
 * output in the state, hangs on a line above 64 KiB and fails on bytes that are not UTF-8, so the script passes on a
 * bounded number of short lines in UTF-8. They go to standard error; standard output has the label alone.
 */
import { shellArgument } from "../plan/host/hostCommand";
import { AS_ACCOUNT_FUNCTION } from "./connection";

export interface Once {
  /** Account that runs the program: the login, or any if that is root. */
  readonly account: string;
  /** Program and arguments of each run, in sequence; the first failure ends it. */
  readonly runs: readonly (readonly string[])[];
  /** For messages: `take a backup`. */
  readonly what: string;
  /** Time limit of each run. */
  readonly limitSeconds: number;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";
/** Lines that are shown as they come; of the lines after them, only the last ones are shown, at the end. */
export const SHOWN_LINES = { first: 200, last: 20, charsMax: 500 } as const;
const KILL_AFTER_SECONDS = 10;

/**
 * Starts the script of standard input with an environment of its own, as root if that is asked for: the environment of
 * a local provider contains the stack's passphrase.
 */
export function onceCommand({ isLocal, sudo }: { readonly isLocal: boolean; readonly sudo: boolean }): string {
  const shell = sudo ? "sudo -n -- /bin/sh -s" : "/bin/sh -s";
  const path = isLocal ? '"$PATH"' : PATH;
  return `/bin/sh -c ${shellArgument(`cd / && exec env -i PATH=${path} LANG=C.UTF-8 HOME="$HOME" ${shell}`)}`;
}

/** The script. Its first function is complete before the shell runs anything: programs cannot read the rest of it. */
export function onceScript({ account, limitSeconds, runs, what }: Once): string {
  const lines = runs.map((argv) => `  run ${argv.map(shellArgument).join(" ")}`);
  // A preview shows the first three lines.
  return `main() { ${scriptHead({ account, limitSeconds, what })}
${lines.join("\n")}
}
${ONCE_FUNCTIONS}
main
`;
}

/** The values that {@link ONCE_FUNCTIONS} read. */
export function scriptHead({ account, limitSeconds, what }: Omit<Once, "runs">): string {
  return `account=${shellArgument(account)} seconds=${limitSeconds} what=${shellArgument(what)}`;
}

export const ONCE_FUNCTIONS = `exec 4>&1
${AS_ACCOUNT_FUNCTION}
as_account() {
  uid=$(id -u -- "$account" 2>/dev/null) || {
    echo "there is no account $account on this host: set user to the account that PostgreSQL runs as"
    exit 1
  }
  [ "$(id -u)" != "$uid" ] || exec "$@"
  [ "$(id -u)" = 0 ] || {
    echo "unable to run commands as $account when logged in as $(id -un): log in as root or as $account"
    exit 1
  }
  exec_as "$account" "$uid" "$(id -g -- "$account")" "$@"
}
say() {
  text=$(printf '%.${SHOWN_LINES.charsMax}s' "$1")
  case $text in
    *[!\\ -~]*)
      clean=$(printf %s "$text" | iconv -c -f UTF-8 -t UTF-8 2>/dev/null)
      [ -n "$clean" ] || clean=$(printf %s "$text" | LC_ALL=C tr -c '\\40-\\176' '?')
      text=$clean
      ;;
  esac
  printf '%s\\n' "$text" >&2
}
pass_on() {
  set --
  count=0 label=
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      *' command begin '*) continue ;;
      *'new backup label = '*) label=\${line##*'new backup label = '} ;;
    esac
    count=$((count + 1))
    if [ "$count" -le ${SHOWN_LINES.first} ]; then say "$line"; continue; fi
    set -- "$@" "$line"
    [ "$#" -le ${SHOWN_LINES.last} ] || shift
  done
  [ "$count" -le ${SHOWN_LINES.first + SHOWN_LINES.last} ] || say "(of $count lines, the first ${SHOWN_LINES.first} and the last ${SHOWN_LINES.last} are shown)"
  for line in "$@"; do say "$line"; done
  [ -z "$label" ] || printf '%.100s\\n' "$label"
}
run() {
  code=$({
    {
      (as_account timeout --preserve-status --kill-after=${KILL_AFTER_SECONDS} "$seconds" "$@") </dev/null 2>&1 3>&- 4>&-
      echo "$?" >&3
    } | pass_on >&4 3>&-
  } 3>&1)
  [ "$code" = 0 ] || {
    [ "$code" != 143 ] || echo "it was terminated: its limit is $seconds s" >&2
    echo "unable to $what: exit code $code" >&2
    exit 1
  }
}`;

/** The label of the last backup, from the command's standard output; empty for none, and for a mocked command. */
export function labelOf(stdout: string | undefined): string {
  const labels = (stdout ?? "").split("\n").filter((line) => /^[0-9A-Z_-]+$/.test(line));
  return labels.at(-1) ?? "";
}
