/**
 * `restore`: a data directory from a backup, ready to recover.
 *
 * Nothing here can be started too early: pg_control is removed first and renamed into place last, with a checkpoint that PostgreSQL refuses
 * unless it finds backup_label ("pgbackrest-format" 17, 7.1). A restore that was interrupted is run again with `--delta`.
 */
import { chmod, chown, lstat, mkdir, open, readdir, readFile, readlink, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { formatLocalSeconds } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel, perRepo } from "../../base/parallel";
import { formatSize } from "../../base/units";
import type { Manifest, ManifestFile } from "../../format/manifest";
import { renderManifest } from "../../format/manifest";
import { invalidateCheckpoint } from "../../format/pgControl";
import type { UserNames } from "../../local/users";
import { loadManifest } from "../../repository/backupStore";
import { loadBackupInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import type { JobPool } from "../jobs";
import { CONTROL_FILE, planLayout, type RemapOptions, type RestoreLayout, restoreOrder, sourceOf } from "./plan";
import { type RecoveryRequest, recoveryFiles } from "./recovery";
import type { RestoreFileJob } from "./restoreFile";
import { parseTargetTime, type Selected, selectBackup } from "./select";

export interface RestoreOptions extends RemapOptions {
  readonly set: string | undefined;
  readonly delta: boolean;
  readonly recovery: RecoveryRequest;
  /** True when this process may give files to other users. */
  readonly isRoot: boolean;
}

export interface RestoreDeps {
  readonly pool: JobPool;
  readonly users: UserNames;
}

export interface RestoreOutcome {
  readonly repoKey: number;
  readonly label: string;
  readonly sizeBytes: number;
  readonly fileCount: number;
  readonly elapsedMs: number;
}

interface Source {
  readonly repo: Repository;
  readonly manifest: Manifest;
  readonly rows: ReadonlyMap<string, ManifestFile>;
}

export async function restore(repos: readonly Repository[], deps: RestoreDeps, options: RestoreOptions, ctx: Context): Promise<RestoreOutcome> {
  const beganAtMs = ctx.clock.monotonicMs();
  await requireStopped(options.dataDirectory);
  const selected = await select(repos, options, ctx);
  const sources = await openSources(repos, selected, ctx);
  const { manifest, repo: source } = sources[0] as Source;
  ctx.log.info(`${source.name}: restore backup set ${manifest.label}, recovery will start at ${formatLocalSeconds(manifest.startedAtS * 1000)}`);
  const delta = options.delta && (await isCluster(options.dataDirectory, ctx));
  const layout = planLayout(manifest, options);
  for (const warning of layout.warnings) ctx.log.warn(warning);
  if (dataPathOf(manifest) !== options.dataDirectory) ctx.log.info(`remap data directory to '${options.dataDirectory}'`);
  // Checked for every file before anything is touched: a backup that cannot be read as a whole must not cost the old directory.
  const jobs = restoreOrder(manifest.files).map((file) => fileJob(file, sources, layout, deps.users, { ...options, delta }));
  const control = controlJob(manifest, sources, layout, deps.users, options);

  await prepareDirectories(manifest, layout, deps.users, { ...options, delta });
  await writeFile(`${layout.dataDirectory}/backup.manifest`, renderManifest(manifest), { mode: 0o600 });
  const sizeBytes = await restoreFiles(jobs, deps.pool, ctx);
  await writeRecovery(layout, manifest, options, ctx);
  await syncTree(manifest, layout);
  await restoreControl(control, layout, manifest, deps.pool, ctx);
  await rm(`${layout.dataDirectory}/backup.manifest`, { force: true });
  ctx.log.info(`restore size = ${formatSize(sizeBytes)}, file total = ${manifest.files.length}`);
  return {
    repoKey: source.key,
    label: manifest.label,
    sizeBytes,
    fileCount: manifest.files.length,
    elapsedMs: Math.round(ctx.clock.monotonicMs() - beganAtMs),
  };
}

/** @throws pgRunning (38) */
async function requireStopped(dataDirectory: string): Promise<void> {
  const pidFile = `${dataDirectory}/postmaster.pid`;
  const text = await readFile(pidFile, "utf8").catch(() => null);
  if (text === null) return;
  throw fail("pgRunning", `unable to restore while PostgreSQL is running: '${pidFile}' exists (pid ${text.split("\n")[0]?.trim()})`, {
    hint: "presence of 'postmaster.pid' indicates PostgreSQL is running; remove it only if PostgreSQL is not running.",
    path: pidFile,
  });
}

/**
 * A delta removes whatever the backup does not have: only in a directory that is a cluster, or a restore of one that was broken off
 * ("pgbackrest-format" 17, step 1). A mistyped pg1-path must not cost a home directory.
 */
async function isCluster(dataDirectory: string, ctx: Context): Promise<boolean> {
  for (const name of ["PG_VERSION", "backup.manifest"]) if ((await lstat(`${dataDirectory}/${name}`).catch(() => null)) !== null) return true;
  ctx.log.warn(
    `--delta was specified but neither '${dataDirectory}/PG_VERSION' nor '${dataDirectory}/backup.manifest' is there: it is not a data directory, --delta has been disabled`,
  );
  return false;
}

async function select(repos: readonly Repository[], options: RestoreOptions, ctx: Context): Promise<Selected> {
  const infos = await perRepo(repos, loadBackupInfo);
  for (const info of infos) if (!info.ok) ctx.log.warn(`repo${info.repoKey}: [${info.error.name}] ${info.error.message}`);
  const { type, target } = options.recovery;
  return selectBackup(
    infos.map((info) =>
      info.ok ? { repoKey: info.repoKey, info: info.value, error: null } : { repoKey: info.repoKey, info: null, error: info.error },
    ),
    { set: options.set, type, target, targetTimeS: type === "time" && target !== undefined && isUnset(options.set) ? parseTargetTime(target) : null },
  );
}

function isUnset(set: string | undefined): boolean {
  return set === undefined || set === "latest";
}

/**
 * The chosen repository first, then every other one that holds the same label: they stand in when a copy is damaged or goes away.
 * @throws what the chosen repository said when nobody can give this backup's manifest
 */
async function openSources(repos: readonly Repository[], selected: Selected, ctx: Context): Promise<Source[]> {
  const ordered = [...repos].sort(
    (left, right) => Number(right.key === selected.repoKey) - Number(left.key === selected.repoKey) || left.key - right.key,
  );
  const sources: Source[] = [];
  let chosenError: BackupError | undefined;
  for (const repo of ordered) {
    try {
      const pass = repo.key === selected.repoKey ? selected.infoPass : ((await loadBackupInfo(repo)).cipherPass ?? null);
      const manifest = await loadManifest(repo, selected.entry.label, pass);
      sources.push({ repo, manifest, rows: new Map(manifest.files.map((file) => [file.name, file])) });
    } catch (error) {
      const { name, message } = toBackupError(error);
      if (repo.key === selected.repoKey) {
        chosenError = toBackupError(error);
        ctx.log.warn(`${repo.name}: [${name}] ${message}`);
      } else if (!isError(error, "fileMissing")) ctx.log.debug(`${repo.name} cannot stand in: ${message}`);
    }
  }
  if (sources.length === 0) throw chosenError ?? fail("fileMissing", `no repository holds the manifest of ${selected.entry.label}`);
  return sources;
}

function fileJob(file: ManifestFile, sources: readonly Source[], layout: RestoreLayout, users: UserNames, options: RestoreOptions): RestoreFileJob {
  return {
    kind: "restoreFile",
    name: file.name,
    destination: layout.locate(file.name),
    sizeBytes: file.sizeBytes,
    sha1: file.sha1,
    mode: file.mode,
    modifiedAtS: file.modifiedAtS,
    owner: ownerOf(file, users, options.isRoot),
    delta: options.delta,
    sources: sources.flatMap(({ repo, manifest, rows }) => {
      const row = rows.get(file.name);
      return row !== undefined && row.sha1 === file.sha1 && row.sizeBytes === file.sizeBytes ? [sourceOf(repo.key, repo.stanza, manifest, row)] : [];
    }),
  };
}

function controlJob(
  manifest: Manifest,
  sources: readonly Source[],
  layout: RestoreLayout,
  users: UserNames,
  options: RestoreOptions,
): RestoreFileJob {
  const file = manifest.files.find((row) => row.name === CONTROL_FILE);
  if (file === undefined)
    throw fail("fileMissing", `backup ${manifest.label} holds no ${CONTROL_FILE}`, { hint: "choose another backup with --set." });
  const job = fileJob(file, sources, layout, users, options);
  return { ...job, destination: `${job.destination}.pgbackrest.tmp`, delta: false };
}

function ownerOf(
  row: { readonly user: string | null; readonly group: string | null },
  users: UserNames,
  isRoot: boolean,
): { uid: number; gid: number } | null {
  if (!isRoot) return null;
  const uid = row.user === null ? null : users.findUid(row.user);
  const gid = row.group === null ? null : users.findGid(row.group);
  return uid === null || gid === null ? null : { uid, gid };
}

function dataPathOf(manifest: Manifest): string | undefined {
  return manifest.targets.find((target) => target.name === "pg_data")?.path;
}

async function prepareDirectories(manifest: Manifest, layout: RestoreLayout, users: UserNames, options: RestoreOptions): Promise<void> {
  for (const root of layout.roots) await requireUsable(root, options.delta);
  await rm(layout.locate(CONTROL_FILE), { force: true });
  if (options.delta) await removeExtras(manifest, layout);
  const paths = [...manifest.paths].filter((path) => !/^pg_tblspc$/.test(path.name)).sort((left, right) => (left.name < right.name ? -1 : 1));
  for (const path of paths) {
    const directory = layout.locate(path.name);
    await mkdir(directory, { recursive: true, mode: path.mode }).catch((error: NodeJS.ErrnoException) => {
      throw fail("pathCreate", `unable to create path '${directory}': [${error.code}] ${error.message}`, { path: directory, cause: error });
    });
    await chmod(directory, path.mode);
    const owner = ownerOf(path, users, options.isRoot);
    if (owner !== null) await chown(directory, owner.uid, owner.gid);
  }
  for (const link of layout.links) {
    const current = await readlink(link.path).catch(() => null);
    if (current === link.destination) continue;
    await rm(link.path, { force: true, recursive: true });
    await mkdir(dirname(link.path), { recursive: true });
    await symlink(link.destination, link.path);
  }
}

/** @throws pathNotEmpty (40) */
async function requireUsable(root: string, delta: boolean): Promise<void> {
  const names = await readdir(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw fail("pathOpen", `unable to list restore path '${root}': [${error.code}] ${error.message}`, { path: root, cause: error });
  });
  if (names.length > 0 && !delta) {
    throw fail("pathNotEmpty", `unable to restore to path '${root}' because it contains files`, {
      hint: "try using --delta if this is what you intended.",
      path: root,
    });
  }
}

/** With `--delta`: what the backup does not have goes away, links that point elsewhere too. */
async function removeExtras(manifest: Manifest, layout: RestoreLayout): Promise<void> {
  const wanted = new Set<string>(layout.links.map((link) => link.path));
  for (const row of [...manifest.files, ...manifest.paths]) if (row.name !== "pg_tblspc") wanted.add(layout.locate(row.name));
  const visit = async (directory: string): Promise<void> => {
    for (const name of await readdir(directory).catch(() => [] as string[])) {
      const path = `${directory}/${name}`;
      const info = await lstat(path);
      if (!wanted.has(path)) await rm(path, { recursive: true, force: true });
      else if (info.isDirectory()) await visit(path);
      else if (info.isSymbolicLink() && !layout.links.some((link) => link.path === path)) await unlink(path);
    }
  };
  for (const root of layout.roots) await visit(root);
}

async function restoreFiles(jobs: readonly RestoreFileJob[], pool: JobPool, ctx: Context): Promise<number> {
  const totalBytes = jobs.reduce((sum, job) => sum + job.sizeBytes, 0);
  const beganAtMs = ctx.clock.monotonicMs();
  let doneBytes = 0;
  let loggedAtMs = beganAtMs;
  const run = async (job: RestoreFileJob): Promise<void> => {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    const result = await pool.run(job);
    for (const warning of result.warnings) ctx.log.warn(warning);
    doneBytes += job.sizeBytes;
    const nowMs = ctx.clock.monotonicMs();
    ctx.log.detail(
      `restore file ${job.destination} (${formatSize(job.sizeBytes)})${result.kept ? " - exists and matches backup" : ""} checksum ${job.sha1}`,
    );
    if (nowMs - loggedAtMs < PROGRESS_STEP_MS) return;
    loggedAtMs = nowMs;
    const rate = Math.round((doneBytes / (nowMs - beganAtMs)) * 1000);
    ctx.log.info(
      `restored ${formatSize(doneBytes)} of ${formatSize(totalBytes)} (${((doneBytes / totalBytes) * 100).toFixed(1)}%), ${formatSize(rate)}/s`,
    );
  };
  const large = jobs.filter((job) => job.sizeBytes > LIMITS.chunkSizeBytes);
  await mapParallel(large, pool.slots, run);
  await mapParallel(jobs.slice(large.length), pool.slots * LIMITS.filesPerWorker, run);
  return totalBytes;
}

const PROGRESS_STEP_MS = 2000;

async function writeRecovery(layout: RestoreLayout, manifest: Manifest, options: RestoreOptions, ctx: Context): Promise<void> {
  const path = `${layout.dataDirectory}/postgresql.auto.conf`;
  const existing = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw fail("fileOpen", `unable to open file '${path}' for read: [${error.code}]`, { path, cause: error });
  });
  const { autoConf, signal } = recoveryFiles(options.recovery, existing, formatLocalSeconds(ctx.clock.nowMs()));
  const base = manifest.paths.find((row) => row.name === "pg_data");
  const mode = (base?.mode ?? 0o700) & 0o644;
  const info = await lstat(layout.dataDirectory);
  const write = async (target: string, text: string): Promise<void> => {
    await writeFile(target, text, { mode });
    if (options.isRoot) await chown(target, info.uid, info.gid);
    await syncPath(target);
  };
  if (autoConf !== null) {
    await write(path, autoConf);
    ctx.log.info(`write updated ${path}`);
  }
  if (signal !== null) await write(`${layout.dataDirectory}/${signal}`, "");
}

async function syncTree(manifest: Manifest, layout: RestoreLayout): Promise<void> {
  for (const path of manifest.paths) if (path.name !== "pg_tblspc") await syncPath(layout.locate(path.name));
}

async function restoreControl(job: RestoreFileJob, layout: RestoreLayout, manifest: Manifest, pool: JobPool, ctx: Context): Promise<void> {
  ctx.log.info("restore global/pg_control (performed last to ensure aborted restores cannot be started)");
  await pool.run(job);
  if (manifest.options.online) {
    const handle = await open(job.destination, "r+");
    try {
      const header = Buffer.alloc(512);
      await handle.read(header, 0, header.length, 0);
      await handle.write(invalidateCheckpoint(header), 0, header.length, 0);
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await rename(job.destination, `${dirname(job.destination)}/${basename(CONTROL_FILE)}`);
  await syncPath(dirname(job.destination));
  await syncPath(layout.dataDirectory);
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
