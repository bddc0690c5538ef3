/** `heal`: brings every repository to the same WAL; exit 104 when some could not be healed. */
import { fail } from "../base/errors";
import { heal } from "../operations/heal";
import { openLocalWal } from "../operations/localWal";
import { combinedError } from "../operations/results";
import type { Command } from "./host";

export const healCommand: Command = async (host) => {
  const { ctx } = host;
  host.requireStarted();
  const control = await host.loadControl();
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const walDirectory = `${host.dataDirectory}/pg_wal`;
  const repos = host.repositories();
  const local = openLocalWal(walDirectory, cluster, host.config.archiveHeaderCheck);
  const results = await heal(repos, host.debt(), cluster, local, ctx, repos.length === host.config.repos.length);
  for (const result of results) {
    if (!result.ok) continue;
    const { copied, settled, unhealed } = result.value;
    ctx.log.info(`repo${result.repoKey}: ${copied} WAL file(s) copied, ${settled} debt(s) settled, ${unhealed.length} could not be healed`);
  }
  const error = combinedError("heal", results);
  if (error !== null) throw error;
  const lost = results.flatMap((result) => (result.ok ? result.value.unhealed.map((line) => `repo${result.repoKey}: ${line}`) : []));
  if (lost.length > 0)
    throw fail("command", ["heal could not copy every WAL file:", ...lost].join("\n"), {
      hint: "take a new backup: it does not need the missing segments, and heal lets go of them then.",
    });
  return 0;
};
