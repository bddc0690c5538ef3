/** The history of this host's server, which decides which of several timelines is the wanted one. */
import { realpath } from "../local/nodeFiles";
import { findDataDirectory } from "../operations/info/knownDirectory";
import { findInContainer, findServer } from "../operations/recover/hostFacts";
import { loadServerHistory } from "../operations/restore/serverHistory";
import type { ClusterAccess, Invocation } from "../process/commandProcess";
import type { ServerHistory } from "../recoverability/followedTimeline";

/** Null without a data directory here. */
export async function ownHistory(proc: Invocation & ClusterAccess): Promise<ServerHistory | null> {
  const { config, container, ctx } = proc;
  const directory = config.pgs.length === 0 ? null : findDataDirectory(proc);
  if (directory === null) return null;
  const dataDirectory = await realpath(directory).catch(() => directory);
  const find = () => (container === undefined ? findServer(dataDirectory) : findInContainer(container));
  // A server that cannot be looked at may run.
  const isRunning = async () => (await find().catch(() => undefined)) !== null;
  return loadServerHistory({ dataDirectory, walDirectory: proc.walDirectory }, isRunning, ctx);
}
