/**
 * `archive-push`: pushes one WAL file, and files that wait behind it, into every repository, with one worker per
 * repository.
 *
 * PostgreSQL hands out one file at a time and repeats it until it is acknowledged. One failing repository must not hold
 * back the others. So each call also looks at `archive_status/*.ready`: a worker that has stored the requested file
 * continues with the ready files while another worker is busy, and at least once through the list. The acknowledgement
 * policy decides about the requested file alone. Rules of the archive ("pgbackrest-format" 8.1): a WAL file is never
 * replaced by other content (45, an error of one repository), and the WAL header must be this cluster's (44, which ends
 * the call for all repositories).
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { pushError } from "../shared/results";
import type { Repository } from "../../repository/repository";
import { listWal } from "../../repository/walStore";
import type { MissingWalStore } from "../../local/missingWal";
import type { SeenWal, SeenWalStore } from "../../local/seenWal";
import { listReady } from "../../postgres/archiveStatus";
import { type AcknowledgePolicy, decide, isSatisfied } from "./acknowledge";
import type { ClusterIdentity } from "../shared/identity";
import { forgetUnwanted, recordingConflict } from "./conflicts";
import { WalPreparer } from "./prepareWal";
import { PushTarget } from "./pushWal";

export interface ArchivePushOptions {
  /** Directory of the requested file: `<data directory>/pg_wal`. */
  readonly walDirectory: string;
  readonly walName: string;
  /** Null without a pg_control to compare with: then each repository's own identity counts. */
  readonly cluster: ClusterIdentity | null;
  readonly headerCheck: boolean;
  /** Size of the cluster's segments, from pg_control; absent: as the segment's header says. */
  readonly segmentSizeBytes?: number | undefined;
  readonly acknowledge: AcknowledgePolicy;
  /**
   * How long the other workers may continue after the policy is satisfied; what they still lack is then recorded as
   * missing.
   */
  readonly graceMs: number;
  /** Time limit of the requested file (`archive-timeout`): a hanging repository must not hang PostgreSQL's archiver. */
  readonly timeoutMs: number;
  /**
   * Called once, before the first file is pushed ahead; false where another process archives. The requested file is
   * pushed in any case, as in stock, which takes no lock for a single file. Files further ahead may be written under
   * the same names by another process. Absent: always true.
   */
  mayPushAhead?(): boolean;
  /** What earlier calls have stored; absent: unknown. */
  readonly seen?: SeenWalStore;
}

type PushResult = RepoResult<"pushed" | "present">;

export interface ArchivePushOutcome {
  readonly results: readonly PushResult[];
  readonly accepted: boolean;
  readonly reposBehind: readonly number[];
  /** The error for PostgreSQL when the file is not accepted. */
  readonly error: BackupError | null;
  /** Files pushed before PostgreSQL requested them, summed over the repositories. */
  readonly aheadCount: number;
}

/** Records missing WAL of a cluster that neither pg_control nor a WAL header names. */
export const UNKNOWN_CLUSTER: ClusterIdentity = { version: "0", systemId: 0n };

const AHEAD_POLL_MS = 200;
/** Grace for repositories that are already behind. */
const BEHIND_GRACE_MS = 500;

export async function archivePush(
  repos: readonly Repository[],
  missingWal: MissingWalStore,
  options: ArchivePushOptions,
  ctx: Context,
): Promise<ArchivePushOutcome> {
  const stop = new AbortController();
  const signal = AbortSignal.any([ctx.signal, stop.signal]);
  const workerCtx: Context = { ...ctx, signal };
  const preparer = new WalPreparer(options, options.cluster);
  // Read the file first. If it is unreadable or belongs to another cluster, no repository is to blame.
  const requested = await preparer.prepare(options.walName);
  const cluster = options.cluster ?? requested.cluster ?? UNKNOWN_CLUSTER;

  const settled = new SettledPushes(
    repos.map((repo) => repo.key),
    options.acknowledge,
  );
  const aheadCounts = new Map<number, number>();
  let mayGoAhead: boolean | undefined;
  const workerOptions: WorkerOptions = {
    ...options,
    cluster: options.cluster ?? requested.cluster,
    mayPushAhead: (): boolean => (mayGoAhead ??= options.mayPushAhead?.() ?? true),
  };
  const workers = new Map(
    repos.map((repo) => [repo.key, new RepositoryWorker(repo, preparer, missingWal, workerOptions, workerCtx)]),
  );
  const pushes = repos.map(async (repo) => {
    const worker = workers.get(repo.key) as RepositoryWorker;
    try {
      settled.add({ repoIndex: repo.key, ok: true, value: await worker.push(options.walName) });
    } catch (thrown) {
      settled.addError(repo.key, toBackupError(thrown));
      return;
    }
    await worker.pushAhead(settled.over, () => void aheadCounts.set(repo.key, (aheadCounts.get(repo.key) ?? 0) + 1));
  });
  // A repository that is already behind and silent is probably down. Waiting the full grace period for each segment
  // would throttle archiving. One that answers is only slow, and would never catch up if every call cut it off.
  const isAway = (repoIndex: number): boolean =>
    missingWal.list(repoIndex).length > 0 && workers.get(repoIndex)?.answers !== true;
  await waitForPushes(pushes, () => settled.graceMs(options.graceMs, isAway), options.timeoutMs, ctx, stop);
  const ahead = pushes.filter((_, index) => settled.get(repos[index]?.key ?? 0)?.ok === true);
  if (settled.fatal === null) await finishAhead(ahead, options.graceMs, ctx);
  if (settled.fatal !== null) throw settled.fatal;

  const satisfied = settled.isSatisfied();
  const results = repos.map(
    (repo): PushResult =>
      settled.get(repo.key) ?? { repoIndex: repo.key, ok: false, error: timeoutError(repo, satisfied, options) },
  );
  const { accepted, reposBehind } = decide(options.acknowledge, results);
  for (const repoIndex of reposBehind) missingWal.add(repoIndex, options.walName, cluster, requested.sha1);
  // A repository that holds the file no longer lacks it, even if another process recorded it as missing.
  for (const result of results) if (result.ok) missingWal.remove(result.repoIndex, options.walName, cluster);
  forgetUnwanted(missingWal, repos, options.walDirectory, options.walName);
  // PostgreSQL will request these files again.
  for (const result of results)
    if (aheadCounts.has(result.repoIndex) || (result.ok && !accepted)) workers.get(result.repoIndex)?.saveSeen();
  return {
    results,
    accepted,
    reposBehind,
    error: accepted ? null : pushError(results),
    aheadCount: [...aheadCounts.values()].reduce((sum, count) => sum + count, 0),
  };
}

/** The results of the requested file so far; the first one of each repository counts. */
class SettledPushes {
  readonly #repoIndexes: readonly number[];
  readonly #policy: AcknowledgePolicy;
  readonly #results = new Map<number, PushResult>();
  readonly #over = new AbortController();
  #fatal: BackupError | null = null;

  constructor(repoIndexes: readonly number[], policy: AcknowledgePolicy) {
    this.#repoIndexes = repoIndexes;
    this.#policy = policy;
  }

  /** Wakes workers that wait for more files: none will come. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Ends the call for all repositories. */
  get fatal(): BackupError | null {
    return this.#fatal;
  }

  get(repoIndex: number): PushResult | undefined {
    return this.#results.get(repoIndex);
  }

  add(result: PushResult): void {
    if (!this.#results.has(result.repoIndex)) this.#results.set(result.repoIndex, result);
    if (this.#fatal !== null || this.#results.size === this.#repoIndexes.length) this.#over.abort();
  }

  addError(repoIndex: number, error: BackupError): void {
    if (isOfFile(error)) this.#fatal ??= error;
    this.add({ repoIndex, ok: false, error });
  }

  isSatisfied(): boolean {
    const holding = [...this.#results.values()].filter((result) => result.ok).map((result) => result.repoIndex);
    return isSatisfied(this.#policy, this.#repoIndexes, new Set(holding));
  }

  /** How long the other workers may continue after the policy is satisfied; null until then. */
  graceMs(fullMs: number, isAway: (repoIndex: number) => boolean): number | null {
    if (this.#fatal !== null) return 0;
    if (!this.isSatisfied()) return null;
    return this.#repoIndexes.every((repoIndex) => this.#results.has(repoIndex) || isAway(repoIndex))
      ? Math.min(fullMs, BEHIND_GRACE_MS)
      : fullMs;
  }
}

/** An error of the file, not of a repository: nothing more is written anywhere. */
function isOfFile(error: BackupError): boolean {
  return isError(error, "archiveMismatch") && error.repoIndex === undefined;
}

function timeoutError(repo: Repository, satisfied: boolean, options: ArchivePushOptions): BackupError {
  if (satisfied)
    return fail("archiveTimeout", "not finished when the segment was acknowledged", { repoIndex: repo.key });
  return fail("archiveTimeout", `${options.walName} was not stored before the ${options.timeoutMs}ms timeout`, {
    hint: "If the repository is only slow, raise archive-timeout.",
    repoIndex: repo.key,
    retryable: true,
  });
}

/**
 * Waits until all workers have ended, `graceMs` limits the rest, or the timeout passes; then stops the remaining
 * workers.
 */
async function waitForPushes(
  pushes: readonly Promise<void>[],
  graceMs: () => number | null,
  timeoutMs: number,
  ctx: Context,
  stop: AbortController,
): Promise<void> {
  const watch = new AbortController();
  const watchSignal = AbortSignal.any([ctx.signal, watch.signal]);
  const all = Promise.all(pushes);
  const grace = (async (): Promise<void> => {
    while (graceMs() === null) await ctx.clock.sleep(POLL_DECIDED_MS, watchSignal);
    // Checked repeatedly: a silent repository may answer meanwhile.
    const satisfiedAtMs = ctx.clock.monotonicMs();
    for (;;) {
      const leftMs = satisfiedAtMs + (graceMs() ?? 0) - ctx.clock.monotonicMs();
      if (leftMs <= 0) return;
      await ctx.clock.sleep(Math.min(leftMs, POLL_DECIDED_MS), watchSignal);
    }
  })();
  const timeout = ctx.clock.sleep(timeoutMs, watchSignal);
  try {
    await Promise.race([all, grace, timeout]);
  } finally {
    watch.abort();
    stop.abort();
    // Aborted here: their results no longer matter.
    grace.catch(() => {});
    timeout.catch(() => {});
  }
}

const POLL_DECIDED_MS = 50;
/** Length of the names of the archive's segment directories. */
const DIRECTORY_NAME_LENGTH = 16;

/** Starts nothing new. Transfers in progress may finish, because aborting them would send the same bytes twice. */
async function finishAhead(pushes: readonly Promise<void>[], limitMs: number, ctx: Context): Promise<void> {
  const watch = new AbortController();
  const limit = ctx.clock.sleep(limitMs, AbortSignal.any([ctx.signal, watch.signal])).catch(() => {});
  await Promise.race([Promise.all(pushes), limit]);
  watch.abort();
}

type WorkerOptions = ArchivePushOptions & { mayPushAhead(): boolean };

/** The worker that serves one repository during this call. */
class RepositoryWorker {
  readonly #target: PushTarget;
  readonly #seen: SeenWal;
  readonly #missingWal: MissingWalStore;
  readonly #preparer: WalPreparer;
  readonly #options: WorkerOptions;
  readonly #ctx: Context;
  /** Names of stored files by directory, as first listed. */
  readonly #known = new Map<string, Set<string>>();

  constructor(
    repo: Repository,
    preparer: WalPreparer,
    missingWal: MissingWalStore,
    options: WorkerOptions,
    ctx: Context,
  ) {
    this.#seen = options.seen?.load(repo.key) ?? new Map();
    this.#target = new PushTarget(repo, ctx, this.#seen);
    this.#missingWal = missingWal;
    this.#preparer = preparer;
    this.#options = options;
    this.#ctx = ctx;
  }

  get answers(): boolean {
    return this.#target.opened !== null;
  }

  async push(walName: string): Promise<"pushed" | "present"> {
    const archive = await this.#target.open(this.#options.cluster);
    const wal = await this.#preparer.prepare(walName);
    const cluster = this.#options.cluster ?? wal.cluster ?? UNKNOWN_CLUSTER;
    return recordingConflict(this.#missingWal, this.#target.repo.key, wal, cluster, () =>
      this.#target.push(wal, archive),
    );
  }

  saveSeen(): void {
    this.#options.seen?.save(this.#target.repo.key, this.#seen);
  }

  /**
   * Pushes ready files behind the requested one until the list is empty and the call is `over`; never fails the call.
   */
  async pushAhead(over: AbortSignal, onPushed: () => void): Promise<void> {
    const waitSignal = AbortSignal.any([this.#ctx.signal, over]);
    const seen = new Set([this.#options.walName]);
    while (seen.size <= LIMITS.lookAheadSegments && !this.#ctx.signal.aborted) {
      const next = (await listReady(this.#options.walDirectory, LIMITS.lookAheadSegments * 2)).find(
        (name) => !seen.has(name),
      );
      if (next === undefined) {
        if (over.aborted) break;
        await this.#ctx.clock.sleep(AHEAD_POLL_MS, waitSignal).catch(() => {});
        continue;
      }
      seen.add(next);
      try {
        if (await this.#isKnown(next)) continue;
        if (!this.#options.mayPushAhead()) break;
        if ((await this.push(next)) === "pushed") onPushed();
      } catch (error) {
        // PostgreSQL will request it by name; then its error counts.
        this.#ctx.log.debug(`${this.#target.repo.name}: unable to push ${next} ahead: ${toBackupError(error).message}`);
        break;
      }
    }
  }

  /**
   * True when a file of this name is stored. It is then not read, or each call would hash all waiting files. Its
   * content is checked when PostgreSQL requests it. One listing covers up to 256 segments.
   */
  async #isKnown(name: string): Promise<boolean> {
    const directory = /^[0-9A-F]{24}/.test(name) ? name.slice(0, DIRECTORY_NAME_LENGTH) : null;
    const opened = this.#target.opened;
    if (directory === null || opened === null) return false;
    let names = this.#known.get(directory);
    if (names === undefined) {
      names = new Set();
      for await (const stored of listWal(this.#target.repo, opened.archiveId, directory)) names.add(stored.name);
      this.#known.set(directory, names);
    }
    return names.has(name);
  }
}
