/** The backups of the stanza that are open on this machine: `status` and `info` list them, `expire` leaves them. */
import { toBackupError } from "../base/errors";
import { listOpened } from "../operations/open/openedRecords";
import type { OpenedBackup } from "../operations/open/openLocation";
import type { Invocation } from "../process/commandProcess";

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
