/**
 * The worst-case loss of commits with a lost host, from declared values. Pure.
 *
 * With streaming a commit is safe once the growing segment has been shipped up to it: after one interval and one
 * upload, or after the pause that follows a failed upload (runtime/operations/stream,
 * runtime/archiver/streamService.ts).
 *
 * With synchronous streaming no commit is acknowledged before it is safe.
 *
 * Without streaming a commit is safe once its WAL segment is in a repository. PostgreSQL archives a segment when it is
 * full or when `archive_timeout` has passed since the last switch. It tries a failed archive_command three times, a
 * second apart, and again after a minute (PostgreSQL 18, postmaster/pgarch.c: NUM_ARCHIVE_RETRIES 3,
 * PGARCH_AUTOWAKE_INTERVAL 60).
 */
import type { ClusterDatabasePlan, DatabasePlan } from "../model/plan";

/** A generous bound for sending one segment to a distant store. */
export const PUSH_SECONDS = 10;
/** From a failure until the archiver wakes up again. */
export const RETRY_SECONDS = 60;
/** Below this, nearly empty 16 MiB segments cost more than they save. */
const ARCHIVE_TIMEOUT_MIN_SECONDS = 10;

/** Reconnecting to the server and shipping its segment again. */
const RECONNECT_SECONDS = 10;
/** With streaming, incomplete segments serve only stock's restore and `pg_wal`, so a short timeout would only cost. */
const STREAMED_TIMEOUT_MIN_SECONDS = 300;

export interface WorstCase {
  /** Until WAL is sent: `archive_timeout`, or the interval of streaming. */
  readonly waitSeconds: number;
  readonly waitsFor: "archive_timeout" | "streaming";
  readonly pushSeconds: number;
  readonly retrySeconds: number;
  readonly totalSeconds: number;
}

/** Null while nothing limits the age of an incomplete segment. */
export function worstCaseRpo({
  archiveTimeoutSeconds,
  isReplica,
  streamIntervalSeconds,
  synchronous,
}: Pick<DatabasePlan, "archiveTimeoutSeconds" | "streamIntervalSeconds" | "synchronous"> &
  Pick<ClusterDatabasePlan, "isReplica">): WorstCase | null {
  if (streamIntervalSeconds !== undefined && isReplica !== true) {
    // With a limit of the wait, an outage of the repositories just before the loss counts as without synchronous.
    if (synchronous !== undefined && synchronous.degradeAfterSeconds === undefined)
      return { waitSeconds: 0, waitsFor: "streaming", pushSeconds: 0, retrySeconds: 0, totalSeconds: 0 };
    const retrySeconds = Math.max(streamIntervalSeconds, RECONNECT_SECONDS);
    const totalSeconds = streamIntervalSeconds + PUSH_SECONDS + retrySeconds;
    return {
      waitSeconds: streamIntervalSeconds,
      waitsFor: "streaming",
      pushSeconds: PUSH_SECONDS,
      retrySeconds,
      totalSeconds,
    };
  }
  if (archiveTimeoutSeconds === undefined || archiveTimeoutSeconds <= 0) return null;
  return {
    waitSeconds: archiveTimeoutSeconds,
    waitsFor: "archive_timeout",
    pushSeconds: PUSH_SECONDS,
    retrySeconds: RETRY_SECONDS,
    totalSeconds: archiveTimeoutSeconds + PUSH_SECONDS + RETRY_SECONDS,
  };
}

/** `archive_timeout` from an objective, minus one push and one retry; undefined without an objective. */
export function archiveTimeoutFor(rpoSeconds: number | undefined): number | undefined {
  if (rpoSeconds === undefined || typeof rpoSeconds !== "number" || !Number.isFinite(rpoSeconds)) return undefined;
  return Math.max(Math.floor(rpoSeconds - PUSH_SECONDS - RETRY_SECONDS), ARCHIVE_TIMEOUT_MIN_SECONDS);
}

/** The same if streaming already meets the objective. */
export function streamedTimeout(archiveTimeoutSeconds: number | undefined): number | undefined {
  return archiveTimeoutSeconds === undefined
    ? undefined
    : Math.max(archiveTimeoutSeconds, STREAMED_TIMEOUT_MIN_SECONDS);
}
