/** `stanza-delete`: from one repository; requires a stopped stanza and, without `--force`, a stopped server. */
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { hasStopFile, removeStopFile } from "../../local/stopFile";
import { holdOf, holdText, isHeldAt } from "../../operations/expire/hold";
import { loadHolds } from "../../operations/expire/holdRecord";
import { hasServerFiles, hasStanza, removeLeases, stanzaDelete } from "../../operations/stanza/stanzaDelete";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import { dropSlotOf } from "./slotDrop";
import { listLabels } from "../../repository/backupStore";
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
  if (isThere) await stanzaDelete(repo, [lease, dumpLease], ctx);
  // With several repositories the stanza lives on in the others.
  if (slotArchivingOf(config) !== null && config.repos.length === 1) await dropSlotOf(proc);
  await removeLeases(repo, [dumpLease, lease]);
  removeStopFile(lockPath, stanza, proc.lockOwners());
  return 0;
};

/**
 * Without backup.info, records alone tell.
 * @throws backupSetInvalid (75) for a held backup; what makes backup.info unreadable, unless `--force` ignores it
 */
async function requireNoHold({ config, ctx }: Invocation, repo: Repository): Promise<void> {
  const backups = await listedBackups(config.force, repo, ctx);
  if (backups === null && config.force) return;
  const recorded = await loadHolds(repo);
  const labels = recorded.size === 0 ? [] : await listLabels(repo);
  const holds = [
    ...(backups ?? []).map((entry) => [entry.label, holdOf(entry)] as const),
    ...labels.map((label) => [label, recorded.get(label) ?? null] as const),
  ];
  for (const [label, hold] of holds) {
    if (hold === null || !isHeldAt(hold, ctx.clock.nowMs())) continue;
    const wayOut =
      backups === null
        ? "use --force, because without backup.info nothing can be released"
        : `run release --set=${label}`;
    throw fail("backupSetInvalid", `backup ${label} of ${repo.name} is ${holdText(hold)}`, {
      hint: `to let it go, ${wayOut}.`,
      repoIndex: repo.key,
    });
  }
}

/** Null if backup.info is missing or, with `force`, unreadable. */
async function listedBackups(
  force: boolean,
  repo: Repository,
  ctx: Context,
): Promise<Awaited<ReturnType<typeof loadBackupInfo>>["backups"] | null> {
  try {
    return (await loadBackupInfo(repo)).backups;
  } catch (error) {
    if (isError(error, "fileMissing")) return null;
    if (!force) throw error;
    ctx.log.warn(`${repo.name}: nobody can tell whether a backup is held: ${toBackupError(error).message}`);
    return null;
  }
}
