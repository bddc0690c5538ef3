/**
 * Handles files that another account of this host may have planted. A file is checked through its descriptor, so that
 * nobody can swap it between check and use, and no link is followed.
 *
 * A directory is trusted if root, this account, or an account named by the caller owns it, or if only root could have
 * put it there; and if not everyone may replace files in it. Node has no openat: on Linux `/proc/self/fd/<n>/<name>`
 * replaces it.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  type Stats,
  statSync,
} from "./nodeFiles";
import { dirname, join, resolve } from "node:path";
import { fail } from "../base/errors";
import { groupOf } from "./actAs";
import { isMissing, systemCodeOf, systemError } from "./systemError";

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const DESCRIPTORS = "/proc/self/fd";
/** Holding a directory must not require the right to list it. Node has no name for this Linux flag. */
const O_PATH = existsSync(DESCRIPTORS) ? 0o10000000 : O_RDONLY;
const OTHERS_WRITE = 0o002;
const GROUP_OR_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;
const LINKS_MAX = 40;
const RECORD_SIZE_MAX = 4 * 1024 * 1024;

/** This process' effective account. */
export function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

export interface OwnedDirectory {
  readonly path: string;
  readonly uid: number;
}

/** An open directory: work in it stays in it, wherever its name leads by now. */
export class TrustedDirectory {
  readonly path: string;
  readonly #fd: number;
  readonly #owners: ReadonlySet<number>;

  private constructor(path: string, fd: number, owners: ReadonlySet<number>) {
    this.path = path;
    this.#fd = fd;
    this.#owners = owners;
  }

  /**
   * @param role for messages: `lock path`
   * @param owners accounts besides root and this one
   * @throws fileOwner (88), fileMode (83), pathOpen (53)
   */
  static open(role: string, path: string, owners: readonly number[] = []): TrustedDirectory {
    const trusted = new Set([0, ownUid(), ...owners]);
    const fd = openDirectory(role, path, trusted);
    try {
      const info = fstatSync(fd);
      requireTrusted(role, path, info, trusted);
      return new TrustedDirectory(path, fd, trusted.add(info.uid));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Path of an entry through the descriptor. */
  entry(name: string): string {
    return existsSync(DESCRIPTORS) ? `${DESCRIPTORS}/${this.#fd}/${name}` : join(this.path, name);
  }

  /** Null if absent; a link is not followed. */
  find(name: string): Stats | null {
    return lstatSync(this.entry(name), { throwIfNoEntry: false }) ?? null;
  }

  /** True when root, this account, or the directory's owner owns the file, or no other account may write here. */
  believes(info: Stats): boolean {
    return this.#owners.has(info.uid) || (fstatSync(this.#fd).mode & OTHERS_WRITE) === 0;
  }

  /** Opens a regular file with a single name and a trusted owner. @throws fileOwner (88) */
  openFile(name: string, flags: number, mode?: number): number {
    const path = join(this.path, name);
    const fd = openUnlinked(this.entry(name), path, flags, mode);
    try {
      const info = requireRegular(path, fstatSync(fd));
      if (!this.#owners.has(info.uid)) throw planted(path, `belongs to account ${info.uid}`);
      if ((info.mode & OTHERS_WRITE) !== 0) throw planted(path, "may be written by every account");
      giveNew(fd, info, fstatSync(this.#fd).uid);
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/**
 * Makes a directory and missing ones above it. Root gives them to the first of `owners`, which would be locked out
 * otherwise.
 */
export function makeDirectoryFor(owners: readonly number[], path: string, mode: number): void {
  const first = mkdirSync(path, { recursive: true, mode });
  const uid = owners.find((owner) => owner !== 0);
  if (first === undefined || uid === undefined) return;
  for (let current = resolve(path); ; current = dirname(current)) {
    const fd = openSync(current, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      const info = fstatSync(fd);
      if (ownUid() === 0 && info.uid === 0) fchownSync(fd, uid, groupOf({ uid, gid: 0 }));
    } finally {
      closeSync(fd);
    }
    if (current === resolve(first) || current === "/") return;
  }
}

/** Root leaves no file in another account's directory that the account could not use. */
function giveNew(fd: number, { size, uid }: Stats, owner: number): void {
  if (ownUid() === 0 && owner !== 0 && uid === 0 && size === 0) fchownSync(fd, owner, groupOf({ uid: owner, gid: 0 }));
}

/**
 * For a log: creates the file or opens it for appending, never through a link.
 * @throws fileOwner (88) for anything but a file with a single name
 */
export function openToAppend(path: string, mode: number): number {
  const fd = openUnlinked(path, path, O_WRONLY | O_APPEND | O_CREAT, mode);
  try {
    giveNew(fd, requireRegular(path, fstatSync(fd)), statSync(dirname(path)).uid);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Text of a small file of any owner; null when it is missing, or not a regular file. */
export function findText(path: string): string | null {
  try {
    const fd = openUnlinked(path, path, O_RDONLY);
    try {
      return requireRegular(path, fstatSync(fd)).size > RECORD_SIZE_MAX ? null : readFileSync(fd, "utf8");
    } finally {
      closeSync(fd);
    }
  } catch {
    return null;
  }
}

/** Text of a file that only `uid` can have written; null if absent. @throws fileOwner (88) */
export function readOwnFile(path: string, uid: number): string | null {
  let fd: number;
  try {
    fd = openUnlinked(path, path, O_RDONLY);
  } catch (error) {
    if (isMissing(error)) return null;
    throw systemCodeOf(error) === undefined
      ? error
      : systemError("fileOpen", `open file '${path}' for read`, path, error);
  }
  try {
    const info = requireRegular(path, fstatSync(fd));
    if (info.uid !== uid) throw planted(path, `belongs to account ${info.uid}`);
    if ((info.mode & GROUP_OR_OTHERS_WRITE) !== 0) throw planted(path, "may be written by other accounts");
    if (info.size > RECORD_SIZE_MAX)
      throw fail("format", `'${path}' has ${info.size} bytes: pgbackstop did not write it`, { path });
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/**
 * The real directory of `path`. Root or one of `owners` must own each link on the way: another account's link may lead
 * anywhere. A missing last part stays unchanged.
 * @throws fileOwner (88)
 */
export function resolveTrusted(path: string, owners: readonly number[]): string {
  const trusted = new Set([0, ...owners]);
  return walk(path, (current, info) => {
    if (info?.isSymbolicLink() === true && !trusted.has(info.uid))
      throw planted(current, `is a symbolic link of account ${info.uid}`);
  });
}

/** An account besides root that can change what a path leads to. */
export interface Decider {
  /** Null if others may write what belongs to root: a group, by an access control list too, or every account. */
  readonly uid: number | null;
  /** What the account can change: the file, a directory above it, or a link on the way. */
  readonly path: string;
}

/** Every account besides root that can decide what `path` says. */
export function decidersOf(path: string): Decider[] {
  const deciders: Decider[] = [];
  walk(path, (current, info) => {
    if (info === undefined) return;
    if (info.uid !== 0) deciders.push({ uid: info.uid, path: current });
    // A sticky directory lets nobody replace an entry of root's.
    const isOpen = (info.mode & GROUP_OR_OTHERS_WRITE) !== 0 && !(info.isDirectory() && (info.mode & STICKY) !== 0);
    if (isOpen && !info.isSymbolicLink()) deciders.push({ uid: null, path: current });
  });
  return deciders;
}

/**
 * Calls `visit` for each part of a path, links included, and returns the real path. A missing part has no facts.
 * @throws pathOpen (53)
 */
function walk(path: string, visit: (current: string, info: Stats | undefined) => void): string {
  visit("/", lstatSync("/"));
  let rest = resolve(path)
    .split("/")
    .filter((part) => part !== "");
  let done = "";
  for (let links = 0; rest.length > 0; ) {
    const [part = "", ...others] = rest;
    const current = `${done}/${part}`;
    const info = lstatSync(current, { throwIfNoEntry: false });
    visit(current, info);
    if (info?.isSymbolicLink() !== true) {
      [done, rest] = [current, others];
      continue;
    }
    if (++links > LINKS_MAX) throw fail("pathOpen", `'${path}' has more than ${LINKS_MAX} links`, { path });
    const target = resolve(done === "" ? "/" : done, readlinkSync(current));
    [done, rest] = ["", [...target.split("/").filter((name) => name !== ""), ...others]];
  }
  return done === "" ? "/" : done;
}

/**
 * True when root owns the directory and all its parents, none is a link, and no other account may change names in them.
 */
export function isRootsAlone(directory: string): boolean {
  return whyNotRootsAlone(directory) === null;
}

/** What lets others than root change names in the directory or above it; null for one that is root's alone. */
export function whyNotRootsAlone(directory: string): string | null {
  for (let current = resolve(directory); ; current = dirname(current)) {
    const info = lstatSync(current, { throwIfNoEntry: false });
    if (info?.isDirectory() !== true) return `'${current}' is not a directory`;
    if (info.uid !== 0) return `'${current}' belongs to account ${info.uid}`;
    if ((info.mode & GROUP_OR_OTHERS_WRITE) !== 0) return `other accounts may write in '${current}'`;
    if (current === dirname(current)) return null;
  }
}

function openDirectory(role: string, path: string, trusted: ReadonlySet<number>): number {
  try {
    const info = lstatSync(path);
    if (info.isSymbolicLink() && !trusted.has(info.uid))
      throw planted(path, `is a symbolic link of account ${info.uid}`, role);
    return openSync(path, O_PATH | O_DIRECTORY | (info.isSymbolicLink() ? 0 : O_NOFOLLOW));
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error;
    throw systemError("pathOpen", `open ${role} '${path}'`, path, error);
  }
}

function requireTrusted(role: string, path: string, info: Stats, trusted: ReadonlySet<number>): void {
  if (!trusted.has(info.uid) && !isRootsAlone(dirname(path)))
    throw planted(path, `belongs to account ${info.uid}`, role);
  if ((info.mode & OTHERS_WRITE) === 0 || ((info.mode & STICKY) !== 0 && info.uid === 0)) return;
  throw fail("fileMode", `${role} '${path}' may be written by every account`, {
    path,
    hint: `Run chmod o-w '${path}', or use a directory of this account in it: '${path}/own'.`,
  });
}

/** Follows no link, and does not wait for the other end of a pipe. */
function openUnlinked(entry: string, path: string, flags: number, mode?: number): number {
  try {
    return openSync(entry, flags | O_NOFOLLOW | O_NONBLOCK, mode);
  } catch (error) {
    // ELOOP, or EACCES when the kernel itself distrusts links in shared directories.
    if (isLink(entry)) throw planted(path, "is a symbolic link");
    throw error;
  }
}

function isLink(entry: string): boolean {
  try {
    return lstatSync(entry).isSymbolicLink();
  } catch {
    return false;
  }
}

function requireRegular(path: string, info: Stats): Stats {
  if (!info.isFile()) throw planted(path, "is not a regular file");
  if (info.nlink > 1) throw planted(path, "has another name (a hard link)");
  return info;
}

function planted(path: string, fact: string, role?: string): Error {
  return fail(
    "fileOwner",
    `${role === undefined ? "" : `${role} `}'${path}' ${fact}: another account could have planted it`,
    {
      path,
      hint:
        role === undefined
          ? `Remove '${path}' if you did not create it.`
          : [
              `Remove '${path}' if you did not create it, or chown it to the account that runs this program.`,
              `Or configure a directory that only this account can write, for every program on this host: ${role.replace(" ", "-")}=/var/spool/pgbackrest/lock.`,
            ],
    },
  );
}
