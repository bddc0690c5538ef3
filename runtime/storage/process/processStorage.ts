/**
 * A directory that may stop answering, as a storage: every system call on it happens in a process of its own.
 *
 * A thread that waits for a dead file server cannot be ended, and a process with such a thread cannot either. Node has
 * four threads for all files of a process, so one dead mount would take every repository's. So the calls are made by a
 * child, the storage process, and only it is lost. It is started by the first call and ends with the command, or when
 * another mount has taken the place. If it does not answer a call within `io-timeout`, it is killed and not waited for,
 * and the repository's calls fail immediately for as long again.
 *
 * It costs a start (some 40 ms of processor time and 45 MiB), so directories on local disks are used directly
 * (storage/open.ts).
 */
import { type ByteStream, streamOf } from "../../base/bytes";
import type { Clock } from "../../base/clock";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { checkDirectoryPath, checkPath } from "../paths";
import { NAME_SIZE_BYTES, Pace } from "../ioLimits";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Space,
  Storage,
  StorageFact,
  StorageFeatures,
} from "../storage";
import { type Call, CHUNK_SIZE_BYTES, type PlainMethod, type Served } from "./calls";
import { Channel, type Result, type StorageProcess } from "./channel";
import type { Mount } from "./mounts";
import { findStuck, processNameOf } from "./stuck";

export interface ProcessStorageDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly ioTimeoutMs: number;
  readonly version: string;
  /** Starts a process that runs `serveStorage`, and shows `name` to the kernel. */
  start(name: string): StorageProcess;
  /** Default {@link findStuck}. */
  findStuck?(name: string): readonly number[];
}

/** Chunks on their way: one is written while the next one is made. */
const CHUNKS_SENT = 2;
/** Processes that hang in the same directory: each holds some 45 MiB. */
const STUCK_MAX = 3;

export class ProcessStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures;
  readonly hardLink?: (path: string, existing: string) => Promise<void>;
  readonly #served: Served;
  readonly #mount: Mount;
  readonly #deps: ProcessStorageDeps;
  #channel: Channel | undefined;
  /** Calls and transfers that have not ended. */
  #running = 0;
  #hung: { readonly doing: string; readonly untilMs: number } | undefined;

  constructor(served: Served, mount: Mount, deps: ProcessStorageDeps) {
    this.name = served.root;
    this.features = { directories: true, symlinks: served.symlinks };
    this.#served = served;
    this.#mount = mount;
    this.#deps = deps;
    if (served.hardLinks) this.hardLink = (path, existing) => this.#run("hardLink", [path, existing]);
    deps.signal.addEventListener("abort", this.#abort, { once: true });
  }

  async stat(path: string): Promise<ObjectInfo | null> {
    checkDirectoryPath(path);
    return this.#run("stat", [path]);
  }

  async *list(path: string, options: ListOptions = {}): AsyncIterable<ObjectInfo> {
    checkDirectoryPath(path);
    const transfer = await this.#begin({ do: "list", args: [path, options] });
    for await (const { value } of transfer) yield* value as ObjectInfo[];
  }

  async read(path: string, range?: ByteRange): Promise<ByteStream> {
    checkPath(path);
    const transfer = await this.#begin({ do: "read", args: [path, range ?? null] });
    return (async function* () {
      for await (const { body } of transfer) yield body;
    })();
  }

  async put(path: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> {
    checkPath(path);
    // A large file in one call would be one long wait.
    if (bytes.length > CHUNK_SIZE_BYTES) await this.putStream(path, () => streamOf(bytes), options);
    else await this.#run("put", [path, options], bytes);
  }

  async create(path: string, bytes: Uint8Array): Promise<boolean> {
    checkPath(path);
    return this.#run("create", [path], bytes);
  }

  async putStream(path: string, openSource: () => ByteStream, options: PutOptions = {}): Promise<void> {
    checkPath(path);
    await this.#during(() => this.#send(path, openSource, options));
  }

  async #send(path: string, openSource: () => ByteStream, options: PutOptions): Promise<void> {
    const channel = this.#connect();
    const { id: transfer } = await channel.call({ do: "putStream", args: [path, options] });
    const sent: Promise<BackupError | null>[] = [];
    const settle = async (): Promise<void> => {
      const error = await sent.shift();
      if (error !== null && error !== undefined) throw error;
    };
    try {
      for await (const chunk of openSource()) {
        for (let offset = 0; offset < chunk.length; offset += CHUNK_SIZE_BYTES) {
          if (sent.length >= CHUNKS_SENT) await settle();
          // A copy, because the source may use its buffer again.
          const part = Buffer.from(chunk.subarray(offset, offset + CHUNK_SIZE_BYTES));
          sent.push(errorOf(channel.call({ do: "chunk", transfer }, part)));
        }
      }
      while (sent.length > 0) await settle();
    } catch (error) {
      await channel.call({ do: "stop", transfer }).catch(() => undefined);
      throw error;
    }
    await channel.call({ do: "end", transfer });
  }

  async remove(path: string): Promise<void> {
    checkPath(path);
    return this.#run("remove", [path]);
  }

  async removePath(path: string): Promise<void> {
    checkPath(path);
    return this.#run("removePath", [path]);
  }

  async removeDirectory(path: string): Promise<void> {
    checkPath(path);
    return this.#run("removeDirectory", [path]);
  }

  async makePath(path: string): Promise<void> {
    checkDirectoryPath(path);
    return this.#run("makePath", [path]);
  }

  async syncPath(path: string): Promise<void> {
    checkDirectoryPath(path);
    return this.#run("syncPath", [path]);
  }

  async link(path: string, target: string): Promise<void> {
    checkPath(path);
    return this.#run("link", [path, target]);
  }

  space(): Promise<Space | null> {
    return this.#run("space", []);
  }

  probe(): Promise<StorageFact[]> {
    return this.#run("probe", []);
  }

  /** User id of the directory's owner. */
  async owner(): Promise<number> {
    return (await this.#call({ do: "owner" })).value as number;
  }

  /** True while nothing runs that {@link close} would end. */
  get isIdle(): boolean {
    return this.#running === 0;
  }

  async close(): Promise<void> {
    this.#deps.signal.removeEventListener("abort", this.#abort);
    await this.#channel?.close(fail("term", `'${this.name}' was closed`));
  }

  readonly #abort = (): void => this.#channel?.end(this.#terminated());

  #terminated(): BackupError {
    return fail("term", `terminated while working on '${this.name}'`, { path: this.name });
  }

  async #run<T>(method: PlainMethod | "removePath", args: readonly unknown[], body?: Uint8Array): Promise<T> {
    return (await this.#call({ do: method, args }, body)).value as T;
  }

  async #call(call: Call, body?: Uint8Array): Promise<Result> {
    return this.#during(async () => this.#connect().call(call, body));
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await work();
    } finally {
      this.#running--;
    }
  }

  /** The parts of a transfer. The next one is on its way while the consumer works. */
  async #begin(call: Extract<Call, { readonly args: unknown }>): Promise<AsyncIterable<Result>> {
    const channel = this.#connect();
    const { id: transfer } = await this.#during(() => channel.call(call));
    const ended = (): void => void this.#running--;
    this.#running++;
    const { clock, ioTimeoutMs } = this.#deps;
    const pace = new Pace(clock, ioTimeoutMs, (fact) => this.#notAnswering(fact));
    return (async function* () {
      let isOver = false;
      const ask = (): Promise<Result | BackupError> =>
        channel.call({ do: "next", transfer }).catch((error: unknown) => toBackupError(error));
      try {
        let pending = ask();
        for (;;) {
          pace.await();
          const part = await pending;
          isOver = !("id" in part) || part.value === null;
          if (!("id" in part)) throw part;
          if (isOver) return;
          const names = Array.isArray(part.value) ? part.value.length : 0;
          pace.arrived(part.body.length + names * NAME_SIZE_BYTES);
          pending = ask();
          yield part;
        }
      } finally {
        ended();
        if (!isOver) void channel.call({ do: "stop", transfer }).catch(() => undefined);
      }
    })();
  }

  /** @throws hostConnect (49) while the directory does not answer */
  #connect(): Channel {
    const { clock, ioTimeoutMs, signal, version } = this.#deps;
    if (signal.aborted) throw this.#terminated();
    if (this.#channel?.isDead === false) return this.#channel;
    if (this.#hung !== undefined && clock.monotonicMs() < this.#hung.untilMs) throw this.#hungError(this.#hung.doing);
    const channel = new Channel(this.#start(), {
      root: this.name,
      clock,
      ioTimeoutMs,
      hung: (doing) => {
        this.#hung = { doing, untilMs: clock.monotonicMs() + ioTimeoutMs };
        return this.#hungError(doing);
      },
    });
    channel
      .call({ do: "open", version, served: this.#served })
      .catch((error: unknown) => channel.end(toBackupError(error)));
    this.#channel = channel;
    return channel;
  }

  #start(): StorageProcess {
    const name = processNameOf(this.name, this.#mount);
    const stuck = (this.#deps.findStuck ?? findStuck)(name);
    if (stuck.length < STUCK_MAX) return this.#deps.start(name);
    throw this.#notAnswering(`killed processes still wait for it: ${stuck.join(", ")}`);
  }

  #hungError(doing: string): BackupError {
    return this.#notAnswering(`no answer to ${doing} for ${this.#deps.ioTimeoutMs}ms`);
  }

  #notAnswering(fact: string): BackupError {
    const { path, type } = this.#mount;
    return fail("hostConnect", `'${this.name}' does not answer: ${fact}`, {
      path: this.name,
      hint: `Check what serves the ${type} mount '${path}'. If it is only slow, raise io-timeout.`,
      retryable: true,
    });
  }
}

async function errorOf(work: Promise<unknown>): Promise<BackupError | null> {
  try {
    await work;
    return null;
  } catch (error) {
    return toBackupError(error);
  }
}
