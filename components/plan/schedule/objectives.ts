/**
 * Worst cases from declared values: how many seconds of commits a lost host can cost. Pure.
 *
 * With streaming a commit is safe when the growing segment has been shipped so far: after one interval and one upload, or after the pause that
 * follows a failure of one (runtime/operations/stream, runtime/archiver/streamService.ts).
 *
 * Without it a commit is safe when its WAL segment is in a repository. A segment is sent when it is full or when `archive_timeout` has passed since
 * the last switch; a failed archive_command is tried three times a second apart and then again after a minute (PostgreSQL 18,
 * postmaster/pgarch.c: NUM_ARCHIVE_RETRIES 3, PGARCH_AUTOWAKE_INTERVAL 60).
 */
import type { DatabasePlan } from "../model/plan";

/** Sending one segment to a store far away, with room to spare. */
export const PUSH_SECONDS = 10;
/** One failure until the archiver wakes up again. */
export const RETRY_SECONDS = 60;
/** Shorter than that, segments of 16 MiB that hold nothing cost more than they save. */
const ARCHIVE_TIMEOUT_MIN_SECONDS = 10;

/** Of connecting to the server again, and shipping its segment anew. */
const RECONNECT_SECONDS = 10;
/** Where everything is streamed, what is sent when it is not full is for stock's restore and for `pg_wal`: a short timeout would only cost. */
const STREAMED_TIMEOUT_MIN_SECONDS = 300;

/** The parts of the worst case, in seconds. */
export interface WorstCase {
  /** How long WAL waits until it is sent: `archive_timeout`, or the interval of streaming. */
  readonly waitSeconds: number;
  readonly waitsFor: "archive_timeout" | "streaming";
  readonly pushSeconds: number;
  readonly retrySeconds: number;
  readonly totalSeconds: number;
}

/** Commits of at most so many seconds are lost with the host; null while nothing limits the age of a segment that does not fill. */
export function worstCaseRpo({
  archiveTimeoutSeconds,
  streamIntervalSeconds,
}: Pick<DatabasePlan, "archiveTimeoutSeconds" | "streamIntervalSeconds">): WorstCase | null {
  if (streamIntervalSeconds !== undefined) {
    const retrySeconds = Math.max(streamIntervalSeconds, RECONNECT_SECONDS);
    const totalSeconds = streamIntervalSeconds + PUSH_SECONDS + retrySeconds;
    return { waitSeconds: streamIntervalSeconds, waitsFor: "streaming", pushSeconds: PUSH_SECONDS, retrySeconds, totalSeconds };
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

/** The `archive_timeout` that an objective asks for: what is left of it after one push and one retry; undefined without an objective. */
export function archiveTimeoutFor(rpoSeconds: number | undefined): number | undefined {
  if (rpoSeconds === undefined || typeof rpoSeconds !== "number" || !Number.isFinite(rpoSeconds)) return undefined;
  return Math.max(Math.floor(rpoSeconds - PUSH_SECONDS - RETRY_SECONDS), ARCHIVE_TIMEOUT_MIN_SECONDS);
}

/** What follows from an objective, where the objective is met by streaming already. */
export function streamedTimeout(archiveTimeoutSeconds: number | undefined): number | undefined {
  return archiveTimeoutSeconds === undefined ? undefined : Math.max(archiveTimeoutSeconds, STREAMED_TIMEOUT_MIN_SECONDS);
}
