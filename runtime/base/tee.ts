/**
 * One source, several isolated consumers: the heart of "read once, write everywhere".
 *
 * Each consumer gets the same chunks through a queue of its own (at most `queueChunks` long). The source is held back by the slowest
 * branch that still lives; a branch that fails leaves at once and never delays the others. When the source itself fails, every living
 * branch sees that error. Chunks are shared between the branches: nobody may change them.
 */
import type { ByteStream } from "./bytes";
import { type BackupError, toBackupError } from "./errors";
import { LIMITS } from "./limits";

export type BranchResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: BackupError };

interface Branch {
  readonly queue: Uint8Array[];
  ended: boolean;
  sourceError: unknown;
  left: boolean;
  wake: (() => void) | undefined;
}

/**
 * Reads `source` once and hands it to every consumer. Resolves when all of them have ended, results in their order; rejects only when
 * the source failed (its error is thrown, whatever the branches made of it). With no branch alive the source is not read further.
 */
export async function tee<T>(
  source: ByteStream,
  consumers: readonly ((stream: ByteStream) => Promise<T>)[],
  queueChunks: number = LIMITS.teeQueueChunks,
): Promise<BranchResult<T>[]> {
  const branches: Branch[] = consumers.map(() => ({ queue: [], ended: false, sourceError: undefined, left: false, wake: undefined }));
  let wakeSource: (() => void) | undefined;
  const roomMade = (): void => wakeSource?.();

  const runs = consumers.map(async (consume, index): Promise<BranchResult<T>> => {
    const branch = branches[index] as Branch;
    try {
      return { ok: true, value: await consume(branchStream(branch, roomMade)) };
    } catch (error) {
      return { ok: false, error: toBackupError(error) };
    } finally {
      branch.left = true;
      branch.queue.length = 0;
      roomMade();
    }
  });

  let sourceError: unknown;
  try {
    for await (const chunk of source) {
      const alive = branches.filter((branch) => !branch.left);
      if (alive.length === 0) break;
      for (const branch of alive) {
        branch.queue.push(chunk);
        branch.wake?.();
      }
      while (branches.some((branch) => !branch.left && branch.queue.length >= queueChunks)) {
        await new Promise<void>((resolve) => {
          wakeSource = resolve;
        });
        wakeSource = undefined;
      }
    }
  } catch (error) {
    sourceError = error;
  }
  for (const branch of branches) {
    branch.ended = true;
    branch.sourceError = sourceError;
    branch.wake?.();
  }
  const results = await Promise.all(runs);
  if (sourceError !== undefined) throw sourceError;
  return results;
}

async function* branchStream(branch: Branch, roomMade: () => void): ByteStream {
  for (;;) {
    const chunk = branch.queue.shift();
    if (chunk !== undefined) {
      roomMade();
      yield chunk;
    } else if (branch.sourceError !== undefined) {
      throw branch.sourceError;
    } else if (branch.ended) {
      return;
    } else {
      await new Promise<void>((resolve) => {
        branch.wake = resolve;
      });
      branch.wake = undefined;
    }
  }
}
