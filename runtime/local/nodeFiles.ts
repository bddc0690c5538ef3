/**
 * Node's file functions, with names and contents as texts that lose no byte (`textOf` in base/bytes.ts).
 *
 * For a byte that is no UTF-8 Node itself gives U+FFFD, and then finds no such file. So the runtime touches files
 * through these functions only.
 */
import * as sync from "node:fs";
import * as promised from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { hasStrayBytes, textOf, utf8 } from "../base/bytes";
import { fail } from "../base/errors";
import { mapParallel } from "../base/parallel";

export {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fchmodSync,
  fchownSync,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  futimesSync,
  read,
  readSync,
  type Stats,
  writeSync,
  writevSync,
} from "node:fs";
export type { FileHandle } from "node:fs/promises";

export const access = named(() => promised.access);
export const chmod: typeof promised.chmod = (path, mode) => through(path, (at) => promised.chmod(at, mode));
/** In a guarded directory of the link itself. */
export const chown: typeof promised.chown = (path, uid, gid) =>
  promised[isGuarded(path) ? "lchown" : "chown"](nativeName(path), uid, gid);
export const lchown = named(() => promised.lchown);
export const lstat: typeof promised.lstat = ((path: string, options?: sync.StatOptions) =>
  options === undefined
    ? called<sync.Stats>((done) => sync.lstat(nativeName(path), done))
    : promised.lstat(nativeName(path), options)) as never;
export const open: typeof promised.open = (path, flags, mode) =>
  through(path, (at) => promised.open(at, pinnedFlags(path, flags), mode), flags);
export const rm = named(() => promised.rm);
export const rmdir = named(() => promised.rmdir);
export const stat = named(() => promised.stat);
export const statfs = named(() => promised.statfs);
export const unlink: typeof promised.unlink = (path) => called<void>((done) => sync.unlink(nativeName(path), done));
export const utimes = named(() => promised.utimes);
export const copyFile: typeof promised.copyFile = (from, to, mode) =>
  through(from, (at) => promised.copyFile(at, nativeName(to), mode));
export const link = namedTwice(() => promised.link);
export const rename = namedTwice(() => promised.rename);
export const symlink = namedTwice(() => promised.symlink);

export const chmodSync: typeof sync.chmodSync = (path, mode) => throughSync(path, (at) => sync.chmodSync(at, mode));
/** As {@link chown}. */
export const chownSync: typeof sync.chownSync = (path, uid, gid) =>
  sync[isGuarded(path) ? "lchownSync" : "chownSync"](nativeName(path), uid, gid);
export const existsSync = named(() => sync.existsSync);
export const lstatSync = named(() => sync.lstatSync);
export const openSync: typeof sync.openSync = (path, flags, mode) =>
  throughSync(path, (at) => sync.openSync(at, pinnedFlags(path, flags) as sync.OpenMode, mode), flags);
export const rmdirSync = named(() => sync.rmdirSync);
export const rmSync = named(() => sync.rmSync);
export const statSync = named(() => sync.statSync);
export const statfsSync = named(() => sync.statfsSync);
export const truncateSync: typeof sync.truncateSync = (path, length) =>
  throughSync(path, (at) => sync.truncateSync(at, length));
export const unlinkSync = named(() => sync.unlinkSync);
export const linkSync = namedTwice(() => sync.linkSync);
export const renameSync = namedTwice(() => sync.renameSync);
export const symlinkSync = namedTwice(() => sync.symlinkSync);

export const mkdir: typeof promised.mkdir = (async (path: string, options?: sync.MakeDirectoryOptions) =>
  madePath(path, await promised.mkdir(nativeName(path), options))) as never;

export const mkdirSync: typeof sync.mkdirSync = ((path: string, options?: sync.MakeDirectoryOptions) =>
  madePath(path, sync.mkdirSync(nativeName(path), options))) as never;

/** With options: for directories of our own, whose names are UTF-8. */
export const readdir: typeof promised.readdir = (async (path: string, options?: object) =>
  options === undefined
    ? (await promised.readdir(nativeName(path), "latin1")).map(textOfLatin1)
    : promised.readdir(nativeName(path), options)) as never;

/** As {@link readdir}. */
export const readdirSync: typeof sync.readdirSync = ((path: string, options?: object) =>
  options === undefined
    ? sync.readdirSync(nativeName(path), "latin1").map(textOfLatin1)
    : sync.readdirSync(nativeName(path), options)) as never;

/** Node has four threads for files. */
const LOOKED_UP_AT_ONCE = 8;

interface Entry {
  readonly name: string;
  readonly type: "file" | "directory" | "link";
}

/** Names in a directory with their types, without a call for each where the file system tells the type. */
export async function readEntries(path: string): Promise<Entry[]> {
  try {
    const entries = await promised.readdir(nativeName(path), { withFileTypes: true, encoding: "buffer" });
    return entries.map((entry) => ({ name: textOf(entry.name), type: typeOf(entry) }));
  } catch (error) {
    // Where it does not, Node looks at each name, and fails as for a missing directory when one has vanished.
    if (!isAbsent(error)) throw error;
  }
  const entries = await mapParallel(await readdir(path), LOOKED_UP_AT_ONCE, async (name): Promise<Entry | null> => {
    try {
      return { name, type: typeOf(await lstat(join(path, name))) };
    } catch (error) {
      if (!isAbsent(error)) throw error;
      return null;
    }
  });
  return entries.filter((entry) => entry !== null);
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function typeOf(entry: Pick<sync.Dirent, "isDirectory" | "isSymbolicLink">): Entry["type"] {
  return entry.isDirectory() ? "directory" : entry.isSymbolicLink() ? "link" : "file";
}

export async function readlink(path: string): Promise<string> {
  return textOfLatin1(await promised.readlink(nativeName(path), "latin1"));
}

export function readlinkSync(path: string): string {
  return textOfLatin1(sync.readlinkSync(nativeName(path), "latin1"));
}

export async function realpath(path: string): Promise<string> {
  return textOfLatin1(await promised.realpath(nativeName(path), "latin1"));
}

export function realpathSync(path: string): string {
  return textOfLatin1(sync.realpathSync(nativeName(path), "latin1"));
}

export async function mkdtemp(prefix: string): Promise<string> {
  return textOfLatin1(await promised.mkdtemp(nativeName(prefix), "latin1"));
}

/** The content's bytes, or its text. */
export function readFile(path: string): Promise<Buffer>;
export function readFile(path: string, encoding: "utf8"): Promise<string>;
export async function readFile(path: string, encoding?: "utf8"): Promise<Buffer | string> {
  const bytes = await through(path, (at) => promised.readFile(at));
  return encoding === undefined ? bytes : textOf(bytes);
}

/** As {@link readFile}. */
export function readFileSync(path: string | number): Buffer;
export function readFileSync(path: string | number, encoding: "utf8" | "latin1"): string;
export function readFileSync(path: string | number, encoding?: "utf8" | "latin1"): Buffer | string {
  const bytes = typeof path === "number" ? sync.readFileSync(path) : throughSync(path, (at) => sync.readFileSync(at));
  if (encoding === undefined) return bytes;
  return encoding === "utf8" ? textOf(bytes) : bytes.toString(encoding);
}

export function writeFile(path: string, content: string | Uint8Array, options?: sync.WriteFileOptions): Promise<void> {
  return promised.writeFile(nativeName(path), typeof content === "string" ? utf8(content) : content, options);
}

export function writeFileSync(
  path: string | number,
  content: string | Uint8Array,
  options?: sync.WriteFileOptions,
): void {
  sync.writeFileSync(nativeName(path), typeof content === "string" ? utf8(content) : content, options);
}

/**
 * For a larger piece ext4 and others take larger pages for the kernel's cache, from memory that a virtual machine has
 * already returned to its host, and wait until the host gives it back. 1 GiB took 0.3 s of processor time in these
 * pieces and 2.6 s in pieces of 1 MiB; where no host takes memory back, 0.28 s and 0.21 s.
 */
const CACHED_PIECE_BYTES = 32 * 1024;
/** Types of statfs(2): ext4, XFS, Btrfs, F2FS. On others each piece may be a request to a server. */
const CACHED_TYPES = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010]);
/** What {@link isCached} knows, by directory. */
const cached = new Map<string, boolean>();
const CACHED_DIRECTORIES_MAX = 1000;

/**
 * Writes all bytes synchronously.
 * @param position null for after the bytes that were written before
 * @param path the file's, which need not exist any more
 * @throws fileWrite if the file system accepts no bytes, and the system's errors
 */
export function writeFully(fd: number, bytes: Uint8Array, position: number | null, path: string): void {
  const isSmall = bytes.length <= CACHED_PIECE_BYTES;
  const pieceBytes = isSmall || !isCached(dirname(path)) ? bytes.length : CACHED_PIECE_BYTES;
  for (let done = 0; done < bytes.length; ) {
    const sizeBytes = Math.min(pieceBytes, bytes.length - done);
    const written = sync.writeSync(fd, bytes, done, sizeBytes, position === null ? null : position + done);
    if (written === 0) throw fail("fileWrite", `unable to write '${path}': the file system accepts no bytes`, { path });
    done += written;
  }
}

/** And of tmpfs, overlayfs and ZFS. */
const OWN_CLOCK_TYPES = new Set([...CACHED_TYPES, 0x01021994, 0x794c7630, 0x2fc12fc1]);

/** Whether this machine's clock, and not a file server's, stamps what is at the path. */
export function hasOwnClock(path: string): boolean {
  return isOneOf(OWN_CLOCK_TYPES, path);
}

function isOneOf(types: ReadonlySet<number>, path: string): boolean {
  try {
    return types.has(sync.statfsSync(nativeName(path)).type);
  } catch {
    return false;
  }
}

/** Another mount at the same place only gets pieces of another size. */
function isCached(directory: string): boolean {
  let known = cached.get(directory);
  if (known !== undefined) return known;
  known = isOneOf(CACHED_TYPES, directory);
  if (cached.size >= CACHED_DIRECTORIES_MAX) cached.clear();
  cached.set(directory, known);
  return known;
}

/**
 * Directories that a container writes while root works in them. Nothing below them is read, written, or given away
 * through a link, or if it is a device: a link of the container would lead to this machine's files, and a device to
 * its disks. {@link through} opens the entry itself, compares where it is, and works through the descriptor, so that a
 * swap after the check changes nothing. Entries may get other names, as PostgreSQL recycles segments.
 */
const guarded = new Set<string>();

/** @param directories without links; they stay guarded as long as this thread lives */
export function guardLinks(directories: Iterable<string>): void {
  for (const directory of directories) guarded.add(directory);
}

/** For other threads. */
export function guardedDirectories(): readonly string[] {
  return [...guarded];
}

type Path = sync.PathLike | promised.FileHandle;
type Flags = string | number | undefined;

function isGuarded(path: Path): path is string {
  if (typeof path !== "string") return false;
  if (path.startsWith("/proc/") && PROCESS_ROOT.test(path)) return true;
  for (const directory of guarded) if (path === directory || path.startsWith(`${directory}/`)) return true;
  return false;
}

async function through<T>(path: Path, use: (path: string) => Promise<T>, flags?: Flags): Promise<T> {
  if (!isGuarded(path)) return use(nativeName(path as never));
  const pin = pinned(path, flags);
  try {
    return await use(pin.path);
  } finally {
    sync.closeSync(pin.fd);
  }
}

function throughSync<T>(path: Path, use: (path: string) => T, flags?: Flags): T {
  if (!isGuarded(path)) return use(nativeName(path as never));
  const pin = pinned(path, flags);
  try {
    return use(pin.path);
  } finally {
    sync.closeSync(pin.fd);
  }
}

/** Opens without reading, which even a device takes. Node has no name for this Linux flag. */
const O_PATH = 0o10000000;
const PROCESS_ROOT = /^\/proc\/\d+\/root(?=\/)/;

/** An entry by its descriptor; a new one by its directory's. @throws fileOpen, and the system's errors */
function pinned(path: string, flags: Flags): { readonly fd: number; readonly path: string } {
  try {
    const fd = isFlag(flags, /x/, sync.constants.O_EXCL) ? null : pinnedEntry(path);
    if (fd !== null) return { fd, path: `/proc/self/fd/${fd}` };
  } catch (error) {
    const isNew = isFlag(flags, /^[aw]/, sync.constants.O_CREAT) && isAbsent(error);
    if (!isNew) throw error;
  }
  const fd = pinnedEntry(dirname(path));
  return { fd, path: nativeName(`/proc/self/fd/${fd}/${basename(path)}`) };
}

/** A descriptor's path is itself a link. */
function pinnedFlags(path: Path, flags: Flags): Flags {
  return typeof flags === "number" && isGuarded(path) ? flags & ~sync.constants.O_NOFOLLOW : flags;
}

function isFlag(flags: Flags, text: RegExp, bit: number): boolean {
  return typeof flags === "number" ? (flags & bit) !== 0 : text.test(flags ?? "r");
}

function pinnedEntry(path: string): number {
  const fd = sync.openSync(nativeName(path), O_PATH | sync.constants.O_NOFOLLOW);
  try {
    const info = sync.fstatSync(fd);
    const actual = readlinkSync(`/proc/self/fd/${fd}`);
    // A container's paths begin at its own root.
    const expected = resolve(path.replace(PROCESS_ROOT, ""));
    if (info.isFile() && dirname(actual) === dirname(expected)) return fd;
    if (info.isDirectory() && actual === expected) return fd;
    const fact = info.isSymbolicLink()
      ? `is a link to '${readlinkSync(path)}'`
      : info.isFile() || info.isDirectory()
        ? `leads to '${actual}' of this machine`
        : "is neither a file nor a directory";
    throw fail("fileOpen", `'${path}' of the container ${fact}`, {
      hint: "Something in the container has put it there. Nothing of it was read or changed.",
      path,
    });
  } catch (error) {
    sync.closeSync(fd);
    throw error;
  }
}

type Call = (...args: never[]) => unknown;

/**
 * The form with a callback takes half the processor time of a promise's, and a repository has many names.
 * @throws what `work` reports
 */
function called<T>(work: (done: (error: Error | null, result?: T) => void) => void): Promise<T> {
  return new Promise((accept, reject) => {
    work((error, result) => (error === null ? accept(result as T) : reject(error)));
  });
}

/** A function whose first argument is a name. `current` is asked at each call. */
function named<F extends Call>(current: () => F): F {
  return ((name: never, ...rest: never[]) => current()(nativeName(name), ...rest)) as never;
}

/** A function whose first two arguments are names. */
function namedTwice<F extends Call>(current: () => F): F {
  return ((first: never, second: never, ...rest: never[]) =>
    current()(nativeName(first), nativeName(second), ...rest)) as never;
}

/** The first directory that was made for `path`, which Node returns without its stray bytes. */
function madePath(path: string, made: string | undefined): string | undefined {
  if (made === undefined || !hasStrayBytes(path)) return made;
  return path.split("/").slice(0, made.split("/").length).join("/");
}

/** What Node makes the name's bytes of. */
function nativeName<T>(name: T): T {
  return typeof name === "string" && hasStrayBytes(name) ? (utf8(name) as never) : name;
}

/** The text of bytes that Node gave as one character each: most names are ASCII, and need no buffer. */
function textOfLatin1(bytes: string): string {
  return /[\x80-\xff]/.test(bytes) ? textOf(Buffer.from(bytes, "latin1")) : bytes;
}
