/**
 * `dump`: into every repository in one pass, into those of `--repos`, or into `--repo` alone. Exit 104: some
 * repositories lack the dump.
 */
import { type DumpedServer, logicalDump } from "../../operations/dump/logicalDump";
import type { RepoResult } from "../../base/parallel";
import { combinedError } from "../../operations/shared/results";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { serviceOf, withLogin } from "../recovery/throughService";
import { localServer, serviceServer } from "./dumpedServer";

export const dumpCommand: Command = async (proc) => {
  proc.requireStarted();
  proc.lock("dump", proc.repositories());
  const service = serviceOf(proc, "dump");
  const results =
    service === undefined
      ? await dumpOf(proc, () => localServer(proc))
      : await withLogin(service, async (login) => {
          const server = await serviceServer(proc, service, login);
          try {
            return await dumpOf(proc, async () => server);
          } finally {
            await server.session.close();
          }
        });
  const error = combinedError("dump", results);
  if (error !== null) throw error;
  return 0;
};

function dumpOf(proc: CommandProcess, openServer: () => Promise<DumpedServer>): Promise<RepoResult<string>[]> {
  const { config, ctx } = proc;
  return logicalDump(
    proc.repositories(),
    {
      // With the check that the repository is the cluster's, archive.info has been read.
      lease: (repo) => proc.dumpLeases.take(repo, async () => {}),
      keep: ({ key }) => config.repos.find((repo) => repo.key === key)?.keepDumps,
      openServer,
    },
    { databases: config.databases },
    ctx,
  );
}
