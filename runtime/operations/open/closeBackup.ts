/** `close`: ends the server of an opened backup, unmounts it, and removes its files or keeps them. */
import type { LockHolder } from "../../local/lockFile";
import { existsSync, readdir, readFileSync, readlinkSync, rm, rmdir } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import { actAs } from "../../local/actAs";
import { systemCodeOf, systemError } from "../../local/systemError";
import { parsePostmasterPid } from "../../postgres/postmasterPid";
import { shellQuote } from "../restore/recovery";
import {
  findMount,
  findProcess,
  isAlive,
  loadState,
  type Move,
  type OpenLocation,
  openLocation,
  type OpenState,
  type ProcessId,
  saveState,
  syncFileSystem,
} from "./openLocation";
import {
  endServing,
  isOf,
  type LockableTools,
  type LockedTools,
  lockedTools,
  lockOpening,
  OPENING_LOCK,
} from "./openLocks";
import { forgetOpened } from "./openedRecords";
import { makePlain, type MoveRequest, planMove } from "./plainDirectory";
import type { Account } from "./tree";

export interface CloseRequest {
  readonly at: string;
  readonly isRoot: boolean;
  /** Runs the opened server and owns its files. */
  readonly account: Account;
  /** Fetched and written pages stay, for another `open`. */
  readonly keeps: boolean;
  /** It becomes a plain data directory; null removes or keeps it. */
  readonly move: MoveRequest | null;
  readonly stanza: string;
  /** Where it is recorded as open. */
  readonly spoolPath: string;
  readonly self: LockHolder;
}

const POLL_MS = 20;
const STOP_MS = 60_000;
const SERVING_END_MS = 10_000;
const BUSY_MS = 10_000;
const BUSY_POLL_MS = 200;

/** Returns what to tell the user. @throws fileMissing when nothing is open, lockAcquire while it is being opened */
export async function closeBackup(request: CloseRequest, tools: LockableTools, ctx: Context): Promise<string> {
  const { account, at, isRoot } = request;
  if (!isRoot)
    throw fail("access", "close needs root: only root may unmount a directory", { hint: "Run it with sudo." });
  const location = openLocation(at);
  if (!existsSync(location.folder)) {
    if (!(await forgetOpened(request.spoolPath, request.stanza, at))) throw nothingOpen(at);
    return `the files of '${at}' are gone: from now on its backup may expire\n`;
  }
  const lock = await lockOpening(location, account, request.self, ctx);
  try {
    return await closeLocked(location, request, lockedTools(tools, lock), ctx);
  } finally {
    lock.release();
  }
}

function nothingOpen(at: string): BackupError {
  return fail("fileMissing", `nothing is open in '${at}'`);
}

async function closeLocked(
  location: OpenLocation,
  { account, at, keeps, move, spoolPath, stanza }: CloseRequest,
  tools: LockedTools,
  ctx: Context,
): Promise<string> {
  const state = await loadState(location);
  if (state === null) {
    // Of an open that was killed before it could say what it opens.
    await forgetOpened(spoolPath, stanza, at);
    await removeFolder(location, account);
    throw nothingOpen(at);
  }
  if (state.phase === "moving" && move === null)
    throw fail("optionRequired", `'${at}' becomes a plain data directory in '${state.move?.to}'`, {
      hint: "Repeat the command that was interrupted, with --move-to.",
    });
  requireSeen(location, state, account);
  const planned = move === null ? null : await planMove(location, state, move);
  const server = findServer(location, account);
  // A clean stop writes the server's memory; without our process it cannot.
  if (server !== null) await endServer(server, isAlive(state.server) ? ["SIGINT", ...END_SIGNALS] : END_SIGNALS, ctx);
  await unmount(location, account, tools, ctx);
  if (state.madeDirectory) await rmdir(at).catch(() => {});
  if (planned !== null) {
    await actAs(account, () => saveState(location, { ...state, phase: "moving", move: planned }));
    await makePlain(location, state, planned, () => syncFileSystem(location, tools));
    await forgetOpened(spoolPath, state.stanza, at);
    await removeFolder(location, account);
    return movedText(at, planned, state);
  }
  if (keeps) {
    await syncFileSystem(location, tools);
    return `'${at}' is closed; its pages stay in ${location.folder} for another open\n`;
  }
  await forgetOpened(spoolPath, state.stanza, at);
  await removeFolder(location, account);
  return `'${at}' is closed and its pages are removed\n`;
}

function movedText(at: string, { to }: Move, { backup }: OpenState): string {
  return (
    `'${at}' is closed; ${to} is a plain data directory of PostgreSQL ${backup?.pgVersion}\n` +
    `start it as its owner: pg_ctl -D ${shellQuote(to)} start\n` +
    (existsSync(`${to}/postgresql.conf`)
      ? ""
      : "its postgresql.conf is not in the backup's data directory: name one with -o '-c config_file=FILE'\n")
  );
}

const END_SIGNALS = ["SIGQUIT", "SIGKILL"] as const;

/**
 * Removes it as the account, which could swap any name in it for a link while root works there. Last the lock that the
 * caller holds: from then on another open may begin here, and keeps the folder.
 */
export async function removeFolder({ folder }: OpenLocation, account: Account): Promise<void> {
  await actAs(account, async () => {
    const names = (await readdir(folder)).filter((name) => name !== OPENING_LOCK);
    for (const name of [...names, OPENING_LOCK]) await rm(`${folder}/${name}`, { recursive: true, force: true });
  });
  await rmdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) !== "ENOTEMPTY") throw systemError("pathRemove", `remove path '${folder}'`, folder, error);
  });
}

/** The postmaster of the opened directory. Its file is read from the upper directory, which also a dead mount has. */
export function findServer({ at, upper }: OpenLocation, account: Account): ProcessId | null {
  let text: string;
  try {
    text = readFileSync(`${upper}/postmaster.pid`, "latin1");
  } catch {
    return null;
  }
  const { pid } = parsePostmasterPid(text);
  const server = Number.isInteger(pid) && pid > 1 ? findProcess(pid) : null;
  if (server === null) return null;
  try {
    // A number from before a restart of the machine may be anybody's, and the account could write any.
    if (!isOf(account, server)) return null;
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return args.includes(at) || readlinkSync(`/proc/${pid}/cwd`) === at ? server : null;
  } catch {
    return null;
  }
}

/**
 * In another mount namespace, as a container or a unit of systemd may have one, the directory may be in good use.
 * @throws execute
 */
export function requireSeen(location: OpenLocation, { server }: OpenState, account: Account): void {
  const { at } = location;
  if (!isAlive(server) || findMount(at) !== null) return;
  for (const id of [server, findServer(location, account)]) {
    if (id == null || !seesMount(at, id)) continue;
    throw fail("execute", `'${at}' is mounted for process ${id.pid}, and not for this one`, {
      hint: `Run the command in the mount namespace of that process: nsenter --mount --target=${id.pid} pgbackstop`,
    });
  }
}

function seesMount(at: string, { pid }: ProcessId): boolean {
  try {
    return findMount(at, pid) !== null;
  } catch {
    // It has ended.
    return false;
  }
}

/** Ends the postmaster of a directory whose serving process was killed: every access fails, but it lives on. */
export async function endLeftServer(location: OpenLocation, account: Account, ctx: Context): Promise<void> {
  const server = findServer(location, account);
  if (server !== null) await endServer(server, END_SIGNALS, ctx);
}

/** @throws pgRunning */
export async function endServer(server: ProcessId, signals: readonly NodeJS.Signals[], ctx: Context): Promise<void> {
  for (const signal of signals) {
    try {
      process.kill(server.pid, signal);
    } catch {
      return;
    }
    if (await ends(server, STOP_MS, ctx)) return;
    ctx.log.warn(`process ${server.pid} does not end after ${signal}`);
  }
  throw fail("pgRunning", `the server (process ${server.pid}) cannot be stopped`);
}

async function ends(id: ProcessId, withinMs: number, ctx: Context): Promise<boolean> {
  const endMs = ctx.clock.monotonicMs() + withinMs;
  while (isAlive(id)) {
    if (ctx.clock.monotonicMs() > endMs) return false;
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
  return true;
}

/**
 * Until no process serves it.
 * @param isForced a process that still uses the directory does not keep it: nothing that it writes later arrives
 * @throws execute when a process still uses the directory
 */
export async function unmount(
  location: OpenLocation,
  account: Account,
  tools: LockedTools,
  ctx: Context,
  isForced = false,
): Promise<void> {
  const { at, upper } = location;
  // A process that serves a directory which was never mounted does not learn that it is not needed.
  if (findMount(at) === null) {
    await endServing(location, account, 0, ctx);
    return removePidFile(upper, account);
  }
  const endMs = ctx.clock.monotonicMs() + BUSY_MS;
  for (;;) {
    const { exitCode, stderr } = await tools.program(["umount", at]);
    if (exitCode === 0) break;
    // The server's last processes may still be ending.
    if (ctx.clock.monotonicMs() > endMs && isForced) {
      ctx.log.warn(`'${at}' is unmounted although a process still uses it: ${stderr.trim()}`);
      // Before its name is free: the process must not reach the files that another server uses then.
      await endServing(location, account, 0, ctx);
      await tools.program(["umount", "-l", at]);
      break;
    }
    if (ctx.clock.monotonicMs() > endMs)
      throw fail("execute", `unable to unmount '${at}': ${stderr.trim()}`, {
        hint: `End the processes that use it ('fuser -vm ${at}' shows them), and close it again.`,
      });
    await ctx.clock.sleep(BUSY_POLL_MS, ctx.signal);
  }
  await removePidFile(upper, account);
  await endServing(location, account, SERVING_END_MS, ctx);
}

/**
 * A dead postmaster that nobody has waited for yet looks alive to the next one, and after a restart of the machine its
 * number may be another process'. Nothing of it uses the files now.
 */
function removePidFile(upper: string, account: Account): Promise<void> {
  return actAs(account, () => rm(`${upper}/postmaster.pid`, { force: true }));
}
