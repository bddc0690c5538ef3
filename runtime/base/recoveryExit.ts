/**
 * Exit codes of `archive-get` toward PostgreSQL, which takes any code from 1 to 125 for the end of the archive and
 * opens the database, without later transactions. A code above 125 makes it stop instead (PostgreSQL
 * "access/transam/xlogarchive.c"). A failing Node or shell exits with 1, 2 or 9 too, or with 0 from an empty file. So
 * a code counts only if no fault can cause it. Pure.
 */

/** PostgreSQL: "could not restore file". The server stops instead of opening; after a restart it resumes. */
export const RECOVERY_ABORTED = 255;
/** No repository has the file, as only this program says it: no error, shell or Node has this code. */
export const NOT_IN_ARCHIVE = 120;
/** Set by {@link guardedArchiveGet}, which translates {@link NOT_IN_ARCHIVE}. */
export const GUARD_VARIABLE = "PGBACKSTOP_GUARD";

/** What PostgreSQL gets for the program's own exit code. */
export function exitCodeFor(
  code: number,
  caller: { readonly isRecovery: boolean; readonly isGuarded: boolean },
): number {
  if (code === NOT_IN_ARCHIVE) return caller.isGuarded ? NOT_IN_ARCHIVE : 1;
  return caller.isRecovery && code !== 0 ? RECOVERY_ABORTED : code;
}

/**
 * A restore_command that also survives a program that cannot start: the shell, which needs no file of ours, accepts
 * only a file that is there, or the code that nothing else has. A standby repeats its requests and gets the plain code.
 * @param archiveGet a shell command that ends in `archive-get %f "%p"`
 */
export function guardedArchiveGet(archiveGet: string): string {
  return [
    `${GUARD_VARIABLE}=1 ${archiveGet}; c=$?`,
    `[ $c -eq ${NOT_IN_ARCHIVE} ] && exit 1`,
    "[ -e recovery.signal ] && [ ! -e standby.signal ] || exit $c",
    `[ $c -eq 0 ] && [ -e "%p" ] || exit ${RECOVERY_ABORTED}`,
  ].join("; ");
}

/** Added to a requested name: {@link guardedByMark} takes only this mark as "no repository has the file". */
export const ABSENT_MARK = ".absent";

/**
 * A restore_command whose program exits with 1 for each fault too, as CloudNativePG's `wal-restore` does (1.30.0:
 * "internal/cmd/manager/walrestore"). The sidecar leaves a mark next to the file if no repository has it.
 * @param fetch a shell command with %f and %p
 */
export function guardedByMark(fetch: string): string {
  return [
    `m="%p${ABSENT_MARK}"`,
    'rm -f "$m"',
    fetch,
    "c=$?",
    "[ -e recovery.signal ] && [ ! -e standby.signal ] || exit $c",
    '[ $c -eq 0 ] && [ -e "%p" ] && exit 0',
    '[ -e "$m" ] && rm -f "$m" && exit 1',
    `exit ${RECOVERY_ABORTED}`,
  ].join("; ");
}
