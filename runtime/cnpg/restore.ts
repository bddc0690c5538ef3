/** `cnpg-restore`: the sidecar of a recovery job. It makes the data directory, and then gives PostgreSQL the WAL that it asks for. */
import { GetService } from "../archiver/getService";
import type { Command } from "../commands/host";
import { identityService } from "./identity";
import { restoreJobService } from "./restoreJob";
import { aborted, serveSidecar } from "./sidecar";
import { walService } from "./wal";

export const restoreJobCommand: Command = async (host) => {
  const { config, ctx, dataDirectory } = host;
  const gets = new GetService(host, { ...ctx, signal: new AbortController().signal });
  const run = (words: readonly string[], signal: AbortSignal, told: (text: string) => void): Promise<number> =>
    host.runSelf([...config.carriedOptions, `--stanza=${config.stanza ?? ""}`, ...LOG_WORDS, ...words], signal, told);
  return serveSidecar(host, {
    services: [
      identityService(["WAL_SERVICE", "RESTORE_JOB"]),
      walService({ dataDirectory, push: null, gets }, ctx),
      restoreJobService({ dataDirectory, run }, ctx),
    ],
    // A recovery under way goes on with what it has.
    isBusy: () => true,
    close: async (signal) => Promise.race([gets.close(), aborted(signal)]),
  });
};

const LOG_WORDS = ["--log-level-console=info", "--log-level-stderr=error", "--log-level-file=off"];
