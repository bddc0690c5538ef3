/** `close`: ends what `open` has begun. */
import { fail, isError } from "../../base/errors";
import { closeBackup, type CloseRequest } from "../../operations/open/closeBackup";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { forgetClone } from "./clone";
import { requireOutsideData } from "./besideProduction";
import { accountOf, directoryOf } from "./open";

export const closeCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const request = {
    at: directoryOf(proc),
    isRoot: proc.self.uid === 0,
    account: await accountOf(proc),
    keeps: config.close.keep,
    stanza: config.stanza ?? "",
    spoolPath: config.spoolPath,
    self: proc.process,
    move: moveOf(proc),
  };
  try {
    proc.print(
      await closeBackup(request, { program: (args, lock) => proc.program(args, { signal: ctx.signal, lock }) }, ctx),
    );
  } catch (error) {
    // The timer of a clone that is gone must not try for ever.
    if (isError(error, "fileMissing")) await forgetClone(proc, request);
    throw error;
  }
  if (!request.keeps) await forgetClone(proc, request);
  return 0;
};

/** @throws optionInvalid, optionInvalidValue */
function moveOf(proc: CommandProcess): CloseRequest["move"] {
  const { close, restore } = proc.config;
  if (close.moveTo === undefined) {
    if (restore.tablespaceMapAll !== undefined || Object.keys(restore.tablespaceMap).length > 0)
      throw fail("optionInvalid", "close has --tablespace-map and --tablespace-map-all only with --move-to", {
        hint: "Nothing was closed: without --move-to, close would discard all pages.",
      });
    return null;
  }
  if (close.keep) throw fail("optionInvalid", "close has either --keep or --move-to");
  const to = close.moveTo.replace(/\/+$/, "");
  const at = directoryOf(proc);
  if (to === "" || `${to}/`.startsWith(`${at}/`) || `${to}/`.startsWith(`${at}.pgbackstop/`))
    throw fail(
      "optionInvalidValue",
      `'${close.moveTo}' is not valid for 'move-to' option: it is in the opened directory`,
    );
  requireOutsideData(proc, "move-to", to);
  return { to, tablespaceMap: restore.tablespaceMap, tablespaceMapAll: restore.tablespaceMapAll };
}
