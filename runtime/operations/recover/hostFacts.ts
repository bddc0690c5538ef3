/**
 * What `recover` and `rollback` must know about this host before they change anything: the directories, the server's
 * manager, and the free space.
 */
import type { AccountIds } from "../../local/actAs";
import { readlink, realpath, stat, statfs, type Stats } from "../../local/nodeFiles";
import { basename, dirname, join, resolve } from "node:path";
import type { Context } from "../../base/context";
import { parseMountTable } from "../../base/mountTable";
import { fail } from "../../base/errors";
import type { PgControl } from "../../format/page/pgControl";
import { parseWalName } from "../../format/wal/walSegment";
import { namesIfThere, nullIfMissing, systemCodeOf, systemError, textIfThere } from "../../local/systemError";
import type { UserNames } from "../../local/users";
import type { ContainerServer } from "../../postgres/container/serverContainer";
import { loadControlFile } from "../../postgres/controlFile";
import { parsePostmasterPid } from "../../postgres/postmasterPid";
import { findOtherUse } from "../../postgres/runningServers";
import { tablespaceDirectory } from "../../postgres/versions";

export interface HostFacts {
  /** pg1-path as configured, and its real path. */
  readonly configuredDirectory: string;
  readonly dataDirectory: string;
  /** Null without a directory. */
  readonly owner: Owner | null;
  /** Null when it is unreadable: the directory is damaged or empty. */
  readonly control: PgControl | null;
  readonly mounts: readonly string[];
  /** Directories of this cluster in the locations of its tablespaces. */
  readonly tablespaces: readonly string[];
  /** Another running server that uses one of them, or the WAL directory. */
  readonly otherUse: { readonly path: string; readonly dataDirectory: string } | null;
  /** Target of `pg_wal` if it is a link. */
  readonly walDirectory: string | null;
  /** The same as the server calls it; may be relative to the data directory. */
  readonly walLink: string | null;
  /** When its newest WAL was written, in seconds since 1970; null without WAL. */
  readonly walWrittenAtS: number | null;
  readonly server: ServerFacts | null;
  /** Text of postmaster.opts: the last start command. */
  readonly startedWith: string | null;
  /** What can start and stop it. */
  readonly hasSystemd: boolean;
  /** Units that systemd knows here, of those that usually run a server. */
  readonly units: readonly string[];
  /** The cluster of Debian's postgresql-common in this directory, if there is one. */
  readonly debianCluster: { readonly major: string; readonly name: string } | null;
}

const DEBIAN_CONFIGURATIONS = "/etc/postgresql";

export interface Owner extends AccountIds {
  readonly mode: number;
}

export interface ServerFacts {
  readonly pid: number;
  /** `postgresql@17-main.service`; null when systemd did not start it. */
  readonly unit: string | null;
  /** It is between two starts: its container's engine starts it again until it is stopped. */
  readonly isRestarting?: true;
}

/** True if a plan made with `before` moves the directories of `now`. */
export function hasSameDirectories(before: HostFacts, now: HostFacts): boolean {
  const directoriesOf = ({ control, dataDirectory, otherUse, tablespaces, walDirectory }: HostFacts): string =>
    JSON.stringify([String(control?.systemId), dataDirectory, otherUse, tablespaces, walDirectory]);
  return directoriesOf(before) === directoriesOf(now);
}

/** @param seenOf where the files of a data directory can be read, also if its mount is dead */
export async function loadHostFacts(
  configuredDirectory: string,
  ctx: Context,
  container?: ContainerServer,
  seenOf = (directory: string): string => directory,
): Promise<HostFacts> {
  const dataDirectory = await realDirectory(configuredDirectory);
  const seen = seenOf(dataDirectory);
  const info = await statOrNull(seen);
  const control = info === null ? null : ((await loadControlFile(seen, ctx).catch(() => null))?.control ?? null);
  const walLink = await readlink(`${seen}/pg_wal`).catch(() => null);
  const hasSystemd = container === undefined && (await statOrNull("/run/systemd/system")) !== null;
  const debianCluster = container === undefined ? await findDebianCluster(dataDirectory, configuredDirectory) : null;
  const walDirectory =
    walLink === null
      ? null
      : container === undefined
        ? await realpath(`${dataDirectory}/pg_wal`).catch(() => resolve(dataDirectory, walLink))
        : container.view.here(`${container.view.dataDirectory}/pg_wal`);
  const tablespaces = control === null ? [] : await findTablespaces(dataDirectory, control, container);
  const outside = [
    ...tablespaces.map((path) => ({ path: dirname(path), isTablespace: true })),
    ...(walDirectory === null ? [] : [{ path: walDirectory, isTablespace: false }]),
  ];
  return {
    configuredDirectory,
    dataDirectory,
    owner: info === null ? null : { uid: info.uid, gid: info.gid, mode: info.mode & 0o7777 },
    control,
    mounts: await loadMounts(),
    tablespaces,
    otherUse:
      container === undefined
        ? await findOtherUse({ dataDirectory, pgVersion: control?.pgVersion ?? "" }, outside)
        : null,
    walDirectory,
    walLink: container === undefined ? walDirectory : walLink,
    walWrittenAtS: await newestWalAtS(walDirectory ?? `${seen}/pg_wal`),
    server: container === undefined ? await findServer(dataDirectory, seen) : await findInContainer(container),
    startedWith: await textIfThere(`${seen}/postmaster.opts`),
    hasSystemd,
    units: hasSystemd ? await findUnits(debianCluster) : [],
    debianCluster,
  };
}

/** Also behind a dead mount, which no path leads into. */
async function realDirectory(configured: string): Promise<string> {
  try {
    return await realpath(configured);
  } catch (error) {
    if (systemCodeOf(error) !== "ENOTCONN") return configured;
    const link = await readlink(configured).catch(() => null);
    if (link !== null) return realDirectory(resolve(dirname(configured), link));
    return join(await realpath(dirname(configured)), basename(configured));
  }
}

/** Free bytes for ordinary accounts in the file system of a path or of its nearest existing parent. */
export async function freeBytesAt(path: string): Promise<{ readonly device: number; readonly freeBytes: number }> {
  for (let candidate = path; ; candidate = dirname(candidate)) {
    const info = await statOrNull(candidate);
    if (info === null && candidate !== dirname(candidate)) continue;
    const { bavail, bsize } = await statfs(candidate);
    return { device: info?.dev ?? 0, freeBytes: bavail * bsize };
  }
}

async function newestWalAtS(walDirectory: string): Promise<number | null> {
  let newestMs = 0;
  for (const name of await namesIn(walDirectory))
    if (parseWalName(name)?.kind === "segment")
      newestMs = Math.max(newestMs, (await statOrNull(`${walDirectory}/${name}`))?.mtimeMs ?? 0);
  return newestMs === 0 ? null : Math.floor(newestMs / 1000);
}

/** A server in a container has its own numbers in postmaster.pid. */
export async function findInContainer(container: ContainerServer): Promise<ServerFacts | null> {
  const { pid, state } = await container.findProcess();
  if (state === "down") return null;
  return { pid: pid ?? 0, unit: null, ...(state === "restarting" ? { isRestarting: true } : {}) };
}

async function findTablespaces(
  dataDirectory: string,
  control: PgControl,
  container: ContainerServer | undefined,
): Promise<string[]> {
  const directories: string[] = [];
  for (const oid of await namesIn(`${dataDirectory}/pg_tblspc`)) {
    const link = `${dataDirectory}/pg_tblspc/${oid}`;
    const location =
      container === undefined
        ? await nullIfMissing(realpath(link))
        : container.view.here(`${container.view.dataDirectory}/pg_tblspc/${oid}`);
    const directory =
      location === null ? null : `${location}/${tablespaceDirectory(control.pgVersion, control.catalogVersion)}`;
    if (directory !== null && (await statOrNull(directory)) !== null) directories.push(directory);
  }
  return directories.sort();
}

/** The process in postmaster.pid, if it lives and works in this directory. @param seen where its files can be read */
export async function findServer(dataDirectory: string, seen = dataDirectory): Promise<ServerFacts | null> {
  const text = await textIfThere(`${seen}/postmaster.pid`);
  const pid = Math.abs(parsePostmasterPid(text ?? "").pid);
  if (!(pid > 0)) return null;
  const name = await textIfThere(`/proc/${pid}/comm`);
  if (name === null || !/postgres|postmaster/.test(name)) return null;
  const directory = await readlink(`/proc/${pid}/cwd`).catch(() => dataDirectory);
  if (directory !== dataDirectory) return null;
  const groups = (await textIfThere(`/proc/${pid}/cgroup`)) ?? "";
  const unit = /([^/\n]+\.service)(?:\/[^/\n]+)?$/m.exec(groups)?.[1] ?? null;
  return { pid, unit };
}

async function findUnits(cluster: HostFacts["debianCluster"]): Promise<string[]> {
  const usual = ["/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];
  const units = new Set<string>();
  for (const directory of usual) {
    const names = await namesIn(directory);
    if (cluster !== null && names.includes("postgresql@.service"))
      units.add(`postgresql@${cluster.major}-${cluster.name}.service`);
    // Debian's unit of this name only stands for all clusters.
    if (cluster === null && names.includes("postgresql.service") && !names.includes("postgresql@.service"))
      units.add("postgresql.service");
  }
  return [...units];
}

/** Reads Debian's configurations, each of which names the data directory of its cluster. */
async function findDebianCluster(...directories: readonly string[]): Promise<HostFacts["debianCluster"]> {
  for (const major of await namesIn(DEBIAN_CONFIGURATIONS))
    for (const name of await namesIn(`${DEBIAN_CONFIGURATIONS}/${major}`)) {
      // Another cluster may hide its own.
      const text = await textIfThere(`${DEBIAN_CONFIGURATIONS}/${major}/${name}/postgresql.conf`).catch(() => null);
      const [, directory] = /^\s*data_directory\s*=\s*'([^']*)'/m.exec(text ?? "") ?? [];
      if (directory !== undefined && directories.includes(directory)) return { major, name };
    }
  return null;
}

async function loadMounts(): Promise<string[]> {
  return parseMountTable((await textIfThere("/proc/self/mountinfo")) ?? "").map(({ path }) => path);
}

async function namesIn(path: string): Promise<string[]> {
  return (await namesIfThere(path)) ?? [];
}

function statOrNull(path: string): Promise<Stats | null> {
  return nullIfMissing(stat(path), (error) => systemError("fileOpen", `look at '${path}'`, path, error));
}

/** The account that PostgreSQL runs as: the owner of its directory, else `postgres`; null without either. */
export function serverAccount(
  owner: Owner | null,
  findUid: (name: string) => number | null,
  findGid: (name: string) => number | null,
): Owner | null {
  if (owner !== null && owner.uid !== 0) return owner;
  const [uid, gid] = [findUid("postgres"), findGid("postgres")];
  return uid === null || gid === null ? null : { uid, gid, mode: 0o700 };
}

/** {@link serverAccount} for a data directory, which may be missing. */
export async function accountAt(
  directory: string | null,
  { findGid, findUid }: Pick<UserNames, "findGid" | "findUid">,
): Promise<Owner | null> {
  return serverAccount(directory === null ? null : await stat(directory).catch(() => null), findUid, findGid);
}

/** {@link serverAccount}. @throws userMissing (89) */
export function accountOf(
  facts: HostFacts,
  findUid: (name: string) => number | null,
  findGid: (name: string) => number | null,
): Owner {
  const account = serverAccount(facts.owner, findUid, findGid);
  if (account !== null) return account;
  throw fail(
    "userMissing",
    `PostgreSQL's account is unknown: neither '${facts.dataDirectory}' nor an account 'postgres' exists`,
    {
      hint: "Create the directory, empty and owned by the server's account, and run this again.",
    },
  );
}
