/**
 * Undoes a restore's settings for a standby before the program that they name is removed. A shell without that program
 * exits with 127, at the next time that the standby does not stream. PostgreSQL then stops the standby
 * (RestoreArchivedFile in xlogarchive.c).
 */
import { dirname } from "node:path/posix";
import { hostPaths } from "../plan/host/hostCommand";
import { type Account, type Connection, runScript, type LogLine } from "./connection";

/**
 * $1 data directory, $2 runtime, $3 the agent's client. A recovery that is under way keeps its command: without it the
 * server would stop, or open too early. Needs no session: the server may be stopped or unreachable. ALTER SYSTEM writes
 * this file in the same form, one line per setting.
 */
const SCRIPT = `
set -eu
file=$1/postgresql.auto.conf
names() { [ -f "$1" ] && grep -F -e "$2" -e "$3" -- "$1" | grep -q '^ *restore_command'; }
if [ -e "$1/recovery.signal" ] && [ ! -e "$1/standby.signal" ]; then
  if names "$file" "$2" "$3"; then echo recovering; fi
elif names "$file" "$2" "$3"; then
  umask 077
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in restore_command*"$2"* | restore_command*"$3"*) ;; *) printf '%s\\n' "$line" ;; esac
  done < "$file" > "$file.new"
  sync "$file.new"
  mv -f -- "$file.new" "$file"
  if [ -e "$1/standby.signal" ]; then echo taken standby; else echo taken; fi
  if [ -r "$1/postmaster.pid" ]; then
    pid=$(head -n 1 "$1/postmaster.pid")
    # A number that is left over may be another process by now; a server works in its data directory.
    if [ ! -d /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$1")" ]; then kill -HUP "$pid" || true; fi
  fi
fi
if names "$1/postgresql.conf" "$2" "$3"; then echo named; fi`;

/**
 * $1 data directory; then paths. Prints those that the restore_command of a standby, or of a recovery under way, names.
 * A cluster that was promoted needs it no more.
 */
const NAMED_SCRIPT = `
data=$1
shift
[ -e "$data/standby.signal" ] || [ -e "$data/recovery.signal" ] || exit 0
for path do
  for file in "$data/postgresql.auto.conf" "$data/postgresql.conf"; do
    [ -f "$file" ] || continue
    if grep '^ *restore_command' -- "$file" | grep -qF -e "$path"; then printf '%s\\n' "$path"; break; fi
  done
done`;

/** Those of `paths` that a standby of the host needs: without its restore_command's program PostgreSQL stops it. */
export async function neededByStandby(
  connection: Connection,
  account: Account,
  { container, dataDirectory }: { readonly container?: string; readonly dataDirectory: string },
  paths: readonly string[],
  log: LogLine,
): Promise<string[]> {
  if (paths.length === 0 || container !== undefined) return [];
  const args = [dataDirectory, ...paths];
  const what = `look for restore_command in ${dataDirectory}`;
  const { stdout } = await runScript(connection, what, NAMED_SCRIPT, args, { account });
  const needed = stdout.split("\n").filter((path) => path !== "");
  for (const path of needed)
    log(
      `WARN: kept ${path}, which restore_command of the standby in ${dataDirectory} names: change it there, then run the update again`,
    );
  return needed;
}

/**
 * Removes a restore_command that calls `program`, or the client next to it, from ALTER SYSTEM's file, and makes the
 * server reload it.
 * @throws CommandFailed
 */
export async function takeBackRestoreCommand(
  connection: Connection,
  account: Account,
  { dataDirectory, program }: { readonly dataDirectory: string; readonly program: string },
  log: LogLine,
): Promise<void> {
  const { stdout } = await runScript(
    connection,
    `remove restore_command from ${dataDirectory}`,
    SCRIPT,
    [dataDirectory, program, hostPaths({ config: "", lib: dirname(program) }).client],
    { account },
  );
  if (stdout.includes("taken"))
    log(
      `removed restore_command${stdout.includes("standby") ? ": without an archive the standby can only stream" : ""}`,
    );
  if (stdout.includes("recovering"))
    log(
      `WARN: the recovery in ${dataDirectory} reads the archive by programs in ${dirname(program)}, which are removed: the server stops at the next segment. Declare the host again to finish it`,
    );
  if (stdout.includes("named")) {
    log(
      `WARN: restore_command in ${dataDirectory}/postgresql.conf names ${program}, which is removed: delete it there, with Patroni in patroni.yml`,
    );
  }
}
