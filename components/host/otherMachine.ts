/**
 * Notices that an address leads to another machine than at the last update: it was installed again, a name or a jump
 * host now leads elsewhere. What an update knows of the former machine, such as its previous settings, says nothing
 * about this one.
 */
import { type Connection, runScript } from "./connection";
import { hasOwner } from "./hostOwners";
import { machineIdIn } from "./state";

interface Known {
  /** That of the last update; omitted if unknown. */
  readonly machineId?: string;
  /** The files that name the components, and their names then and now. */
  readonly ownersPaths: readonly (string | undefined)[];
  readonly owners: readonly (string | undefined)[];
}

/**
 * True if `machineId` is another one, and the machine knows nothing of the component. A machine may get another id, and
 * an image of it keeps it.
 */
export async function isOtherMachine(
  connection: Connection,
  { machineId, owners, ownersPaths }: Known,
  now: string,
): Promise<boolean> {
  if (machineId === undefined || now === "" || machineId === now) return false;
  for (const path of new Set(ownersPaths))
    if (path !== undefined && (await hasOwner(connection, path, owners))) return false;
  return true;
}

/** Empty if unknown. */
export async function readMachineId(connection: Connection): Promise<string> {
  const script = "[ ! -r /etc/machine-id ] || cat /etc/machine-id";
  return machineIdIn((await runScript(connection, "read the machine's id", script, [])).stdout);
}
