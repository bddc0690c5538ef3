/** `pg_wal` of the running cluster as {@link heal} reads it. */
import { isError } from "../../base/errors";
import { listReady } from "../../postgres/archiveStatus";
import type { ClusterIdentity } from "./identity";
import { type PreparedWal, WalPreparer } from "../archivePush/prepareWal";

/** `pg_wal` as heal needs it. */
export interface LocalWal {
  /** A WAL file, or null when PostgreSQL has removed it. @throws fileRead when it changed while it was read */
  prepare(name: string): Promise<PreparedWal | null>;
  /** Names that still wait for the archive. */
  listReady(): Promise<readonly string[]>;
}

export function openLocalWal(walDirectory: string, cluster: ClusterIdentity, headerCheck: boolean): LocalWal {
  return {
    prepare: async (name) => {
      try {
        // A preparer of its own for each call: PostgreSQL may have written into the file since it was read before.
        return await new WalPreparer({ walDirectory, headerCheck, kindCount: 1 }, cluster).prepare(name);
      } catch (error) {
        if (isError(error, "fileMissing")) return null;
        throw error;
      }
    },
    listReady: () => listReady(walDirectory, Number.POSITIVE_INFINITY),
  };
}
