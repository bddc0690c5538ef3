/**
 * The verbs' heavy work as plain-data jobs for worker threads.
 *
 * A job names repositories by key; its runner has opened them. Results are plain data too. Verbs use a {@link JobPool}
 * and do not know whether it has threads.
 */
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { Repository } from "../../repository/repository";
import type { FetchWalJob } from "../archiveGet/fetchCopy";
import type { CopyBatchJob, CopyBatchResult } from "../backup/copyBatch";
import type { RestoreFileJob, RestoreFileResult } from "../restore/restoreFile";
import type { RestoreFilesJob, RestoreFilesResult } from "../restore/restoreFiles";
import type { CopyFilesJob, CopyFilesResult } from "../sync/copyFiles";
import type { CopyWalJob } from "../sync/copyWalFile";
import type { VerifyBundleJob, VerifyBundleResult } from "../verify/verifyBundle";
import type { VerifyDumpJob } from "../verify/verifyDumpFile";
import type { VerifyFileJob, VerifyFileResult } from "../verify/verifyFile";
import { type PackedWal, type PackWalJob, packWal } from "../archivePush/walFile";

interface JobKinds {
  readonly copyBatch: { readonly job: CopyBatchJob; readonly result: CopyBatchResult };
  readonly fetchWal: { readonly job: FetchWalJob; readonly result: undefined };
  readonly packWal: { readonly job: PackWalJob; readonly result: PackedWal };
  readonly restoreFile: { readonly job: RestoreFileJob; readonly result: RestoreFileResult };
  readonly restoreFiles: { readonly job: RestoreFilesJob; readonly result: RestoreFilesResult };
  readonly syncFiles: { readonly job: CopyFilesJob; readonly result: CopyFilesResult };
  readonly syncWal: { readonly job: CopyWalJob; readonly result: undefined };
  readonly verifyBundle: { readonly job: VerifyBundleJob; readonly result: VerifyBundleResult };
  readonly verifyDump: { readonly job: VerifyDumpJob; readonly result: VerifyFileResult };
  readonly verifyFile: { readonly job: VerifyFileJob; readonly result: VerifyFileResult };
}

export type Job = JobKinds[keyof JobKinds]["job"];
export type JobResult<J extends Job> = JobKinds[J["kind"]]["result"];

export interface JobPool {
  /** Number of jobs that run at the same time; more are queued. */
  readonly slots: number;
  run<J extends Job>(job: J): Promise<JobResult<J>>;
  /** Starts the threads before they are needed; absent without threads. */
  warm?(): void;
  /** Collects this thread's garbage. V8 counts the memory of many rows late, and keeps it beside the next ones. */
  collect?(): void;
  close(): Promise<void>;
}

/** Runs one job in this thread, which loads the code of each kind of job with the first one. */
export async function runJob(job: Job, repos: ReadonlyMap<number, Repository>, ctx: Context): Promise<JobResult<Job>> {
  const repo = (key: number): Repository => {
    const opened = repos.get(key);
    if (opened === undefined) throw fail("assert", `job names repo${key}, which is not open`);
    return opened;
  };
  switch (job.kind) {
    case "copyBatch":
      return (await import("../backup/copyBatch.js")).copyBatch(job, repo, ctx);
    case "fetchWal": {
      const { repoIndex, destination, durable, limitMs, ...candidate } = job;
      const { copyHere } = await import("../archiveGet/fetchCopy.js");
      const limit = limitMs === null ? null : { limitMs, signal: ctx.signal };
      await copyHere(ctx, durable)({ ...candidate, repo: repo(repoIndex) }, destination, limit);
      return undefined;
    }
    case "packWal":
      return packWal(job);
    case "restoreFile":
      return (await import("../restore/restoreFile.js")).restoreFile(job, repo, ctx);
    case "restoreFiles":
      return (await import("../restore/restoreFiles.js")).restoreFiles(job, repo, ctx);
    case "syncFiles":
      return (await import("../sync/copyFiles.js")).copyFiles(job, repo, ctx);
    case "syncWal":
      return (await import("../sync/copyWalFile.js")).copyWalFile(job, repo, ctx);
    case "verifyBundle":
      return (await import("../verify/verifyBundle.js")).verifyBundle(job, repo);
    case "verifyDump":
      return (await import("../verify/verifyDumpFile.js")).verifyDumpFile(job, repo);
    case "verifyFile":
      return (await import("../verify/verifyFile.js")).verifyFile(job, repo);
  }
}

/** A pool without threads: jobs run in this one, `slots` at a time if the caller starts that many. */
export function inlinePool(repos: ReadonlyMap<number, Repository>, ctx: Context, slots: number): JobPool {
  return {
    slots,
    run: (job) => runJob(job, repos, ctx),
    close: async () => {},
  };
}
