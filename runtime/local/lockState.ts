/**
 * What lock files show about their holders: who works on a stanza, and the progress (pgBackRest 2.60 "command/lock").
 *
 * A file without a held lock was left by a killed process and means nothing.
 */
import { readdirSync, readFileSync, statSync } from "./nodeFiles";
import { join } from "node:path";
import type { Clock } from "../base/clock";
import { isError } from "../base/errors";
import { acquireLock, findLockHolder, isFlocked, type LockKind, type LockRequest, lockFileName } from "./lockFile";
import { isMissing, systemCodeOf, systemError } from "./systemError";
import { findText } from "./trust";

export interface LockState {
  readonly held: boolean;
  /** Progress of each repository whose holder reports it. */
  readonly repos: readonly { readonly key: number; readonly sizeBytes: number; readonly sizeCompleteBytes: number }[];
}

export interface HeldLock {
  readonly path: string;
  /** From the file's content; null if absent. */
  readonly pid: number | null;
}

/** Locks of work that `stop` forbids, and of stock's restores. */
const LOCK_FILE = /^(.+)-(archive|backup|dump|heal|restore)(?:-(\d+))?\.lock$/;

/** True when the process of this number wrote a lock file at that time. */
export type HolderCheck = (pid: number, writtenAtMs: number) => boolean;

interface LockQuery {
  readonly lockPath: string;
  readonly stanza: string;
  readonly kind: LockKind;
  readonly repoIndexes: readonly number[];
  /** Accounts besides root and this one that may own the lock path. */
  readonly owners?: readonly number[];
}

/**
 * Reads the files' contents and changes nothing. The lock decides: a holder may be in another container, and clocks
 * step. `isAlive` counts only where the lock cannot be tried.
 */
export function readLockState(query: LockQuery, isAlive: HolderCheck): LockState {
  const { lockPath, stanza, kind, repoIndexes } = query;
  const repos: LockState["repos"][number][] = [];
  let held = isHeld(join(lockPath, lockFileName(stanza, kind)), isAlive);
  for (const key of repoIndexes) {
    const path = join(lockPath, lockFileName(stanza, kind, key));
    if (!isHeld(path, isAlive)) continue;
    held = true;
    const progress = findProgress(path);
    if (progress !== null) repos.push({ key, ...progress });
  }
  return { held, repos };
}

/**
 * True when a process holds one of these locks now. Each file is tried: the number that it names may belong to any
 * process by now. Files without a held lock are removed.
 */
export function isLocked(
  { kind, lockPath, owners = [], repoIndexes, stanza }: LockQuery,
  self: { readonly pid: number; readonly execId: string },
): boolean {
  const requests = [{}, ...repoIndexes.map((repoIndex) => ({ repoIndex }))].map((key) => ({
    lockPath,
    owners,
    stanza,
    kind,
    ...key,
    ...self,
  }));
  return requests.some((request: LockRequest) => {
    if (findLockHolder(join(lockPath, lockFileName(stanza, kind, request.repoIndex))) === null) return false;
    try {
      acquireLock(request).release();
      return false;
    } catch (error) {
      if (isError(error, "lockAcquire")) return true;
      throw error;
    }
  });
}

/** Locks of a stanza, or of all, that a process holds now; files without a held lock are removed, as in stock. */
export function listHeldLocks(
  lockPath: string,
  stanza: string | undefined,
  self: { readonly pid: number; readonly execId: string; readonly owners?: readonly number[] },
): HeldLock[] {
  return lockFiles(lockPath).flatMap((name): HeldLock[] => {
    const [, owner, kind, key] = LOCK_FILE.exec(name) ?? [];
    if (owner === undefined || (stanza !== undefined && owner !== stanza)) return [];
    const path = join(lockPath, name);
    try {
      const lock = {
        lockPath,
        stanza: owner,
        kind: kind as LockKind,
        ...(key === undefined ? {} : { repoIndex: Number(key) }),
      };
      // Taken and released: then no other process holds it.
      const pid = findLockHolder(path)?.pid ?? null;
      try {
        acquireLock({ ...lock, ...self }).release();
        return [];
      } catch (error) {
        if (!isError(error, "lockAcquire")) throw error;
        return [{ path, pid }];
      }
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  });
}

function lockFiles(lockPath: string): string[] {
  try {
    return readdirSync(lockPath).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw systemError("pathOpen", `list file info for path '${lockPath}'`, lockPath, error);
  }
}

function isHeld(path: string, isAlive: HolderCheck): boolean {
  const holder = findLockHolder(path);
  if (holder === null) return false;
  const writtenAtMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return isFlocked(path) ?? (writtenAtMs !== undefined && isAlive(holder.pid, writtenAtMs));
}

const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
/** Precision of a process' start and of a file's time. */
const TIME_STEP_MS = 1000;
/** The unit of starts in `/proc`: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10;
/** After the program's name, which ends with the last bracket, and the state (proc_pid_stat(5)). */
const START_FIELD = 18;

/**
 * True when a process of this number runs and ran at that time. Numbers are reused after a reboot, and immediately in
 * another container; a process that reuses one began after the file was written. If a process' start is unknown, its
 * number is trusted.
 */
export function hasRunSince(pid: number, atMs: number, clock: Pick<Clock, "nowMs">): boolean {
  if (!isThere(pid)) return false;
  const [own, other] = [statOf("self"), statOf(pid)];
  if (own === null || other === null) return true;
  const ownStartMs = clock.nowMs() - process.uptime() * 1000;
  return ownStartMs + (other.startTicks - own.startTicks) * TICK_MS <= atMs + TIME_STEP_MS;
}

/**
 * True unless the process with this number and start has ended. A stopped process lives. A zombie has ended, unless
 * one of its threads still works for the kernel.
 */
export function isAliveSince(pid: number, startTicks: number): boolean {
  if (!isThere(pid)) return false;
  const stat = statOf(pid);
  if (stat === null) return isThere(pid);
  return stat.startTicks === startTicks && (stat.state !== "Z" || countThreads(pid) > 1);
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCodeOf(error) === "EPERM";
  }
}

/** Identifies this start of the machine. @throws the file system's errors */
export function bootId(): string {
  return readFileSync(BOOT_ID_FILE, "utf8").trim();
}

interface Stat {
  readonly pid: number;
  /** One letter: `T` is stopped, `Z` a zombie. */
  readonly state: string;
  /** Since the machine's boot. */
  readonly startTicks: number;
}

/** Null where the kernel does not show it. */
export function statOf(process: number | "self"): Stat | null {
  try {
    const stat = readFileSync(`/proc/${process}/stat`, "latin1");
    const [state = "", ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const startTicks = Number(fields[START_FIELD]);
    return Number.isSafeInteger(startTicks) ? { pid: Number.parseInt(stat, 10), state, startTicks } : null;
  } catch {
    return null;
  }
}

function countThreads(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}

function findProgress(path: string): { sizeBytes: number; sizeCompleteBytes: number } | null {
  try {
    const content: unknown = JSON.parse(findText(path) ?? "");
    if (typeof content !== "object" || content === null || !("sz" in content) || !("szCplt" in content)) return null;
    const { sz, szCplt } = content;
    return typeof sz === "number" && typeof szCplt === "number" ? { sizeBytes: sz, sizeCompleteBytes: szCplt } : null;
  } catch {
    return null;
  }
}
