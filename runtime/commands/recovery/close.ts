/** `close`: ends what `open` has begun. */
import { closeBackup } from "../../operations/open/closeBackup";
import type { Command } from "../../process/commandProcess";
import { accountOf, directoryOf } from "./open";

export const closeCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const request = {
    at: directoryOf(proc),
    isRoot: proc.self.uid === 0,
    account: await accountOf(proc),
    keeps: config.close.keep,
  };
  proc.print(await closeBackup(request, { program: (args) => proc.program(args, { signal: ctx.signal }) }, ctx));
  return 0;
};
