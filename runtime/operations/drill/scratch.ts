/**
 * A drill's working directory, and leftovers of killed drills: only a directory with our marker is ever removed.
 *
 * ```
 * <drill-path>/<stanza>-<8 hex>/          0700, one drill
 *   pgbackstop-drill.json                 the marker: written first, removed last
 *   data/ tablespaces/ spool/             the restored files
 *   postgresql.conf hba.conf ident.conf postgres.log, the socket
 *   run/ wal/                             of a server in a container: its socket, and its requests for WAL
 * ```
 * For a server in a container root owns the directory, and the server's account only data, tablespaces and run.
 */
import type { AccountIds } from "../../local/actAs";
import { chmod, chown, lstat, mkdir, readdir, readFile, rm, rmdir } from "../../local/nodeFiles";
import { basename } from "node:path";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import { TEMP_SUFFIX } from "../../base/temporaryName";
import { atomicWrite } from "../../local/atomicWrite";
import { namesIfThere, systemError } from "../../local/systemError";

export interface Scratch {
  readonly path: string;
  readonly dataDirectory: string;
  readonly tablespaces: string;
  readonly spool: string;
  readonly logFile: string;
  readonly socketDirectory: string;
  /** Owner of what the server writes; null is this process's account. */
  readonly account: AccountIds | null;
}

const MARKER = "pgbackstop-drill.json";
/** A socket path with PostgreSQL's file name may have 107 bytes (sockaddr_un). */
const SOCKET_PATH_MAX = 107;

/** Creates the directory for drills, private to this user; an existing one is not changed. */
export async function prepareRoot(root: string): Promise<void> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw systemError("pathCreate", `create path '${root}'`, root, error);
  }
}

/** Makes our own directory below `root`. @throws pathCreate, optionInvalidValue for a path that is too long */
export async function makeScratch(
  root: string,
  stanza: string,
  { account, id, port }: Pick<Scratch, "account"> & { readonly id: string; readonly port: number },
): Promise<Scratch> {
  const path = `${root}/${stanza}-${id.slice(-8)}`;
  const socketDirectory = account === null ? path : `${path}/run`;
  if (Buffer.byteLength(`${socketDirectory}/.s.PGSQL.${port}`) > SOCKET_PATH_MAX) {
    throw fail(
      "optionInvalidValue",
      `'${root}' is not valid for 'drill-path' option: the path of the server's socket in it would exceed ${SOCKET_PATH_MAX} bytes`,
      {
        hint: "Choose a shorter path.",
      },
    );
  }
  try {
    await mkdir(path, { mode: 0o700 });
    // In the container the path to it has no other entries.
    if (account !== null) await chmod(path, 0o711);
    await atomicWrite(
      `${path}/${MARKER}`,
      utf8(`${JSON.stringify({ drill: id, stanza, directory: basename(path) })}\n`),
      { mode: 0o600 },
    );
    await mkdir(`${path}/spool`, { mode: 0o700 });
    // An owner of the data that this machine does not know is the account too.
    for (const directory of account === null ? [] : [`${path}/data`, socketDirectory])
      await mkdirFor(directory, account);
    await mkdirFor(`${path}/tablespaces`, account);
  } catch (error) {
    throw systemError("pathCreate", `create path '${path}'`, path, error);
  }
  return {
    path,
    dataDirectory: `${path}/data`,
    tablespaces: `${path}/tablespaces`,
    spool: `${path}/spool`,
    logFile: `${path}/postgres.log`,
    socketDirectory,
    account,
  };
}

async function mkdirFor(path: string, account: AccountIds | null): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  if (account !== null) await chown(path, account.uid, account.gid);
}

/** Removes one drill's directory, its marker last: remains after a crash are still recognised as ours. */
export async function removeScratch(path: string): Promise<void> {
  for (const name of await readdir(path))
    if (name !== MARKER) await rm(`${path}/${name}`, { recursive: true, force: true });
  await rm(`${path}/${MARKER}`, { force: true });
  await rmdir(path);
}

/**
 * Stops servers and removes directories of this stanza's killed drills; everything else in `root` stays. The caller
 * holds the drill lock. Returns the number of removed directories.
 */
export async function cleanScratch(
  root: string,
  stanza: string,
  programs: { endLeft(directory: string, ctx: Context): Promise<void> },
  ctx: Context,
): Promise<number> {
  let removed = 0;
  const names = await namesIfThere(root);
  for (const name of names ?? []) {
    const path = `${root}/${name}`;
    if (!(await isOurs(path, name, stanza))) continue;
    ctx.log.info(`removing leftovers of a killed drill: ${path}`);
    await programs.endLeft(path, ctx);
    await removeScratch(path);
    removed++;
  }
  return removed;
}

/** A directory with our name, and a marker of the same name or nothing: a drill may be killed before it has one. */
async function isOurs(path: string, name: string, stanza: string): Promise<boolean> {
  if (!name.startsWith(`${stanza}-`) || !/^[0-9a-f]{8}$/.test(name.slice(stanza.length + 1))) return false;
  if (!(await lstat(path)).isDirectory()) return false;
  if ((await readdir(path)).every((entry) => entry === `${MARKER}${TEMP_SUFFIX}`)) return true;
  try {
    const marker = JSON.parse(await readFile(`${path}/${MARKER}`, "utf8")) as { stanza?: unknown; directory?: unknown };
    return marker.stanza === stanza && marker.directory === name;
  } catch {
    return false;
  }
}
