/**
 * Streams a server's WAL as long as its agent or sidecar lives: one connection after another, with pauses after
 * failures.
 */
import { untilAborted } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import type { CommandProcess } from "../process/commandProcess";
import { loadStreamState, saveStreamState, type StreamState, type SynchronousReport } from "../local/streamState";
import { type StreamStatus, stateOf } from "../operations/stream/streamStatus";
import type { StreamWorker } from "../operations/stream/streamWorker";
import { listMissingWal } from "../operations/stream/needed";
import { readyDirectoryOf } from "../operations/slot/readyDirectory";
import { removeReceiver } from "../operations/stream/receiverSetting";
import { RECEIVER_NAME } from "../operations/stream/standbyNames";
import { type StreamParts, type SynchronousParts, streamOnce } from "../operations/stream/stream";
import type { ClusterIdentity } from "../operations/shared/identity";
import { parsePostmasterPid } from "../postgres/postmasterPid";
import { Reconnect, STANDBY_MS } from "./reconnect";
import { SynchronousGuard, type SynchronousState } from "./synchronousGuard";

/** How often other processes learn the progress. */
const STATE_MS = 5000;
/** A server that shuts down waits this long for repositories that do not answer. */
const SHUTDOWN_MS = 10_000;
const SHUTDOWN_LOOK_MS = 2000;

/** Further conditions of a cluster's sidecar. */
export interface StreamConditions extends Pick<StreamParts, "isStandby" | "prepare" | "requireOwn"> {
  /** What manages `synchronous_standby_names`; absent if this process does. */
  readonly setBy?: string;
  /** Lists every segment that the server has finished by now, where the server itself lists none. */
  readonly markFinished?: () => Promise<void>;
}

export class StreamService {
  readonly #proc: CommandProcess;
  readonly #ctx: Context;
  readonly #intervalMs: number;
  readonly #conditions: StreamConditions;
  /** Null when no commit waits for a repository. */
  readonly #guard: SynchronousGuard | null;
  readonly #stop = new AbortController();
  /** Ends the present connection. */
  #session = new AbortController();
  #running: readonly Promise<void>[] = [];
  /** Ends of the previous workers, by repository key. */
  readonly #former = new Map<number, Promise<void>>();
  #workers: readonly StreamWorker[] = [];
  readonly #connections: Reconnect;

  constructor(proc: CommandProcess, ctx: Context, intervalMs: number, conditions: StreamConditions = {}) {
    this.#proc = proc;
    this.#ctx = ctx;
    this.#intervalMs = intervalMs;
    this.#conditions = conditions;
    const consequence = "retrying; complete segments are still archived";
    this.#connections = new Reconnect({ trouble: "WAL is not streamed", consequence }, ctx);
    const { synchronous } = proc.config.settings.stream ?? {};
    this.#guard = synchronous === undefined ? null : this.#openGuard(synchronous.degradeAfterSeconds);
  }

  #openGuard(degradeAfterSeconds: number | undefined): SynchronousGuard {
    const degradeMs = degradeAfterSeconds === undefined ? null : degradeAfterSeconds * 1000;
    const isStop = (error: BackupError | null): boolean => error?.kind === "stop";
    const isStopped = (): boolean =>
      isStop(this.#connections.trouble) || this.status().some(({ error }) => isStop(error));
    const { setBy } = this.#conditions;
    return new SynchronousGuard({ degradeMs, isStopped, setBy, connect: () => this.#proc.newSession() }, this.#ctx);
  }

  /** Null when no commit waits for a repository. */
  #synchronousParts(): SynchronousParts | null {
    const { synchronous } = this.#proc.config.settings.stream ?? {};
    const guard = this.#guard;
    if (guard === null || synchronous === undefined) return null;
    return {
      policy: synchronous,
      groupMs: synchronous.groupMilliseconds ?? 0,
      moved: (receivedLsn, confirmedLsn) => guard.moved(receivedLsn, confirmedLsn),
    };
  }

  start(): void {
    this.#running = [this.#run(), this.#saveState(), this.#guarding(), this.#letShutDown()];
  }

  async #guarding(): Promise<void> {
    const { signal } = this.#stop;
    if (this.#guard !== null) await this.#guard.run(signal);
    else if (this.#conditions.setBy === undefined) await stopRequiring(this.#proc, this.#ctx, signal);
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
    return this.#connections.error;
  }

  /** Whether commits wait for the repositories; null when that is not configured. */
  get synchronous(): { readonly state: SynchronousState; readonly error: BackupError | null } | null {
    return this.#guard === null ? null : { state: this.#guard.state, error: this.#guard.error };
  }

  /** For metrics; null where no commit shall wait, and alongside a standby. */
  get synchronousReport(): SynchronousReport | null {
    return this.#guard === null || this.#guard.isStandby ? null : this.#guard.report();
  }

  /** Ships received WAL until `signal` aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    const ended = Promise.all(this.#running).then(() => Promise.all(this.#former.values()));
    await Promise.race([ended, untilAborted(signal)]);
  }

  #run(): Promise<void> {
    return this.#connections.run(async () => {
      try {
        const isStandby = await this.#once();
        if (isStandby) {
          this.#guard?.standby();
          // A demoted server's last position is nobody's progress.
          this.#workers = [];
        }
        return isStandby;
      } catch (error) {
        this.#guard?.ended();
        throw error;
      }
    }, this.#stop.signal);
  }

  /** For metrics and status, which run in other processes. */
  async #saveState(): Promise<void> {
    const { spoolPath, stanza = "" } = this.#proc.config;
    const { signal } = this.#stop;
    // Without news of a repository its last state stays: its age says enough.
    let states: readonly StreamState[] = await loadStreamState(spoolPath, stanza);
    const keys = new Set(this.#proc.repositories().map((repo) => repo.key));
    while (!signal.aborted) {
      await this.#ctx.clock.sleep(STATE_MS, signal).catch(() => {});
      const fresh = this.status().flatMap((status) => stateOf(status) ?? []);
      const stands = states.filter(({ key }) => keys.has(key) && !fresh.some((state) => state.key === key));
      states = [...fresh, ...stands].sort((left, right) => left.key - right.key);
      if (states.length === 0 && this.#guard === null) continue;
      await saveStreamState(spoolPath, stanza, states, this.#guard?.report() ?? null).catch((error: unknown) =>
        this.#ctx.log.debug(`unable to record the streamed position: ${toBackupError(error).message}`),
      );
    }
  }

  /** A server that shuts down waits until its synchronous receiver has confirmed everything. */
  async #letShutDown(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted && this.#guard !== null) {
      await this.#ctx.clock.sleep(SHUTDOWN_LOOK_MS, signal).catch(() => {});
      if (this.#guard.lagMs < SHUTDOWN_MS || !(await this.#isShuttingDown())) continue;
      this.#session.abort(fail("term", "the server is shutting down"));
    }
  }

  async #isShuttingDown(): Promise<boolean> {
    // The directory has no path while the server's container is gone.
    const read = async (): Promise<Uint8Array | null> =>
      this.#proc.readFile(`${this.#proc.dataDirectory}/postmaster.pid`);
    const file = await read().catch(() => null);
    return file !== null && parsePostmasterPid(Buffer.from(file).toString("utf8")).status === "stopping";
  }

  #once(): Promise<boolean> {
    const synchronous = this.#synchronousParts();
    const parts: StreamParts = {
      ...this.#conditions,
      repos: this.#proc.repositories(),
      intervalMs: this.#intervalMs,
      requireStarted: () => this.#proc.requireStarted(),
      loadControl: () => this.#proc.loadControl(),
      open: () => this.#proc.walStream(synchronous === null ? undefined : RECEIVER_NAME),
      listMissingWal: async (repoIndex: number) => {
        await this.#conditions.markFinished?.();
        const directory = readyDirectoryOf(this.#proc.config, this.#proc.dataDirectory);
        return listMissingWal(directory, () => this.#proc.missingWal().list(repoIndex));
      },
      recordLost: (repoIndex: number, walName: string, cluster: ClusterIdentity) =>
        this.#proc.missingWal().add(repoIndex, walName, cluster),
      lostCount: (repoIndex: number) => this.status().find((each) => each.repoIndex === repoIndex)?.lostCount ?? 0,
      archivedBefore: (repoIndex: number) =>
        this.#workers.find((worker) => worker.status().repoIndex === repoIndex)?.newestArchived ?? null,
      begun: (workers: readonly StreamWorker[]) => {
        this.#workers = workers;
        this.#connections.begun();
      },
      former: this.#former,
      ...(synchronous === null ? {} : { synchronous }),
    };
    this.#session = new AbortController();
    return streamOnce(parts, AbortSignal.any([this.#stop.signal, this.#session.signal]), this.#ctx);
  }
}

/**
 * Commits must not wait for a receiver that an earlier configuration has made synchronous. Only the server knows:
 * reports of former agents may be lost, or written again since. Tries until it answers.
 */
export async function stopRequiring(
  proc: Pick<CommandProcess, "newSession">,
  ctx: Context,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const session = await proc.newSession();
      try {
        if (await removeReceiver(session))
          ctx.log.info(`commits no longer wait for repositories: ${RECEIVER_NAME} left synchronous_standby_names`);
        return;
      } finally {
        await session.close();
      }
    } catch (error) {
      ctx.log.detail(`synchronous_standby_names is unknown: ${toBackupError(error).message}`);
      await ctx.clock.sleep(STANDBY_MS, signal).catch(() => {});
    }
  }
}
