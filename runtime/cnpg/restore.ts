/**
 * `cnpg-restore`: the sidecar of a recovery job. It makes the data directory, and then gives PostgreSQL the WAL that it asks for. The latter alone
 * beside instances of a replica cluster that has no archive of its own.
 */
import { GetService } from "../archiver/getService";
import { untilAborted } from "../base/clock";
import type { Command } from "../commands/host";
import { identityService } from "./identity";
import { restoreJobService } from "./restoreJob";
import { runOwn, serveSidecar } from "./sidecar";
import { walService } from "./wal";

export const restoreJobCommand: Command = async (host) => {
  const { config, ctx, dataDirectory } = host;
  const isJob = config.plugin.instance === "";
  const gets = new GetService(host, { ...ctx, signal: new AbortController().signal });
  return serveSidecar(host, {
    services: [
      identityService(["WAL_SERVICE", "RESTORE_JOB"]),
      walService({ dataDirectory, push: null, isJob, gets: () => gets }, ctx),
      restoreJobService({ dataDirectory, run: runOwn(host) }, ctx),
    ],
    // A recovery under way goes on with what it has.
    isBusy: () => isJob,
    close: async (signal) => Promise.race([gets.close(), untilAborted(signal)]),
  });
};
