/** Gives space of a file back to its file system. Node cannot, but fallocate(1) can, on an inherited descriptor. */
import { spawnSync } from "node:child_process";
import { fail, toBackupError } from "../base/errors";
import type { LockFile } from "./lockFile";
import { closeSync, fstatSync, openSync, rmSync, unlinkSync, writeSync } from "./nodeFiles";

interface ByteRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** The descriptor number that fallocate sees. */
const CHILD_FD = 3;
const TIMEOUT_MS = 60_000;
/** One shell for all ranges: a process for each would take some milliseconds more. */
const LOOP = `while [ $# -gt 0 ]; do fallocate --punch-hole --offset "$1" --length "$2" /proc/self/fd/${CHILD_FD} || exit; shift 2; done`;
const RANGES_AT_ONCE = 500;

/**
 * The ranges read as zeros, the file keeps its size. The shell may end after a killed caller, and holds its lock until
 * then: a hole must not meet the next holder's pages. @throws fileWrite, execute
 */
export function punchHoles(fd: number, ranges: readonly ByteRange[], lock?: Pick<LockFile, "fd">): void {
  for (let first = 0; first < ranges.length; first += RANGES_AT_ONCE) {
    const args = ranges
      .slice(first, first + RANGES_AT_ONCE)
      .flatMap(({ offsetBytes, sizeBytes }) => [String(offsetBytes), String(sizeBytes)]);
    const { error, status, stderr } = spawnSync("sh", ["-c", LOOP, "sh", ...args], {
      stdio: ["ignore", "ignore", "pipe", fd, ...(lock === undefined ? [] : [lock.fd])],
      cwd: "/",
      timeout: TIMEOUT_MS,
    });
    if (error !== undefined) throw fail("execute", `unable to start 'fallocate': ${error.message}`, { cause: error });
    if (status !== 0) throw fail("fileWrite", `unable to give space back: ${String(stderr).trim() || `sh: ${status}`}`);
  }
}

const PROBE_BYTES = 64 * 1024;

/** @throws featureNotSupported if files of this directory cannot have holes */
export function requireHoles(directory: string): void {
  const path = `${directory}/holes`;
  // Of a process that was killed before it could remove the name.
  rmSync(path, { force: true });
  const fd = openSync(path, "wx+", 0o600);
  try {
    unlinkSync(path);
    writeSync(fd, Buffer.alloc(2 * PROBE_BYTES, 1));
    const before = fstatSync(fd).blocks;
    punchHoles(fd, [{ offsetBytes: 0, sizeBytes: PROBE_BYTES }]);
    if (fstatSync(fd).blocks >= before) throw fail("fileWrite", "its files keep their space");
  } catch (error) {
    throw fail(
      "featureNotSupported",
      `files in '${directory}' cannot give space back: ${toBackupError(error).message}`,
      {
        hint: "Fetched pages cannot be limited there: omit --cache-max. It needs fallocate of util-linux and a file system such as ext4, xfs, btrfs or tmpfs.",
        cause: error,
      },
    );
  } finally {
    closeSync(fd);
  }
}
