/** Bounded parallelism and per-repository results. */
import { type BackupError, toBackupError } from "./errors";

/** One repository's result: a value or an error, never an exception that hides the others' results. */
export type RepoResult<T> =
  | { readonly repoIndex: number; readonly ok: true; readonly value: T }
  | { readonly repoIndex: number; readonly ok: false; readonly error: BackupError };

/**
 * Runs `work` for every item, at most `limit` at a time, with results in the order of the items. The first error stops
 * new work and is thrown.
 */
export async function mapParallel<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index] as T, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker));
  for (const result of outcomes) if (result.status === "rejected") throw result.reason;
  return results;
}

/** Work, and its share of the common capacity. */
export interface Weighted {
  readonly weight: number;
  run(): Promise<void>;
}

/**
 * Starts the tasks in order as the capacity allows, without a pause between heavy and light ones. A task heavier than
 * the capacity runs alone. The first error stops new work and is thrown when all running tasks have ended.
 */
export async function runWeighted(tasks: Iterable<Weighted>, capacity: number): Promise<void> {
  const running = new Set<Promise<void>>();
  let usedWeight = 0;
  let failure: { readonly error: unknown } | null = null;
  let wake: (() => void) | undefined;
  const start = (task: Weighted): void => {
    usedWeight += task.weight;
    const run = task
      .run()
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        usedWeight -= task.weight;
        running.delete(run);
        wake?.();
      });
    running.add(run);
  };
  for (const task of tasks) {
    while (failure === null && running.size > 0 && usedWeight + task.weight > capacity) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== null) break;
    start(task);
  }
  await Promise.all(running);
  if (failure !== null) throw (failure as { readonly error: unknown }).error;
}

/** Runs `work` for every repository at once; an error becomes that repository's result only. */
export function perRepo<R extends { readonly key: number }, T>(
  repos: readonly R[],
  work: (repo: R) => Promise<T>,
): Promise<RepoResult<T>[]> {
  return Promise.all(
    repos.map(async (repo): Promise<RepoResult<T>> => {
      try {
        return { repoIndex: repo.key, ok: true, value: await work(repo) };
      } catch (error) {
        return { repoIndex: repo.key, ok: false, error: toBackupError(error) };
      }
    }),
  );
}
