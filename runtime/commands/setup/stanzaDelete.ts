/** `stanza-delete`: from one repository; requires a stopped stanza and, without `--force`, a stopped server. */
import { fail } from "../../base/errors";
import { hasStopFile, removeStopFile } from "../../local/stopFile";
import { hasServerFiles, hasStanza, removeLease, stanzaDelete } from "../../operations/stanza/stanzaDelete";
import { slotArchivingOf } from "../../operations/slot/readyDirectory";
import { dropSlotOf } from "./slotDrop";
import type { Command } from "../../process/commandProcess";

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
  const lease = await proc.leases.take(repo, async () => {});
  if (isThere) await stanzaDelete(repo, lease, ctx);
  // With several repositories the stanza lives on in the others.
  if (slotArchivingOf(config) !== null && config.repos.length === 1) await dropSlotOf(proc);
  await removeLease(repo, lease);
  removeStopFile(lockPath, stanza, proc.lockOwners());
  return 0;
};
