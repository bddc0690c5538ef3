/**
 * `dump`: into every repository in one pass, into those of `--repos`, or into `--repo` alone. Exit 104: some
 * repositories lack the dump.
 */
import { logicalDump } from "../../operations/dump/logicalDump";
import { combinedError } from "../../operations/shared/results";
import { findPrograms } from "../../postgres/programs";
import type { Command } from "../../process/commandProcess";

export const dumpCommand: Command = async (proc) => {
  const { config, container, ctx } = proc;
  proc.requireStarted();
  const repos = proc.repositories();
  proc.lock("dump", repos);
  const results = await logicalDump(
    repos,
    {
      // With the check that the repository is the cluster's, archive.info has been read.
      lease: (repo) => proc.dumpLeases.take(repo, async () => {}),
      servers: proc.servers(),
      keep: ({ key }) => config.repos.find((repo) => repo.key === key)?.keepDumps,
      findPrograms: (major) =>
        container?.findOwnPrograms(major, ctx.signal) ?? findPrograms(major, config.binPath, ctx.signal),
      inContainer: container !== undefined,
    },
    // Programs in a container reach only its own server.
    { databases: config.databases, standby: container === undefined ? config.backup.standby : "n" },
    ctx,
  );
  const error = combinedError("dump", results);
  if (error !== null) throw error;
  return 0;
};
