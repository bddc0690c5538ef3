/** Gives space of a file back to its file system. Node cannot, but fallocate(1) can, on an inherited descriptor. */
import { spawn } from "node:child_process";
import { fail, toBackupError } from "../base/errors";
import type { LockFile } from "./lockFile";
import { closeSync, fstatSync, openSync, rmSync, unlinkSync, writeSync } from "./nodeFiles";

interface ByteRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

export interface Holes {
  readonly fd: number;
  readonly ranges: readonly ByteRange[];
}

interface Hole extends ByteRange {
  readonly fd: number;
}

/** Descriptor numbers of the child: its lock, and its first file. */
const LOCK_FD = 3;
const FILE_FD = LOCK_FD + 1;
/** Shell for all ranges: a process of this program for each range would take some milliseconds more. */
const LOOP =
  'while [ $# -gt 0 ]; do fallocate --punch-hole --offset "$2" --length "$3" "/proc/self/fd/$1" || exit; shift 3; done';
const RANGES_AT_ONCE = 500;

/**
 * The ranges read as zeros, the files keep their size. Nothing may be written there until it resolves. The shell may
 * end after a killed caller, and holds its lock until then: a hole must not meet the next holder's pages.
 * @throws fileWrite, execute
 */
export async function punchHoles(files: readonly Holes[], lock?: Pick<LockFile, "fd">): Promise<void> {
  const holes = files.flatMap(({ fd, ranges }) => ranges.map((range): Hole => ({ fd, ...range })));
  for (let first = 0; first < holes.length; first += RANGES_AT_ONCE)
    await punch(holes.slice(first, first + RANGES_AT_ONCE), lock);
}

function punch(holes: readonly Hole[], lock: Pick<LockFile, "fd"> | undefined): Promise<void> {
  const fds = [...new Set(holes.map(({ fd }) => fd))];
  const args = holes.flatMap(({ fd, offsetBytes, sizeBytes }) => [FILE_FD + fds.indexOf(fd), offsetBytes, sizeBytes]);
  return new Promise((resolve, reject) => {
    const child = spawn("sh", ["-c", LOOP, "sh", ...args.map(String)], {
      stdio: ["ignore", "ignore", "pipe", lock?.fd ?? "ignore", ...fds],
      cwd: "/",
    });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.on("error", (error) =>
      reject(fail("execute", `unable to start 'fallocate': ${error.message}`, { cause: error })),
    );
    // Not at its exit: a child of a killed shell still holds the output, and may still punch.
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(fail("fileWrite", `unable to give space back: ${said.trim() || `sh: ${code}`}`));
    });
  });
}

const PROBE_BYTES = 64 * 1024;

/** @throws featureNotSupported if files of this directory cannot have holes */
export async function requireHoles(directory: string): Promise<void> {
  const path = `${directory}/holes`;
  // Of a process that was killed before it could remove the name.
  rmSync(path, { force: true });
  const fd = openSync(path, "wx+", 0o600);
  try {
    unlinkSync(path);
    writeSync(fd, Buffer.alloc(2 * PROBE_BYTES, 1));
    const before = fstatSync(fd).blocks;
    await punchHoles([{ fd, ranges: [{ offsetBytes: 0, sizeBytes: PROBE_BYTES }] }]);
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
