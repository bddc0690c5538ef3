/**
 * Repositories that failed a moment ago, for processes that end after one request: without an agent each
 * `archive_command` is one. `<spool-path>/pgbackstop/<stanza>/failed/repo<N>.json` has the error. It counts for half a
 * minute, so that each of PostgreSQL's rounds, a minute apart, begins with a call that knows nothing of the last one.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "./nodeFiles";
import { type BackupError, ERRORS, type ErrorKind, fail } from "../base/errors";

export interface FailedRepos {
  /** The error, if it counts at this time; never throws. */
  load(repoIndex: number, nowMs: number): BackupError | null;
  /** Null removes it. Never throws: a failure costs time. */
  save(repoIndex: number, error: BackupError | null, nowMs: number): void;
}

const COUNTS_MS = 30_000;

export function openFailedRepos(spoolPath: string, stanza: string): FailedRepos {
  const directory = `${spoolPath}/pgbackstop/${stanza}/failed`;
  const pathOf = (repoIndex: number): string => `${directory}/repo${repoIndex}.json`;
  return {
    load(repoIndex, nowMs) {
      try {
        const { atMs, kind, message } = JSON.parse(readFileSync(pathOf(repoIndex), "utf8")) as Record<string, unknown>;
        // Also for a clock that was set back.
        if (typeof atMs !== "number" || Math.abs(nowMs - atMs) >= COUNTS_MS) return null;
        if (typeof kind !== "string" || !Object.hasOwn(ERRORS, kind) || typeof message !== "string") return null;
        return fail(kind as ErrorKind, message, { repoIndex, retryable: true });
      } catch {
        return null;
      }
    },
    save(repoIndex, error, nowMs) {
      const temporary = `${pathOf(repoIndex)}.${process.pid}.tmp`;
      try {
        if (error === null) {
          rmSync(pathOf(repoIndex), { force: true });
          return;
        }
        mkdirSync(directory, { recursive: true, mode: 0o750 });
        writeFileSync(temporary, JSON.stringify({ atMs: nowMs, kind: error.kind, message: error.message }), {
          mode: 0o640,
        });
        renameSync(temporary, pathOf(repoIndex));
      } catch {
        // The next process waits as long as this one.
      }
    },
  };
}
