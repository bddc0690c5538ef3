/** Starts this program as a storage process (storage/process). */
import { spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import type { StorageProcesses } from "../storage/open";
import { VERSION } from "../version";

/** First argument of a storage process; its name follows. */
export const STORAGE_PROCESS = "storage-process";
export const CHANNEL_FD = 3;

/** Nothing of this process but the channel: a storage process that hangs must hold no lock, pipe or secret of it. */
export function storageProcesses(node: string, programFile: string): StorageProcesses {
  return {
    version: VERSION,
    start: (name) => {
      const child = spawn(node, [programFile, STORAGE_PROCESS, name], {
        cwd: "/",
        env: {},
        stdio: ["ignore", "ignore", "ignore", "pipe"],
      });
      child.unref();
      // The channel ends too.
      child.on("error", () => {});
      const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      return { channel: child.stdio[CHANNEL_FD] as Duplex, exited, kill: () => void child.kill("SIGKILL") };
    },
  };
}
