/**
 * `backup`: one pass over the cluster into every repository.
 *
 * The flow is stock's ("pgbackrest-format" 15), with N repositories where stock has one. A repository that fails at any
 * step leaves the run with its error; the others finish, and the outcome says which. Each repository builds on its own
 * prior backup, or gets a full one and says why. Only a problem of the cluster itself (no connection, archiving off, an
 * unreadable relation) ends the whole backup.
 */
import type { Context } from "../../base/context";
import { assert } from "../../base/errors";
import { given } from "../../base/given";
import type { RepoResult } from "../../base/parallel";
import { perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { SourceDirectory, SourceIdentity } from "../../format/repository/attemptFile";
import { viewsOf } from "../../format/repository/fileRows";
import type { BackupType } from "../../format/repository/label";
import type { PgControl } from "../../format/page/pgControl";
import type { SeenWalStore } from "../../local/seenWal";
import type { UserNames } from "../../local/users";
import { controlFileId, loadControlFile } from "../../postgres/controlFile";
import { type Scan, scanDataDirectory } from "../../postgres/dataDirectory";
import type { Session } from "../../postgres/session";
import { walDirectoryName } from "../../postgres/versions";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Lease } from "../../repository/lease";
import { loadReconstructedInfo, saveAdopted } from "../../repository/reconstruct";
import type { Repository } from "../../repository/repository";
import { checkArchive, checkBackup } from "../shared/identity";
import type { JobPool } from "../shared/jobs";
import { KnownWal } from "../shared/knownWal";
import { openLocalWal } from "../shared/localWal";
import { type Begin, type BeginOptions, beginInRepositories, findPriors } from "./begin";
import { type Cluster, OfflineCluster, OnlineCluster } from "./sourceCluster";
import { type CopyDeps, copyFiles, warmPool } from "./copy";
import { finish } from "./finish";
import { findPrior } from "./prior";
import { RecentFiles, untilSecondOverMs } from "./recentFiles";
import { type BackupDone, BackupRun, type OpenBackup } from "./run";
import type { ServerCandidate, StandbyMode } from "./chooseServers";
import type { ArchiverOptions } from "../check/archiving";

export interface BackupOptions extends BeginOptions, ArchiverOptions {
  readonly type: BackupType;
  /** False copies a cluster whose server is down. */
  readonly online: boolean;
  /** Continues although the server of such a cluster seems to run. */
  readonly force: boolean;
  readonly backupStandby: StandbyMode;
  readonly startFast: boolean;
  readonly archiveTimeoutMs: number;
  readonly pageHeaderCheck: boolean;
  readonly exclude: readonly string[];
  readonly manifestSaveThresholdBytes: number;
  readonly checksumPageError: boolean;
}

export interface BackupOutcome {
  readonly results: readonly RepoResult<BackupDone>[];
  /** Bytes read from the cluster. */
  readonly sizeBytes: number;
  readonly elapsedMs: number;
}

export interface BackupDeps extends CopyDeps {
  /** Called once for each repository. A repository whose call throws leaves the run. */
  readonly lease: (repo: Repository) => Promise<Lease>;
  /** The configured clusters, ascending by key. */
  readonly servers: readonly ServerCandidate[];
  readonly users: UserNames;
  /** Has the primary of a standby end its WAL segment. Absent: only the primary itself decides. */
  readonly endPrimarySegment?: (session: Session) => Promise<void>;
  /** Absent: the segments that a backup waits for are read. */
  readonly seen?: SeenWalStore;
}

const SECOND_MS = 1000;

export async function backup(
  repos: readonly Repository[],
  deps: BackupDeps,
  options: BackupOptions,
  ctx: Context,
): Promise<BackupOutcome> {
  const beganAtMs = ctx.clock.monotonicMs();
  const cluster = await openCluster(deps, options, ctx);
  const { control } = await loadControlFile(cluster.dataDirectory, ctx);
  const run = new BackupRun(await openRepositories(repos, deps, control, ctx), ctx);
  run.requireOne();

  await cluster.lock();
  const startedAtS = Math.floor((await cluster.nowMs()) / SECOND_MS);
  const begun = await cluster.start(run, control, options, ctx);
  const scan = await scanCluster(cluster, control, deps.users, options, ctx);
  const scannedAtMs = await cluster.nowMs();
  const secondOver = ctx.clock.sleep(untilSecondOverMs(scannedAtMs, scan.ownClock), ctx.signal);
  const scannedAtS = Math.floor(scannedAtMs / SECOND_MS);
  const recent = new RecentFiles(scan, scannedAtS, secondOver);
  const started = { scan, startedAtS, scannedAtS, secondOver, begun, control };
  await prepareRepositories(run, cluster, started, deps.pool, options, ctx);

  const { dataDirectory, standbyDirectory, inRecovery } = cluster;
  const copyOptions = {
    dataDirectory,
    standbyDirectory,
    controlLast: inRecovery,
    recent,
    pageSizeBytes: control.pageSizeBytes,
  };
  const copied = await copyFiles(run, scan, deps, { ...options, ...copyOptions }, ctx);
  // The manifest's start of the copy is the next second, and must not be after its stop.
  await secondOver;
  const stopped = await cluster.stop(control, ctx);
  const stoppedAtS = Math.floor((await cluster.nowMs()) / SECOND_MS);
  run.throwIfAborted();
  const walDirectory = walDirectoryName(control.pgVersion);
  const wal =
    begun === null || stopped === null
      ? null
      : {
          stopped,
          archiveStart: begun.walName,
          walSegmentSizeBytes: control.walSegmentSizeBytes,
          onStandby: inRecovery,
          local: openLocalWal(
            cluster.view?.here(`${cluster.view.dataDirectory}/${walDirectory}`) ?? `${dataDirectory}/${walDirectory}`,
            { version: control.pgVersion, systemId: control.systemId },
            true,
            control.walSegmentSizeBytes,
            options.slot?.readyDirectory,
          ),
        };
  const kept = run.alive.map(({ repo }) => ({ repo, manifest: run.plan(repo.key).manifest }));
  await cluster.keepFiles(kept, deps.users, ctx);
  await finish(run, copied, { wal, stoppedAtS }, options, ctx);

  const outcome = {
    results: run.results(),
    sizeBytes: copied.sizeBytes,
    elapsedMs: Math.round(ctx.clock.monotonicMs() - beganAtMs),
  };
  logOutcome(outcome, ctx);
  return outcome;
}

async function openCluster(
  { endPrimarySegment, servers: candidates }: Pick<BackupDeps, "endPrimarySegment" | "servers">,
  options: BackupOptions,
  ctx: Context,
): Promise<Cluster> {
  const {
    online,
    backupStandby: standby,
    force,
    archiveCheck,
    archiveModeCheck,
    archiveCommandContains,
    slot,
  } = options;
  if (online)
    return OnlineCluster.open(
      candidates,
      { standby, archiveCheck, archiveModeCheck, archiveCommandContains, slot, ...given({ endPrimarySegment }) },
      ctx,
    );
  const [first] = candidates;
  assert(first !== undefined, "a backup needs pg1-path");
  return OfflineCluster.open(first, { standby, force }, ctx);
}

async function openRepositories(
  repos: readonly Repository[],
  { lease: leaseOf, seen }: Pick<BackupDeps, "lease" | "seen">,
  control: PgControl,
  ctx: Context,
): Promise<RepoResult<OpenBackup>[]> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  return perRepo(repos, async (repo): Promise<OpenBackup> => {
    const lease = await leaseOf(repo);
    const [archiveInfo, reconstructed] = await Promise.all([
      loadArchiveInfo(repo),
      loadReconstructedInfo(repo, lease, ctx),
    ]);
    const { info } = reconstructed;
    const archiveId = checkArchive(repo, archiveInfo, cluster);
    const historyId = checkBackup(repo, info, cluster);
    for (const { label, reason } of reconstructed.lost)
      ctx.log.warn(`${repo.name}: backup '${label}' cannot be the prior backup: ${reason}`);
    for (const line of reconstructed.doubts) ctx.log.warn(`${repo.name}: ${line}`);
    await saveAdopted(repo, lease, reconstructed, ctx);
    const pass = archiveInfo.cipherPass ?? null;
    return {
      repo,
      lease,
      archiveId,
      archivePass: pass,
      archive: () => ({ repo, archiveId, pass, known: new KnownWal(repo, seen?.load(repo.key)) }),
      historyId,
      infoPass: info.cipherPass ?? null,
      backups: info.backups,
      lost: new Set(reconstructed.lost.map(({ label }) => label)),
    };
  });
}

type Started = Pick<Begin, "scan" | "startedAtS" | "scannedAtS" | "secondOver" | "begun" | "control">;

/** Everything before the copy that needs the scan: prior backups, labels, unfinished manifests. */
async function prepareRepositories(
  run: BackupRun,
  cluster: Cluster,
  started: Started,
  pool: JobPool,
  options: BackupOptions,
  ctx: Context,
): Promise<void> {
  const { type } = options;
  const { scan, control } = started;
  const priors = await findPriors(run, type, (open) => findPrior(open, type === "diff" ? "diff" : "incr"), ctx);
  const databases = await cluster.databases();
  const source = await sourceOf(cluster, control);
  const begin = { ...started, source, databases, times: cluster.times, priors, options };
  await beginInRepositories(run, begin, type, pool, ctx);
  warmPool(run, scan, pool);
}

async function sourceOf(cluster: Cluster, control: PgControl): Promise<SourceIdentity> {
  const directoryOf = async (dataDirectory: string): Promise<SourceDirectory> => ({
    dataDirectory,
    controlFile: await controlFileId(dataDirectory),
  });
  const { systemId, timeline } = control;
  const standby = cluster.standbyDirectory === null ? null : await directoryOf(cluster.standbyDirectory);
  return { systemId, timeline, ...(await directoryOf(cluster.dataDirectory)), standby };
}

async function scanCluster(
  cluster: Cluster,
  control: PgControl,
  users: UserNames,
  options: BackupOptions,
  ctx: Context,
): Promise<Scan> {
  const scan = await scanDataDirectory(
    {
      dataDirectory: cluster.dataDirectory,
      ...(cluster.view === undefined ? {} : { view: cluster.view }),
      version: control.pgVersion,
      catalogVersion: control.catalogVersion,
      online: cluster.online,
      exclude: options.exclude,
      tablespaces: await cluster.tablespaces(),
      users,
    },
    ctx,
  );
  for (const note of scan.notes) ctx.log.info(note);
  for (const warning of scan.warnings) ctx.log.warn(warning);
  return scan;
}

function logOutcome(outcome: BackupOutcome, ctx: Context): void {
  for (const result of outcome.results) {
    if (!result.ok) {
      ctx.log.warn(`repo${result.repoIndex}: backup failed: [${result.error.name}] ${result.error.message}`);
      continue;
    }
    const { label, manifest } = result.value;
    let sizeBytes = 0;
    let repoBytes = 0;
    for (const file of viewsOf(manifest.files)) {
      if (file.reference !== undefined) continue;
      sizeBytes += file.sizeBytes;
      repoBytes += file.sizeRepoBytes;
    }
    ctx.log.info(`repo${result.repoIndex}: new backup label = ${label}`);
    ctx.log.info(
      `repo${result.repoIndex}: ${manifest.type} backup size = ${formatSize(sizeBytes)}, repository size = ${formatSize(repoBytes)}, file total = ${manifest.files.length}`,
    );
  }
}
