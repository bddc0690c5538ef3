/**
 * The worker thread's side of the pool: runs jobs until it is closed. It opens the repositories with the first job that
 * uses one: the threads of an agent only pack WAL, and storages would take megabytes in each.
 */
import type { MessagePort } from "node:worker_threads";
import type { Context } from "../base/context";
import { toBackupError } from "../base/errors";
import { requireOneBundle } from "../base/oneBundle";
import { guardLinks } from "../local/nodeFiles";
import { type Job, runJob } from "../operations/shared/jobs";
import { buffersOf, type PackedWal } from "../operations/archivePush/walFile";
import type { Repository } from "../repository/repository";
import type { FromWorker, ToWorker, WorkerStart } from "./pool";
import { pack, unpack } from "../base/transfer";

/**
 * Runs until the pool closes it. `open` makes the repositories of a start message.
 * @throws runtime if the pool is of another version
 */
export function serveJobs(
  port: MessagePort,
  workerData: unknown,
  open: (start: WorkerStart) => Promise<readonly Repository[]>,
  ctx: Context,
  version: string,
): void {
  const start = unpack(workerData) as WorkerStart;
  requireOneBundle(start.version, version);
  const answer = (message: FromWorker, moved: ArrayBuffer[] = []): void => port.postMessage(message, moved);
  answer({ type: "loaded" });
  let opened: ReturnType<typeof open> | undefined;
  const reposFor = async (job: Job): Promise<ReadonlyMap<number, Repository>> => {
    if (job.kind === "packWal") return new Map();
    opened ??= open(start)
      .finally(() => answer({ type: "loaded" }))
      .catch((error: unknown) => {
        // The next job tries again: a key's file may have been replaced just now.
        opened = undefined;
        throw error;
      });
    return new Map((await opened).map((repo) => [repo.key, repo]));
  };
  const close = async (): Promise<void> =>
    void (await Promise.all(((await opened?.catch(() => [])) ?? []).map((repo) => repo.storage.close())));
  const run = async (job: Job): ReturnType<typeof runJob> => runJob(job, await reposFor(job), ctx);
  port.on("message", (message: ToWorker) => {
    if (message.type === "close") {
      void close().finally(() => port.close());
      return;
    }
    guardLinks(message.guarded);
    const job = unpack(message.job) as Job;
    run(job).then(
      // Compressed WAL is transferred without a copy.
      (value) =>
        answer(
          { id: message.id, ok: true, value: pack(value) },
          job.kind === "packWal" ? buffersOf(value as PackedWal) : [],
        ),
      (error: unknown) => answer({ id: message.id, ok: false, error: pack(toBackupError(error)) }),
    );
  });
}
