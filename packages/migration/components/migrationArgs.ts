/** Arguments of a migration. */
import type * as pulumi from "@pulumi/pulumi";
import type { HostAccess, KeyRef, PluginRef, PodPlacementArgs } from "pgbackstop";
import type { ClusterAccess } from "pgbackstop/kit";

/** How far an update goes. Each stage includes the ones before it; finished steps are not repeated. */
export const MigrationStage = {
  /** Reports the databases to move, their connections and obstacles. */
  Plan: "plan",
  /** Stops the applications, makes the source read-only, copies, compares. */
  Copy: "copy",
  /** Repoints Secrets, and starts the applications on the target. */
  Switch: "switch",
  /**
   * Backs the target up into every repository, runs a drill, asks the source whether it is still read-only, and reports
   * whether it may be removed.
   */
  Retire: "retire",
  /**
   * Undoes the migration before the applications have used the target: restores the source and the Secrets, and starts
   * the applications again.
   */
  Release: "release",
} as const;
export type MigrationStage = (typeof MigrationStage)[keyof typeof MigrationStage];

/** Encryption of a connection, in libpq's terms. */
export const MigrationSslMode = {
  Disable: "disable",
  Prefer: "prefer",
  Require: "require",
  VerifyCa: "verify-ca",
  VerifyFull: "verify-full",
} as const;
export type MigrationSslMode = (typeof MigrationSslMode)[keyof typeof MigrationSslMode];

/** Kinds of objects that can be stopped and started again. */
export const WorkloadKind = { Deployment: "Deployment", StatefulSet: "StatefulSet", CronJob: "CronJob" } as const;
export type WorkloadKind = (typeof WorkloadKind)[keyof typeof WorkloadKind];

/**
 * One side: a host, a cluster, or any server on the network (neither of both, and an `address`). Its role is a
 * superuser.
 */
export interface MigrationServerArgs {
  /** `access` of a PostgresHost. */
  host?: HostAccess;
  /** `access` of a CnpgCluster or a CnpgBackup; with `enableSuperuserAccess`, or other credentials here. */
  cluster?: ClusterAccess;
  /**
   * Name, address, or socket directory by which the other side reaches it. If omitted, for the host that the migration
   * runs on, its own socket; for a cluster, its service for writes.
   */
  address?: pulumi.Input<string>;
  /** Port of the server. @default 5432 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Superuser to sign in as. @default "postgres" */
  user?: pulumi.Input<string>;
  /** Database for server-wide queries. @default "postgres" */
  database?: pulumi.Input<string>;
  /** How the connection is encrypted. If omitted, `verify-full` with a certificate of the authority, else `require`. */
  sslMode?: pulumi.Input<MigrationSslMode>;
  /** Goes into a file that is removed with the step, or into a Secret; never into a command line. */
  password?: pulumi.Input<string>;
  /** Instead, for a Job, a Secret in its namespace. If omitted, `<cluster>-superuser` of a cluster. */
  passwordSecret?: KeyRef;
  /** PEM text: certificate of the authority. */
  ca?: pulumi.Input<string>;
  /** Instead, for a Job, a Secret in its namespace. If omitted, `<cluster>-ca` of a cluster. */
  caSecret?: KeyRef;
}

/**
 * An application that uses the databases. It is scaled to 0 before the copy, and to its previous scale once it may use
 * the target. A CronJob is suspended, its runs are awaited, and it is resumed unless it was suspended before.
 */
export interface MigrationWorkloadArgs {
  /** @plain the steps that the preview shows */
  kind: WorkloadKind;
  /** Name of the object. */
  name: pulumi.Input<string>;
  /** Its namespace. If omitted, that of the Jobs. @plain which Roles exist */
  namespace?: string;
}

/** Keys of a Secret that point applications to the database. */
export interface MigrationSecretArgs {
  /** Name of the Secret. */
  name: pulumi.Input<string>;
  /** Its namespace. If omitted, that of the Jobs. @plain which Roles exist */
  namespace?: string;
  /** Their new values; other keys stay. @example { host: "orders-rw.db" } */
  values: { [key: string]: pulumi.Input<string> };
}

/** Units of a host that use the databases. */
export interface MigrationUnitsArgs {
  /** `access` of any host with its connection. */
  host: HostAccess;
  /**
   * Names of the units, in the order in which they are stopped; they start in the opposite order.
   * @example ["shop.timer", "shop.service"]
   * @plain the steps that the preview shows
   */
  names: string[];
}

export interface MigrationArgs {
  /** The old one. */
  source: MigrationServerArgs;
  /** The new one. */
  target: MigrationServerArgs;
  /** How far this update goes; start with the plan, and read it. @default "plan" @plain the steps of the update */
  until?: MigrationStage;
  workloads?: MigrationWorkloadArgs[];
  secrets?: MigrationSecretArgs[];
  units?: MigrationUnitsArgs[];
  /** Namespace of the Jobs. If omitted, that of the cluster that is the target, else the source. */
  namespace?: pulumi.Input<string>;
  /** Databases to move. If omitted, all. */
  databases?: pulumi.Input<pulumi.Input<string>[]>;
  /** Databases that stay behind. */
  excludedDatabases?: pulumi.Input<pulumi.Input<string>[]>;
  /** Roles that stay unchanged in the target. */
  keepRoles?: pulumi.Input<pulumi.Input<string>[]>;
  /** Copies password hashes. @default true */
  rolePasswords?: pulumi.Input<boolean>;
  /** False puts everything into the default tablespace. @default true */
  tablespaces?: pulumi.Input<boolean>;
  /** Ends remaining connections to the source. @default false */
  disconnect?: pulumi.Input<boolean>;
  /**
   * After a rehearsal or a failed copy: recopies databases that were copied completely, and differ now. Data that only
   * the target has are lost.
   * @default false
   */
  replace?: pulumi.Input<boolean>;
  /**
   * The source was shut down for good while it was read-only: the last step does not ask it. Set it before `retire`.
   * @default false
   */
  sourceStopped?: pulumi.Input<boolean>;
  /** Databases at a time. @default 2 @minimum 1 @maximum 999 */
  processMax?: pulumi.Input<number>;
  /**
   * Drill that a target cluster declares: run now, with the newest backup. Not for a host.
   * @plain which of the target's drills is made
   */
  drill?: string;
  /**
   * On a host: the directory of `pg_dump`, `psql` and the target's server. If omitted, the packages' usual directories.
   */
  binDirectory?: pulumi.Input<string>;
  /**
   * Image with glibc, `pg_dump` and `psql` of the target's version or newer, for Jobs. If omitted, CloudNativePG's
   * newest that this package knows. A new one repeats plan, copy and comparison in stages `plan` and `copy`, and
   * nothing later.
   */
  image?: pulumi.Input<string>;
  /**
   * The plugin whose runtime the Jobs run. If omitted, a ConfigMap carries the installed package's, which adds 3 MB to
   * the stack's state.
   * @example plugin.ref
   */
  plugin?: PluginRef;
  /**
   * Instead, your own image that contains the runtime (built with this package's `Dockerfile`), by digest.
   * @example "registry.example.net/pgbackstop@sha256:…"
   */
  runtimeImage?: pulumi.Input<string>;
  /**
   * Placement of a migration's Jobs in Kubernetes, and settings that the cluster's policies require.
   * @example { nodeSelector: { pool: "backups" }, imagePullSecrets: ["registry"], priorityClassName: "low" }
   */
  podPlacement?: PodPlacementArgs;
  /** A changed value repeats the plan; in Kubernetes in stages `plan` and `copy`. */
  planTriggers?: pulumi.Input<string>[];
  /** How long an update waits for each Job. @default 1440 @plain how long the engine waits for a resource @minimum 1 */
  timeoutMinutes?: number;
}
