/**
 * Requests to one storage process. If one of them is not answered in time, the process is killed and never waited for:
 * a thread of it may hang in the kernel for good.
 */
import type { Duplex } from "node:stream";
import { EMPTY_BYTES } from "../../base/bytes";
import type { Clock } from "../../base/clock";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import { unpack } from "../../base/transfer";
import type { Answer, Call } from "./calls";
import { encodeFrame, FrameReader } from "./frames";

/** A started process; it ends by itself when its channel does. */
export interface StorageProcess {
  readonly channel: Duplex;
  readonly exited: Promise<void>;
  /** Sends SIGKILL. */
  kill(): void;
}

export interface ChannelOptions {
  /** For messages. */
  readonly root: string;
  readonly clock: Clock;
  /** For each request. */
  readonly ioTimeoutMs: number;
  /** The error of all requests, when one of them took too long. */
  hung(doing: string): BackupError;
}

interface Waiting {
  readonly doing: string;
  deadlineMs: number;
  resolve(answer: Result): void;
  reject(error: BackupError): void;
}

export interface Result {
  readonly id: number;
  readonly value: unknown;
  readonly body: Uint8Array;
}

/** A timer that is overdue by this much says that this process stood still: answers may be unread. */
const OVERDUE_MS = 1000;
/** For the start of the process, at least: it touches nothing that hangs, but a busy machine delays it. */
const START_MS = 30_000;
/** An idle process ends in some milliseconds. */
const EXIT_MS = 200;

export class Channel {
  readonly #process: StorageProcess;
  readonly #options: ChannelOptions;
  readonly #waiting = new Map<number, Waiting>();
  #wake: AbortController | undefined;
  #nextId = 1;
  #dead: BackupError | null = null;
  #isWatching = false;
  #hasAnswered = false;
  #isKilled = false;

  constructor(process: StorageProcess, options: ChannelOptions) {
    this.#process = process;
    this.#options = options;
    const frames = new FrameReader();
    const { channel } = process;
    channel.on("data", (piece: Uint8Array) => {
      try {
        for (const { head, body } of frames.read(piece)) this.#take(head as Answer, body);
      } catch (error) {
        this.#kill(toBackupError(error));
      }
    });
    const lost = (): void =>
      this.end(fail("execute", `the process that serves '${options.root}' has ended`, { retryable: true }));
    for (const event of ["end", "close", "error"]) channel.on(event, lost);
  }

  get isDead(): boolean {
    return this.#dead !== null;
  }

  /** @throws the other side's error, or why the connection ended */
  call(call: Call, body: Uint8Array = EMPTY_BYTES): Promise<Result> {
    const dead = this.#dead;
    if (dead !== null) return Promise.reject(dead);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const doing = "args" in call ? `${call.do} '${String(call.args[0])}'` : call.do;
      this.#waiting.set(id, { doing, deadlineMs: this.#deadlineMs(), resolve, reject });
      for (const part of encodeFrame({ ...call, id }, body)) this.#process.channel.write(part);
      if (!this.#isWatching) void this.#watch();
    });
  }

  /** Fails what waits; the process ends by itself. */
  end(error: BackupError): void {
    if (this.#dead !== null) return;
    this.#dead = error;
    this.#wake?.abort();
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
    this.#process.channel.destroy();
  }

  /** {@link end}, and waits for a process that does end: as an orphan it might stay a zombie in a container. */
  async close(reason: BackupError): Promise<void> {
    this.end(reason);
    if (this.#isKilled) return;
    const enough = new AbortController();
    const { clock } = this.#options;
    await Promise.race([this.#process.exited, clock.sleep(EXIT_MS, enough.signal).catch(() => undefined)]);
    enough.abort();
  }

  #kill(error: BackupError): void {
    this.#isKilled = true;
    this.end(error);
    this.#process.kill();
  }

  #take(answer: Answer, body: Uint8Array): void {
    const waiting = this.#waiting.get(answer.id);
    if (waiting === undefined) return;
    if (!this.#hasAnswered) {
      this.#hasAnswered = true;
      this.#startAgain();
    }
    if ("progress" in answer) {
      waiting.deadlineMs = this.#deadlineMs();
      return;
    }
    this.#waiting.delete(answer.id);
    if ("error" in answer) waiting.reject(toBackupError(unpack(answer.error)));
    else waiting.resolve({ id: answer.id, value: answer.value, body });
  }

  #deadlineMs(): number {
    const { clock, ioTimeoutMs } = this.#options;
    return clock.monotonicMs() + (this.#hasAnswered ? ioTimeoutMs : Math.max(ioTimeoutMs, START_MS));
  }

  /** Gives every request its whole time. */
  #startAgain(): void {
    for (const waiting of this.#waiting.values()) waiting.deadlineMs = this.#deadlineMs();
    this.#wake?.abort();
  }

  async #watch(): Promise<void> {
    this.#isWatching = true;
    const { clock } = this.#options;
    while (this.#waiting.size > 0) {
      const [first] = [...this.#waiting.values()].sort((left, right) => left.deadlineMs - right.deadlineMs);
      const plannedMs = first?.deadlineMs ?? 0;
      if (plannedMs <= clock.monotonicMs()) {
        this.#kill(this.#options.hung(first?.doing ?? ""));
        break;
      }
      this.#wake = new AbortController();
      await clock.sleep(plannedMs - clock.monotonicMs(), this.#wake.signal).catch(() => undefined);
      if (clock.monotonicMs() - plannedMs > OVERDUE_MS) this.#startAgain();
    }
    this.#isWatching = false;
  }
}
