/**
 * Decides whether a recovery may end when `archive-get` cannot decide. PostgreSQL takes any code from 1 to 125 for the
 * end of the archive and opens the database, without later transactions. A code above 125 makes it stop instead
 * (PostgreSQL "access/transam/xlogarchive.c").
 */
import { type BackupError, fail } from "../../base/errors";
import { type AcknowledgePolicy, isSatisfied } from "../archivePush/acknowledge";
import { unreadableKeys } from "./archiveGet";

/** PostgreSQL: "could not restore file". The server stops instead of opening; after a restart it resumes. */
export const RECOVERY_ABORTED = 255;

export interface Recovery {
  readonly repoIndexes: readonly number[];
  readonly acknowledge: AcknowledgePolicy;
  /** True when a file of this name is in the data directory. */
  exists(name: string): Promise<boolean>;
}

/** The error that must abort the recovery; null if it may end, if a standby will ask again, or if no recovery runs. */
export async function abortOfRecovery(error: BackupError, recovery: Recovery): Promise<BackupError | null> {
  if (error.kind === "term") return null;
  const unreadable = unreadableKeys(error);
  if (unreadable !== null && !isSatisfied(recovery.acknowledge, recovery.repoIndexes, new Set(unreadable))) return null;
  if (!(await recovery.exists("recovery.signal")) || (await recovery.exists("standby.signal"))) return null;
  const hint =
    "PostgreSQL would take this for the end of the archive, so recovery is aborted. If the repository is gone for good, recover with --repo.";
  return fail(error.kind, error.message, { hint: [...error.hints, hint], cause: error });
}
