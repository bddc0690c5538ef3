/**
 * Decides whether a recovery may end when `archive-get` cannot decide whether the archive has a file.
 */
import { type BackupError, fail } from "../../base/errors";
import { RECOVERY_ABORTED } from "../../base/recoveryExit";
import { isSatisfied } from "../archivePush/acknowledge";
import type { AcknowledgePolicy } from "../../config/types";
import { unreadableKeys } from "./archiveGet";

export interface Guarantee {
  readonly repoIndexes: readonly number[];
  readonly acknowledge: AcknowledgePolicy;
}

export interface Recovery extends Guarantee {
  /** True when a file of this name is in the data directory. */
  exists(name: string): Promise<boolean>;
}

/** How `archive-get` ends after `error`. Null if a standby will ask again, if no recovery runs, or after a signal. */
export async function endOfRecovery(
  error: BackupError,
  recovery: Recovery,
): Promise<{ readonly exitCode: 1 | typeof RECOVERY_ABORTED; readonly error: BackupError } | null> {
  if (error.kind === "term") return null;
  if (!(await recovery.exists("recovery.signal")) || (await recovery.exists("standby.signal"))) return null;
  if (mayEnd(error, recovery)) return { exitCode: 1, error };
  const why = "PostgreSQL would take this for the end of the archive, so recovery is aborted.";
  const wayOut = unreadableKeys(error) === null ? "" : " If the repository is gone for good, recover with --repo.";
  return {
    exitCode: RECOVERY_ABORTED,
    error: fail(error.kind, error.message, { hint: [...error.hints, `${why}${wayOut}`], cause: error }),
  };
}

/** True when the repositories that could not be read cannot have acknowledged a file alone. */
export function mayEnd(error: BackupError, { acknowledge, repoIndexes }: Guarantee): boolean {
  const unreadable = unreadableKeys(error);
  return unreadable !== null && !isSatisfied(acknowledge, repoIndexes, new Set(unreadable));
}
