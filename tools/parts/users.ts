/**
 * The account that runs PostgreSQL servers, and files that it can reach.
 *
 * `initdb` and `postgres` refuse to run as root, so a run as root uses another account of this machine for them (and
 * for stock pgbackrest); other users run them as themselves.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, dirname, join } from "node:path";

export interface OsUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** Name of its group, as `ls -l` and manifests show it. */
  readonly group: string;
}

/** Candidates for the servers' account; the first that exists is used. */
const CANDIDATES = ["postgres", "pgbackstop", "nobody", "daemon"] as const;
/**
 * Folder for servers' files if this process is root and its cache is closed to others: only root can write above it.
 */
export const SHARED_FOLDER = "/var/cache/pgbackstop";

/** True if this process is root, so servers need another account. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** The servers' account: this process's own, or for root an unprivileged one. @throws Error if root finds none */
export function serverUser(): OsUser {
  if (!isRoot()) {
    const own = userInfo();
    return { name: own.username, uid: own.uid, gid: own.gid, group: groupName(own.gid) };
  }
  const accounts = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  for (const name of CANDIDATES) {
    const account = accounts.find((fields) => fields[0] === name);
    const [uid, gid] = [Number(account?.[2]), Number(account?.[3])];
    if (account !== undefined && uid > 0 && gid > 0) return { name, uid, gid, group: groupName(gid) };
  }
  throw new Error(
    `this process is root and PostgreSQL does not run as root: create an account named ${CANDIDATES[0]} (none of ${CANDIDATES.join(", ")} exists)`,
  );
}

/**
 * An empty folder below the system's temporary folder, owned by `user` and closed to others; its path is short, for
 * sockets.
 */
export function makeUserFolder(prefix: string, user: OsUser = serverUser()): string {
  const folder = realpathSync(mkdtempSync(join(isReachable(tmpdir(), user) ? tmpdir() : "/tmp", prefix)));
  giveTo(folder, user);
  return folder;
}

/** Makes `user` the owner of a file or folder; does nothing if this process is not root. */
export function giveTo(path: string, user: OsUser): void {
  if (isRoot()) chownSync(path, user.uid, user.gid);
}

/**
 * `path` itself if `user` can read it, else the path of a copy that everyone can read: the server's account cannot use
 * a cache below a closed home. Copies are reused while the original is unchanged.
 */
export function reachable(path: string, user: OsUser = serverUser()): string {
  const real = realpathSync(path);
  if (!isRoot() || isReachable(real, user)) return path;
  const info = statSync(real);
  const key = createHash("sha256")
    .update(`${real}\n${info.mtimeMs}\n${info.size}\n${info.ino}`)
    .digest("hex")
    .slice(0, 16);
  const copy = join(SHARED_FOLDER, key, basename(real));
  if (existsSync(copy)) return copy;
  mkdirSync(SHARED_FOLDER, { recursive: true, mode: 0o755 });
  const scratch = mkdtempSync(join(SHARED_FOLDER, "copy-"));
  cpSync(real, join(scratch, basename(real)), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  openForReading(scratch);
  try {
    renameSync(scratch, dirname(copy));
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
  return copy;
}

/** True if `user` may enter every folder above `path` and read `path` (and enter it, if it is a folder). */
export function isReachable(path: string, user: OsUser): boolean {
  const real = realpathSync(path);
  if (!allows(real, user, lstatSync(real).isDirectory() ? 5 : 4)) return false;
  for (let folder = dirname(real); ; folder = dirname(folder)) {
    if (!allows(folder, user, 1)) return false;
    if (folder === dirname(folder)) return true;
  }
}

function allows(path: string, user: OsUser, wanted: number): boolean {
  const info = lstatSync(path);
  const shift = info.uid === user.uid ? 6 : info.gid === user.gid ? 3 : 0;
  return user.uid === 0 || ((info.mode >> shift) & wanted) === wanted;
}

function groupName(gid: number): string {
  const groups = existsSync("/etc/group") ? readFileSync("/etc/group", "utf8").split("\n") : [];
  return (
    groups.map((line) => line.split(":")).find((fields) => Number(fields[2]) === gid && fields[0] !== "")?.[0] ??
    String(gid)
  );
}

/** Makes `path` and everything below readable for everyone (folders and programs executable). */
function openForReading(path: string): void {
  const info = lstatSync(path);
  if (info.isSymbolicLink()) return;
  chmodSync(path, (info.mode & 0o7777) | (info.isDirectory() || (info.mode & 0o100) !== 0 ? 0o555 : 0o444));
  if (info.isDirectory()) for (const name of readdirSync(path)) openForReading(join(path, name));
}
