/**
 * Streams the agent's cluster's WAL as long as the agent lives: one connection after another, with pauses after
 * failures.
 */
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import { hintLines } from "../base/troubleshooting";
import type { CommandHost } from "../commands/host";
import { loadStreamState, saveStreamState, type StreamState } from "../local/streamState";
import { type LaneStatus, stateOf, type StreamLane } from "../operations/stream/lane";
import { listOwed } from "../operations/stream/needed";
import { streamOnce } from "../operations/stream/stream";

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

export class StreamService {
  readonly #host: CommandHost;
  readonly #ctx: Context;
  readonly #intervalMs: number;
  readonly #stop = new AbortController();
  #running: readonly Promise<void>[] = [];
  #lanes: readonly StreamLane[] = [];
  /** Why it does not stream, since when, and whether that was reported. */
  #trouble: { readonly error: BackupError; readonly sinceMs: number; told: boolean } | null = null;

  constructor(host: CommandHost, ctx: Context, intervalMs: number) {
    this.#host = host;
    this.#ctx = ctx;
    this.#intervalMs = intervalMs;
  }

  start(): void {
    this.#running = [this.#run(), this.#tellState()];
  }

  /** Called when a repository's archive has this file. */
  stored(repoKey: number, walName: string): void {
    for (const lane of this.#lanes) if (lane.status().repoKey === repoKey) lane.archived(walName);
  }

  status(): readonly LaneStatus[] {
    return this.#lanes.map((lane) => lane.status());
  }

  /** Why nothing is received; null while WAL arrives, or while a server may just be starting. */
  get error(): BackupError | null {
    return this.#trouble?.told === true ? this.#trouble.error : null;
  }

  /** Ships received WAL until `signal` aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    await Promise.race([Promise.all(this.#running), untilAborted(signal)]);
  }

  async #run(): Promise<void> {
    const { clock } = this.#ctx;
    const { signal } = this.#stop;
    for (let pauseMs = 0; !signal.aborted; ) {
      const beganAtMs = clock.monotonicMs();
      const isStandby = await this.#once().catch((error: unknown) => {
        if (!signal.aborted) this.#tell(toBackupError(error));
        return false;
      });
      const held = clock.monotonicMs() - beganAtMs >= WELL_MS;
      pauseMs = isStandby ? STANDBY_MS : held ? PAUSE_FIRST_MS : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  /** For metrics and status, which run in other processes. */
  async #tellState(): Promise<void> {
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

  #tell(error: BackupError): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#trouble;
    const isNews = known?.told !== true || known.error.message !== error.message;
    const sinceMs = known?.sinceMs ?? nowMs;
    const told = known?.told === true || nowMs - sinceMs >= SILENT_MS;
    const text = `WAL is not streamed: ${error.message}`;
    if (told && isNews) this.#ctx.log.warn([text, ...hintLines(error), "retrying; complete segments are still archived"].join("\n"));
    else this.#ctx.log.detail(text);
    this.#trouble = { error, sinceMs, told };
  }

  #once(): Promise<boolean> {
    const parts = {
      repos: this.#host.repositories(),
      intervalMs: this.#intervalMs,
      requireStarted: () => this.#host.requireStarted(),
      loadControl: () => this.#host.loadControl(),
      open: () => this.#host.walStream(),
      listOwed: (repoKey: number) => listOwed(`${this.#host.dataDirectory}/pg_wal`, this.#host.debt().list(repoKey)),
      begun: (lanes: readonly StreamLane[]) => {
        this.#lanes = lanes;
        this.#trouble = null;
      },
    };
    return streamOnce(parts, this.#stop.signal, this.#ctx);
  }
}
