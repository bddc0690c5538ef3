/**
 * The methods of {@link ClusterBackupEnd}, called by the engine in the process of the dynamic provider: how a `Backup` of CloudNativePG has ended. Pure.
 * The provider of Kubernetes waits until an object fits an expression, and cannot be told that it never will: so it waits for any end, and the
 * update fails here.
 */
export interface BackupEndInputs {
  readonly namespace: string;
  /** Name of the Backup. */
  readonly backup: string;
  /** Tells it from another one of the same name. */
  readonly uid: string;
  /** Of its status, when it has ended: phase, CloudNativePG's own error, and the name of the backup in the repositories. */
  readonly phase: string;
  readonly error: string;
  readonly backupId: string;
}

export interface BackupEndState {
  readonly label: string;
  /** Of the Backup that was looked at. */
  readonly uid: string;
}

/** Phases that a Backup does not leave. "CloudNativePG 1.30 api/v1/backup_types.go" */
const COMPLETED = "completed";
export const BACKUP_ENDS = [COMPLETED, "failed", "invalid backup definition"] as const;

/** @throws Error with the Backup's own error where it has not completed */
export async function backupEndCreate(inputs: BackupEndInputs): Promise<{ id: string; outs: BackupEndState }> {
  const { backup, backupId, error, namespace, phase, uid } = inputs;
  if (phase === COMPLETED) return { id: `${namespace}/${backup}`, outs: { label: backupId, uid } };
  const fact = `Backup ${backup} in namespace ${namespace} has not completed (${phase === "" ? "it tells no phase" : phase})`;
  const wayOut = `Another value in triggers takes another backup; so do: kubectl -n ${namespace} delete backup ${backup}, then pulumi up --refresh`;
  throw new Error(`${fact}: ${error === "" ? "it tells no error" : error}\n${wayOut}`);
}

/** Another Backup, and nothing else: what is told of one that has completed does not change how it ended. */
export async function backupEndDiff(
  _id: string,
  olds: Partial<BackupEndState>,
  news: BackupEndInputs,
): Promise<{ changes: boolean; replaces: string[] }> {
  const changes = olds.uid !== news.uid;
  return { changes, replaces: changes ? ["uid"] : [] };
}
