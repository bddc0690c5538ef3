/**
 * `archive-push` without an agent: pushes one WAL file, and files that wait behind it, into every repository.
 *
 * PostgreSQL hands out one file at a time and repeats it until it is acknowledged. One failing repository must not hold
 * back the others. So each call also looks at `archive_status/*.ready`: a repository that has stored the requested file
 * continues with the ready files while another one is busy, and at least for half a second. The acknowledgement policy
 * decides about the requested file alone. The rules are those of {@link PushQueue}.
 */
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { MissingWalStore } from "../../local/missingWal";
import { listReady } from "../../postgres/archiveStatus";
import type { Repository } from "../../repository/repository";
import type { AcknowledgePolicy } from "../../config/types";
import { forgetUnwanted } from "./conflicts";
import { WalPreparer } from "./prepareWal";
import { type PushAnswer, PushQueue, type PushQueueOptions, specsOf } from "./pushQueue";
import { packWal } from "./walFile";

export interface ArchivePushOptions
  extends Omit<PushQueueOptions, "onStored" | "pack" | "processMax" | "readyDirectory" | "single"> {
  readonly walName: string;
  readonly acknowledge: AcknowledgePolicy;
  /** Time limit of the requested file (`archive-timeout`): a hanging repository must not hang PostgreSQL's archiver. */
  readonly timeoutMs: number;
  /**
   * Called once, before the first file is pushed ahead; false where another process archives. The requested file is
   * pushed in any case, as in stock, which takes no lock for a single file. Files further ahead may be written under
   * the same names by another process. Absent: always true.
   */
  mayPushAhead?(): boolean;
}

export interface ArchivePushOutcome extends PushAnswer {
  /** Files pushed before PostgreSQL requested them, summed over the repositories. */
  readonly aheadCount: number;
}

const AHEAD_POLL_MS = 200;
/** How long a call continues with the files ahead after it has its answer. */
const AHEAD_MS = 500;

export async function archivePush(
  repos: readonly Repository[],
  missingWal: MissingWalStore,
  options: ArchivePushOptions,
  ctx: Context,
): Promise<ArchivePushOutcome> {
  const { walDirectory, walName, acknowledge, graceMs, timeoutMs } = options;
  const pack = isSeen(repos, options) ? {} : { pack: { specs: specsOf(repos), run: packWal } };
  const preparer = new WalPreparer({ ...options, ...pack }, options.cluster);
  // Read the file first. If it is unreadable or belongs to another cluster, no repository is to blame.
  const requested = await preparer.prepare(walName);
  const over = new AbortController();
  const callCtx: Context = { ...ctx, signal: AbortSignal.any([ctx.signal, over.signal]) };
  let mayPushAhead: boolean | undefined;
  let aheadCount = 0;
  let isLooking = false;
  const queueOptions: PushQueueOptions = {
    ...options,
    cluster: options.cluster ?? requested.cluster,
    processMax: 1,
    single: { preparer, mayPushAhead: () => (mayPushAhead ??= options.mayPushAhead?.() ?? true) },
    onStored: (_, name, stored) => {
      if (name !== walName) aheadCount += stored === "pushed" ? 1 : 0;
      else if (!isLooking) {
        isLooking = true;
        void lookForever();
      }
    },
  };
  const queue = new PushQueue(repos, missingWal, queueOptions, null, callCtx);
  const ahead = new Set<string>();
  const look = async (): Promise<void> => {
    let names: readonly string[] = [];
    try {
      names = await listReady(walDirectory, LIMITS.lookAheadSegments + 1);
    } catch (error) {
      // The file itself may be stored already, and is what the server asked for.
      ctx.log.detail(`unable to look ahead: ${toBackupError(error).message}`);
    }
    for (const name of names) if (name !== walName && ahead.size < LIMITS.lookAheadSegments) ahead.add(name);
    queue.setReady([...ahead]);
  };
  const lookForever = async (): Promise<void> => {
    for (; !callCtx.signal.aborted; await ctx.clock.sleep(AHEAD_POLL_MS, callCtx.signal).catch(() => {})) await look();
  };
  const push = async (): Promise<PushAnswer> => {
    const deadlineMs = ctx.clock.monotonicMs() + timeoutMs;
    const answer = await queue.request(walName, acknowledge, timeoutMs);
    await look();
    await queue.drain(answer.accepted ? AHEAD_MS : deadlineMs - ctx.clock.monotonicMs(), holdersOf(answer));
    return answer;
  };
  const stopped = untilAborted(callCtx.signal).then(() => {
    throw fail("term", `terminated while pushing ${walName}`);
  });
  let answer: PushAnswer | null = null;
  try {
    answer = await Promise.race([push(), stopped]);
  } finally {
    over.abort();
    // Transfers in progress may finish, because aborting them would send the same bytes twice.
    await withTimeTo(graceMs, ctx.clock, (enough) =>
      queue.close(AbortSignal.any([enough, ctx.signal]), answer === null ? [] : holdersOf(answer)),
    );
  }
  forgetUnwanted(missingWal, repos, walDirectory, walName);
  return { ...answer, aheadCount };
}

/**
 * True when an earlier process has probably stored the file everywhere, ahead: then it is hashed, and compressed only
 * if that is wrong. Any other file is compressed while it is read, in this thread, which has nothing else to do: each
 * of sixteen trips to Node's thread pool waits for a processor.
 */
function isSeen(repos: readonly Repository[], { seen, walName }: ArchivePushOptions): boolean {
  const hasName = (name: string): boolean => name.includes(walName);
  return seen !== undefined && repos.every(({ key }) => [...seen.load(key).keys()].some(hasName));
}

/** Only they get the files ahead; another one may hang. */
function holdersOf({ results }: PushAnswer): readonly number[] {
  return results.filter(({ ok }) => ok).map(({ repoIndex }) => repoIndex);
}
