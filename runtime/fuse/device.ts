/**
 * A mounted file system in plain Node: /dev/fuse, its mount, and the loop of requests and answers.
 *
 * Root opens the device and mounts it; the process that serves it needs no rights. The mount lives as long as somebody
 * holds the device. Each pending read occupies a thread of Node's pool, so the
 * serving process needs a pool larger than {@link READERS}. It must never touch its own mount synchronously:
 * nobody would answer.
 */
import { spawn } from "node:child_process";
import { closeSync, constants, openSync, read, readlinkSync, writeSync, writevSync } from "../local/nodeFiles";
import type { Context } from "../base/context";
import { fail } from "../base/errors";
import { OPENED_SOURCE } from "../base/mountTable";
import type { LockFile } from "../local/lockFile";
import { systemCodeOf, systemError } from "../local/systemError";
import { answer, answerRead, type FileSystem, READ_REPLY_BYTES_MAX } from "./answerRequest";
import { ERRNO, REQUEST_BYTES_MAX, TRANSFER_BYTES_MAX } from "./kernelProtocol";
import { encodeReply } from "./reply";

const DEVICE = "/dev/fuse";
/** The device in the child that mounts. */
const CHILD_FD = 3;
/** The directory there. */
const CHILD_DIRECTORY_FD = 4;
/** A device that is not mounted yet answers EPERM. */
const MOUNT_POLL_MS = 5;
/** One reads the next request while the other's is answered. */
export const READERS = 2;
/**
 * The kernel checks modes and owners (`default_permissions`), so that other accounts may do only what they may in a
 * plain directory. A hostile repository gets no set-user-ID program, no device and no program at all.
 */
const MOUNT_OPTIONS = [
  `fd=${CHILD_FD}`,
  "rootmode=40000",
  "user_id=0",
  "group_id=0",
  "allow_other",
  "default_permissions",
  `max_read=${TRANSFER_BYTES_MAX}`,
  "nosuid",
  "nodev",
  "noexec",
];

/** The device, not mounted yet. @throws fileOpen without rights, or without FUSE in the kernel */
export function openDevice(): number {
  try {
    return openSync(DEVICE, "r+");
  } catch (error) {
    throw systemError("fileOpen", `open '${DEVICE}'`, DEVICE, error);
  }
}

/** Answers requests of a device that is mounted, or soon will be: until it is unmounted. */
export class FuseDevice {
  /** Rejects when the device fails. */
  readonly ended: Promise<void>;
  readonly #fd: number;
  readonly #files: FileSystem;
  readonly #ctx: Pick<Context, "clock" | "signal">;
  /** Answers to a READ are written before the next one is read. */
  readonly #reply = Buffer.allocUnsafeSlow(READ_REPLY_BYTES_MAX);
  #finish: (error?: unknown) => void = () => {};

  private constructor(fd: number, files: FileSystem, ctx: Pick<Context, "clock" | "signal">) {
    this.#fd = fd;
    this.#ctx = ctx;
    this.#files = files;
    this.ended = new Promise((resolve, reject) => {
      this.#finish = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  static serve(fd: number, files: FileSystem, ctx: Pick<Context, "clock" | "signal">): FuseDevice {
    const device = new FuseDevice(fd, files, ctx);
    for (let reader = 0; reader < READERS; reader++) device.#read(Buffer.allocUnsafeSlow(REQUEST_BYTES_MAX));
    return device;
  }

  #read(buffer: Buffer): void {
    read(this.#fd, buffer, 0, buffer.length, null, (error, sizeBytes) => {
      if (error !== null) {
        const code = systemCodeOf(error);
        if (code === "ENODEV") return this.#finish();
        if (code === "EPERM") return this.#readSoon(buffer);
        // ENOENT: its caller was killed before we read it.
        if (code !== "EINTR" && code !== "EAGAIN" && code !== "ENOENT")
          return this.#finish(systemError("fileRead", `read '${DEVICE}'`, DEVICE, error));
      } else {
        this.#answer(buffer.subarray(0, sizeBytes));
      }
      this.#read(buffer);
    });
  }

  #readSoon(buffer: Buffer): void {
    this.#ctx.clock.sleep(MOUNT_POLL_MS, this.#ctx.signal).then(() => this.#read(buffer), this.#finish);
  }

  #answer(request: Buffer): void {
    const sizeBytes = answerRead(request, this.#files, this.#reply);
    if (sizeBytes === null) return answer(request, this.#files, (reply) => this.#send(reply));
    try {
      writeSync(this.#fd, this.#reply, 0, sizeBytes);
    } catch (error) {
      this.#unsent(error, this.#reply);
    }
  }

  #send(reply: readonly Uint8Array[]): void {
    try {
      writevSync(this.#fd, reply);
    } catch (error) {
      this.#unsent(error, Buffer.from(reply[0] as Uint8Array));
    }
  }

  #unsent(error: unknown, header: Buffer): void {
    const code = systemCodeOf(error);
    // Nobody waits any more.
    if (code === "ENOENT" || code === "ENODEV") return;
    // The kernel refused the answer itself. Its caller must not wait forever.
    const unique = header.readBigUInt64LE(8);
    try {
      writevSync(this.#fd, encodeReply(unique, ERRNO.EIO));
    } catch (again) {
      this.#finish(systemError("fileWrite", `write '${DEVICE}'`, DEVICE, again));
    }
  }
}

/**
 * The descriptor may be another process's too, which serves it. Who may write beside the directory may swap it for a
 * link at any time: root mounts on the directory that it has opened, wherever that is then. mount(8) may end after a
 * killed caller, and holds its lock until then.
 * @throws pathOpen, execute
 */
export async function mountDevice(fd: number, directory: string, lock: Pick<LockFile, "fd">): Promise<void> {
  const directoryFd = openItself(directory);
  try {
    await mount([fd, directoryFd, lock.fd], directory);
  } finally {
    closeSync(directoryFd);
  }
}

/** @throws pathOpen if a link is in its place, or on the way to it */
function openItself(directory: string): number {
  let fd: number;
  try {
    fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    throw systemError("pathOpen", `open path '${directory}'`, directory, error);
  }
  const actual = readlinkSync(`/proc/self/fd/${fd}`);
  if (actual === directory) return fd;
  closeSync(fd);
  throw fail("pathOpen", `'${directory}' leads to '${actual}' now: nothing was mounted`, {
    hint: "Something has put a link on the way to it. Choose a directory in one that only root may write.",
    path: directory,
  });
}

/** `-i`: no helper program of FUSE is needed. `-c`: the path of the descriptor is taken as it is. */
function mount(fds: readonly number[], directory: string): Promise<void> {
  const at = `/proc/self/fd/${CHILD_DIRECTORY_FD}/.`;
  const args = ["-c", "-i", "-t", "fuse", "-o", MOUNT_OPTIONS.join(","), OPENED_SOURCE, at];
  return new Promise((resolve, reject) => {
    const child = spawn("mount", args, { stdio: ["ignore", "ignore", "pipe", ...fds], cwd: "/" });
    let text = "";
    child.stderr?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    child.on("error", (error) =>
      reject(fail("execute", `unable to start 'mount': ${error.message}`, { cause: error })),
    );
    child.on("close", (code) => {
      if (code === 0) return resolve();
      reject(fail("execute", `unable to mount '${directory}': ${text.trim() || `mount ended with ${code}`}`));
    });
  });
}
