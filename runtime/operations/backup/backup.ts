/**
 * `backup`: one pass over the cluster into every repository.
 *
 * The flow is stock's ("pgbackrest-format" 15), with N repositories where stock has one: a repository that fails at any step leaves the run
 * with its error, the others finish, and the outcome says which. Only what concerns the cluster itself (no connection, archiving off, a
 * relation that cannot be read) ends the whole backup.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { RepoResult } from "../../base/parallel";
import { perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { Manifest } from "../../format/manifest";
import type { PgControl } from "../../format/pgControl";
import type { UserNames } from "../../local/users";
import { loadControlFile } from "../../postgres/controlFile";
import { scanDataDirectory } from "../../postgres/dataDirectory";
import type { Scan } from "../../postgres/dataDirectory";
import type { BackupStart, ServerFacts, Session } from "../../postgres/session";
import { atLeast } from "../../postgres/versions";
import { listLabels, findNewestHistoryLabel, hasManifest, removeUnfinished, saveManifestCopy } from "../../repository/backupStore";
import { loadArchiveInfo, loadBackupInfo } from "../../repository/infoStore";
import { newSubPass, type Repository } from "../../repository/repository";
import { requireArchiving } from "../archiving";
import { checkArchive, checkBackup } from "../identity";
import type { JobPool } from "../jobs";
import { waitForWal } from "../waitWal";
import { copyFiles } from "./copy";
import { finish } from "./finish";
import { chooseFullLabel, newManifest } from "./plan";
import { BackupRun, type OpenBackup } from "./run";

export interface BackupOptions {
  readonly dataDirectory: string;
  readonly startFast: boolean;
  readonly archiveCheck: boolean;
  readonly archiveModeCheck: boolean;
  /** Must be in `archive_command`. */
  readonly archiveCommandWord: string;
  readonly archiveTimeoutMs: number;
  /** Undefined follows the cluster: pages are checked where PostgreSQL has checksums. */
  readonly checksumPage: boolean | undefined;
  readonly pageHeaderCheck: boolean;
  readonly exclude: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly bufferSizeBytes: number;
  readonly processMax: number;
}

export interface BackupDone {
  readonly label: string;
  readonly manifest: Manifest;
}

export interface BackupOutcome {
  readonly results: readonly RepoResult<BackupDone>[];
  readonly sizeBytes: number;
  readonly elapsedMs: number;
}

export interface BackupDeps {
  readonly session: Session;
  readonly pool: JobPool;
  readonly users: UserNames;
  /** Told how far the copy is, for the lock file that `info` reads. */
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

const SECOND_MS = 1000;

export async function backup(repos: readonly Repository[], deps: BackupDeps, options: BackupOptions, ctx: Context): Promise<BackupOutcome> {
  const beganAtMs = ctx.clock.monotonicMs();
  const facts = await checkServer(deps.session, options);
  const { control } = await loadControlFile(options.dataDirectory, ctx);
  const run = new BackupRun(await openRepositories(repos, control), ctx);
  run.requireOne();

  await deps.session.takeBackupLock();
  const startedAtS = await deps.session.nowS();
  const begun = await startBackup(deps.session, run, facts, options, ctx);
  await removeLeftovers(run, ctx);

  const tablespaces = new Map((await deps.session.listTablespaces()).map((row) => [row.id, row.name]));
  const scan = await scanDataDirectory({
    dataDirectory: options.dataDirectory,
    version: facts.version,
    catalogVersion: control.catalogVersion,
    online: true,
    exclude: options.exclude,
    tablespaces,
    users: deps.users,
  });
  for (const warning of scan.warnings) ctx.log.warn(warning);
  // Files may still change within this second without a newer time: the copy starts with the next one ("pgbackrest-format" 15, step 9).
  const copyStartedAtS = await nextSecond(deps.session, ctx);
  await beginInRepositories(run, scan, { startedAtS, copyStartedAtS, begun, control, databases: await deps.session.listDatabases(), options }, ctx);

  const copied = await copyFiles(
    run,
    scan,
    deps,
    { ...options, pageSizeBytes: control.pageSizeBytes, checkPages: options.checksumPage ?? control.dataChecksums },
    ctx,
  );
  const stopped = await deps.session.stopBackup();
  const stoppedAtS = await deps.session.nowS();
  ctx.log.info(`backup stop archive = ${stopped.walName}, lsn = ${stopped.lsn}`);
  run.throwIfAborted();
  await finish(run, copied, stopped, stoppedAtS, begun.walName, control.walSegmentSizeBytes, options, ctx);

  const outcome = { results: run.results(), sizeBytes: copied.sizeBytes, elapsedMs: Math.round(ctx.clock.monotonicMs() - beganAtMs) };
  logOutcome(outcome, copied.fileCount, ctx);
  return outcome;
}

/** @throws dbMismatch, archiveDisabled, archiveCommandInvalid, featureNotSupported */
async function checkServer(session: Session, options: BackupOptions): Promise<ServerFacts> {
  const facts = await session.facts();
  if (facts.inRecovery) {
    throw fail("featureNotSupported", "the server is in recovery: backups from a standby are not available in this version", {
      hint: "point pg1-path and pg1-port at the primary.",
    });
  }
  if (!atLeast(facts.version, 14)) throw fail("versionNotSupported", `PostgreSQL ${facts.version} is not supported, only 14 to 18 are`);
  if (facts.dataDirectory !== options.dataDirectory) {
    throw fail(
      "dbMismatch",
      `version '${facts.version}' and path '${facts.dataDirectory}' queried from cluster do not match path '${options.dataDirectory}' of pg1-path`,
      {
        hint: "the pg1-path and pg1-port settings likely reference different clusters.",
      },
    );
  }
  if (options.archiveCheck) requireArchiving(facts, options.archiveModeCheck, options.archiveCommandWord);
  return facts;
}

async function openRepositories(repos: readonly Repository[], control: PgControl): Promise<RepoResult<OpenBackup>[]> {
  const cluster = { version: control.pgVersion, systemId: control.systemId };
  return perRepo(repos, async (repo): Promise<OpenBackup> => {
    const [archiveInfo, backupInfo] = await Promise.all([loadArchiveInfo(repo), loadBackupInfo(repo)]);
    return {
      repo,
      archiveId: checkArchive(repo, archiveInfo, cluster),
      historyId: checkBackup(repo, backupInfo, cluster),
      infoPass: backupInfo.cipherPass ?? null,
    };
  });
}

async function startBackup(session: Session, run: BackupRun, facts: ServerFacts, options: BackupOptions, ctx: Context): Promise<BackupStart> {
  const fast = options.startFast ? "immediate" : "next regular";
  ctx.log.info(`execute non-exclusive backup start: backup begins after the ${fast} checkpoint completes`);
  const checkSegment = options.archiveCheck ? await session.currentWalName() : null;
  const begun = await session.startBackup(options.startFast);
  ctx.log.info(`backup start archive = ${begun.walName}, lsn = ${begun.lsn}`);
  if (checkSegment !== null) {
    // Nothing would be archived before the stop if the backup starts in the segment that is checked ("pgbackrest-format" 15, step 6).
    if (checkSegment === begun.walName && !facts.inRecovery) await session.switchWal("pgBackRest Archive Check");
    ctx.log.info(`check archive for segment ${checkSegment}`);
    await run.forEach((open) => waitForWal(open.repo, open.archiveId, checkSegment, options.archiveTimeoutMs, ctx));
    run.requireOne();
  }
  return begun;
}

/** Removes what earlier runs left unfinished. Safe under the backup lock of this host: nobody else is writing there. */
function removeLeftovers(run: BackupRun, ctx: Context): Promise<void> {
  return run.forEach(async ({ repo }) => {
    for (const label of await listLabels(repo)) {
      if (await hasManifest(repo, label)) continue;
      ctx.log.warn(`${repo.name}: aborted backup ${label} cannot be resumed and is removed`);
      await removeUnfinished(repo, label);
    }
  });
}

interface Begin {
  readonly startedAtS: number;
  readonly copyStartedAtS: number;
  readonly begun: BackupStart;
  readonly control: PgControl;
  readonly databases: Manifest["databases"];
  readonly options: BackupOptions;
}

/** Gives every repository its manifest and directories under one common label. */
async function beginInRepositories(run: BackupRun, scan: Scan, begin: Begin, ctx: Context): Promise<void> {
  const known: string[] = [];
  await run.forEach(async ({ repo }) => {
    known.push(...(await listLabels(repo)), ...[(await findNewestHistoryLabel(repo)) ?? ""].filter((label) => label !== ""));
  });
  const choice = chooseFullLabel(begin.startedAtS, known);
  if (choice.waitSeconds > 0) await ctx.clock.sleep(choice.waitSeconds * SECOND_MS, ctx.signal);
  await run.forEach(async (open) => {
    const { repo, historyId, infoPass } = open;
    const manifest = newManifest({
      label: choice.label,
      scan,
      startedAtS: begin.startedAtS + choice.waitSeconds,
      copyStartedAtS: begin.copyStartedAtS + choice.waitSeconds,
      lsnStart: begin.begun.lsn,
      archiveStart: begin.begun.walName,
      pg: manifestPg(historyId, begin.control),
      databases: begin.databases,
      options: manifestOptions(begin.options, begin.control),
      compress: repo.compress,
      cipherPass: infoPass === null ? null : newSubPass(ctx),
      annotations: begin.options.annotations,
    });
    await saveManifestCopy(repo, manifest, infoPass, ctx);
    run.begin(repo.key, manifest);
  });
  run.requireOne();
}

function manifestPg(historyId: number, control: PgControl): Manifest["pg"] {
  const { pgVersion: version, systemId, catalogVersion, controlVersion } = control;
  return { id: historyId, version, systemId, catalogVersion, controlVersion };
}

function manifestOptions(options: BackupOptions, control: PgControl): Omit<Manifest["options"], "compressType" | "compressLevel"> {
  return {
    archiveCheck: options.archiveCheck,
    archiveCopy: false,
    backupStandby: false,
    bufferSizeBytes: options.bufferSizeBytes,
    checksumPage: options.checksumPage ?? control.dataChecksums,
    compressLevelNetwork: COMPRESS_LEVEL_NETWORK,
    delta: false,
    hardlink: false,
    online: true,
    processMax: options.processMax,
  };
}

/** Stock's default; nothing of ours is compressed for a network protocol. */
const COMPRESS_LEVEL_NETWORK = 1;

async function nextSecond(session: Session, ctx: Context): Promise<number> {
  const nowS = await session.nowS();
  await ctx.clock.sleep(SECOND_MS, ctx.signal);
  return nowS + 1;
}

function logOutcome(outcome: BackupOutcome, fileCount: number, ctx: Context): void {
  for (const result of outcome.results) {
    if (!result.ok) {
      ctx.log.warn(`repo${result.repoKey}: backup failed: [${result.error.name}] ${result.error.message}`);
      continue;
    }
    const { label, manifest } = result.value;
    const repoBytes = manifest.files.reduce((sum, file) => sum + file.sizeRepoBytes, 0);
    ctx.log.info(`repo${result.repoKey}: new backup label = ${label}`);
    ctx.log.info(
      `repo${result.repoKey}: full backup size = ${formatSize(outcome.sizeBytes)}, repository size = ${formatSize(repoBytes)}, file total = ${fileCount}`,
    );
  }
}
