/**
 * `open`: mounts a backup as it is in a repository, and starts a server on it that can do nothing outside.
 *
 * Root prepares the directory and mounts it; the process that serves the files, the recovery and the server run as
 * PostgreSQL's account. A second `open` of the same directory continues where a killed one left.
 */
import type { LockHolder } from "../../local/lockFile";
import {
  closeSync,
  existsSync,
  lstat,
  mkdir,
  openSync,
  readdir,
  readFile,
  rmdir,
  writeFile,
} from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { given } from "../../base/given";
import { formatSize } from "../../base/units";
import { mountDevice, openDevice } from "../../fuse/device";
import { actAs, becomeAccount } from "../../local/actAs";
import type { ProgramEnd } from "../../local/program";
import { systemCodeOf, systemError } from "../../local/systemError";
import type { DrillPrograms } from "../drill/drillPrograms";
import { shellQuote } from "../restore/recovery";
import type { Session } from "../../postgres/session";
import type { SideServer } from "../../postgres/sideServer";
import { clientAccess, clientSettings } from "../clone/cloneSettings";
import { loadClone, requireAlive } from "../clone/cloneState";
import { prepareServer } from "../drill/drillServer";
import { askReplayed } from "../drill/measure";
import { askingCommand, requireRunnable } from "./askForWal";
import { endServing, type LockableTools, type LockedTools, lockedTools, lockOpening, lockServing } from "./openLocks";
import { endLeftServer, findServer, removeFolder, requireSeen, unmount } from "./closeBackup";
import {
  findMount,
  isAbsent,
  isAlive,
  loadState,
  type OpenLocation,
  type OpenState,
  openLocation,
  type ProcessId,
  saveState,
} from "./openLocation";
import { findOpened, forgetOpened, saveOpened } from "./openedRecords";
import type { Account } from "./tree";

export interface OpenRequest {
  readonly at: string;
  readonly stanza: string;
  /** PostgreSQL's. */
  readonly account: Account;
  readonly recovery: OpenState["recovery"];
  /** What the user has named, and not left to an earlier `open`. */
  readonly named: { readonly set: string | undefined; readonly isTarget: boolean };
  /** Also what nobody reads is fetched. */
  readonly fetchesAll: boolean;
  /** Fetched pages have a limit. */
  readonly limitsCache: boolean;
  /** Null only mounts. */
  readonly server: {
    readonly port: number;
    readonly programs: Pick<DrillPrograms, "find">;
    readonly user: string;
    readonly database: string;
    /** The program that asks for WAL. */
    readonly node: string;
  } | null;
  /** Where it is recorded as open. */
  readonly spoolPath: string;
  readonly self: LockHolder;
  /** Only `recover --instant` sets it. */
  readonly production?: OpenState["production"];
}

export interface OpenTools extends LockableTools {
  /** Waits while `expire` takes backups from the list: it may not have seen this record. @throws lockAcquire */
  untilDecided(): Promise<void>;
  /** Starts the process that serves the files: its descriptors from 3 on, and the file of its output. */
  startServing(fds: readonly [device: number, lock: number], logFd: number): { readonly ended: Promise<number> };
}

export type ServingTools = Omit<OpenTools, "program"> & LockedTools;

const POLL_MS = 20;
const RESTORE_HINT =
  "Without FUSE, restore the backup into an empty directory: pgbackstop restore --pg1-path=DIRECTORY.";
/** How far the kernel reads ahead of a sequential reader; its default is 128 KiB. */
const READ_AHEAD_KIB = 1024;

/** Returns what to tell the user. @throws lockAcquire while it is being opened or closed */
export async function openBackup(request: OpenRequest, tools: OpenTools, ctx: Context): Promise<string> {
  const { account, server, stanza } = request;
  const location = openLocation(request.at);
  const beganMs = ctx.clock.monotonicMs();
  const lock = await lockOpening(location, account, request.self, ctx);
  let served: OpenState;
  let started: SideServer | null = null;
  try {
    served = await serveOpened(location, request, lockedTools(tools, lock), ctx);
    becomeAccount(account);
    if (server !== null) started = await startServer(location, served, server, ctx);
  } finally {
    // A recovery may take hours, and a close may end it.
    lock.release();
  }
  const lines = [describe(location, served)];
  if (server === null || started === null) lines.push(`its files are in ${location.at}`);
  else {
    const session = await firstSession(started, location, account, ctx);
    await session.close();
    const elapsedS = (ctx.clock.monotonicMs() - beganMs) / 1000;
    lines.push(
      `PostgreSQL answered after ${elapsedS.toFixed(1)} s; connect as root or as the server's account:`,
      `  psql -h ${location.folder} -p ${server.port} -U ${server.user}`,
    );
  }
  if (served.fetchesAll) lines.push("everything else is fetched behind it: pgbackstop status shows how much is here");
  lines.push(`end it with: pgbackstop --stanza=${stanza} close --at=${location.at}`);
  return `${lines.join("\n")}\n`;
}

/** Serves and mounts it, or continues; the caller holds the lock. @throws what refuses or prevents it */
export async function serveOpened(
  location: OpenLocation,
  request: OpenRequest,
  tools: ServingTools,
  ctx: Context,
): Promise<OpenState> {
  const state = (await continued(location, request, tools, ctx)) ?? (await begun(location, request));
  return isServed(location, state) ? state : mountBackup(location, request, state, tools, ctx);
}

/** After an `open` in another process. @throws execute with what it said */
export function requireOpened({ exitCode, stderr, stdout }: ProgramEnd): void {
  if (exitCode === 0) return;
  const lines = `${stderr}\n${stdout}`.split("\n").map((line) => line.trim());
  const first = lines.findIndex((line) => /\bERROR\b/.test(line));
  const text = lines.slice(Math.max(first, 0)).join("\n").trim();
  throw fail("execute", `unable to open the backup (exit code ${exitCode}): ${text}`);
}

/** Time of the last replayed transaction, else of the start of the backup: never later than the data. */
export async function openedDataTimeMs(location: OpenLocation, session: Session): Promise<number> {
  const { commitAtS } = await askReplayed(session);
  if (commitAtS !== null) return Math.floor(commitAtS * 1000);
  return labelTimeMs((await loadState(location))?.backup?.label ?? "");
}

/** Labels have this machine's local time. */
export function labelTimeMs(label: string): number {
  const [, ...parts] = /(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)[FDI]$/.exec(label) ?? [];
  const [year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.map(Number);
  return new Date(year, month - 1, day, hour, minute, second).getTime();
}

/** @throws access, featureNotSupported with the plain restore as the way out */
export function requireFuse(isRoot: boolean): void {
  if (!isRoot)
    throw fail("access", "open needs root: only root may mount a directory", {
      hint: ["Run it with sudo; its processes then run as PostgreSQL's account.", RESTORE_HINT],
    });
  if (!existsSync("/dev/fuse"))
    throw fail("featureNotSupported", "open needs /dev/fuse, which this machine does not have", {
      hint: ["Load it with 'modprobe fuse', or give the container that device and CAP_SYS_ADMIN.", RESTORE_HINT],
    });
}

function isServed({ at }: OpenLocation, { server }: OpenState): boolean {
  return isAlive(server) && findMount(at) !== null;
}

/** What an earlier `open` left; null for the first. @throws fileExists when it is still open */
async function continued(
  location: OpenLocation,
  request: OpenRequest,
  tools: ServingTools,
  ctx: Context,
): Promise<OpenState | null> {
  const { account, fetchesAll, limitsCache, production, recovery, server, spoolPath, stanza } = request;
  const state = await loadState(location);
  if (state === null) return null;
  if ((state.production === undefined) !== (production === undefined)) throw ofAnotherVerb(location, state);
  if (state.phase === "moving")
    throw fail("fileExists", `'${location.at}' becomes a plain data directory`, {
      hint: `Repeat the command that was interrupted: close --at=${location.at} --move-to=DIRECTORY`,
    });
  // Of an open that was killed before anything of it was usable.
  const isNew = state.phase === "preparing";
  if (!isNew) requireSame(location, state, request);
  if (isServed(location, state)) {
    const isBusy = server === null || findServer(location, account) !== null;
    if (production === undefined && (isBusy || (fetchesAll && !state.fetchesAll) || limitsCache))
      throw openAlready(location);
    await saveOpened(spoolPath, location.at, state);
    return state;
  }
  requireSeen(location, state, account);
  if (!isNew && limitsCache && state.fetchesAll)
    throw fail(
      "optionInvalid",
      `'${location.at}' was opened with --fetch-all: --cache-max would drop what it fetches`,
      {
        hint: `Open it without --cache-max, or close it first and lose its pages: close --at=${location.at}`,
      },
    );
  if (!isNew) ctx.log.info(`'${location.at}' was open before: its fetched and written pages are used again`);
  await endLeftServer(location, account, ctx);
  await unmount(location, account, tools, ctx);
  if (!isNew) return state;
  if (state.stanza !== stanza) await forgetOpened(spoolPath, state.stanza, location.at);
  const renewed = { ...state, stanza, recovery, fetchesAll, ...given({ production }) };
  await actAs(account, () => saveState(location, renewed));
  return renewed;
}

function openAlready({ at }: OpenLocation): BackupError {
  return fail("fileExists", `'${at}' is open already`, {
    hint: `Close it first; --keep keeps its pages: close --at=${at} --keep`,
  });
}

function ofAnotherVerb({ at, folder }: OpenLocation, { production }: OpenState): Error {
  return production === undefined
    ? fail("fileExists", `'${folder}' holds a backup that 'open' has opened at '${at}'`, {
        hint: `Close it first: pgbackstop close --at=${at}`,
      })
    : fail("fileExists", `'${at}' is production's data directory: recover --instant fetches its files`, {
        hint: "pgbackstop recover continues, and recover --undo restores the old data.",
      });
}

/** @throws optionInvalid when the directory holds something else than what was asked for */
function requireSame({ at }: OpenLocation, state: OpenState, { named, recovery, stanza }: OpenRequest): void {
  const asked = textOf(stanza, recovery, named.set);
  const held = textOf(state.stanza, named.isTarget ? state.recovery : recovery, named.set && state.backup?.label);
  if (asked === held) return;
  throw fail(
    "optionInvalid",
    `'${at}' holds what was opened with ${textOf(state.stanza, state.recovery, state.backup?.label)}`,
    {
      hint: [
        "Omit the backup and the target to continue with it.",
        `For another one, choose another directory, or close this one first and lose its pages: close --at=${at}`,
      ],
    },
  );
}

function textOf(
  stanza: string,
  { target, targetExclusive, targetTimeline, type }: OpenState["recovery"],
  set: string | undefined,
): string {
  const options = [
    `--stanza=${stanza}`,
    set === undefined ? "" : `--set=${set}`,
    `--type=${type}`,
    target === undefined ? "" : `--target=${shellQuote(target)}`,
    targetExclusive ? "--target-exclusive" : "",
    targetTimeline === undefined ? "" : `--target-timeline=${targetTimeline}`,
  ];
  return options.filter((option) => option !== "").join(" ");
}

async function begun(
  location: OpenLocation,
  { account, fetchesAll, production, recovery, spoolPath, stanza }: OpenRequest,
): Promise<OpenState> {
  let madeDirectory: boolean;
  try {
    requireForgotten(location, await findOpened(spoolPath, stanza, location.at));
    madeDirectory = await isAbsent(location);
  } catch (error) {
    await removeFolder(location, account);
    throw error;
  }
  const state: OpenState = {
    version: 1,
    stanza,
    account,
    madeDirectory,
    recovery,
    fetchesAll,
    phase: "preparing",
    ...given({ production }),
  };
  await actAs(account, () => saveState(location, state));
  return state;
}

/** The folder of what was open there may be on a disk that is not mounted. @throws fileMissing */
function requireForgotten({ at, folder }: OpenLocation, left: { readonly label: string } | null): void {
  if (left === null) return;
  throw fail("fileMissing", `backup ${left.label} was open in '${at}', and its files in '${folder}' are missing`, {
    hint: [
      "Mount the file system that holds them.",
      `If they are gone for good, end it, and open again: pgbackstop close --at=${at}`,
    ],
  });
}

async function mountBackup(
  location: OpenLocation,
  { account, self, spoolPath }: OpenRequest,
  state: OpenState,
  tools: ServingTools,
  ctx: Context,
): Promise<OpenState> {
  const deviceFd = openDevice();
  try {
    await saveOpened(spoolPath, location.at, state);
    if (state.backup === undefined) await tools.untilDecided();
    const logFd = await openLog(location, account);
    // Before it starts: what a killed open leaves is known to hold the lock, however far it has come.
    const lock = await lockServing(location, account, self);
    let child: ReturnType<OpenTools["startServing"]>;
    try {
      child = tools.startServing([deviceFd, lock.fd], logFd);
    } finally {
      lock.handOver();
      closeSync(logFd);
    }
    const served = await untilServed(location, state, child.ended, ctx);
    if (state.backup === undefined) await saveOpened(spoolPath, location.at, served);
    if (state.production !== undefined) await makeMountPoint(location.at);
    else if (state.madeDirectory) await mkdir(location.at, { recursive: true, mode: 0o700 });
    await mountDevice(deviceFd, location.at, tools.lock);
    requireMounted(location);
    await readAhead(location, ctx);
    return served;
  } catch (error) {
    await endServing(location, account, 0, { ...ctx, signal: new AbortController().signal });
    // Nothing of a first preparation is worth keeping.
    if (state.phase === "preparing") {
      await forgetOpened(spoolPath, state.stanza, location.at);
      await removeFolder(location, account);
      if (state.madeDirectory) await rmdir(location.at).catch(() => {});
    }
    throw error;
  } finally {
    closeSync(deviceFd);
  }
}

/**
 * Without the mount, as after a restart of the machine, nobody may take the directory for a data directory, or make one
 * of it: it is root's, and closed to everybody else. @throws pathNotEmpty
 */
async function makeMountPoint(at: string): Promise<void> {
  try {
    await mkdir(at, { mode: 0 });
    return;
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw systemError("pathCreate", `create path '${at}'`, at, error);
  }
  const info = await lstat(at);
  if (info.isDirectory() && info.uid === 0 && (info.mode & 0o777) === 0 && (await readdir(at)).length === 0) return;
  throw fail("pathNotEmpty", `something else than recover has made '${at}'`, {
    hint: "Move it away, and run recover again.",
    path: at,
  });
}

/** @throws execute if the directory was moved while it was mounted */
function requireMounted({ at }: OpenLocation): void {
  if (findMount(at) !== null) return;
  throw fail("execute", `'${at}' was moved while it was mounted`, {
    hint: "Unmount it where /proc/self/mountinfo shows it, and choose a directory in one that only root may write.",
  });
}

/** The folder is the account's: root must not follow a link that it has put there. @throws fileOpen */
async function openLog({ serveLog }: OpenLocation, account: Account): Promise<number> {
  try {
    return await actAs(account, async () => openSync(serveLog, "w", 0o600));
  } catch (error) {
    throw systemError("fileOpen", `open file '${serveLog}' for write`, serveLog, error);
  }
}

/** @throws what the serving process says when it ends instead */
async function untilServed(
  location: OpenLocation,
  before: OpenState,
  ended: Promise<number>,
  ctx: Context,
): Promise<OpenState> {
  let code: number | undefined;
  void ended.then((value) => {
    code = value;
  });
  for (;;) {
    const state = await loadState(location);
    if (state?.server !== undefined && !isSame(state.server, before.server) && isAlive(state.server)) return state;
    if (code !== undefined) {
      const log = await readFile(location.serveLog, "utf8").catch(() => "");
      throw fail("execute", `unable to open the backup: ${errorsIn(log) || `exit code ${code}`}`);
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

/** A number may be given again. */
function isSame(left: ProcessId, right: ProcessId | undefined): boolean {
  return left.pid === right?.pid && left.startTicks === right.startTicks;
}

function errorsIn(log: string): string {
  const lines = log.split("\n");
  const first = lines.findIndex((line) => /\bERROR\b/.test(line));
  return first < 0
    ? ""
    : lines
        .slice(first)
        .join("\n")
        .replace(/^.*\bERROR: */, "")
        .trim();
}

async function readAhead({ at }: OpenLocation, ctx: Context): Promise<void> {
  const mount = findMount(at);
  const path = `/sys/class/bdi/${mount?.device}/read_ahead_kb`;
  try {
    await writeFile(path, String(READ_AHEAD_KIB), { flag: "r+" });
  } catch (error) {
    ctx.log.detail(`unable to set '${path}': ${toBackupError(error).message}`);
  }
}

function describe({ at }: OpenLocation, { backup }: OpenState): string {
  if (backup === undefined) return `a backup is open in ${at}`;
  return (
    `backup ${backup.label} of ${backup.repo} (${formatSize(backup.sizeBytes)}) is open in ${at}\n` +
    `verified: ${backup.verified}`
  );
}

/** @throws fileExists when the server of a killed `open`, which nobody could see yet, was faster; dbConnect */
async function firstSession(
  started: SideServer,
  location: OpenLocation,
  account: Account,
  ctx: Context,
): Promise<Session> {
  try {
    return await started.connectFirst(ctx);
  } catch (error) {
    if (!started.isRunning && findServer(location, account) !== null) throw openAlready(location);
    throw error;
  }
}

/**
 * The server, which is not ready yet. Harmless like a drill's: it archives nothing, calls nobody, and only its own
 * account and root reach its socket. Clients reach that of a clone that is ready.
 */
async function startServer(
  location: OpenLocation,
  state: OpenState,
  server: NonNullable<OpenRequest["server"]>,
  ctx: Context,
): Promise<SideServer> {
  const { at, folder, serverLog } = location;
  await requireRunnable(server.node);
  const clone = await loadClone(location);
  if (clone !== null) requireAlive(clone, at, ctx.clock.nowMs());
  const clients = clone?.ready === true ? { settings: clientSettings(clone), access: clientAccess(clone) } : undefined;
  const version = state.backup?.pgVersion ?? "";
  const paths = { path: folder, tablespaces: folder, spool: folder, socketDirectory: folder, account: null };
  const scratch = { ...paths, dataDirectory: at, logFile: serverLog };
  // From now on the files may hold writes.
  await saveState(location, { ...state, phase: "used" });
  const restoreCommand = askingCommand(location, server.node);
  const recovery = {
    ...state.recovery,
    targetTimeline: state.recovery.targetTimeline ?? state.backup?.timeline,
    restoreCommand,
    options: serverOptions(version, state.phase === "used"),
  };
  const programs = await server.programs.find(version, folder, ctx.signal);
  const port = clients === undefined ? server.port : (clone?.port ?? server.port);
  const request = { ...server, port, programs, scratch, preload: undefined, recovery, clients };
  const { server: started } = await prepareServer(request, ctx);
  // Until another open or close can see it, and beside it the server's own lock.
  while (started.isRunning && findServer(location, state.account) === null) await ctx.clock.sleep(POLL_MS, ctx.signal);
  return started;
}

/**
 * Recovery needs no page that a record restores, so nothing may be fetched ahead of it. A server that has run before
 * must sync its files one by one, because the kernel does not pass a sync of the whole file system on to us. Old WAL is
 * removed instead of kept for later, and new files are sparse: both would take more space than what is read.
 */
export function serverOptions(version: string, hasRun: boolean): Readonly<Record<string, string>> {
  const major = Number(version);
  return {
    ...(major >= 12 ? { wal_init_zero: "off", wal_recycle: "off" } : {}),
    ...(major >= 14 && !hasRun ? { recovery_init_sync_method: "syncfs" } : {}),
    ...(major >= 15 ? { recovery_prefetch: "off", [TABLESPACES_AS_DIRECTORIES]: "on" } : {}),
  };
}

const TABLESPACES_AS_DIRECTORIES = "allow_in_place_tablespaces";
