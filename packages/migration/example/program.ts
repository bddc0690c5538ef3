/**
 * Moves an existing database server to a CloudNativePG cluster with backups and drills. The migration stops the
 * applications, copies the data, compares every row, points the applications to the cluster, and reports when you may
 * remove the old server.
 *
 * `until` is the only setting to change between updates: start with `plan`, read `reports`, continue with `copy`,
 * `switch`, `retire`. `release` returns to the old server, until the applications have used the cluster.
 * The documents of pgbackstop-migration explain each stage.
 */
import type * as pulumi from "@pulumi/pulumi";
import { CipherPassphrase, CnpgCluster, CnpgPlugin, DrillLevel, S3CompatibleRepository } from "pgbackstop";
import { Migration, type MigrationStage, WorkloadKind } from "pgbackstop-migration";

export interface MoveSettings {
  /** Address of the old server, as pods in the cluster's namespace reach it. */
  readonly oldAddress: string;
  /** Password of its superuser `postgres`. */
  readonly oldPassword: pulumi.Input<string>;
  /** PEM of the authority that signed the old server's certificate. */
  readonly oldCa: pulumi.Input<string>;
  readonly bucket: string;
  readonly keys: { readonly accessKeyId: pulumi.Input<string>; readonly secretAccessKey: pulumi.Input<string> };
  readonly until: MigrationStage;
}

export interface MoveOutputs extends Record<string, pulumi.Output<unknown>> {
  readonly topology: pulumi.Output<string>;
  /** Keep a copy outside the stack: `pulumi stack output passphrase --show-secrets`. */
  readonly passphrase: pulumi.Output<string>;
  /** Describes the steps of this stage. */
  readonly steps: pulumi.Output<string[]>;
  /** JSON results by step name. */
  readonly reports: pulumi.Output<{ [step: string]: string }>;
  /** Do not remove anything of the old server before this is true. */
  readonly mayRetireSource: pulumi.Output<boolean>;
}

const [NAMESPACE, SHOP] = ["database", "shop"];

/** Declares all resources and returns the stack's outputs. */
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
    // The migration signs in as the superuser. Remove this line when it is done.
    spec: { enableSuperuserAccess: true },
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
  return {
    topology: orders.topology,
    passphrase: key.passphrase,
    steps: move.steps,
    reports: move.reports,
    mayRetireSource: move.mayRetireSource,
  };
}
