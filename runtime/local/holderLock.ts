/**
 * Shows that a process has ended where process numbers show nothing: a restarted container has numbers of its own.
 *
 * Each process holds an exclusive flock on a file of its own in the spool as long as it lives, and only the kernel
 * drops it. If another process can lock the file, its holder has ended, as long as both mean one file: in the same boot
 * of the machine the same name, device and inode. A copy of the volume is another device, because the holder's open
 * file keeps its own device in use. A file server proves nothing: it may lose a lock that its holder still counts on.
 */
import {
  closeSync,
  constants,
  hasOwnClock,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from "./nodeFiles";
import { join } from "node:path";
import { sha1Hex } from "../base/hash";
import type { Random } from "../base/random";
import { isFlocked, tryFlock } from "./lockFile";
import { bootId } from "./lockState";
import { systemCodeOf } from "./systemError";

export interface HolderLock {
  /** `<32 hexadecimal digits of boot and device>-<32 of the file's name>-<its inode>` */
  readonly text: string;
  stateOf(text: string): "alive" | "ended" | "unknown";
  /** Drops the lock: the process writes nothing more. */
  close(): void;
}

const DIRECTORY = "pgbackstop.holders";
const DIGITS = 32;
const TEXT = /^([0-9a-f]{32})-([0-9a-f]{32})-(\d+)$/;
/** Files of processes that have ended, kept for those that ask about them. */
const FILES_KEPT = 64;
const WRITABLE_BY_OTHERS = 0o022;

/** Null where a lock shows nothing, or cannot be held. */
export function openHolderLock(
  spoolPath: string,
  uid: number,
  random: Random,
  boot: () => string = bootId,
): HolderLock | null {
  const directory = join(spoolPath, DIRECTORY);
  let fd: number | null = null;
  try {
    makeDirectory(spoolPath, directory, uid);
    // No file server's: this kernel has the locks.
    if (!isOwnDirectory(directory, uid) || !hasOwnClock(directory)) return null;
    removeOld(directory);
    const name = Buffer.from(random.bytes(DIGITS / 2)).toString("hex");
    const path = join(directory, name);
    fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    const { dev, ino } = statSync(path, { bigint: true });
    if (!tryFlock(fd)) throw new Error(`'${path}' is locked`);
    const device = sha1Hex(`${boot()} ${dev}`).slice(0, DIGITS);
    const held = fd;
    return {
      text: `${device}-${name}-${ino}`,
      stateOf: (text) => stateOf(text, directory, device, dev),
      close: () => closeSync(held),
    };
  } catch {
    if (fd !== null) closeSync(fd);
    return null;
  }
}

function stateOf(text: string, directory: string, device: string, dev: bigint): ReturnType<HolderLock["stateOf"]> {
  const [, theirs, name = "", ino] = TEXT.exec(text) ?? [];
  if (theirs !== device) return "unknown";
  const path = join(directory, name);
  const isHeld = isFlocked(path);
  const info = statSync(path, { bigint: true, throwIfNoEntry: false });
  // Removed by anyone: its holder may live.
  if (isHeld === null || info === undefined || info.dev !== dev || String(info.ino) !== ino) return "unknown";
  return isHeld ? "alive" : "ended";
}

/** Root makes no spool: it would be root's. */
function makeDirectory(spoolPath: string, directory: string, uid: number): void {
  if (uid !== 0) mkdirSync(spoolPath, { recursive: true, mode: 0o750 });
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw error;
  }
}

function isOwnDirectory(directory: string, uid: number): boolean {
  const info = lstatSync(directory);
  return info.isDirectory() && info.uid === uid && (info.mode & WRITABLE_BY_OTHERS) === 0;
}

function removeOld(directory: string): void {
  const paths = readdirSync(directory).map((name) => join(directory, name));
  if (paths.length < FILES_KEPT) return;
  const ages = new Map(paths.map((path) => [path, statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0]));
  const oldest = paths.sort((left, right) => (ages.get(left) ?? 0) - (ages.get(right) ?? 0));
  let excess = paths.length - FILES_KEPT + 1;
  for (const path of oldest) {
    if (excess === 0) return;
    if (isFlocked(path) !== false) continue;
    rmSync(path, { force: true });
    excess--;
  }
}
