/**
 * The agent's WAL service for one cluster: a push queue over the ready files of pg_wal, replaced when the cluster
 * changes, the healer alongside it, and a call that wakes the server's checkpointer.
 *
 * pg_control is read twice a second: after an upgrade, or when the data directory was replaced, the service no longer
 * answers for the previous cluster. A stop file ends the queue; after `start` a new one opens the repositories again.
 */
import { untilAborted, withTimeTo } from "../base/clock";
import type { Context } from "../base/context";
import { type BackupError, fail, toBackupError } from "../base/errors";
import type { CommandProcess } from "../process/commandProcess";
import type { MissingWalStore } from "../local/missingWal";
import { openSeenWal } from "../local/seenWal";
import { readyDirectoryOf } from "../operations/slot/readyDirectory";
import type { RepoResult } from "../base/parallel";
import { forgetUnwanted } from "../operations/archivePush/conflicts";
import { heal, type Healed } from "../operations/heal/heal";
import { dropWhenFull } from "../operations/archivePush/dropWal";
import { type LocalWal, openLocalWal } from "../operations/shared/localWal";
import type { ClusterIdentity } from "../operations/shared/identity";
import { type WorkerStatus, type PushAnswer, PushQueue, type WorkLock } from "../operations/archivePush/pushQueue";
import type { PackWalJob } from "../operations/archivePush/walFile";
import { wakeCheckpointers } from "./checkpointer";
import { standbyOptions } from "./gapBackup";
import { closeGapsForever } from "./gapCloser";
import { ArchiveLock } from "./archiveLock";
import { underLimit } from "../repository/repository";
import { healForever } from "./healer";
import { recordInherited } from "../operations/heal/inheritedWal";

const LOOK_MS = 500;
/** pg_control is read again after this time: an answer to PostgreSQL takes less time than a read. */
const CHECK_MS = 400;
/** For healthy repositories, after the policy is satisfied: their workers continue after it. */
const GRACE_MS = 1000;
/** For copies of missing WAL, at the end. */
const LOOPS_MS = 5000;

export interface Pushed {
  readonly answer: PushAnswer;
  /** Reported alongside the answer. */
  readonly warnings: readonly string[];
}

interface Present {
  readonly cluster: ClusterIdentity;
  /** A container that is made again may have another one. */
  readonly walDirectory: string;
  readonly queue: PushQueue;
}

export class WalService {
  readonly #proc: CommandProcess;
  readonly #ctx: Context;
  readonly #mayGoAhead: (walName: string) => boolean;
  readonly #onStored: (repoIndex: number, walName: string) => void;
  readonly #missingWal: MissingWalStore;
  readonly #lock: ArchiveLock;
  readonly #healLock: ArchiveLock;
  /** For copies between archives. */
  readonly #bothLocks: WorkLock;
  readonly #stop = new AbortController();
  readonly #loops: readonly Promise<void>[];
  readonly #inherited = new Set<string>();
  #checkedAtMs = Number.NEGATIVE_INFINITY;
  #present: Present | null = null;
  #opening: Promise<Present> | null = null;

  /**
   * `mayGoAhead`: which ready files may be pushed before PostgreSQL requests them; default all. `onStored` is called
   * for each file that a repository has stored.
   */
  constructor(
    proc: CommandProcess,
    ctx: Context,
    mayGoAhead: (walName: string) => boolean = () => true,
    onStored: (repoIndex: number, walName: string) => void = () => {},
  ) {
    this.#proc = proc;
    this.#ctx = ctx;
    this.#mayGoAhead = mayGoAhead;
    this.#onStored = onStored;
    this.#missingWal = proc.missingWal();
    const repos = proc.repositories();
    this.#lock = new ArchiveLock(() => proc.lock("archive", repos), ctx);
    this.#healLock = new ArchiveLock(() => proc.lock("heal", []), ctx);
    this.#bothLocks = bothOf(this.#healLock, this.#lock);
    const parts = {
      repos: underLimit(repos),
      missingWal: this.#missingWal,
      lock: this.#bothLocks,
      present: () => this.#healing(),
    };
    const server = {
      dataDirectory: () => proc.dataDirectory,
      readFile: proc.readFile.bind(proc),
      newSession: () => proc.newSession(),
    };
    this.#loops = [
      this.#lookForever(),
      healForever(parts, ctx, this.#stop.signal),
      this.#closeGaps(),
      wakeCheckpointers(server, ctx, this.#stop.signal),
    ];
  }

  get walDirectory(): string {
    return this.#proc.walDirectory;
  }

  /** Its `archive_status` lists the files that wait for the archive. */
  get readyDirectory(): string {
    return readyDirectoryOf(this.#proc.config, this.#proc.dataDirectory);
  }

  /**
   * @throws stop (62), and errors of {@link PushQueue.request}
   */
  async push(walName: string): Promise<Pushed> {
    const { config } = this.#proc;
    const { queue, cluster } = await this.#open();
    if (walName.endsWith(".history")) await this.#inherit(walName, cluster);
    const answer = await queue.request(walName, config.settings.acknowledge, config.archive.timeoutMs);
    if (answer.accepted) return { answer, warnings: [] };
    const options = {
      walDirectory: this.walDirectory,
      readyDirectory: this.readyDirectory,
      walName,
      cluster,
      queueSizeBytesMax: config.archive.pushQueueSizeBytesMax,
    };
    const dropped = await dropWhenFull(answer, this.#missingWal, options, this.#ctx);
    return dropped === null
      ? { answer, warnings: [] }
      : { answer: { ...answer, accepted: true, error: null }, warnings: [dropped] };
  }

  status(): readonly (WorkerStatus & { readonly missingWalCount: number; readonly conflictCount: number })[] {
    const workers =
      this.#present?.queue.status() ??
      this.#proc.repositories().map((repo) => ({ repoIndex: repo.key, waitingCount: 0, error: null }));
    return workers.map((worker) => ({
      ...worker,
      missingWalCount: this.#missingWal.list(worker.repoIndex).length,
      conflictCount: this.#missingWal.listConflicts(worker.repoIndex).length,
    }));
  }

  /**
   * Compares whole archives and copies missing WAL alongside the queue and the healer: also files without a record on
   * this volume. Copies `copiesMax` files into each repository.
   * @throws stop (62), lockAcquire (50) while a `heal` runs, and errors of reading pg_control
   */
  async healWhole(copiesMax: number, signal: AbortSignal): Promise<RepoResult<Healed>[]> {
    const { cluster, queue } = await this.#open();
    const local = this.#localWal(cluster);
    this.#bothLocks.enter();
    try {
      const request = { missingWal: this.#missingWal, cluster, local, bounds: { claims: queue, copiesMax } };
      return await heal(underLimit(this.#proc.repositories()), request, { ...this.#ctx, signal });
    } finally {
      this.#bothLocks.leave();
    }
  }

  /** Lets transfers finish until `signal` aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#stop.abort(fail("term", "the agent is ending"));
    await this.#present?.queue.close(signal);
    // A copy into a repository that is down would delay the end; the next process copies it.
    await withTimeTo(LOOPS_MS, this.#ctx.clock, (enough) =>
      Promise.race([Promise.all(this.#loops), untilAborted(AbortSignal.any([signal, enough]))]),
    );
    this.#healLock.release();
    this.#lock.release();
  }

  /** PostgreSQL archives a history after a promotion and repeats the request; the comparison runs once. */
  async #inherit(historyName: string, cluster: ClusterIdentity): Promise<void> {
    if (this.#inherited.has(historyName)) return;
    try {
      const { walSegmentSizeBytes } = await this.#proc.loadControl();
      const parts = {
        repos: this.#proc.repositories(),
        missingWal: this.#missingWal,
        cluster,
        walDirectory: this.walDirectory,
        walSegmentSizeBytes,
      };
      await recordInherited(historyName, parts, this.#ctx);
      this.#inherited.add(historyName);
    } catch (error) {
      this.#ctx.log.warn(
        `WAL from before ${historyName} cannot be compared with the archive: ${toBackupError(error).message}`,
      );
    }
  }

  /** The queue of the current cluster. */
  async #open(): Promise<Present> {
    try {
      this.#proc.requireStarted();
    } catch (error) {
      this.#leave();
      throw error;
    }
    const known = this.#present;
    const nowMs = this.#ctx.clock.monotonicMs();
    const isSeen = nowMs - this.#checkedAtMs < CHECK_MS;
    if (known !== null && isSeen && known.walDirectory === this.walDirectory) return known;
    // Concurrent calls share one: two queues of one cluster would write the same files at once.
    this.#opening ??= this.#reopen(nowMs).finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #reopen(nowMs: number): Promise<Present> {
    const { pgVersion: version, systemId, walSegmentSizeBytes: segmentSizeBytes } = await this.#proc.loadControl();
    this.#checkedAtMs = nowMs;
    const known = this.#present;
    const { walDirectory } = this;
    const isSame = known?.cluster.version === version && known.cluster.systemId === systemId;
    if (isSame && known.walDirectory === walDirectory) return known;
    this.#leave();
    const { config } = this.#proc;
    const cluster = { version, systemId };
    const options = {
      walDirectory,
      readyDirectory: this.readyDirectory,
      cluster,
      headerCheck: config.archive.headerCheck,
      segmentSizeBytes,
      seen: openSeenWal(config.spoolPath, config.stanza ?? ""),
      isStopping: () => this.#proc.isServerStopping(),
      processMax: config.processMax,
      graceMs: GRACE_MS,
      pack: (job: PackWalJob) => this.#proc.pool().run(job),
      onStored: this.#onStored,
    };
    this.#present = {
      cluster,
      walDirectory,
      queue: new PushQueue(this.#proc.repositories(), this.#missingWal, options, this.#lock, this.#ctx),
    };
    return this.#present;
  }

  #leave(): void {
    void this.#present?.queue.close(AbortSignal.abort());
    this.#present = null;
  }

  #healing(): ReturnType<Parameters<typeof healForever>[0]["present"]> {
    if (this.#present === null) return null;
    const { cluster, queue } = this.#present;
    return {
      cluster,
      claims: queue,
      local: this.#localWal(cluster),
    };
  }

  #localWal(cluster: ClusterIdentity): LocalWal {
    const { headerCheck } = this.#proc.config.archive;
    return openLocalWal(this.walDirectory, cluster, headerCheck, undefined, this.readyDirectory);
  }

  #closeGaps(): Promise<void> {
    const { config } = this.#proc;
    const repos = this.#proc.repositories();
    const parts = {
      repos,
      missingWal: this.#missingWal,
      present: () =>
        this.#present === null ? null : { cluster: this.#present.cluster, status: this.#present.queue.status() },
      backup: async (repoIndexes: readonly number[], signal: AbortSignal): Promise<number> => {
        const standby = await standbyOptions(() => this.#proc.newSession(), config.archive.timeoutMs);
        const stanza = `--stanza=${config.stanza ?? ""}`;
        const args = [...config.carriedOptions, stanza, "backup", "--type=incr", ...standby];
        // All of them in one run, otherwise one after the other.
        if (repoIndexes.length === repos.length) return this.#proc.runSelf(args, signal);
        let worst = 0;
        for (const key of repoIndexes)
          worst = Math.max(worst, await this.#proc.runSelf([...args, `--repo=${key}`], signal));
        return worst;
      },
    };
    return closeGapsForever(parts, this.#ctx, this.#stop.signal);
  }

  async #lookForever(): Promise<void> {
    const { signal } = this.#stop;
    let reported: BackupError | null = null;
    while (!signal.aborted) {
      try {
        await (await this.#open()).queue.look(this.#mayGoAhead);
        forgetUnwanted(this.#missingWal, this.#proc.repositories(), this.readyDirectory);
        reported = null;
      } catch (thrown) {
        const error = toBackupError(thrown);
        if (reported?.message !== error.message) this.#ctx.log.warn(`unable to look ahead: ${error.message}`);
        reported = error;
      }
      await this.#ctx.clock.sleep(LOOK_MS, signal).catch(() => {});
    }
  }
}

/** Copies between archives write into them, and must exclude a manual `heal`. */
function bothOf(first: WorkLock, second: WorkLock): WorkLock {
  return {
    enter: () => {
      first.enter();
      try {
        second.enter();
      } catch (error) {
        first.leave();
        throw error;
      }
    },
    leave: () => {
      second.leave();
      first.leave();
    },
  };
}
