/**
 * `annotate`: adds, changes and (with an empty text) removes notes of the backup `--set` in every repository that holds
 * it.
 */
import { type BackupError, fail } from "../../base/errors";
import { HOLD_NOTE } from "../../operations/expire/hold";
import { annotate } from "../../operations/shared/annotate";
import { loggedFailure } from "../../operations/shared/results";
import { requireLabel } from "../../operations/shared/requireLabel";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Command } from "../../process/commandProcess";

export const annotateCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const set = config.set ?? "";
  requireLabel(set);
  const reserved = Object.keys(config.backup.annotations).find((name) => name.startsWith(HOLD_NOTE));
  if (reserved !== undefined)
    throw fail("optionInvalidValue", `annotation '${reserved}' is a hold's`, { hint: "use hold and release." });
  proc.requireStarted();
  const repos = proc.repositories();
  proc.lock("backup", repos);
  const errors: BackupError[] = [];
  let isAnnotated = false;
  for (const repo of repos) {
    try {
      const lease = await proc.leases.take(repo, loadBackupInfo);
      isAnnotated = (await annotate(repo, set, config.backup.annotations, lease, ctx)) || isAnnotated;
    } catch (thrown) {
      errors.push(loggedFailure(repo, thrown, ctx));
    }
  }
  if (errors.length > 0)
    throw fail("command", `annotate command encountered ${errors.length} error(s), check the log file for details`);
  if (!isAnnotated) throw fail("backupSetInvalid", "no backup set to annotate found");
  return 0;
};
