/** A storage process's end of the channel: runs one driver's calls until the other end closes. */
import type { Duplex } from "node:stream";
import { EMPTY_BYTES } from "../../base/bytes";
import type { Clock } from "../../base/clock";
import { assert, type BackupError, fail, toBackupError } from "../../base/errors";
import { requireOneBundle } from "../../base/oneBundle";
import { pack } from "../../base/transfer";
import type { ByteRange, ListOptions, ObjectInfo, PutOptions, Storage } from "../storage";
import { type Answer, type PlainMethod, type Request, type Served } from "./calls";
import { encodeFrame, FrameReader } from "./frames";

export interface ServeOptions {
  readonly channel: Duplex;
  /** Both ends must come from the same bundle. */
  readonly version: string;
  readonly clock: Clock;
  open(served: Served, signal: AbortSignal): Storage;
  /** User id of a directory's owner. */
  owner(path: string): Promise<number>;
}

interface Value {
  readonly value?: unknown;
  readonly body?: Uint8Array;
}

/** How long calls may finish, and remove their temporary files, when the other end has closed. */
const END_MS = 1000;
/** A listing answers with what it has by then: the other end sees progress. */
const BATCH_MS = 500;
const BATCH_ENTRIES = 512;
const REMOVED_TOGETHER = 64;
const BYTES_METHODS: ReadonlySet<string> = new Set(["put", "create"]);

/** Resolves when the channel has closed and the calls have ended, or could have. */
export async function serveStorage(options: ServeOptions): Promise<void> {
  const { channel, clock } = options;
  const stop = new AbortController();
  const running = new Set<Promise<void>>();
  const server = new StorageServer(options, stop.signal);
  const send = (answer: Answer, body?: Uint8Array): void => {
    if (!channel.writable) return;
    for (const part of encodeFrame(answer, body)) channel.write(part);
  };
  const frames = new FrameReader();
  channel.on("data", (piece: Uint8Array) => {
    for (const { head, body } of frames.read(piece)) {
      const request = head as Request;
      const { id } = request;
      const work = server
        .answer(request, body, () => send({ id, progress: true }))
        .then(
          ({ value, body: bytes }) => send({ id, value }, bytes),
          (error: unknown) => send({ id, error: pack(toBackupError(error)) }),
        );
      running.add(work);
      void work.finally(() => running.delete(work));
    }
  });
  await new Promise<void>((resolve) => {
    for (const event of ["end", "close", "error"]) channel.on(event, () => resolve());
  });
  stop.abort(fail("term", "the command has ended"));
  server.close();
  const done = new AbortController();
  await Promise.race([Promise.all(running), clock.sleep(END_MS, done.signal).catch(() => undefined)]);
  done.abort();
  channel.destroy();
}

class StorageServer {
  readonly #options: ServeOptions;
  readonly #signal: AbortSignal;
  readonly #reads = new Map<number, AsyncIterator<Uint8Array>>();
  readonly #lists = new Map<number, AsyncIterator<ObjectInfo>>();
  readonly #puts = new Map<number, IncomingStream>();
  #opened: { readonly storage: Storage; readonly root: string } | undefined;

  constructor(options: ServeOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async answer(request: Request, body: Uint8Array, progress: () => void): Promise<Value> {
    const { id } = request;
    switch (request.do) {
      case "open":
        return this.#open(request);
      case "owner":
        return { value: await this.#options.owner(this.#root) };
      case "read": {
        const [path, range] = request.args as [string, ByteRange | null];
        const stream = await this.#storage.read(path, range ?? undefined);
        this.#reads.set(id, stream[Symbol.asyncIterator]());
        return {};
      }
      case "list": {
        const [path, listOptions] = request.args as [string, ListOptions];
        this.#lists.set(id, this.#storage.list(path, listOptions)[Symbol.asyncIterator]());
        return {};
      }
      case "putStream": {
        const [path, putOptions] = request.args as [string, PutOptions];
        this.#puts.set(id, new IncomingStream((open) => this.#storage.putStream(path, open, putOptions)));
        return {};
      }
      case "next":
        return this.#next(request.transfer);
      case "chunk":
        await this.#put(request.transfer).add(body);
        return {};
      case "end":
      case "stop":
        await this.#finish(request.transfer, request.do === "end");
        return {};
      case "removePath":
        await this.#removePath(String(request.args[0]), progress);
        return {};
      default:
        return {
          value: await this.#run(
            request.do,
            BYTES_METHODS.has(request.do) ? bytesSecond(request.args, body) : request.args,
          ),
        };
    }
  }

  /** Ends the transfers whose other end is gone. */
  close(): void {
    for (const iterator of [...this.#reads.values(), ...this.#lists.values()])
      void iterator.return?.().catch(() => undefined);
    for (const put of this.#puts.values()) void put.fail(fail("term", "the command has ended")).catch(() => undefined);
  }

  get #storage(): Storage {
    assert(this.#opened !== undefined, "a storage process got a call before its directory");
    return this.#opened.storage;
  }

  get #root(): string {
    return this.#opened?.root ?? "";
  }

  #open({ served, version }: Extract<Request, { readonly do: "open" }>): Value {
    requireOneBundle(version, this.#options.version);
    this.#opened = { storage: this.#options.open(served, this.#signal), root: served.root };
    return {};
  }

  #run(method: PlainMethod, args: readonly unknown[]): Promise<unknown> | undefined {
    const storage = this.#storage;
    // The other end has the types.
    const [path, second, third] = args as readonly [string, never, never];
    switch (method) {
      case "stat":
      case "remove":
      case "makePath":
      case "syncPath":
        return storage[method](path);
      case "put":
        return storage.put(path, second, third);
      case "create":
      case "hardLink":
        return storage[method]?.(path, second);
      case "removeDirectory":
        return storage.removeDirectory?.(path);
      case "link":
        return storage.link(path, second);
      case "space":
        return storage.space?.();
      case "probe":
        return storage.probe?.(path);
    }
  }

  async #next(transfer: number): Promise<Value> {
    const read = this.#reads.get(transfer);
    if (read === undefined) return { value: await this.#nextEntries(transfer) };
    const { done, value } = await read.next();
    if (done !== true) return { value: true, body: value };
    this.#reads.delete(transfer);
    return { value: null };
  }

  /** Null at the end. */
  async #nextEntries(transfer: number): Promise<ObjectInfo[] | null> {
    const list = this.#lists.get(transfer);
    if (list === undefined) return null;
    const { clock } = this.#options;
    const entries: ObjectInfo[] = [];
    const endMs = clock.monotonicMs() + BATCH_MS;
    while (entries.length < BATCH_ENTRIES && clock.monotonicMs() < endMs) {
      const { done, value } = await list.next();
      if (done === true) {
        this.#lists.delete(transfer);
        return entries.length === 0 ? null : entries;
      }
      entries.push(value);
    }
    return entries;
  }

  async #finish(transfer: number, isComplete: boolean): Promise<void> {
    const put = this.#puts.get(transfer);
    this.#puts.delete(transfer);
    if (put !== undefined) await (isComplete ? put.end() : put.fail(fail("term", "the source has failed")));
    await this.#reads.get(transfer)?.return?.();
    await this.#lists.get(transfer)?.return?.();
    this.#reads.delete(transfer);
    this.#lists.delete(transfer);
  }

  #put(transfer: number): IncomingStream {
    const put = this.#puts.get(transfer);
    assert(put !== undefined, "a chunk belongs to no file");
    return put;
  }

  /** File by file, because a large directory takes longer than a hung one may. Nothing behind a link. */
  async #removePath(path: string, progress: () => void): Promise<void> {
    const storage = this.#storage;
    const there = await storage.stat(path);
    if (there === null) return;
    if (there.type !== "directory") return storage.remove(path);
    let batch: string[] = [];
    const finish = async (): Promise<void> => {
      await Promise.all(batch.map((each) => storage.remove(each)));
      batch = [];
      progress();
    };
    for await (const entry of storage.list(path, { recursive: true, namesOnly: true })) {
      batch.push(entry.path);
      if (batch.length >= REMOVED_TOGETHER) await finish();
    }
    await finish();
    await storage.removePath(path);
  }
}

function bytesSecond([path, ...rest]: readonly unknown[], body: Uint8Array): readonly unknown[] {
  return [path, body, ...rest];
}

/** A file whose chunks arrive one by one. A chunk is answered when it is written. */
class IncomingStream {
  readonly #written: Promise<void>;
  readonly #queue: { readonly bytes: Uint8Array; done(): void; reject(error: BackupError): void }[] = [];
  #wake: (() => void) | undefined;
  #isEnded = false;
  #error: BackupError | undefined;

  constructor(write: (open: () => AsyncIterable<Uint8Array>) => Promise<void>) {
    this.#written = write(() => this.#chunks());
    // `end`, and each chunk, shows it.
    this.#written.catch((error: unknown) => this.#abandon(toBackupError(error)));
  }

  add(bytes: Uint8Array): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes, done: resolve, reject });
      this.#wake?.();
    });
  }

  end(): Promise<void> {
    this.#isEnded = true;
    this.#wake?.();
    return this.#written;
  }

  /** Makes the driver remove what it has written. */
  async fail(reason: BackupError): Promise<void> {
    this.#abandon(reason);
    await this.#written.catch(() => undefined);
  }

  #abandon(error: BackupError): void {
    this.#error ??= error;
    for (const { reject } of this.#queue.splice(0)) reject(this.#error);
    this.#wake?.();
  }

  async *#chunks(): AsyncIterable<Uint8Array> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const next = this.#queue[0];
      if (next !== undefined) {
        if (next.bytes !== EMPTY_BYTES) yield next.bytes;
        this.#queue.shift();
        next.done();
      } else if (this.#isEnded) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
