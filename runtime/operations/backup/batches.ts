/** Groups files into batches and assigns each file to a bundle of each repository: pure. */
import { assert } from "../../base/errors";
import type { ScannedFile } from "../../postgres/dataDirectory";
import type { RepoPlan } from "./backupPlan";

export interface BatchEntry {
  readonly file: ScannedFile;
  /** Bundle number by repository key. A repository that is not in the map stores the file separately. */
  readonly bundleIds: ReadonlyMap<number, number>;
}

/** Files that one worker reads one after the other. */
export type Batch = readonly BatchEntry[];

/**
 * A batch ends when the repository with the largest bundles has a full one; a repository with smaller bundles fills
 * several in one batch. Sizes are original ones. `nextIds` holds each repository's next bundle number, from 1; each
 * batch advances it. Batches are made one by one: there may be hundreds of thousands of files.
 */
export function* planBatches(
  files: Iterable<ScannedFile>,
  repos: readonly { readonly repoIndex: number; readonly plan: RepoPlan }[],
  nextIds: Map<number, number>,
): Generator<Batch, void> {
  const bundling = repos.flatMap(({ repoIndex, plan }) =>
    plan.bundle === null ? [] : [{ repoIndex, plan, bundle: plan.bundle }],
  );
  const batchSizeBytes = Math.max(0, ...bundling.map(({ bundle }) => bundle.sizeBytes));
  let batch: BatchEntry[] = [];
  let filledBytes = 0;
  /** The bundle that a repository has open in this batch. */
  const open = new Map<number, { id: number; sizeBytes: number }>();
  for (const file of files) {
    const wanted = new Map<number, number>();
    for (const { repoIndex, plan, bundle } of bundling) {
      if (file.sizeBytes > bundle.limitBytes || plan.files.kindOf(file.name) === "keep") continue;
      const current = open.get(repoIndex) ?? { id: takeId(nextIds, repoIndex), sizeBytes: 0 };
      wanted.set(repoIndex, current.id);
      const sizeBytes = current.sizeBytes + file.sizeBytes;
      if (sizeBytes >= bundle.sizeBytes) open.delete(repoIndex);
      else open.set(repoIndex, { id: current.id, sizeBytes });
    }
    // Files of the same bundles share one map.
    const before = batch.at(-1)?.bundleIds;
    batch.push({ file, bundleIds: before !== undefined && isSame(before, wanted) ? before : wanted });
    filledBytes += file.sizeBytes;
    if (filledBytes < batchSizeBytes) continue;
    yield batch;
    batch = [];
    filledBytes = 0;
    open.clear();
  }
  if (batch.length > 0) yield batch;
}

function isSame(left: ReadonlyMap<number, number>, right: ReadonlyMap<number, number>): boolean {
  return left.size === right.size && [...left].every(([key, id]) => right.get(key) === id);
}

function takeId(nextIds: Map<number, number>, repoIndex: number): number {
  const id = nextIds.get(repoIndex) ?? 1;
  assert(Number.isSafeInteger(id), `bundle number ${id} of repo${repoIndex}`);
  nextIds.set(repoIndex, id + 1);
  return id;
}
