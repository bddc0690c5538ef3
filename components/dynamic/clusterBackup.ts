/**
 * The methods of {@link ClusterBackupEnd}, which the engine calls in the dynamic provider's process: result of a
 * CloudNativePG `Backup`. Pure. The Kubernetes provider waits until an object matches an expression, and cannot detect
 * that it never will. So it waits for any end, and the update fails here.
 */
export interface BackupEndInputs {
  readonly namespace: string;
  readonly backup: string;
  /** Distinguishes it from another one of the same name. */
  readonly uid: string;
  /** From its final status: phase, CloudNativePG's own error, and the backup's name in the repositories. */
  readonly phase: string;
  readonly error: string;
  readonly backupId: string;
}

export interface BackupEndState {
  readonly label: string;
  /** Uid of the Backup that was read. */
  readonly uid: string;
}

/** Final phases of a Backup. "CloudNativePG 1.30 api/v1/backup_types.go" */
const COMPLETED = "completed";
export const BACKUP_ENDS = [COMPLETED, "failed", "invalid backup definition"] as const;

/** @throws Error with the Backup's own error if it did not complete */
export async function backupEndCreate(inputs: BackupEndInputs): Promise<{ id: string; outs: BackupEndState }> {
  const { backup, backupId, error, namespace, phase, uid } = inputs;
  if (phase === COMPLETED) return { id: `${namespace}/${backup}`, outs: { label: backupId, uid } };
  const fact = `Backup ${backup} in namespace ${namespace} has not completed (${phase === "" ? "no phase" : phase})`;
  const remedy = `To take another backup, change a value in triggers; or run kubectl -n ${namespace} delete backup ${backup}, then pulumi up --refresh`;
  throw new Error(`${fact}: ${error === "" ? "no error is given" : error}\n${remedy}`);
}

/** Only another Backup counts: later changes of a completed one do not change its result. */
export async function backupEndDiff(
  _id: string,
  olds: Partial<BackupEndState>,
  news: BackupEndInputs,
): Promise<{ changes: boolean; replaces: string[] }> {
  const changes = olds.uid !== news.uid;
  return { changes, replaces: changes ? ["uid"] : [] };
}
