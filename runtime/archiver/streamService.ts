/**
 * Streams a server's WAL as long as its agent or sidecar lives: one connection after another, with pauses after
 * failures.
 */
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";
import type { CommandHost } from "../commands/host";
import { loadStreamState, saveStreamState, type StreamState } from "../local/streamState";
import { type StreamStatus, stateOf, type StreamWorker } from "../operations/stream/streamWorker";
import { listMissingWal } from "../operations/stream/needed";
import { type StreamParts, streamOnce } from "../operations/stream/stream";

const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 10_000;
/** A server that is starting or restarting is not worth a report. */
const SILENT_MS = 15_000;
/** A connection that lasted this long was healthy: the next pause is a short one. */
const WELL_MS = 10_000;
/** How often other processes learn the progress. */
const STATE_MS = 5000;
/** How often to check whether a standby was promoted. */
const STANDBY_MS = 5000;

/** Further conditions of a cluster's sidecar. */
export type StreamConditions = Pick<StreamParts, "isStandby" | "prepare" | "requireOwn">;

export class StreamService {
  readonly #host: CommandHost;
  readonly #ctx: Context;
  readonly #intervalMs: number;
  readonly #conditions: StreamConditions;
  readonly #stop = new AbortController();
  #running: readonly Promise<void>[] = [];
  /** By repository key. */
  readonly #former = new Map<number, Promise<void>>();
  #workers: readonly StreamWorker[] = [];
  /** Why it does not stream, since when, and whether that was reported. */
  #trouble: { readonly error: BackupError; readonly sinceMs: number; isReported: boolean } | null = null;

  constructor(host: CommandHost, ctx: Context, intervalMs: number, conditions: StreamConditions = {}) {
    this.#host = host;
    this.#ctx = ctx;
    this.#intervalMs = intervalMs;
    this.#conditions = conditions;
  }

  start(): void {
    this.#running = [this.#run(), this.#saveState()];
  }

  /** Called when a repository's archive has this file. */
  stored(repoIndex: number, walName: string): void {
    for (const worker of this.#workers) if (worker.status().repoIndex === repoIndex) worker.archived(walName);
  }

  status(): readonly StreamStatus[] {
    return this.#workers.map((worker) => worker.status());
  }

  /** Why nothing is received; null while WAL arrives, or while a server may just be starting. */
  get error(): BackupError | null {
    return this.#trouble?.isReported === true ? this.#trouble.error : null;
  }

  /** Ships received WAL until `signal` aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    const ended = Promise.all(this.#running).then(() => Promise.all(this.#former.values()));
    await Promise.race([ended, untilAborted(signal)]);
  }

  async #run(): Promise<void> {
    const { clock } = this.#ctx;
    const { signal } = this.#stop;
    for (let pauseMs = 0; !signal.aborted; ) {
      const beganAtMs = clock.monotonicMs();
      const isStandby = await this.#once().catch((error: unknown) => {
        if (!signal.aborted) this.#report(toBackupError(error));
        return false;
      });
      const held = clock.monotonicMs() - beganAtMs >= WELL_MS;
      // A demoted server's last position is nobody's progress.
      if (isStandby) this.#workers = [];
      pauseMs = isStandby
        ? STANDBY_MS
        : held
          ? PAUSE_FIRST_MS
          : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** For metrics and status, which run in other processes. */
  async #saveState(): Promise<void> {
    const { spoolPath, stanza = "" } = this.#host.config;
    const { signal } = this.#stop;
    // Without news of a repository its last state stays: its age says enough.
    let states: readonly StreamState[] = await loadStreamState(spoolPath, stanza);
    const keys = new Set(this.#host.repositories().map((repo) => repo.key));
    while (!signal.aborted) {
      await this.#ctx.clock.sleep(STATE_MS, signal).catch(() => {});
      const fresh = this.status().flatMap((status) => stateOf(status) ?? []);
      const stands = states.filter(({ key }) => keys.has(key) && !fresh.some((state) => state.key === key));
      states = [...fresh, ...stands].sort((left, right) => left.key - right.key);
      if (states.length === 0) continue;
      await saveStreamState(spoolPath, stanza, states).catch((error: unknown) =>
        this.#ctx.log.debug(`unable to record the streamed position: ${toBackupError(error).message}`),
      );
    }
  }

  #report(error: BackupError): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#trouble;
    const isNews = known?.isReported !== true || known.error.message !== error.message;
    const sinceMs = known?.sinceMs ?? nowMs;
    const isReported = known?.isReported === true || nowMs - sinceMs >= SILENT_MS;
    const text = `WAL is not streamed: ${error.message}`;
    if (isReported && isNews)
      this.#ctx.log.warn([text, ...hintLines(error), "retrying; complete segments are still archived"].join("\n"));
    else this.#ctx.log.detail(text);
    this.#trouble = { error, sinceMs, isReported };
  }

  #once(): Promise<boolean> {
    const parts: StreamParts = {
      ...this.#conditions,
      repos: this.#host.repositories(),
      intervalMs: this.#intervalMs,
      requireStarted: () => this.#host.requireStarted(),
      loadControl: () => this.#host.loadControl(),
      open: () => this.#host.walStream(),
      listMissingWal: (repoIndex: number) =>
        listMissingWal(`${this.#host.dataDirectory}/pg_wal`, this.#host.missingWal().list(repoIndex)),
      begun: (workers: readonly StreamWorker[]) => {
        this.#workers = workers;
        this.#trouble = null;
      },
      former: this.#former,
    };
    return streamOnce(parts, this.#stop.signal, this.#ctx);
  }
}
