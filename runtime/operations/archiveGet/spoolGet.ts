/**
 * `archive-async` for `archive-get`, with stock's spool: segments are moved out of the queue, and a background process
 * fills it.
 *
 * An empty `.ok` file is stock's sign for "not in the archive". PostgreSQL would end the recovery on it, so the command
 * asks every repository before it answers.
 */
import { SEGMENT_LENGTH } from "../../format/wal/walSegment";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { Spool } from "../../local/spool";
import { type Prefetcher, queueOf } from "./prefetch";
import { type BackgroundProcess, waitInSpool } from "../shared/spoolWait";

export interface SpoolGetOptions {
  readonly walName: string;
  readonly destination: string;
  readonly segmentSizeBytes: number;
  readonly queueSizeBytesMax: number;
  readonly timeoutMs: number;
}

/**
 * True when it came out of the queue; null when the queue's process did not find it, so that the caller must ask.
 * @throws the status' error; archiveTimeout
 */
export function getThroughSpool(
  spool: Spool,
  options: SpoolGetOptions,
  background: BackgroundProcess,
  ctx: Context,
): Promise<true | null> {
  const { walName, destination, timeoutMs } = options;
  const look = async (hasStarted: boolean): Promise<true | undefined> => {
    const present = await clearQueue(spool, options);
    if (!present.has(walName) || !(await spool.moveOut(walName, destination))) return undefined;
    const wanted = queueOf(walName, options);
    const left = wanted.filter((name) => present.has(name)).length;
    if (!hasStarted && left < wanted.length / 2 && !background.isRunning()) background.start();
    ctx.log.info(`found ${walName} in the archive asynchronously`);
    return true;
  };
  const accept = async (): Promise<null> => {
    await spool.remove(`${walName}.ok`);
    return null;
  };
  return waitInSpool<true | null>(spool, { walName, verb: "get", timeoutMs, look, accept }, background, ctx);
}

/** The background process: fills the queue with the requested segment and those that follow. */
export async function getSpool(
  spool: Spool,
  prefetcher: Prefetcher,
  options: SpoolGetOptions,
  ask: (walName: string, destination: string) => Promise<boolean>,
  ctx: Context,
): Promise<void> {
  await spool.make();
  const present = await clearQueue(spool, options);
  const names = [options.walName, ...queueOf(options.walName, options)].filter((name) => !present.has(name));
  const fetched = await prefetcher.fetchAll(names);
  const next = names[fetched.length];
  if (next === undefined || ctx.signal.aborted) return;
  try {
    if (!(await ask(next, `${spool.path}/${next}`))) await spool.writeOk(next);
  } catch (thrown) {
    const error = toBackupError(thrown);
    await spool.writeError(
      next,
      error.exitCode,
      [error.message, ...error.hints.map((hint) => `HINT: ${hint}`)].join("\n"),
    );
  }
}

/** Removes files of other segments; returns the queued segments. */
async function clearQueue(spool: Spool, options: SpoolGetOptions): Promise<Set<string>> {
  const wanted = new Set([options.walName, ...queueOf(options.walName, options)]);
  const present = new Set<string>();
  for (const entry of await spool.list()) {
    const name = entry.slice(0, SEGMENT_LENGTH);
    if (!wanted.has(name) && entry !== "global.error") await spool.remove(entry);
    else if (entry === name) present.add(name);
  }
  return present;
}
