/**
 * Data directories in memory, below `/sim/`. The runtime reads them without waiting, so the same seed gives the same
 * schedule.
 *
 * A test file mocks `node:fs` and `node:fs/promises` with {@link overFiles} and {@link overPromises}. All other paths
 * go to the real file system.
 */
import type * as fs from "node:fs";
import type * as promises from "node:fs/promises";

export const ROOT = "/sim";
const FIRST_DESCRIPTOR = 1_000_000;
const MODES = { file: 0o100600, directory: 0o040700 };

interface File {
  readonly bytes: Buffer;
  readonly modifiedAtS: number;
  /** Inode number. It differs between servers, as on a disk. */
  readonly inode: number;
}

interface StatOptions {
  readonly bigint?: boolean | undefined;
}

/** Directory → name → file. A directory has null. */
const tree = new Map<string, Map<string, File | null>>();
const opened = new Map<number, File>();
/** Paths of files that are being written. */
const written = new Map<number, string>();
let nextDescriptor = FIRST_DESCRIPTOR;

export function clearFiles(): void {
  tree.clear();
  opened.clear();
  written.clear();
  nextDescriptor = FIRST_DESCRIPTOR;
}

export function makeDirectory(path: string): void {
  if (tree.has(path)) return;
  tree.set(path, new Map());
  const slash = path.lastIndexOf("/");
  if (slash <= 0) return;
  makeDirectory(path.slice(0, slash));
  tree.get(path.slice(0, slash))?.set(path.slice(slash + 1), null);
}

export function writeFile(path: string, bytes: Uint8Array | string, modifiedAtS: number, inode: number): void {
  const slash = path.lastIndexOf("/");
  makeDirectory(path.slice(0, slash));
  tree.get(path.slice(0, slash))?.set(path.slice(slash + 1), { bytes: Buffer.from(bytes), modifiedAtS, inode });
}

export function removeFile(path: string): void {
  const slash = path.lastIndexOf("/");
  tree.get(path.slice(0, slash))?.delete(path.slice(slash + 1));
}

/** Names of files in a directory, ascending. */
export function filesIn(path: string): string[] {
  const entries = [...(tree.get(path) ?? [])];
  return entries.flatMap(([name, file]) => (file === null ? [] : [name])).sort();
}

/** @throws ENOENT */
export function contentOf(path: string): Buffer {
  return find(path).bytes;
}

function missing(path: string): Error {
  return Object.assign(new Error(`ENOENT: no such file or directory, '${path}'`), { code: "ENOENT", path });
}

function isOurs(path: unknown): path is string {
  return typeof path === "string" && path.startsWith(`${ROOT}/`);
}

function find(path: string): File {
  const slash = path.lastIndexOf("/");
  const file = tree.get(path.slice(0, slash))?.get(path.slice(slash + 1));
  if (file === undefined || file === null) throw missing(path);
  return file;
}

function look(path: string, options?: StatOptions): unknown {
  const isDirectory = tree.has(path);
  const file = isDirectory ? null : find(path);
  return statsOf(file, isDirectory, options);
}

function statsOf(file: File | null, isDirectory: boolean, options?: StatOptions): unknown {
  const kinds = { isFile: () => !isDirectory, isDirectory: () => isDirectory, isSymbolicLink: () => false };
  const size = file?.bytes.length ?? 0;
  const modifiedAtMs = (file?.modifiedAtS ?? 0) * 1000;
  const ino = file?.inode ?? 1;
  const mode = isDirectory ? MODES.directory : MODES.file;
  if (options?.bigint !== true) return { ...kinds, size, mtimeMs: modifiedAtMs, mode, uid: 0, gid: 0, ino, dev: 1 };
  return {
    ...kinds,
    size: BigInt(size),
    mtimeNs: BigInt(modifiedAtMs) * 1_000_000n,
    mode: BigInt(mode),
    uid: 0n,
    gid: 0n,
    ino: BigInt(ino),
    dev: 1n,
  };
}

function openDescriptor(path: string): number {
  opened.set(++nextDescriptor, find(path));
  return nextDescriptor;
}

function readAt(descriptor: number, target: Uint8Array, offset: number, length: number, position: number): number {
  const file = opened.get(descriptor);
  if (file === undefined) throw new Error(`descriptor ${descriptor} is not open`);
  const part = file.bytes.subarray(position, position + length);
  target.set(part, offset);
  return part.length;
}

/** The host's own clock stamps its files. */
const TMPFS_TYPE = 0x01021994;

/** `node:fs` with the files in memory. */
export function overFiles(real: typeof fs): object {
  const mine = {
    lstatSync: (path: string, options?: StatOptions) =>
      isOurs(path) ? look(path, options) : real.lstatSync(path, options),
    statSync: (path: string, options?: StatOptions) =>
      isOurs(path) ? look(path, options) : real.statSync(path, options),
    openSync: (path: string, ...rest: [fs.OpenMode, fs.Mode?]) =>
      isOurs(path) ? openDescriptor(path) : real.openSync(path, ...rest),
    readSync: (descriptor: number, target: Uint8Array, offset: number, length: number, position: number) =>
      descriptor > FIRST_DESCRIPTOR
        ? readAt(descriptor, target, offset, length, position)
        : real.readSync(descriptor, target, offset, length, position),
    writeSync: (descriptor: number, bytes: Uint8Array, ...rest: [number?, number?, number?]) =>
      descriptor > FIRST_DESCRIPTOR
        ? appendTo(descriptor, bytes.subarray(rest[0] ?? 0))
        : real.writeSync(descriptor, bytes, ...rest),
    readdirSync: (path: string) => (isOurs(path) ? namesIn(path) : real.readdirSync(path)),
    statfsSync: (path: string) => (isOurs(path) ? { type: TMPFS_TYPE } : real.statfsSync(path)),
    closeSync: (descriptor: number) =>
      descriptor > FIRST_DESCRIPTOR ? void opened.delete(descriptor) : real.closeSync(descriptor),
  };
  return { ...real, ...mine, default: { ...real, ...mine } };
}

/** `node:fs/promises` with the files in memory. */
export function overPromises(real: typeof promises): object {
  const mine = {
    stat: async (path: string, options?: StatOptions) =>
      isOurs(path) ? look(path, options) : real.stat(path, options),
    lstat: async (path: string, options?: StatOptions) =>
      isOurs(path) ? look(path, options) : real.lstat(path, options),
    readdir: async (path: string) => (isOurs(path) ? namesIn(path) : real.readdir(path)),
    access: async (path: string) => (isOurs(path) ? void look(path) : real.access(path)),
    readFile: async (path: string, ...rest: never[]) => (isOurs(path) ? contentOf(path) : real.readFile(path, ...rest)),
    realpath: async (path: string) => (isOurs(path) ? path : real.realpath(path)),
    open: async (path: string, ...rest: string[]) => {
      if (!isOurs(path)) return real.open(path, ...rest);
      return rest[0] === "w" ? writerOf(path) : handleOf(path);
    },
    rename: async (from: string, to: string) => {
      if (!isOurs(from)) return real.rename(from, to);
      writeFile(to, contentOf(from), 0, 1);
      removeFile(from);
    },
    rm: async (path: string, options?: fs.RmOptions) => (isOurs(path) ? removeFile(path) : real.rm(path, options)),
  };
  return { ...real, ...mine, default: { ...real, ...mine } };
}

function writerOf(path: string): unknown {
  writeFile(path, "", 0, 1);
  const fd = ++nextDescriptor;
  written.set(fd, path);
  return { fd, sync: async () => {}, close: async () => void written.delete(fd) };
}

function appendTo(descriptor: number, bytes: Uint8Array): number {
  const path = written.get(descriptor);
  if (path === undefined) throw new Error(`descriptor ${descriptor} is not open`);
  writeFile(path, Buffer.concat([contentOf(path), bytes]), 0, 1);
  return bytes.length;
}

function namesIn(path: string): string[] {
  const names = tree.get(path);
  if (names === undefined) throw missing(path);
  return [...names.keys()];
}

function handleOf(path: string): unknown {
  const fd = openDescriptor(path);
  const file = find(path);
  return {
    fd,
    stat: async (options?: StatOptions) => statsOf(file, false, options),
    read: async (target: Uint8Array, offset: number, length: number, position: number) => ({
      bytesRead: readAt(fd, target, offset, length, position),
      buffer: target,
    }),
    close: async () => void opened.delete(fd),
  };
}
