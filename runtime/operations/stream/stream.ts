/**
 * Receives WAL from the running server and ships it into every repository before its segment is full. A host that is
 * lost with its disks then costs seconds of transactions and not a segment.
 *
 * One connection serves all repositories. It begins with the segment that the server is writing; `archive_command`
 * handles older ones. When it ends, received WAL is still shipped, while a new connection begins at the start of the
 * segment: a repository that hangs delays only itself. A standby is not streamed from: the primary's agent does that.
 */
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import type { PgControl } from "../../format/page/pgControl";
import { sessionName } from "../../format/wal/streamChunk";
import { formatLsn } from "../../format/wal/walSegment";
import type { Confirmation, WalStream } from "../../postgres/walStream";
import type { ClusterIdentity } from "../shared/identity";
import type { Repository } from "../../repository/repository";
import type { AcknowledgePolicy } from "../../config/types";
import { confirmedLsn, isAwaited } from "./confirmedLsn";
import { StreamWorker } from "./streamWorker";
import type { ArchivedSegment } from "./streamWorkerOptions";
import { WalWindow } from "./walWindow";

export type WalSource = Pick<WalStream, "identify" | "receive" | "close">;

export interface StreamParts {
  readonly repos: readonly Repository[];
  readonly intervalMs: number;
  /** @throws stop (62) when the user has stopped the stanza */
  requireStarted(): void;
  /** Control file of the data directory that this agent serves. */
  loadControl(): Promise<PgControl>;
  open(): Promise<WalSource>;
  /** Names of WAL files that a repository lacks: those that wait in `pg_wal`, and its recorded missing WAL. */
  listMissingWal(repoIndex: number): Promise<readonly string[]>;
  /** True when the server is known to be a standby without asking it. */
  isStandby?(): Promise<boolean>;
  /** Before WAL of a primary is received: a cluster's sidecar creates its stanza here. */
  prepare?(): Promise<void>;
  /** Checks once per session and repository that this server may write WAL of this timeline there. @throws if not */
  requireOwn?(repo: Repository, timeline: number): Promise<void>;
  /** Records durably that a repository lacks an archived segment again. */
  recordLost?(repoIndex: number, walName: string, cluster: ClusterIdentity): void;
  /** How often a repository has lost streamed WAL so far. */
  lostCount(repoIndex: number): number;
  /** The newest segment that an earlier connection has seen in a repository's archive. */
  archivedBefore?(repoIndex: number): ArchivedSegment | null;
  /** Receives the repository workers of a working connection. */
  begun(workers: readonly StreamWorker[]): void;
  /**
   * What still ships WAL of earlier connections, by repository key. Its repository's next worker waits for it, and no
   * other.
   */
  readonly former: Map<number, Promise<void>>;
  /** Absent when no commit waits for a repository. */
  readonly synchronous?: SynchronousParts;
}

export interface SynchronousParts {
  /** Repositories that must hold a commit before the server acknowledges it. */
  readonly policy: AcknowledgePolicy;
  /** Minimum time between the starts of two uploads to a repository. */
  readonly groupMs: number;
  /** Called when WAL was received or confirmed; a confirmed position of 0 is unknown. */
  moved(receivedLsn: bigint, confirmedLsn: bigint): void;
}

/** Time for repositories to take the rest after the connection has ended. */
const REST_MS = 10_000;

/**
 * Serves one connection until it ends or `signal` aborts; true when the server is a standby. After an abort it also
 * waits until the repositories have taken the rest. @throws why it ended
 */
export async function streamOnce(parts: StreamParts, signal: AbortSignal, ctx: Context): Promise<boolean> {
  parts.requireStarted();
  if ((await parts.isStandby?.()) === true) return true;
  const control = await parts.loadControl();
  const stream = await parts.open();
  try {
    const source = await stream.identify();
    if (source.systemId !== control.systemId) {
      const hint = "Check that pg1-path, pg1-port and pg1-socket-path belong to one server.";
      throw fail("dbMismatch", `the server has system-id ${source.systemId}, pg1-path ${control.systemId}`, { hint });
    }
    if (source.inRecovery) return true;
    await parts.prepare?.();
    const size = BigInt(control.walSegmentSizeBytes);
    const start = { timeline: source.timeline, lsn: (source.flushLsn / size) * size, flushLsn: source.flushLsn };
    throw await ship(stream, start, control, parts, signal, ctx);
  } finally {
    await stream.close();
  }
}

/** Returns why the connection has ended. */
async function ship(
  stream: WalSource,
  start: { readonly timeline: number; readonly lsn: bigint; readonly flushLsn: bigint },
  control: PgControl,
  parts: StreamParts,
  signal: AbortSignal,
  ctx: Context,
): Promise<Error> {
  const window = new WalWindow(start.lsn);
  const enough = new AbortController();
  const lost = new AbortController();
  const options = {
    cluster: { version: control.pgVersion, systemId: control.systemId },
    timeline: start.timeline,
    flushLsn: start.flushLsn,
    segmentSizeBytes: control.walSegmentSizeBytes,
    session: sessionName(ctx.clock.nowMs()),
    intervalMs: parts.intervalMs,
    requireStarted: () => parts.requireStarted(),
  };
  const workers: StreamWorker[] = [];
  const { synchronous } = parts;
  const confirmation = synchronous === undefined ? null : new Confirmed(synchronous, window, workers);
  for (const repo of parts.repos)
    workers.push(
      new StreamWorker(
        repo,
        window,
        {
          ...options,
          missingWal: await parts.listMissingWal(repo.key),
          listMissingWal: () => parts.listMissingWal(repo.key),
          lostCount: parts.lostCount(repo.key),
          archivedBefore: parts.archivedBefore?.(repo.key) ?? null,
          recordLost: (walName) => parts.recordLost?.(repo.key, walName, options.cluster),
          restart: (reason) => lost.abort(reason),
          requireOwn: async () => parts.requireOwn?.(repo, start.timeline),
          ...(confirmation !== null && isAwaited(confirmation.policy, repo.key) ? { prompt: confirmation } : {}),
        },
        { ...ctx, signal: enough.signal },
      ),
    );
  const running = new Map(
    workers.map((worker) => {
      const { repoIndex } = worker.status();
      return [repoIndex, (parts.former.get(repoIndex) ?? Promise.resolve()).then(() => worker.run())] as const;
    }),
  );
  ctx.log.info(`streaming WAL of timeline ${start.timeline} from ${formatLsn(start.lsn)} on`);
  parts.begun(workers);
  try {
    const sink = (lsn: bigint, wal: Uint8Array): void => {
      window.append(lsn, wal);
      confirmation?.received();
    };
    const ended = await stream.receive(start, sink, AbortSignal.any([signal, lost.signal]), confirmation);
    return lost.signal.aborted ? toBackupError(lost.signal.reason) : ended;
  } finally {
    window.close();
    confirmation?.end();
    const rest = withTimeTo(REST_MS, ctx.clock, (over) =>
      Promise.race([Promise.all(running.values()), untilAborted(over)]),
    ).finally(() => enough.abort(fail("term", "the stream has ended")));
    for (const [key, run] of running) parts.former.set(key, Promise.race([run, rest.then(() => {})]));
    if (signal.aborted) await rest;
  }
}

/** What a synchronous receiver confirms, from the state of its repository workers. */
class Confirmed implements Confirmation {
  readonly policy: AcknowledgePolicy;
  readonly groupMs: number;
  readonly #parts: SynchronousParts;
  readonly #window: WalWindow;
  readonly #workers: readonly StreamWorker[];
  #listener: () => void = () => {};
  #lsn = 0n;
  #hasEnded = false;

  constructor(parts: SynchronousParts, window: WalWindow, workers: readonly StreamWorker[]) {
    this.policy = parts.policy;
    this.groupMs = parts.groupMs;
    this.#parts = parts;
    this.#window = window;
    this.#workers = workers;
  }

  get lsn(): bigint {
    return this.#lsn;
  }

  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  received(): void {
    this.#parts.moved(this.#window.end, this.#lsn);
  }

  /** Repositories still take the rest, and the next connection confirms it. */
  end(): void {
    this.#hasEnded = true;
  }

  progressed(): void {
    if (this.#hasEnded) return;
    const statuses = this.#workers.map((worker) => worker.status());
    this.#lsn = confirmedLsn(this.policy, statuses);
    this.#listener();
    this.received();
  }
}
