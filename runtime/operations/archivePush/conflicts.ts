/**
 * Conflicts: a repository's archive has other content under the name of this server's WAL file (error 45). A conflict is
 * that repository's alone. It is recorded until the repository holds the server's content, and stops no other one.
 */
import { isError } from "../../base/errors";
import type { MissingWalStore } from "../../local/missingWal";
import type { ClusterIdentity } from "../shared/identity";
import type { PreparedWal } from "./prepareWal";

/** Runs a push, and records a conflict before it throws it. */
export async function recordingConflict<T>(
  missingWal: MissingWalStore,
  repoIndex: number,
  { name, sha1 }: Pick<PreparedWal, "name" | "sha1">,
  cluster: ClusterIdentity,
  push: () => Promise<T>,
): Promise<T> {
  try {
    return await push();
  } catch (error) {
    if (isError(error, "archiveDuplicate")) missingWal.addConflict(repoIndex, name, cluster, sha1);
    throw error;
  }
}

/**
 * Ends records of conflicts that no longer matter: PostgreSQL does not want to archive the file any more, and nobody
 * has acknowledged it. So it is after a server was rewound to the timeline of another one.
 */
export function forgetUnwanted(
  missingWal: MissingWalStore,
  repoIndexes: readonly number[],
  isReady: (walName: string) => boolean,
): void {
  for (const repoIndex of repoIndexes)
    for (const cluster of missingWal.conflictClusters(repoIndex)) {
      const acknowledged = new Set(missingWal.list(repoIndex, cluster));
      for (const name of missingWal.listConflicts(repoIndex, cluster))
        if (!acknowledged.has(name) && !isReady(name)) missingWal.remove(repoIndex, name, cluster);
    }
}
