/** The backups of the stanza that are open on this machine: `status` and `info` list them, `expire` leaves them. */
import { findDataDirectory } from "../operations/info/knownDirectory";
import { listOpened, type OpenedBackup } from "../operations/open/openLocation";
import { accountAt } from "../operations/recover/hostFacts";
import type { ClusterAccess, Invocation, MachineAccess } from "../process/commandProcess";

export async function openedHere(
  proc: Invocation & MachineAccess & Pick<ClusterAccess, "dataDirectory">,
  stanza = proc.config.stanza ?? "",
): Promise<readonly OpenedBackup[]> {
  // A repository host has no server.
  const dataDirectory = proc.config.pgs.length === 0 ? null : findDataDirectory(proc);
  const account = await accountAt(dataDirectory, proc.users);
  return account === null ? [] : listOpened(stanza, account);
}
