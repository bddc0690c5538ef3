/**
 * pgBackRest's lock files: they keep stock and this program from working on one stanza at the same time.
 *
 * A lock is `flock(LOCK_EX | LOCK_NB)` on `<lock-path>/<stanza>-<kind>[-<repo key>].lock` (2.53 and newer name the
 * repository, older ones do not). The content is one JSON object with the holder and the progress of a backup
 * (pgBackRest 2.60 "common/lock", "command/lock"). Node cannot call flock, but flock(1) can, on an inherited
 * descriptor. The lock belongs to the shared open file description, so it stays with this process after flock(1) has
 * ended, and the kernel drops it when this process dies.
 */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { closeSync, constants, fstatSync, ftruncateSync, openSync, unlinkSync, writeSync } from "./nodeFiles";
import { join } from "node:path";
import type { Context } from "../base/context";
import { assert, fail, isError } from "../base/errors";
import { systemCodeOf, systemError } from "./systemError";
import { findText, makeDirectoryFor, TrustedDirectory } from "./trust";

/** All but `backup`, `archive` and `restore` are ours: stock does not know them. */
export type LockKind =
  | "backup"
  | "archive"
  | "drill"
  | "dump"
  | "heal"
  | "cloning"
  | "expiring"
  | "opening"
  | "restore"
  | "serving";

export interface LockRequest {
  readonly lockPath: string;
  readonly stanza: string;
  readonly kind: LockKind;
  /** Absent: the name of 2.52 and older, without a repository. */
  readonly repoIndex?: number;
  /** `<pid>-<8 hex>`. */
  readonly execId: string;
  readonly pid: number;
  /** Accounts besides root and this one that may own the lock path. */
  readonly owners?: readonly number[];
}

export interface LockProgress {
  readonly sizeBytes: number;
  readonly sizeCompleteBytes: number;
}

/** A held lock; it lasts until {@link LockFile.release} or the end of this process. */
export interface LockFile {
  readonly path: string;
  /**
   * A program that gets this descriptor holds the lock too: what it changes may come after this process was killed, and
   * must not meet the next holder's work. Not after {@link LockFile.release}.
   */
  readonly fd: number;
  /** Writes a backup's progress into the file; stock's `info` shows it. */
  setProgress(progress: LockProgress): void;
  /** Removes the file and drops the lock; a second call does nothing. */
  release(): void;
  /** Closes the descriptor: a process that got it is the only holder from now on. */
  handOver(): void;
}

/** The holder according to a lock file's content. */
export interface LockHolder {
  readonly pid: number;
  readonly execId: string;
}

/** Attempts when the last holder replaces the file between our opening and locking it. */
const OPEN_ATTEMPTS_MAX = 16;
const FLOCK_TIMEOUT_MS = 10_000;
/** The descriptor number that flock(1) sees. */
const CHILD_FD = 3;

export function lockFileName(stanza: string, kind: LockKind, repoIndex?: number): string {
  return repoIndex === undefined ? `${stanza}-${kind}.lock` : `${stanza}-${kind}-${repoIndex}.lock`;
}

/**
 * Takes the lock immediately or throws; creates a missing lock path (0750).
 * @throws lockAcquire when another process holds it, flock(1) is missing, or the file cannot be opened; fileOwner (88)
 * and fileMode (83) when another account could have put the lock path or the file there
 */
export function acquireLock(request: LockRequest): LockFile {
  const { lockPath } = request;
  const name = lockFileName(request.stanza, request.kind, request.repoIndex);
  try {
    makeDirectoryFor(request.owners ?? [], lockPath, 0o750);
  } catch (error) {
    throw systemError("pathCreate", `create path '${lockPath}'`, lockPath, error);
  }
  const directory = TrustedDirectory.open("lock path", lockPath, request.owners);
  let kept = false;
  try {
    for (let attempt = 0; attempt < OPEN_ATTEMPTS_MAX && !kept; attempt++) {
      const fd = openLockFile(directory, name);
      try {
        flockOrThrow(fd, join(lockPath, name));
        // The last holder removes the file before it drops the lock: the locked file may have no name any more.
        if (!isNamed(fd, directory, name)) continue;
        const lock = heldLock(fd, directory, request);
        kept = true;
        return lock;
      } finally {
        if (!kept) closeSync(fd);
      }
    }
  } finally {
    if (!kept) directory.close();
  }
  const path = join(lockPath, name);
  throw fail(
    "lockAcquire",
    `unable to acquire lock on file '${path}': it was replaced ${OPEN_ATTEMPTS_MAX} times in the meantime`,
    {
      path,
      retryable: true,
    },
  );
}

/**
 * The lock that this process's parent took and handed over as a descriptor: nobody else can have had it in between.
 * @throws lockAcquire if the descriptor is not that file
 */
export function inheritLock(request: LockRequest, fd: number): LockFile {
  const name = lockFileName(request.stanza, request.kind, request.repoIndex);
  const directory = TrustedDirectory.open("lock path", request.lockPath, request.owners);
  if (isNamed(fd, directory, name)) return heldLock(fd, directory, request);
  directory.close();
  const path = join(request.lockPath, name);
  throw fail("lockAcquire", `unable to acquire lock on file '${path}': it was replaced`, { path });
}

/**
 * Takes a lock that others hold for moments.
 * @param limits waits only as long as `isWorthIt`
 * @throws as `take`; lockAcquire only after `withinMs`
 */
export async function acquireWithin<T>(
  take: () => T | Promise<T>,
  limits: { readonly pollMs: number; readonly withinMs: number; readonly isWorthIt?: () => boolean },
  { clock, signal }: Pick<Context, "clock" | "signal">,
): Promise<T> {
  const { isWorthIt = () => true, pollMs, withinMs } = limits;
  const endMs = clock.monotonicMs() + withinMs;
  for (;;) {
    try {
      return await take();
    } catch (error) {
      if (!isError(error, "lockAcquire") || !isWorthIt() || clock.monotonicMs() > endMs) throw error;
      await clock.sleep(pollMs, signal);
    }
  }
}

/**
 * The holder in a lock file's content; null for a missing or unreadable file. It does not show whether the lock is
 * held.
 */
export function findLockHolder(path: string): LockHolder | null {
  try {
    const content: unknown = JSON.parse(findText(path) ?? "");
    if (typeof content !== "object" || content === null || !("pid" in content) || typeof content.pid !== "number")
      return null;
    return {
      pid: content.pid,
      execId: "execId" in content && typeof content.execId === "string" ? content.execId : "",
    };
  } catch {
    return null;
  }
}

/**
 * False when no process holds the lock, whatever the file's content says. Only a shared lock is tried, for a moment, so
 * readers do not disturb each other, and nothing in the file changes. Null if the lock cannot be tried: no right to
 * read the file, no flock(1).
 */
export function isFlocked(path: string): boolean | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    return systemCodeOf(error) === "ENOENT" ? false : null;
  }
  try {
    const { status } = runFlock(["-n", "-s"], fd);
    return status === 0 ? false : status === 1 ? true : null;
  } finally {
    closeSync(fd);
  }
}

/** False when another process has a lock on the file, or flock(1) is missing. */
export function tryFlock(fd: number): boolean {
  return runFlock(["-n", "-x"], fd).status === 0;
}

function runFlock(options: readonly string[], fd: number): SpawnSyncReturns<Buffer> {
  const stdio = ["ignore", "ignore", "pipe", fd];
  return spawnSync("flock", [...options, String(CHILD_FD)], {
    stdio: stdio as ("ignore" | "pipe" | number)[],
    timeout: FLOCK_TIMEOUT_MS,
  });
}

function openLockFile(directory: TrustedDirectory, name: string): number {
  const path = join(directory.path, name);
  try {
    // "a+" would be O_APPEND; O_RDWR | O_CREAT keeps the content with the holder.
    return directory.openFile(name, constants.O_RDWR | constants.O_CREAT, 0o640);
  } catch (error) {
    throw systemCodeOf(error) === undefined
      ? error
      : systemError("lockAcquire", `acquire lock on file '${path}'`, path, error);
  }
}

function flockOrThrow(fd: number, path: string): void {
  const first = runFlock(["-n", "-x"], fd);
  // A reader's shared lock (isFlocked) is gone by the second try.
  const result = first.status === 1 ? runFlock(["-n", "-x"], fd) : first;
  if (result.error !== undefined) {
    const missing = "code" in result.error && result.error.code === "ENOENT";
    throw fail(
      "lockAcquire",
      `unable to acquire lock on file '${path}': ${missing ? "the program 'flock' is not on PATH" : result.error.message}`,
      {
        path,
        cause: result.error,
        ...(missing ? { hint: "Install util-linux or busybox, which bring flock." } : {}),
      },
    );
  }
  if (result.status === 0) return;
  if (result.status === 1) {
    const holder = findLockHolder(path);
    throw fail("lockAcquire", `unable to acquire lock on file '${path}': Resource temporarily unavailable`, {
      path,
      hint: [
        "is another pgBackRest process running?",
        ...(holder === null ? [] : [`The file names process ${holder.pid} as the holder.`]),
      ],
    });
  }
  const reason =
    result.status === null
      ? `flock was ended by ${result.signal}`
      : `flock ended with ${result.status}: ${String(result.stderr).trim()}`;
  throw fail("lockAcquire", `unable to acquire lock on file '${path}': ${reason}`, { path });
}

function isNamed(fd: number, directory: TrustedDirectory, name: string): boolean {
  const named = directory.find(name);
  const opened = fstatSync(fd);
  return named !== null && named.ino === opened.ino && named.dev === opened.dev;
}

function heldLock(fd: number, directory: TrustedDirectory, request: LockRequest): LockFile {
  const name = lockFileName(request.stanza, request.kind, request.repoIndex);
  const path = join(directory.path, name);
  const { execId, pid } = request;
  let heldFd: number | null = fd;
  const write = (content: Record<string, string | number>): void => {
    assert(heldFd !== null, `lock '${path}' was already released`);
    const bytes = Buffer.from(JSON.stringify(content), "utf8");
    try {
      // Written before it is truncated, so that no reader finds an empty file: the text only grows while a lock is
      // held.
      writeSync(heldFd, bytes, 0, bytes.length, 0);
      ftruncateSync(heldFd, bytes.length);
    } catch (error) {
      throw systemError("fileWrite", `write '${path}'`, path, error);
    }
  };
  write({ execId, pid });
  const close = (): void => {
    if (heldFd === null) return;
    closeSync(heldFd);
    directory.close();
    heldFd = null;
  };
  return {
    path,
    fd,
    setProgress: ({ sizeBytes, sizeCompleteBytes }) => {
      const pctCplt = sizeBytes === 0 ? 10_000 : Math.floor((sizeCompleteBytes / sizeBytes) * 10_000);
      write({ execId, pctCplt, pid, sz: sizeBytes, szCplt: sizeCompleteBytes });
    },
    handOver: close,
    release: () => {
      if (heldFd === null) return;
      try {
        // Removed while still locked; otherwise it might be the file that the next holder has just locked.
        if (isNamed(heldFd, directory, name)) unlinkSync(directory.entry(name));
      } catch (error) {
        if (systemCodeOf(error) !== "ENOENT") throw systemError("fileRemove", `remove '${path}'`, path, error);
      } finally {
        close();
      }
    },
  };
}
