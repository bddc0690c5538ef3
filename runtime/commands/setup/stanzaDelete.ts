/** `stanza-delete`: from one repository; requires a stopped stanza and, without `--force`, a stopped server. */
import { fail } from "../../base/errors";
import { hasStopFile, removeStopFile } from "../../local/stopFile";
import { hasStanza, removeLease, stanzaDelete } from "../../operations/stanza/stanzaDelete";
import type { Command } from "../../process/commandProcess";

export const stanzaDeleteCommand: Command = async (host) => {
  const { config, ctx } = host;
  const { lockPath, stanza = "" } = config;
  const [repo, ...others] = host.repositories();
  if (repo === undefined || others.length > 0) {
    throw fail("optionRequired", "stanza-delete command requires option: repo", {
      hint: "this command requires a specific repository to operate on",
    });
  }
  if (!(await hasStanza(repo))) return 0;
  if (!hasStopFile(lockPath, stanza, host.lockOwners())) {
    throw fail("fileMissing", `stop file does not exist for stanza '${stanza}'`, {
      hint: "has the pgbackrest stop command been run on this server for this stanza?",
    });
  }
  if (!config.force && (await host.readFile(`${host.dataDirectory}/postmaster.pid`)) !== null) {
    throw fail(
      "pgRunning",
      `postmaster.pid exists - looks like PostgreSQL is running. To delete stanza '${stanza}' on ${repo.name}, shut down PostgreSQL for stanza '${stanza}' and try again, or use --force.`,
    );
  }
  host.lock("archive", [repo]);
  host.lock("backup", [repo]);
  const lease = await host.leases.take(repo, async () => {});
  await stanzaDelete(repo, lease, ctx);
  await host.leases.releaseAll();
  await removeLease(repo);
  removeStopFile(lockPath, stanza, host.lockOwners());
  return 0;
};
