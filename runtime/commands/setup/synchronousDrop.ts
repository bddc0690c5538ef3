/**
 * `synchronous-drop`: commits no longer wait for the repositories, because the agent that confirmed them is gone. Other
 * synchronous standbys stay required.
 */
import { removeReceiver } from "../../operations/stream/receiverSetting";
import { RECEIVER_NAME } from "../../operations/stream/standbyNames";
import type { Command } from "../../process/commandProcess";

export const synchronousDropCommand: Command = async (proc) => {
  const isRemoved = await removeReceiver(await proc.session());
  const fact = isRemoved ? `${RECEIVER_NAME} left` : `${RECEIVER_NAME} is not in`;
  proc.ctx.log.info(`commits do not wait for repositories: ${fact} synchronous_standby_names`);
  return 0;
};
