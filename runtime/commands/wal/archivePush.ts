/**
 * `archive-push <path of WAL file>`: exit 0 lets PostgreSQL recycle the segment. With `archive-async` a background
 * process does the work.
 */
import { isAbsolute } from "node:path";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, nullOn, toBackupError } from "../../base/errors";
import { isSameDirectory } from "../../local/sameDirectory";
import { openFailedRepos } from "../../local/failedRepos";
import { openSeenWal } from "../../local/seenWal";
import { stockSpool } from "../../local/spool";
import { archivePush } from "../../operations/archivePush/archivePush";
import { dropWhenFull } from "../../operations/archivePush/dropWal";
import { copyInherited, noteInherited, type SettleParts, settleInherited } from "../../operations/heal/inheritedWal";
import { UNKNOWN_CLUSTER } from "../../operations/shared/identity";
import { openLocalWal } from "../../operations/shared/localWal";
import { type PushAnswer, PushQueue, type PushQueueOptions } from "../../operations/archivePush/pushQueue";
import { listReady } from "../../postgres/archiveStatus";
import { repoErrorLine } from "../../operations/shared/results";
import { pushSpool, pushThroughSpool } from "../../operations/archivePush/spoolPush";
import type {
  ClusterAccess,
  Command,
  CommandProcess,
  Invocation,
  LockAccess,
  MachineAccess,
  ProgramAccess,
  RepositoryAccess,
} from "../../process/commandProcess";

/** How long a slow repository may continue once the policy is satisfied, before it counts as behind. */
const GRACE_MS = 5000;

interface WalPath {
  readonly walDirectory: string;
  readonly walName: string;
}

export const archivePushCommand: Command = async (proc) => {
  const { config } = proc;
  const [path] = config.params;
  if (config.params.length !== 1 || path === undefined) {
    throw fail("paramRequired", "WAL segment to push required", { hint: "archive_command passes it as %p." });
  }
  proc.requireStarted();
  const absolute = absoluteWalPath(path, proc);
  const slash = absolute.lastIndexOf("/");
  const wal = { walDirectory: absolute.slice(0, slash), walName: absolute.slice(slash + 1) };
  if (config.role === "async") return pushInBackground(proc, wal);
  if (config.archive.async) return pushAsync(proc, wal);
  return pushNow(proc, wal);
};

async function pushNow(proc: CommandProcess, { walDirectory, walName }: WalPath): Promise<number> {
  const { config, ctx } = proc;
  const control = await nullOn(proc.loadControl(), "fileMissing");
  const cluster = control === null ? null : { version: control.pgVersion, systemId: control.systemId };
  const missingWal = proc.missingWal();
  let isLocked: boolean | undefined;
  const mayWrite = (): boolean => (isLocked ??= lockArchive(proc, ctx));
  const outcome = await archivePush(
    proc.repositories(),
    missingWal,
    {
      walDirectory,
      walName,
      cluster,
      headerCheck: config.archive.headerCheck,
      segmentSizeBytes: control?.walSegmentSizeBytes,
      ...memoryOf(proc),
      acknowledge: config.settings.acknowledge,
      graceMs: GRACE_MS,
      timeoutMs: config.archive.timeoutMs,
      mayPushAhead: mayWrite,
    },
    ctx,
  );
  // Also if the history is refused or dropped: PostgreSQL does not keep what it received until a repository is back.
  if (walName.endsWith(".history") && control !== null)
    await settleInherited(walName, inheritedParts(proc, walDirectory, control, mayWrite), ctx);
  if (outcome.error !== null) {
    const options = {
      walDirectory,
      walName,
      cluster: cluster ?? UNKNOWN_CLUSTER,
      queueSizeBytesMax: config.archive.pushQueueSizeBytesMax,
    };
    if ((await dropWhenFull(outcome, missingWal, options, ctx)) === null) throw outcome.error;
    return 0;
  }
  for (const result of outcome.results)
    if (!result.ok)
      ctx.log.warn(
        `${repoErrorLine(result.repoIndex, result.error)}\nrepo${result.repoIndex} lacks ${walName}: ${remedyOf(result.error)}`,
      );
  ctx.log.info(
    `pushed WAL file '${walName}' to the archive${outcome.aheadCount > 0 ? ` and ${outcome.aheadCount} more ahead` : ""}`,
  );
  return 0;
}

/** What earlier calls leave for this one, and whether PostgreSQL waits for the last ones. */
function memoryOf(
  proc: Invocation & ClusterAccess,
): Required<Pick<PushQueueOptions, "failed" | "isStopping" | "seen">> {
  const { spoolPath, stanza = "" } = proc.config;
  return {
    seen: openSeenWal(spoolPath, stanza),
    failed: openFailedRepos(spoolPath, stanza),
    isStopping: () => proc.isServerStopping(),
  };
}

function remedyOf(error: BackupError): string {
  return isError(error, "archiveDuplicate")
    ? "status reports it until the wrong file is removed and pgbackstop heal has run"
    : "run pgbackstop heal when the repository is available";
}

/** A promoted server archives its history; WAL that it received before has no other sender. */
function inheritedParts(
  proc: Invocation & RepositoryAccess,
  walDirectory: string,
  { pgVersion: version, systemId, walSegmentSizeBytes }: Awaited<ReturnType<ClusterAccess["loadControl"]>>,
  mayWrite: () => boolean,
): SettleParts {
  const cluster = { version, systemId };
  const { headerCheck, timeoutMs } = proc.config.archive;
  return {
    repos: proc.repositories(),
    missingWal: proc.missingWal(),
    cluster,
    walDirectory,
    walSegmentSizeBytes,
    local: openLocalWal(walDirectory, cluster, headerCheck, walSegmentSizeBytes),
    timeoutMs,
    mayWrite,
  };
}

async function pushAsync(proc: Invocation & LockAccess & ProgramAccess, wal: WalPath): Promise<number> {
  const { config, ctx } = proc;
  const spool = stockSpool(config.spoolPath, config.stanza ?? "", "out");
  const background = { isRunning: () => proc.isLocked("archive"), start: () => void proc.startBackground() };
  await pushThroughSpool(spool, { ...wal, timeoutMs: config.archive.timeoutMs }, background, ctx);
  return 0;
}

/** Succeeds immediately when another process holds the lock. */
async function pushInBackground(proc: CommandProcess, { walDirectory }: WalPath): Promise<number> {
  const { config, ctx } = proc;
  const repos = proc.repositories();
  if (!lockArchive(proc, ctx)) return 0;
  const spool = stockSpool(config.spoolPath, config.stanza ?? "", "out");
  try {
    const control = await proc.loadControl();
    const cluster = { version: control.pgVersion, systemId: control.systemId };
    const { archive, processMax } = config;
    const { headerCheck } = archive;
    const missingWal = proc.missingWal();
    const queue = new PushQueue(
      repos,
      missingWal,
      {
        walDirectory,
        cluster,
        headerCheck,
        segmentSizeBytes: control.walSegmentSizeBytes,
        ...memoryOf(proc),
        processMax,
        graceMs: GRACE_MS,
      },
      null,
      ctx,
    );
    const queueSizeBytesMax = config.archive.pushQueueSizeBytesMax;
    const options = {
      walDirectory,
      acknowledge: config.settings.acknowledge,
      timeoutMs: config.archive.timeoutMs,
      batchSizeBytes: config.archive.pushBatchSizeBytes,
      drop: (walName: string, answer: PushAnswer) =>
        dropWhenFull(answer, missingWal, { walDirectory, walName, cluster, queueSizeBytesMax }, ctx),
    };
    const histories = (await listReady(walDirectory, Number.POSITIVE_INFINITY)).filter((name) =>
      name.endsWith(".history"),
    );
    // Before PostgreSQL gets an answer: later runs do not see that the history was new.
    const inherited = inheritedParts(proc, walDirectory, control, () => true);
    for (const walName of histories) await noteInherited(walName, inherited, ctx);
    await pushSpool(spool, queue, options, ctx);
    await queue.close(AbortSignal.abort());
    for (const walName of histories) await copyInherited(walName, inherited, ctx);
    return 0;
  } catch (thrown) {
    const error = toBackupError(thrown);
    await spool.writeError(null, error.exitCode, error.message);
    throw error;
  }
}

function lockArchive(proc: RepositoryAccess & LockAccess, ctx: Context): boolean {
  try {
    proc.lock("archive", proc.repositories());
    return true;
  } catch (error) {
    if (!isError(error, "lockAcquire")) throw error;
    ctx.log.info(`another process archives already: ${error.message}`);
    return false;
  }
}

/** PostgreSQL runs archive_command in its data directory and passes a relative path ("pgbackrest-format" 8.1). */
function absoluteWalPath(path: string, proc: ClusterAccess & MachineAccess): string {
  if (isAbsolute(path)) return path;
  const { dataDirectory, workingDirectory } = proc;
  if (!isSameDirectory(workingDirectory, dataDirectory)) {
    throw fail(
      "optionInvalidValue",
      `PostgreSQL working directory '${workingDirectory}' is not the same as option pg1-path '${dataDirectory}'`,
      {
        hint: "Is pg1-path the data directory of the cluster that archives here?",
      },
    );
  }
  return `${dataDirectory}/${path}`;
}
