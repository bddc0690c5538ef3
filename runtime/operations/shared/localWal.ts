/** `pg_wal` of the running cluster, for {@link heal}. */
import { nullOn } from "../../base/errors";
import { listReady } from "../../postgres/archiveStatus";
import type { ClusterIdentity } from "./identity";
import { type PreparedWal, WalPreparer } from "../archivePush/prepareWal";

/** `pg_wal` for heal. */
export interface LocalWal {
  /** A WAL file, or null when PostgreSQL has removed it. @throws fileRead when it changed during the read */
  prepare(name: string): Promise<PreparedWal | null>;
  /** Names that wait for the archive. */
  listReady(): Promise<readonly string[]>;
}

export function openLocalWal(
  walDirectory: string,
  cluster: ClusterIdentity,
  headerCheck: boolean,
  segmentSizeBytes?: number,
): LocalWal {
  return {
    // Each call gets its own preparer: PostgreSQL may have rewritten the file since the last read.
    prepare: (name) =>
      nullOn(
        new WalPreparer({ walDirectory, headerCheck, segmentSizeBytes, kindCount: 1 }, cluster).prepare(name),
        "fileMissing",
      ),
    listReady: () => listReady(walDirectory, Number.POSITIVE_INFINITY),
  };
}
