/** The worker thread's side of the pool: opens the repositories once and runs jobs until it is closed. */
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
  open: (start: WorkerStart) => readonly Repository[],
  ctx: Context,
  version: string,
): void {
  const start = unpack(workerData) as WorkerStart;
  requireOneBundle(start.version, version);
  const repos = open(start);
  const byKey = new Map(repos.map((repo) => [repo.key, repo]));
  const answer = (message: FromWorker, moved: ArrayBuffer[] = []): void => port.postMessage(message, moved);
  port.on("message", (message: ToWorker) => {
    if (message.type === "close") {
      void Promise.all(repos.map((repo) => repo.storage.close())).finally(() => port.close());
      return;
    }
    guardLinks(message.guarded);
    const job = unpack(message.job) as Job;
    runJob(job, byKey, ctx).then(
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
