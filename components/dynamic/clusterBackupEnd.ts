/**
 * The dynamic resource that fails an update when a `Backup` fails. Only the declaration: the engine loads its methods
 * from clusterBackup.ts by this package's name, so that it captures nothing of the program and an updated package takes
 * effect immediately.
 */
import * as pulumi from "@pulumi/pulumi";
import type { BackupEndInputs } from "./clusterBackup";
import { DynamicResource, methodsOf } from "./dynamicResource";

type BackupModule = typeof import("./clusterBackup");

const METHODS = methodsOf<BackupModule>("pgbackstop/dynamic/clusterBackup", {
  create: "backupEndCreate",
  diff: "backupEndDiff",
});

/** {@link BackupEndInputs}, known or deferred. */
type ClusterBackupEndArgs = { readonly [K in keyof BackupEndInputs]: pulumi.Input<BackupEndInputs[K]> };

/**
 * A resource, not a check in the program: dependents wait for the backup's result, and are not created if it failed.
 */
export class ClusterBackupEnd extends DynamicResource {
  /** Name of the backup in the repositories. */
  declare readonly label: pulumi.Output<string>;

  constructor(name: string, args: ClusterBackupEndArgs, opts: pulumi.CustomResourceOptions) {
    super(METHODS, name, { ...args, label: undefined }, opts, "ClusterBackupEnd");
  }
}
