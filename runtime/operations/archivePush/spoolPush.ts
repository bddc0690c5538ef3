/**
 * `archive-async` for `archive-push`, with stock's spool. PostgreSQL's command waits for a status file. A background
 * process pushes all ready files and writes the status files ("pgbackrest-format" 8.3).
 *
 * Different from stock: an `.ok` file follows the acknowledgement policy, and what a repository then lacks is durably
 * recorded as missing. After a first failure healthy repositories still get all ready files. `archive-push-queue-max`
 * drops only what no repository takes.
 */
import { stat } from "../../local/nodeFiles";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import type { Spool, SpoolStatus } from "../../local/spool";
import { listReady } from "../../postgres/archiveStatus";
import type { AcknowledgePolicy } from "../../config/types";
import type { PushAnswer, PushQueue } from "./pushQueue";
import { repoErrorLine } from "../shared/results";
import { type BackgroundProcess, waitInSpool } from "../shared/spoolWait";

/** Longer than PostgreSQL takes to ask for what one run has pushed ahead. */
const BELIEVED_MS = 60_000;

export interface AwaitedWal {
  readonly walDirectory: string;
  readonly walName: string;
  readonly timeoutMs: number;
}

/**
 * Waits for the file's status; starts the background process if none runs.
 * @throws the status' error; archiveTimeout (82)
 */
export async function pushThroughSpool(
  spool: Spool,
  { walDirectory, walName, timeoutMs }: AwaitedWal,
  background: BackgroundProcess,
  ctx: Context,
): Promise<void> {
  // Only before the wait: with a clock that jumps, a status that this call has asked for could look old too. A process
  // that runs has looked at the old ones when it began, and would not write them again.
  const doubt = await doubtOf(spool, walDirectory, walName, ctx);
  if (doubt === "replaced" || (doubt === "old" && !background.isRunning())) await spool.remove(`${walName}.ok`);
  const accept = async ({ code, message }: SpoolStatus): Promise<void> => {
    for (const text of okWarnings(walName, code, message)) ctx.log.warn(text);
    ctx.log.info(`pushed WAL file '${walName}' to the archive asynchronously`);
  };
  await waitInSpool(spool, { walName, verb: "push", timeoutMs, accept }, background, ctx);
}

export interface SpoolPushOptions {
  readonly walDirectory: string;
  readonly acknowledge: AcknowledgePolicy;
  readonly timeoutMs: number;
  /** `archive-push-batch-size` */
  readonly batchSizeBytes: number;
  /** A warning if PostgreSQL may continue without a refused file; see `dropWhenFull`. */
  drop(walName: string, answer: PushAnswer): Promise<string | null>;
}

/**
 * The background process: pushes ready files without an `.ok` and writes the status files. Never throws for a single
 * file.
 */
export async function pushSpool(
  spool: Spool,
  queue: PushQueue,
  options: SpoolPushOptions,
  ctx: Context,
): Promise<void> {
  const names = await openWork(spool, options, ctx);
  for (const [position, walName] of names.entries()) {
    if (ctx.signal.aborted) throw toBackupError(ctx.signal.reason, "term");
    if (position % (LIMITS.queueFiles / 2) === 0) queue.setReady(names.slice(position, position + LIMITS.queueFiles));
    if (!(await pushOne(spool, queue, walName, options))) break;
  }
  await queue.drain(options.timeoutMs);
}

async function pushOne(spool: Spool, queue: PushQueue, walName: string, options: SpoolPushOptions): Promise<boolean> {
  try {
    const answer = await queue.request(walName, options.acknowledge, options.timeoutMs);
    const dropped = answer.accepted ? null : await options.drop(walName, answer);
    if (answer.error !== null && dropped === null) throw answer.error;
    const lacking = answer.results.flatMap((result) =>
      result.ok ? [] : [repoErrorLine(result.repoIndex, result.error)],
    );
    await spool.writeOk(walName, dropped === null ? lacking : [dropped]);
    return true;
  } catch (thrown) {
    const error = toBackupError(thrown);
    await spool.writeError(
      walName,
      error.exitCode,
      [error.message, ...error.hints.map((hint) => `HINT: ${hint}`)].join("\n"),
    );
    return false;
  }
}

/**
 * Why an `.ok` file may be of another push: the WAL file is newer (the server was reset to a snapshot), or the status
 * is old, and the repository may have been made again since. Another push of a stored file costs one look. What an
 * operator has skipped stays skipped.
 */
async function doubtOf(
  spool: Spool,
  walDirectory: string,
  walName: string,
  ctx: Context,
): Promise<"replaced" | "old" | null> {
  const okAtMs = await spool.writtenAtMs(`${walName}.ok`);
  if (okAtMs === null || ((await spool.findStatus(walName))?.code ?? 0) !== 0) return null;
  const walAtMs = (await stat(`${walDirectory}/${walName}`).catch(() => null))?.mtimeMs ?? 0;
  if (okAtMs < walAtMs) return "replaced";
  return Math.abs(ctx.clock.nowMs() - okAtMs) > BELIEVED_MS ? "old" : null;
}

/** Removes spool files that PostgreSQL does not wait for; returns the files to push, ascending. */
async function openWork(
  spool: Spool,
  { walDirectory, batchSizeBytes }: SpoolPushOptions,
  ctx: Context,
): Promise<string[]> {
  await spool.make();
  const ready = await listReady(walDirectory, Number.POSITIVE_INFINITY);
  const waiting = new Set(ready);
  const done = new Set<string>();
  for (const entry of await spool.list()) {
    const walName = entry.endsWith(".ok") ? entry.slice(0, -".ok".length) : null;
    if (walName !== null && waiting.has(walName) && (await doubtOf(spool, walDirectory, walName, ctx)) === null)
      done.add(walName);
    else await spool.remove(entry);
  }
  const names = ready.filter((name) => !done.has(name));
  const [first] = names;
  if (first === undefined) return [];
  const { size } = await stat(`${walDirectory}/${first}`);
  return names.slice(0, Math.max(1, Math.floor(batchSizeBytes / Math.max(size, 1))));
}

function okWarnings(walName: string, code: number, message: string): string[] {
  if (code !== 0)
    return [`WAL segment '${walName}' was not pushed due to error [${code}] and was manually skipped: ${message}`];
  return message === "" ? [] : [message];
}
