/**
 * A replica cluster: its primary is a standby of another cluster and reads that cluster's archive; its other instances
 * read this cluster's own archive. The source's configuration lies next to this one's, in the form that a recovery job
 * uses.
 */
import type { ClusterAccess, CommandProcess, Invocation, ProgramAccess } from "../../process/commandProcess";
import { isReplica, type JsonObject, textAt } from "../kubernetes/clusterObject";
import { PATHS, SOURCE_PATHS } from "../names";

/** True for the instance that reads the source: all other instances of the cluster follow it. */
export function followsSource(cluster: JsonObject, instance: string): boolean {
  return isReplica(cluster) && textAt(cluster, "status", "currentPrimary") === instance;
}

/** This process with the repositories of the source. @throws the errors of reading a configuration */
export function openSource(proc: Invocation & ClusterAccess & ProgramAccess, stanza: string): CommandProcess {
  const { dataDirectory, config } = proc;
  return proc.other({
    args: [
      `--config=${SOURCE_PATHS.config}/pgbackrest.conf`,
      `--config-include-path=${SOURCE_PATHS.include}`,
      `--stanza=${stanza}`,
      `--pg1-path=${dataDirectory}`,
      `--lock-path=${config.lockPath}`,
      // The prefetch queue is named after the stanza, which both may share.
      `--spool-path=${config.spoolPath}/source`,
      "cnpg-restore",
    ],
    secretsPath: SOURCE_PATHS.secrets,
    moved: {
      [PATHS.config]: SOURCE_PATHS.config,
      [PATHS.include]: SOURCE_PATHS.include,
      [PATHS.secrets]: SOURCE_PATHS.secrets,
    },
  });
}
