/** `slot-drop`: drops the stanza's replication slot, so that the server keeps no WAL for an agent that is gone. */
import { saveSlotPosition } from "../../local/slotState";
import { slotName, takeSlot } from "../../operations/slot/slot";
import type { ClusterAccess, Command, Invocation } from "../../process/commandProcess";

export const slotDropCommand: Command = async (proc) => {
  await dropSlotOf(proc);
  return 0;
};

export async function dropSlotOf(proc: Invocation & ClusterAccess): Promise<void> {
  const { config, ctx } = proc;
  const name = slotName(config.stanza ?? "");
  const isDropped = await takeSlot(await proc.session(), name, ctx.clock);
  // What is archived later is no continuation.
  await saveSlotPosition(config.spoolPath, config.stanza ?? "", null);
  ctx.log.info(isDropped ? `dropped the replication slot ${name}` : `the server has no replication slot ${name}`);
}
