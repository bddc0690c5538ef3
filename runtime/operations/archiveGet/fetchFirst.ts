/**
 * Copies a WAL file from the first of several repositories that delivers it. While one is slow, the next one is asked
 * too: a recovery does not wait for a repository that another one can replace.
 */
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { type BackupError, toBackupError } from "../../base/errors";
import { temporaryName } from "../../base/temporaryName";
import { isSpecialFile } from "../../local/atomicWrite";
import { rename, rm } from "../../local/nodeFiles";
import type { Repository } from "../../repository/repository";
import type { Candidate, CopyWal } from "./fetchCopy";

/** Time of a copy until the next repository is asked. A segment takes a few seconds on a usual line. */
const SLOW_MS = 5000;
/** Time of a copy while others are left. After them it gets another turn, without this limit. */
const LIMIT_MS = 60_000;
/** How long an overtaken repository is asked after the others. */
const OVERTAKEN_MS = 60_000;

interface Outcome {
  readonly candidate: Candidate;
  readonly path: string;
  readonly error: BackupError | null;
  readonly hasTimedOut: boolean;
}

interface Raced {
  readonly winner: Candidate | null;
  /** Candidates without an outcome. */
  readonly left: readonly Candidate[];
}

const overtakenAtMs = new WeakMap<Repository, number>();

/** The candidate that is now at `destination`; null if all failed, and `failed` knows why. */
export async function fetchFirst(
  candidates: readonly Candidate[],
  destination: string,
  copy: CopyWal,
  failed: (candidate: Candidate, error: BackupError) => void,
  ctx: Context,
): Promise<Candidate | null> {
  // A device or a pipe takes the bytes directly; a rename would replace it with a file.
  const isSpecial = await isSpecialFile(destination);
  const isAlone = isSpecial || candidates.length < 2;
  const { left, winner } = isAlone
    ? { winner: null, left: candidates }
    : await race(candidates, destination, copy, failed, ctx);
  if (winner !== null) return winner;
  for (const candidate of left) {
    const path = isSpecial ? destination : temporaryName(destination, ctx.random);
    try {
      await copy(candidate, path, null);
      if (!isSpecial) await rename(path, destination);
      return candidate;
    } catch (error) {
      failed(candidate, toBackupError(error));
    }
  }
  return null;
}

async function race(
  candidates: readonly Candidate[],
  destination: string,
  copy: CopyWal,
  failed: (candidate: Candidate, error: BackupError) => void,
  ctx: Context,
): Promise<Raced> {
  const { clock, random, signal } = ctx;
  const won = new AbortController();
  const running = new Map<Candidate, Promise<Outcome>>();
  const waiting = inOrder(candidates, clock.monotonicMs());
  const left: Candidate[] = [];
  const begin = (candidate: Candidate): void => {
    const path = temporaryName(destination, random);
    const beganMs = clock.monotonicMs();
    const limit = { limitMs: LIMIT_MS, signal: AbortSignal.any([signal, won.signal]) };
    const run = copy(candidate, path, limit).then(
      () => ({ candidate, path, error: null, hasTimedOut: false }),
      (error: unknown) => {
        const hasTimedOut = clock.monotonicMs() - beganMs >= LIMIT_MS;
        return { candidate, path, error: toBackupError(error), hasTimedOut };
      },
    );
    running.set(candidate, run);
  };
  for (;;) {
    const next = waiting.shift();
    if (next !== undefined) begin(next);
    if (running.size === 0) return { winner: null, left };
    const outcomes = [...running.values()];
    const outcome =
      waiting.length === 0
        ? await Promise.race(outcomes)
        : await withTimeTo(SLOW_MS, clock, (slow) => Promise.race([...outcomes, untilAborted(slow).then(() => null)]));
    if (outcome === null) continue;
    const { candidate, error, hasTimedOut, path } = outcome;
    running.delete(candidate);
    if (hasTimedOut) left.push(candidate);
    else if (error !== null) failed(candidate, error);
    else {
      for (const { repo } of running.keys()) overtakenAtMs.set(repo, clock.monotonicMs());
      won.abort();
      for (const other of await Promise.all(running.values())) await rm(other.path, { force: true });
      await rename(path, destination);
      return { winner: candidate, left };
    }
  }
}

function inOrder(candidates: readonly Candidate[], nowMs: number): Candidate[] {
  const isOvertaken = ({ repo }: Candidate): boolean =>
    nowMs - (overtakenAtMs.get(repo) ?? Number.NEGATIVE_INFINITY) < OVERTAKEN_MS;
  return [...candidates.filter((each) => !isOvertaken(each)), ...candidates.filter(isOvertaken)];
}
