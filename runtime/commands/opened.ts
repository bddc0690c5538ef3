/** The backups of the stanza that are open on this machine: `status` and `info` list them, `expire` leaves them. */
import { fail, toBackupError } from "../base/errors";
import { acquireWithin, isFlocked, lockFileName } from "../local/lockFile";
import { listOpened } from "../operations/open/openedRecords";
import type { OpenedBackup } from "../operations/open/openLocation";
import type { Invocation, LockAccess } from "../process/commandProcess";

const EXPIRING = "expiring";
/** Marks and a list of backups are written in this time. */
const PATIENCE_MS = 120_000;
const POLL_MS = 100;

/** @throws what hides a record */
export function openedHere({ config }: Invocation, stanza = config.stanza ?? ""): Promise<readonly OpenedBackup[]> {
  return listOpened(config.spoolPath, stanza);
}

/** The same for reports, which a spool that cannot be read must not hide. */
export async function reportedOpened(proc: Invocation, stanza?: string): Promise<readonly OpenedBackup[]> {
  try {
    return await openedHere(proc, stanza);
  } catch (error) {
    proc.ctx.log.warn(`opened backups are not listed: ${toBackupError(error).message}`);
    return [];
  }
}

/**
 * `expire` looks at what is open and takes backups from the list; nobody chooses one in between. An `open` records
 * itself, waits in {@link untilDecided}, and then reads the list: either `expire` sees its record, or it sees the new
 * list.
 * @throws lockAcquire
 */
export async function withoutChoices(proc: Invocation & LockAccess, work: () => Promise<void>): Promise<void> {
  // Another repository's `expire` has it, or a look at it.
  const limits = { pollMs: POLL_MS, withinMs: PATIENCE_MS };
  const locks = await acquireWithin(() => proc.lock(EXPIRING, []), limits, proc.ctx);
  try {
    await work();
  } finally {
    for (const lock of locks) lock.release();
  }
}

/** Makes nothing: a lock path of root's would stop the account's commands. @throws lockAcquire */
export async function untilDecided({ config, ctx: { clock, signal } }: Invocation): Promise<void> {
  const path = `${config.lockPath}/${lockFileName(config.stanza ?? "", EXPIRING)}`;
  const endMs = clock.monotonicMs() + PATIENCE_MS;
  while (isFlocked(path) === true) {
    if (clock.monotonicMs() > endMs)
      throw fail("lockAcquire", `expire has decided for ${PATIENCE_MS / 1000} s which backups go`, {
        hint: `Run the command again when it has ended: 'fuser -v ${path}' shows it.`,
        path,
      });
    await clock.sleep(POLL_MS, signal);
  }
}
