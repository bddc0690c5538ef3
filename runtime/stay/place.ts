/**
 * Where a process that stays after `archive-push` or `archive-get` listens for further calls.
 *
 * The socket's name is a keyed hash of all that makes two calls equal before they read their configuration: program,
 * account, groups and capabilities, control group, namespaces and environment. So a call that differs in one of them
 * finds no socket. The environment may hold secrets, and every account can read the names of sockets: the key is in the
 * directory, which only this account may open.
 */
import { createHmac } from "node:crypto";
import { lstatSync, readFileSync, readlinkSync, statSync } from "node:fs";

export interface Caller {
  /** -1 on a system without accounts. */
  readonly uid: number;
  /** Options of Node. */
  readonly execArgv: readonly string[];
  readonly execPath: string;
  readonly nodeVersion: string;
  readonly programFile: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A shell sets them for each command. */
const UNLIKE_BETWEEN_CALLS = new Set(["_", "OLDPWD", "PWD", "SHLVL"]);
/** Lines of `/proc/self/status` about rights. */
const RIGHTS = /^(Umask|Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp):.*$/gm;
const NAMESPACES = ["cgroup", "mnt", "net", "pid", "user"];
/** The kernel's limit for the path of a socket is 108. */
const SOCKET_LENGTH_MAX = 100;
const NAME_LENGTH = 32;
const OTHERS = 0o077;
/** Node gives it for each byte that is no UTF-8. */
const LOST = "\ufffd";
/** A pod's first process does not wait for children of others, and PostgreSQL itself may be the first one. */
const IN_A_POD = "KUBERNETES_SERVICE_HOST";

/** PostgreSQL calls these again and again. */
export function isServedVerb(argument: string): boolean {
  return argument === "archive-push" || argument === "archive-get";
}

/** Null where none may be: no `/proc`, root, and accounts that run the first process, as in a container. */
export function directoryOf({ environment, execArgv, uid }: Caller): string | null {
  if (uid <= 0 || execArgv.length > 0 || environment[IN_A_POD] !== undefined) return null;
  const path = `${environment["TMPDIR"] ?? "/tmp"}/pgbackstop-${uid}`;
  return path.startsWith("/") && !path.includes(LOST) && !isAccountOfFirstProcess(uid) ? path : null;
}

/** A killed child of another process would become its child, and PostgreSQL then takes it for a crash of its own. */
function isAccountOfFirstProcess(uid: number): boolean {
  try {
    return statSync("/proc/1").uid === uid;
  } catch {
    return true;
  }
}

/** True when no other account can have put anything there. */
export function isOwnDirectory(path: string, uid: number): boolean {
  const info = lstatSync(path, { throwIfNoEntry: false });
  return info?.isDirectory() === true && info.uid === uid && (info.mode & OTHERS) === 0;
}

export function keyFileOf(directory: string): string {
  return `${directory}/key`;
}

/** Path of the socket for this caller; null if there can be none, or the directory does not exist. */
export function socketOf(caller: Caller): string | null {
  try {
    const directory = directoryOf(caller);
    if (directory === null || !isOwnDirectory(directory, caller.uid)) return null;
    const key = readFileSync(keyFileOf(directory));
    const name = createHmac("sha256", key).update(surroundingsOf(caller)).digest("hex").slice(0, NAME_LENGTH);
    const path = `${directory}/${name}.sock`;
    return path.length > SOCKET_LENGTH_MAX ? null : path;
  } catch {
    return null;
  }
}

/** @throws the system's error without `/proc` */
function surroundingsOf({ environment, execPath, nodeVersion, programFile }: Caller): string {
  const { ino, mtimeMs, size } = statSync(programFile);
  const variables = Object.entries(environment)
    .filter(([name]) => !UNLIKE_BETWEEN_CALLS.has(name))
    .sort(([left], [right]) => (left < right ? -1 : 1));
  if (JSON.stringify(variables).includes(LOST)) throw new Error("a variable is no UTF-8");
  return JSON.stringify([
    [programFile, ino, mtimeMs, size, execPath, nodeVersion],
    readFileSync("/proc/self/cgroup", "utf8"),
    readFileSync("/proc/self/status", "utf8").match(RIGHTS),
    [...NAMESPACES.map((name) => `ns/${name}`), "root"].map((name) => readlinkSync(`/proc/self/${name}`)),
    variables,
  ]);
}
