/** `stanza-delete`: from one repository; requires a stopped stanza and, without `--force`, a stopped server. */
import { fail, isError, toBackupError } from "../../base/errors";
import { hasStopFile, removeStopFile } from "../../local/stopFile";
import { holdOf, holdText } from "../../operations/expire/hold";
import { hasServerFiles, hasStanza, removeLeases, stanzaDelete } from "../../operations/stanza/stanzaDelete";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import { dropSlotOf } from "./slotDrop";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import type { Command, Invocation } from "../../process/commandProcess";

export const stanzaDeleteCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { lockPath, stanza = "" } = config;
  const [repo, ...others] = proc.repositories();
  if (repo === undefined || others.length > 0) {
    throw fail("optionRequired", "stanza-delete command requires option: repo", {
      hint: "this command requires a specific repository to operate on",
    });
  }
  const isThere = await hasStanza(repo);
  // Without the stanza these are what a run left that was killed, or failed, after it had removed the stanza.
  if (!isThere && !(await hasServerFiles(repo))) return 0;
  if (!hasStopFile(lockPath, stanza, proc.lockOwners())) {
    // A slot and a lease without a stop file are an agent's.
    if (!isThere) return 0;
    throw fail("fileMissing", `stop file does not exist for stanza '${stanza}'`, {
      hint: "has the pgbackrest stop command been run on this server for this stanza?",
    });
  }
  if (isThere && !config.force && (await proc.readFile(`${proc.dataDirectory}/postmaster.pid`)) !== null) {
    throw fail(
      "pgRunning",
      `postmaster.pid exists - looks like PostgreSQL is running. To delete stanza '${stanza}' on ${repo.name}, shut down PostgreSQL for stanza '${stanza}' and try again, or use --force.`,
    );
  }
  proc.lock("archive", [repo]);
  proc.lock("backup", [repo]);
  proc.lock("dump", [repo]);
  const lease = await proc.leases.take(repo, async () => {});
  // A dump of another host must end before its files go.
  const dumpLease = await proc.dumpLeases.take(repo, async () => {});
  if (isThere) await requireNoHold(proc, repo);
  if (isThere) await stanzaDelete(repo, lease, ctx);
  // With several repositories the stanza lives on in the others.
  if (slotArchivingOf(config) !== null && config.repos.length === 1) await dropSlotOf(proc);
  await removeLeases(repo, [dumpLease, lease]);
  removeStopFile(lockPath, stanza, proc.lockOwners());
  return 0;
};

/** @throws backupSetInvalid (75) for a held backup; what makes backup.info unreadable, unless `--force` ignores it */
async function requireNoHold({ config, ctx }: Invocation, repo: Repository): Promise<void> {
  let backups: Awaited<ReturnType<typeof loadBackupInfo>>["backups"] = [];
  try {
    ({ backups } = await loadBackupInfo(repo));
  } catch (error) {
    if (isError(error, "fileMissing")) return;
    if (!config.force) throw error;
    ctx.log.warn(`${repo.name}: nobody can tell whether a backup is held: ${toBackupError(error).message}`);
  }
  for (const entry of backups) {
    const hold = holdOf(entry);
    const isOver = hold === null || (hold.untilS !== null && hold.untilS * 1000 < ctx.clock.nowMs());
    if (isOver) continue;
    throw fail("backupSetInvalid", `backup ${entry.label} of ${repo.name} is ${holdText(hold)}`, {
      hint: `to let it go, run release --set=${entry.label}.`,
      repoIndex: repo.key,
    });
  }
}
