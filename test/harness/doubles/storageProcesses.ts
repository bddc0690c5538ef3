/** Storage processes in the test's own process: `serveStorage` at the other end of a channel in memory. */
import { stat } from "node:fs/promises";
import { duplexPair } from "node:stream";
import { systemClock } from "../../../runtime/base/clock";
import type { StorageProcess } from "../../../runtime/storage/process/channel";
import type { Served } from "../../../runtime/storage/process/calls";
import { serveStorage } from "../../../runtime/storage/process/serve";
import type { Storage } from "../../../runtime/storage/storage";

export class StorageProcesses {
  readonly version = "1";
  startedCount = 0;
  killedCount = 0;
  /** The other end of the last one. */
  last: { end(): void } | undefined;
  readonly #open: (served: Served, signal: AbortSignal) => Storage;
  readonly #servedVersion: string;

  constructor(open: (served: Served, signal: AbortSignal) => Storage, servedVersion = "1") {
    this.#open = open;
    this.#servedVersion = servedVersion;
  }

  readonly start = (): StorageProcess => {
    this.startedCount++;
    const [channel, other] = duplexPair();
    this.last = other;
    // As a socket does.
    channel.once("close", () => other.destroy());
    const exited = serveStorage({
      channel: other,
      version: this.#servedVersion,
      clock: systemClock,
      open: this.#open,
      owner: async (path) => (await stat(path)).uid,
    });
    return { channel, exited, kill: () => void this.killedCount++ };
  };

  readonly findStuck = (): number[] => [];
}

/** The storage, some methods of which never answer. */
export function hangingAt(storage: Storage, methods: readonly (keyof Storage)[]): Storage {
  return new Proxy(storage, {
    get: (_, name: keyof Storage) => {
      if (methods.includes(name) && name === "list") return () => ({ [Symbol.asyncIterator]: () => ({ next: hang }) });
      if (methods.includes(name)) return hang;
      const member = storage[name];
      return typeof member === "function" ? member.bind(storage) : member;
    },
  });
}

function hang(): Promise<never> {
  return new Promise(() => {});
}
