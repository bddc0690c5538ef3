/** The dynamic resource that fails an update when a `Backup` fails; clusterBackup.ts has its methods. */
import type * as pulumi from "@pulumi/pulumi";
import type { BackupEndInputs } from "./clusterBackup";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";

type BackupModule = typeof import("./clusterBackup");

const BACKUP_END: DynamicClass = {
  type: "ClusterBackupEnd",
  methods: methodsOf<BackupModule>("pgbackstop/dynamic/clusterBackup", {
    create: "backupEndCreate",
    diff: "backupEndDiff",
  }),
  outputs: ["label"],
};

/** {@link BackupEndInputs}, known or deferred. */
type ClusterBackupEndArgs = { readonly [K in keyof BackupEndInputs]: pulumi.Input<BackupEndInputs[K]> };

/**
 * A resource, not a check in the program: dependents wait for the backup's result, and are not created if it failed.
 */
export class ClusterBackupEnd extends DynamicResource {
  /** Name of the backup in the repositories. */
  declare readonly label: pulumi.Output<string>;

  constructor(name: string, args: ClusterBackupEndArgs, opts: pulumi.CustomResourceOptions) {
    super(BACKUP_END, name, args, opts);
  }
}
