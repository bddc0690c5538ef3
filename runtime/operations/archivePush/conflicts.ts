/**
 * Conflicts: a repository's archive has other content under the name of this server's WAL file (error 45). A conflict
 * is that repository's alone. It is recorded until the repository holds the server's content, and stops no other one.
 */
import { type BackupError, fail, isError } from "../../base/errors";
import type { MissingWalStore } from "../../local/missingWal";
import { isReady } from "../../postgres/archiveStatus";
import type { Repository } from "../../repository/repository";
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

/** The state of a repository with recorded conflicts; null without any. */
export function conflictError(repoIndex: number, names: readonly string[]): BackupError | null {
  const [first] = names;
  if (first === undefined) return null;
  const message =
    names.length === 1
      ? `the archive's ${first} differs from this server's`
      : `${names.length} WAL files in the archive differ from this server's, the first is ${first}`;
  return fail("archiveDuplicate", message, {
    hint: "Find out which server wrote it, remove the wrong file from this repository, then run pgbackstop heal.",
    repoIndex,
  });
}

/**
 * Ends records of conflicts that no longer matter: PostgreSQL does not want to archive the file any more, and nobody
 * has acknowledged it. So it is after a server was rewound to the timeline of another one.
 * @param readyDirectory its `archive_status` lists the waiting files
 * @param requested is wanted in any case
 */
export function forgetUnwanted(
  missingWal: MissingWalStore,
  repos: readonly Pick<Repository, "key">[],
  readyDirectory: string,
  requested?: string,
): void {
  for (const { key: repoIndex } of repos)
    for (const cluster of missingWal.conflictClusters(repoIndex)) {
      const acknowledged = new Set(missingWal.list(repoIndex, cluster));
      for (const name of missingWal.listConflicts(repoIndex, cluster))
        if (!acknowledged.has(name) && name !== requested && !isReady(readyDirectory, name))
          missingWal.remove(repoIndex, name, cluster);
    }
}
