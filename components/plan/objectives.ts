/**
 * Worst cases from declared values: how many seconds of commits a lost host can cost. Pure.
 *
 * A commit is safe when its WAL segment is in a repository. A segment is sent when it is full or when `archive_timeout` has passed since
 * the last switch; a failed archive_command is tried three times a second apart and then again after a minute (PostgreSQL 18,
 * postmaster/pgarch.c: NUM_ARCHIVE_RETRIES 3, PGARCH_AUTOWAKE_INTERVAL 60).
 */
import type { DatabasePlan } from "./plan";

/** Sending one segment to a store far away, with room to spare. */
export const PUSH_SECONDS = 10;
/** One failure until the archiver wakes up again. */
export const RETRY_SECONDS = 60;
/** Shorter than that, segments of 16 MiB that hold nothing cost more than they save. */
const ARCHIVE_TIMEOUT_MIN_SECONDS = 10;

/** The parts of the worst case, in seconds; null while nothing limits the age of a segment that does not fill. */
export interface WorstCase {
  readonly archiveTimeoutSeconds: number;
  readonly pushSeconds: number;
  readonly retrySeconds: number;
  readonly totalSeconds: number;
}

/** Commits of at most so many seconds are lost with the host. */
export function worstCaseRpo({ archiveTimeoutSeconds }: Pick<DatabasePlan, "archiveTimeoutSeconds">): WorstCase | null {
  if (archiveTimeoutSeconds === undefined || archiveTimeoutSeconds <= 0) return null;
  return {
    archiveTimeoutSeconds,
    pushSeconds: PUSH_SECONDS,
    retrySeconds: RETRY_SECONDS,
    totalSeconds: archiveTimeoutSeconds + PUSH_SECONDS + RETRY_SECONDS,
  };
}

/** The `archive_timeout` that an objective asks for: what is left of it after one push and one retry; undefined without an objective. */
export function archiveTimeoutFor(rpoSeconds: number | undefined): number | undefined {
  if (rpoSeconds === undefined || typeof rpoSeconds !== "number" || !Number.isFinite(rpoSeconds)) return undefined;
  return Math.max(Math.floor(rpoSeconds - PUSH_SECONDS - RETRY_SECONDS), ARCHIVE_TIMEOUT_MIN_SECONDS);
}
