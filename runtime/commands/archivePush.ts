/** `archive-push <path of WAL file>`: exit 0 lets PostgreSQL recycle the segment. */
import { isAbsolute } from "node:path";
import { fail, isError } from "../base/errors";
import { archivePush } from "../operations/archivePush";
import { repoErrorLine } from "../operations/results";
import type { Command } from "./host";

/** How long a slow repository may go on once the policy is satisfied, before what it lacks becomes debt. */
const GRACE_MS = 5000;

export const archivePushCommand: Command = async (host) => {
  const { config, ctx } = host;
  const [path] = config.params;
  if (config.params.length !== 1 || path === undefined) {
    throw fail("paramRequired", "WAL segment to push required", { hint: "archive_command passes it as %p." });
  }
  host.requireStarted();
  const absolute = absoluteWalPath(path, host.dataDirectory, host.workingDirectory);
  const slash = absolute.lastIndexOf("/");
  const control = await host.loadControl().catch((error: unknown) => {
    if (isError(error, "fileMissing")) return null;
    throw error;
  });
  const outcome = await archivePush(
    host.repositories(),
    host.debt(),
    {
      walDirectory: absolute.slice(0, slash),
      walName: absolute.slice(slash + 1),
      cluster: control === null ? null : { version: control.pgVersion, systemId: control.systemId },
      headerCheck: config.archiveHeaderCheck,
      acknowledge: config.settings.acknowledge,
      graceMs: GRACE_MS,
      timeoutMs: config.archiveTimeoutMs,
    },
    ctx,
  );
  const walName = absolute.slice(slash + 1);
  if (outcome.error !== null) throw outcome.error;
  for (const result of outcome.results)
    if (!result.ok)
      ctx.log.warn(`${repoErrorLine(result.repoKey, result.error)}\n${walName} is owed to repo${result.repoKey}: run heal when it is back`);
  ctx.log.info(`pushed WAL file '${walName}' to the archive${outcome.aheadCount > 0 ? ` and ${outcome.aheadCount} more ahead` : ""}`);
  return 0;
};

/** A relative path is PostgreSQL's, which runs archive_command in its data directory ("pgbackrest-format" 8.1). */
function absoluteWalPath(path: string, dataDirectory: string, workingDirectory: string): string {
  if (isAbsolute(path)) return path;
  if (workingDirectory !== dataDirectory) {
    throw fail("optionInvalidValue", `PostgreSQL working directory '${workingDirectory}' is not the same as option pg1-path '${dataDirectory}'`, {
      hint: "is pg1-path the data directory of the cluster that archives here?",
    });
  }
  return `${dataDirectory}/${path}`;
}
