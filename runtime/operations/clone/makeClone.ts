/**
 * `clone`: opens a backup, makes a copy of it that clients may use, and only then lets them in.
 *
 * Nobody can connect until the state says that it is ready: the first server has no port and a socket in a private
 * directory, and a failure closes and removes everything. The second server has the settings of the state.
 */
import type { Context } from "../../base/context";
import { fail, isError, toBackupError } from "../../base/errors";
import { actAs } from "../../local/actAs";
import { acquireLock } from "../../local/lockFile";
import { existsSync, lstatSync, readdirSync } from "../../local/nodeFiles";
import type { ProgramEnd } from "../../local/program";
import { sha1Hex } from "../../base/hash";
import { Session } from "../../postgres/session";
import { endServer, findServer } from "../open/closeBackup";
import { findMount, isAlive, loadProgress, loadState, type OpenLocation, openLocation } from "../open/openLocation";
import { openedDataTimeMs, requireOpened } from "../open/openBackup";
import type { ShareRequest } from "./cloneShare";
import { requireUsable } from "./cloneSettings";
import { type CloneState, loadClone, requireAlive, saveClone } from "./cloneState";
import { requireSystemd, startTimer, type TimerTools } from "./cloneTimer";
import { SALT_BYTES, scramVerifier } from "./scramVerifier";
import { sealClone } from "./sealClone";

export interface CloneRequest
  extends ShareRequest,
    Pick<CloneState, "allow" | "databases" | "listen" | "port" | "role"> {
  /** The cluster's superuser, and the database for statements about the cluster. */
  readonly superuser: string;
  readonly maintenance: string;
  readonly lifetimeMs: number | null;
  readonly password: string;
  readonly mask: string | null;
  /** Closes the clone: for the timer, without any secret. */
  readonly closeArgv: readonly string[];
}

export interface CloneTools {
  /** Opens the directory in a process of its own. @param isFirst nothing serves its files yet */
  open(isFirst: boolean): Promise<ProgramEnd>;
  /** Closes it, and discards what it has. */
  close(): Promise<void>;
  readonly timer: TimerTools;
}

export interface CloneReport {
  readonly state: CloneState;
  readonly at: string;
  readonly backup: string;
  readonly repo: string;
  /** The backup's bytes that were fetched, or replaced by writes. */
  readonly fetchedBytes: number;
  readonly totalBytes: number;
  /** Space of the clone's files. */
  readonly diskBytes: number;
}

const MASK_MS = 86_400_000;
const ATTEMPTS = 3;
const PAUSE_MS = 2000;

/** Continues a clone whose server has ended, as after a restart of the machine. @throws fileExists when it runs */
export async function makeClone(request: CloneRequest, tools: CloneTools, ctx: Context): Promise<CloneReport> {
  const { at, lockPath, self } = request;
  const location = openLocation(at);
  requireUsable(request);
  if (request.lifetimeMs !== null) requireSystemd();
  const verifier = scramVerifier(request.password, ctx.random.bytes(SALT_BYTES));
  const stanza = `clone-${sha1Hex(at)}`;
  const lock = acquireLock({ lockPath, stanza, kind: "cloning", ...self });
  try {
    const left = await loadClone(location);
    if (left?.ready === true) return await continueClone(location, left, request, tools, ctx);
    if (left !== null) await tools.close();
    else if (existsSync(location.folder))
      throw fail("fileExists", `'${at}' was opened, and is no clone`, {
        hint: `Choose another directory, or close it first: close --at=${at}`,
      });
    return await begin(location, request, verifier, tools, ctx);
  } finally {
    lock.release();
  }
}

async function begin(
  location: OpenLocation,
  request: CloneRequest,
  verifier: string,
  tools: CloneTools,
  ctx: Context,
): Promise<CloneReport> {
  const { account, at, closeArgv, lifetimeMs } = request;
  const endsAtMs = lifetimeMs === null ? null : ctx.clock.nowMs() + lifetimeMs;
  try {
    // First, so that whatever is killed from here on, something closes it.
    if (endsAtMs !== null) await startTimer(at, endsAtMs, closeArgv, tools.timer);
    requireOpened(await tools.open(true));
    const state = { ...stateOf(request), ready: false, dataTimeMs: await dataTime(location, request), endsAtMs };
    await actAs(account, () => saveClone(location, state));
    const connect = (database: string): Promise<Session> => connectTo(location, request, database);
    const databases = await sealClone({ ...request, verifier, connect, warn: (text) => ctx.log.warn(text) });
    const server = findServer(location, account);
    if (server !== null) await endServer(server, ["SIGINT", "SIGQUIT"], ctx);
    const ready = { ...state, databases, ready: true };
    requireUsable(ready);
    await actAs(account, () => saveClone(location, ready));
    requireOpened(await tools.open(false));
    return await reportOf(location, ready);
  } catch (error) {
    await tools.close().catch((second: unknown) => {
      if (!isError(second, "fileMissing"))
        ctx.log.warn(`the clone is not removed: close it yourself: ${toBackupError(second).message}`);
    });
    throw error;
  }
}

function stateOf({ allow, databases, listen, port, role }: CloneRequest): Omit<CloneState, "dataTimeMs" | "endsAtMs"> {
  return { version: 1, ready: false, role, databases, listen, port, allow };
}

async function continueClone(
  location: OpenLocation,
  state: CloneState,
  { account, at }: CloneRequest,
  tools: CloneTools,
  ctx: Context,
): Promise<CloneReport> {
  requireAlive(state, at, ctx.clock.nowMs());
  for (let attempt = 1; ; attempt++) {
    const isServed = isAlive((await loadState(location))?.server) && findMount(at) !== null;
    if (isServed && findServer(location, account) !== null)
      throw fail("fileExists", `'${at}' is a clone already, and its server runs`, {
        hint: `For another one, choose another directory, or close it first: close --at=${at}`,
      });
    ctx.log.info(`'${at}' was a clone before: it continues with its data, its password and the end of its life`);
    try {
      requireOpened(await tools.open(!isServed));
      break;
    } catch (error) {
      // Processes of a server whose files were taken from it may still be ending.
      if (attempt === ATTEMPTS) throw error;
      ctx.log.info(`another attempt follows: ${toBackupError(error).message}`);
      await ctx.clock.sleep(PAUSE_MS, ctx.signal);
    }
  }
  return reportOf(location, state);
}

async function connectTo({ folder }: OpenLocation, request: CloneRequest, database: string): Promise<Session> {
  return Session.open({
    host: folder,
    port: request.port,
    user: request.superuser,
    database,
    queryTimeoutMs: MASK_MS,
    applicationName: "pgbackstop clone",
  });
}

async function dataTime(location: OpenLocation, request: CloneRequest): Promise<number> {
  const session = await connectTo(location, request, request.maintenance);
  try {
    return await openedDataTimeMs(location, session);
  } finally {
    await session.close();
  }
}

async function reportOf(location: OpenLocation, state: CloneState): Promise<CloneReport> {
  const { backup } = (await loadState(location)) ?? {};
  const progress = await loadProgress(location);
  const totalBytes = progress?.totalBytes ?? backup?.sizeBytes ?? 0;
  return {
    state,
    at: location.at,
    backup: backup?.label ?? "",
    repo: backup?.repo ?? "",
    fetchedBytes: progress === null ? 0 : progress.totalBytes - progress.missingBytes,
    totalBytes,
    diskBytes: diskBytesOf(location.folder),
  };
}

const BLOCK_BYTES = 512;

function diskBytesOf(directory: string): number {
  let sizeBytes = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) sizeBytes += diskBytesOf(path);
    else if (entry.isFile()) sizeBytes += (lstatSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
  }
  return sizeBytes;
}

/** For programs, in one line of JSON without any secret. */
export function cloneJson({ at, backup, state, ...report }: CloneReport, nowMs: number): string {
  const { databases, dataTimeMs, endsAtMs, listen, port, role } = state;
  const { diskBytes, fetchedBytes, repo, totalBytes } = report;
  return JSON.stringify({
    at,
    backup,
    databases,
    dataAgeS: Math.max(0, Math.round((nowMs - dataTimeMs) / 1000)),
    dataTime: new Date(dataTimeMs).toISOString(),
    diskBytes,
    endsAt: endsAtMs === null ? null : new Date(endsAtMs).toISOString(),
    fetchedBytes,
    listen,
    port,
    repo,
    role,
    totalBytes,
  });
}

export function cloneText(report: CloneReport, nowMs: number): string {
  const { at, backup, repo, state } = report;
  const { databases, dataTimeMs, endsAtMs, listen, port, role } = state;
  const host = listen.split(",")[0] ?? "";
  const ageMin = Math.max(0, Math.round((nowMs - dataTimeMs) / 60_000));
  return [
    `a clone of backup ${backup} of ${repo} is in ${at}; its data are ${ageMin} min old`,
    ...databases.map((name) => `  psql -h ${host === "*" ? "127.0.0.1" : host} -p ${port} -U ${role} ${name}`),
    `${report.fetchedBytes} of ${report.totalBytes} bytes are here, in ${report.diskBytes} bytes on the disk`,
    endsAtMs === null ? `end it with: pgbackstop close --at=${at}` : `it ends at ${new Date(endsAtMs).toISOString()}`,
    "",
  ].join("\n");
}
