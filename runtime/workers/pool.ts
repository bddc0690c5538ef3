/**
 * Worker threads that run jobs: each runs this same program, with its own connections to every repository.
 *
 * Threads start on demand: each costs a tenth of a second of processor time, and an incremental backup may need none. A
 * caller that expects work warms the pool, so that threads start during the preparation. If the calling thread has
 * little to do but wait, it replaces one of them: that saves a start, and begins earlier. A thread gets a few small
 * jobs at a time, so that one waits for the store while another computes. A thread that dies fails its jobs; the pool
 * continues with the others. An abort answers every job at once: a thread's own work may hang.
 */
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { Clock } from "../base/clock";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { LIMITS } from "../base/limits";
import { guardedDirectories } from "../local/nodeFiles";
import type { RepoConfig } from "../config/types";
import type { Job, JobPool, JobResult } from "../operations/shared/jobs";
import { pack, unpack } from "../base/transfer";
import { collectGarbage, setFlagsAgain, watchHeap } from "./heap";

export interface WorkerStart {
  readonly stanza: string;
  readonly repos: readonly RepoConfig[];
  readonly ioTimeoutMs: number;
  /** Limits of repositories, by their keys: shared with this thread. */
  readonly rates: Readonly<Record<number, SharedArrayBuffer>>;
  /** Version of the runtime that starts the thread. */
  readonly version: string;
}

export type ToWorker =
  | {
      readonly type: "job";
      readonly id: number;
      readonly job: Job;
      /** As of now: a container that is made again has other directories. */
      readonly guarded: readonly string[];
    }
  | { readonly type: "close" };
export type FromWorker =
  /** Its program, or the part that opens repositories. */
  | { readonly type: "loaded" }
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: unknown };

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: BackupError) => void;
}

interface Hand {
  readonly waiting: Map<number, Waiting>;
  dead: boolean;
  give(id: number, job: Job): void;
}

interface Thread extends Hand {
  readonly worker: Worker;
  /** Aborted when the thread gets a job. */
  rest: AbortController | null;
}

export interface PoolOptions {
  /** Jobs that run at the same time, at least one. */
  readonly slots: number;
  readonly signal: AbortSignal;
  /** Runs a job in the calling thread, which replaces one of the others; absent leaves all jobs to threads. */
  readonly runHere?: (job: Job) => Promise<unknown>;
  /** A thread ends that had no job for so long; absent keeps it until the end. */
  readonly rest?: { readonly timeMs: number; readonly clock: Clock };
}

/** `workerFile` is this program's bundle; its main file acts as a worker when it is started as a thread. */
export function workerPool(workerFile: string, start: WorkerStart, options: PoolOptions): JobPool {
  const newSpaceMib = options.rest === undefined ? THREAD_NEW_SPACE_MIB_MAX : RESTING_NEW_SPACE_MIB_MAX;
  return new WorkerPool(() => startThread(workerFile, start, newSpaceMib), options);
}

class WorkerPool implements JobPool {
  readonly slots: number;
  readonly #start: () => Thread;
  readonly #signal: AbortSignal;
  readonly #threads: Thread[] = [];
  readonly #threadsMax: number;
  /** The calling thread, if it runs jobs too. */
  readonly #own: readonly Hand[];
  readonly #heapWatch = watchHeap();
  readonly #rest: PoolOptions["rest"];
  readonly #queue: { readonly job: Job; readonly waiting: Waiting }[] = [];
  #nextId = 1;

  constructor(start: () => Thread, { slots, signal, rest, runHere }: PoolOptions) {
    this.slots = slots;
    this.#rest = rest;
    this.#start = start;
    this.#signal = signal;
    this.#own = runHere === undefined ? [] : [this.#handOf(runHere)];
    this.#threadsMax = slots - this.#own.length;
    signal.addEventListener("abort", this.#abort, { once: true });
  }

  run<J extends Job>(job: J): Promise<JobResult<J>> {
    if (this.#signal.aborted) return Promise.reject(toBackupError(this.#signal.reason, "term"));
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, waiting: { resolve, reject } });
      this.#dispatch();
    });
  }

  warm(): void {
    while (!this.#signal.aborted && this.#threads.length < this.#threadsMax) this.#addThread();
  }

  collect(): void {
    collectGarbage();
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener("abort", this.#abort);
    this.#heapWatch.disconnect();
    await Promise.all(
      this.#threads.map(async (thread) => {
        thread.rest?.abort();
        if (thread.waiting.size > 0 || thread.dead) return void (await thread.worker.terminate());
        const ended = new Promise<void>((resolve) => thread.worker.once("exit", () => resolve()));
        thread.worker.postMessage({ type: "close" });
        await ended;
      }),
    );
  }

  readonly #abort = (): void => {
    const error = toBackupError(this.#signal.reason, "term");
    for (const { rest } of this.#threads) rest?.abort();
    for (const { waiting } of this.#queue.splice(0)) waiting.reject(error);
    // They stay in the list, so that `close` knows which threads are busy.
    for (const hand of this.#hands()) for (const waiting of hand.waiting.values()) waiting.reject(error);
  };

  #hands(): readonly Hand[] {
    return [...this.#own, ...this.#threads];
  }

  #handOf(runHere: (job: Job) => Promise<unknown>): Hand {
    const waiting = new Map<number, Waiting>();
    const finish = (id: number, settle: (waiting: Waiting) => void): void => {
      const own = waiting.get(id);
      waiting.delete(id);
      if (own !== undefined) settle(own);
      this.#dispatch();
    };
    const give = (id: number, job: Job): void =>
      void runHere(job).then(
        (value) => finish(id, ({ resolve }) => resolve(value as never)),
        (error: unknown) => finish(id, ({ reject }) => reject(toBackupError(error))),
      );
    return { waiting, dead: false, give };
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const hand = this.#findHand();
      if (hand === null) {
        if (this.#hands().every((candidate) => candidate.dead))
          for (const { waiting } of this.#queue.splice(0))
            waiting.reject(fail("assert", "all worker threads have died"));
        return;
      }
      const { job, waiting } = this.#queue.shift() as { job: Job; waiting: Waiting };
      const id = this.#nextId++;
      hand.waiting.set(id, waiting);
      hand.give(id, job);
    }
  }

  /** An idle runner, the calling thread first; else a new thread; else the least busy one; null when all are full. */
  #findHand(): Hand | null {
    const alive = this.#hands()
      .filter((hand) => !hand.dead)
      .sort((left, right) => left.waiting.size - right.waiting.size);
    const [least] = alive;
    if (least?.waiting.size === 0) return least;
    if (this.#threads.length < this.#threadsMax) return this.#addThread();
    return least !== undefined && least.waiting.size < LIMITS.filesPerWorker ? least : null;
  }

  /** Its heap and its buffers go back to the system. The next job starts another one. */
  #endAfterRest(thread: Thread): void {
    if (this.#rest === undefined || this.#signal.aborted) return;
    const { clock, timeMs } = this.#rest;
    thread.rest?.abort();
    thread.rest = new AbortController();
    const end = (): void => {
      const at = this.#threads.indexOf(thread);
      if (at < 0 || thread.dead || thread.waiting.size > 0) return;
      this.#threads.splice(at, 1);
      thread.worker.postMessage({ type: "close" });
      // What the burst has left in this thread's heap goes too.
      if (this.#threads.length === 0) collectGarbage();
    };
    clock.sleep(timeMs, thread.rest.signal).then(end, () => {});
  }

  #addThread(): Thread {
    const thread = this.#start();
    this.#threads.push(thread);
    thread.worker.on("message", (message: FromWorker) => {
      if ("type" in message) {
        setFlagsAgain();
        return;
      }
      const waiting = thread.waiting.get(message.id);
      thread.waiting.delete(message.id);
      if (message.ok) waiting?.resolve(unpack(message.value) as never);
      else waiting?.reject(toBackupError(unpack(message.error)));
      this.#dispatch();
      if (thread.waiting.size === 0) this.#endAfterRest(thread);
    });
    const die = (reason: string): void => {
      thread.dead = true;
      for (const waiting of thread.waiting.values()) waiting.reject(fail("assert", `worker thread ended: ${reason}`));
      thread.waiting.clear();
      // A server outlives the cause, and its next job starts another thread. A command ends with an error.
      const at = this.#threads.indexOf(thread);
      if (this.#rest !== undefined && at >= 0) this.#threads.splice(at, 1);
      this.#dispatch();
    };
    thread.worker.on("error", (error) => die(toBackupError(error).message));
    thread.worker.on("exit", (code) => {
      // It may have kept compiled code, under V8's own flags.
      setFlagsAgain();
      die(`exit ${code}`);
    });
    return thread;
  }
}

/**
 * A job's own objects take a few megabytes, but V8 keeps dead buffers in proportion to the heap's limit: with the
 * default limit a copy of large files held up to 100 MiB of them per thread.
 */
const THREAD_HEAP_MIB_MAX = 64;
/** Little outlives a job; by default each thread holds 48 MiB of new space. */
const THREAD_NEW_SPACE_MIB_MAX = 6;
/** For threads of a server, which only work now and then: packing WAL makes few objects. */
const RESTING_NEW_SPACE_MIB_MAX = 3;
/** V8 counts new space as three semi-spaces. */
const NEW_SPACE_PARTS = 3;

function startThread(workerFile: string, start: WorkerStart, newSpaceMib: number): Thread {
  const resourceLimits = { maxOldGenerationSizeMb: THREAD_HEAP_MIB_MAX, maxYoungGenerationSizeMb: newSpaceMib };
  // A smaller start would only collect garbage while the thread starts, and long-lived objects remain anyway.
  setFlagsFromString(`--min-semi-space-size=${newSpaceMib / NEW_SPACE_PARTS}`);
  const worker = new Worker(workerFile, { workerData: pack(start), stdout: false, stderr: false, resourceLimits });
  const give = (id: number, job: Job): void => {
    thread.rest?.abort();
    worker.postMessage({ type: "job", id, job: pack(job), guarded: guardedDirectories() });
  };
  const thread: Thread = { worker, waiting: new Map(), dead: false, give, rest: null };
  return thread;
}
