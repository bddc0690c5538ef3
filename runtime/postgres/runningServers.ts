/**
 * Other running servers of this machine, and the directories that their links lead to: what nobody but they may write.
 * Sees the servers of this process's account, or all of them as root.
 */
import { readdir, readFile, readlink, realpath, stat } from "../local/nodeFiles";
import { nullIfMissing } from "../local/systemError";

export interface RunningServer {
  readonly dataDirectory: string;
  /** Major version. */
  readonly pgVersion: string;
}

/** All but the server of `dataDirectory`. @param processes default: /proc */
export async function otherServers(dataDirectory: string, processes = "/proc"): Promise<readonly RunningServer[]> {
  const seen = new Set([await resolved(dataDirectory)]);
  const servers: RunningServer[] = [];
  for (const pid of await readdir(processes)) {
    // PostgreSQL's processes are in its data directory.
    const directory = /^\d+$/.test(pid) ? await orNull(readlink(`${processes}/${pid}/cwd`)) : null;
    if (directory === null || seen.has(directory)) continue;
    seen.add(directory);
    const version = await orNull(readFile(`${directory}/PG_VERSION`, "utf8"));
    if (version !== null) servers.push({ dataDirectory: directory, pgVersion: version.trim() });
  }
  return servers;
}

/** First process of a running server. */
export interface Postmaster {
  readonly pid: number;
  /** Namespace of the server's process numbers: a container's, or this machine's. */
  readonly namespace: string;
}

/**
 * Servers that run on this very directory, by whatever path, in whatever container. A program that only has the
 * directory before it, or reads there, is no server. @param processes default: /proc
 */
export async function postmastersOn(dataDirectory: string, processes = "/proc"): Promise<readonly Postmaster[]> {
  // Of a missing directory other readers say more.
  const own = await nullIfMissing(stat(dataDirectory));
  if (own === null) return [];
  const servers: (Postmaster & { readonly parent: number })[] = [];
  for (const pid of await readdir(processes)) {
    const directory = /^\d+$/.test(pid) ? await orNull(stat(`${processes}/${pid}/cwd`)) : null;
    if (directory?.dev !== own.dev || directory.ino !== own.ino) continue;
    const program = await orNull(readlink(`${processes}/${pid}/exe`));
    if (program === null || !/\/[^/]*postgres( \(deleted\))?$/.test(program)) continue;
    const status = (await orNull(readFile(`${processes}/${pid}/status`, "utf8"))) ?? "";
    const namespace = await namespaceOf(Number(pid), processes);
    servers.push({ pid: Number(pid), namespace, parent: Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]) });
  }
  // Others are children of a postmaster.
  return servers
    .filter(({ parent }) => servers.every(({ pid }) => pid !== parent))
    .map(({ namespace, pid }) => ({ namespace, pid }));
}

/** Empty if the process is gone. */
export async function namespaceOf(pid: number, processes = "/proc"): Promise<string> {
  return (await orNull(readlink(`${processes}/${pid}/ns/pid`))) ?? "";
}

/** Where its tablespaces are. */
export function tablespacesOf({ dataDirectory }: RunningServer): Promise<readonly string[]> {
  return targetsIn(`${dataDirectory}/pg_tblspc`);
}

/** Where the links in its data directory lead, such as `pg_wal`. */
function linkTargetsOf({ dataDirectory }: RunningServer): Promise<readonly string[]> {
  return targetsIn(dataDirectory);
}

/** Part of a cluster outside its data directory. */
export interface OutsideDirectory {
  readonly path: string;
  /** Versions have directories of their own in a tablespace's location. */
  readonly isTablespace: boolean;
}

/**
 * Finds another running server that uses one of these, as that of a copied data directory's origin does: the copy has
 * its links. @param own version and data directory of the cluster that claims them
 */
export async function findOtherUse(
  own: RunningServer,
  directories: readonly OutsideDirectory[],
): Promise<{ readonly path: string; readonly dataDirectory: string } | null> {
  if (directories.length === 0) return null;
  for (const server of await otherServers(own.dataDirectory)) {
    const [tablespaces, others] = await Promise.all([tablespacesOf(server), linkTargetsOf(server)]);
    for (const { path, isTablespace } of directories) {
      const used = isTablespace ? (server.pgVersion === own.pgVersion ? tablespaces : []) : others;
      if (used.includes(await resolved(path))) return { path, dataDirectory: server.dataDirectory };
    }
  }
  return null;
}

async function targetsIn(directory: string): Promise<readonly string[]> {
  const names = (await orNull(readdir(directory, { withFileTypes: true }))) ?? [];
  const links = names.filter((entry) => entry.isSymbolicLink());
  return Promise.all(links.map(({ name }) => resolved(`${directory}/${name}`)));
}

/** The path without links, or as it is if nothing is there. */
export async function resolved(path: string): Promise<string> {
  return (await orNull(realpath(path))) ?? path;
}

async function orNull<T>(work: Promise<T>): Promise<T | null> {
  return work.catch(() => null);
}
