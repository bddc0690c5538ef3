/**
 * Node's file functions, with names and contents as texts that lose no byte (`textOf` in base/bytes.ts).
 *
 * For a byte that is no UTF-8 Node itself gives U+FFFD, and then finds no such file. So the runtime touches files
 * through these functions only.
 */
import * as sync from "node:fs";
import * as promised from "node:fs/promises";
import { hasStrayBytes, textOf, utf8 } from "../base/bytes";

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
export const chmod = named(() => promised.chmod);
export const chown = named(() => promised.chown);
export const lchown = named(() => promised.lchown);
export const lstat = named(() => promised.lstat);
export const open = named(() => promised.open);
export const rm = named(() => promised.rm);
export const rmdir = named(() => promised.rmdir);
export const stat = named(() => promised.stat);
export const statfs = named(() => promised.statfs);
export const unlink = named(() => promised.unlink);
export const utimes = named(() => promised.utimes);
export const copyFile = namedTwice(() => promised.copyFile);
export const link = namedTwice(() => promised.link);
export const rename = namedTwice(() => promised.rename);
export const symlink = namedTwice(() => promised.symlink);

export const chmodSync = named(() => sync.chmodSync);
export const chownSync = named(() => sync.chownSync);
export const existsSync = named(() => sync.existsSync);
export const lstatSync = named(() => sync.lstatSync);
export const openSync = named(() => sync.openSync);
export const rmdirSync = named(() => sync.rmdirSync);
export const rmSync = named(() => sync.rmSync);
export const statSync = named(() => sync.statSync);
export const statfsSync = named(() => sync.statfsSync);
export const truncateSync = named(() => sync.truncateSync);
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
  const bytes = await promised.readFile(nativeName(path));
  return encoding === undefined ? bytes : textOf(bytes);
}

/** As {@link readFile}. */
export function readFileSync(path: string | number): Buffer;
export function readFileSync(path: string | number, encoding: "utf8" | "latin1"): string;
export function readFileSync(path: string | number, encoding?: "utf8" | "latin1"): Buffer | string {
  const bytes = sync.readFileSync(nativeName(path));
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

type Call = (...args: never[]) => unknown;

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
