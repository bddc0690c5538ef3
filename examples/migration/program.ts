/**
 * A database server of today, on whatever machine, into a cluster of CloudNativePG: the cluster with its backups and
 * drills, and the migration, which stops what uses the old server, copies, compares to the last row, leads the
 * applications to the cluster and says when the old server may go.
 *
 * `until` is the stack's only switch: begin with `plan`, read `reports`, go on with `copy`, `switch`, `retire`;
 * `release` is the way back until the applications have used the cluster. docs/migration.md tells what each stage does.
 */
import type * as pulumi from "@pulumi/pulumi";
import {
  CipherPassphrase,
  CnpgCluster,
  CnpgPlugin,
  DrillLevel,
  Migration,
  type MigrationStage,
  S3CompatibleRepository,
  WorkloadKind,
} from "pgbackstop";

export interface MoveSettings {
  /** Name by which the cluster's namespace reaches the old server. */
  readonly oldAddress: string;
  /** Of its superuser `postgres`. */
  readonly oldPassword: pulumi.Input<string>;
  /** PEM: the authority that has signed the old server's certificate. */
  readonly oldCa: pulumi.Input<string>;
  readonly bucket: string;
  readonly keys: { readonly accessKeyId: pulumi.Input<string>; readonly secretAccessKey: pulumi.Input<string> };
  readonly until: MigrationStage;
}

export interface MoveOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  /** What this stage does, in words. */
  readonly steps: pulumi.Output<string[]>;
  /** Answers of the steps, JSON text by their names. */
  readonly reports: pulumi.Output<{ [step: string]: string }>;
  /** Nothing of the old server is removed before this is true. */
  readonly mayRetireSource: pulumi.Output<boolean>;
}

const [NAMESPACE, SHOP] = ["database", "shop"];

/** Declares everything; what it returns are the stack's outputs. */
export function program(settings: MoveSettings): MoveOutputs {
  const key = new CipherPassphrase("orders-key");
  const plugin = new CnpgPlugin("pgbackstop", {});
  const b2 = new S3CompatibleRepository("orders-b2", {
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    path: "/orders",
    bucket: { existing: { name: settings.bucket, credentials: settings.keys } },
    cipher: key.ref,
  });
  const orders = new CnpgCluster("orders", {
    namespace: NAMESPACE,
    plugin: plugin.ref,
    instances: 3,
    storageGiB: 50,
    // The migration signs in as the superuser: take it away again when it is over.
    superuserAccess: true,
    repositories: { repo1: { at: b2.target, keepDays: 30 } },
    schedules: { full: { cron: "0 1 * * 0" }, incr: { cron: "0 1 * * 1-6" } },
    drills: { weekly: { cron: "0 5 * * 1", level: DrillLevel.Standard } },
    silence: { PB003: "the second place follows with the first month" },
  });
  const move = new Migration("to-cluster", {
    source: { address: settings.oldAddress, password: settings.oldPassword, ca: settings.oldCa },
    target: { cluster: orders.access },
    workloads: [
      { kind: WorkloadKind.Deployment, name: "web", namespace: SHOP },
      { kind: WorkloadKind.CronJob, name: "invoices", namespace: SHOP },
    ],
    secrets: [{ name: "shop-database", namespace: SHOP, values: { host: orders.writeHost } }],
    drill: "weekly",
    until: settings.until,
  });
  return { topology: orders.topology, steps: move.steps, reports: move.reports, mayRetireSource: move.mayRetireSource };
}
