/**
 * The directory that a drill works in, and what a killed one left: only what carries our marker is ever removed.
 *
 * ```
 * <drill-path>/<stanza>-<8 hex>/          0700, one drill
 *   pgbackstop-drill.json                 the marker: written first, removed last
 *   data/ tablespaces/ spool/             what is restored
 *   postgresql.conf hba.conf ident.conf postgres.log, the socket
 * ```
 */
import { lstat, mkdir, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { basename } from "node:path";
import { utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { atomicWrite } from "../../local/atomicWrite";
import { isMissing, systemError } from "../../local/systemError";
import { findPrograms } from "../../postgres/programs";

export interface Scratch {
  readonly path: string;
  readonly dataDirectory: string;
  readonly tablespaces: string;
  readonly spool: string;
  readonly logFile: string;
}

const MARKER = "pgbackstop-drill.json";
/** A socket's name, with that of PostgreSQL's file, has room for 107 bytes (sockaddr_un). */
const SOCKET_PATH_MAX = 107;

/** Makes the directory for drills when it is missing, for this user only; one that is there stays as it is. */
export async function prepareRoot(root: string): Promise<void> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw systemError("pathCreate", `create path '${root}'`, root, error);
  }
}

/** Makes a directory of our own below `root`. @throws pathCreate, optionInvalidValue for a path that is too long */
export async function makeScratch(root: string, stanza: string, id: string, port: number): Promise<Scratch> {
  const path = `${root}/${stanza}-${id.slice(-8)}`;
  if (Buffer.byteLength(`${path}/.s.PGSQL.${port}`) > SOCKET_PATH_MAX) {
    throw fail(
      "optionInvalidValue",
      `'${root}' is not valid for 'drill-path' option: the server's socket in it would have a name of more than ${SOCKET_PATH_MAX} bytes`,
      {
        hint: "name a shorter directory.",
      },
    );
  }
  try {
    await mkdir(path, { mode: 0o700 });
    await atomicWrite(`${path}/${MARKER}`, utf8(`${JSON.stringify({ drill: id, stanza, directory: basename(path) })}\n`), { mode: 0o600 });
    for (const name of ["tablespaces", "spool"]) await mkdir(`${path}/${name}`, { mode: 0o700 });
  } catch (error) {
    throw systemError("pathCreate", `create path '${path}'`, path, error);
  }
  return { path, dataDirectory: `${path}/data`, tablespaces: `${path}/tablespaces`, spool: `${path}/spool`, logFile: `${path}/postgres.log` };
}

/** Removes one drill's directory, its marker last: what is left after a crash is still known as ours. */
export async function removeScratch(path: string): Promise<void> {
  for (const name of await readdir(path)) if (name !== MARKER) await rm(`${path}/${name}`, { recursive: true, force: true });
  await rm(`${path}/${MARKER}`, { force: true });
  await rmdir(path);
}

/**
 * Ends servers and removes directories that drills of this stanza left when they were killed; everything else in `root` stays. The caller holds
 * the lock of drills. Gives the number of what was removed.
 */
export async function cleanScratch(root: string, stanza: string, binPath: string | undefined, ctx: Context): Promise<number> {
  let removed = 0;
  for (const name of await list(root)) {
    const path = `${root}/${name}`;
    if (!(await isOurs(path, name, stanza))) continue;
    ctx.log.info(`removing what a drill left that was killed: ${path}`);
    await endServer(`${path}/data`, binPath, ctx);
    await removeScratch(path);
    removed++;
  }
  return removed;
}

async function list(root: string): Promise<string[]> {
  try {
    return await readdir(root);
  } catch (error) {
    if (isMissing(error)) return [];
    throw systemError("pathOpen", `list path '${root}'`, root, error);
  }
}

/** Of our name, and with our marker, which tells the same name; or, of our name, empty: killed before it had a marker. */
async function isOurs(path: string, name: string, stanza: string): Promise<boolean> {
  if (!name.startsWith(`${stanza}-`) || !/^[0-9a-f]{8}$/.test(name.slice(stanza.length + 1))) return false;
  if (!(await lstat(path)).isDirectory()) return false;
  if ((await readdir(path)).length === 0) return true;
  try {
    const marker = JSON.parse(await readFile(`${path}/${MARKER}`, "utf8")) as { stanza?: unknown; directory?: unknown };
    return marker.stanza === stanza && marker.directory === name;
  } catch {
    return false;
  }
}

/** pg_ctl knows whether the server of a data directory runs. @throws pgRunning when it cannot be ended */
async function endServer(dataDirectory: string, binPath: string | undefined, ctx: Context): Promise<void> {
  const version = await readFile(`${dataDirectory}/PG_VERSION`, "utf8").catch(() => null);
  const pid = await readFile(`${dataDirectory}/postmaster.pid`, "utf8").catch(() => null);
  if (version === null || pid === null) return;
  try {
    const programs = await findPrograms(version.trim(), binPath, ctx.signal);
    const status = await programs.run("pg_ctl", ["status", "-D", dataDirectory], { signal: ctx.signal });
    if (status.code !== 0) return;
    const stop = await programs.run("pg_ctl", ["stop", "-D", dataDirectory, "-m", "immediate", "-w"], { signal: ctx.signal });
    if (stop.code !== 0) throw fail("pgRunning", stop.stderr.trim());
  } catch (error) {
    throw fail("pgRunning", `unable to end the server that a drill left in '${dataDirectory}': ${toBackupError(error).message}`, {
      path: dataDirectory,
    });
  }
}
