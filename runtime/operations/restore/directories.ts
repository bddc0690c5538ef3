/**
 * Checks the directories of a restore, removes what the backup does not have, and creates the missing ones
 * ("pgbackrest-format" 17, step 6).
 *
 * Every directory is checked before anything changes. Then pg_control is removed first, durably: the server cannot
 * start until the restore has put it back. File calls are synchronous: with many files a trip through the thread pool
 * costs more than the call.
 */
import type { AccountIds } from "../../local/actAs";
import {
  chmodSync,
  chownSync,
  lchown,
  lstat,
  lstatSync,
  mkdir,
  mkdirSync,
  readdir,
  readdirSync,
  readlink,
  readlinkSync,
  rename,
  rm,
  rmSync,
  stat,
  type Stats,
  symlink,
  truncateSync,
} from "../../local/nodeFiles";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Context } from "../../base/context";
import { assert, fail, isError, toBackupError } from "../../base/errors";
import { mapParallel } from "../../base/parallel";
import { nameAt } from "../../format/repository/fileRows";
import { NameIndex } from "../../format/repository/nameIndex";
import type { Manifest, ManifestFile, ManifestPath } from "../../format/repository/manifest";
import { renderMode } from "../../format/repository/manifestRows";
import { syncDirectory } from "../../local/atomicWrite";
import { nullIfMissing, systemError } from "../../local/systemError";
import { findOtherUse } from "../../postgres/runningServers";
import type { Owners } from "./owners";
import { CONTROL_FILE, locationOf, type PlannedLink, type RestoreLayout } from "./restorePlan";

export interface PrepareOptions {
  /** Files may exist: those that the backup does not have are removed, the rest is reused. */
  readonly overwrite: boolean;
  /** Names in the data directory to ignore: they neither block the restore nor are removed. */
  readonly keep: ReadonlySet<string>;
  readonly owners: Owners;
  /** This process. */
  readonly self: AccountIds;
  /** @throws pgRunning (38) */
  requireStopped(): Promise<void>;
  /** Marks the data directory, so that a restore which is killed from now on can continue. */
  mark(): Promise<void>;
}

/** @throws pgRunning (38), pathNotEmpty (40), pathOpen (53), fileExists (93) before anything is changed */
export async function prepareDirectories(
  manifest: Manifest,
  layout: RestoreLayout,
  options: PrepareOptions,
  ctx: Context,
): Promise<void> {
  const kept = new Set([...options.keep].map((name) => `${layout.dataDirectory}/${name}`));
  const present: string[] = [];
  for (const root of layout.roots) if (await checkRoot(root, kept, options, ctx)) present.push(root);
  await requireUnused(manifest.pg.version, layout);
  if (options.overwrite) for (const root of present) await requireOwnRoot(root, layout);
  await requireNoLinkedFiles(layout, options.overwrite);
  if (options.self.uid === 0) {
    await requireOwnTablespaces(manifest, layout, options.owners);
    for (const link of layout.links)
      if (link.isFile && !link.isMapped) await requireOwnParent(link, layout, options.owners);
  }
  await removeControl(layout, options, ctx);
  if (options.overwrite) {
    const scope = { wanted: wantedOf(manifest, layout), kept, owners: options.owners, ctx };
    for (const root of present) {
      ctx.log.info(`remove invalid files/links/paths from '${root}'`);
      await clean(root, scope);
    }
  }
  const [base, ...others] = madePaths(manifest);
  makePaths([base], layout, options, ctx);
  await options.mark();
  for (const link of layout.links)
    if (link.isFile) makePath(dirname(layout.locate(nameOf(link, layout))), base, options.owners, ctx);
  makePaths(others, layout, options, ctx);
  for (const link of layout.links) await makeLink(link, options.owners, ctx);
}

/** True when the directory exists. */
async function checkRoot(
  root: string,
  kept: ReadonlySet<string>,
  { overwrite, self }: PrepareOptions,
  ctx: Context,
): Promise<boolean> {
  ctx.log.detail(`check '${root}' exists`);
  const info = await statDirectory(root);
  if (info === null) return false;
  if (self.uid !== 0 && info.uid !== self.uid)
    throw fail("pathOpen", `unable to restore to path '${root}' not owned by current user`, { path: root });
  if ((info.mode & 0o700) !== 0o700)
    throw fail("pathOpen", `unable to restore to path '${root}' without rwx permissions`, { path: root });
  const names = await readdir(root).catch((error: unknown) => {
    throw systemError("pathOpen", `list path '${root}'`, root, error);
  });
  if (!overwrite && names.some((name) => !kept.has(`${root}/${name}`))) {
    throw fail("pathNotEmpty", `unable to restore to path '${root}' because it contains files`, {
      hint: "try using --delta if this is what you intended.",
      path: root,
    });
  }
  return true;
}

/** A data directory may be a symbolic link. */
function statDirectory(path: string): Promise<Stats | null> {
  return statEntry(`${path}/.`);
}

async function statEntry(path: string, look = lstat): Promise<Stats | null> {
  return nullIfMissing(look(path), (error) => systemError("pathOpen", `get info for path '${path}'`, path, error));
}

/**
 * Refuses a linked file that exists, unless overwriting is allowed and the data directory's own link leads to it.
 * @throws fileExists
 */
async function requireNoLinkedFiles(layout: RestoreLayout, overwrite: boolean): Promise<void> {
  for (const link of layout.links) {
    if (!link.isFile) continue;
    const path = layout.locate(nameOf(link, layout));
    if ((await statEntry(path)) === null || (overwrite && (await leadsTo(link.path, path, layout)))) continue;
    throw fail(
      "fileExists",
      `unable to restore file '${path}' because it already exists${overwrite ? ` and '${link.path}' does not point to it` : ""}`,
      {
        hint: overwrite
          ? "Remove it if nothing needs it, or use --link-map."
          : "try using --delta if this is what you intended.",
        path,
      },
    );
  }
}

/** @throws pgRunning if another running server uses a directory outside the data directory */
async function requireUnused(pgVersion: string, { dataDirectory, linkTargets }: RestoreLayout): Promise<void> {
  const outside = [...linkTargets].map(([root, path]) => ({ path, isTablespace: root !== path }));
  const use = await findOtherUse({ dataDirectory, pgVersion }, outside);
  if (use === null) return;
  throw fail(
    "pgRunning",
    `unable to restore to path '${use.path}': the running server of '${use.dataDirectory}' uses it`,
    { hint: "Restore elsewhere with --tablespace-map or --link-map, or stop that server.", path: use.path },
  );
}

/**
 * Overwriting empties a directory outside the data directory only if it is this cluster's: a link in the data directory
 * leads there. Without such a link directories may exist, as an interrupted restore leaves them, but no files.
 * @throws pathNotEmpty
 */
async function requireOwnRoot(root: string, layout: RestoreLayout): Promise<void> {
  const location = layout.linkTargets.get(root);
  if (location === undefined) return;
  const tablespaces = `${layout.dataDirectory}/pg_tblspc`;
  const links = [
    ...layout.links.map((link) => link.path),
    ...(await readdir(tablespaces).catch(() => [])).map((name) => `${tablespaces}/${name}`),
  ];
  for (const link of links) if (await leadsTo(link, location, layout)) return;
  if (!(await holdsFiles(root))) return;
  throw fail(
    "pathNotEmpty",
    `unable to restore to path '${root}' because it contains files and no link in '${layout.dataDirectory}' leads there`,
    {
      hint: "Another cluster may need them. Restore elsewhere with --tablespace-map or --link-map, or empty this path.",
      path: root,
    },
  );
}

async function leadsTo(link: string, location: string, layout: RestoreLayout): Promise<boolean> {
  const destination = await readlink(link).catch(() => null);
  if (destination === null) return false;
  const target = locationOf(link, destination, layout);
  const [from, to] = await Promise.all([stat(target).catch(() => null), stat(location).catch(() => null)]);
  return from !== null && to !== null && from.dev === to.dev && from.ino === to.ino;
}

async function holdsFiles(directory: string): Promise<boolean> {
  for (const name of await readdir(directory)) {
    const path = `${directory}/${name}`;
    if (!(await lstat(path)).isDirectory() || (await holdsFiles(path))) return true;
  }
  return false;
}

/**
 * Root gives a tablespace's directory to the server's account, but not a directory that holds anything besides
 * tablespaces: the manifest chooses both location and owner, and PostgreSQL never runs as root.
 * @throws pathNotEmpty
 */
async function requireOwnTablespaces({ paths }: Manifest, layout: RestoreLayout, owners: Owners): Promise<void> {
  for (const row of paths) {
    if (!TABLESPACE.test(row.name)) continue;
    const location = layout.locate(row.name);
    const info = await statEntry(location, stat);
    const owner = owners.of(row);
    if (info === null || owner === null || isServers(info, owner, row.mode)) continue;
    const names = await readdir(location).catch((error: unknown) => {
      throw systemError("pathOpen", `list path '${location}'`, location, error);
    });
    const foreign = names.find((name) => name !== "lost+found" && !/^PG_[\d.]+_\d+$/.test(name));
    if (foreign === undefined) continue;
    throw fail(
      "pathNotEmpty",
      `unable to restore a tablespace to path '${location}' because it has another owner or mode and contains '${foreign}'`,
      {
        hint: `Restore it elsewhere with --tablespace-map, or chown the path to the server's account with mode ${renderMode(row.mode)}.`,
        path: location,
      },
    );
  }
}

function isServers(info: Stats, owner: AccountIds, mode: number): boolean {
  return owner.uid !== 0 && info.uid === owner.uid && info.gid === owner.gid && (info.mode & 0o7777) === mode;
}

/** The manifest alone must not place a file in another user's directory, such as a home. @throws pathOpen */
async function requireOwnParent(link: PlannedLink, layout: RestoreLayout, owners: Owners): Promise<void> {
  const file = layout.locate(nameOf(link, layout));
  const parent = dirname(file);
  const info = await statEntry(parent, stat);
  const owner = owners.of(link);
  if (
    info === null ||
    owner === null ||
    (owner.uid !== 0 && info.uid === owner.uid) ||
    (await leadsTo(link.path, file, layout))
  )
    return;
  throw fail("pathOpen", `unable to restore file '${file}' because its path belongs to another user`, {
    hint: `If this is intended, use --link-map=${link.path.slice(layout.dataDirectory.length + 1)}=${file}.`,
    path: parent,
  });
}

const TABLESPACE = /^pg_tblspc\/\d+$/;

/**
 * The server may have been started since the restore began. PostgreSQL writes postmaster.pid before it reads
 * pg_control, so one that is not seen after the rename cannot start.
 */
async function removeControl(
  layout: RestoreLayout,
  { requireStopped }: Pick<PrepareOptions, "requireStopped">,
  ctx: Context,
): Promise<void> {
  await requireStopped();
  const path = layout.locate(CONTROL_FILE);
  if ((await statEntry(path)) === null) return;
  ctx.log.detail("remove 'global/pg_control' so cluster will not start if restore does not complete");
  // A link in the directory's place could lead to another cluster's.
  const directory = dirname(path);
  const isPlanted = directory.startsWith(`${layout.dataDirectory}/`) && (await lstat(directory)).isSymbolicLink();
  const removed = isPlanted ? directory : path;
  const aside = `${removed}${ASIDE}`;
  try {
    await rename(removed, aside);
    await syncDirectory(dirname(removed));
    await requireStopped().catch(async (error: unknown) => {
      await rename(aside, removed);
      throw error;
    });
    await rm(aside);
  } catch (error) {
    throw isError(error) ? error : systemError("fileRemove", `remove '${removed}'`, removed, error);
  }
  await syncDirectory(dirname(removed));
}

/** Suffix of what the restore is about to remove. */
const ASIDE = ".before-restore";

/** A row of the manifest, or a link of the layout. */
type Wanted = ManifestFile | ManifestPath | PlannedLink;

function kindOf(wanted: Wanted): "file" | "directory" | "link" {
  if ("destination" in wanted) return "link";
  return "sizeBytes" in wanted ? "file" : "directory";
}

/** Keys are absolute paths. */
type WantedEntries = Pick<ReadonlyMap<string, Wanted>, "get">;

function wantedOf(manifest: Manifest, layout: RestoreLayout): WantedEntries {
  const { files } = manifest;
  const paths = new Map(restoredPaths(manifest).map((path) => [layout.locate(path.name), path]));
  const links = new Map(layout.links.map((link) => [link.path, link]));
  const index = new NameIndex(files.length, (position) => layout.locate(nameAt(files, position)), false);
  const fileOf = (path: string): ManifestFile | undefined => {
    const position = index.find(path);
    const file = position === -1 ? undefined : files.at(position);
    return file?.name === CONTROL_FILE ? undefined : file;
  };
  return { get: (path) => links.get(path) ?? fileOf(path) ?? paths.get(path) };
}

interface CleanScope {
  readonly wanted: WantedEntries;
  readonly kept: ReadonlySet<string>;
  readonly owners: Owners;
  readonly ctx: Context;
}

/** Removes unwanted entries, those of another kind than wanted, and files with another name; fits the rest. */
async function clean(directory: string, scope: CleanScope): Promise<void> {
  const { ctx } = scope;
  for (const [index, name] of readdirSync(directory).entries()) {
    if (index % LOOKED_AT_ONCE === 0) await setImmediate();
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    const path = `${directory}/${name}`;
    if (scope.kept.has(path)) continue;
    const info = lstatSync(path);
    const kind = info.isDirectory() ? "directory" : info.isSymbolicLink() ? "link" : "file";
    const wanted = scope.wanted.get(path);
    if (wanted === undefined || kindOf(wanted) !== kind || (kind === "file" && !info.isFile())) {
      ctx.log.detail(() => `remove invalid ${kind === "directory" ? "path" : kind} '${path}'`);
      await rm(path, { recursive: true, force: true }).catch((error: unknown) => {
        throw systemError("fileRemove", `remove '${path}'`, path, error);
      });
      continue;
    }
    if (kind === "file" && info.nlink > 1) {
      // The other name may belong to a safety copy (`cp -al`), which keeps its bytes, mode and owner.
      ctx.log.detail(`remove file '${path}' because it has another name`);
      rmSync(path);
      continue;
    }
    fit(path, info, wanted, scope);
    if (kind === "directory") await clean(path, scope);
  }
}

/** Entries between two turns for signals. */
const LOOKED_AT_ONCE = 1000;

function fit(path: string, info: Stats, wanted: Wanted, { owners, ctx }: CleanScope): void {
  if ("destination" in wanted) {
    if (readlinkSync(path) === wanted.destination) return;
    ctx.log.detail(`remove link '${path}' because destination changed`);
    return rmSync(path);
  }
  const owner = owners.of(wanted);
  if (owner !== null && (info.uid !== owner.uid || info.gid !== owner.gid)) {
    ctx.log.detail(`update ownership for '${path}'`);
    chownSync(path, owner.uid, owner.gid);
  }
  if ((info.mode & 0o7777) !== wanted.mode) {
    ctx.log.detail(`update mode for '${path}' to ${renderMode(wanted.mode)}`);
    chmodSync(path, wanted.mode);
  }
  // A relation that has grown since the backup may still begin with the backup's content.
  if ("sizeBytes" in wanted && info.size > wanted.sizeBytes) truncateSync(path, wanted.sizeBytes);
}

/** The data directory first, whose mode the directory of a linked file gets: that may have no row. */
function madePaths(manifest: Manifest): readonly [ManifestPath, ...ManifestPath[]] {
  const base = manifest.paths.find((path) => path.name === "pg_data");
  assert(base !== undefined, "a manifest without a row for the data directory");
  const others = restoredPaths(manifest).filter((path) => path !== base);
  return [base, ...others.sort((left, right) => (left.name < right.name ? -1 : 1))];
}

function makePaths(
  paths: readonly ManifestPath[],
  layout: RestoreLayout,
  { owners, self }: PrepareOptions,
  ctx: Context,
): void {
  const linkTargets = new Set(layout.linkTargets.values());
  for (const path of paths) {
    const directory = layout.locate(path.name);
    const made = makePath(directory, path, owners, ctx);
    // A tablespace's parent may belong to a user who admits only this account; only root can make sure that the server
    // may enter.
    if (!made && self.uid !== 0 && TABLESPACE.test(path.name)) continue;
    if (!made && directory !== layout.dataDirectory && !linkTargets.has(directory)) requireDirectory(directory);
    try {
      chmodSync(directory, path.mode);
    } catch (error) {
      throw systemError("fileMode", `set mode of '${directory}'`, directory, error);
    }
    const owner = owners.of(path);
    if (owner !== null) chownSync(directory, owner.uid, owner.gid);
  }
}

/** A kept entry may be a link; the mode and owner of its target are not ours to set. @throws pathCreate */
function requireDirectory(path: string): void {
  if (lstatSync(path).isDirectory()) return;
  throw fail("pathCreate", `unable to create path '${path}' because it is a link`, { hint: "remove the link.", path });
}

function nameOf(link: PlannedLink, layout: RestoreLayout): string {
  return `pg_data${link.path.slice(layout.dataDirectory.length)}`;
}

/** False when it existed. */
function makePath(directory: string, row: ManifestPath, owners: Owners, ctx: Context): boolean {
  let first: string | undefined;
  try {
    first = mkdirSync(directory, { recursive: true, mode: row.mode });
  } catch (error) {
    throw systemError("pathCreate", `create path '${directory}'`, directory, error);
  }
  if (first === undefined) return false;
  ctx.log.detail(`create path '${directory}'`);
  const owner = owners.of(row);
  // Parents created on the way get the same owner.
  for (let path = directory; owner !== null && path.length >= first.length; path = dirname(path))
    chownSync(path, owner.uid, owner.gid);
  return true;
}

async function makeLink(link: PlannedLink, owners: Owners, ctx: Context): Promise<void> {
  const current = await readlink(link.path).catch(() => null);
  if (current === link.destination) return;
  ctx.log.detail(`create symlink '${link.path}' to '${link.destination}'`);
  await mkdir(dirname(link.path), { recursive: true });
  await symlink(link.destination, link.path).catch((error: unknown) => {
    throw systemError("fileWrite", `create symlink '${link.path}' to '${link.destination}'`, link.path, error);
  });
  const owner = owners.of(link);
  if (owner !== null) await lchown(link.path, owner.uid, owner.gid);
}

/** Makes the names in every restored directory durable. */
export async function syncDirectories(manifest: Manifest, layout: RestoreLayout): Promise<void> {
  await mapParallel(restoredPaths(manifest), SYNCED_AT_ONCE, (path) => syncDirectory(layout.locate(path.name)));
}

const SYNCED_AT_ONCE = 4;

/** The row `pg_tblspc` is for stock's own use; the directory of links is `pg_data/pg_tblspc`. */
function restoredPaths(manifest: Manifest): readonly ManifestPath[] {
  return manifest.paths.filter((path) => path.name !== "pg_tblspc");
}
