/**
 * A replica cluster: its primary is a standby of another cluster and reads that one's archive; its other instances read what it archived itself.
 * The other archive's configuration lies beside this one's, in the words that a recovery job has for it.
 */
import type { ClusterAccess, CommandHost, Invocation, ProgramAccess } from "../../commands/host";
import { isReplica, type JsonObject, textAt } from "../kubernetes/clusterObject";
import { PLACES, SOURCE_PLACES } from "../names";

/** True for the instance that has to read the source: the one that every other instance of the cluster follows. */
export function followsSource(cluster: JsonObject, instance: string): boolean {
  return isReplica(cluster) && textAt(cluster, "status", "currentPrimary") === instance;
}

/** This process with the repositories of the source. @throws what reading a configuration throws */
export function openSource(host: Invocation & ClusterAccess & ProgramAccess, stanza: string): CommandHost {
  const { dataDirectory, config } = host;
  return host.other({
    words: [
      `--config=${SOURCE_PLACES.config}/pgbackrest.conf`,
      `--config-include-path=${SOURCE_PLACES.include}`,
      `--stanza=${stanza}`,
      `--pg1-path=${dataDirectory}`,
      `--lock-path=${config.lockPath}`,
      // The queue of what is fetched ahead is named after the stanza, which may be the same in both.
      `--spool-path=${config.spoolPath}/source`,
      "cnpg-restore",
    ],
    secretsPath: SOURCE_PLACES.secrets,
    moved: { [PLACES.config]: SOURCE_PLACES.config, [PLACES.include]: SOURCE_PLACES.include, [PLACES.secrets]: SOURCE_PLACES.secrets },
  });
}
