/**
 * A folder in memory for the tests' temporary files. Tests sync and remove repositories and clusters all the time; on
 * disk that takes some 40 % of the data tier's time on a busy machine.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { onEnd } from "../parts/process";

const SHARED_MEMORY = "/dev/shm";
const GIB = 1024 ** 3;
/** Four times the observed peak of two data-tier files. */
const SPACE_BYTES = 4 * GIB;
/** For the tests' programs. */
const MEMORY_BYTES = 6 * GIB;
/** Short, because sockets are below it. The process id names the owner. */
const NAME = /^pgb-(\d+)$/;

const ABANDONED_MS = 3_600_000;

/** Null to keep the default: no such memory, too little of it, or the user has chosen a folder. */
export function makeMemoryFolder(): string | null {
  if (process.env.TMPDIR !== undefined) return null;
  if (!holdsPrograms(readMounts()) || freemem() < MEMORY_BYTES || freeBytes() < SPACE_BYTES) return null;
  removeAbandoned(SHARED_MEMORY);
  const folder = join(SHARED_MEMORY, `pgb-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  // Like /tmp: servers run as another account.
  chmodSync(folder, 0o1777);
  onEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** True if the kernel's mounts have shared memory that allows execution. */
export function holdsPrograms(mounts: string): boolean {
  const fields = mounts.split("\n").map((line) => line.split(" "));
  const options = fields.findLast(([, path, type]) => path === SHARED_MEMORY && type === "tmpfs")?.[3];
  return options !== undefined && !options.split(",").some((option) => option === "noexec" || option === "ro");
}

/**
 * Removes folders of killed runs, which occupy memory. It skips the last hour's: their processes may run in another
 * container that shares this memory.
 */
export function removeAbandoned(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = NAME.exec(name)?.[1];
    const path = join(parent, name);
    if (pid === undefined || isRunning(Number(pid)) || Date.now() - statSync(path).mtimeMs < ABANDONED_MS) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

function readMounts(): string {
  try {
    return readFileSync("/proc/mounts", "utf8");
  } catch {
    return "";
  }
}

function freeBytes(): number {
  const { bavail, bsize } = statfsSync(SHARED_MEMORY);
  return bavail * bsize;
}
