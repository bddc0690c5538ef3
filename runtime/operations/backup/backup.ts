/**
 * `backup`: one pass over the cluster into every repository.
 *
 * The flow is stock's ("pgbackrest-format" 15), with N repositories where stock has one: a repository that fails at any step leaves the run
 * with its error, the others finish, and the outcome says which. Each goes on with a prior backup of its own, or becomes a full one and says
 * why. Only what concerns the cluster itself (no connection, archiving off, a relation that cannot be read) ends the whole backup.
 */
import type { Context } from "../../base/context";
import type { RepoResult } from "../../base/parallel";
import { perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { BackupType } from "../../format/label";
import type { Manifest } from "../../format/manifest";
import type { PgControl } from "../../format/pgControl";
import { parseWalName } from "../../format/walSegment";
import type { UserNames } from "../../local/users";
import { loadControlFile } from "../../postgres/controlFile";
import { type Scan, scanDataDirectory } from "../../postgres/dataDirectory";
import type { BackupStart, Session } from "../../postgres/session";
import { loadArchiveInfo, saveBackupInfo } from "../../repository/infoStore";
import { loadReconstructedInfo } from "../../repository/reconstruct";
import type { Repository } from "../../repository/repository";
import { requireArchiving } from "../archiving";
import { checkArchive, checkBackup } from "../identity";
import type { JobPool } from "../jobs";
import { keepServerFiles } from "../serverFiles";
import { waitForWal } from "../waitWal";
import { type BeginOptions, beginInRepositories, findPriors } from "./begin";
import { copyFiles } from "./copy";
import { finish } from "./finish";
import { findPrior } from "./prior";
import { BackupRun, type OpenBackup } from "./run";
import { chooseServers, requireSameRoles, type Server, type ServerCandidate, type Servers, type StandbyMode, waitForStandby } from "./servers";

export interface BackupOptions extends BeginOptions {
  readonly type: BackupType;
  readonly backupStandby: StandbyMode;
  readonly startFast: boolean;
  readonly archiveModeCheck: boolean;
  /** Must be in `archive_command`. */
  readonly archiveCommandWord: string;
  readonly archiveTimeoutMs: number;
  readonly pageHeaderCheck: boolean;
  readonly exclude: readonly string[];
  readonly manifestSaveThresholdBytes: number;
  readonly checksumPageError: boolean;
}

export interface BackupDone {
  readonly label: string;
  readonly manifest: Manifest;
}

export interface BackupOutcome {
  readonly results: readonly RepoResult<BackupDone>[];
  /** Bytes read from the cluster. */
  readonly sizeBytes: number;
  readonly elapsedMs: number;
}

export interface BackupDeps {
  /** The configured clusters, ascending by key. */
  readonly servers: readonly ServerCandidate[];
  readonly pool: JobPool;
  readonly users: UserNames;
  /** Told how far the copy is, for the lock file that `info` reads. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

const SECOND_MS = 1000;

export async function backup(repos: readonly Repository[], deps: BackupDeps, options: BackupOptions, ctx: Context): Promise<BackupOutcome> {
  const beganAtMs = ctx.clock.monotonicMs();
  const servers = await chooseServers(deps.servers, options.backupStandby, ctx);
  const { main } = servers;
  // A standby's own setting says nothing about who archives its WAL.
  if (options.archiveCheck && !main.facts.inRecovery) requireArchiving(main.facts, options.archiveModeCheck, options.archiveCommandWord);
  const { control } = await loadControlFile(main.dataDirectory, ctx);
  const run = new BackupRun(await openRepositories(repos, control, ctx), ctx);
  run.requireOne();
  const { type } = options;
  const priors = await findPriors(run, type, (open) => findPrior(open, type === "diff" ? "diff" : "incr"), ctx);

  await main.session.takeBackupLock();
  const startedAtS = await main.session.nowS();
  const begun = await startBackup(servers, run, control, options, ctx);
  const scan = await scanCluster(main, control, deps.users, options, ctx);
  // Files may still change within this second without a newer time: the copy starts with the next one ("pgbackrest-format" 15, step 9).
  const scannedAtS = await nextSecond(main.session, ctx);
  const databases = await main.session.listDatabases();
  const times = main.facts.inRecovery ? "standby alone" : servers.standby === null ? "primary" : "primary with standby";
  await beginInRepositories(run, { scan, startedAtS, scannedAtS, begun, control, databases, times, priors, options }, type, deps.pool, ctx);

  const copied = await copyFiles(
    run,
    scan,
    deps,
    {
      ...options,
      dataDirectory: main.dataDirectory,
      standbyDirectory: servers.standby?.dataDirectory ?? null,
      controlLast: main.facts.inRecovery,
      pageSizeBytes: control.pageSizeBytes,
    },
    ctx,
  );
  await requireSameRoles(servers);
  const stopped = await main.session.stopBackup(control.walSegmentSizeBytes);
  const stoppedAtS = await main.session.nowS();
  ctx.log.info(`backup stop archive = ${stopped.walName}, lsn = ${stopped.lsn}`);
  run.throwIfAborted();
  const stop = {
    stopped,
    stoppedAtS,
    archiveStart: begun.walName,
    walSegmentSizeBytes: control.walSegmentSizeBytes,
    onStandby: main.facts.inRecovery,
  };
  const kept = run.alive.map(({ repo }) => ({ repo, manifest: run.plan(repo.key).manifest }));
  await keepServerFiles(main.session, main.dataDirectory, deps.users, kept, ctx);
  await finish(run, copied, stop, options, ctx);

  const outcome = { results: run.results(), sizeBytes: copied.sizeBytes, elapsedMs: Math.round(ctx.clock.monotonicMs() - beganAtMs) };
  logOutcome(outcome, ctx);
  return outcome;
}

async function openRepositories(repos: readonly Repository[], control: PgControl, ctx: Context): Promise<RepoResult<OpenBackup>[]> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  return perRepo(repos, async (repo): Promise<OpenBackup> => {
    const [archiveInfo, { info, changed }] = await Promise.all([loadArchiveInfo(repo), loadReconstructedInfo(repo, ctx)]);
    const archiveId = checkArchive(repo, archiveInfo, cluster);
    const historyId = checkBackup(repo, info, cluster);
    // Now, not with the new backup: what that one builds on must be listed no later than itself.
    if (changed) await saveBackupInfo(repo, info, ctx);
    return {
      repo,
      archiveId,
      archivePass: archiveInfo.cipherPass ?? null,
      historyId,
      infoPass: info.cipherPass ?? null,
      backups: info.backups,
    };
  });
}

async function startBackup(servers: Servers, run: BackupRun, control: PgControl, options: BackupOptions, ctx: Context): Promise<BackupStart> {
  const { session, facts } = servers.main;
  const fast = options.startFast ? "immediate" : "next regular";
  ctx.log.info(`execute non-exclusive backup start: backup begins after the ${fast} checkpoint completes`);
  // A standby cannot switch: what it needs shows when the stop is waited for.
  const checkSegment = options.archiveCheck && !facts.inRecovery ? await session.currentWalName() : null;
  const begun = await session.startBackup(options.startFast, control.walSegmentSizeBytes);
  ctx.log.info(`backup start archive = ${begun.walName}, lsn = ${begun.lsn}`);
  if (checkSegment !== null) {
    // Nothing would be archived before the stop if the backup starts in the segment that is checked ("pgbackrest-format" 15, step 6).
    if (checkSegment === begun.walName) await session.switchWal("pgBackRest Archive Check");
  }
  if (servers.standby !== null) {
    await waitForStandby(servers.standby, begun.lsn, parseWalName(begun.walName)?.timeline ?? 0, options.archiveTimeoutMs, ctx);
  }
  if (checkSegment !== null) {
    ctx.log.info(`check archive for segment ${checkSegment}`);
    await run.forEach((open) => waitForWal(open.repo, open.archiveId, checkSegment, options.archiveTimeoutMs, ctx));
    run.requireOne();
  }
  return begun;
}

async function scanCluster(main: Server, control: PgControl, users: UserNames, options: BackupOptions, ctx: Context): Promise<Scan> {
  const scan = await scanDataDirectory({
    dataDirectory: main.dataDirectory,
    version: main.facts.version,
    catalogVersion: control.catalogVersion,
    online: true,
    exclude: options.exclude,
    tablespaces: new Map((await main.session.listTablespaces()).map((row) => [row.id, row.name])),
    users,
  });
  for (const note of scan.notes) ctx.log.info(note);
  for (const warning of scan.warnings) ctx.log.warn(warning);
  return scan;
}

/** File times are those of the kernel's last tick, which is up to 10 ms ago. */
const FILE_TIME_LAG_MS = 20;

/** The current second; resolves in a later one, also by the times that files get. */
async function nextSecond(session: Session, ctx: Context): Promise<number> {
  const nowMs = await session.nowMs();
  await ctx.clock.sleep(SECOND_MS - (nowMs % SECOND_MS) + FILE_TIME_LAG_MS, ctx.signal);
  return Math.floor(nowMs / SECOND_MS);
}

function logOutcome(outcome: BackupOutcome, ctx: Context): void {
  for (const result of outcome.results) {
    if (!result.ok) {
      ctx.log.warn(`repo${result.repoKey}: backup failed: [${result.error.name}] ${result.error.message}`);
      continue;
    }
    const { label, manifest } = result.value;
    const own = manifest.files.filter((file) => file.reference === undefined);
    const sizeBytes = own.reduce((sum, file) => sum + file.sizeBytes, 0);
    const repoBytes = own.reduce((sum, file) => sum + file.sizeRepoBytes, 0);
    ctx.log.info(`repo${result.repoKey}: new backup label = ${label}`);
    ctx.log.info(
      `repo${result.repoKey}: ${manifest.type} backup size = ${formatSize(sizeBytes)}, repository size = ${formatSize(repoBytes)}, file total = ${manifest.files.length}`,
    );
  }
}
