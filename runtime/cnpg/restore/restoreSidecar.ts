/**
 * `cnpg-restore`: the sidecar of a recovery job. It restores the data directory, then serves WAL to PostgreSQL. Beside
 * instances of a replica cluster without its own archive it only serves WAL.
 */
import { GetService } from "../../archiver/getService";
import { untilAborted } from "../../base/clock";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { parseLsn } from "../../format/wal/walSegment";
import { createRestoreEvent } from "./clusterEvents";
import { identityService } from "../grpc/identityService";
import { openKubernetes } from "../kubernetes/kubernetesApi";
import { restoreJobService } from "./restoreJob";
import type { Sidecar } from "../sidecar/currentSidecar";
import { runOwn, serveSidecar } from "../sidecar/sidecar";
import { walService } from "../sidecar/wal";

export const restoreJobCommand: Command = (proc) => serveSidecar(proc, openRestore);

function openRestore(proc: CommandProcess): Sidecar {
  const { config, ctx, dataDirectory } = proc;
  const isJob = config.plugin.instance === undefined;
  const own = { ...ctx, signal: new AbortController().signal };
  const gets = new GetService(proc, own);
  const [newestWal = null, newestLsn = null] = config.plugin.newestWal?.split("@") ?? [];
  const end = { newestWal, newestLsn: newestLsn === null ? null : parseLsn(newestLsn) };
  const run = runOwn(proc);
  // The sidecar's own options are those of a server; restore reads the same past.
  const past = config.repoTargetTime === undefined ? [] : [`--repo-target-time=${config.repoTargetTime}`];
  return {
    services: [
      identityService(["WAL_SERVICE", "RESTORE_JOB"]),
      walService({ dataDirectory, push: null, isJob, ...end, gets: () => gets }, ctx),
      restoreJobService(
        {
          dataDirectory,
          run: (args, ...rest) => run([...args, ...past], ...rest),
          report: (cluster, outcome) =>
            createRestoreEvent(() => openKubernetes(config.kubernetes, own.signal), cluster, outcome, own),
        },
        ctx,
      ),
    ],
    // A running recovery keeps its configuration.
    isFixed: isJob,
    close: async (signal) => Promise.race([gets.close(), untilAborted(signal)]),
  };
}
