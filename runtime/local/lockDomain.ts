/**
 * Which processes can look whether another one has ended. The holder of the lock files knows only that nobody else
 * holds these files: someone may have removed them under a living process.
 *
 * A domain consists of the file `pgbackstop.domain` in the lock path with random text, the boot of the machine, the
 * file's device and inode, and the process' namespaces. So a lock path that was copied with an image, that several
 * machines mount, or that containers share whose process numbers differ, is not one domain. A process' text also has
 * its number and its start, because numbers are reused, and its lock in the spool (holderLock.ts), which shows its end
 * to containers with other numbers: a restarted sidecar is the same host.
 */
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "./nodeFiles";
import { join } from "node:path";
import { sha1Hex } from "../base/hash";
import type { Random } from "../base/random";
import type { HolderLock } from "./holderLock";
import { bootId, isAliveSince, statOf } from "./lockState";
import { isMissing, systemCodeOf } from "./systemError";

export interface Domain {
  /** `<32 hexadecimal digits>-<process number>-<its start, in ticks since the boot>[+<its lock>]` */
  readonly text: string;
  /** What this process knows about the one that wrote the text. It counts itself as ended: it has no other lease. */
  stateOf(text: string): "alive" | "ended" | "unknown";
}

const FILE = "pgbackstop.domain";
const ID_SIZE_BYTES = 16;
const ID = /^[0-9a-f]{32}$/;
const TEXT = /^(([0-9a-f]{32})-(\d+)-(\d+))(?:\+(.+))?$/;
/** Process numbers and starts are comparable only within one of each. Old kernels have no namespace of times. */
const NAMESPACES = ["pid", "time"];
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Null when nothing proves that another process has ended: the machine has no boot id, `/proc` shows other numbers than
 * this process', or another account may write the file. Creates a missing file. `lock` is this process' own.
 */
export function lockDomain(
  lockPath: string,
  self: { readonly uid: number; readonly pid: number },
  random: Random,
  lock: HolderLock | null = null,
): Domain | null {
  const path = join(lockPath, FILE);
  try {
    const boot = bootId();
    const stat = statOf("self");
    const id = readId(path, self.uid) ?? make(path, self.uid, random);
    if (id === null || boot === "" || stat?.pid !== self.pid) return null;
    const shared = sha1Hex([id, boot, ...NAMESPACES.map(namespaceOf)].join(" ")).slice(0, 2 * ID_SIZE_BYTES);
    return domainOf(shared, `${shared}-${stat.pid}-${stat.startTicks}`, lock);
  } catch {
    // A lease works without a domain too: a dead holder is then detected by its silence.
    return null;
  }
}

function domainOf(shared: string, own: string, lock: HolderLock | null): Domain {
  const stateOf: Domain["stateOf"] = (other) => {
    const [, process, theirs, pid, startTicks, theirLock = ""] = TEXT.exec(other) ?? [];
    if (process === own) return "ended";
    if (theirs === shared) return isAliveSince(Number(pid), Number(startTicks)) ? "alive" : "ended";
    return lock?.stateOf(theirLock) ?? "unknown";
  };
  return { text: lock === null ? own : `${own}+${lock.text}`, stateOf };
}

function namespaceOf(kind: string): string {
  try {
    return readlinkSync(`/proc/self/ns/${kind}`);
  } catch (error) {
    if (isMissing(error)) return "";
    throw error;
  }
}

/** Content, device and inode of the file; null when it is missing. @throws Error when it is not trusted */
function readId(path: string, uid: number): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const info = fstatSync(fd, { bigint: true });
    const id = info.isFile() ? readFileSync(fd, "utf8").trim() : "";
    if (info.uid !== BigInt(uid) || (Number(info.mode) & WRITABLE_BY_OTHERS) !== 0 || !ID.test(id)) {
      throw new Error(`'${path}' is not this account's own`);
    }
    return `${id} ${info.dev} ${info.ino}`;
  } finally {
    closeSync(fd);
  }
}

/** Created atomically: another process may read it at the same time. */
function make(path: string, uid: number, random: Random): string | null {
  const id = Buffer.from(random.bytes(ID_SIZE_BYTES)).toString("hex");
  const temporary = `${path}.${id}`;
  try {
    writeFileSync(temporary, `${id}\n`, { flag: "wx", mode: 0o600 });
    linkSync(temporary, path);
  } catch (error) {
    if (systemCodeOf(error) !== "EEXIST") throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  return readId(path, uid);
}
