/**
 * Which processes share lock files. Two of one domain cannot hold the same lock, so the holder knows that the other one
 * is dead.
 *
 * A domain consists of the file `pgbackstop.domain` in the lock path with random text, the boot of the machine, and the
 * file's device and inode. So a lock path that was copied with an image, or that several machines mount, is not one
 * domain.
 */
import { closeSync, constants, fstatSync, linkSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha1Hex } from "../base/hash";
import type { Random } from "../base/random";
import { isMissing, systemCodeOf } from "./systemError";

const FILE = "pgbackstop.domain";
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";
const ID_SIZE_BYTES = 16;
const ID = /^[0-9a-f]{32}$/;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * 32 hexadecimal digits. Null when nothing proves that two processes share lock files: the machine has no boot id, or
 * another account may write the file. Creates a missing file.
 */
export function lockDomain(lockPath: string, self: { readonly uid: number }, random: Random): string | null {
  const path = join(lockPath, FILE);
  try {
    const bootId = readFileSync(BOOT_ID_FILE, "utf8").trim();
    const id = readId(path, self.uid) ?? make(path, self.uid, random);
    return id === null || bootId === "" ? null : sha1Hex(`${id} ${bootId}`).slice(0, 2 * ID_SIZE_BYTES);
  } catch {
    // A lease works without a domain too: a dead holder is then detected by its silence.
    return null;
  }
}

/** Content, device and inode of the file; null when it is missing. @throws Error when it is not trusted */
function readId(path: string, uid: number): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const info = fstatSync(fd, { bigint: true });
    const id = readFileSync(fd, "utf8").trim();
    if (!info.isFile() || info.uid !== BigInt(uid) || (Number(info.mode) & WRITABLE_BY_OTHERS) !== 0 || !ID.test(id)) {
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
