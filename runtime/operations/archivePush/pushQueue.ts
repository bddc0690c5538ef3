/**
 * Pushes all files that wait in pg_wal into every repository, as long as the process lives.
 *
 * The agent, the background process of `archive-async` and the command without both share it: a list of ready files,
 * and `process-max` workers per repository. A worker takes the oldest file that its repository lacks; a requested file
 * comes first. A repository that fails pauses, longer each time, and is tried immediately when PostgreSQL asks; the
 * others never wait for it. The policy decides about a request as soon as it can. What a repository then still lacks is
 * recorded as missing before the answer, and its workers continue. A conflict (45) pauses its repository for everything
 * but requested files: another host may write there.
 *
 * A request trusts what was stored seconds ago. A file that was stored earlier, before the repository failed, or into
 * another archive, is first looked up in the repository: the archive may have been recreated in the meantime.
 */
import { untilAborted } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import type { MissingWalStore } from "../../local/missingWal";
import type { FailedRepos } from "../../local/failedRepos";
import type { SeenWal, SeenWalStore } from "../../local/seenWal";
import { listReady } from "../../postgres/archiveStatus";
import type { Repository } from "../../repository/repository";
import { decide, isSatisfied } from "./acknowledge";
import type { AcknowledgePolicy } from "../../config/types";
import type { WalClaims } from "../heal/heal";
import { type ClusterIdentity, UNKNOWN_CLUSTER } from "../shared/identity";
import { recordingConflict } from "./conflicts";
import { ListedNames } from "./neighbours";
import { type PreparedWal, WalPreparer } from "./prepareWal";
import type { OpenArchive } from "../shared/knownWal";
import { Patience } from "./patience";
import { PushTarget } from "./pushWal";
import { type FileState, inOrder, newFile, type QueuedFile } from "./queuedFile";
import { pushError, repoErrorLine } from "../shared/results";
import { identifyWal, type PackedWal, type PackWalJob } from "./walFile";

export interface PushQueueOptions {
  readonly walDirectory: string;
  /** Its `archive_status` lists the waiting files; default: `walDirectory`. */
  readonly readyDirectory?: string;
  /** Null without a pg_control or header to compare with: then each repository's own identity counts. */
  readonly cluster: ClusterIdentity | null;
  readonly headerCheck: boolean;
  /** Size of the cluster's segments, from pg_control; absent: as the segment's header says. */
  readonly segmentSizeBytes?: number | undefined;
  /** What earlier processes have stored; absent: unknown. */
  readonly seen?: SeenWalStore;
  /** Repositories that failed in an earlier process, if this one ends with its requests. */
  readonly failed?: FailedRepos;
  /** True while PostgreSQL stops, which waits for its archiver; absent: never. */
  readonly isStopping?: () => boolean;
  /** Concurrent transfers into one repository. */
  readonly processMax: number;
  /**
   * How long a healthy repository may take after the policy is satisfied, before the file is recorded as missing there.
   */
  readonly graceMs: number;
  /** Reads and compresses segments in other threads; absent: in this one. */
  readonly pack?: (job: PackWalJob) => Promise<PackedWal>;
  /** Called for each file that a repository's archive now has. */
  readonly onStored?: (repoIndex: number, walName: string, stored: "pushed" | "present") => void;
  /** Absent: the queue outlives its requests. */
  readonly single?: SingleRequest;
}

/**
 * For a process that ends after one request. Its workers do not continue, so a repository that answers gets the whole
 * grace even if it is behind: it would never catch up if every call cut it off. A file ahead whose name is stored is
 * not read, or each call would hash all waiting files; its content is checked when PostgreSQL requests it.
 */
interface SingleRequest {
  /** Holds the requested file. */
  readonly preparer: WalPreparer;
  /** Asked before a file is pushed ahead. */
  mayPushAhead(): boolean;
}

/** A lock to hold during every write. `enter` is called for each file and throws when the lock is not available. */
export interface WorkLock {
  enter(): void;
  leave(): void;
}

export interface PushAnswer {
  readonly results: readonly RepoResult<"pushed" | "present">[];
  readonly accepted: boolean;
  readonly reposBehind: readonly number[];
  /** False if the request did not wait for the first attempt of a repository. */
  readonly isTried: boolean;
  /** The error for PostgreSQL when the file is not accepted. */
  readonly error: BackupError | null;
}

export interface WorkerStatus {
  readonly repoIndex: number;
  /** Ready files that the repository lacks, as far as known. */
  readonly waitingCount: number;
  /** Why it pauses; null when it is healthy. */
  readonly error: BackupError | null;
}

interface Answers {
  readonly settled: ReadonlyMap<number, RepoResult<"pushed" | "present">>;
  /** Errors of the repositories that the request does not wait for. */
  readonly givenUp: ReadonlyMap<number, BackupError>;
}

interface RepositoryWorker {
  readonly repo: Repository;
  readonly target: PushTarget;
  readonly seen: SeenWal;
  readonly names: ListedNames;
  readonly patience: Patience;
  openedAtMs: number;
  pauseMs: number;
  pausedUntilMs: number;
  error: BackupError | null;
  archive: OpenArchive | null;
  /** Increases when earlier results can no longer be trusted. */
  epoch: number;
  /** Names that are being written into this repository, by a worker or a claimant. */
  readonly inHand: Set<string>;
  /** Pushes that have not ended. */
  readonly pushes: Set<Promise<void>>;
}

const PAUSE_FIRST_MS = 1000;
const PAUSE_MS_MAX = 60_000;
/** An idle worker looks again after this time at the latest. */
const IDLE_MS = 1000;
/** archive.info is reloaded after this time: a new stanza has a new key. */
const REOPEN_MS = 10_000;
/**
 * How long a repository is trusted to hold a stored or seen file. PostgreSQL requests most segments within a second.
 */
const BELIEVED_MS = 10_000;
/** What is stored is kept for the next process this often. */
const SAVE_SEEN_MS = 30_000;
/** Pushes under way, for each of `process-max`; most of them wait for a listing. */
const UNSEEN_FACTOR = 3;
/** Prepared files held in addition to those in transfer. */
const HELD_MORE = 2;
/** Grace of a {@link SingleRequest} for repositories that are behind and silent: they are probably down. */
const BEHIND_GRACE_MS = 500;
/** Between two looks whether to wait for a repository. */
const PATIENCE_MS = 250;

/** The kinds of compression of these repositories. */
export function specsOf(repos: readonly Repository[]): readonly Repository["compress"][] {
  return [...new Map(repos.map(({ compress }) => [`${compress.type}:${compress.level}`, compress])).values()];
}

export class PushQueue implements WalClaims {
  readonly #options: PushQueueOptions;
  readonly #missingWal: MissingWalStore;
  readonly #ctx: Context;
  readonly #lock: WorkLock | null;
  readonly #workers: readonly RepositoryWorker[];
  readonly #preparer: WalPreparer;
  readonly #files = new Map<string, QueuedFile>();
  #order: readonly QueuedFile[] = [];
  readonly #waiters = new Set<() => void>();
  /** Loops by repository. */
  readonly #loops: ReadonlyMap<number, Promise<unknown>>;
  #closed = false;
  #seenSavedAtMs: number;

  /** Starts the workers, which idle until {@link look} or {@link request}. */
  constructor(
    repos: readonly Repository[],
    missingWal: MissingWalStore,
    options: PushQueueOptions,
    lock: WorkLock | null,
    ctx: Context,
  ) {
    this.#options = options;
    this.#missingWal = missingWal;
    this.#lock = lock;
    this.#ctx = ctx;
    const specs = specsOf(repos);
    const { walDirectory, headerCheck, segmentSizeBytes, processMax, cluster, pack, single } = options;
    const held = {
      heldMax: processMax + HELD_MORE,
      kindCount: specs.length,
      ...(pack === undefined ? {} : { pack: { specs, run: pack } }),
    };
    this.#preparer =
      single?.preparer ?? new WalPreparer({ walDirectory, headerCheck, segmentSizeBytes, ...held }, cluster);
    this.#workers = repos.map((repo) => {
      const seen = options.seen?.load(repo.key) ?? new Map();
      return {
        repo,
        target: new PushTarget(repo, ctx, seen),
        seen,
        names: new ListedNames(repo),
        patience: new Patience(repo, options.failed, ctx),
        openedAtMs: Number.NEGATIVE_INFINITY,
        pauseMs: 0,
        pausedUntilMs: 0,
        error: null,
        archive: null,
        epoch: 0,
        inHand: new Set(),
        pushes: new Set(),
      };
    });
    this.#seenSavedAtMs = ctx.clock.monotonicMs();
    this.#loops = new Map(
      this.#workers.map((worker) => [
        worker.repo.key,
        Promise.all(Array.from({ length: processMax }, () => this.#work(worker))),
      ]),
    );
  }

  /** Cluster of the records of missing WAL. */
  get #cluster(): ClusterIdentity {
    return this.#options.cluster ?? UNKNOWN_CLUSTER;
  }

  get #repoIndexes(): readonly number[] {
    return this.#workers.map(({ repo }) => repo.key);
  }

  /** Lists the files that are ready now and may be pushed before a request. Reads one directory. */
  async look(mayGoAhead: (walName: string) => boolean = () => true): Promise<void> {
    const { walDirectory, readyDirectory = walDirectory } = this.#options;
    this.setReady((await listReady(readyDirectory, LIMITS.queueFiles)).filter(mayGoAhead));
  }

  /** Others are forgotten unless they are requested or being written. */
  setReady(names: readonly string[]): void {
    const ready = new Set(names);
    for (const file of this.#files.values()) file.ready = ready.has(file.name);
    for (const name of names) this.#add(name).ready = true;
    // A Map allows deletion during iteration.
    for (const file of this.#files.values()) {
      if (!file.ready && file.requests === 0 && !this.#isBusy(file)) this.#forget(file);
    }
    this.#sort();
    this.#notify();
    if (this.#ctx.clock.monotonicMs() - this.#seenSavedAtMs > SAVE_SEEN_MS) this.#saveSeen();
  }

  /**
   * Pushes one file by name, as `archive_command` requests it. A refused file may be requested again at any time.
   * @throws archiveMismatch, fileInvalid, fileMissing, fileRead: errors of the file itself; term when the queue is
   * closed
   */
  async request(name: string, policy: AcknowledgePolicy, timeoutMs: number): Promise<PushAnswer> {
    const fileId = identifyWal(`${this.#options.walDirectory}/${name}`);
    await this.#preparer.keepOnly(name, fileId);
    const file = this.#current(name, fileId);
    file.requests++;
    file.fatal = null;
    try {
      const failuresBefore = new Map([...file.states].map(([key, state]) => [key, state.failures]));
      for (const worker of this.#workers) this.#doubt(worker, file);
      for (const state of file.states.values()) state.urgent = state.stored === null;
      this.#notify();
      const beganAtMs = this.#ctx.clock.monotonicMs();
      const deadlineMs = beganAtMs + timeoutMs;
      let satisfiedAtMs: number | null = null;
      for (;;) {
        if (file.fatal !== null) throw file.fatal as BackupError;
        const settled = this.#settled(file, failuresBefore);
        const givenUp = this.#givenUp(settled, beganAtMs);
        const nowMs = this.#ctx.clock.monotonicMs();
        if (satisfiedAtMs === null && this.#isSatisfied(policy, settled)) satisfiedAtMs = nowMs;
        const graceEndMs = satisfiedAtMs === null ? Number.POSITIVE_INFINITY : satisfiedAtMs + this.#graceMs(settled);
        const endMs = Math.min(deadlineMs, graceEndMs);
        if (settled.size + givenUp.size === this.#workers.length || nowMs >= endMs)
          return this.#answer(file, policy, { settled, givenUp }, timeoutMs);
        if (this.#closed && (this.#ctx.signal.aborted || !this.#isBusy(file)))
          throw fail("term", `terminated while pushing ${name}`, { retryable: true });
        await this.#change(Math.min(endMs - nowMs, PATIENCE_MS));
      }
    } finally {
      file.requests--;
    }
  }

  /** Waits until every healthy repository, or of those named, holds all ready files, `limitMs` at most. */
  async drain(limitMs: number, repoIndexes = this.#repoIndexes): Promise<void> {
    const endMs = this.#ctx.clock.monotonicMs() + limitMs;
    const isOver = (file: QueuedFile, state: FileState | undefined): boolean =>
      file.fatal !== null || state?.stored !== null || state.left;
    const isDone = ({ error, repo }: RepositoryWorker): boolean =>
      error !== null ||
      !repoIndexes.includes(repo.key) ||
      this.#order.every((file) => isOver(file, file.states.get(repo.key)));
    while (!this.#closed && !this.#workers.every(isDone)) {
      const leftMs = endMs - this.#ctx.clock.monotonicMs();
      if (leftMs <= 0) return;
      await this.#change(leftMs);
    }
  }

  status(): WorkerStatus[] {
    return this.#workers.map((worker) => ({
      repoIndex: worker.repo.key,
      waitingCount: this.#order.filter((file) => file.ready && file.states.get(worker.repo.key)?.stored === null)
        .length,
      error: worker.error,
    }));
  }

  claim(repoIndex: number, name: string): boolean {
    const worker = this.#workers.find((candidate) => candidate.repo.key === repoIndex);
    if (worker === undefined || worker.inHand.has(name)) return false;
    worker.inHand.add(name);
    return true;
  }

  release(repoIndex: number, name: string): void {
    this.#workers.find((worker) => worker.repo.key === repoIndex)?.inHand.delete(name);
    this.#notify();
  }

  /**
   * Starts nothing new; waits until transfers, or those into `repoIndexes`, have finished or `signal` aborts. Does not
   * wait for a repository that is down.
   */
  async close(signal: AbortSignal, repoIndexes = this.#repoIndexes): Promise<void> {
    this.#closed = true;
    this.#notify();
    const beganAtMs = this.#ctx.clock.monotonicMs();
    const ending = this.#workers.filter(({ repo }) => repoIndexes.includes(repo.key));
    await Promise.race([
      Promise.all(ending.map((worker) => this.#ended(worker, beganAtMs, signal))),
      untilAborted(signal),
    ]);
    this.#saveSeen();
  }

  async #ended({ patience, repo }: RepositoryWorker, beganAtMs: number, signal: AbortSignal): Promise<void> {
    let isOver = signal.aborted;
    void this.#loops.get(repo.key)?.then(() => {
      isOver = true;
      this.#notify();
    });
    while (!isOver && !signal.aborted && patience.givenUp(beganAtMs, true) === null) await this.#change(PATIENCE_MS);
  }

  #saveSeen(): void {
    this.#seenSavedAtMs = this.#ctx.clock.monotonicMs();
    for (const { repo, seen } of this.#workers) this.#options.seen?.save(repo.key, seen);
  }

  async #work(worker: RepositoryWorker): Promise<void> {
    while (!this.#closed) {
      const taken = this.#take(worker);
      if (taken === null) await this.#change(IDLE_MS);
      else await this.#untilSent(worker, taken.file, taken.state);
    }
    await Promise.all(worker.pushes);
  }

  /**
   * Ends with the transfer: the look at the archive after it needs no worker, and is shared by files that were sent
   * in the meantime. Waits for the whole push when too many of them have not been looked at.
   */
  #untilSent(worker: RepositoryWorker, file: QueuedFile, state: FileState): Promise<void> {
    return new Promise((resolve) => {
      const onSent = (): void => {
        if (worker.pushes.size <= UNSEEN_FACTOR * this.#options.processMax) resolve();
      };
      const push = this.#pushOne(worker, file, state, onSent).finally(() => {
        worker.pushes.delete(push);
        resolve();
      });
      worker.pushes.add(push);
    });
  }

  /** A requested file, else the oldest untried one, else one whose last failure is long enough ago. */
  #take(worker: RepositoryWorker): { readonly file: QueuedFile; readonly state: FileState } | null {
    const nowMs = this.#ctx.clock.monotonicMs();
    let retry: { readonly file: QueuedFile; readonly state: FileState } | undefined;
    let fresh: typeof retry;
    for (const file of this.#order) {
      const state = file.states.get(worker.repo.key);
      if (state === undefined || state.stored !== null || state.busy || worker.inHand.has(file.name)) continue;
      if (state.urgent && file.requests > 0) return { file, state };
      if (!file.ready || state.left) continue;
      if (state.failures === 0) fresh ??= { file, state };
      else if (nowMs >= state.retryAtMs) retry ??= { file, state };
    }
    return nowMs < worker.pausedUntilMs ? null : (fresh ?? retry ?? null);
  }

  async #pushOne(worker: RepositoryWorker, file: QueuedFile, state: FileState, onSent: () => void): Promise<void> {
    state.busy = true;
    state.urgent = false;
    worker.inHand.add(file.name);
    try {
      this.#lock?.enter();
      try {
        await this.#pushThrough(worker, file, state, onSent);
      } finally {
        this.#lock?.leave();
      }
    } catch (error) {
      this.#failed(file, state, toBackupError(error));
    } finally {
      state.busy = false;
      worker.inHand.delete(file.name);
      this.#notify();
    }
  }

  /** Makes a worker look up a file that the repository is no longer trusted to hold. */
  #doubt(worker: RepositoryWorker, file: QueuedFile): void {
    const state = file.states.get(worker.repo.key);
    if (state === undefined || state.stored === null) return;
    if (state.seenEpoch === worker.epoch && this.#ctx.clock.monotonicMs() - state.seenAtMs <= BELIEVED_MS) return;
    state.stored = null;
    // The healer is writing it: a worker looks when it is free.
    if (worker.inHand.has(file.name)) return;
    state.busy = true;
    worker.inHand.add(file.name);
    void this.#lookFor(worker, file, state);
  }

  /**
   * Runs alongside the workers, which may all be busy with large files. The workers push files that are missing or
   * cannot be looked up.
   */
  async #lookFor(worker: RepositoryWorker, { name, sha1, sizeBytes }: QueuedFile, state: FileState): Promise<void> {
    try {
      const archive = await this.#openArchive(worker);
      if (sha1 !== null && (await worker.target.holds({ name, sha1, sizeBytes }, archive)))
        this.#setStored(worker, state, "present");
    } catch (error) {
      this.#ctx.log.debug(`${worker.repo.name}: ${name} cannot be looked up: ${toBackupError(error).message}`);
      worker.target.forget();
    } finally {
      state.busy = false;
      worker.inHand.delete(name);
      this.#notify();
    }
  }

  #setStored(worker: RepositoryWorker, state: FileState, stored: "pushed" | "present"): void {
    state.stored = stored;
    state.seenAtMs = this.#ctx.clock.monotonicMs();
    state.seenEpoch = worker.epoch;
    state.error = null;
  }

  async #openArchive(worker: RepositoryWorker): Promise<OpenArchive> {
    const nowMs = this.#ctx.clock.monotonicMs();
    if (nowMs - worker.openedAtMs > REOPEN_MS) {
      worker.target.forget();
      worker.openedAtMs = nowMs;
    }
    const archive = await worker.target.open(this.#options.cluster);
    const known = worker.archive;
    if (known !== null && (known.archiveId !== archive.archiveId || known.pass !== archive.pass)) worker.epoch++;
    worker.archive = archive;
    return archive;
  }

  async #pushThrough(worker: RepositoryWorker, file: QueuedFile, state: FileState, onSent: () => void): Promise<void> {
    const { single } = this.#options;
    if (single !== undefined && file.requests === 0) {
      const isStored = (): Promise<boolean> => this.#isNameStored(worker, file.name);
      state.left = (await this.#blaming(worker, file, isStored)) || !single.mayPushAhead();
      if (state.left) return;
    }
    // A read error is not the repository's: it does not pause.
    const wal = await this.#preparer.prepare(file.name);
    file.fileId ??= wal.fileId;
    await this.#blaming(worker, file, async () => {
      const archive = await this.#openArchive(worker);
      const push = (): Promise<"pushed" | "present"> =>
        worker.target.push(wal, archive, () => {
          state.sent = wal;
          this.#releaseSent(file, wal);
          onSent();
        });
      const stored = await recordingConflict(this.#missingWal, worker.repo.key, wal, this.#cluster, push);
      if (this.#files.get(file.name) !== file) return;
      this.#setStored(worker, state, stored);
      this.#releaseSent(file, wal);
      file.fileId = wal.fileId;
      file.sha1 = wal.sha1;
      file.sizeBytes = wal.sizeBytes;
      this.#missingWal.remove(worker.repo.key, file.name, this.#cluster);
      this.#options.onStored?.(worker.repo.key, file.name, stored);
      this.#ctx.log.detail(`${worker.repo.name}: ${stored} ${file.name}`);
      this.#resume(worker);
    });
  }

  /**
   * Content that every repository has got waits for no listing: in a burst those would hold tens of megabytes. After a
   * failed attempt a call that hangs may still read it.
   */
  #releaseSent({ name, states }: QueuedFile, wal: PreparedWal): void {
    const all = [...states.values()];
    if (!all.every(({ sent, stored }) => stored !== null || sent === wal)) return;
    this.#preparer.letGo(name);
    wal.release?.(all.every(({ failures }) => failures === 0));
  }

  async #isNameStored(worker: RepositoryWorker, name: string): Promise<boolean> {
    return worker.names.has(name, await this.#openArchive(worker));
  }

  /** Runs requests to a repository, which pauses if they fail. */
  async #blaming<T>(worker: RepositoryWorker, file: QueuedFile, requests: () => Promise<T>): Promise<T> {
    try {
      return await requests();
    } catch (thrown) {
      const error = toBackupError(thrown);
      worker.target.forget();
      if (!this.#isOfSource(error, file)) {
        if (!isError(error, "archiveDuplicate")) {
          worker.epoch++;
          // A closed queue may have been abandoned.
          if (!this.#closed) worker.patience.failed(error);
        }
        this.#pause(worker, error);
      }
      throw error;
    }
  }

  #resume(worker: RepositoryWorker): void {
    worker.patience.stored();
    if (!this.#isInConflict(worker)) {
      if (worker.error !== null) this.#ctx.log.info(`${worker.repo.name} accepts WAL again`);
      worker.error = null;
    }
    worker.pauseMs = 0;
    worker.pausedUntilMs = 0;
  }

  /** True as long as a conflict that paused the worker lasts. */
  #isInConflict({ error, repo }: RepositoryWorker): boolean {
    return isError(error, "archiveDuplicate") && this.#missingWal.listConflicts(repo.key, this.#cluster).length > 0;
  }

  /** A large segment is read while it is sent: if it changed in the meantime, the repository is not to blame. */
  #isOfSource(error: BackupError, file: QueuedFile): boolean {
    return error.path === `${this.#options.walDirectory}/${file.name}`;
  }

  #failed(file: QueuedFile, state: FileState, error: BackupError): void {
    // An archiveMismatch of the header names no repository: no archive may have this file.
    if (isError(error, "archiveMismatch") && error.repoIndex === undefined) file.fatal = error;
    if (isError(error, "fileInvalid") && this.#isOfSource(error, file)) file.fatal = error;
    state.failures++;
    state.error = error;
    // PostgreSQL will request it by name; then its error counts.
    state.left = this.#options.single !== undefined && file.requests === 0;
    // A conflict ends when somebody removes a file.
    const pauseMs = isError(error, "archiveDuplicate") ? PAUSE_MS_MAX : PAUSE_FIRST_MS;
    state.retryAtMs = this.#ctx.clock.monotonicMs() + pauseMs;
    this.#ctx.log.debug(`${file.name} was not stored: ${error.message}`);
  }

  #pause(worker: RepositoryWorker, error: BackupError): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    // A single request reports it with its answer.
    if (worker.error === null && this.#options.single === undefined)
      this.#ctx.log.warn(`${repoErrorLine(worker.repo.key, error)}\nretrying; the other repositories are not affected`);
    worker.error = error;
    if (nowMs < worker.pausedUntilMs) return;
    worker.pauseMs = Math.min(Math.max(worker.pauseMs * 2, PAUSE_FIRST_MS), PAUSE_MS_MAX);
    worker.pausedUntilMs = nowMs + worker.pauseMs;
  }

  /** Repositories that have answered since the request: stored, or failed once more. */
  #settled(
    file: QueuedFile,
    failuresBefore: ReadonlyMap<number, number>,
  ): Map<number, RepoResult<"pushed" | "present">> {
    const settled = new Map<number, RepoResult<"pushed" | "present">>();
    for (const [repoIndex, state] of file.states) {
      if (state.stored !== null) settled.set(repoIndex, { repoIndex, ok: true, value: state.stored });
      else if (!state.busy && state.error !== null && state.failures > (failuresBefore.get(repoIndex) ?? 0))
        settled.set(repoIndex, { repoIndex, ok: false, error: state.error });
    }
    return settled;
  }

  #givenUp(settled: Answers["settled"], beganAtMs: number): Answers["givenUp"] {
    if (this.#ctx.clock.monotonicMs() - beganAtMs < PATIENCE_MS) return new Map();
    const isStopping = this.#options.isStopping?.() ?? false;
    const open = this.#workers.filter(({ repo }) => !settled.has(repo.key));
    const errors = open.map(({ patience, repo }) => [repo.key, patience.givenUp(beganAtMs, isStopping)] as const);
    return new Map(errors.filter((entry): entry is [number, BackupError] => entry[1] !== null));
  }

  #isSatisfied(policy: AcknowledgePolicy, settled: ReadonlyMap<number, RepoResult<unknown>>): boolean {
    const holding = [...settled.values()].filter((result) => result.ok).map((result) => result.repoIndex);
    return isSatisfied(policy, this.#repoIndexes, new Set(holding));
  }

  /**
   * No grace for failing repositories and those already behind: waiting for each segment again would throttle
   * archiving.
   */
  #graceMs(settled: ReadonlyMap<number, unknown>): number {
    const { graceMs, single } = this.#options;
    const open = this.#workers.filter(({ repo }) => !settled.has(repo.key));
    const isCut = (worker: RepositoryWorker): boolean =>
      this.#isBehind(worker) && (single === undefined || worker.archive === null);
    if (!open.every(isCut)) return graceMs;
    return single === undefined ? 0 : Math.min(graceMs, BEHIND_GRACE_MS);
  }

  /** A conflict alone delays no other file. */
  #isBehind({ error, repo }: RepositoryWorker): boolean {
    if (error !== null && !isError(error, "archiveDuplicate")) return true;
    const conflicts = new Set(this.#missingWal.listConflicts(repo.key, this.#cluster));
    return this.#missingWal.list(repo.key, this.#cluster).some((name) => !conflicts.has(name));
  }

  #answer(file: QueuedFile, policy: AcknowledgePolicy, { settled, givenUp }: Answers, timeoutMs: number): PushAnswer {
    const satisfied = this.#isSatisfied(policy, settled);
    const results = this.#workers.map(({ repo, error, patience }): RepoResult<"pushed" | "present"> => {
      const answer = settled.get(repo.key);
      if (answer !== undefined) return answer;
      const timeoutError = satisfied
        ? fail("archiveTimeout", "not finished when the segment was acknowledged", { repoIndex: repo.key })
        : fail("archiveTimeout", `${file.name} was not stored before the ${timeoutMs}ms timeout`, {
            hint: "If the repository is only slow, raise archive-timeout.",
            repoIndex: repo.key,
            retryable: true,
          });
      const known = error === null || isError(error, "archiveDuplicate") ? timeoutError : error;
      const early = givenUp.get(repo.key);
      if (early === undefined && !satisfied) patience.failed(known);
      return { repoIndex: repo.key, ok: false, error: early ?? known };
    });
    const { accepted, reposBehind } = decide(policy, results);
    for (const repoIndex of reposBehind) {
      this.#missingWal.add(repoIndex, file.name, this.#cluster, file.sha1 ?? undefined);
      // It may have arrived while the record was written.
      if (file.states.get(repoIndex)?.stored !== null) this.#missingWal.remove(repoIndex, file.name, this.#cluster);
    }
    const isTried = [...givenUp.keys()].every((repoIndex) => (file.states.get(repoIndex)?.failures ?? 0) > 0);
    return { results, accepted, reposBehind, isTried, error: accepted ? null : pushError(results) };
  }

  /**
   * The entry of a file; a new one if the name now leads to another file than the stored one. A push of the former file
   * may still be under way: it counts for nothing.
   */
  #current(name: string, fileId: string): QueuedFile {
    const known = this.#files.get(name);
    if (known !== undefined && known.fileId !== null && known.fileId !== fileId) this.#forget(known);
    const file = this.#add(name);
    this.#sort();
    return file;
  }

  #add(name: string): QueuedFile {
    const known = this.#files.get(name);
    if (known !== undefined) return known;
    const file = newFile(name, this.#repoIndexes);
    this.#files.set(name, file);
    return file;
  }

  #forget(file: QueuedFile): void {
    this.#files.delete(file.name);
    this.#preparer.letGo(file.name);
  }

  #isBusy(file: QueuedFile): boolean {
    return [...file.states.values()].some((state) => state.busy);
  }

  #sort(): void {
    this.#order = inOrder(this.#files.values());
  }

  #notify(): void {
    for (const wake of Array.from(this.#waiters)) wake();
  }

  /** Waits for any change, `limitMs` at most. */
  async #change(limitMs: number): Promise<void> {
    const watch = new AbortController();
    const wake = (): void => watch.abort();
    this.#waiters.add(wake);
    try {
      await this.#ctx.clock.sleep(Math.min(limitMs, IDLE_MS), watch.signal).catch(() => {});
    } finally {
      this.#waiters.delete(wake);
    }
  }
}
