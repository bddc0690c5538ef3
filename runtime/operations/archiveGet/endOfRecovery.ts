/**
 * May a recovery end where `archive-get` is in doubt? PostgreSQL takes any code from 1 to 125 for the end of the archive and opens the database,
 * without the transactions that may follow; a code above 125 makes it stop instead (PostgreSQL "access/transam/xlogarchive.c").
 */
import { type BackupError, fail } from "../../base/errors";
import { type AcknowledgePolicy, isSatisfied } from "../archivePush/acknowledge";
import { unreadableKeys } from "./archiveGet";

/** PostgreSQL: "could not restore file", and the server stops instead of opening; started again it goes on where it was. */
export const RECOVERY_ABORTED = 255;

export interface Recovery {
  readonly repoKeys: readonly number[];
  readonly acknowledge: AcknowledgePolicy;
  /** Is there a file of this name in the data directory? */
  exists(name: string): Promise<boolean>;
}

/** The error with which the recovery must be aborted; null where it may end, where a standby will ask again, or where there is no recovery. */
export async function abortOfRecovery(error: BackupError, recovery: Recovery): Promise<BackupError | null> {
  if (error.kind === "term") return null;
  const unreadable = unreadableKeys(error);
  if (unreadable !== null && !isSatisfied(recovery.acknowledge, recovery.repoKeys, new Set(unreadable))) return null;
  if (!(await recovery.exists("recovery.signal")) || (await recovery.exists("standby.signal"))) return null;
  const hint =
    "PostgreSQL would take this for the end of the archive: recovery is aborted. When the repository is gone for good, recover with --repo.";
  return fail(error.kind, error.message, { hint: [...error.hints, hint], cause: error });
}
