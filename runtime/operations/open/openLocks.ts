/**
 * Locks of an opened directory, in its folder: `open` and `close` work there one after the other, and one process
 * serves its files. The kernel drops the lock of a killed process.
 */
import type { Context } from "../../base/context";
import { fail, isError } from "../../base/errors";
import { actAs, requireDirectoryOf } from "../../local/actAs";
import {
  acquireLock,
  acquireWithin,
  findLockHolder,
  inheritLock,
  isFlocked,
  type LockFile,
  lockFileName,
  type LockHolder,
} from "../../local/lockFile";
import { lstatSync } from "../../local/nodeFiles";
import type { ProgramEnd } from "../../local/program";
import { findProcess, type OpenLocation } from "./openLocation";
import type { Account } from "./tree";

const OPENING = { stanza: "opened", kind: "opening" } as const;
const SERVING = { stanza: "opened", kind: "serving" } as const;
/** Names of their files. */
export const OPENING_LOCK = lockFileName(OPENING.stanza, OPENING.kind);
export const SERVING_LOCK = lockFileName(SERVING.stanza, SERVING.kind);
const POLL_MS = 50;
const KILLED_MS = 10_000;
const LEFT_MS = 10_000;

/**
 * The right to open or close the directory. Makes the folder, of the account. Waits for a program that a killed holder
 * has left, such as mount(8).
 * @throws lockAcquire when another `open` or `close` works there, pathCreate, fileOwner
 */
export async function lockOpening(
  location: OpenLocation,
  account: Account,
  self: LockHolder,
  ctx: Context,
): Promise<LockFile> {
  const { at, folder } = location;
  await requireDirectoryOf(account, folder, "which the opened server has");
  // With the account's rights, because it may swap any name in its folder for a link.
  const take = (): Promise<LockFile> =>
    actAs(account, () => Promise.resolve(acquireLock({ lockPath: folder, ...OPENING, ...self })));
  let waits = false;
  const isLeft = (): boolean => {
    if (isHolderAlive(folder)) return false;
    if (!waits)
      ctx.log.info(`a program that a killed open or close of '${at}' has left is still running: waiting for it`);
    waits = true;
    return true;
  };
  try {
    return await acquireWithin(take, { pollMs: POLL_MS, withinMs: LEFT_MS, isWorthIt: isLeft }, ctx);
  } catch (error) {
    if (!isError(error, "lockAcquire")) throw error;
    throw fail("lockAcquire", `'${at}' is being opened or closed: ${error.message}`, {
      hint: error.hints,
      cause: error,
    });
  }
}

/** False between the kernel's lock and the holder's name in the file. */
function isHolderAlive(folder: string): boolean {
  const holder = findLockHolder(`${folder}/${OPENING_LOCK}`);
  return holder !== null && findProcess(holder.pid) !== null;
}

/** What one `open` or `close` works with. */
export interface LockedTools {
  readonly lock: LockFile;
  program(args: readonly string[]): Promise<ProgramEnd>;
}

export interface LockableTools {
  /** The program holds the lock too, until it has ended. */
  program(args: readonly string[], lock?: LockFile): Promise<ProgramEnd>;
}

export function lockedTools<T extends LockableTools>(tools: T, lock: LockFile): Omit<T, "program"> & LockedTools {
  return { ...tools, lock, program: (args) => tools.program(args, lock) };
}

/** The right to serve the files, for a process that starts now. @throws lockAcquire */
export function lockServing({ folder }: OpenLocation, account: Account, self: LockHolder): Promise<LockFile> {
  return actAs(account, () => Promise.resolve(acquireLock({ lockPath: folder, ...SERVING, ...self })));
}

/** In that process, which is the account's. It lasts as long as the process. @throws lockAcquire */
export function inheritServing({ folder }: OpenLocation, self: LockHolder, fd: number): LockFile {
  return inheritLock({ lockPath: folder, ...SERVING, ...self }, fd);
}

/**
 * Waits until no process serves the files, whether a state names it or not; ends one that has had enough time.
 * @throws lockAcquire when it cannot be ended
 */
export async function endServing(
  { folder }: OpenLocation,
  account: Account,
  graceMs: number,
  ctx: Context,
): Promise<void> {
  const path = `${folder}/${SERVING_LOCK}`;
  const endHolder = (): void => {
    const holder = findLockHolder(path);
    // A lock that cannot be tried proves nothing: the number in its file may be anybody's today.
    if (holder === null || isFlocked(path) !== true || !isOf(account, holder)) return;
    try {
      process.kill(holder.pid, "SIGKILL");
    } catch {
      // It has just ended.
    }
  };
  if (await isFree(path, graceMs, ctx)) return;
  ctx.log.info(`a process still serves '${folder}': it is ended`);
  // One that has just started names itself a moment later.
  if (await isFree(path, KILLED_MS, ctx, endHolder)) return;
  throw fail("lockAcquire", `a process that serves '${folder}' cannot be ended`, {
    hint: `'fuser -v ${path}' shows it.`,
    path,
  });
}

/** Root ends no process of another account, whatever number a file of the account names. */
export function isOf({ uid }: Account, { pid }: { readonly pid: number }): boolean {
  return lstatSync(`/proc/${pid}`, { throwIfNoEntry: false })?.uid === uid;
}

async function isFree(
  path: string,
  withinMs: number,
  { clock, signal }: Context,
  whileHeld = () => {},
): Promise<boolean> {
  const endMs = clock.monotonicMs() + withinMs;
  while (isFlocked(path) !== false) {
    if (clock.monotonicMs() > endMs) return false;
    whileHeld();
    await clock.sleep(POLL_MS, signal);
  }
  return true;
}
