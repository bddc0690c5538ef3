/**
 * WAL of the running cluster, received from its server and shipped into every repository before its segment is full: what a host costs that is lost
 * with its disks is then seconds and not a segment.
 *
 * One connection serves all repositories. It begins with the segment that the server writes; older ones are `archive_command`'s. When it ends,
 * what was received is still shipped, and a new one begins the segment anew. A standby is not streamed from: its primary's agent does it.
 */
import { untilAborted, withTimeTo } from "../base/clock";
import type { Context } from "../base/context";
import { fail, toBackupError } from "../base/errors";
import type { CommandHost } from "../commands/host";
import { sessionName } from "../format/streamChunk";
import { formatLsn } from "../format/walSegment";
import { type LaneStatus, StreamLane } from "../operations/stream/lane";
import { WalWindow } from "../operations/stream/window";
import type { WalStream } from "../postgres/walStream";

const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 10_000;
/** A server that is being started or restarted is no news. */
const SILENT_MS = 15_000;
/** A connection that held so long was well: the next pause is a short one. */
const WELL_MS = 10_000;
/** Of asking a standby whether it has been promoted. */
const STANDBY_MS = 5000;
/** For repositories to take the rest after the connection has ended. */
const REST_MS = 10_000;

export class StreamService {
  readonly #host: CommandHost;
  readonly #ctx: Context;
  readonly #intervalMs: number;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #lanes: readonly StreamLane[] = [];
  /** What keeps it from streaming, since when, and whether that was told. */
  #trouble: { readonly message: string; readonly sinceMs: number; told: boolean } | null = null;

  /** Begins at once. */
  constructor(host: CommandHost, ctx: Context, intervalMs: number) {
    this.#host = host;
    this.#ctx = ctx;
    this.#intervalMs = intervalMs;
    this.#running = this.#run();
  }

  /** A repository's archive has this file now. */
  stored(repoKey: number, walName: string): void {
    for (const lane of this.#lanes) if (lane.status().repoKey === repoKey) lane.archived(walName);
  }

  status(): readonly LaneStatus[] {
    return this.#lanes.map((lane) => lane.status());
  }

  /** Ships what was received, until `signal` aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent ends"));
    await Promise.race([this.#running, untilAborted(signal)]);
  }

  async #run(): Promise<void> {
    const { clock } = this.#ctx;
    const { signal } = this.#stop;
    for (let pauseMs = 0; !signal.aborted; ) {
      const beganAtMs = clock.monotonicMs();
      const isStandby = await this.#once().catch((error: unknown) => {
        if (!signal.aborted) this.#tell(toBackupError(error).message);
        return false;
      });
      const held = clock.monotonicMs() - beganAtMs >= WELL_MS;
      pauseMs = isStandby ? STANDBY_MS : held ? PAUSE_FIRST_MS : Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  }

  #tell(message: string): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    const known = this.#trouble;
    const trouble = known?.told === true && known.message !== message ? null : known;
    const sinceMs = trouble?.sinceMs ?? known?.sinceMs ?? nowMs;
    const told = trouble?.told === true || nowMs - sinceMs >= SILENT_MS;
    if (told && trouble?.told !== true) this.#ctx.log.warn(`WAL is not streamed: ${message}`);
    else this.#ctx.log.detail(`WAL is not streamed: ${message}`);
    this.#trouble = { message, sinceMs, told };
  }

  /** One connection, to its end; true when the server is a standby. @throws why it ended */
  async #once(): Promise<boolean> {
    this.#host.requireStarted();
    const control = await this.#host.loadControl();
    const stream = await this.#host.walStream();
    try {
      const source = await stream.identify();
      if (source.systemId !== control.systemId) {
        const hint = "do pg1-path, pg1-port and pg1-socket-path belong together?";
        throw fail("dbMismatch", `the server has system-id ${source.systemId}, pg1-path ${control.systemId}`, { hint });
      }
      if (source.inRecovery) return true;
      const size = BigInt(control.walSegmentSizeBytes);
      const start = { timeline: source.timeline, lsn: (source.flushLsn / size) * size };
      const cluster = { version: control.pgVersion, systemId: control.systemId };
      await this.#ship(stream, start, cluster, control.walSegmentSizeBytes);
      return false;
    } finally {
      await stream.close();
    }
  }

  async #ship(
    stream: WalStream,
    start: { readonly timeline: number; readonly lsn: bigint },
    cluster: { readonly version: string; readonly systemId: bigint },
    segmentSizeBytes: number,
  ): Promise<void> {
    const { clock, log } = this.#ctx;
    const window = new WalWindow(start.lsn);
    const enough = new AbortController();
    const ctx = { ...this.#ctx, signal: enough.signal };
    const options = {
      cluster,
      timeline: start.timeline,
      segmentSizeBytes,
      session: sessionName(clock.nowMs()),
      intervalMs: this.#intervalMs,
      requireStarted: () => this.#host.requireStarted(),
    };
    this.#lanes = this.#host.repositories().map((repo) => new StreamLane(repo, window, options, ctx));
    const shipping = Promise.all(this.#lanes.map((lane) => lane.run()));
    log.info(`streaming WAL of timeline ${start.timeline} from ${formatLsn(start.lsn)} on`);
    this.#trouble = null;
    try {
      throw await stream.receive(start, (lsn, wal) => window.append(lsn, wal), this.#stop.signal);
    } finally {
      window.close();
      await withTimeTo(REST_MS, clock, (over) => Promise.race([shipping, untilAborted(over)]));
      enough.abort(fail("term", "the stream has ended"));
      await shipping;
    }
  }
}
