/**
 * Undoes a restore's settings for a standby before the program that they name is removed. A shell without that program
 * exits with 127, at the next time that the standby does not stream. PostgreSQL then stops the standby
 * (RestoreArchivedFile in xlogarchive.c).
 */
import { type Account, type Connection, runScript, type LogLine } from "./connection";

/**
 * $1 data directory, $2 runtime. Needs no session: the server may be stopped or unreachable. ALTER SYSTEM writes this
 * file in the same form, one line per setting.
 */
const SCRIPT = `
set -eu
file=$1/postgresql.auto.conf
if [ -f "$file" ] && grep -F -- "$2" "$file" | grep -q '^restore_command'; then
  umask 077
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in restore_command*"$2"*) ;; *) printf '%s\\n' "$line" ;; esac
  done < "$file" > "$file.new"
  sync "$file.new"
  mv -f -- "$file.new" "$file"
  echo taken
  if [ -r "$1/postmaster.pid" ]; then
    pid=$(head -n 1 "$1/postmaster.pid")
    # A number that is left over may be another process by now; a server works in its data directory.
    if [ ! -d /proc/self ] || [ "$(readlink "/proc/$pid/cwd")" = "$(readlink -f "$1")" ]; then kill -HUP "$pid" || true; fi
  fi
fi
if [ -f "$1/postgresql.conf" ] && grep -F -- "$2" "$1/postgresql.conf" | grep -q '^ *restore_command'; then echo named; fi`;

/**
 * Removes a restore_command that calls `program` from ALTER SYSTEM's file, and makes the server reload it.
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
    [dataDirectory, program],
    { account },
  );
  if (stdout.includes("taken")) log("removed restore_command: without an archive the standby can only stream");
  if (stdout.includes("named")) {
    log(
      `WARN: restore_command in ${dataDirectory}/postgresql.conf names ${program}, which is removed: delete it there, with Patroni in patroni.yml`,
    );
  }
}
