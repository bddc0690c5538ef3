/** A directory behind a file system that can stop answering. Needs root and /dev/fuse. */
import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";

/** What a request does; `all` is each of them. */
export type HangingCall =
  | "all"
  | "create"
  | "fsync"
  | "lookup"
  | "mkdir"
  | "open"
  | "read"
  | "readdir"
  | "rename"
  | "unlink"
  | "write";

/** Null where a mount can be made; else what is missing. */
export function mountObstacle(): string | null {
  if (process.geteuid?.() !== 0) return "mounting needs root";
  try {
    accessSync("/dev/fuse", constants.R_OK | constants.W_OK);
    return null;
  } catch {
    return "/dev/fuse cannot be opened";
  }
}

export class HungMount {
  readonly #server: ChildProcess;
  readonly #mountPoint: string;

  private constructor(server: ChildProcess, mountPoint: string) {
    this.#server = server;
    this.#mountPoint = mountPoint;
  }

  /** Shows `directory` at `mountPoint`. */
  static async create(directory: string, mountPoint: string): Promise<HungMount> {
    const server = fork(join(__dirname, "fuseServer.mjs"), [directory, mountPoint], { execArgv: [] });
    const [mounted] = (await Promise.race([once(server, "message"), once(server, "exit")])) as unknown[];
    if (mounted !== "mounted") throw new Error(`'${mountPoint}' could not be mounted`);
    return new HungMount(server, mountPoint);
  }

  async hang(...calls: readonly HangingCall[]): Promise<void> {
    const done = once(this.#server, "message");
    this.#server.send({ hang: calls });
    await done;
  }

  /** Answers what waits. */
  async answer(): Promise<void> {
    await this.hang();
  }

  /** The end of its server fails every call that waits. */
  async remove(): Promise<void> {
    if (this.#server.exitCode === null) {
      const ended = once(this.#server, "exit");
      this.#server.kill("SIGKILL");
      await ended;
    }
    spawnSync("umount", ["--lazy", this.#mountPoint]);
  }
}
