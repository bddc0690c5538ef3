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
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import type { Command, CommandProcess } from "../../process/commandProcess";

export const annotateCommand: Command = async (proc) => {
  const { annotations } = proc.config.backup;
  const set = requiredSet(proc);
  const reserved = Object.keys(annotations).find((name) => name.startsWith(HOLD_NOTE));
  if (reserved !== undefined)
    throw fail("optionInvalidValue", `annotation '${reserved}' is a hold's`, { hint: "use hold and release." });
  const { annotated, errors } = await annotateAll(proc, (repo, lease) =>
    annotate(repo, set, annotations, lease, proc.ctx),
  );
  if (errors.length > 0)
    throw fail("command", `annotate command encountered ${errors.length} error(s), check the log file for details`);
  if (annotated.length === 0) throw fail("backupSetInvalid", "no backup set to annotate found");
  return 0;
};

/** The label of the backup. @throws what {@link requireLabel} throws */
export function requiredSet({ config: { set = "" } }: CommandProcess): string {
  requireLabel(set);
  return set;
}

/** Changes a backup in every repository that holds it; `change` is true for those. */
export async function annotateAll(
  proc: CommandProcess,
  change: (repo: Repository, lease: Lease) => Promise<boolean>,
): Promise<{ readonly annotated: readonly Repository[]; readonly errors: readonly BackupError[] }> {
  proc.requireStarted();
  const repos = proc.repositories();
  proc.lock("backup", repos);
  const annotated: Repository[] = [];
  const errors: BackupError[] = [];
  for (const repo of repos) {
    try {
      const lease = await proc.leases.take(repo, loadBackupInfo);
      if (await change(repo, lease)) annotated.push(repo);
    } catch (thrown) {
      errors.push(loggedFailure(repo, thrown, proc.ctx));
    }
  }
  return { annotated, errors };
}
