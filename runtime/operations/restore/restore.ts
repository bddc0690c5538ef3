/**
 * `restore`: restores a data directory from a backup, ready to recover.
 *
 * The server cannot start too early: pg_control is removed first and renamed into place last, with a checkpoint that
 * PostgreSQL refuses without backup_label ("pgbackrest-format" 17, 7.1). To resume an interrupted restore, run it again
 * with `--delta`.
 */
import type { AccountIds } from "../../local/actAs";
import { constants, lstat, open, readdir, readFile, rename, rm, stat } from "../../local/nodeFiles";
import { basename, dirname } from "node:path";
import type { ByteStream } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { TEMP_SUFFIX } from "../../base/temporaryName";
import { runWeighted, type Weighted } from "../../base/parallel";
import { formatSize } from "../../base/units";
import { filesWhere, viewsOf } from "../../format/repository/fileRows";
import type { Manifest, ManifestFile } from "../../format/repository/manifest";
import { renderManifestParts } from "../../format/repository/manifest";
import {
  invalidateCheckpoint,
  PG_CONTROL_READ_BYTES,
  type RecoveryLimits,
  recoveryLimitsOf,
} from "../../format/page/pgControl";
import { atomicWrite, syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing, systemError } from "../../local/systemError";
import type { UserNames } from "../../local/users";
import { atLeast } from "../../postgres/versions";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../shared/jobs";
import { Progress } from "../shared/progress";
import { findServerFiles, writeServerFiles, type ServerFile } from "../shared/serverFiles";
import type { Guarantee } from "../archiveGet/endOfRecovery";
import { moveOldWal, OLD_WAL } from "../recover/oldWal";
import { bringWal, type BringOptions } from "./bringWal";
import { type ChooseOptions, openSources } from "./openSources";
import { type Selection, selectDatabases } from "./databases";
import { prepareDirectories, syncDirectories } from "./directories";
import { type Owners, planOwners } from "./owners";
import { CONTROL_FILE, planLayout, type RemapOptions, type RestoreLayout, restoreOrder } from "./restorePlan";
import type { RecoveryRequest } from "./recovery";
import type { RestoreFileJob, RestoreFileResult, RestoreSource } from "./restoreFile";
import { writeSettings } from "./recoverySettings";
import { recoveryAlong } from "./timelines";
import type { FileRequest, Sources } from "./sources";
import { isUnchanged, zeroFile } from "./untransferred";

export interface RestoreOptions extends RemapOptions, ChooseOptions {
  /** Reuse files with the right checksum. */
  readonly delta: boolean;
  /** Reuse files with the right size and time. */
  readonly force: boolean;
  readonly databaseInclude: readonly string[];
  readonly databaseExclude: readonly string[];
  /** Refuse a backup with pages that have a wrong checksum. */
  readonly checksumPageError: boolean;
  /** True when the user gave no type: a backup of a stopped server then recovers nothing, as in stock. */
  readonly typeIsDefault?: boolean;
  /** Where configuration files from outside the data directory go; undefined leaves them in the repository. */
  readonly serverFiles?: string | undefined;
  /** Stock's spool of this stanza: its waiting segments belong to the old data directory. */
  readonly spoolPath: string;
  /** This process; 0 may give files to other users. */
  readonly self: AccountIds;
  /** Fetches the WAL too; absent: restore_command does. */
  readonly bringWal?: Guarantee & Pick<BringOptions, "timeoutMs">;
}

export interface RestoreDeps {
  readonly pool: JobPool;
  readonly users: UserNames;
  /** What postmaster.pid does not show. @throws pgRunning (38) */
  readonly requireStopped?: () => Promise<void>;
}

export interface RestoreOutcome {
  readonly repoIndex: number;
  readonly label: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly elapsedMs: number;
}

/** How existing files are treated. */
type Overwrite = "no" | "checksum" | "time";

interface Plan {
  readonly sources: Sources;
  /** Without entries that are not restored as files. */
  readonly manifest: Manifest;
  readonly layout: RestoreLayout;
  readonly owners: Owners;
  readonly databases: Selection;
  readonly overwrite: Overwrite;
  /** Null when the backup has none. */
  readonly serverFiles: readonly ServerFile[] | null;
}

export async function restore(
  repos: readonly Repository[],
  deps: RestoreDeps,
  options: RestoreOptions,
  ctx: Context,
): Promise<RestoreOutcome> {
  const beganAtMs = ctx.clock.monotonicMs();
  const isStopped = (): Promise<void> => requireStopped(options.dataDirectory, deps);
  await isStopped();
  const { followed, sources } = await openSources(repos, options, ctx);
  const plan = await planRestore(sources, deps, options, ctx);
  const { manifest, layout } = plan;
  const recovery: RecoveryRequest =
    options.typeIsDefault === true && !manifest.options.online
      ? { ...options.recovery, type: "none" }
      : recoveryAlong(options.recovery, followed);

  const preserved = recovery.type === "preserve" ? PRESERVED : [];
  const keep = new Set([MARKER, `${MARKER}${TEMP_SUFFIX}`, OLD_WAL, ...preserved]);
  await prepareDirectories(
    manifest,
    layout,
    {
      overwrite: plan.overwrite !== "no",
      keep,
      owners: plan.owners,
      self: options.self,
      requireStopped: isStopped,
      mark: () => markRestore(manifest, layout),
    },
    ctx,
  );
  await clearSpool(options.spoolPath);
  const sizeBytes = await restoreFiles(plan, deps.pool, ctx);
  const base = manifest.paths.find((row) => row.name === "pg_data");
  const mode = (base?.mode ?? 0o700) & 0o644;
  await moveOldWal(layout.dataDirectory, layout.locate("pg_data/pg_wal"));
  const control = await fetchControl(plan, deps.pool);
  await writeSettings(
    recovery,
    {
      dataDirectory: layout.dataDirectory,
      mode,
      owner: base === undefined ? null : plan.owners.of(base),
      limits: control.limits,
      inContainer: options.view !== undefined,
    },
    ctx,
  );
  await offerServerFiles(plan, options.serverFiles, ctx);
  if (options.bringWal !== undefined && !WITHOUT_WAL.includes(recovery.type)) {
    const target = { dataDirectory: layout.dataDirectory, walDirectory: layout.locate("pg_data/pg_wal") };
    const owner = base === undefined ? null : plan.owners.of(base);
    const asked = { ...options.bringWal, followed, recovery };
    await bringWal(repos, manifest, { ...asked, ...target, owner }, ctx);
  }
  await syncDirectories(manifest, layout);
  ctx.log.info("restore global/pg_control (performed last to ensure aborted restores cannot be started)");
  await control.finish();
  await rm(`${layout.dataDirectory}/${MARKER}`, { force: true });
  await syncDirectory(layout.dataDirectory);
  ctx.log.info(`restore size = ${formatSize(sizeBytes)}, file total = ${manifest.files.length}`);
  return {
    repoIndex: sources.repo.key,
    label: manifest.label,
    sizeBytes,
    fileCount: manifest.files.length,
    elapsedMs: Math.round(ctx.clock.monotonicMs() - beganAtMs),
  };
}

const MARKER = "backup.manifest";
/** The marker identifies an interrupted restore; the passphrase stays in the repository. */
async function markRestore(manifest: Manifest, { dataDirectory }: RestoreLayout): Promise<void> {
  const { cipherPass: _, ...marker } = manifest;
  await atomicWrite(`${dataDirectory}/${MARKER}`, inParts(marker), { mode: 0o600 });
}

async function* inParts(manifest: Manifest): ByteStream {
  yield* renderManifestParts(manifest);
}

/** Types that recover nothing, or without an end. */
const WITHOUT_WAL: readonly RecoveryRequest["type"][] = ["none", "preserve", "standby"];

/** Type `preserve` keeps these unchanged ("pgbackrest-format" 17, step 6). */
const PRESERVED = ["postgresql.auto.conf", "recovery.signal", "standby.signal"];

/** @throws pgRunning (38) */
async function requireStopped(dataDirectory: string, deps: RestoreDeps): Promise<void> {
  await deps.requireStopped?.();
  const pidFile = `${dataDirectory}/postmaster.pid`;
  const failure = (error: unknown): Error =>
    systemError("fileOpen", `get info for path/file '${pidFile}'`, pidFile, error);
  const text = await nullIfMissing(readFile(pidFile, "utf8"), failure);
  if (text === null) return;
  throw fail(
    "pgRunning",
    `unable to restore while PostgreSQL is running: '${pidFile}' exists (pid ${text.split("\n")[0]?.trim()})`,
    {
      hint: "presence of 'postmaster.pid' indicates PostgreSQL is running; remove it only if PostgreSQL is not running.",
      path: pidFile,
    },
  );
}

/** Makes every refusal before anything is changed. */
async function planRestore(sources: Sources, deps: RestoreDeps, options: RestoreOptions, ctx: Context): Promise<Plan> {
  const manifest = restorable(sources.manifest, options.recovery.type === "preserve", ctx);
  const layout = planLayout(manifest, options);
  for (const note of layout.notes) ctx.log.info(note);
  const databases = selectDatabases(manifest, options.databaseInclude, options.databaseExclude);
  const present = await stat(options.dataDirectory).catch(() => null);
  const owners = planOwners(manifest, { users: deps.users, self: options.self, dataDirectory: present });
  for (const warning of [...layout.warnings, ...owners.warnings]) ctx.log.warn(warning);
  for (const note of databases.notes) ctx.log.detail(note);
  sources.requireReadable(manifest.files);
  checkPages(manifest, databases, options.checksumPageError, ctx);
  const serverFiles = await sources.findBeside(findServerFiles, options.serverFiles !== undefined);
  if (serverFiles === null && options.serverFiles !== undefined)
    ctx.log.warn(`backup ${manifest.label} has no configuration files: --server-files has no effect`);
  return { sources, manifest, layout, owners, databases, overwrite: await overwriteOf(options, ctx), serverFiles };
}

/** Without files that no restore writes. @throws versionNotSupported, fileMissing */
export function restorable(manifest: Manifest, preserve: boolean, ctx: Context): Manifest {
  requireVersion(manifest);
  requireControl(manifest);
  return withoutUnrestored(manifest, preserve, ctx);
}

function withoutUnrestored(manifest: Manifest, preserve: boolean, ctx: Context): Manifest {
  const skipped = new Map([
    ["pg_data/tablespace_map", "skip 'tablespace_map' -- tablespace links will be created based on mappings"],
  ]);
  if (preserve) skipped.set("pg_data/postgresql.auto.conf", "skip 'postgresql.auto.conf' -- recovery type is preserve");
  for (const { name } of viewsOf(manifest.files)) if (skipped.has(name)) ctx.log.detail(skipped.get(name) ?? "");
  const files = filesWhere(manifest.files, (file) => !skipped.has(file.name));
  const special = filesWhere(files, (file) => (file.mode & SET_ID) !== 0);
  if (special.length === 0) return { ...manifest, files };
  ctx.log.warn(
    `${special.length} files of the backup, '${special.at(0)?.name}' first, have set-user-ID or set-group-ID bits: they are restored without these bits`,
  );
  return {
    ...manifest,
    files: files.map((file) => ((file.mode & SET_ID) === 0 ? file : { ...file, mode: file.mode & ~SET_ID })),
  };
}

/**
 * PostgreSQL has no such files. With these bits a forged manifest could make root write a program that runs as root.
 */
const SET_ID = 0o6000;

/** Older versions have a separate recovery file. @throws versionNotSupported (46) */
function requireVersion({ label, pg: { version } }: Manifest): void {
  if (atLeast(version, 12)) return;
  throw fail(
    "versionNotSupported",
    `backup ${label} is from PostgreSQL ${version}: only 12 and newer can be restored`,
    {
      hint: "Restore this backup with stock pgBackRest.",
    },
  );
}

function requireControl(manifest: Manifest): void {
  if (manifest.files.some((row) => row.name === CONTROL_FILE)) return;
  throw fail("fileMissing", `backup ${manifest.label} holds no ${CONTROL_FILE}`, {
    hint: "Choose another backup with --set.",
  });
}

/** @throws checksum (26) as stock 2.60 does, but before the old files are removed */
export function checkPages(
  manifest: Manifest,
  databases: Pick<Selection, "isZeroed">,
  isError: boolean,
  ctx: Context,
): void {
  const damaged = filesWhere(
    manifest.files,
    (file) => file.checksumPage === false && !databases.isZeroed(file.name),
  ).map(({ name }) => name);
  if (damaged.length === 0) return;
  const lines = damaged.slice(0, DAMAGED_LINES_MAX).map((name) => `invalid page checksum(s) found in file ${name}`);
  if (lines.length < damaged.length) lines.push(`and in ${damaged.length - lines.length} more`);
  if (isError) {
    throw fail("checksum", `backup ${manifest.label} was taken with damaged pages\n${lines.join("\n")}`, {
      hint: "Restore an older backup with --set, or this one with --no-checksum-page-error.",
    });
  }
  for (const line of lines) ctx.log.warn(line);
}

const DAMAGED_LINES_MAX = 20;

/**
 * Overwriting removes what the backup does not have. It is allowed only in a cluster's directory or in that of an
 * interrupted restore ("pgbackrest-format" 17, step 1). A mistyped pg1-path must not cost a home directory.
 */
async function overwriteOf({ dataDirectory, delta, force }: RestoreOptions, ctx: Context): Promise<Overwrite> {
  if (!delta && !force) return "no";
  for (const name of ["PG_VERSION", MARKER])
    if ((await lstat(`${dataDirectory}/${name}`).catch(() => null)) !== null) return delta ? "checksum" : "time";
  ctx.log.warn(
    `--delta or --force specified but unable to find 'PG_VERSION' or 'backup.manifest' in '${dataDirectory}' to confirm that this is a valid $PGDATA directory. ` +
      "--delta and --force have been disabled and if any files exist in the destination directories the restore will be aborted.",
  );
  return "no";
}

/** The directories stay: an agent may use them. */
export async function clearSpool(spoolPath: string): Promise<void> {
  for (const directory of [`${spoolPath}/in`, `${spoolPath}/out`])
    for (const name of await readdir(directory).catch(() => [] as string[]))
      await rm(`${directory}/${name}`, { force: true, recursive: true });
}

async function restoreFiles(plan: Plan, pool: JobPool, ctx: Context): Promise<number> {
  const { single, batches, sizeBytes } = restoreOrder(plan.manifest);
  const progress = new Progress("restored", sizeBytes, ctx);
  const run = async (files: readonly ManifestFile[]): Promise<void> => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    const left: ManifestFile[] = [];
    const report = (file: ManifestFile, text: ProgressText): void => {
      progress.add(file.sizeBytes);
      ctx.log.detail(() => text(progress.percent()));
    };
    for (const file of files) {
      const text = await withoutBytes(file, plan);
      if (text === null) left.push(file);
      else report(file, text);
    }
    const results = await restoreSome(left, plan, pool);
    for (const [index, file] of left.entries()) report(file, restoredLine(file, plan, results[index]?.kept === true));
  };
  const weightOf = (file: ManifestFile): number => (file.sizeBytes > LIMITS.chunkSizeBytes ? LIMITS.filesPerWorker : 1);
  const tasks = function* (): Iterable<Weighted> {
    for (const file of single) yield { weight: weightOf(file), run: () => run([file]) };
    for (const files of batches) yield { weight: LIMITS.filesPerWorker / BATCHES_PER_SLOT, run: () => run(files) };
  };
  await runWeighted(tasks(), pool.slots * LIMITS.filesPerWorker);
  let allBytes = 0;
  for (const file of viewsOf(plan.manifest.files)) allBytes += file.sizeBytes;
  return allBytes;
}

const BATCHES_PER_SLOT = 2;

/** A log line that takes the progress. */
type ProgressText = (percent: string) => string;

/** Null for a file whose bytes must be compared or fetched. */
async function withoutBytes(
  file: ManifestFile,
  { layout, databases, owners, overwrite, manifest }: Plan,
): Promise<ProgressText | null> {
  const destination = layout.locate(file.name);
  const size = formatSize(file.sizeBytes);
  if (databases.isZeroed(file.name)) {
    await zeroFile(destination, file, owners.of(file));
    return (percent) => `restore zeroed file ${destination} (${size}, ${percent}%)`;
  }
  if (overwrite === "time" && (await isUnchanged(destination, file, manifest.copyStartedAtS)))
    return (percent) =>
      `restore file ${destination} - exists and matches size and modification time (${size}, ${percent}%)`;
  return null;
}

function restoredLine(file: ManifestFile, { layout }: Plan, kept: boolean): ProgressText {
  const what = `restore file ${layout.locate(file.name)}${kept ? " - exists and matches backup" : ""}`;
  return (percent) => `${what} (${formatSize(file.sizeBytes)}, ${percent}%) checksum ${file.sha1}`;
}

async function restoreSome(
  files: readonly ManifestFile[],
  { sources, owners, overwrite, layout }: Plan,
  pool: JobPool,
): Promise<RestoreFileResult[]> {
  const jobOf = ({ file, destination }: FileRequest, source: RestoreSource, isRetry: boolean): RestoreFileJob => {
    // Blocks from a source that then failed need not be fetched again.
    const delta = overwrite === "checksum" || (isRetry && source.block !== undefined);
    return { ...fileJob(file, destination, owners), delta, sources: [source] };
  };
  const attempt = (request: FileRequest) => (source: RestoreSource, isRetry: boolean) =>
    pool.run(jobOf(request, source, isRetry));
  const requests = files.map((file) => ({ file, destination: layout.locate(file.name) }));
  const [only] = requests;
  if (only !== undefined && requests.length === 1) return [await sources.use(only, attempt(only))];
  return sources.useAll(
    requests,
    async (sourced) => {
      const result = await pool.run({
        kind: "restoreFiles",
        files: sourced.map((each) => jobOf(each, each.source, false)),
      });
      return result.outcomes;
    },
    attempt,
  );
}

function fileJob(file: ManifestFile, destination: string, owners: Owners): Omit<RestoreFileJob, "sources" | "delta"> {
  const { name, sizeBytes, sha1, mode, modifiedAtS } = file;
  return { kind: "restoreFile", name, destination, sizeBytes, sha1, mode, modifiedAtS, owner: owners.of(file) };
}

/** Runs before the cluster can start: with the option, the files are in place by then. */
async function offerServerFiles(
  { serverFiles, owners }: Plan,
  directory: string | undefined,
  ctx: Context,
): Promise<void> {
  if (serverFiles === null) return;
  if (directory !== undefined) {
    const written = await writeServerFiles(serverFiles, directory, (file) => owners.of(file));
    ctx.log.info(`configuration files restored: ${written.join(", ")}`);
    return;
  }
  ctx.log.info(
    `this backup has configuration files from outside of the data directory: ${serverFiles.map((file) => file.path).join(", ")}\n` +
      "HINT: --server-files=/ restores them to their old paths, --server-files=<directory> below a directory; add --delta to get them after this restore.",
  );
}

/** The restored pg_control, under a temporary name until `finish`. */
async function fetchControl(
  { sources, manifest, layout, owners }: Plan,
  pool: JobPool,
): Promise<{ readonly limits: RecoveryLimits; finish(): Promise<void> }> {
  const file = manifest.files.find((row) => row.name === CONTROL_FILE) as ManifestFile;
  const path = layout.locate(file.name);
  const temporary = `${path}.pgbackrest.tmp`;
  await sources.use({ file, destination: temporary }, (source) =>
    pool.run({ ...fileJob(file, temporary, owners), delta: false, sources: [source] }),
  );
  const header = Buffer.alloc(PG_CONTROL_READ_BYTES);
  const handle = await open(temporary, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    await handle.read(header, 0, header.length, 0);
    if (manifest.options.online) {
      await handle.write(invalidateCheckpoint(header), 0, header.length, 0);
      await handle.utimes(file.modifiedAtS, file.modifiedAtS);
      await handle.sync();
    }
  } finally {
    await handle.close();
  }
  const finish = async (): Promise<void> => {
    await rename(temporary, `${dirname(path)}/${basename(CONTROL_FILE)}`);
    await syncDirectory(dirname(path));
  };
  return { limits: recoveryLimitsOf(header), finish };
}
