/**
 * `archive-get <name> <destination>`: 0 found, 1 certainly not in any repository, anything else an error. PostgreSQL ends a recovery at any
 * code from 1 to 125, so a doubt that may pass is asked again until `archive-timeout` before it becomes an error; and then a recovery that
 * would end there and open a database without its last transactions is aborted by a code above 125 (PostgreSQL "access/transam/xlogarchive.c").
 * It may end there when the repositories that cannot be read could not have acknowledged the file on their own: under policy `all` the others
 * hold whatever was. A standby asks again by itself: it gets the plain code, and so does a person who calls this beside a running server.
 */
import { isAbsolute } from "node:path";
import { type BackupError, fail, isError, toBackupError } from "../base/errors";
import { stockSpool } from "../local/spool";
import { isSatisfied } from "../operations/acknowledge";
import { archiveGetInTime, type Candidate, fetchTo, unreadableKeys } from "../operations/archiveGet";
import { Prefetcher } from "../operations/prefetch";
import { getSpool, getThroughSpool, type SpoolGetOptions } from "../operations/spoolGet";
import type { Command, CommandHost } from "./host";

const SEGMENT = /^[0-9A-F]{24}$/;
/** PostgreSQL: "could not restore file", and the server stops instead of opening; started again it goes on where it was. */
const RECOVERY_ABORTED = 255;

export const archiveGetCommand: Command = async (host) => {
  try {
    return await get(host);
  } catch (thrown) {
    const error = toBackupError(thrown);
    if (error.kind === "term" || !(await mustNotEnd(host, error))) throw thrown;
    const hint =
      "PostgreSQL would take this for the end of the archive: recovery is aborted. When the repository is gone for good, recover with --repo.";
    host.ctx.log.error(fail(error.kind, error.message, { hint: [...error.hints, hint], cause: thrown }));
    return RECOVERY_ABORTED;
  }
};

/** True in an archive recovery that would end here although acknowledged WAL may follow. */
async function mustNotEnd(host: CommandHost, error: BackupError): Promise<boolean> {
  const unreadable = unreadableKeys(error);
  const keys = host.repositories().map((repo) => repo.key);
  if (unreadable !== null && !isSatisfied(host.config.settings.acknowledge, keys, new Set(unreadable))) return false;
  const exists = async (name: string): Promise<boolean> => (await host.readFile(`${host.dataDirectory}/${name}`)) !== null;
  return (await exists("recovery.signal")) && !(await exists("standby.signal"));
}

async function get(host: CommandHost): Promise<number> {
  const { config, ctx } = host;
  const [walName, destination] = config.params;
  if (config.params.length !== 2 || walName === undefined || destination === undefined) {
    throw fail("paramRequired", "WAL segment to get and path to copy it to are required", { hint: "restore_command passes them as %f and %p." });
  }
  const control = await host.loadControl();
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const absolute = isAbsolute(destination) ? destination : `${host.workingDirectory}/${destination}`;
  const ask = (name: string, path: string): Promise<boolean> =>
    archiveGetInTime(host.repositories(), { walName: name, destination: path, cluster }, config.archiveTimeoutMs, ctx);
  // Histories and partial segments are single files: nothing follows them.
  if (config.archiveAsync && SEGMENT.test(walName)) {
    const options: SpoolGetOptions = {
      walName,
      destination: absolute,
      segmentSizeBytes: control.walSegmentSizeBytes,
      queueSizeBytesMax: config.archiveGetQueueSizeBytesMax,
      timeoutMs: config.archiveTimeoutMs,
    };
    const spool = stockSpool(config.spoolPath, config.stanza ?? "", "in");
    if (config.role === "async") {
      if (!lockArchive(host)) return 0;
      const parts = { cluster, segmentSizeBytes: options.segmentSizeBytes, queueSizeBytesMax: options.queueSizeBytesMax };
      const prefetcher = new Prefetcher(
        host.repositories(),
        spool,
        { ...parts, processMax: config.processMax, fetch: (from: Candidate, path: string) => fetchTo(from, path, true) },
        ctx,
      );
      await getSpool(spool, prefetcher, options, ask, ctx);
      return 0;
    }
    const background = { isRunning: () => host.lockState("archive").held, start: () => host.startBackground() };
    if ((await getThroughSpool(spool, options, background, ctx)) === true) return 0;
  }
  return (await ask(walName, absolute)) ? 0 : 1;
}

/** False when another process works already. */
function lockArchive(host: CommandHost): boolean {
  try {
    host.lock(
      "archive",
      host.repositories().map((repo) => repo.key),
    );
    return true;
  } catch (error) {
    if (isError(error, "lockAcquire")) return false;
    throw error;
  }
}
