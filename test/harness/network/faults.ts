/**
 * Wraps any storage with planned faults and a crash point.
 *
 * Each method has a queue of faults and uses one per call. Faults left at the end of a test are an error in the test
 * ({@link FaultyStorage.verifyAllFaultsExercised}). A crash point allows the first k writes. The next write and every
 * call after it fail, as if the process had been killed there. Running a verb for k = 0, 1, 2, … produces every state
 * that a crash can leave behind.
 */
import { type ByteStream, collect, streamOf } from "../../../runtime/base/bytes";
import type { Clock } from "../../../runtime/base/clock";
import { type BackupError, fail } from "../../../runtime/base/errors";
import { LIMITS } from "../../../runtime/base/limits";
import type {
  ByteRange,
  ListOptions,
  ObjectInfo,
  PutOptions,
  Storage,
  StorageFeatures,
} from "../../../runtime/storage/storage";

export const STORAGE_METHODS = [
  "stat",
  "list",
  "read",
  "create",
  "put",
  "putStream",
  "remove",
  "removePath",
  "makePath",
  "syncPath",
  "link",
  "close",
] as const;
export type StorageMethod = (typeof STORAGE_METHODS)[number];
/** Methods that change stored data. A crash point counts them. */
const WRITES: ReadonlySet<StorageMethod> = new Set([
  "create",
  "put",
  "putStream",
  "remove",
  "removePath",
  "makePath",
  "link",
]);

export type Fault =
  /** The call does nothing and throws. */
  | { readonly kind: "error"; readonly error: BackupError }
  /** The call takes effect, then throws: the answer was lost. */
  | { readonly kind: "errorAfter"; readonly error: BackupError }
  | { readonly kind: "delay"; readonly durationMs: number }
  /** read: the stream ends early without an error. put, putStream: stores only this many bytes and reports success. */
  | { readonly kind: "truncate"; readonly sizeBytes: number }
  /** read: the stream throws after this many bytes. putStream: the call throws after reading this many bytes. */
  | { readonly kind: "break"; readonly sizeBytes: number; readonly error: BackupError }
  /** The call waits until the signal aborts, then throws `term`. */
  | { readonly kind: "hang"; readonly signal: AbortSignal }
  /** The call reports success but does nothing: it stores, removes and finds nothing. */
  | { readonly kind: "lie" };

export interface PlanOptions {
  /** Number of calls that meet the fault; default 1. */
  readonly times?: number;
  /** Applies only to calls for matching paths. */
  readonly path?: RegExp;
}

interface Planned {
  readonly fault: Fault;
  readonly path: RegExp | undefined;
  /** False for faults of a breakdown: it need not affect every method. */
  readonly required: boolean;
  met: number;
  left: number;
}

export class FaultyStorage implements Storage {
  readonly name: string;
  readonly features: StorageFeatures;
  readonly create?: (path: string, bytes: Uint8Array) => Promise<boolean>;
  readonly #inner: Storage;
  readonly #clock: Clock | undefined;
  readonly #planned = new Map<StorageMethod, Planned[]>();
  readonly #calls = new Map<StorageMethod, string[]>();
  #writesLeft = Number.POSITIVE_INFINITY;
  #writes = 0;
  #crashed = false;

  /** Only delays need `clock`. */
  constructor(inner: Storage, clock?: Clock) {
    this.#inner = inner;
    this.#clock = clock;
    this.name = inner.name;
    this.features = inner.features;
    const create = inner.create?.bind(inner);
    if (create !== undefined)
      this.create = (path, bytes) => this.#call("create", path, { run: () => create(path, bytes), lie: () => true });
  }

  /** Adds a fault after those already planned for the method. */
  plan(method: StorageMethod, fault: Fault, options: PlanOptions = {}): this {
    this.#add(method, { fault, path: options.path, required: true, met: 0, left: options.times ?? 1 });
    return this;
  }

  /** Makes every call of any method throw `error` until {@link repair}. */
  breakDown(error: BackupError): this {
    for (const method of STORAGE_METHODS) {
      this.#add(method, {
        fault: { kind: "error", error },
        path: undefined,
        required: false,
        met: 0,
        left: Number.POSITIVE_INFINITY,
      });
    }
    return this;
  }

  /** Drops all planned faults. */
  repair(): void {
    this.#planned.clear();
  }

  /** Allows the first `writeCount` writes. The next write and every call after it throw as if the process were gone. */
  crashAfter(writeCount: number): this {
    this.#writesLeft = writeCount;
    return this;
  }

  /** True once {@link crashAfter} has refused a call. */
  get crashed(): boolean {
    return this.#crashed;
  }

  /** Number of writes that took effect. */
  get writeCount(): number {
    return this.#writes;
  }

  /** Paths of the method's calls, in call order. */
  calls(method: StorageMethod): readonly string[] {
    return this.#calls.get(method) ?? [];
  }

  /**
   * Throws if a planned fault met no call, or fewer calls than planned. A fault without a limit must have met at least
   * one.
   */
  verifyAllFaultsExercised(): void {
    const unused = [...this.#planned].flatMap(([method, queue]) =>
      queue
        .filter(({ required, met, left }) => required && (left === Number.POSITIVE_INFINITY ? met === 0 : left > 0))
        .map(({ fault, met, left }) => `${method}: ${fault.kind} (met ${met} times, ${left} left)`),
    );
    if (unused.length > 0) throw new Error(`planned faults of '${this.name}' did not happen: ${unused.join(", ")}`);
  }

  stat(path: string): Promise<ObjectInfo | null> {
    return this.#call("stat", path, { run: () => this.#inner.stat(path), lie: () => null });
  }

  async *list(path: string, options?: ListOptions): AsyncIterable<ObjectInfo> {
    const run = async (): Promise<AsyncIterable<ObjectInfo>> => this.#inner.list(path, options);
    yield* await this.#call("list", path, { run, lie: () => emptyList() });
  }

  read(path: string, range?: ByteRange): Promise<ByteStream> {
    return this.#call("read", path, {
      run: () => this.#inner.read(path, range),
      lie: () => streamOf(),
      truncate: async (sizeBytes) => cut(await this.#inner.read(path, range), sizeBytes),
      break: async (sizeBytes, error) => cut(await this.#inner.read(path, range), sizeBytes, error),
    });
  }

  put(path: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    return this.#call("put", path, {
      run: () => this.#inner.put(path, bytes, options),
      truncate: (sizeBytes) => this.#inner.put(path, bytes.subarray(0, sizeBytes), options),
    });
  }

  putStream(path: string, open: () => ByteStream, options?: PutOptions): Promise<void> {
    return this.#call("putStream", path, {
      run: () => this.#inner.putStream(path, open, options),
      // Drain the source anyway, or its byte count would reveal the fault.
      lie: async () => void (await collect(open(), LIMITS.wholeFileSizeBytesMax)),
      truncate: async (sizeBytes) => {
        const bytes = await collect(open(), LIMITS.wholeFileSizeBytesMax);
        await this.#inner.put(path, bytes.subarray(0, sizeBytes), options);
      },
      break: (sizeBytes, error) => this.#inner.putStream(path, () => cut(open(), sizeBytes, error), options),
    });
  }

  remove(path: string): Promise<void> {
    return this.#call("remove", path, { run: () => this.#inner.remove(path) });
  }

  removePath(path: string): Promise<void> {
    return this.#call("removePath", path, { run: () => this.#inner.removePath(path) });
  }

  makePath(path: string): Promise<void> {
    return this.#call("makePath", path, { run: () => this.#inner.makePath(path) });
  }

  syncPath(path: string): Promise<void> {
    return this.#call("syncPath", path, { run: () => this.#inner.syncPath(path) });
  }

  link(path: string, target: string): Promise<void> {
    return this.#call("link", path, { run: () => this.#inner.link(path, target) });
  }

  async close(): Promise<void> {
    this.#record("close", "");
    await this.#inner.close();
  }

  async #call<T>(method: StorageMethod, path: string, variants: CallVariants<T>): Promise<T> {
    this.#record(method, path);
    this.#dieAtCrashPoint(method, path);
    const fault = this.#take(method, path);
    if (!WRITES.has(method)) return this.#meet(method, fault, variants);
    let happened = fault?.kind !== "lie";
    try {
      return await this.#meet(method, fault, variants);
    } catch (error) {
      happened = fault?.kind === "errorAfter";
      throw error;
    } finally {
      if (happened) {
        this.#writes++;
        this.#writesLeft--;
      }
    }
  }

  async #meet<T>(method: StorageMethod, fault: Fault | undefined, variants: CallVariants<T>): Promise<T> {
    switch (fault?.kind) {
      case undefined:
        return variants.run();
      case "error":
        throw fault.error;
      case "errorAfter":
        await variants.run();
        throw fault.error;
      case "delay":
        if (this.#clock === undefined) throw new Error("a storage with delays needs a clock");
        await this.#clock.sleep(fault.durationMs, new AbortController().signal);
        return variants.run();
      case "truncate":
        if (variants.truncate === undefined) throw new Error(`nothing to truncate in ${method}`);
        return variants.truncate(fault.sizeBytes);
      case "break":
        if (variants.break === undefined) throw new Error(`nothing to break in ${method}`);
        return variants.break(fault.sizeBytes, fault.error);
      case "hang":
        return hang(fault.signal);
      case "lie":
        return variants.lie === undefined ? (undefined as T) : variants.lie();
    }
  }

  #record(method: StorageMethod, path: string): void {
    this.#calls.set(method, [...this.calls(method), path]);
  }

  #dieAtCrashPoint(method: StorageMethod, path: string): void {
    // Reads before the fatal write still succeed; afterwards every call fails.
    if (this.#crashed || (WRITES.has(method) && this.#writesLeft <= 0)) {
      this.#crashed = true;
      throw fail("unhandled", `the process died before ${method} of '${path}'`);
    }
  }

  #take(method: StorageMethod, path: string): Fault | undefined {
    const planned = this.#planned
      .get(method)
      ?.find((candidate) => candidate.left > 0 && (candidate.path?.test(path) ?? true));
    if (planned === undefined) return undefined;
    planned.left--;
    planned.met++;
    return planned.fault;
  }

  #add(method: StorageMethod, planned: Planned): void {
    this.#planned.set(method, [...(this.#planned.get(method) ?? []), planned]);
  }
}

interface CallVariants<T> {
  readonly run: () => Promise<T>;
  /** The result of a call that does nothing; absent means undefined. */
  readonly lie?: () => T | Promise<T>;
  readonly truncate?: (sizeBytes: number) => Promise<T>;
  readonly break?: (sizeBytes: number, error: BackupError) => Promise<T>;
}

async function* emptyList(): AsyncIterable<ObjectInfo> {
  // Yields nothing.
}

/** The first bytes of a stream, then its end or `error`. */
async function* cut(source: ByteStream, sizeBytes: number, error?: BackupError): ByteStream {
  let leftBytes = sizeBytes;
  for await (const chunk of source) {
    const piece = chunk.subarray(0, leftBytes);
    leftBytes -= piece.length;
    if (piece.length > 0) yield piece;
    if (leftBytes === 0) break;
  }
  if (error !== undefined) throw error;
}

function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(fail("term", "terminated while waiting"));
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}
