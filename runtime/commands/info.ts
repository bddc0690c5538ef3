/** `info`: text for people, or stock's JSON with `--output=json`. Exit 0 whatever the status, as in stock. */
import { fail } from "../base/errors";
import { renderJson } from "../format/json";
import { collectInfo, infoJson } from "../operations/info";
import { infoText } from "../operations/infoText";
import type { Command } from "./host";

export const infoCommand: Command = async (host) => {
  const { config, ctx } = host;
  if (config.stanza === undefined)
    throw fail("optionRequired", "info command requires option: stanza", {
      hint: "listing all stanzas of a repository is not available in this version.",
    });
  const report = await collectInfo(
    host.repositories(),
    host.debt(),
    {
      stanza: config.stanza,
      set: config.set === "latest" ? undefined : config.set,
      backupLockHeld: host.isLocked("backup"),
      restoreLockHeld: host.isLocked("restore"),
    },
    ctx,
  );
  host.print(config.output === "json" ? renderJson(infoJson(report)) : infoText(report));
  return 0;
};
