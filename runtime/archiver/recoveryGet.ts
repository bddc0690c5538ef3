/**
 * Answers a recovery that asks for a WAL file, in a process that keeps running: whether PostgreSQL may take the answer
 * for the end of the archive, and which WAL it must not replay.
 */
import { RECOVERY_ABORTED } from "../base/recoveryExit";
import { type BackupError, toBackupError } from "../base/errors";
import { unreadableKeys } from "../operations/archiveGet/archiveGet";
import { endOfRecovery, guaranteeOf } from "../operations/archiveGet/endOfRecovery";
import { refuseTablespace } from "../operations/archiveGet/refuseTablespace";
import type { GetService, GetSource } from "./getService";
import type { OwnFiles } from "./ownFile";

export interface RecoveryGets {
  readonly source: GetSource;
  readonly gets: Pick<GetService, "getOrLast" | "last">;
  readonly ownFiles: OwnFiles;
  /** Next to production: no WAL that creates a tablespace. */
  readonly refusesTablespace: boolean;
}

/**
 * The exit code of the restore_command: 0, 1 for the end of the archive, or the code that aborts the recovery, with its
 * reason.
 * @throws every other error; that of a fetch whose client has left
 */
export async function getForRecovery(
  { source, gets, ownFiles, refusesTablespace }: RecoveryGets,
  walName: string,
  destination: string,
  gone: AbortSignal,
): Promise<{ readonly exitCode: number; readonly error: BackupError | null }> {
  const { config, dataDirectory } = source;
  const exists = async (name: string): Promise<boolean> => (await source.readFile(`${dataDirectory}/${name}`)) !== null;
  const fill = (bring: (temporary: string) => Promise<boolean>): Promise<boolean> =>
    ownFiles.fill(destination, gone, async (temporary) => {
      const isFetched = await bring(temporary);
      const server = { dataDirectory, exists, refusesAll: refusesTablespace };
      if (isFetched) await refuseTablespace(temporary, walName, server);
      return isFetched;
    });
  try {
    return { exitCode: (await fill((temporary) => gets.getOrLast(walName, temporary))) ? 0 : 1, error: null };
  } catch (thrown) {
    const error = toBackupError(thrown);
    if (gone.aborted) throw error;
    const end = await endOfRecovery(error, { ...guaranteeOf(source.repositories(), config), exists });
    const isAborted = end?.exitCode === RECOVERY_ABORTED;
    const last = (): Promise<boolean> => fill((temporary) => gets.last(walName, temporary, null, async () => false));
    if (!isAborted && unreadableKeys(error) !== null && (await last())) return { exitCode: 0, error: null };
    if (end === null) throw thrown;
    return end;
  }
}
