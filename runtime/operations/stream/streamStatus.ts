/** How far a repository is with streamed WAL. */
import type { BackupError } from "../../base/errors";
import { formatLsn } from "../../format/wal/walSegment";
import type { StreamState } from "../../local/streamState";

export interface StreamStatus {
  readonly repoIndex: number;
  /** Position up to which the repository has everything, streamed or archived; null while unknown. */
  readonly lsn: bigint | null;
  /** Everything that the server had written by this time is in the repository; null while unknown. */
  readonly atMs: number | null;
  readonly error: BackupError | null;
  /** How often WAL was missing that had been stored. */
  readonly lostCount: number;
}

/** The state for other processes; null while unknown. */
export function stateOf({ atMs, lostCount, lsn, repoIndex }: StreamStatus): StreamState | null {
  return atMs === null || lsn === null
    ? null
    : { key: repoIndex, lsn: formatLsn(lsn), positionBytes: Number(lsn), atS: Math.floor(atMs / 1000), lostCount };
}
