/** Arguments of a migration. */
import type * as pulumi from "@pulumi/pulumi";
import type { ClusterAccess, KeyRef } from "../databases/cnpgArgs";
import type { HostAccess } from "../databases/hostArgs";

/** How far an update goes. Each has the ones before it; what has been done is not done again. */
export const MigrationStage = {
  /** Says what would be moved, who is connected and what is in the way. */
  Plan: "plan",
  /** Stops the applications, makes the source read-only, copies, compares. */
  Copy: "copy",
  /** Repoints Secrets, and starts the applications on the target. */
  Switch: "switch",
  /** Backs the target up into every repository, makes a drill, and says whether the source may go. */
  Retire: "retire",
  /** The way back, before the applications have used the target: makes the source as it was, Secrets too, and starts the applications again. */
  Release: "release",
} as const;
export type MigrationStage = (typeof MigrationStage)[keyof typeof MigrationStage];

/** How a connection is encrypted, as libpq has it. */
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

/** One side: a host, a cluster, or any server that is reached over the network (neither of both, and an `address`). Its role is a superuser. */
export interface MigrationServerArgs {
  /** `access` of a PostgresHost. */
  host?: HostAccess;
  /** `access` of a CnpgCluster or a CnpgBackup; with `enableSuperuserAccess`, or other words here. */
  cluster?: ClusterAccess;
  /**
   * Name, address, or directory of a socket by which the other side reaches it. Left out: of the host that the migration runs on, its own socket; of a
   * cluster, its service for writes.
   */
  address?: pulumi.Input<string>;
  /** Port of the server. @default 5432 */
  port?: number;
  /** Superuser to sign in as. @default "postgres" */
  user?: string;
  /** To ask what concerns all of the server. @default "postgres" */
  database?: string;
  /** How the connection is encrypted. Left out, `verify-full` with a certificate of the authority, else `require`. */
  sslMode?: MigrationSslMode;
  /** It goes to a file that is removed with the step, or to a Secret; never into a command line. */
  password?: pulumi.Input<string>;
  /** Instead, for a Job, a Secret in its namespace. Left out, `<cluster>-superuser` of a cluster. */
  passwordSecret?: KeyRef;
  /** PEM text: certificate of the authority. */
  ca?: pulumi.Input<string>;
  /** Instead, for a Job, a Secret in its namespace. Left out, `<cluster>-ca` of a cluster. */
  caSecret?: KeyRef;
}

/**
 * Something that uses the databases: scaled to 0 before they are copied, and to what it was when it may use the target. A CronJob is suspended, its
 * runs are waited for, and it is let run again where it was not suspended before.
 */
export interface MigrationWorkloadArgs {
  kind: WorkloadKind;
  /** Name of the object. */
  name: string;
  /** Its namespace. Left out, that of the Jobs. */
  namespace?: string;
}

/** Keys of a Secret that lead applications to the database. */
export interface MigrationSecretArgs {
  /** Name of the Secret. */
  name: string;
  /** Its namespace. Left out, that of the Jobs. */
  namespace?: string;
  /** Their new values; other keys stay. @example { host: "orders-rw.db" } */
  values: { [key: string]: pulumi.Input<string> };
}

/** Units of a host that use the databases. */
export interface MigrationUnitsArgs {
  /** `access` of any host with its connection. */
  host: HostAccess;
  /** Names of the units, in the order in which they are stopped; they start in the opposite order. @example ["shop.timer", "shop.service"] */
  names: string[];
}

export interface MigrationArgs {
  /** The old one. */
  source: MigrationServerArgs;
  /** The new one. */
  target: MigrationServerArgs;
  /**
   * How far this update goes; begin with the plan, and read it.
   * @default "plan"
   */
  until?: MigrationStage;
  workloads?: MigrationWorkloadArgs[];
  secrets?: MigrationSecretArgs[];
  units?: MigrationUnitsArgs[];
  /** Namespace of the Jobs. Left out, that of the cluster that is the target, else the source. */
  namespace?: pulumi.Input<string>;
  /** Databases to move. Left out, all. */
  databases?: string[];
  /** Databases that stay behind. */
  excludedDatabases?: string[];
  /** Roles that stay in the target as they are there. */
  keepRoles?: string[];
  /** Hashes of passwords go along. @default true */
  rolePasswords?: boolean;
  /** False puts everything into the default one. @default true */
  tablespaces?: boolean;
  /** Ends whoever is still connected to the source. @default false */
  disconnect?: boolean;
  /** After a rehearsal: databases that were copied and found equal then, and differ now, are made anew. What only the target has of them is lost. @default false */
  replace?: boolean;
  /** Databases at a time. @default 2 */
  processMax?: number;
  /** Drill that a target cluster declares: made at once, with the newest backup. Of a host, left out. */
  drill?: string;
  /** On a host: the directory of `pg_dump`, `psql` and the target's server. Left out, they are looked for where packages put them. */
  binDirectory?: string;
  /**
   * Image with `pg_dump` and `psql`, of the target's version or newer, for Jobs; with glibc. Left out, CloudNativePG's newest that this package knows.
   * Another one makes plan, copy and comparison anew in stages `plan` and `copy`, and nothing later.
   */
  image?: pulumi.Input<string>;
  /** The plan is made anew when one of these values changes; in Kubernetes in stages `plan` and `copy`. */
  planTriggers?: pulumi.Input<string>[];
  /** How long an update waits for each Job. @default 1440 */
  timeoutMinutes?: number;
}
