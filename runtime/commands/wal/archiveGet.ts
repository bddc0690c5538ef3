/**
 * `archive-get <name> <destination>`: 0 done, 1 certainly in no repository, anything else an error. Transient errors
 * are retried until `archive-timeout`; then a code above 125 aborts the recovery (`runtime/base/recoveryExit`). The
 * recovery may end when the unreadable repositories could not have acknowledged the file alone: if the settings file
 * says policy `all`, the others hold every acknowledged file. Standbys, which retry, and calls alongside a running
 * server get the plain code.
 */
import { SEGMENT_NAME } from "../../format/wal/walSegment";
import { isAbsolute } from "node:path";
import { fail, isError, toBackupError } from "../../base/errors";
import { RECOVERY_ABORTED } from "../../base/recoveryExit";
import { stockSpool } from "../../local/spool";
import { archiveGetInTime, unreadableKeys } from "../../operations/archiveGet/archiveGet";
import { copyHere } from "../../operations/archiveGet/fetchCopy";
import { endOfRecovery, guaranteeOf, type Recovery } from "../../operations/archiveGet/endOfRecovery";
import { Prefetcher } from "../../operations/archiveGet/prefetch";
import { getLast, type Recovery as LastRecovery } from "../../operations/stream/partial";
import { refuseTablespace } from "../../operations/archiveGet/refuseTablespace";
import { getSpool, getThroughSpool, type SpoolGetOptions } from "../../operations/archiveGet/spoolGet";
import type {
  Command,
  CommandProcess,
  Invocation,
  LockAccess,
  MachineAccess,
  RepositoryAccess,
} from "../../process/commandProcess";

export const archiveGetCommand: Command = async (proc) => {
  const exitCode = await answer(proc);
  const { absolute, walName } = paramsOf(proc);
  // The background process fills the queue. The file at the destination is the foreground's, which looks itself.
  if (exitCode === 0 && proc.config.role !== "async")
    await refuseTablespace(absolute, walName, {
      ...recoveryOf(proc),
      refusesAll: proc.config.archive.refusesTablespace,
    });
  return exitCode;
};

async function answer(proc: CommandProcess): Promise<number> {
  try {
    return await get(proc);
  } catch (thrown) {
    const error = toBackupError(thrown);
    const end = await endOfRecovery(error, recoveryOf(proc));
    const isAborted = end?.exitCode === RECOVERY_ABORTED;
    if (!isAborted && unreadableKeys(error) !== null && (await last(proc, null, async () => false))) return 0;
    if (end === null) throw thrown;
    proc.ctx.log.error(end.error);
    return end.exitCode;
  }
}

/** The recovery that this command serves, for the decision about its end. */
function recoveryOf(proc: CommandProcess): Recovery & LastRecovery {
  return {
    ...guaranteeOf(proc.repositories(), proc.config),
    dataDirectory: proc.dataDirectory,
    exists: async (name) => (await proc.readFile(`${proc.dataDirectory}/${name}`)) !== null,
  };
}

async function get(proc: CommandProcess): Promise<number> {
  const { config, ctx } = proc;
  const { absolute, walName } = paramsOf(proc);
  const control = await proc.loadControl();
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  const repos = proc.repositories();
  const segmentSizeBytes = control.walSegmentSizeBytes;
  const ask = (name: string, path: string, fetch = copyHere(ctx)): Promise<boolean> =>
    archiveGetInTime(
      repos,
      { walName: name, destination: path, cluster, segmentSizeBytes, fetch },
      config.archive.timeoutMs,
      ctx,
    );
  // Histories and partial segments are single files: nothing follows them.
  if (config.archive.async && SEGMENT_NAME.test(walName)) {
    const options: SpoolGetOptions = {
      walName,
      destination: absolute,
      segmentSizeBytes,
      queueSizeBytesMax: config.archive.getQueueSizeBytesMax,
      timeoutMs: config.archive.timeoutMs,
    };
    const spool = stockSpool(config.spoolPath, config.stanza ?? "", "in");
    if (config.role === "async") {
      if (!lockArchive(proc)) return 0;
      const { queueSizeBytesMax } = options;
      // After a crash of the machine PostgreSQL gets files of the queue unchecked.
      const fetch = copyHere(ctx, true);
      const parts = { cluster, segmentSizeBytes, queueSizeBytesMax, processMax: config.processMax, fetch };
      await getSpool(
        spool,
        new Prefetcher(repos, spool, parts, ctx),
        options,
        (name, path) => ask(name, path, fetch),
        ctx,
      );
      return 0;
    }
    const background = { isRunning: () => proc.isLocked("archive"), start: () => void proc.startBackground() };
    if ((await getThroughSpool(spool, options, background, ctx)) === true) return 0;
  }
  const getWhole = (): Promise<boolean> => ask(walName, absolute);
  return (await getWhole()) || (await last(proc, config.archive.timeoutMs, getWhole)) ? 0 : 1;
}

/** @throws paramRequired (37) */
function paramsOf(proc: Invocation & MachineAccess): {
  readonly walName: string;
  readonly absolute: string;
} {
  const { config } = proc;
  const [walName, destination] = config.params;
  if (config.params.length !== 2 || walName === undefined || destination === undefined) {
    throw fail("paramRequired", "WAL segment to get and path to copy it to are required", {
      hint: "restore_command passes them as %f and %p.",
    });
  }
  return { walName, absolute: isAbsolute(destination) ? destination : `${proc.workingDirectory}/${destination}` };
}

/** Streamed WAL of a segment that no repository has; `timeoutMs` as in {@link PartialOptions}. */
async function last(
  proc: CommandProcess,
  timeoutMs: number | null,
  getWhole: () => Promise<boolean>,
): Promise<boolean> {
  const { absolute: destination, walName } = paramsOf(proc);
  const { pgVersion: version, systemId, walSegmentSizeBytes: segmentSizeBytes } = await proc.loadControl();
  const options = { walName, destination, cluster: { version, systemId }, segmentSizeBytes, timeoutMs };
  return getLast(proc.repositories(), options, recoveryOf(proc), getWhole, proc.ctx);
}

/** False when another process holds the lock. */
function lockArchive(proc: RepositoryAccess & LockAccess): boolean {
  try {
    proc.lock("archive", proc.repositories());
    return true;
  } catch (error) {
    if (isError(error, "lockAcquire")) return false;
    throw error;
  }
}
