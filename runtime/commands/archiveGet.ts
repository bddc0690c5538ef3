/**
 * `archive-get <name> <destination>`: 0 found, 1 certainly not in any repository, anything else an error. PostgreSQL ends a recovery at any
 * code from 1 to 125, so a doubt that may pass is asked again until `archive-timeout` before it becomes an error.
 */
import { isAbsolute } from "node:path";
import { fail, isError } from "../base/errors";
import { stockSpool } from "../local/spool";
import { archiveGetInTime } from "../operations/archiveGet";
import { Prefetcher } from "../operations/prefetch";
import { getSpool, getThroughSpool, type SpoolGetOptions } from "../operations/spoolGet";
import type { Command, CommandHost } from "./host";

const SEGMENT = /^[0-9A-F]{24}$/;

export const archiveGetCommand: Command = async (host) => {
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
      const prefetcher = new Prefetcher(host.repositories(), spool, { ...parts, processMax: config.processMax, durable: true }, ctx);
      await getSpool(spool, prefetcher, options, ask, ctx);
      return 0;
    }
    const background = { isRunning: () => host.lockState("archive").held, start: () => host.startBackground() };
    if ((await getThroughSpool(spool, options, background, ctx)) === true) return 0;
  }
  return (await ask(walName, absolute)) ? 0 : 1;
};

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
