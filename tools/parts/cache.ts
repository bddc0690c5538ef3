/**
 * Folders: the project's own, and the cache of parts that are fetched or built once (Node, PostgreSQL, Pulumi, stock
 * pgBackRest).
 *
 * A cache entry is made in a scratch folder next to its path and renamed when complete, under a lock. So every entry is
 * whole, and two concurrent runs do the work once.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { sleep } from "./process";
import { isReachable, isRoot, SHARED_FOLDER, serverUser } from "./users";

export function projectFolder(): string {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "pgbackstop")
      return folder;
    if (folder === dirname(folder)) throw new Error(`no package.json of pgbackstop above ${__dirname}`);
  }
}

/** What builds and test runs of this clone leave: `node_modules/.cache/pgbackstop`; made when missing. */
export function cloneCacheFolder(): string {
  const folder = join(projectFolder(), "node_modules", ".cache", "pgbackstop");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** `$PGBACKSTOP_CACHE`, else `$XDG_CACHE_HOME/pgbackstop`, else `~/.cache/pgbackstop`; made when missing. */
export function cacheFolder(): string {
  const folder =
    process.env.PGBACKSTOP_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pgbackstop");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * The cache for programs that a server's account also runs: the same folder if that account can reach it, else (root
 * with a closed home) one of the machine's.
 */
export function sharedCacheFolder(): string {
  const folder = cacheFolder();
  if (!isRoot() || isReachable(folder, serverUser())) return folder;
  mkdirSync(SHARED_FOLDER, { recursive: true, mode: 0o755 });
  return SHARED_FOLDER;
}

/**
 * The folder, made by `make` if missing. `make` fills an empty scratch folder, which is renamed only on success, so its
 * content must not contain the scratch path.
 */
export async function cached(folder: string, make: (scratchFolder: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return folder;
    const scratch = mkdtempSync(`${folder}.new-`);
    try {
      chmodSync(scratch, 0o755);
      await make(scratch);
      renameSync(scratch, folder);
    } catch (error) {
      rmSync(scratch, { recursive: true, force: true });
      throw error;
    }
    return folder;
  });
}

/** Runs `work` under an exclusive lock file; takes over a lock whose owner is gone. Waits at most an hour. */
export async function withLock<T>(lockFile: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(lockFile), { recursive: true });
  for (let turn = 0; !takeLock(lockFile); turn += 1) {
    if (turn > 18_000) throw new Error(`${lockFile}: still held after an hour, remove it when nothing is running`);
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    rmSync(lockFile, { force: true });
  }
}

function takeLock(lockFile: string): boolean {
  try {
    writeFileSync(lockFile, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  if (!isAbandoned(lockFile)) return false;
  // Two processes may find the same abandoned lock: only one of them can rename it.
  const aside = `${lockFile}.${process.pid}`;
  try {
    renameSync(lockFile, aside);
    rmSync(aside, { force: true });
  } catch {
    // Another process was faster.
  }
  return false;
}

function isAbandoned(lockFile: string): boolean {
  try {
    const pid = Number(readFileSync(lockFile, "utf8"));
    if (!Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
