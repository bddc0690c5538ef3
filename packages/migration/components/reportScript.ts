/**
 * The script of a step on a host: writes the program and passwords into files, and answers with the program's report.
 * Pure.
 *
 * The passwords are texts of the script, which arrives over standard input. The shell itself writes them into a
 * directory of their own, in memory if possible, and removes it when the program ends. The report is all of standard
 * output; what the program says besides it is shown.
 */
import { ONCE_FUNCTIONS, scriptHead, shellArgument } from "pgbackstop/kit";

export interface Reported {
  /** Account that runs the program and reads the files: the login, or any if that is root. */
  readonly account: string;
  /** {@link FILES_PLACEHOLDER} stands for the directory of the files. */
  readonly argv: readonly string[];
  /** Passwords and certificates, by the names in the arguments. */
  readonly files: Readonly<Record<string, string>>;
  /** gzip in base64, by the names in the arguments. */
  readonly packed?: Readonly<Record<string, string>>;
  /** Programs that run first, and whose answers are files too, by the names in the arguments. */
  readonly asked?: Readonly<Record<string, Asked>>;
  /** An additional success code, if the report then names obstacles. */
  readonly acceptedCode: number;
  readonly what: string;
  readonly limitSeconds: number;
}

/** A program whose standard output becomes a file. An answer that is missing or no JSON is the reader's business. */
export interface Asked {
  /** Account that runs it, under the same condition. */
  readonly account: string;
  readonly argv: readonly string[];
}

/** Stands for the directory of the files, which is known when the program runs. */
export const FILES_PLACEHOLDER = "{files}";

export function reportScript({ acceptedCode, argv, asked = {}, files, packed = {}, ...head }: Reported): string {
  const lines = [
    ...Object.entries(files).map(([name, text]) => `write_file ${shellArgument(name)} ${shellArgument(text)}`),
    ...Object.entries(packed).map(([name, text]) => `unpack_file ${shellArgument(name)} ${shellArgument(text)}`),
    ...Object.entries(asked).map(
      ([name, { account, argv: given }]) =>
        `account=${shellArgument(account)}; ask ${[name, ...given].map(shellArgument).join(" ")}`,
    ),
  ];
  // Leaves the quotes around the argument for the directory's name, which has no odd character.
  const line = argv.map((each) => shellArgument(each).replaceAll(FILES_PLACEHOLDER, `'"$directory"'`)).join(" ");
  return `main() { ${scriptHead(head)} file_account=${shellArgument(head.account)}
  make_directory
${[...lines, `account=$file_account; report ${acceptedCode} ${line}`].map((each) => `  ${each}`).join("\n")}
}
${ONCE_FUNCTIONS}
${REPORT_FUNCTIONS}
main
`;
}

/** The report is opened before the directory changes hands: its new owner cannot make root read another file. */
const REPORT_FUNCTIONS = `make_directory() {
  directory=
  for place in /dev/shm /tmp; do
    [ -d "$place" ] && [ -w "$place" ] || continue
    directory=$(mktemp -d "$place/pgbackstop-migration.XXXXXXXXXX") && break
  done
  [ -n "$directory" ] || { echo "unable to make a directory for passwords in /dev/shm or /tmp" >&2; exit 1; }
  trap 'rm -rf -- "$directory"' EXIT
  trap 'exit 1' HUP INT TERM
  umask 077
  owner=$(id -u -- "$file_account" 2>/dev/null):$(id -g -- "$file_account" 2>/dev/null)
  : > "$directory/report"
  exec 5> "$directory/report" 6< "$directory/report" 7< "$directory/report"
}
hand_over() { [ "$owner" = "$(id -u):$(id -g)" ] || chown -- "$owner" "$1" || exit 1; }
write_file() {
  printf %s "$2" > "$directory/$1"
  hand_over "$directory/$1"
}
unpack_file() {
  printf %s "$2" | base64 -d | gzip -dc > "$directory/$1" || exit 1
  hand_over "$directory/$1"
}
ask() {
  file=$directory/$1
  shift
  (as_account timeout --preserve-status --kill-after=10 "$seconds" "$@") </dev/null > "$file"
  hand_over "$file"
}
report() {
  accepted=$1
  shift
  hand_over "$directory"
  code=$({
    {
      (as_account timeout --preserve-status --kill-after=10 "$seconds" "$@") </dev/null 2>&1 >&5 3>&- 4>&- 6>&- 7>&-
      echo "$?" >&3
    } | pass_on >&4 3>&-
  } 3>&1)
  # JSON with one entry a line: the list has entries.
  if [ "$code" = 0 ] || { [ "$code" = "$accepted" ] && grep -q '"refusals": \\[$' <&6; }; then cat <&7; return 0; fi
  echo "unable to $what: exit code $code" >&2
  exit 1
}`;
