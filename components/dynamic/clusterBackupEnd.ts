/**
 * The dynamic resource that fails an update with a `Backup` that failed. Only the declaration: what it does is in clusterBackup.ts, loaded by the
 * name of this package when the engine calls, so that nothing of the program is captured and an updated package takes effect at once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { BackupEndInputs, BackupEndState } from "./clusterBackup";

type BackupModule = typeof import("./clusterBackup");

const provider: pulumi.dynamic.ResourceProvider<BackupEndInputs, BackupEndState> = {
  create: (inputs) => (require("pgbackstop/dynamic/clusterBackup") as BackupModule).backupEndCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/clusterBackup") as BackupModule).backupEndDiff(id, olds, news),
};

/** {@link BackupEndInputs}, now or later. */
type ClusterBackupEndArgs = { readonly [K in keyof BackupEndInputs]: pulumi.Input<BackupEndInputs[K]> };

/** A resource and not a check of the program: what depends on the backup then waits for its outcome, and is not made when it failed. */
export class ClusterBackupEnd extends pulumi.dynamic.Resource {
  /** Name of the backup in the repositories. */
  declare readonly label: pulumi.Output<string>;

  constructor(name: string, args: ClusterBackupEndArgs, opts: pulumi.CustomResourceOptions) {
    super(provider, name, { ...args, label: undefined }, opts, "index", "ClusterBackupEnd");
  }
}
