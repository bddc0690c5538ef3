/** `archive-get <name> <destination>`: 0 found, 1 certainly not in any repository, anything else an error that PostgreSQL must not take for the end. */
import { isAbsolute } from "node:path";
import { fail } from "../base/errors";
import { archiveGet } from "../operations/archiveGet";
import type { Command } from "./host";

export const archiveGetCommand: Command = async (host) => {
  const { config, ctx } = host;
  const [walName, destination] = config.params;
  if (config.params.length !== 2 || walName === undefined || destination === undefined) {
    throw fail("paramRequired", "WAL segment to get and path to copy it to are required", { hint: "restore_command passes them as %f and %p." });
  }
  const control = await host.loadControl();
  const found = await archiveGet(
    host.repositories(),
    {
      walName,
      destination: isAbsolute(destination) ? destination : `${host.workingDirectory}/${destination}`,
      cluster: { version: control.pgVersion, systemId: control.systemId },
    },
    ctx,
  );
  return found ? 0 : 1;
};
