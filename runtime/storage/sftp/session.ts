/**
 * One SSH connection with one SFTP channel, for many concurrent requests.
 *
 * A request ends with the server's answer; with a retryable `hostConnect` as soon as the connection breaks or nothing
 * arrived for the session's time (ioLimits.ts); or with `term` immediately when the signal aborts.
 */
import type { Client, SFTPWrapper } from "ssh2";
import type { Clock } from "../../base/clock";
import { type BackupError, fail } from "../../base/errors";
import type { Random } from "../../base/random";
import { Pace, silenceMs, syncSilenceMs } from "../ioLimits";
import { lost, type SftpEndpoint, STATUS, StatusError } from "./failure";

export interface SessionDeps {
  readonly clock: Clock;
  readonly random: Random;
  /** Ends every request and every copy. */
  readonly signal: AbortSignal;
  /** Limits all attempts of one request together, and each wait for the network (ioLimits.ts). */
  readonly ioTimeoutMs: number;
  /** Reads a small local file: keys and known hosts. */
  readonly readFile: (path: string) => Uint8Array;
}

type Answer<T> = (error: Error | null | undefined, value: T) => void;

/** Limits the wait for a silent server at the close. */
const CLOSE_TIMEOUT_MS = 2000;

export class SftpSession {
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  readonly #endpoint: SftpEndpoint;
  readonly #deps: SessionDeps;
  readonly #silenceMs: number;
  readonly #syncSilenceMs: number;
  readonly #pending = new Set<(error: BackupError) => void>();
  #syncCount = 0;
  readonly #closing = new AbortController();
  #postedCount = 0;
  #nonePosted: (() => void) | undefined;
  #lastAnswerMs = 0;
  #watching = false;
  #dead: BackupError | undefined;
  #isSilent = false;

  /** `silentAttempts` is the number of connections before this one that ended for silence. */
  constructor(client: Client, sftp: SFTPWrapper, endpoint: SftpEndpoint, deps: SessionDeps, silentAttempts: number) {
    this.#client = client;
    this.#sftp = sftp;
    this.#endpoint = endpoint;
    this.#deps = deps;
    this.#silenceMs = silenceMs(silentAttempts, deps.ioTimeoutMs);
    this.#syncSilenceMs = syncSilenceMs(silentAttempts, deps.ioTimeoutMs);
    const die = (reason: string, cause?: unknown): void => {
      this.#die(lost(endpoint, reason, cause));
      client.destroy();
    };
    client.on("error", (error) => die(error.message, error));
    client.on("close", () => die("the connection was closed"));
    sftp.on("error", (error: Error) => die(error.message, error));
    sftp.on("close", () => die("the server ended the SFTP channel"));
    deps.signal.addEventListener("abort", this.#abort, { once: true });
  }

  get isAlive(): boolean {
    return this.#dead === undefined;
  }

  /** True once the server was silent for too long, or too slow. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Watches a transfer; one that is too slow ends the connection. */
  pace(): Pace {
    return new Pace(this.#deps.clock, this.#silenceMs, (fact) => this.#dieSilent(fact));
  }

  /** Sends a request that makes the server sync a file: it may be silent for longer. */
  sync<T>(send: (sftp: SFTPWrapper, answer: Answer<T>) => void): Promise<T> {
    this.#syncCount++;
    return this.request(send).finally(() => void this.#syncCount--);
  }

  /** Sends one request. @throws StatusError for an answer other than "ok"; BackupError hostConnect, term */
  request<T>(send: (sftp: SFTPWrapper, answer: Answer<T>) => void): Promise<T> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (this.#deps.signal.aborted) return Promise.reject(this.#terminated());
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) this.#lastAnswerMs = this.#deps.clock.monotonicMs();
      this.#pending.add(reject);
      this.#watch();
      const answer: Answer<T> = (error, value) => {
        this.#lastAnswerMs = this.#deps.clock.monotonicMs();
        this.#pending.delete(reject);
        if (error === null || error === undefined) resolve(value);
        else reject(this.#errorOf(error));
      };
      try {
        send(this.#sftp, answer);
      } catch (error) {
        // The library refuses extensions that the server has not announced.
        this.#pending.delete(reject);
        reject(new StatusError(STATUS.unsupported, error instanceof Error ? error.message : String(error)));
      }
    });
  }

  /** Sends a request and ignores its answer: for cleanup, also after an abort. */
  post(send: (sftp: SFTPWrapper, answer: Answer<unknown>) => void): void {
    if (this.#dead !== undefined) return;
    this.#postedCount++;
    // Optional extensions are never posted: nothing throws here.
    send(this.#sftp, () => {
      if (--this.#postedCount === 0) this.#nonePosted?.();
    });
  }

  /** Waits for posted requests, disconnects, and gives up on a silent server. */
  async close(): Promise<void> {
    if (this.#dead === undefined) {
      const done = new AbortController();
      const timeout = this.#deps.clock.sleep(CLOSE_TIMEOUT_MS, done.signal).catch(() => undefined);
      const answered = new Promise<void>((resolve) => {
        this.#nonePosted = resolve;
      });
      if (this.#postedCount > 0) await Promise.race([answered, timeout]);
      const closed = new Promise<void>((resolve) => {
        this.#client.once("close", () => resolve());
      });
      this.#die(lost(this.#endpoint, "the storage was closed"));
      this.#client.end();
      await Promise.race([closed, timeout]);
      done.abort();
    }
    this.#client.destroy();
  }

  readonly #abort = (): void => {
    const error = this.#terminated();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  };

  #terminated(): BackupError {
    return fail("term", `terminated while working on '${this.#endpoint.server}'`);
  }

  #errorOf(error: Error): Error {
    // Requests that end with the connection have no status.
    return "code" in error && typeof error.code === "number"
      ? new StatusError(error.code, error.message)
      : lost(this.#endpoint, error.message, error);
  }

  #die(error: BackupError): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    this.#closing.abort();
    this.#deps.signal.removeEventListener("abort", this.#abort);
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  }

  #dieSilent(fact: string): BackupError {
    const error = lost(this.#endpoint, fact);
    this.#isSilent = true;
    this.#die(error);
    this.#client.destroy();
    return error;
  }

  /** Ends the connection if requests wait and no answer arrives. */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    const { clock } = this.#deps;
    const run = async (): Promise<void> => {
      while (this.#pending.size > 0) {
        const limitMs = this.#syncCount > 0 ? this.#syncSilenceMs : this.#silenceMs;
        const leftMs = this.#lastAnswerMs + limitMs - clock.monotonicMs();
        if (leftMs <= 0) return void this.#dieSilent(`it has not answered for ${Math.round(limitMs / 1000)} s`);
        // The limit may change.
        await clock.sleep(Math.min(leftMs, this.#silenceMs), this.#closing.signal);
      }
    };
    void run()
      .catch(() => undefined)
      .finally(() => {
        this.#watching = false;
      });
  }
}
