/** `annotate`: changes a backup's annotations in backup.info; the manifest stays unchanged, as in stock. */
import { fail } from "../../base/errors";
import type { Context } from "../../base/context";
import type { BackupInfo } from "../../format/repository/backupInfo";
import { isLabel } from "../../format/repository/label";
import type { Lease } from "../../repository/lease";
import { saveListed } from "../../repository/reconstruct";
import type { Repository } from "../../repository/repository";

/**
 * False when the repository has no such backup. An empty value removes an annotation.
 * @throws optionInvalidValue; lockAcquire (50) when the lease was lost
 */
export async function annotate(
  repo: Repository,
  label: string,
  notes: Readonly<Record<string, string>>,
  lease: Lease,
  ctx: Context,
): Promise<boolean> {
  if (!isLabel(label)) throw fail("optionInvalidValue", `'${label}' is not a valid backup label format`);
  let exists = false;
  const update = async (info: BackupInfo): Promise<BackupInfo> => {
    await lease.check();
    const entry = info.backups.find((candidate) => candidate.label === label);
    exists = entry !== undefined;
    if (entry === undefined) return info;
    ctx.log.info(`backup set '${label}' to annotate found in ${repo.name}`);
    const merged = Object.entries({ ...entry.annotations, ...notes }).filter(([, text]) => text !== "");
    const { annotations: _old, ...rest } = entry;
    const changed = { ...rest, ...(merged.length === 0 ? {} : { annotations: Object.fromEntries(merged) }) };
    return { ...info, backups: info.backups.map((candidate) => (candidate === entry ? changed : candidate)) };
  };
  await saveListed(repo, lease, update, ctx);
  return exists;
}
