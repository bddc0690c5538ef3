/**
 * A folder in memory for the temporary files of tests. Repositories and clusters of a test are synced and removed all the time: on a disk this takes
 * some 40 % of the time of the data tier when the machine has other work too.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { onEnd } from "../parts/process";

const SHARED_MEMORY = "/dev/shm";
const GIB = 1024 ** 3;
/** Four times what two files of the data tier were seen to use at once. */
const SPACE_BYTES = 4 * GIB;
/** The programs of the tests need some too. */
const MEMORY_BYTES = 6 * GIB;
/** Short, since sockets lie below it. The process id tells whose it is. */
const NAME = /^pgb-(\d+)$/;

const ABANDONED_MS = 3_600_000;

/** Null where temporary files stay where they are: there is no such memory, too little, or the user has chosen a place. */
export function makeMemoryFolder(): string | null {
  if (process.env.TMPDIR !== undefined || process.env.PGBACKSTOP_LONG === "1") return null;
  if (!holdsPrograms(readMounts()) || freemem() < MEMORY_BYTES || freeBytes() < SPACE_BYTES) return null;
  removeAbandoned(SHARED_MEMORY);
  const folder = join(SHARED_MEMORY, `pgb-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  // As /tmp: servers run under another account.
  chmodSync(folder, 0o1777);
  onEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** True when the kernel's list of mounts has shared memory in which scripts can be run. */
export function holdsPrograms(mounts: string): boolean {
  const fields = mounts.split("\n").map((line) => line.split(" "));
  const options = fields.findLast(([, path, type]) => path === SHARED_MEMORY && type === "tmpfs")?.[3];
  return options !== undefined && !options.split(",").some((option) => option === "noexec" || option === "ro");
}

/**
 * Removes the folders of runs that were killed: they would keep memory. Not those of the last hour: a container that shares this memory may
 * have processes that are not seen here.
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
