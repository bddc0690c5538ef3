/**
 * `archive-push`: one WAL file, and whatever else waits behind it, into every repository, each in a lane of its own.
 *
 * PostgreSQL hands out one file at a time and repeats it until it is acknowledged. So that one failing repository does not hold back the
 * others, each call looks ahead over `archive_status/*.ready`: a lane that has stored the requested file goes on with what is ready, for as
 * long as another lane is still busy, and at least once through the list. The acknowledgement policy decides about the requested file
 * alone. Rules of the archive ("pgbackrest-format" 8.1): a segment is never replaced by other content (45), the WAL header must be this
 * cluster's (44); both end the call for all repositories.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, isError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { RepoResult } from "../../base/parallel";
import { combinedError } from "../shared/results";
import type { Repository } from "../../repository/repository";
import { listWal } from "../../repository/walStore";
import type { DebtStore } from "../../local/debt";
import { listReady } from "../../postgres/archiveStatus";
import { type AcknowledgePolicy, decide, isSatisfied } from "./acknowledge";
import type { ClusterIdentity } from "../shared/identity";
import { WalPreparer } from "./prepareWal";
import { PushTarget } from "./pushWal";

export interface ArchivePushOptions {
  /** Directory of the requested file: `<data directory>/pg_wal`. */
  readonly walDirectory: string;
  readonly walName: string;
  /** Null when there is no pg_control to compare with: then the repositories' own identity counts. */
  readonly cluster: ClusterIdentity | null;
  readonly headerCheck: boolean;
  readonly acknowledge: AcknowledgePolicy;
  /** How long the other lanes may go on after the policy is satisfied before what they lack becomes debt. */
  readonly graceMs: number;
  /** How long the requested file may take at all (`archive-timeout`): a repository that hangs must not hang PostgreSQL's archiver. */
  readonly timeoutMs: number;
  /**
   * Asked once, before the first file is pushed that was not asked for: false where another process archives. The requested file is pushed
   * whatever it says, as stock does, which takes no lock for a single file; what lies ahead another process may be writing under the same
   * names. Absent: always.
   */
  mayPushAhead?(): boolean;
}

export interface ArchivePushOutcome {
  readonly results: readonly RepoResult<"pushed" | "present">[];
  readonly accepted: boolean;
  readonly owingKeys: readonly number[];
  /** What PostgreSQL gets when it is not accepted. */
  readonly error: BackupError | null;
  /** Files that were pushed ahead of being asked for, summed over the repositories. */
  readonly aheadCount: number;
}

/** Debts of a cluster that neither pg_control nor a WAL header names. */
export const UNKNOWN_CLUSTER: ClusterIdentity = { version: "0", systemId: 0n };

const AHEAD_POLL_MS = 200;
/** Grace for repositories that owe WAL already. */
const OWING_GRACE_MS = 500;

/** Errors that concern the file, not a repository: nothing more is written anywhere. */
const FATAL = ["archiveDuplicate", "archiveMismatch"] as const;

export async function archivePush(
  repos: readonly Repository[],
  debt: DebtStore,
  options: ArchivePushOptions,
  ctx: Context,
): Promise<ArchivePushOutcome> {
  const stop = new AbortController();
  const signal = AbortSignal.any([ctx.signal, stop.signal]);
  const laneCtx: Context = { ...ctx, signal };
  const preparer = new WalPreparer(options, options.cluster);
  // Read before any lane starts: a file that cannot be read, or is another cluster's, is no repository's fault.
  const requested = await preparer.prepare(options.walName);
  const cluster = options.cluster ?? requested.cluster ?? UNKNOWN_CLUSTER;

  const settled = new Map<number, RepoResult<"pushed" | "present">>();
  const keys = repos.map((repo) => repo.key);
  let fatal: BackupError | null = null;
  let aheadCount = 0;
  // Wakes lanes that wait for more to push: there is nothing left to wait for.
  const over = new AbortController();
  const settle = (result: RepoResult<"pushed" | "present">): void => {
    if (!settled.has(result.repoKey)) settled.set(result.repoKey, result);
    if (fatal !== null || settled.size === repos.length) over.abort();
  };

  let mayGoAhead: boolean | undefined;
  const laneOptions: LaneOptions = {
    ...options,
    cluster: options.cluster ?? requested.cluster,
    mayPushAhead: (): boolean => (mayGoAhead ??= options.mayPushAhead?.() ?? true),
  };
  const ways = new Map(repos.map((repo) => [repo.key, new Lane(repo, preparer, laneOptions, laneCtx)]));
  const lanes = repos.map(async (repo) => {
    const lane = ways.get(repo.key) as Lane;
    try {
      settle({ repoKey: repo.key, ok: true, value: await lane.push(options.walName) });
    } catch (thrown) {
      const error = toBackupError(thrown);
      if (isError(error, ...FATAL) && error.repoKey === undefined) fatal ??= error;
      if (isError(error, "archiveDuplicate")) fatal ??= error;
      settle({ repoKey: repo.key, ok: false, error });
      return;
    }
    await lane.pushAhead(over.signal, () => void aheadCount++);
  });
  const graceMs = (): number | null => {
    if (fatal !== null) return 0;
    if (!isSatisfied(options.acknowledge, keys, holding(settled))) return null;
    // Who owes already and does not answer is likely still away: the full grace for each segment would throttle the archive. Who answers
    // is only slow, and would never come out of debt if it were broken off each time.
    const isAway = (key: number): boolean => debt.list(key).length > 0 && ways.get(key)?.answers !== true;
    return keys.every((key) => settled.has(key) || isAway(key)) ? Math.min(options.graceMs, OWING_GRACE_MS) : options.graceMs;
  };
  await waitForLanes(lanes, graceMs, options.timeoutMs, ctx, stop);
  const ahead = lanes.filter((_, index) => settled.get(repos[index]?.key ?? 0)?.ok === true);
  if (fatal === null) await finishAhead(ahead, options.graceMs, ctx);
  if (fatal !== null) throw fatal;

  const satisfied = isSatisfied(options.acknowledge, keys, holding(settled));
  const results = repos.map(
    (repo): RepoResult<"pushed" | "present"> => settled.get(repo.key) ?? { repoKey: repo.key, ok: false, error: tooLate(repo, satisfied, options) },
  );
  const { accepted, owingKeys } = decide(options.acknowledge, results);
  for (const repoKey of owingKeys) debt.add(repoKey, options.walName, cluster);
  // A repository that holds the file owes it no longer, whoever recorded that.
  for (const result of results) if (result.ok) debt.remove(result.repoKey, options.walName, cluster);
  return { results, accepted, owingKeys, error: accepted ? null : combinedError("archive-push", results), aheadCount };
}

function tooLate(repo: Repository, satisfied: boolean, options: ArchivePushOptions): BackupError {
  if (satisfied) return fail("archiveTimeout", "still busy when the segment was acknowledged", { repoKey: repo.key });
  return fail("archiveTimeout", `${options.walName} was not stored before the ${options.timeoutMs}ms timeout`, {
    hint: "if the repository is only slow, raise archive-timeout.",
    repoKey: repo.key,
    retryable: true,
  });
}

function holding(settled: ReadonlyMap<number, RepoResult<unknown>>): Set<number> {
  return new Set([...settled.values()].filter((result) => result.ok).map((result) => result.repoKey));
}

/** Until all lanes have ended, `graceMs` says that the rest may take only so long, or the time is up; what then still runs is told to stop. */
async function waitForLanes(
  lanes: readonly Promise<void>[],
  graceMs: () => number | null,
  timeoutMs: number,
  ctx: Context,
  stop: AbortController,
): Promise<void> {
  const watch = new AbortController();
  const watchSignal = AbortSignal.any([ctx.signal, watch.signal]);
  const all = Promise.all(lanes);
  const grace = (async (): Promise<void> => {
    while (graceMs() === null) await ctx.clock.sleep(POLL_DECIDED_MS, watchSignal);
    // Asked again and again: who was silent so far may answer meanwhile.
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
    // Aborted here: their answers are no longer of interest.
    grace.catch(() => {});
    timeout.catch(() => {});
  }
}

const POLL_DECIDED_MS = 50;
/** Of the archive's directories of segments. */
const DIRECTORY_NAME_LENGTH = 16;

/** Nothing new is begun any more; what is on its way may arrive, because breaking it off would send the same bytes twice. */
async function finishAhead(lanes: readonly Promise<void>[], limitMs: number, ctx: Context): Promise<void> {
  const watch = new AbortController();
  const limit = ctx.clock.sleep(limitMs, AbortSignal.any([ctx.signal, watch.signal])).catch(() => {});
  await Promise.race([Promise.all(lanes), limit]);
  watch.abort();
}

type LaneOptions = ArchivePushOptions & { mayPushAhead(): boolean };

/** One repository's way through this call. */
class Lane {
  readonly #target: PushTarget;
  readonly #preparer: WalPreparer;
  readonly #options: LaneOptions;
  readonly #ctx: Context;
  /** Names of stored files by directory, as they were when they were first looked at. */
  readonly #known = new Map<string, Set<string>>();

  constructor(repo: Repository, preparer: WalPreparer, options: LaneOptions, ctx: Context) {
    this.#target = new PushTarget(repo, ctx);
    this.#preparer = preparer;
    this.#options = options;
    this.#ctx = ctx;
  }

  /** True as soon as the repository has answered once. */
  get answers(): boolean {
    return this.#target.opened !== null;
  }

  async push(walName: string): Promise<"pushed" | "present"> {
    const archive = await this.#target.open(this.#options.cluster);
    return this.#target.push(await this.#preparer.prepare(walName), archive);
  }

  /** Pushes what is ready behind the requested file until the list is empty and the call is `over`; never fails the call. */
  async pushAhead(over: AbortSignal, onPushed: () => void): Promise<void> {
    const waitSignal = AbortSignal.any([this.#ctx.signal, over]);
    const seen = new Set([this.#options.walName]);
    while (seen.size <= LIMITS.lookAheadSegments && !this.#ctx.signal.aborted) {
      const next = (await listReady(this.#options.walDirectory, LIMITS.lookAheadSegments * 2)).find((name) => !seen.has(name));
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
        // It will be asked for by name; then its error counts.
        this.#ctx.log.debug(`${this.#target.repo.name}: ${next} not pushed ahead: ${toBackupError(error).message}`);
        break;
      }
    }
  }

  /**
   * True when a file of this name is stored: then it is not even read, or each call would hash all that waits. Whether its content is the
   * right one is told when it is asked for by name. One listing answers for up to 256 segments.
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
