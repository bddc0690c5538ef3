/**
 * Lists the parts of a data directory that belong into a backup, as rows of a manifest ("pgbackrest-format" 11).
 *
 * Names are the manifest's: `pg_data/…` for the data directory, `pg_tblspc/<oid>/PG_<version>_<catalog>/…` for
 * tablespaces. It reads only names, sizes, times and rights. A file that vanishes during the walk is omitted: recovery
 * recreates or removes it.
 */
import { compareBytes } from "../base/bytes";
import { hasOwnClock, lstat, lstatSync, readdirSync, readlink, stat, type Stats } from "../local/nodeFiles";
import { basename, dirname, isAbsolute, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Context } from "../base/context";
import { fail } from "../base/errors";
import { FileRows, filesWhere, sortedByName, viewsOf } from "../format/repository/fileRows";
import type { FileList, FileView, ManifestTarget } from "../format/repository/manifest";
import type { UserNames } from "../local/users";
import type { ServerView } from "./container/serverPaths";
import { atLeast, tablespaceDirectory, walDirectoryName } from "./versions";

export interface ScanOptions {
  readonly dataDirectory: string;
  /** How the server calls its paths. Default: as this machine does. */
  readonly view?: ServerView;
  readonly version: string;
  readonly catalogVersion: number;
  /** Online backups omit the WAL: recovery takes it from the archive. */
  readonly online: boolean;
  /** `exclude` of the configuration: paths relative to the data directory; a trailing `/` drops only the content. */
  readonly exclude: readonly string[];
  /** Tablespace names by oid, from the server. */
  readonly tablespaces: ReadonlyMap<number, string>;
  readonly users: UserNames;
}

interface Scanned {
  readonly name: string;
  readonly user: string | null;
  readonly group: string | null;
}

export interface ScannedPath extends Scanned {
  readonly mode: number;
}

export type ScannedFile = Pick<FileView, "name" | "sizeBytes" | "modifiedAtS" | "mode" | "user" | "group">;

/** Where the files are on this machine. */
export class SourcePaths {
  /** Directories, by those of the names. */
  readonly #directories = new Map<string, string>();
  /** Paths of files that are elsewhere, or have other names there: linked ones. */
  readonly #files = new Map<string, string>();

  add(name: string, sourceDirectory: string, sourceName: string): void {
    const [directory, base] = splitName(name);
    const known = this.#directories.get(directory);
    if (known === undefined && sourceName === base) this.#directories.set(directory, sourceDirectory);
    else if (known !== sourceDirectory || sourceName !== base)
      this.#files.set(name, `${sourceDirectory}/${sourceName}`);
  }

  pathOf(name: string): string {
    const linked = this.#files.size === 0 ? undefined : this.#files.get(name);
    if (linked !== undefined) return linked;
    const [directory, base] = splitName(name);
    return `${this.#directories.get(directory)}/${base}`;
  }
}

function splitName(name: string): readonly [directory: string, base: string] {
  const slash = name.lastIndexOf("/");
  return [name.slice(0, slash), name.slice(slash + 1)];
}

export interface ScannedLink extends Scanned {
  readonly destination: string;
}

export type ScannedTarget = ManifestTarget;

export interface Scan {
  /** Ascending by name, as rows of files that are not copied yet. */
  readonly files: FileList;
  readonly sources: SourcePaths;
  readonly paths: readonly ScannedPath[];
  readonly links: readonly ScannedLink[];
  readonly targets: readonly ScannedTarget[];
  /** False if a file server may have stamped some of the files. */
  readonly ownClock: boolean;
  readonly warnings: readonly string[];
  /** Entries that `exclude` dropped. */
  readonly notes: readonly string[];
}

/** The directory of a tablespace that holds this version's relations. */
interface TablespaceContent {
  readonly name: string;
  readonly path: string;
  readonly info: Stats;
}

/** Directories of PGDATA whose content PostgreSQL recreates at start (PostgreSQL "src/backend/backup/basebackup.c"). */
const EMPTY_DIRECTORIES = new Set([
  "pg_dynshmem",
  "pg_notify",
  "pg_replslot",
  "pg_serial",
  "pg_snapshots",
  "pg_stat_tmp",
  "pg_subtrans",
]);
/** DROP TABLESPACE removes a tablespace's directory, and right after it the link. */
const DROP_LOOK_AGAIN_MS = 100;
/** Files between two turns of the event loop. */
const SEEN_AT_ONCE = 1000;
const RELATION = /^\d+(_fsm|_vm)?(\.\d+)?$/;
const TEMPORARY_RELATION = /^t\d+_\d+(_fsm|_vm)?(\.\d+)?$/;
const TABLESPACE_LINKS = "pg_data/pg_tblspc";
const TABLESPACE_LINK = /^pg_data\/pg_tblspc\/(\d+)$/;
const DATABASE_DIRECTORY = /^(pg_data\/base\/\d+|pg_data\/global|pg_tblspc\/\d+\/PG_[^/]+\/\d+)$/;

/**
 * @throws pathMissing (73) when the data directory does not exist; fileOpen (41) when a tablespace's directory of this
 * version does not; linkExpected (69) for a file or directory in pg_tblspc; linkDestination (70) for a link into the
 * data directory, to a link, or two links to one directory
 */
export async function scanDataDirectory(options: ScanOptions, ctx: Context): Promise<Scan> {
  const walk = new Walk(options, ctx);
  await walk.start();
  return walk.finish();
}

class Walk {
  readonly #options: ScanOptions;
  readonly #ctx: Context;
  readonly #recordedDirectory: string;
  readonly #files = new FileRows();
  readonly #sources = new SourcePaths();
  #ownClock = true;
  readonly #paths: ScannedPath[] = [];
  readonly #links: ScannedLink[] = [];
  readonly #targets: ScannedTarget[] = [];
  readonly #warnings: string[] = [];
  readonly #notes: string[] = [];
  readonly #skipRoot: ReadonlySet<string>;
  #seenCount = 0;

  constructor(options: ScanOptions, ctx: Context) {
    this.#options = options;
    this.#ctx = ctx;
    this.#recordedDirectory = options.view?.dataDirectory ?? options.dataDirectory;
    this.#skipRoot = rootFilesToSkip(options.version);
  }

  async start(): Promise<void> {
    const { dataDirectory } = this.#options;
    const info = await stat(dataDirectory).catch((error: NodeJS.ErrnoException) => {
      throw fail("pathMissing", `unable to list file info for missing path '${dataDirectory}': [${error.code}]`, {
        hint: "is pg1-path right?",
        cause: error,
      });
    });
    this.#ownClock = hasOwnClock(dataDirectory);
    this.#targets.push({ name: "pg_data", type: "path", path: this.#recordedDirectory });
    this.#addPath("pg_data", info);
    await this.#directory("pg_data", dataDirectory);
  }

  finish(): Scan {
    this.#checkLinks();
    const byName = <T extends { name: string }>(rows: T[]): T[] =>
      rows.sort((left, right) => compareBytes(left.name, right.name));
    return {
      files: FileRows.of(sortedByName(this.#withoutUnlogged())),
      sources: this.#sources,
      paths: byName(this.#paths),
      links: byName(this.#links),
      targets: byName(this.#targets),
      ownClock: this.#ownClock,
      warnings: this.#warnings,
      notes: this.#notes,
    };
  }

  async #directory(name: string, sourcePath: string): Promise<void> {
    for (const child of namesIn(sourcePath).sort(compareBytes)) {
      if (child.startsWith("pgsql_tmp")) continue;
      const childName = `${name}/${child}`;
      const childSource = `${sourcePath}/${child}`;
      // Synchronous: the answer is in memory, and 100,000 trips through the thread pool take ten times as long.
      const info = lstatNow(childSource);
      if (++this.#seenCount % SEEN_AT_ONCE === 0) await setImmediate();
      if (info === null || this.#isExcluded(childName, childSource)) continue;
      if (name === TABLESPACE_LINKS && !info.isSymbolicLink()) {
        throw fail("linkExpected", `'${child}' is not a symlink - pg_tblspc should contain only symlinks`);
      }
      if (info.isDirectory()) await this.#childDirectory(childName, childSource, info);
      else if (info.isFile()) this.#file(childName, sourcePath, child, info);
      else if (info.isSymbolicLink()) await this.#link(childName, childSource, info);
      else this.#warnings.push(`exclude special file '${childSource}' from backup`);
    }
  }

  async #childDirectory(name: string, sourcePath: string, info: Stats): Promise<void> {
    this.#addPath(name, info);
    if (!this.#skipsContents(name, sourcePath)) await this.#directory(name, sourcePath);
  }

  #skipsContents(name: string, sourcePath: string): boolean {
    const inRoot = name.startsWith("pg_data/") ? name.slice("pg_data/".length) : "";
    if (EMPTY_DIRECTORIES.has(inRoot)) return true;
    if (this.#options.online && inRoot === `${walDirectoryName(this.#options.version)}/archive_status`) return true;
    const exclusion = this.#options.exclude.find(
      (entry) => entry.endsWith("/") && name === `pg_data/${entry.slice(0, -1)}`,
    );
    if (exclusion !== undefined)
      this.#notes.push(`exclude contents of '${sourcePath}' from backup using '${exclusion}' exclusion`);
    return exclusion !== undefined;
  }

  #file(name: string, sourceDirectory: string, sourceName: string, info: Stats): void {
    const slash = name.lastIndexOf("/");
    const directory = name.slice(0, slash);
    const base = name.slice(slash + 1);
    if (directory === "pg_data" && this.#skipRoot.has(base)) return;
    if (this.#options.online && directory === `pg_data/${walDirectoryName(this.#options.version)}`) return;
    if (
      DATABASE_DIRECTORY.test(directory) &&
      (/^pg_internal\.init(\.\d+)?$/.test(base) || TEMPORARY_RELATION.test(base))
    )
      return;
    this.#sources.add(name, sourceDirectory, sourceName);
    this.#files.add({
      name,
      sizeBytes: info.size,
      sizeRepoBytes: info.size,
      sha1: "",
      modifiedAtS: Math.floor(info.mtimeMs / 1000),
      mode: info.mode & 0o7777,
      user: this.#options.users.userName(info.uid),
      group: this.#options.users.groupName(info.gid),
    });
  }

  async #link(name: string, sourcePath: string, info: Stats): Promise<void> {
    const destination = await readlink(sourcePath).catch(vanished<null>(null));
    if (destination === null) return;
    const oid = TABLESPACE_LINK.exec(name)?.[1];
    // As PostgreSQL does. Its files would have names that no manifest may contain.
    if (oid === undefined && name.startsWith(`${TABLESPACE_LINKS}/`)) {
      this.#warnings.push(`exclude '${sourcePath}' from backup: its name is not that of a tablespace`);
      return;
    }
    const targetPath = this.#sourceOfLink(name, sourcePath, destination);
    const target = await lstat(targetPath).catch(async (error: NodeJS.ErrnoException) => {
      // Dropping a tablespace removes its directory and its link.
      if (error.code === "ENOENT" && (await lstat(sourcePath).catch(vanished<null>(null))) === null) return null;
      throw fail("fileOpen", `link '${name}' points to '${destination}', which cannot be read: [${error.code}]`);
    });
    if (target === null) return;
    if (!target.isDirectory() && !target.isFile() && !target.isSymbolicLink()) {
      this.#warnings.push(`exclude special file '${sourcePath}' from backup`);
      return;
    }
    if (target.isSymbolicLink())
      throw fail("linkDestination", `link '${name}' -> '${destination}' cannot reference another link`);
    const { userName, groupName } = this.#options.users;
    const behind = this.#behind(sourcePath, targetPath);
    const content = oid === undefined ? null : await this.#tablespaceContent(oid, sourcePath, behind);
    if (oid !== undefined && content === null) return;
    this.#ownClock &&= hasOwnClock(targetPath);
    this.#links.push({ name, destination, user: userName(info.uid), group: groupName(info.gid) });
    if (oid !== undefined && content !== null) {
      await this.#tablespace(oid, destination, target, content);
    } else if (target.isDirectory()) {
      this.#targets.push({ name, type: "link", path: destination });
      await this.#childDirectory(name, behind, target);
    } else {
      this.#targets.push({
        name,
        type: "link",
        path: dirname(destination),
        file: destination.slice(destination.lastIndexOf("/") + 1),
      });
      this.#file(name, dirname(behind), basename(behind), target);
    }
  }

  /** A container's link leads elsewhere here: its content is read at its own path. */
  #behind(sourcePath: string, targetPath: string): string {
    return this.#options.view === undefined ? sourcePath : targetPath;
  }

  #sourceOfLink(name: string, sourcePath: string, destination: string): string {
    const { view } = this.#options;
    if (view === undefined) return resolve(dirname(sourcePath), destination);
    if (!isAbsolute(destination) && !name.startsWith("pg_data/"))
      throw fail("linkDestination", `link '${name}' -> '${destination}' of a container is not absolute`);
    const directory = dirname(`${this.#recordedDirectory}${name.slice("pg_data".length)}`);
    return view.entry(resolve(directory, destination));
  }

  /**
   * What a tablespace holds of this version; null for a tablespace that was just dropped. PostgreSQL creates this
   * directory before the link: without it, the tablespace's disk is not mounted.
   */
  async #tablespaceContent(oid: string, linkPath: string, sourcePath: string): Promise<TablespaceContent | null> {
    const { version, catalogVersion } = this.#options;
    const name = tablespaceDirectory(version, catalogVersion);
    const path = `${sourcePath}/${name}`;
    for (let isSecondLook = false; ; isSecondLook = true) {
      const info = await lstat(path).catch(vanished<null>(null));
      if (info?.isDirectory()) return { name, path, info };
      if (lstatNow(linkPath) === null) return null;
      if (isSecondLook) {
        throw info === null
          ? fail("fileOpen", `tablespace ${oid} has no directory '${path}'`, { hint: "is its disk mounted?" })
          : fail("linkDestination", `'${path}' of tablespace ${oid} is not a directory`);
      }
      await this.#ctx.clock.sleep(DROP_LOOK_AGAIN_MS, this.#ctx.signal);
    }
  }

  async #tablespace(oid: string, destination: string, info: Stats, content: TablespaceContent): Promise<void> {
    const { tablespaces, online } = this.#options;
    const tablespaceName = tablespaces.get(Number(oid)) ?? (online ? null : `ts${oid}`);
    if (tablespaceName === null)
      throw fail("assert", `tablespace with oid ${oid} not found in tablespace map`, {
        hint: "was a tablespace created or dropped during the backup?",
      });
    const name = `pg_tblspc/${oid}`;
    this.#targets.push({ name, type: "link", path: destination, tablespaceId: oid, tablespaceName });
    const base = this.#paths[0] as ScannedPath;
    // Rows without their own directory take the data directory's rights: they then equal the defaults and stay short.
    if (!this.#paths.some((path) => path.name === "pg_tblspc")) this.#paths.push({ ...base, name: "pg_tblspc" });
    this.#addPath(name, info);
    await this.#childDirectory(`${name}/${content.name}`, content.path, content.info);
  }

  #addPath(name: string, info: Stats): void {
    const { userName, groupName } = this.#options.users;
    this.#paths.push({ name, mode: info.mode & 0o7777, user: userName(info.uid), group: groupName(info.gid) });
  }

  #isExcluded(name: string, sourcePath: string): boolean {
    const exclusion = this.#options.exclude.find((entry) => !entry.endsWith("/") && name === `pg_data/${entry}`);
    if (exclusion !== undefined) this.#notes.push(`exclude '${sourcePath}' from backup using '${exclusion}' exclusion`);
    return exclusion !== undefined;
  }

  /**
   * After a crash or a restore, PostgreSQL recreates unlogged relations from their `_init` fork: only that fork is
   * kept.
   */
  #withoutUnlogged(): FileList {
    const unlogged = new Set<string>();
    for (const { name } of viewsOf(this.#files))
      if (name.endsWith("_init") && isDatabaseFile(name)) unlogged.add(name.slice(0, -"_init".length));
    if (unlogged.size === 0) return this.#files;
    return filesWhere(this.#files, ({ name }) => {
      const slash = name.lastIndexOf("/");
      const base = name.slice(slash + 1);
      if (!RELATION.test(base) || !isDatabaseFile(name)) return true;
      return !unlogged.has(`${name.slice(0, slash + 1)}${/^\d+/.exec(base)?.[0]}`);
    });
  }

  #checkLinks(): void {
    const dataDirectory = this.#recordedDirectory;
    const seen = new Map<string, string>();
    const directories: { readonly name: string; readonly path: string }[] = [];
    for (const target of this.#targets) {
      if (target.type !== "link") continue;
      const directory = resolve(dirname(`${dataDirectory}/${target.name.replace(/^pg_data\//, "")}`), target.path);
      if (target.tablespaceId !== undefined && !isAbsolute(target.path))
        throw fail("linkDestination", `tablespace link '${target.name}' is not absolute`);
      if (`${directory}/`.startsWith(`${dataDirectory}/`))
        throw fail("linkDestination", `link '${target.name}' destination '${directory}' is in PGDATA`);
      const key = target.file === undefined ? directory : `${directory}/${target.file}`;
      const other = seen.get(key);
      if (other !== undefined)
        throw fail("linkDestination", `link '${target.name}' (${key}) destination is the same as link '${other}'`);
      seen.set(key, target.name);
      if (target.file === undefined) directories.push({ name: target.name, path: directory });
    }
    // A linked file may be anywhere; nested directories would be backed up twice and restored into themselves.
    for (const inner of directories) {
      const outer = directories.find((other) => other !== inner && inner.path.startsWith(`${other.path}/`));
      if (outer !== undefined) {
        throw fail(
          "linkDestination",
          `link '${inner.name}' (${inner.path}) destination is a subdirectory of link '${outer.name}' (${outer.path})`,
        );
      }
    }
  }
}

function rootFilesToSkip(version: string): ReadonlySet<string> {
  const names = [
    "postgresql.auto.conf.tmp",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "postmaster.opts",
    "postmaster.pid",
  ];
  if (atLeast(version, 12)) names.push("recovery.signal", "standby.signal");
  else names.push("recovery.conf", "recovery.done");
  if (atLeast(version, 13)) names.push("backup_manifest", "backup_manifest.tmp");
  return new Set(names);
}

function isDatabaseFile(name: string): boolean {
  return DATABASE_DIRECTORY.test(name.slice(0, name.lastIndexOf("/")));
}

/** Synchronous: a thread of Node's pool would keep the memory of a long answer. */
function namesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    return vanished<string[]>([])(error as NodeJS.ErrnoException);
  }
}

/** Null when the file is gone. */
function lstatNow(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    return vanished<null>(null)(error as NodeJS.ErrnoException);
  }
}

function vanished<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return value;
    throw fail("fileOpen", `unable to read '${error.path}': [${error.code}] ${error.message}`, {
      hint: "does this user own the data directory?",
      cause: error,
    });
  };
}
